"""Pure: programs that tell a bridge's VLANs at its own device, and leave out what is reported of a tunnel's packets."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from itertools import takewhile

from tapwright.filter import code as bpf
from tapwright.filter.code import Code, Label
from tapwright.filter.program import Program
from tapwright.plan.mirrors import Target
from tapwright.providers.linux_mirror import VLAN_TAG, VLAN_TAG_PRESENT, Tags, compare, in_front

_VLAN_PROTOCOL = 0xFFFFF03C
"""SKF_AD_OFF + SKF_AD_VLAN_TPID"""
_DOT1Q, _DOT1AD = 0x8100, 0x88A8
_IP4, _IP6, _ICMP, _ICMP6 = 0x0800, 0x86DD, 1, 58


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
    code.op(bpf.LD_BYTE_AT, VLAN_TAG_PRESENT)
    code.jeq(0, within, None)
    if protocol:
        code.op(bpf.LD_HALF_AT, _VLAN_PROTOCOL)
        code.jeq(protocol, None, no_tag)
    code.op(bpf.LD_HALF_AT, VLAN_TAG)
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


def lets_through(program: bytes, tag: int | None) -> bool:
    """Whether a program of `only_vlans` lets frames with that tag through; None is any."""
    instructions = Program(program).instructions
    read = ((bpf.LD_HALF_AT, 14), (bpf.AND, 0xFFF))
    for at in range(len(instructions) - 2):
        if tuple((each.code, each.k) for each in instructions[at : at + 2]) == read:
            compared = takewhile(lambda each: each.code == bpf.JEQ, instructions[at + 2 :])
            return tag is None or tag in [each.k for each in compared]
    return True


def without_echoes(program: bytes, target: Target) -> bytes:
    """`program`, refusing first of all errors that anybody reports of packets to `target` (RFC 792, RFC 4443).

    A collector on which nothing listens reports one for each copy, and each of these would be copied in its turn.
    """
    code, other = Code(), Label("other")
    address = ipaddress.ip_address(target.remote)
    four = address.version == 4
    code.set_x(0)
    code.ldh(12)
    code.jeq(_IP4 if four else _IP6, None, other)
    code.ldb(23 if four else 20)
    code.jeq(_ICMP if four else _ICMP6, None, other)
    compare(code, 58 if four else 86, address.packed, other)
    code.ret(0)
    return in_front(code, other, program)
