"""One question or order to the kernel over rtnetlink, inside any network namespace (linux/rtnetlink.h).

A program for each takes some ten milliseconds, and a mirror of fifty VMs asks a thousand.  The native core sends
and receives; here messages are put together and taken apart.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from tapwright import _core
from tapwright.model import Netns

NEW_LINK, GET_LINK = 16, 18
NEW_QDISC, DELETE_QDISC, GET_QDISC = 36, 37, 38
NEW_FILTER, DELETE_FILTER, GET_FILTER = 44, 45, 46
REPLACE, EXCLUSIVE, CREATE = 0x100, 0x200, 0x400
DUMP = 0x300

_ATTRIBUTE = struct.Struct("=HH")
_LINK = struct.Struct("=BxHiII")
"""struct ifinfomsg"""
_NAME, _MTU, _INFO, _ALIAS = 3, 4, 18, 20
_INFO_KIND = 1
_UP = 1
_KINDS = 0x3FFF
"""Of an attribute's number, without the bits that say how its data is laid out."""


def ask(netns: Netns, kind: int, flags: int, body: bytes) -> list[bytes]:
    """What the kernel answers to one message, without headers; after an order that it took, nothing.

    Raises OSError with what the kernel said.
    """
    return _core.netlink_message(netns.path, kind, flags, body)


def attribute(kind: int, data: bytes) -> bytes:
    """One attribute of a message."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(data), kind) + data + bytes(-len(data) % 4)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, data) of each attribute, as far as they make sense."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if not _ATTRIBUTE.size <= size <= len(data) - at:
            return
        yield kind & _KINDS, data[at + _ATTRIBUTE.size : at + size]
        at += size + 3 & ~3


@dataclass(frozen=True, slots=True)
class Device:
    """One device, without the particulars of its kind."""

    index: int
    name: str
    up: bool
    alias: str
    mtu: int
    kind: str
    """"" of a NIC."""


def device(netns: Netns, which: int | str) -> Device:
    """The device of that ifindex or name.  Raises OSError (ENODEV where there is none)."""
    index, name = (which, b"") if isinstance(which, int) else (0, attribute(_NAME, which.encode() + b"\0"))
    (answer,) = ask(netns, GET_LINK, 0, _LINK.pack(0, 0, index, 0, 0) + name)
    found = _read(answer)
    if isinstance(which, str) and found.name != which:  # the kernel takes alternative names, too
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
    return found


def devices(netns: Netns) -> tuple[Device, ...]:
    """All devices of a namespace.  Raises OSError."""
    return tuple(map(_read, ask(netns, GET_LINK, DUMP, _LINK.pack(0, 0, 0, 0, 0))))


def _read(answer: bytes) -> Device:
    _, _, index, flags, _ = _LINK.unpack_from(answer)
    found = dict(attributes(answer[_LINK.size :]))
    kind = dict(attributes(found.get(_INFO, b""))).get(_INFO_KIND, b"")
    name, alias = found.get(_NAME, b""), found.get(_ALIAS, b"")
    mtu = int.from_bytes(found.get(_MTU, b""), sys.byteorder)
    return Device(index, _text(name), bool(flags & _UP), _text(alias), mtu, _text(kind))


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")
