"""The governor at work: looks at the host and at what it governs, and has it step down or up.

What is governed is a `Governed`: a running capture here, a mirror elsewhere. `Governor.tick` is one look; for a
capture a thread of its own calls it up to ten times a second (`watch`).
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from tapwright import _core
from tapwright.adapters import pressure
from tapwright.capture.files import disk_of
from tapwright.capture.governor import LADDER, Decision, Level, Readings, Reserve, State, decide, idle
from tapwright.capture.level import filters
from tapwright.capture.policy import Policy
from tapwright.capture.readings import Own, Sample, readings
from tapwright.capture.request import Source

TICK = 0.1
"""Seconds between two looks, or more where they take long."""
_IDLE = 0.25
"""The same while there is hardly anything to govern: a look costs a millisecond of a processor."""
_WINDOW = 1.0
"""Seconds that readings are taken over."""
_LEAST = 0.18
"""Less of the window tells nothing: two ticks."""
_AFTER = 0.2
"""Of the window, after a step: what the ring and the counters hold from before it says nothing of what it does."""
_SAMPLED = 2.0
"""The same of a sample: whenever we wake up, VMs that want all processors are moved or wait, however short the look."""
_SHARE = 50
"""A look may take one part in so many of the time, and so may reading the ports' counters."""
_DROPS_EVERY = 1.0


class Governed(Protocol):
    """What can do with less."""

    def own(self) -> Own:
        """What it has done since it began."""

    def dropped(self) -> int | None:
        """Packets that the ports it looks at have dropped; None where that cannot be read."""

    def space(self) -> tuple[int, int] | None:
        """Bytes free on the disk it writes to, and that disk's size; None where it writes to none."""

    def apply(self, decision: Decision) -> None:
        """Do as was decided."""


class Governor:
    """Decides for one `Governed`; not for several threads at once."""

    def __init__(
        self,
        policy: Policy,
        governed: Governed,
        ladder: Sequence[Level] = LADDER,
        window: float = _WINDOW,
        *,
        cuts: bool = True,
    ) -> None:
        """Readings are taken over `window` seconds; `cuts` tells whether a sample is cut, too."""
        self.policy = policy
        self.decisions: tuple[Decision, ...] = ()
        """Every step so far."""
        self.latest = Readings()
        """What was read last."""
        self._governed = governed
        self._window = window
        self._cuts = cuts
        self._reserve = Reserve(policy.free)
        self._state = State(ladder=tuple(ladder))
        self._samples: deque[Sample] = deque()
        self._drops: tuple[float, int | None] = (float("-inf"), None)
        self._due = float("-inf")
        """When the next look is."""

    @property
    def level(self) -> Level:
        """How much is kept now."""
        return self._state.level

    @property
    def stopped(self) -> bool:
        """Whether nothing is kept any more."""
        return self.level is Level.STOPPED

    @property
    def pause(self) -> float:
        """Seconds until the next look is due."""
        return max(TICK, self._due - time.monotonic())

    def tick(self) -> Decision | None:
        """Look, decide, and have it done; the decision where there was one."""
        now = time.monotonic()
        if now < self._due:
            return None
        self._samples.append(self._sample(now))
        self._due = now + (time.monotonic() - now) * _SHARE
        # Whoever is looked at more rarely than once in a window is judged by all the time since the last look.
        while len(self._samples) > 2 and now - self._samples[1].time >= self._window - TICK / 2:
            self._samples.popleft()
        if not (stretches := self._stretches()):
            return None
        self.latest, *sudden = stretches
        before = self._state.level
        self._state, step = decide(self.policy, self._state, now, self.latest, sudden)
        if step:
            return self._do(before, *step)
        if self.level is Level.SAMPLED and self.latest.part >= 1.0:
            self._due = max(self._due, now + _SAMPLED)
        elif idle(self.policy, self.latest):
            self._due = max(self._due, now + _IDLE)
        return None

    def _stretches(self) -> list[Readings]:
        """What was read over each stretch of time up to now that is long enough, the longest first."""
        *earlier, last = self._samples
        long = (each for each in earlier if last.time - each.time >= _LEAST * self._window)
        return [readings(each, last, self._window) for each in long]

    def _do(self, before: Level, after: Level, reason: str) -> Decision:
        """What was read at the level before says nothing of the next one."""
        self._samples.clear()
        decision = Decision(time.time(), before, after, reason, self._cuts)
        self.decisions += (decision,)
        self._governed.apply(decision)
        self._due = time.monotonic() + _AFTER * self._window
        return decision

    def _sample(self, now: float) -> Sample:
        space = self._governed.space()
        free = space[0] - self._reserve.of(space[1]) if space else None
        return Sample(now, self._governed.own(), pressure.read(), self._dropped(now), free)

    def _dropped(self, now: float) -> int | None:
        due, count = self._drops
        if now >= due:
            count = self._governed.dropped()
            took = time.monotonic() - now
            self._drops = (now + max(_DROPS_EVERY, took * _SHARE), count)
        return count


class GovernedCapture:
    """A running engine as the governor sees it."""

    def __init__(self, engine: _core.Engine, sources: Sequence[Source], snaplen: int, path: str) -> None:
        """`path` is the file's, or ""."""
        self._engine = engine
        self._sources = sources
        self._snaplen = snaplen
        self._path = path
        by_netns: defaultdict[str, list[int]] = defaultdict(list)
        for netns, index in dict.fromkeys((source.netns, source.index) for source in sources):
            by_netns[netns].append(index)
        self._ports = list(by_netns.items())

    def own(self) -> Own:
        """The engine's own counts, at most a tenth of a second old."""
        stats = self._engine.stats()
        each = stats.sources
        return Own(
            stats.elapsed,
            sum(s.written for s in each),
            sum(s.written_bytes for s in each),
            sum(s.whole_bytes for s in each),
            stats.cpu,
            stats.file_bytes if self._path else 0,
        )

    def dropped(self) -> int | None:
        """By the captured devices, in both directions."""
        try:
            found = [each for netns in _core.link_counters(self._ports) for each in netns if each]
        except OSError:
            return None
        return sum(counters[2] + counters[6] for counters in found) if found else None

    def space(self) -> tuple[int, int] | None:
        """Of the disk that the file is on."""
        return disk_of(self._path) if self._path else None

    def apply(self, decision: Decision) -> None:
        """Have the engine keep as much as was decided, from a moment from now on; the file tells of it."""
        after, remark = decision.after, f"tapwright {decision.text}"
        if after is Level.STOPPED:
            self._engine.step([], lowered=True, remark=remark)
            self._engine.stop(reason="governor")
            return
        wanted = filters(self._sources, after, self._snaplen)
        self._engine.step(wanted, lowered=after is not Level.FULL, remark=remark)


class Watched(Protocol):
    """What looks after itself when it is asked to."""

    def look_at_host(self) -> float | None:
        """Look, and say in how many seconds to look again; None once there is nothing to look after."""


def watch(watched: Watched) -> None:
    """Have it look again and again, in a thread that does not keep it alive."""
    reference = weakref.ref(watched)

    def run() -> None:
        pause: float | None = TICK
        while pause is not None:
            time.sleep(pause)
            there = reference()
            pause = there.look_at_host() if there else None
            del there

    threading.Thread(target=run, name="governor", daemon=True).start()


def look(path: str, seconds: float = 1.0) -> Readings:
    """What would be read now, over `seconds`, by a capture that does nothing; `free` is all that is free at `path`."""
    before = Sample(time.monotonic(), host=pressure.read())
    time.sleep(seconds)
    space = disk_of(path)
    after = Sample(time.monotonic(), host=pressure.read(), free=space[0] if space else None)
    return replace(readings(before, after), drops=None)
