"""Pure: programs that tell VLANs: by the tag beside a frame, and how a bridge's are told at its own device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from tapwright.filter import code as bpf
from tapwright.filter.code import Code, Label
from tapwright.filter.program import Program
from tapwright.providers.linux_programs import in_front

_VLAN_TAG, _VLAN_TAG_PRESENT, _VLAN_PROTOCOL = 0xFFFFF02C, 0xFFFFF030, 0xFFFFF03C
"""SKF_AD_OFF and SKF_AD_VLAN_TAG, _TAG_PRESENT, _TPID: the kernel takes a tag off before a filter runs"""
_DOT1Q, _DOT1AD = 0x8100, 0x88A8


@dataclass(frozen=True, slots=True)
class Tags:
    """How VLANs are told at the device of a bridge itself; of one that is not VLAN-aware there is nothing to say."""

    protocol: int = 0
    """EtherType of the tags by which it keeps VLANs apart, 0 where it does not."""
    pvid: int | None = None
    """The VLAN of what the host sends without a tag."""
    untagged: tuple[int, ...] = ()
    """Those whose frames come to the host without one."""


def tags_at(hook: str, vlans: Sequence[int], tags: Tags) -> tuple[int, ...]:
    """By which tags the frames of `vlans` are told at a hook of the bridge's device; 0 is having none."""
    if not tags.protocol:
        return tuple(dict.fromkeys(vlans))
    bare = tags.untagged if hook == "ingress" else () if tags.pvid is None else (tags.pvid,)
    there = [vlan for vlan in vlans if hook == "egress" or vlan not in bare]
    return tuple(dict.fromkeys([*there, *([0] if set(bare) & set(vlans) else [])]))


def only_vlans(program: bytes, tags: Sequence[int], protocol: int = 0) -> bytes:
    """`program`, refusing first of all what has none of these tags; 0 is having none.

    With a `protocol` only tags of that EtherType are.  A tag is beside the frame or, where the host's own program put
    it there, within.
    """
    code, told, within, read, no_tag, other = Code(), *map(Label, ("told", "within", "read", "none", "other"))
    code.set_x(0)
    code.op(bpf.LD_BYTE_AT, _VLAN_TAG_PRESENT)
    code.jeq(0, within, None)
    if protocol:
        code.op(bpf.LD_HALF_AT, _VLAN_PROTOCOL)
        code.jeq(protocol, None, no_tag)
    code.op(bpf.LD_HALF_AT, _VLAN_TAG)
    code.op(bpf.AND, 0xFFF)
    code.ja(told)
    code.place(within)
    code.ldh(12)
    for kind in (protocol,) if protocol else (_DOT1Q, _DOT1AD):
        code.jeq(kind, read, None)
    code.place(no_tag)
    code.op(bpf.LD_IMMEDIATE, 0)
    code.ja(told)
    code.place(read)
    code.ldh(14)
    code.op(bpf.AND, 0xFFF)
    code.place(told)
    for tag in tags:
        code.jeq(tag, other, None)
    code.ret(0)
    return in_front(code, other, program)


def without_vlan(program: bytes, vlan: int) -> bytes:
    """`program`, refusing first of all what has the tag of that VLAN."""
    code, other = Code(), Label("other")
    code.op(bpf.LD_BYTE_AT, _VLAN_TAG_PRESENT)
    code.jeq(0, other, None)
    code.op(bpf.LD_HALF_AT, _VLAN_TAG)
    code.op(bpf.AND, 0xFFF)
    code.jeq(vlan, None, other)
    code.ret(0)
    return in_front(code, other, program)


def lets_through(program: bytes, tag: int | None) -> bool:
    """Whether a program of `only_vlans` lets frames with that tag through; None is any."""
    instructions = Program(program).instructions
    read = ((bpf.LD_HALF_AT, 14), (bpf.AND, 0xFFF))
    for at in range(len(instructions) - 2):
        if tuple((each.code, each.k) for each in instructions[at : at + 2]) == read:
            compared = takewhile(lambda each: each.code == bpf.JEQ, instructions[at + 2 :])
            return tag is None or tag in [each.k for each in compared]
    return True
