"""The one line a running capture shows on a terminal."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass

from tapwright.units import format_count, format_duration, format_rate, format_size


@dataclass(frozen=True, slots=True)
class Reading:
    """What the line needs of the engine's counters at one moment."""

    elapsed: float
    packets: int
    wire_bytes: int
    lost: int
    file_bytes: int


@dataclass(frozen=True, slots=True)
class Goals:
    """The limits that tell how long it still takes; 0 means none."""

    seconds: float = 0.0
    packets: int = 0
    bytes: int = 0


def line(now: Reading, before: Reading, goals: Goals, width: int) -> str:
    """One line of at most `width` columns; the rates are those between the two readings."""
    span = max(now.elapsed - before.elapsed, 1e-3)
    parts = [
        format_duration(now.elapsed),
        f"{format_count(now.packets)} packets",
        format_rate((now.packets - before.packets) / span, "pps"),
        format_rate((now.wire_bytes - before.wire_bytes) * 8 / span, "bit/s"),
        f"{format_count(now.lost)} lost",
        format_size(now.file_bytes),
    ]
    if (left := _left(now, before, goals, span)) is not None:
        parts.append(f"{format_duration(left)} left")
    return "  ".join(parts)[: max(width - 1, 10)]


def _left(now: Reading, before: Reading, goals: Goals, span: float) -> float | None:
    """Seconds until the first limit is reached at the present rate; None when nothing ends it."""
    ends = [goals.seconds - now.elapsed] if goals.seconds else []
    for goal, is_now, was in (
        (goals.packets, now.packets, before.packets),
        (goals.bytes, now.file_bytes, before.file_bytes),
    ):
        if goal and is_now > was:
            ends.append((goal - is_now) * span / (is_now - was))
    return max(0.0, min(ends)) if ends else None


class ProgressLine:
    """Rewrites its line on standard error; does nothing when nobody is looking."""

    def __init__(self, goals: Goals) -> None:
        self._goals = goals
        self._before = Reading(0.0, 0, 0, 0, 0)
        self._shown = False
        self.enabled = sys.stderr.isatty()

    def show(self, now: Reading) -> None:
        """Replace the line."""
        if not self.enabled:
            return
        text = line(now, self._before, self._goals, shutil.get_terminal_size().columns)
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
        self._before, self._shown = now, True

    def clear(self) -> None:
        """Take the line away before other text is written."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False
