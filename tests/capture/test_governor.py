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
BUSY = replace(QUIET, packets=15_000, rate=5e9, whole=5e9, cpu=0.4, psi_cpu=0.6)


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


CROWD = replace(BUSY, packets=50_000, rate=8e9, whole=8e9)


def test_a_crowd_of_packets_is_sampled_at_once_where_processors_are_short() -> None:
    """Each costs, however little of it is kept."""
    (at, level, reason), *others = walk([CROWD] * 3)
    assert (at, level) == (0, Level.SAMPLED)
    assert reason.endswith("(limit 25 %), and the capture copies 8 Gbit/s, 50,000 packets/s")
    assert [to for _, to, _ in others] == [Level.STOPPED]  # it was no help
    small = replace(QUIET, packets=50_000, rate=50e6, whole=50e6, psi_cpu=0.6)
    assert walk([small])[0][1:] == (
        Level.SAMPLED,
        "tasks wait for a processor 60 % of the time (limit 25 %), and the capture keeps 50,000 packets/s",
    )


def test_a_crowd_is_judged_as_it_comes_where_a_moment_gives_the_reason() -> None:
    assert sudden(replace(CROWD, part=0.2)) is Level.SAMPLED
    assert sudden(replace(CROWD, part=0.2, packets=15_000)) is Level.SLICED


def test_a_crowd_is_no_reason_without_pressure_nor_where_disks_are_short() -> None:
    assert walk([replace(CROWD, psi_cpu=0.0)] * 9) == []
    assert walk([replace(CROWD, psi_cpu=0.0, rate=13e9)])[0][1] is Level.SLICED
    assert walk([replace(CROWD, psi_cpu=0.0, psi_io=0.9, disk=900e6)])[0][1] is Level.SLICED


def test_a_flood_of_small_packets_is_no_reason_to_stop_a_sample() -> None:
    flood = replace(QUIET, packets=1e6, rate=0.5e9, whole=0.5e9, psi_cpu=0.6)
    sample = replace(flood, packets=flood.packets / 16, rate=flood.rate / 16)
    assert [level for _, level, _ in walk([flood, *[sample] * 200])] == [Level.SAMPLED]


def test_a_sample_of_a_crowd_stays_one_while_processors_are_short() -> None:
    sample = replace(CROWD, packets=CROWD.packets / 16, rate=5e6, whole=CROWD.whole / 16, cpu=0.05)
    assert [level for _, level, _ in walk([CROWD, *[sample] * 100])] == [Level.SAMPLED]
    calm = replace(sample, psi_cpu=0.1)
    assert [level for _, level, _ in walk([CROWD, *[calm] * 40])] == [Level.SAMPLED, Level.HEADERS]


def sudden(each: Readings) -> Level | None:
    """What is stepped to when only a shorter stretch of time gives a reason."""
    step = decide(DEFAULT, State(), 0.0, QUIET, [each])[1]
    return step[0] if step else None


def test_as_much_as_the_whole_window_may_have_need_not_be_waited_for() -> None:
    """Copying 5 Gbit/s for a fifth of a second is 1 Gbit/s over a second, whatever the rest of it brings."""
    assert sudden(replace(BUSY, part=0.2, rate=5.1e9)) is Level.SLICED
    assert sudden(replace(FLOOD, part=0.5, rate=25e9)) is Level.SLICED
    assert sudden(replace(QUIET, part=0.2, rate=5.1e9, drops=501)) is Level.SLICED


def test_a_mere_burst_is_no_reason() -> None:
    assert sudden(replace(BUSY, part=0.2, rate=4.9e9)) is None
    assert sudden(replace(FLOOD, part=0.5, rate=23e9)) is None
    assert sudden(replace(QUIET, part=0.2, rate=5.1e9, drops=499)) is None


def test_pressure_has_to_be_steep_where_it_is_read_over_a_moment() -> None:
    assert sudden(replace(BUSY, part=0.2, rate=6e9, psi_cpu=0.3)) is None
    assert sudden(replace(BUSY, part=0.2, rate=6e9, psi_cpu=0.4)) is Level.SLICED
    assert sudden(replace(BUSY, part=1.0, rate=6e9, psi_cpu=0.3)) is Level.SLICED


def test_a_moment_is_no_reason_to_step_up_or_to_hold_calm_up() -> None:
    state, now = State(level=Level.SLICED, stepped=0.0), 1.0
    while state.level is Level.SLICED:
        state, _ = decide(DEFAULT, state, now, QUIET, [replace(QUIET, part=0.2, rate=4e9, psi_cpu=0.9)])
        now += 1
    assert (state.level, now) == (Level.FULL, CALM + 2)


@pytest.mark.parametrize(
    ("size", "level"), [(1500, Level.SLICED), (286, Level.SLICED), (200, Level.HEADERS), (100, Level.SAMPLED)]
)
def test_a_level_that_would_cut_nothing_is_left_out(size: int, level: Level) -> None:
    assert [to for _, to, _ in walk([replace(FLOOD, packets=FLOOD.rate / 8 / size)])] == [level]


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
    part=st.floats(0.01, 1),
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
        passed = rungs[rungs.index(before) + 1 : rungs.index(level)]
        assert full_disk or all(each.one_in == 1 for each in passed)
        assert full_disk or now - last >= SETTLE
        if level < before:
            assert rungs.index(before) - rungs.index(level) == 1
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
