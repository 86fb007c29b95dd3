"""Pure: what Open vSwitch publishes of a port, as it is held against the copies made there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tapwright.adapters.ovsdb_mirrors import MirroringInterface
from tapwright.plan.counts import Counts, Ways

LAG = 6.5
"""Seconds: statistics are published every 5, and those of cached flows gathered about once in one."""


def at_port(interfaces: Sequence[MirroringInterface]) -> Counts:
    """The frames of the port that has these interfaces, from the VM's side; nothing of its copies."""
    statistics = [row.statistics for row in interfaces]
    into, out, *sides = (_sum(statistics, name) for name in ("tx_packets", "rx_packets", "tx_bytes", "rx_bytes"))
    return Counts(
        seen=Ways(into, out),
        seen_bytes=None if None in sides else sum(side or 0 for side in sides),
        lag=LAG,
    )


def _sum(statistics: Sequence[Mapping[str, int]], name: str) -> int | None:
    found = [each[name] for each in statistics if name in each]
    return sum(found) if found and len(found) == len(statistics) else None
