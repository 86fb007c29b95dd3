"""libpcap's filter compiler, in process, through ctypes.

Every call opens a handle of its own and closes it, so calls from several threads never
share anything.  The library is loaded at the first use.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Protocol

from tapwright.errors import MissingDependency
from tapwright.filter.program import MAX_SNAPLEN

_ETHERNET = 1
"""DLT_EN10MB"""
_RAW_IP = 12
"""DLT_RAW"""
_NO_NETMASK = 0xFFFFFFFF
"""PCAP_NETMASK_UNKNOWN: `ip broadcast` is refused, since the answer differs from VM to VM."""
_NAMES = ("libpcap.so.0.8", "libpcap.so.1")
"""Debian's and everybody else's name of the same library."""


class PcapError(Exception):
    """What libpcap answered instead of a program."""


class Compiler(Protocol):
    """Something that turns pcap-filter text into packed instructions."""

    def __call__(self, text: str, *, optimise: bool = True) -> bytes:
        """Compile `text`.  Raises PcapError with libpcap's own words, MissingDependency."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.c_void_p))


def offline(text: str, *, optimise: bool = True) -> bytes:
    """Compile for Ethernet frames as they are in a file: a VLAN tag is in the frame.

    Raises PcapError, MissingDependency.
    """
    with _dead_handle(_ETHERNET) as handle:
        return compile_on(handle, text, optimise=optimise)


def raw_ip(text: str, *, optimise: bool = True) -> bytes:
    """Compile for IP packets with nothing in front of them.  Raises PcapError, MissingDependency."""
    with _dead_handle(_RAW_IP) as handle:
        return compile_on(handle, text, optimise=optimise)


def compile_on(handle: int, text: str, *, optimise: bool = True) -> bytes:
    """Compile on an open ``pcap_t``; the packed instructions are a copy.  Raises PcapError."""
    pcap, program = library(), _Program()
    if pcap.pcap_compile(handle, ctypes.byref(program), text.encode("ascii"), optimise, _NO_NETMASK):
        raise PcapError(error_of(handle))
    try:
        return ctypes.string_at(program.instructions, program.length * 8)
    finally:
        pcap.pcap_freecode(ctypes.byref(program))


def error_of(handle: int) -> str:
    """The last words of libpcap about `handle`."""
    words: bytes = library().pcap_geterr(handle)
    return words.decode("utf-8", "replace")


@contextmanager
def _dead_handle(link: int) -> Iterator[int]:
    handle = library().pcap_open_dead(link, MAX_SNAPLEN)
    if not handle:
        raise PcapError("out of memory")
    try:
        yield handle
    finally:
        library().pcap_close(handle)


@cache
def library() -> ctypes.CDLL:
    """The library with its functions declared.  Raises MissingDependency naming the package."""
    pcap = _load()
    handle, number = ctypes.c_void_p, ctypes.c_int
    _declare(pcap, "pcap_open_dead", handle, number, number)
    _declare(pcap, "pcap_compile", number, handle, ctypes.POINTER(_Program), ctypes.c_char_p, number, ctypes.c_uint32)
    _declare(pcap, "pcap_geterr", ctypes.c_char_p, handle)
    _declare(pcap, "pcap_close", None, handle)
    _declare(pcap, "pcap_freecode", None, ctypes.POINTER(_Program))
    _declare(pcap, "pcap_create", handle, ctypes.c_char_p, ctypes.c_char_p)
    _declare(pcap, "pcap_activate", number, handle)
    for setting in ("pcap_set_snaplen", "pcap_set_buffer_size"):
        _declare(pcap, setting, number, handle, number)
    _declare(pcap, "pcap_datalink", number, handle)
    return pcap


def version() -> str:
    """What the library calls itself: ``libpcap version 1.10.3 (with TPACKET_V3)``.  Raises MissingDependency."""
    pcap = library()
    _declare(pcap, "pcap_lib_version", ctypes.c_char_p)
    return (pcap.pcap_lib_version() or b"").decode(errors="replace")


def _declare(pcap: ctypes.CDLL, name: str, result: object, *arguments: object) -> None:
    function = getattr(pcap, name)
    function.restype, function.argtypes = result, arguments


def _load() -> ctypes.CDLL:
    for name in _candidates():
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise MissingDependency("libpcap is not installed", "apt install libpcap0.8 (Fedora: dnf install libpcap)")


def _candidates() -> Iterator[str]:
    yield from _NAMES
    # Only now: it runs other programs to search with.
    import ctypes.util

    if found := ctypes.util.find_library("pcap"):
        yield found
