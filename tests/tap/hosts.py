"""A real host on which mirrors are killed: what it can mirror, and whether a sweep left it as it was."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from support.traces import difference
from tap.calls import Watched
from tap.victims import Life, Tick, WatchedJournal
from tapwright.plan.steps import Found, Mark, Step
from tapwright.providers.base import Reducer, Tapper
from tapwright.tap import owner
from tapwright.tap.arm import arm, disarm, intended, redone
from tapwright.tap.journal import Journal
from tapwright.tap.session import Session, State
from tapwright.tap.sweep import Swept, sweep

NOW = 1_000_000.0
LEASE = 60.0
Case = Callable[[Mark], Sequence[Step]]
"""The steps of one mirror, for a session's mark."""
Vanishing = tuple[Case, Callable[[], object]]
"""A mirror, and what makes vanish what it depends on."""


@dataclass(frozen=True)
class Host:
    """A host, what can be mirrored on it, and a folder for the journals of its victims."""

    tappers: Sequence[Tapper]
    """All whose steps a mirror may have."""
    look: Callable[[], str]
    """All that a mirror could leave, but for what changes by itself."""
    cases: Mapping[str, Case]
    state: Path
    netns: str
    longest: Sequence[str]
    """Those cases that together do all that there is to do."""
    pair: tuple[str, str]
    """Two of the same port or device."""
    vanishing: Sequence[Callable[[], AbstractContextManager[Vanishing]]]
    """Mirrors of what is gone before they are; by the end of the block the host is as before, but for the mirror."""
    rarer: int = 1
    """How many times fewer faults than elsewhere there are, where not every one is asked for."""
    few: Sequence[str] = ()
    """The cases that are enough then; empty is all."""

    def among(self, every: bool) -> Sequence[str]:
        """The cases to go through."""
        return tuple(self.cases) if every or not self.few else self.few

    def some(self, count: int, one_in: int, every: bool, first: int = 0) -> range:
        """The points of `count` at which to kill; `first` tells cases apart, that together they meet the more."""
        step = 1 if every else one_in * self.rarer
        return range(first * 7 % step, count, step)

    def often(self, times: int) -> int:
        """So often, or fewer."""
        return max(1, times // self.rarer)

    def tapper_of(self, name: str) -> Tapper:
        """As a session asks for it."""
        return next(tapper for tapper in self.tappers if tapper.name == name)

    def found(self, step: Step) -> Found:
        """What is left of a step."""
        return self.tapper_of(step.do.provider).found(step).found

    def session(self, case: str) -> Session:
        """One to be, owned by whoever asks."""
        return Session(os.urandom(4).hex(), owner.own(), case, NOW, LEASE, NOW + LEASE)

    def life(self, case: str | Case) -> Life:
        """Open that mirror and close it."""
        return lambda tick: self._live(tick, self.cases[case] if isinstance(case, str) else case)

    def _live(self, tick: Tick, case: Case) -> None:
        watched = self._watched(tick)
        session, journal = self.session("a mirror"), WatchedJournal(self.state, tick)
        running = arm(journal, session, tuple(case(session.mark)), watched.__getitem__)
        disarm(journal, running, watched.__getitem__)

    def stepping_life(self, case: str, *levels: tuple[int, int]) -> Life:
        """Open that mirror, copy so many bytes of one frame in so many, for each level in turn, and close it."""
        return lambda tick: self._live_stepping(tick, self.cases[case], levels)

    def _live_stepping(self, tick: Tick, case: Case, levels: Sequence[tuple[int, int]]) -> None:
        watched = self._watched(tick)
        session, journal = self.session("a mirror"), WatchedJournal(self.state, tick)
        steps = tuple(case(session.mark))
        running = arm(journal, session, steps, watched.__getitem__)
        for level in levels:
            present = [entry.step for entry in running.entries]
            changed = {n: other for n, step in enumerate(steps) if (other := self._reduced(step, present[n], level))}
            running = redone(
                journal, intended(journal, running, changed, watched.__getitem__), tuple(changed), watched.__getitem__
            )
        disarm(journal, running, watched.__getitem__)

    def _reduced(self, step: Step, before: Step, level: tuple[int, int]) -> Step | None:
        tapper = self.tapper_of(step.do.provider)
        assert isinstance(tapper, Reducer)
        return tapper.reduced(step, before, *level)

    def _watched(self, tick: Tick) -> dict[str, Watched]:
        return {tapper.name: Watched(tapper, tick) for tapper in self.tappers}

    def sweeper(self, tick: Tick) -> None:
        """Sweep once every lease is over."""
        watched = self._watched(tick)
        journal = WatchedJournal(self.state, tick)
        sweep(journal, tuple(watched.values()), watched.__getitem__, owner.fate, NOW + LEASE)

    def sweep(self, now: float = NOW + LEASE) -> Swept:
        return sweep(Journal(self.state), self.tappers, self.tapper_of, owner.fate, now)

    def fresh(self) -> None:
        """Forget what was."""
        shutil.rmtree(self.state, ignore_errors=True)

    def spared(self, where: str) -> None:
        """Nothing is undone while a lease lasts."""
        left = self.look()
        assert self.sweep(NOW + LEASE - 1).sentence == "", where
        assert not difference(left, self.look()), where

    def check(self, before: str, where: str) -> None:
        """A sweep leaves nothing and keeps nothing back, and a second one has nothing to do."""
        swept = self.sweep()
        assert (swept.failed, swept.kept) == ((), ()), where
        self.settled(before, where)
        assert all(session.state is State.CLOSED for session in Journal(self.state).sessions()), where
        assert self.sweep().sentence == "", where

    def settled(self, before: str, where: str) -> None:
        """The host is as before; Open vSwitch may publish a moment later what it did."""
        deadline = time.monotonic() + 20
        while (changed := difference(before, self.look())) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not changed, f"{where}\n{changed}"
