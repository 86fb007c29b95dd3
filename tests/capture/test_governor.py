"""The governor as a function: hand it readings, look at what it decides."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapwright.capture.governor import (
    CALM,
    LONGEST_CALM,
    SETTLE,
    Level,
    Readings,
    Reserve,
    State,
    decide,
    expected,
    ladder,
    reasons,
)
from tapwright.capture.policy import DEFAULT

QUIET = Readings(
    packets=1000, rate=8e6, whole=8e6, cpu=0.01, disk=1e6, free=10**9,
    psi_cpu=0.0, psi_io=0.0, psi_memory=0.0, psi_full=0.0, steal=0.0, drops=0.0, softnet=0.0,
)  # fmt: skip
FLOOD = replace(QUIET, packets=300_000, rate=20e9, whole=20e9, cpu=0.5)
BUSY = replace(QUIET, packets=30_000, rate=5e9, whole=5e9, cpu=0.4, psi_cpu=0.6)


def walk(readings: list[Readings], tick: float = 1.0, state: State | None = None) -> list[tuple[float, Level, str]]:
    """Every step made while these are read, one after another."""
    state = state or State()
    made = []
    for number, each in enumerate(readings):
        state, step = decide(DEFAULT, state, number * tick, each)
        if step:
            made.append((number * tick, *step))
    return made


def test_a_quiet_capture_stays_full_for_ever() -> None:
    assert walk([QUIET] * 1000) == []


def test_what_breaks_a_limit_steps_down_and_says_which() -> None:
    (at, level, reason), *_ = walk([FLOOD])
    assert (at, level) == (0, Level.SLICED)
    assert reason == "copying 20 Gbit/s (limit 12 Gbit/s)"


def test_pressure_counts_only_where_the_capture_is_a_part_of_it() -> None:
    assert walk([replace(QUIET, psi_cpu=1.0, psi_io=1.0, psi_memory=1.0, psi_full=1.0, steal=0.9, drops=1e6)] * 9) == []
    (_, level, reason), *_ = walk([BUSY])
    assert level is Level.SLICED
    assert reason == "tasks wait for a processor 60 % of the time (limit 25 %), and the capture copies 5 Gbit/s"


@pytest.mark.parametrize("name", ["psi_cpu", "steal", "drops", "softnet"])
def test_each_pressure_on_processors_is_heard(name: str) -> None:
    calm = replace(BUSY, psi_cpu=0.0)
    assert not list(reasons(DEFAULT, calm))
    assert list(reasons(DEFAULT, replace(calm, **{name: 10 * getattr(DEFAULT, name)})))


@pytest.mark.parametrize("name", ["psi_io", "psi_memory", "psi_full"])
def test_each_pressure_on_disks_is_heard_by_who_writes(name: str) -> None:
    writing = replace(QUIET, disk=200e6)
    assert not list(reasons(DEFAULT, writing))
    assert list(reasons(DEFAULT, replace(writing, **{name: 1.0})))
    assert not list(reasons(DEFAULT, replace(QUIET, **{name: 1.0})))


def test_one_level_at_a_time_and_time_for_it_to_show() -> None:
    made = walk([replace(BUSY)] * 40, tick=0.25)
    assert [level for _, level, _ in made] == [Level.SLICED, Level.HEADERS, Level.SAMPLED, Level.STOPPED]
    assert all(later - earlier >= SETTLE for (earlier, *_), (later, *_) in pairwise(made))


def test_a_full_disk_ends_it_at_once() -> None:
    made = walk([replace(QUIET, free=-1)] * 3)
    assert [level for _, level, _ in made] == [Level.STOPPED]


def test_calm_brings_it_back_one_level_at_a_time() -> None:
    made = walk([BUSY, BUSY] + [QUIET] * 200)
    assert [level for _, level, _ in made] == [Level.SLICED, Level.HEADERS, Level.SLICED, Level.FULL]
    assert all(later - earlier >= CALM for (earlier, *_), (later, *_) in pairwise(made[1:]))


def test_it_does_not_go_back_to_what_it_left_for() -> None:
    """At `sliced` the copying is little; what it would be again is known from the packets' lengths."""
    sliced = replace(FLOOD, rate=600e6, whole=20e9, cpu=0.05)
    assert [level for _, level, _ in walk([FLOOD] + [sliced] * 2000)] == [Level.SLICED]


def test_a_relapse_doubles_the_time() -> None:
    state, now, ups = State(), 0.0, []
    for _ in range(3000):
        state, step = decide(DEFAULT, state, now, BUSY if state.level is Level.FULL else QUIET)
        ups += [now] if step and step[0] is Level.FULL else []
        now += 1
    waits = [later - earlier for earlier, later in pairwise(ups)]
    assert waits == sorted(waits)
    assert waits[0] >= 2 * CALM
    assert max(waits) <= LONGEST_CALM + 2


def test_what_was_asked_for_already_is_no_level() -> None:
    full, sampled, stopped = Level.FULL, Level.SAMPLED, Level.STOPPED
    assert ladder(262_144) == tuple(Level)
    assert ladder(200) == (full, Level.HEADERS, sampled, stopped)
    assert ladder(96) == (full, sampled, stopped) == ladder(262_144, cuts=False)


def test_a_disk_keeps_a_reserve_unless_it_is_tiny() -> None:
    reserve = Reserve(1 << 30)
    assert reserve.of(1 << 40) == 1 << 30
    assert reserve.of(10 << 30) == (10 << 30) // 50
    assert reserve.of(1 << 20) == 0
    assert Reserve(0).of(1 << 40) == 0


share = st.none() | st.floats(0, 1)
amount = st.floats(0, 1e12)
anything = st.builds(
    Readings,
    packets=amount, rate=amount, whole=amount, cpu=st.floats(0, 4), disk=amount,
    free=st.none() | st.integers(-10, 10**13),
    psi_cpu=share, psi_io=share, psi_memory=share, psi_full=share, steal=share,
    drops=st.none() | amount, softnet=st.none() | amount,
)  # fmt: skip
ladders = st.sampled_from([ladder(262_144), ladder(200), ladder(96)])


@given(st.lists(st.tuples(st.floats(0, 100), anything), max_size=60), ladders)
def test_whatever_is_read(story: list[tuple[float, Readings]], rungs: tuple[Level, ...]) -> None:
    state, now, last = State(ladder=rungs), 0.0, float("-inf")
    for pause, each in story:
        now += pause
        before = state.level
        state, step = decide(DEFAULT, state, now, each)
        assert CALM <= state.patience <= LONGEST_CALM
        if step is None:
            assert state.level is before
            continue
        level, reason = step
        assert reason
        assert state.level is level is not before
        assert before is not Level.STOPPED
        full_disk = level is Level.STOPPED and each.free is not None and each.free < 0
        assert full_disk or abs(rungs.index(level) - rungs.index(before)) == 1
        assert full_disk or now - last >= SETTLE
        if level < before:
            assert now - last >= CALM
            assert not list(reasons(DEFAULT, each))
        elif not full_disk:
            assert list(reasons(DEFAULT, each))
        last = now


@given(anything, st.sampled_from(Level), st.sampled_from(Level))
def test_what_is_expected_one_level_up_is_never_less(each: Readings, one: Level, other: Level) -> None:
    above, level = sorted((one, other))
    if level is Level.STOPPED:
        return
    each = replace(each, rate=min(each.rate, each.whole, each.packets * level.most * 8 if level.most else each.whole))
    grown = expected(each, level, above)
    assert grown.rate >= each.rate * 0.999
    assert grown.packets >= each.packets
