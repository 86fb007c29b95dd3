"""What the way to the inner frame may look like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tapwright.errors import UsageError
from tapwright.filter.encapsulations import ENCAPSULATIONS, NAMES, Encapsulation
from tapwright.filter.walk import Carrier, Kind

MOST_NESTED = 4


@dataclass(frozen=True, slots=True)
class Wrapping:
    """Which encapsulations are looked for, how deep, and which of what is found is wanted.

    Raises UsageError on names, ports or numbers that make no sense.
    """

    encapsulations: tuple[str, ...] = NAMES
    """Names of `ENCAPSULATIONS`; others are not unwrapped."""
    ports: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)
    """UDP ports of an encapsulation instead of the usual ones: ``{"vxlan": (4789, 4790)}``."""
    depth: int = 2
    """How many wrappings one in another are opened; the frame inside the last one is the inner frame."""
    ids: tuple[int, ...] = ()
    """VNIs, keys or sessions: only frames whose innermost numbered wrapping has one of them."""
    plain: bool = True
    """Whether a frame that is not wrapped is looked at as it is; one with `ids` never is."""
    raw: bool = True
    """Whether an IP packet that was wrapped without an Ethernet header is looked at."""
    snaplen: int | None = None
    """Bytes kept of the inner frame, beside all that is in front of it; None keeps what the filter says."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for name in (*self.encapsulations, *self.ports):
            if name not in NAMES:
                raise UsageError(f"{name!r} is not an encapsulation", f"they are {', '.join(NAMES)}")
        if not 1 <= self.depth <= MOST_NESTED:
            raise UsageError(f"{self.depth} wrappings cannot be opened", f"1 to {MOST_NESTED} can")
        for number in self.ids:
            if not 0 <= number < 1 << 32:
                raise UsageError(f"{number} is not a VNI, key or session", "they are numbers of up to 32 bits")
        if self.snaplen is not None and self.snaplen < 1:
            raise UsageError("a snap length is at least 1 byte")
        self._check_ports()

    def _check_ports(self) -> None:
        for row in ENCAPSULATIONS:
            if row.name in self.ports and Carrier.UDP not in row.announced:
                raise UsageError(f"{row.name} has no UDP port")
        owner: dict[int, str] = {}
        for encapsulation in self.chosen:
            for port in self.announced(encapsulation).get(Carrier.UDP, ()):
                if not 0 < port < 1 << 16:
                    raise UsageError(f"{port} is not a UDP port")
                if owner.setdefault(port, encapsulation.name) != encapsulation.name:
                    raise UsageError(f"UDP port {port} cannot be both {owner[port]} and {encapsulation.name}")

    @property
    def chosen(self) -> Iterator[Encapsulation]:
        """The rows of the table that are looked for."""
        return (encapsulation for encapsulation in ENCAPSULATIONS if encapsulation.name in self.encapsulations)

    @property
    def carries(self) -> frozenset[Kind]:
        """What an inner frame can begin with."""
        return frozenset(kind for row in self.chosen for kind in row.carries)

    def announced(self, encapsulation: Encapsulation) -> Mapping[Carrier, tuple[int, ...]]:
        """What announces it here: the table's numbers, and the ports chosen instead."""
        ports = self.ports.get(encapsulation.name)
        return {**encapsulation.announced, Carrier.UDP: ports} if ports else encapsulation.announced
