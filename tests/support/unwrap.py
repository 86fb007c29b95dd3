"""A decapsulator as simple as it gets, for judging filters: where does the innermost frame begin?

It reads what is on the wire from the outside in, one header after the other, with nothing in
mind but the standards.  A header that does not parse ends it: the frame at hand stays.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

ETHERNET, IP = "ethernet", "ip"
TAGS = (0x8100, 0x88A8, 0x9100)
ETHERTYPES = (0x0800, 0x86DD, 0x0806, 0x8100, 0x88A8, 0x9100, 0x8847, 0x8863, 0x8864, 0x88CC)
PORTS = {4789: "vxlan", 8472: "vxlan", 6081: "geneve", 4790: "vxlan-gpe", 2152: "gtp-u"}
SHORTEST = 36
"""Bytes: Ethernet, one label of MPLS, and as much below it as it takes to tell what it is."""
NAMES = ("vxlan", "geneve", "gre", "erspan", "erspan-3", "vxlan-gpe", "gtp-u", "ipip", "mpls")


class DoesNotParse(Exception):
    """This is no such header."""


class NotCaptured(Exception):
    """The packet was on the wire, but these bytes were not kept."""


@dataclass(frozen=True)
class Found:
    """The innermost frame."""

    kind: str
    offset: int
    layers: tuple[str, ...] = ()
    numbers: frozenset[int] = frozenset()
    """VNI, key or session of the innermost wrapping that has one; a GRE key can be read in two ways."""


@dataclass(frozen=True)
class Packet:
    data: bytes
    length: int

    def room(self, at: int, count: int) -> None:
        if at + count > self.length:
            raise DoesNotParse

    def number(self, at: int, count: int) -> int:
        self.room(at, count)
        if at + count > len(self.data):
            raise NotCaptured
        return int.from_bytes(self.data[at : at + count])


Step = tuple[str, str, int, frozenset[int]]
"""Name of the wrapping, kind and offset of what it carries, its numbers."""


@dataclass(frozen=True)
class Unwrapper:
    names: tuple[str, ...] = NAMES
    ports: Mapping[int, str] = field(default_factory=lambda: PORTS)
    depth: int = 2

    def innermost(self, data: bytes, length: int | None = None) -> Found:
        """Raises NotCaptured where a byte that decides is missing."""
        packet = Packet(data, len(data) if length is None else length)
        found = Found(ETHERNET, 0)
        for _ in range(self.depth if packet.length >= SHORTEST else 0):
            try:
                name, kind, offset, numbers = self._step(packet, found.kind, found.offset)
                self._check_begins(packet, kind, offset)
            except DoesNotParse:
                break
            found = Found(kind, offset, (*found.layers, name), numbers or found.numbers)
        return found

    def _check_begins(self, packet: Packet, kind: str, offset: int) -> None:
        packet.room(offset, 14 if kind == ETHERNET else 20)
        if kind == IP and packet.number(offset, 1) >> 4 not in (4, 6):
            raise DoesNotParse

    def _step(self, packet: Packet, kind: str, at: int) -> Step:
        if kind == ETHERNET:
            ethertype, at = self._ethernet(packet, at)
            if ethertype in (0x8847, 0x8848) and "mpls" in self.names:
                return mpls(packet, at)
            version = {0x0800: 4, 0x86DD: 6}.get(ethertype)
        else:
            version = packet.number(at, 1) >> 4
        if version == 4:
            protocol, at = self._ipv4(packet, at)
        elif version == 6:
            protocol, at = self._ipv6(packet, at)
        else:
            raise DoesNotParse
        if protocol not in self._carriers():
            raise DoesNotParse
        if protocol == 17:
            return self._udp(packet, at)
        if protocol == 47:
            return self._gre(packet, at)
        return "ipip", IP, at, frozenset()

    def _ethernet(self, packet: Packet, at: int) -> tuple[int, int]:
        packet.room(at, 14)
        at += 12
        for _ in range(3):
            packet.room(at, 2)
            ethertype = packet.number(at, 2)
            if ethertype not in TAGS:
                return ethertype, at + 2
            at += 4
        raise DoesNotParse

    def _carriers(self) -> Iterator[int]:
        if any(name in self.names for name in self.ports.values()):
            yield 17
        if {"gre", "erspan", "erspan-3", "mpls"} & set(self.names):
            yield 47
        if "ipip" in self.names:
            yield from (4, 41)

    def _ipv4(self, packet: Packet, at: int) -> tuple[int, int]:
        packet.room(at, 20)
        protocol = packet.number(at + 9, 1)
        if protocol not in self._carriers():
            raise DoesNotParse
        if packet.number(at + 6, 2) & 0x1FFF:
            raise DoesNotParse
        first = packet.number(at, 1)
        if first >> 4 != 4 or first & 15 < 5:
            raise DoesNotParse
        return protocol, at + 4 * (first & 15)

    def _ipv6(self, packet: Packet, at: int) -> tuple[int, int]:
        if packet.number(at, 1) >> 4 != 6:
            raise DoesNotParse
        following = packet.number(at + 6, 1)
        at += 40
        for extensions in range(3):
            if following not in (0, 43, 44, 51, 60, 135) or extensions == 2:
                return following, at
            packet.room(at, 8)
            kind, following = following, packet.number(at, 1)
            if kind == 44:
                if packet.number(at + 2, 2) >> 3:
                    raise DoesNotParse
                at += 8
            elif kind == 51:
                at += 4 * packet.number(at + 1, 1) + 8
            else:
                at += 8 * packet.number(at + 1, 1) + 8
        raise AssertionError

    def _udp(self, packet: Packet, at: int) -> Step:
        packet.room(at, 8)
        name = self.ports.get(packet.number(at + 2, 2))
        if name not in self.names:
            raise DoesNotParse
        return UDP[name](packet, at + 8)

    def _gre(self, packet: Packet, at: int) -> Step:
        packet.room(at, 4)
        protocol = packet.number(at + 2, 2)
        name = GRE.get(protocol, "")
        if name not in self.names:
            raise DoesNotParse
        flags = packet.number(at, 2)
        if flags & 0x4007:
            raise DoesNotParse
        at += 8 if flags & 0x8000 else 4
        numbers: frozenset[int] = frozenset()
        if flags & 0x2000:
            packet.room(at, 4)
            numbers = self._key(packet, at, protocol)
            at += 4
        at += 4 if flags & 0x1000 else 0
        if name == "gre":
            return "gre", ETHERNET if protocol == 0x6558 else IP, at, numbers
        if name == "erspan":
            step = erspan(packet, at, sequenced=bool(flags & 0x1000))
        else:
            step = (erspan_3 if name == "erspan-3" else mpls)(packet, at)
        return (*step[:3], step[3] or numbers)

    def _key(self, packet: Packet, at: int, protocol: int) -> frozenset[int]:
        try:
            key = packet.number(at, 4)
        except NotCaptured:
            return frozenset()
        return frozenset({key, key >> 8} if protocol == 0x6558 else {key})


GRE = {
    0x6558: "gre",
    0x0800: "gre",
    0x86DD: "gre",
    0x88BE: "erspan",
    0x22EB: "erspan-3",
    0x8847: "mpls",
    0x8848: "mpls",
}


def _maybe(packet: Packet, at: int, count: int, keep: Callable[[int], int]) -> frozenset[int]:
    """A number nobody may ask for."""
    try:
        return frozenset({keep(packet.number(at, count))})
    except NotCaptured:
        return frozenset()


def vxlan(packet: Packet, at: int) -> Step:
    packet.room(at, 8)
    if not packet.number(at, 1) & 8:
        raise DoesNotParse
    return "vxlan", ETHERNET, at + 8, _maybe(packet, at + 4, 4, lambda word: word >> 8)


def vxlan_gpe(packet: Packet, at: int) -> Step:
    packet.room(at, 8)
    flags = packet.number(at, 1)
    if flags & 0x30:
        raise DoesNotParse
    numbers = _maybe(packet, at + 4, 4, lambda word: word >> 8) if flags & 8 else frozenset()
    following = packet.number(at + 3, 1) if flags & 4 else 3
    if following not in (1, 2, 3):
        raise DoesNotParse
    return "vxlan-gpe", ETHERNET if following == 3 else IP, at + 8, numbers


def geneve(packet: Packet, at: int) -> Step:
    packet.room(at, 8)
    protocol = packet.number(at + 2, 2)
    first = packet.number(at, 1)
    if first >> 6 or protocol not in (0x6558, 0x0800, 0x86DD):
        raise DoesNotParse
    kind = ETHERNET if protocol == 0x6558 else IP
    return "geneve", kind, at + 8 + 4 * (first & 63), _maybe(packet, at + 4, 4, lambda word: word >> 8)


def gtpu(packet: Packet, at: int) -> Step:
    packet.room(at, 8)
    if packet.number(at + 1, 1) != 255:
        raise DoesNotParse
    numbers = _maybe(packet, at + 4, 4, int)
    flags = packet.number(at, 1)
    if flags >> 4 != 3:
        raise DoesNotParse
    if not flags & 7:
        return "gtp-u", IP, at + 8, numbers
    packet.room(at, 12)
    following = packet.number(at + 11, 1) if flags & 4 else 0
    at += 12
    for _ in range(2):
        if following:
            packet.room(at, 4)
            size = 4 * packet.number(at, 1)
            if not size:
                raise DoesNotParse
            at += size
            following = packet.number(at - 1, 1)
    if following:
        raise DoesNotParse
    return "gtp-u", IP, at, numbers


def erspan(packet: Packet, at: int, *, sequenced: bool) -> Step:
    if not sequenced:
        return "erspan", ETHERNET, at, frozenset()
    packet.room(at, 8)
    if packet.number(at, 1) >> 4 != 1:
        raise DoesNotParse
    return "erspan", ETHERNET, at + 8, _maybe(packet, at + 2, 2, lambda word: word & 1023)


def erspan_3(packet: Packet, at: int) -> Step:
    packet.room(at, 12)
    if packet.number(at, 1) >> 4 != 2:
        raise DoesNotParse
    numbers = _maybe(packet, at + 2, 2, lambda word: word & 1023)
    last = packet.number(at + 10, 2)
    kind = {0: ETHERNET, 2: IP}.get(last >> 10 & 31)
    if kind is None:
        raise DoesNotParse
    return "erspan-3", kind, at + (20 if last & 1 else 12), numbers


def mpls(packet: Packet, at: int) -> Step:
    for _ in range(4):
        packet.room(at, 4)
        bottom = packet.number(at + 2, 1) & 1
        at += 4
        if bottom:
            break
    else:
        raise DoesNotParse
    numbers = _maybe(packet, at - 4, 4, lambda word: word >> 12)
    packet.room(at, 18)
    first = packet.number(at, 1)
    if first in range(0x45, 0x50) or first >> 4 == 6:
        return "mpls", IP, at, numbers
    if first >> 4 == 0 and _plausible(packet.number(at + 16, 2)):
        return "mpls", ETHERNET, at + 4, numbers
    if first >> 4 != 1 and _plausible(packet.number(at + 12, 2)):
        return "mpls", ETHERNET, at, numbers
    raise DoesNotParse


def _plausible(ethertype: int) -> bool:
    return 3 <= ethertype <= 1500 or ethertype in ETHERTYPES


UDP = {"vxlan": vxlan, "vxlan-gpe": vxlan_gpe, "geneve": geneve, "gtp-u": gtpu}
