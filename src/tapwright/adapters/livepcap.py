"""Compiling a filter for packets as a socket sees them.

The kernel takes the outermost VLAN tag out of a frame before a socket's filter runs, and
keeps it beside the frame.  Only on an activated handle does libpcap write programs that
look there, so `vlan 10` compiled for a file never matches on a live device.  Such a handle
is a packet socket on any Ethernet device; nothing is read from it.
"""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tapwright.errors import FilterError, PrivilegeError
from tapwright.filter.libpcap import compile_on, error_of, library
from tapwright.filter.program import MAX_SNAPLEN

_ETHERNET = 1
_PERMISSION = -8
"""PCAP_ERROR_PERM_DENIED"""
_SMALL = 1 << 16
"""Bytes of ring memory; nothing will ever be in it."""


def live(text: str, *, optimise: bool = True) -> bytes:
    """Compile `text` for a live Ethernet device.

    Raises PcapError with libpcap's words, MissingDependency, PrivilegeError without
    CAP_NET_RAW, FilterError when no Ethernet device of this namespace is up.
    """
    with _handle() as handle:
        return compile_on(handle, text, optimise=optimise)


@contextmanager
def _handle() -> Iterator[int]:
    for name in _devices():
        handle = _activated(name)
        if handle:
            break
    else:
        raise FilterError("a filter on VLANs needs a device that is up to be compiled for", hint="ip link set lo up")
    try:
        yield handle
    finally:
        library().pcap_close(handle)


def _devices() -> Iterator[str]:
    """The loopback device, which is an Ethernet one to libpcap and nearly always up, then all others."""
    yield "lo"
    yield from (name for _, name in socket.if_nameindex() if name != "lo")


def _activated(name: str) -> int | None:
    """An activated handle on the device, None when this one will not do.  Raises PrivilegeError."""
    pcap = library()
    handle: int | None = pcap.pcap_create(name.encode(), ctypes.create_string_buffer(256))
    if not handle:
        return None
    pcap.pcap_set_snaplen(handle, MAX_SNAPLEN)
    pcap.pcap_set_buffer_size(handle, _SMALL)
    status: int = pcap.pcap_activate(handle)
    # Positive is a warning.
    if status >= 0 and pcap.pcap_datalink(handle) == _ETHERNET:
        return handle
    reason = error_of(handle)
    pcap.pcap_close(handle)
    if status == _PERMISSION:
        raise PrivilegeError(
            f"compiling a filter on VLANs needs a packet socket: {reason}",
            "run it with sudo, or give the process CAP_NET_RAW",
        )
    return None
