"""A mirror as the governor sees it: it can be sampled or stopped, and nobody says how many bytes it copied.

    full       every frame
    sampled    one frame in sixteen, by chance, where all its mirrors are made by tc: their filters ask for a number
    stopped    none; the mirror is undone

Frames are never cut: who copies by tc hands the frame itself on.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from tapwright import _core
from tapwright.capture.governor import Decision, Level
from tapwright.capture.policy import Policy
from tapwright.capture.readings import Own
from tapwright.control.governor import Governor
from tapwright.errors import TapwrightError
from tapwright.plan.points import Point

_WINDOW = 5.0
"""Seconds: a mirror that is stopped does not come back, so a moment is not enough."""
_UNKNOWN = 1500
"""Bytes of a frame, where no device of its port tells how long they are."""


class GovernedMirror:
    """An open mirror; `copied` is how many frames were, which whoever reads it sets before each look."""

    def __init__(
        self, points: Iterable[Point], snaplen: int, sample: Callable[[int], None], stop: Callable[[], object]
    ) -> None:
        """`snaplen` is what the mirror keeps of a frame, 0 all; `sample` has it copy one frame in so many.

        `stop` asks for its end.
        """
        by_netns: defaultdict[str, list[int]] = defaultdict(list)
        for point in points:
            if point.device:
                by_netns[point.netns.path].append(point.device.index)
        self.copied = 0
        self.failed = ""
        """Why a step could not be made, and it was stopped instead."""
        self._ports = list(by_netns.items())
        self._snaplen = snaplen
        self._sample = sample
        self._stop = stop
        self._began = time.monotonic()
        self._start = self._counted()

    def own(self) -> Own:
        """The frames copied, each taken to be as long as those of its ports are on the average."""
        now, whole = time.monotonic() - self._began, self._length()
        kept = min(whole, self._snaplen) if self._snaplen else whole
        return Own(now, self.copied, round(self.copied * kept), round(self.copied * kept))

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
                self._sample(decision.after.one_in)
            except TapwrightError as error:
                self.failed = error.line
        if decision.after is Level.STOPPED or self.failed:
            self._stop()


def ladder(*, sampled: bool) -> tuple[Level, ...]:
    """The levels of a mirror, with or without a sample between."""
    return (Level.FULL, Level.SAMPLED, Level.STOPPED) if sampled else (Level.FULL, Level.STOPPED)


def govern(policy: Policy, governed: GovernedMirror, levels: Sequence[Level]) -> Governor:
    """Who looks after it, once a second."""
    return Governor(policy, governed, levels, window=_WINDOW, cuts=False)
