"""From counts at two moments to what the governor reads: rates and shares.  Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from tapwright.adapters.pressure import Pressure, Stalled
from tapwright.capture.governor import Readings


@dataclass(frozen=True, slots=True)
class Own:
    """What a capture or mirror has done since it began."""

    time: float = 0.0
    """Seconds of its own clock."""
    packets: int = 0
    copied: int = 0
    """Bytes."""
    whole: int = 0
    """Bytes, had no packet been cut but by the snap length asked for."""
    cpu: float = 0.0
    """Seconds."""
    written: int = 0
    """Bytes that went to a disk."""


@dataclass(frozen=True, slots=True)
class Sample:
    """All counts at one moment."""

    time: float
    """Seconds of a clock that never goes back."""
    own: Own = field(default_factory=Own)
    host: Pressure = field(default_factory=Pressure)
    dropped: int | None = None
    """Packets that the captured ports dropped."""
    free: int | None = None
    """Bytes free on the disk beyond what is to stay free."""


def readings(before: Sample, after: Sample, window: float = 1.0) -> Readings:
    """The rates between two samples; zero or unknown where no time has passed.  `window` is seconds."""
    seconds = after.time - before.time
    own = after.own.time - before.own.time
    per_own = 1 / own if own > 0 else 0.0
    io, memory = _stalled(before, after, "io"), _stalled(before, after, "memory")
    return Readings(
        part=min(seconds / window, 1.0) or 1.0,
        packets=(after.own.packets - before.own.packets) * per_own,
        rate=(after.own.copied - before.own.copied) * 8 * per_own,
        whole=(after.own.whole - before.own.whole) * 8 * per_own,
        cpu=(after.own.cpu - before.own.cpu) * per_own,
        disk=(after.own.written - before.own.written) * per_own,
        free=after.free,
        psi_cpu=_stalled(before, after, "cpu")[0],
        psi_io=io[0],
        psi_memory=memory[0],
        psi_full=max((share for share in (io[1], memory[1]) if share is not None), default=None),
        steal=_ratio(before.host.stolen, after.host.stolen, _more(before.host.time, after.host.time)),
        drops=_ratio(before.dropped, after.dropped, seconds),
        softnet=_ratio(before.host.softnet_dropped, after.host.softnet_dropped, seconds),
    )


def _stalled(before: Sample, after: Sample, resource: str) -> tuple[float | None, float | None]:
    then: Stalled = getattr(before.host, resource)
    now: Stalled = getattr(after.host, resource)
    micros = (after.time - before.time) * 1e6
    return _share(then.some, now.some, micros), _share(then.full, now.full, micros)


def _share(before: int | None, after: int | None, whole: float) -> float | None:
    share = _ratio(before, after, whole)
    return None if share is None else min(share, 1.0)


def _ratio(before: int | None, after: int | None, whole: float | None) -> float | None:
    """Growth over `whole`; a count that shrank began anew, and says nothing this time."""
    grown = _more(before, after)
    return grown / whole if grown is not None and whole else None


def _more(before: int | None, after: int | None) -> int | None:
    return after - before if before is not None and after is not None and after >= before else None
