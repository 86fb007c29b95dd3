"""One step of the way in: from a frame to the frame it carries, or to nothing.

Every header's walker writes its part under one contract: X is where its header begins, or
somewhere beyond the packet; A is anything.  It checks that the header is all there
(`room`), moves X behind it and goes on to the next walker, in the end to `ethernet` or
`ip`, where an inner frame begins.  Whatever does not parse goes to `no`, where X and A may
be anything: the frame at hand is then the innermost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, StrEnum

from tapwright.filter.code import JGE_X, LD_LENGTH, SUB, Code, Label

SHORTEST = 36
"""Bytes; a shorter packet wraps nothing: Ethernet, one MPLS label, and 18 bytes to tell what is below it."""


class Kind(StrEnum):
    """What a frame begins with."""

    ETHERNET = "ethernet"
    IP = "ip"


class Carrier(Enum):
    """A header that names what follows it by a number; its value is how far behind X that begins."""

    ETHERNET = ("EtherType", 14)
    IP = ("IP protocol", 14)
    UDP = ("destination port", 22)
    GRE = ("GRE protocol", 0)

    @property
    def distance(self) -> int:
        """Bytes from X to what follows."""
        return self.value[1]


class Memory:
    """Scratch memory of the way in; the programs for the inner frame start afresh."""

    PROTOCOL = 0
    """The IP protocol or GRE protocol while X moves behind its header."""
    FLAGS = 1
    """Of GRE."""
    KIND = 2
    """Of the innermost frame so far: 0 Ethernet, 1 IP."""
    BASE = 3
    """Where the innermost frame so far begins."""
    ID = 4
    """VNI, key or session of the innermost wrapping so far that has one."""
    NEXT_ID = 5
    """The same with the wrapping being walked."""


class Walk:
    """What the walkers of one step share."""

    def __init__(self, code: Code, ids: tuple[int, ...]) -> None:
        self.code = code
        self.ids = ids
        """The VNIs, keys or sessions wanted; empty when any will do."""
        self.ethernet = Label("inner ethernet")
        self.ip = Label("inner ip")
        self.arrivals = {Kind.ETHERNET: self.ethernet, Kind.IP: self.ip}
        self.no = Label("innermost")

    def room(self, count: int) -> None:
        """`count` bytes at X, or `no`; X itself may be beyond the packet.

        The length less `count` is never negative: a packet of less than `SHORTEST` is not walked.
        """
        assert count <= SHORTEST, "the subtraction would wrap around"
        self.code.op(LD_LENGTH)
        if self.code.x is not None:
            self.code.jge(self.code.x + count, None, self.no)
        else:
            self.code.op(SUB, count)
            self.code.jump(JGE_X, 0, None, self.no)

    def identified(self, load: Callable[[Code], None]) -> None:
        """`load` puts the VNI, key or session into A; it is left out when nobody asks."""
        if self.ids:
            load(self.code)
            self.code.st(Memory.NEXT_ID)

    def either(self, labels: Mapping[int, Label]) -> None:
        """Go where A says, or to `no`."""
        for number, label in labels.items():
            self.code.jeq(number, label)
        self.code.ja(self.no)
