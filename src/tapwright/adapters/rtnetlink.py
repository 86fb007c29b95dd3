"""rtnetlink, spoken directly: one question to the kernel, inside any network namespace (linux/rtnetlink.h).

A program for each question takes some ten milliseconds, and a mirror of fifty VMs asks a thousand.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from tapwright.adapters.namespaces import inside
from tapwright.model import Netns

NEW_LINK, GET_LINK = 16, 18
NEW_QDISC, DELETE_QDISC, GET_QDISC = 36, 37, 38
NEW_FILTER, DELETE_FILTER, GET_FILTER = 44, 45, 46
REPLACE, EXCLUSIVE, CREATE = 0x100, 0x200, 0x400
DUMP = 0x300

_ANSWERS = frozenset({NEW_LINK, NEW_QDISC, NEW_FILTER})
_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_REQUEST, _ACK = 0x01, 0x04
_ERROR, _DONE = 2, 3
_ERROR_TEXT = 1
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_LINK = struct.Struct("=BxHiII")
"""struct ifinfomsg"""
_NAME, _MTU, _ALIAS = 3, 4, 20
_UP = 1
_LARGEST = 1 << 17
"""Bytes of a message; a dump comes in pieces of 32 KiB at most."""
_PATIENCE = 10
_KINDS = 0x3FFF
"""Of an attribute's number, without the bits that say how its data is laid out."""


def ask(netns: Netns, kind: int, flags: int, body: bytes) -> list[bytes]:
    """What the kernel answers to one message, without headers; after an order that it took, nothing.

    Asked by a thread that enters the namespace and ends.  Raises OSError with what the kernel said.
    """
    if not netns.path:
        return _ask(kind, flags, body)
    return inside(netns.path, lambda: _ask(kind, flags, body))


def _ask(kind: int, flags: int, body: bytes) -> list[bytes]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        kernel.settimeout(_PATIENCE)
        for option in (_CAP_ACK, _EXT_ACK):
            kernel.setsockopt(_NETLINK, option, 1)
        # A dump ends by itself; anything else is acknowledged, after its answer.
        flags |= _REQUEST | (0 if flags & DUMP == DUMP and kind in (GET_LINK, GET_QDISC, GET_FILTER) else _ACK)
        kernel.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)
        answers: list[bytes] = []
        while not _take(kernel.recv(_LARGEST), answers):
            pass
        return answers


def _take(data: bytes, answers: list[bytes]) -> bool:
    """Add the answers of one piece; whether it was the last.  Raises OSError."""
    at = 0
    while at + _HEADER.size <= len(data):
        size, kind, *_ = _HEADER.unpack_from(data, at)
        if not _HEADER.size <= size <= len(data) - at:
            raise OSError(0, "rtnetlink: an answer that makes no sense")
        payload = data[at + _HEADER.size : at + size]
        if kind in (_ERROR, _DONE):
            _check(payload, _HEADER.size + 4 if kind == _ERROR else 4)
            return True
        if kind in _ANSWERS:
            answers.append(payload)
        at += size + 3 & ~3
    return False


def _check(payload: bytes, start: int) -> None:
    code = int.from_bytes(payload[:4], sys.byteorder, signed=True)
    if code >= 0:
        return
    said = dict(attributes(payload[start:])).get(_ERROR_TEXT, b"").rstrip(b"\0").decode(errors="replace")
    raise OSError(-code, f"{os.strerror(-code)}{f': {said}' if said else ''}")


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


def device(netns: Netns, which: int | str) -> Device:
    """The device of that ifindex or name.  Raises OSError (ENODEV where there is none)."""
    index, name = (which, b"") if isinstance(which, int) else (0, attribute(_NAME, which.encode() + b"\0"))
    (answer,) = ask(netns, GET_LINK, 0, _LINK.pack(0, 0, index, 0, 0) + name)
    _, _, index, flags, _ = _LINK.unpack_from(answer)
    found = dict(attributes(answer[_LINK.size :]))
    text = {kind: found.get(kind, b"").rstrip(b"\0").decode(errors="replace") for kind in (_NAME, _ALIAS)}
    mtu = int.from_bytes(found.get(_MTU, b""), sys.byteorder)
    if isinstance(which, str) and text[_NAME] != which:  # the kernel takes alternative names, too
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
    return Device(index, text[_NAME], bool(flags & _UP), text[_ALIAS], mtu)
