"""Filters of a device's hooks as rtnetlink has them: ours written, everybody's read (linux/pkt_sched.h, pkt_cls.h)."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass

from tapwright.adapters.rtnetlink import attribute, attributes

BY_HANDLE = "ffff:"
"""What an `ingress` qdisc may be called as well as `ingress`."""
PARENTS = {"ingress": 0xFFFFFFF2, "egress": 0xFFFFFFF3}
CLSACT = (0xFFFF0000, 0xFFFFFFF1)
"""Handle and parent of the qdisc that has both hooks."""

_INGRESS_QDISC = 0xFFFF0000
_EVERY_PROTOCOL = 3
"""ETH_P_ALL"""
_PROTOCOLS = {
    _EVERY_PROTOCOL: "all", 0x0800: "ip", 0x0806: "arp", 0x86DD: "ipv6", 0x8100: "802.1Q", 0x88A8: "802.1ad",
}  # fmt: skip
_MESSAGE = struct.Struct("=BxxxiIII")
"""struct tcmsg"""
_KIND, _OPTIONS, _CHAIN = 1, 2, 11
_BPF_LENGTH, _BPF_PROGRAM = 4, 5
_ACTIONS = {
    "bpf": 1, "cgroup": 1, "matchall": 2, "flower": 3, "basic": 3, "fw": 4, "route": 6, "u32": 7, "flow": 9,
}  # fmt: skip
"""Where each kind of filter has its actions."""
_ACTION_KIND, _ACTION_OPTIONS, _ACTION_STATS, _ACTION_COOKIE = 1, 2, 4, 6
_MIRRED_PARAMETERS = 2
_PARAMETERS = struct.Struct("=IIiiiiI")
"""struct tc_mirred: index, capabilities, control, references, bindings, what is done, to which device"""
_STATS_BASIC, _STATS_QUEUE, _STATS_PACKETS = 1, 3, 8
_BASIC, _QUEUE, _COUNT = struct.Struct("=QI"), struct.Struct("=IIIII"), struct.Struct("=Q")
_NESTED = 0x8000
_CONTINUE = -1
_CONTROLS = {_CONTINUE: "continue", 0: "pass", 1: "reclassify", 2: "drop", 3: "pipe", 4: "stolen", 8: "trap"}
_EGRESS_MIRROR = 2
_MIRRED = {1: ("redirect", "egress"), 2: ("mirror", "egress"), 3: ("redirect", "ingress"), 4: ("mirror", "ingress")}


@dataclass(frozen=True, slots=True)
class NewFilter:
    """A filter of ours to be."""

    hook: str
    pref: int
    handle: int
    program: bytes
    cookie: str
    """Hexadecimal, at most 16 bytes."""
    by_handle: bool = False
    """Whether the hook is that of an `ingress` qdisc which others name by its handle, ``ffff:``.

    The kernel lists all filters of a hook by the name that the last one was added with.
    """


@dataclass(frozen=True, slots=True)
class Statistics:
    """What went through an action since it was made."""

    packets: int = 0
    overlimits: int = 0
    """Frames that could not be copied: the target was down or refused them."""


@dataclass(frozen=True, slots=True)
class Action:
    """What a filter does with a frame that it matches."""

    kind: str = ""
    mirred_action: str = ""
    direction: str = ""
    to_dev: str = ""
    """``*`` once the device is gone."""
    control: str = ""
    """What happens to the frame afterwards."""
    cookie: str = ""
    stats: Statistics = Statistics()
    index: int = 0
    """Its number among the actions of its kind."""
    to_index: int = 0
    """ifindex of the device that gets the copy."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a hook, whoever made it; also what the kernel lists for its priority alone."""

    parent: str = ""
    protocol: str = ""
    pref: int = 0
    kind: str = ""
    chain: int = 0
    handle: int = 0
    """Its number within its priority; 0 where it has none of the sort that ours have."""
    name: str = ""
    """Its handle as tc takes it, whoever made it; "" where the whole priority is one filter."""
    program: bytes = b""
    """Its classic BPF program, b"" for other kinds."""
    actions: tuple[Action, ...] = ()
    whole: bool = False
    """Whether it is a filter, and not a priority that has none yet, or none any more."""


EVERYTHING = _MESSAGE.pack(0, 0, 0, 0, 0)
"""The body of a question for the qdiscs of all devices."""


def listing(device: int, hook: str) -> bytes:
    """The body of a question for all filters of a hook."""
    return _MESSAGE.pack(0, device, 0, PARENTS[hook], 0)


def made(device: int, to: int, wanted: NewFilter, action: int = 0) -> bytes:
    """The body of an order for a filter that copies to another device; `action` is one that exists, to go on with."""
    parameters = _PARAMETERS.pack(action, 0, _CONTINUE, 0, 0, _EGRESS_MIRROR, to)
    copy = (
        attribute(_ACTION_KIND, b"mirred\0")
        + attribute(_ACTION_OPTIONS | _NESTED, attribute(_MIRRED_PARAMETERS, parameters))
        + attribute(_ACTION_COOKIE, bytes.fromhex(wanted.cookie))
    )
    options = (
        attribute(_ACTIONS["bpf"], attribute(1, copy))
        + attribute(_BPF_LENGTH, struct.pack("=H", len(wanted.program) // 8))
        + attribute(_BPF_PROGRAM, wanted.program)
    )
    info = wanted.pref << 16 | socket.htons(_EVERY_PROTOCOL)
    parent = _INGRESS_QDISC if wanted.by_handle else PARENTS[wanted.hook]
    message = _MESSAGE.pack(0, device, wanted.handle, parent, info)
    return message + attribute(_KIND, b"bpf\0") + attribute(_OPTIONS, options)


def deleted(device: int, hook: str, found: Filter) -> bytes:
    """The body of an order to remove one filter and no other."""
    message = _MESSAGE.pack(0, device, found.handle, PARENTS[hook], found.pref << 16)
    chain = attribute(_CHAIN, struct.pack("=I", found.chain)) if found.chain else b""
    return message + attribute(_KIND, found.kind.encode() + b"\0") + chain


def clsact(device: int) -> bytes:
    """The body of an order about the qdisc that has both hooks."""
    handle, parent = CLSACT
    return _MESSAGE.pack(0, device, handle, parent, 0) + attribute(_KIND, b"clsact\0")


def qdisc(answer: bytes) -> tuple[int, str]:
    """The device and the kind of a qdisc."""
    return _MESSAGE.unpack_from(answer)[1], _text(dict(attributes(answer[_MESSAGE.size :])).get(_KIND, b""))


def read(answer: bytes, name_of: Callable[[int], str]) -> Filter:
    """A filter as the kernel lists it; `name_of` tells a device's name, "*" of one that is gone."""
    _, _, handle, parent, info = _MESSAGE.unpack_from(answer)
    found = dict(attributes(answer[_MESSAGE.size :]))
    kind = _text(found.get(_KIND, b""))
    options = dict(attributes(found.get(_OPTIONS, b"")))
    protocol = socket.ntohs(info & 0xFFFF)
    return Filter(
        parent=BY_HANDLE if parent == _INGRESS_QDISC else "",
        protocol=_PROTOCOLS.get(protocol, f"[{protocol}]"),
        pref=info >> 16,
        kind=kind,
        chain=int.from_bytes(found.get(_CHAIN, b""), sys.byteorder),
        handle=0 if kind == "u32" else handle,
        name=_name(kind, handle),
        program=options.get(_BPF_PROGRAM, b"") if kind == "bpf" else b"",
        actions=tuple(
            _action(data, name_of) for _, data in attributes(options.get(_ACTIONS.get(kind, 0), b""))
        ),
        whole=_OPTIONS in found,
    )  # fmt: skip


def _name(kind: str, handle: int) -> str:
    if not handle:
        return ""
    if kind != "u32":
        return hex(handle)
    bucket, node = handle >> 12 & 0xFF, handle & 0xFFF
    return f"{handle >> 20:x}:{f'{bucket:x}' if bucket else ''}{f':{node:x}' if node else ''}"


def _action(data: bytes, name_of: Callable[[int], str]) -> Action:
    found = dict(attributes(data))
    kind = _text(found.get(_ACTION_KIND, b""))
    cookie = found.get(_ACTION_COOKIE, b"").hex()
    stats = _statistics(dict(attributes(found.get(_ACTION_STATS, b""))))
    parameters = dict(attributes(found.get(_ACTION_OPTIONS, b""))).get(_MIRRED_PARAMETERS, b"")
    if kind != "mirred" or len(parameters) < _PARAMETERS.size:
        return Action(kind, cookie=cookie, stats=stats)
    index, _, control, _, _, done, device = _PARAMETERS.unpack_from(parameters)
    what, direction = _MIRRED.get(done, ("", ""))
    return Action(
        kind, what, direction, name_of(device), _CONTROLS.get(control, str(control)), cookie, stats, index, device
    )  # fmt: skip


def _statistics(found: dict[int, bytes]) -> Statistics:
    basic, queue, count = (found.get(kind, b"") for kind in (_STATS_BASIC, _STATS_QUEUE, _STATS_PACKETS))
    packets = _BASIC.unpack_from(basic)[1] if len(basic) >= _BASIC.size else 0
    if len(count) >= _COUNT.size:
        packets = _COUNT.unpack_from(count)[0]
    return Statistics(packets, _QUEUE.unpack_from(queue)[4] if len(queue) >= _QUEUE.size else 0)


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")
