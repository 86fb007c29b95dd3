"""What the kernel says of this host being under pressure: PSI, stolen time, packets dropped before they were looked at.

    /proc/pressure/{cpu,io,memory}   since Linux 4.20, where it is not switched off (Documentation/accounting/psi.rst)
    /proc/stat                       the eighth figure of its first line is stolen time
    /proc/net/softnet_stat           a line for each processor, the second figure is drops (net/core/net-procfs.c)

All are counts since the start of the machine; what cannot be read is None.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_TOTAL = re.compile(r"^(some|full) .*total=(\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Stalled:
    """Microseconds in which tasks waited for one resource."""

    some: int | None = None
    """At least one of them."""
    full: int | None = None
    """All of them at once."""


@dataclass(frozen=True, slots=True)
class Pressure:
    """All of it at one moment."""

    cpu: Stalled = Stalled()
    io: Stalled = Stalled()
    memory: Stalled = Stalled()
    time: int | None = None
    """Of all processors together, in ticks."""
    stolen: int | None = None
    """Of that, taken away by the host's own host."""
    softnet_dropped: int | None = None
    """Modulo 2^32 for each processor."""


def read(root: str | Path = "/proc") -> Pressure:
    """What this host says now; never raises."""
    place = Path(root)
    time, stolen = _times(_text(place / "stat"))
    cpu, io, memory = (_stalled(_text(place / "pressure" / name)) for name in ("cpu", "io", "memory"))
    return Pressure(cpu, io, memory, time, stolen, _dropped(_text(place / "net" / "softnet_stat")))


def _text(path: Path) -> str:
    """A kernel that has PSI and has it switched off lets it be opened and not read."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _stalled(text: str) -> Stalled:
    found = {kind: int(total) for kind, total in _TOTAL.findall(text)}
    return Stalled(found.get("some"), found.get("full"))


def _times(text: str) -> tuple[int | None, int | None]:
    """The first eight figures make up all the time; guests' time, behind them, is part of the user's."""
    first = text.partition("\n")[0].split()
    if len(first) < 9 or first[0] != "cpu" or not all(word.isdecimal() for word in first[1:9]):
        return None, None
    figures = [int(word) for word in first[1:9]]
    return sum(figures), figures[7]


def _dropped(text: str) -> int | None:
    try:
        found = [int(line.split()[1], 16) for line in text.splitlines()]
    except (ValueError, IndexError):
        return None
    return sum(found) if found else None
