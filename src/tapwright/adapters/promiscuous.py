"""Devices kept promiscuous by packet sockets that hear nothing (packet(7)), as long as this process lives.

The kernel counts who wants that of a device, and forgets whoever ends, also by ``kill -9``.  So there is nothing that
could be left behind, and nobody takes it from anybody else, as whoever sets and clears a device's flag does.
"""

from __future__ import annotations

import socket
import struct
from functools import partial

from tapwright.adapters import namespaces
from tapwright.errors import PrivilegeError, ProviderError
from tapwright.model import Netns

_SOL_PACKET, _ADD_MEMBERSHIP = 263, 1
_REQUEST = struct.Struct("=iHH8x")
"""struct packet_mreq: ifindex, what is wanted, and no address"""
_PROMISCUOUS = 1
"""PACKET_MR_PROMISC"""


class Promiscuous:
    """The devices that this process keeps so, each for somebody; closed where that one says so, or by its end."""

    def __init__(self) -> None:
        self._held: dict[tuple[int, int, str], socket.socket] = {}

    def hold(self, netns: Netns, index: int, whose: str) -> None:
        """Have the device of that ifindex be promiscuous; twice is as good as once.

        Raises ProviderError, PrivilegeError.
        """
        if (netns.inode, index, whose) in self._held:
            return
        try:
            work = partial(_member, index)
            self._held[netns.inode, index, whose] = namespaces.inside(netns.path, work) if netns.path else work()
        except PermissionError:
            raise PrivilegeError("making a device promiscuous needs CAP_NET_RAW", "run it with sudo") from None
        except OSError as error:
            raise ProviderError(f"device {index} cannot be made promiscuous: {error.strerror or error}") from None

    def release(self, netns: int, index: int, whose: str) -> None:
        """Have it be as others want it; what is not held is released."""
        if held := self._held.pop((netns, index, whose), None):
            held.close()

    def holds(self, netns: int, index: int, whose: str) -> bool:
        """Whether this process has it promiscuous for that one."""
        return (netns, index, whose) in self._held


def _member(index: int) -> socket.socket:
    """A packet socket of no protocol, to which nothing is ever handed.  Raises OSError."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        made.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, _REQUEST.pack(index, _PROMISCUOUS, 0))
    except OSError:
        made.close()
        raise
    return made
