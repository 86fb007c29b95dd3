"""Watching whether mirrors deliver: counters read about once a second, judged, and a switch reminded once.

Open vSwitch goes on with flows that it computed before a mirror was there.  Where nothing or not
all is copied it is made to compute them anew, once; what is wrong after that is reported.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tapwright.control.sessions import Opened, Sessions
from tapwright.errors import TapwrightError
from tapwright.plan.counts import Counts
from tapwright.plan.points import PointKind
from tapwright.plan.steps import Found, Step
from tapwright.providers.base import Meter
from tapwright.tap.delivery import Asked, News, Outcome, Reading, Verdict, judge, kept

_CURABLE = frozenset({Outcome.STALE, Outcome.ONE_WAY, Outcome.NONE})
_SHARE = 0.1
"""Of the time that goes into looking, at most."""
_UNSEEN = Verdict(Outcome.UNKNOWN, "not looked at yet")
_UNCOUNTED = Verdict(Outcome.UNKNOWN, "its provider counts nothing")
_INSPECTED_EVERY = 5.0
"""Seconds between two looks at whether the mirror is still as it was made."""


@dataclass(frozen=True, slots=True)
class Received:
    """What arrived of a mirror where we collect it ourselves."""

    frames: int
    cut: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is known of one mirror's copies."""

    opened: Opened
    verdict: Verdict
    revalidated: bool = False
    """Whether the switch had to be reminded of the mirror."""


@dataclass(slots=True)
class _Watched:
    """One mirror while it is watched."""

    opened: Opened
    meter: Meter
    asked: Asked
    steps: tuple[Step, ...]
    """What it was opened by, as it should be in the world by now."""
    readings: tuple[Reading, ...] = ()
    verdict: Verdict = _UNSEEN
    revalidated: bool = False
    inspected: float = float("-inf")
    changed: str = ""
    """What differs from how the mirror was made, as found last."""
    gone: bool = False


@dataclass(slots=True)
class Deliveries:
    """Of all mirrors of a session whose provider counts."""

    _watched: list[_Watched] = field(default_factory=list)
    _clock: Callable[[], float] = time.monotonic
    _due: float = float("-inf")
    _looked: float = 0.0
    """Of the last look, in seconds since 1970."""

    @classmethod
    def of(
        cls,
        sessions: Sessions,
        mirrors: Sequence[Opened],
        largest: Mapping[Opened, tuple[int, str]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Deliveries:
        """`largest` has for a mirror the largest frame whose copy arrives whole, and what becomes of larger ones."""
        outlets = Counter(map(_outlet, mirrors))
        watched = []
        for opened in mirrors:
            meter = sessions.meter(opened.mirror.point.provider)
            if meter is not None:
                size, beyond = (largest or {}).get(opened, (0, ""))
                shared = opened.mirror.point.kind is PointKind.MIRROR and outlets[_outlet(opened)] > 1
                asked = Asked(opened.mirror.direction, _filtered(opened), shared, size, beyond)
                watched.append(_Watched(opened, meter, asked, opened.steps))
        return cls(watched, clock)

    def look(self, received: Mapping[Opened, Received] | None = None) -> tuple[Delivery, ...]:
        """Read the counters and judge, reminding a switch where that may help; never raises TapwrightError.

        Where many mirrors are watched it looks more rarely than it is asked to: looking costs the host something.
        """
        start = self._clock()
        if start < self._due:
            return self.latest
        for watched in self._watched:
            self._look(watched, (received or {}).get(watched.opened))
        self._due = start + (self._clock() - start) / _SHARE
        self._looked = time.time()
        return self.latest

    def reduced(self, steps_of: Callable[[Opened], tuple[Step, ...]], most: int, one_in: int) -> None:
        """From now on `most` bytes (0: all) of one frame in so many are copied, by other steps than before."""
        for watched in self._watched:
            watched.steps = steps_of(watched.opened)
            watched.asked = replace(watched.asked, filtered=one_in > 1 or _filtered(watched.opened), cut=most)
            watched.readings, watched.verdict = (), _UNSEEN

    def news(self, names: Mapping[Opened, str]) -> News:
        """As of the last look, of the mirrors with these names, for whoever lists the session."""
        found = {delivery.opened: delivery.verdict for delivery in self.latest}
        return News(self._looked, tuple((name, found.get(opened, _UNCOUNTED)) for opened, name in names.items()))

    @property
    def latest(self) -> tuple[Delivery, ...]:
        """As of the last look."""
        return tuple(Delivery(each.opened, each.verdict, each.revalidated) for each in self._watched)

    def _look(self, watched: _Watched, received: Received | None) -> None:
        now = self._clock()
        try:
            counts = watched.meter.measured(watched.opened.steps)
            self._inspect(watched, now)
        except TapwrightError as error:
            watched.verdict = Verdict(Outcome.UNKNOWN, error.line)
            return
        reading = Reading(now, counts, received.frames if received else None, received.cut if received else 0)
        watched.readings = kept(watched.readings, reading)
        watched.verdict = judge(watched.readings, watched.asked)
        if watched.changed:
            watched.verdict = _explained(watched, counts)
        elif watched.verdict.outcome in _CURABLE and not watched.asked.revalidated:
            self._remind(watched)

    def _inspect(self, watched: _Watched, now: float) -> None:
        """Whether somebody changed the mirror."""
        if now < watched.inspected + _INSPECTED_EVERY:
            return
        watched.inspected = now
        findings = [watched.meter.found(step) for step in watched.steps]
        odd = [f for f in findings if f.found in (Found.CHANGED, Found.ABSENT) or (f.found is Found.THERE and f.detail)]
        watched.gone = any(f.found is Found.ABSENT for f in odd)
        words = {Found.ABSENT: "the mirror is gone", Found.CHANGED: "somebody changed it"}
        watched.changed = "; ".join(": ".join(filter(None, (words.get(f.found, ""), f.detail))) for f in odd)

    def _remind(self, watched: _Watched) -> None:
        watched.asked = replace(watched.asked, revalidated=True)
        try:
            reminded = watched.meter.revalidate(watched.opened.steps)
        except TapwrightError:  # the verdict stands, and the next look says what the switch does not
            return
        if reminded:
            watched.revalidated = True
            # What was counted before says nothing about what it does now.
            watched.readings = watched.readings[-1:]
        else:
            watched.verdict = judge(watched.readings, watched.asked)


def _filtered(opened: Opened) -> bool:
    """Whether fewer copies than frames are no fault; where others count them than the frames, how many is not known."""
    provider = opened.mirror.point.provider
    some = bool(opened.mirror.program or opened.mirror.vlans)
    return some or any(step.do.provider != provider for step in opened.steps)


def _outlet(opened: Opened) -> tuple[str, ...]:
    """Where a switch's mirrors meet; a device of our own is one mirror's alone."""
    mirror = opened.mirror
    own = [step.do.text("device") for step in opened.steps]
    # A controller's mirror is not one switch's.
    switch = "" if mirror.point.elsewhere else mirror.point.switch
    return mirror.point.provider, switch, mirror.target.text, *own


def _explained(watched: _Watched, counts: Counts) -> Verdict:
    """With what differs; a switch may go on copying by flows that it computed before."""
    if not counts.copies and (watched.gone or not counts.why):
        return Verdict(Outcome.NONE, watched.changed)
    return replace(watched.verdict, reason=f"{watched.verdict.reason}; {watched.changed}")
