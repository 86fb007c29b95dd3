"""A mirror as the governor sees it: it can do with less, or be stopped, and nobody says how many bytes it copied.

    full       all that was asked for
    sliced     256 bytes of each frame, where a switch cuts all its copies
    headers    96 bytes
    sampled    one frame in sixteen, by chance, where all its mirrors are made by tc: their filters ask for a number
    stopped    none; the mirror is undone

A sample is of whole frames: who copies by tc hands the frame itself on.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from tapwright import _core
from tapwright.capture.governor import LADDER, Decision, Level
from tapwright.capture.policy import Policy
from tapwright.capture.readings import Own
from tapwright.control.governor import Governor
from tapwright.errors import TapwrightError
from tapwright.plan.points import Point

_WINDOW = 5.0
"""Seconds: a mirror that is stopped does not come back, so a moment is not enough."""
BETWEEN = LADDER[1:-1]
"""The levels that not every mirror can do."""
_UNKNOWN = 1500
"""Bytes of a frame, where no device of its port tells how long they are."""


class GovernedMirror:
    """An open mirror; `copied` is how many frames were, which whoever reads it tells before each look."""

    def __init__(
        self, points: Iterable[Point], snaplen: int, step: Callable[[Level], None], stop: Callable[[], object]
    ) -> None:
        """`snaplen` is what was asked for of a frame, 0 all; `step` has it copy as much as a level says.

        `stop` asks for its end.
        """
        by_netns: defaultdict[str, list[int]] = defaultdict(list)
        for point in points:
            if point.device:
                by_netns[point.netns.path].append(point.device.index)
        self.copied = 0
        self._told: list[int] = []
        self.failed = ""
        """Why a step could not be made, and it was stopped instead."""
        self._ports = list(by_netns.items())
        self._snaplen = snaplen
        self._step = step
        self._stop = stop
        self._level = Level.FULL
        self._own = Own()
        self._began = time.monotonic()
        self._start = self._counted()

    def tell(self, counts: Sequence[int | None]) -> None:
        """The frames that each of its mirrors copied; of one that nobody can count just now, as many as before."""
        known = self._told or [0] * len(counts)
        self._told = [before if count is None else count for before, count in zip(known, counts, strict=True)]
        self.copied = sum(self._told)

    def own(self) -> Own:
        """The frames copied, each taken to be as long as those of its ports are on the average, or as it is cut."""
        before, new = self._own, self.copied - self._own.packets
        whole = _cut(self._length(), self._snaplen)
        kept = _cut(whole, most(self._level))
        now = time.monotonic() - self._began
        self._own = Own(now, self.copied, before.copied + round(new * kept), before.whole + round(new * whole))
        return self._own

    def _length(self) -> float:
        packets, size = (now - then for then, now in zip(self._start, self._counted(), strict=True))
        return size / packets if packets > 0 and size > 0 else _UNKNOWN

    def _counted(self) -> tuple[int, int]:
        """Packets and bytes of all ports, in both directions."""
        found = self._counters()
        return sum(c[0] + c[4] for c in found), sum(c[1] + c[5] for c in found)

    def _counters(self) -> Sequence[tuple[int, ...]]:
        try:
            return [each for netns in _core.link_counters(self._ports) for each in netns if each]
        except OSError:
            return []

    def dropped(self) -> int | None:
        """By the mirrored ports, in both directions."""
        found = self._counters()
        return sum(c[2] + c[6] for c in found) if found else None

    def space(self) -> None:
        """It writes nothing."""

    def apply(self, decision: Decision) -> None:
        """Copy as much as was decided; where that cannot be done, nothing."""
        if decision.after is not Level.STOPPED:
            try:
                self._step(decision.after)
                self._level = decision.after
            except TapwrightError as error:
                self.failed = error.line
        if decision.after is Level.STOPPED or self.failed:
            self._stop()


def _cut(length: float, limit: int) -> float:
    """`limit` bytes of so many; 0 is all."""
    return min(length, limit) if limit else length


def most(level: Level) -> int:
    """Bytes that a mirror copies of a frame at that level; 0 is as many as were asked for."""
    return level.most if level.one_in == 1 else 0


def ladder(possible: Collection[Level], snaplen: int) -> tuple[Level, ...]:
    """The levels of a mirror: between the ends those `possible` that keep less than the `snaplen` asked for, 0 all."""
    asked = snaplen or float("inf")
    return (Level.FULL, *(level for level in BETWEEN if level in possible and most(level) < asked), Level.STOPPED)


def govern(policy: Policy, governed: GovernedMirror, levels: Sequence[Level]) -> Governor:
    """Who looks after it, once a second.

    How many frames are copied is no matter: whoever mirrors hands them on, and does not keep each.
    """
    policy = replace(policy, busy_packets=float("inf"))
    return Governor(policy, governed, levels, window=_WINDOW, cuts=False)
