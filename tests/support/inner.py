"""What an inner filter must say: libpcap's verdict on the frame that the reference decapsulator finds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from support.judges import ETHERNET_LINK, RAW_LINK, compiled, kernel_verdicts, pcap_verdicts
from support.tally import compared
from support.unwrap import ETHERNET, IP, PORTS, Found, NotCaptured, Unwrapper
from tapwright._core import Bpf
from tapwright.filter.program import Program
from tapwright.filter.relocate import Filters
from tapwright.filter.wrapping import Wrapping

LINKS = {ETHERNET: ETHERNET_LINK, IP: RAW_LINK}
Slice = tuple[bytes, int]
"""What was captured of a packet, and its length on the wire."""
LONGEST = 60_000
"""Bytes that a unix socket takes at once."""


def differences(
    code: bytes, packets: Sequence[Slice], expected: Sequence[bool], *, kernel: bool = True
) -> dict[str, list[int]]:
    """Which packets our interpreter, libpcap's and the kernel see otherwise; nothing when it is right."""
    wrong: dict[str, list[int]] = {}
    for judge, numbers, verdicts in _judged(code, packets, kernel=kernel):
        compared[judge] += len(numbers)
        if found := [n for n, verdict in zip(numbers, verdicts, strict=True) if bool(verdict) != expected[n]]:
            compared["wrong"] += len(found)
            wrong[judge] = found
    return wrong


def _judged(
    code: bytes, packets: Sequence[Slice], *, kernel: bool
) -> Iterator[tuple[str, Sequence[int], Sequence[int]]]:
    """Who, of which packets, and what; a kernel only takes whole ones."""
    program, everything = Bpf(code), range(len(packets))
    yield "our interpreter", everything, [program.run(data, length) for data, length in packets]
    yield "libpcap", everything, pcap_verdicts(code, packets)
    numbers = [n for n, (data, length) in enumerate(packets) if 0 < len(data) == length < LONGEST] if kernel else []
    if numbers and (verdicts := kernel_verdicts(code, [packets[n][0] for n in numbers])) is not None:
        yield "the kernel", numbers, verdicts


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
