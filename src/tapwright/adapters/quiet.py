"""Sockets that hear mirrors and say nothing, so that the kernel does not answer exporters "unreachable".

A packet nobody listens for is answered with ICMP; a mirror then costs its sender as many
packets again, and some switches stop mirroring.  The sockets drop all they get in a filter.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from tapwright.adapters.attach import attach

_DROP_ALL = struct.pack("=HBBI", 6, 0, 0, 0)
_GRE = 47


@contextmanager
def silence(ports: Iterable[int], *, gre: bool) -> Iterator[tuple[str, ...]]:
    """While this holds, mirrors to these UDP ports and in GRE are not answered; yields what could not be done.

    A port that somebody else listens at is not answered either.
    """
    with ExitStack() as stack:
        failures = []
        for family in (socket.AF_INET, socket.AF_INET6):
            for port in sorted(set(ports)):
                failures += _open(stack, family, socket.SOCK_DGRAM, port)
            if gre:
                failures += _open(stack, family, socket.SOCK_RAW, _GRE)
        yield tuple(failures)


def _open(stack: ExitStack, family: socket.AddressFamily, kind: socket.SocketKind, number: int) -> list[str]:
    raw = kind is socket.SOCK_RAW
    try:
        made = stack.enter_context(socket.socket(family, kind | socket.SOCK_CLOEXEC, number if raw else 0))
        attach(made, _DROP_ALL)
        if not raw:
            if family is socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.bind(("", number))
    except OSError as error:
        if error.errno in _HARMLESS:
            return []
        what = "GRE" if raw else f"UDP port {number}"
        return [f"exporters to {what} may be answered `unreachable`: {error.strerror or error}"]
    return []


_HARMLESS = frozenset({97, 98})
"""EAFNOSUPPORT: no IPv6 here; EADDRINUSE: somebody listens already."""
