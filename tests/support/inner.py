"""What an inner filter must say: libpcap's verdict on the frame that the reference decapsulator finds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from support.judges import ETHERNET_LINK, RAW_LINK, compiled, pcap_verdicts
from support.unwrap import ETHERNET, IP, PORTS, Found, NotCaptured, Unwrapper
from tapwright.filter.program import Program
from tapwright.filter.relocate import Filters
from tapwright.filter.wrapping import Wrapping

LINKS = {ETHERNET: ETHERNET_LINK, IP: RAW_LINK}
Slice = tuple[bytes, int]
"""What was captured of a packet, and its length on the wire."""


def filters(text: str, *, optimise: bool = True, outer: str = "") -> Filters:
    """The programs of an expression."""
    ethernet, raw = (compiled(text, link, optimise=optimise) for link in (ETHERNET_LINK, RAW_LINK))
    return Filters(
        Program(ethernet) if ethernet else Program.drop_all(),
        Program(raw) if raw else None,
        outer=Program(compiled(outer) or b"") if outer else None,
    )


def whole(packets: Sequence[bytes]) -> list[Slice]:
    return [(packet, len(packet)) for packet in packets]


@dataclass(frozen=True)
class Truth:
    """Packets, and where in each the reference finds the inner frame that `wrapping` asks for."""

    wrapping: Wrapping
    packets: Sequence[Slice]
    unwrapper: Unwrapper = field(init=False)

    def __post_init__(self) -> None:
        ports = {port: name for port, name in PORTS.items() if name not in self.wrapping.ports}
        ports |= {port: name for name, chosen in self.wrapping.ports.items() for port in chosen}
        unwrapper = Unwrapper(self.wrapping.encapsulations, ports, self.wrapping.depth)
        object.__setattr__(self, "unwrapper", unwrapper)

    @cached_property
    def found(self) -> list[Found | None]:
        return [self._found(data, length) for data, length in self.packets]

    def _found(self, data: bytes, length: int) -> Found | None:
        """None: no filter matches this one."""
        try:
            found = self.unwrapper.innermost(data, length)
        except NotCaptured:
            return None
        if self.wrapping.ids and not found.numbers & set(self.wrapping.ids):
            return None
        if not found.layers:
            return found if self.wrapping.plain else None
        return found if self.wrapping.raw or found.kind == ETHERNET else None

    def verdicts(self, text: str, *, optimise: bool = True, outer: str = "") -> list[bool]:
        """Of an expression."""
        programs = {kind: compiled(text, link, optimise=optimise) for kind, link in LINKS.items()}
        found = self.verdicts_of(programs)
        if not outer:
            return found
        whole_packets = pcap_verdicts(compiled(outer) or b"", self.packets)
        return [verdict and bool(first) for verdict, first in zip(found, whole_packets, strict=True)]

    def verdicts_of(self, programs: Mapping[str, bytes | None]) -> list[bool]:
        """Of a program for each kind of inner frame; None matches none."""
        expected = [False] * len(self.packets)
        for kind, code in programs.items():
            at = [n for n, found in enumerate(self.found) if code and found and found.kind == kind]
            for n, verdict in zip(at, pcap_verdicts(code or b"", [self._frame(n) for n in at]), strict=True):
                expected[n] = bool(verdict)
        return expected

    def _frame(self, n: int) -> Slice:
        (data, length), found = self.packets[n], self.found[n]
        offset = found.offset if found else 0
        return data[offset:], length - offset
