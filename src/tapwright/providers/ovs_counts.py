"""Pure: what Open vSwitch publishes of a port, as it is held against the copies made there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tapwright.adapters.ovsdb_mirrors import MirroringInterface
from tapwright.plan.counts import Counts, Ways

_INTERVAL = "stats-update-interval"
_SHORTEST = 5000
"""Milliseconds: so often statistics are published where nothing else is configured, and never more often."""
_DIGITS = 10
"""Of a number that it does not take."""
_GATHERED = 1.5
"""Seconds: those of cached flows are gathered about once in one."""


def lag_of(settings: Mapping[str, str]) -> float:
    """Seconds that what a switch with these settings publishes may be behind; it ignores what is no number."""
    told = settings.get(_INTERVAL, "")
    interval = int(told) if told.isascii() and told.isdecimal() and len(told) < _DIGITS else 0
    return max(interval, _SHORTEST) / 1000 + _GATHERED


LAG = lag_of({})
"""Seconds, where nothing else is configured."""


def at_port(interfaces: Sequence[MirroringInterface], lag: float = LAG) -> Counts:
    """The frames of the port that has these interfaces, from the VM's side; nothing of its copies."""
    statistics = [row.statistics for row in interfaces]
    into, out, *sides = (_sum(statistics, name) for name in ("tx_packets", "rx_packets", "tx_bytes", "rx_bytes"))
    return Counts(
        seen=Ways(into, out),
        seen_bytes=None if None in sides else sum(side or 0 for side in sides),
        lag=lag,
    )


def _sum(statistics: Sequence[Mapping[str, int]], name: str) -> int | None:
    found = [each[name] for each in statistics if name in each]
    return sum(found) if found and len(found) == len(statistics) else None
