"""Kill -9 at every boundary and at any instant: after a sweep the world is as before, byte for byte."""

import os
import random
import shutil
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tap.victims import Tick, WatchedJournal, WatchedWorld, killed_after, killed_at, points_of
from tap.world import World, contents, steps, strangers
from tapwright.errors import ProviderError
from tapwright.tap import owner
from tapwright.tap.arm import arm, disarm
from tapwright.tap.journal import Journal
from tapwright.tap.session import Session, State
from tapwright.tap.sweep import Swept, sweep

NOW = 1_000_000.0
LEASE = 60.0
PORTS = ("vnet0", "vnet1")


class Place:
    """A state folder and a world, made anew for each victim."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fresh(self) -> dict[str, bytes]:
        shutil.rmtree(self._folder, ignore_errors=True)
        return contents(strangers(self.world))

    @property
    def world(self) -> Path:
        return self._folder / "world"

    @property
    def state(self) -> Path:
        return self._folder / "state"

    def live(self, tick: Tick) -> None:
        """Open a session with four steps and close it."""
        self._live(tick, set())

    def fail(self, tick: Tick) -> None:
        """Its last step cannot be done."""
        with suppress(ProviderError):
            self._live(tick, {"attach"})

    def _live(self, tick: Tick, broken: set[str]) -> None:
        world = WatchedWorld(self.world, tick)
        world.broken = broken
        session = Session(os.urandom(4).hex(), owner.own(), "a mirror", NOW, LEASE, NOW + LEASE)
        journal = WatchedJournal(self.state, tick)
        disarm(journal, arm(journal, session, steps(session.mark, *PORTS), lambda _: world), lambda _: world)

    def sweeper(self, tick: Tick) -> None:
        world = WatchedWorld(self.world, tick)
        sweep(WatchedJournal(self.state, tick), [world], lambda _: world, owner.fate, NOW + LEASE)

    def sweep(self, now: float = NOW + LEASE) -> Swept:
        world = World(self.world)
        return sweep(Journal(self.state), [world], lambda _: world, owner.fate, now)

    def check(self, before: dict[str, bytes], where: str) -> None:
        """Nothing happens while the lease lasts; after it nothing is left, and a second sweep has nothing to do."""
        left = contents(self.world)
        assert self.sweep(NOW + LEASE - 1).sentence == "", where
        assert contents(self.world) == left, where
        swept = self.sweep()
        assert contents(self.world) == before, where
        assert (swept.failed, swept.kept) == ((), ()), where
        assert all(session.state is State.CLOSED for session in Journal(self.state).sessions()), where
        assert self.sweep().sentence == "", where


@pytest.fixture
def place(in_memory: Path) -> Place:
    return Place(in_memory / "host")


def test_at_every_boundary_of_a_life(place: Place) -> None:
    before = place.fresh()
    names = points_of(place.live)
    assert contents(place.world) == before
    assert len(names) >= 70
    for number, name in enumerate(names):
        place.fresh()
        assert killed_at(place.live, number) == name
        place.check(before, f"{number}: {name}")


def test_at_every_boundary_of_a_life_that_fails(place: Place) -> None:
    before = place.fresh()
    names = points_of(place.fail)
    assert contents(place.world) == before
    for number, name in enumerate(names):
        place.fresh()
        assert killed_at(place.fail, number) == name
        place.check(before, f"{number}: {name}")


@pytest.mark.parametrize("victim", ["middle", "after running"])
def test_at_every_boundary_of_the_sweep_itself(place: Place, victim: str) -> None:
    before = place.fresh()
    died = points_of(place.live).index(victim)
    place.fresh()
    killed_at(place.live, died)
    names = points_of(place.sweeper)
    assert contents(place.world) == before
    for number, name in enumerate(names):
        place.fresh()
        killed_at(place.live, died)
        assert killed_at(place.sweeper, number) == name
        place.check(before, f"{number}: {name}")


def test_at_every_boundary_with_the_journal_lost(place: Place) -> None:
    """The marks are enough."""
    before = place.fresh()
    names = points_of(place.live)
    for number in range(0, len(names), 3):
        place.fresh()
        killed_at(place.live, number)
        shutil.rmtree(place.state, ignore_errors=True)
        place.check(before, f"{number}: {names[number]}")


def test_at_any_instant(place: Place) -> None:
    chance = random.Random(4)
    before = place.fresh()
    start = time.monotonic()
    place.live(lambda _name: None)
    longest = time.monotonic() - start
    for number in range(80):
        place.fresh()
        killed_after(place.live, longest * 1.2, chance)
        if number % 2:
            killed_after(place.sweeper, longest / 2, chance)
        place.check(before, f"instant {number}")


def test_several_at_once(place: Place) -> None:
    """Victims beside one that lives: its mirror stays."""
    place.fresh()
    world = World(place.world)
    mine = Session("aaaaaaaa", owner.own(), "a mirror that stays", NOW, LEASE, NOW + LEASE)
    journal = Journal(place.state)
    mine = arm(journal, mine, steps(mine.mark, "vnet9"), lambda _: world)
    during = contents(place.world)
    names = points_of(place.live)
    for number in range(5, len(names), 9):
        killed_at(place.live, number)
    assert len(place.sweep().sessions) >= 8
    assert contents(place.world) == during
    assert [s.id for s in Journal(place.state).sessions() if s.state is not State.CLOSED] == ["aaaaaaaa"]
    disarm(journal, mine, lambda _: world)
    assert "vnet9" not in (place.world / "bridge").read_text()
