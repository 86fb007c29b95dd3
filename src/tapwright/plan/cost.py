"""What a capture would take of its host, from what its devices carry now.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tapwright.find.statistics import Rates
from tapwright.units import format_duration, format_size

PACKET_OVERHEAD = 48
"""Bytes a packet costs in the file beside its own, at most: block header 28 and trailer 4, flags option and
end of options 12, padding 3, rounded up (draft-ietf-opsawg-pcapng, section 4.3)."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Upper bounds: at the present load, before the filter takes its share."""

    packets: float
    """per second"""
    bits: float
    """per second on the wire"""
    disk: float
    """bytes per second of the file"""
    total: float | None
    """Bytes of the file at its end; None when nothing ends the capture by itself."""
    free: int | None
    """Bytes free on its disk; None when that is not known."""
    until_full: float | None
    """Seconds until the disk is full; None when that cannot happen or is not known."""
    memory: int
    """Bytes of ring, held while the capture runs."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a capture; 0 means no limit."""

    snaplen: int
    seconds: float
    bytes: int
    buffer: int


def estimate(rates: Iterable[Rates], limits: Limits, free: int | None) -> Cost:
    """What reading devices at these rates takes; `free` is the room on the disk in bytes."""
    rates = tuple(rates)
    packets, bits = sum(rate.packets for rate in rates), sum(rate.bits for rate in rates)
    disk = min(bits / 8, packets * limits.snaplen) + packets * PACKET_OVERHEAD
    total = _total(disk, limits)
    fills = free is not None and disk > 0 and (total is None or total > free)
    return Cost(packets, bits, disk, total, free, free / disk if fills and free is not None else None, limits.buffer)


def _total(disk: float, limits: Limits) -> float | None:
    ends = ([disk * limits.seconds] if limits.seconds else []) + ([float(limits.bytes)] if limits.bytes else [])
    return min(ends) if ends else None


def warnings(cost: Cost) -> tuple[str, ...]:
    """Why the capture would not come to its end."""
    if cost.free == 0:
        return ("the disk is full",)
    if cost.free is None or cost.total is None or cost.until_full is None:
        return ()
    return (
        f"the disk is full after {format_duration(cost.until_full)}: {format_size(cost.free)} are free, "
        f"and the capture may take {format_size(cost.total)}",
    )
