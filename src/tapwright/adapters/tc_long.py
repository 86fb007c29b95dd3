"""Filters too long for `tc`, whose messages end at 16 KiB: added over rtnetlink (linux/rtnetlink.h, pkt_cls.h)."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import threading
from dataclasses import dataclass

from tapwright.errors import PrivilegeError, ProviderError
from tapwright.model import Netns

_NEWNET = 0x40000000
_NEWTFILTER = 44
_REQUEST_ACK_EXCL_CREATE = 0x01 | 0x04 | 0x200 | 0x400
_PARENT = {"ingress": 0xFFFFFFF2, "egress": 0xFFFFFFF3}
_INGRESS_QDISC = 0xFFFF0000
_EVERY_PROTOCOL = 3
"""ETH_P_ALL"""
_KIND, _OPTIONS = 1, 2
_BPF_ACTIONS, _BPF_LENGTH, _BPF_PROGRAM = 1, 4, 5
_ACTION_KIND, _ACTION_OPTIONS, _ACTION_COOKIE = 1, 2, 6
_MIRRED_PARAMETERS = 2
_NESTED = 0x8000
_CONTINUE = -1
_EGRESS_MIRROR = 2
_libc = ctypes.CDLL(None, use_errno=True)


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


def add_long(netns: Netns, device: int, to: int, wanted: NewFilter) -> None:
    """Add it to a device, copying to another, on a thread that enters the namespace and ends.

    Both devices by ifindex.  Raises PrivilegeError, ProviderError.
    """
    failures: list[OSError] = []

    def enter() -> None:
        try:
            if netns.path:
                _enter(netns.path)
            _ask(_message(device, to, wanted))
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=enter, name="tc")
    thread.start()
    thread.join()
    for error in failures:
        kind = PrivilegeError if isinstance(error, PermissionError) else ProviderError
        raise kind(f"adding a filter of {len(wanted.program) // 8:,} instructions: {error.strerror}")


def _enter(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        if _libc.setns(handle, _NEWNET):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(handle)


def _ask(message: bytes) -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        kernel.settimeout(10)
        kernel.send(message)
        code: int = struct.unpack_from("=i", kernel.recv(1 << 17), 16)[0]
    if code:
        raise OSError(-code, os.strerror(-code))


def _message(device: int, to: int, wanted: NewFilter) -> bytes:
    parameters = struct.pack("=IIiiiiI", 0, 0, _CONTINUE, 0, 0, _EGRESS_MIRROR, to)
    action = (
        _attribute(_ACTION_KIND, b"mirred\0")
        + _attribute(_ACTION_OPTIONS | _NESTED, _attribute(_MIRRED_PARAMETERS, parameters))
        + _attribute(_ACTION_COOKIE, bytes.fromhex(wanted.cookie))
    )
    options = (
        _attribute(_BPF_ACTIONS, _attribute(1, action))
        + _attribute(_BPF_LENGTH, struct.pack("=H", len(wanted.program) // 8))
        + _attribute(_BPF_PROGRAM, wanted.program)
    )
    info = wanted.pref << 16 | socket.htons(_EVERY_PROTOCOL)
    parent = _INGRESS_QDISC if wanted.by_handle else _PARENT[wanted.hook]
    body = struct.pack("=BxxxiIII", 0, device, wanted.handle, parent, info)
    body += _attribute(_KIND, b"bpf\0") + _attribute(_OPTIONS, options)
    return struct.pack("=IHHII", 16 + len(body), _NEWTFILTER, _REQUEST_ACK_EXCL_CREATE, 1, 0) + body


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)
