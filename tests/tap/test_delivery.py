"""Whether a mirror delivers: what is said of real traffic, however late its counters are published."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapwright.plan.counts import Counts, Ways
from tapwright.plan.mirrors import Direction
from tapwright.tap.delivery import Asked, Outcome, Reading, Verdict, judge, kept

LAG = 2.0
Curve = Callable[[float], int]
"""Frames until a moment."""


def steady(rate: float, start: float = 0.0, end: float = math.inf) -> Curve:
    return lambda time: max(0, int(rate * (min(time, end) - start)))


NOTHING = steady(0)


def watched(
    into: Curve,
    out: Curve,
    copied: tuple[Curve, Curve],
    *,
    until: float = 20,
    apart: bool = True,
    received: Curve | None = None,
    failed: Curve = NOTHING,
    size: int = 100,
    late: float = 0.0,
    lag: float = LAG,
) -> tuple[Reading, ...]:
    """A reading a second, the copies counted `late`."""
    found: tuple[Reading, ...] = ()
    for time in range(int(until) + 1):
        ways = Ways(copied[0](time - late), copied[1](time - late))
        counts = Counts(
            seen=Ways(into(time), out(time)),
            copied=ways if apart else Ways(),
            total=None if apart else (ways.into or 0) + (ways.out or 0),
            seen_bytes=size * (into(time) + out(time)),
            failed=failed(time),
            lag=lag,
        )
        found = kept(found, Reading(time, counts, received(time) if received else None))
    return found


def said(outcome: Outcome, verdict: Verdict) -> str:
    assert verdict.outcome is outcome, verdict
    return verdict.reason


BUSY = steady(100)


@pytest.mark.parametrize("apart", [True, False])
def test_both_ways_are_copied(apart: bool) -> None:
    assert judge(watched(BUSY, BUSY, (BUSY, BUSY), apart=apart)).outcome is Outcome.OK
    assert judge(watched(BUSY, NOTHING, (BUSY, NOTHING), apart=apart)).outcome is Outcome.OK


@pytest.mark.parametrize("apart", [True, False])
def test_one_way_is_not_copied(apart: bool) -> None:
    many = steady(150)
    reason = said(Outcome.ONE_WAY, judge(watched(BUSY, many, (BUSY, NOTHING), apart=apart)))
    assert "what the VM sends is not copied" in reason
    reason = said(Outcome.ONE_WAY, judge(watched(BUSY, many, (NOTHING, many), apart=apart)))
    assert "what comes to the VM is not copied" in reason


def test_which_way_it_is_cannot_be_told_from_a_sum_of_two_alike() -> None:
    reason = said(Outcome.ONE_WAY, judge(watched(BUSY, BUSY, (BUSY, NOTHING), apart=False)))
    assert reason.endswith("one way is not copied")


def test_a_sum_does_not_tell_of_a_way_that_is_a_small_part_of_it() -> None:
    little = steady(10)
    reason = said(Outcome.OK, judge(watched(BUSY, little, (BUSY, NOTHING), apart=False)))
    assert reason.endswith("both ways together")
    assert judge(watched(BUSY, little, (BUSY, NOTHING))).outcome is Outcome.ONE_WAY


def test_a_way_nobody_asked_for_is_not_missed() -> None:
    readings = watched(BUSY, BUSY, (BUSY, NOTHING))
    assert judge(readings, Asked(Direction.IN)).outcome is Outcome.OK
    assert judge(readings, Asked(Direction.OUT)).outcome is not Outcome.OK


def test_copies_that_never_began() -> None:
    readings = watched(BUSY, BUSY, (NOTHING, NOTHING), apart=False)
    assert "has not begun" in said(Outcome.STALE, judge(readings))
    assert "none was copied" in said(Outcome.NONE, judge(readings, Asked(revalidated=True)))


def test_copies_that_stopped() -> None:
    stopped = steady(100, end=5)
    readings = watched(BUSY, BUSY, (stopped, stopped))
    assert "copies stopped after 1,000" in said(Outcome.STALE, judge(readings, Asked(revalidated=True)))


@pytest.mark.parametrize("apart", [True, False])
def test_some_flows_are_not_copied(apart: bool) -> None:
    part = steady(70)
    assert "some flows are not" in said(Outcome.STALE, judge(watched(BUSY, BUSY, (part, part), apart=apart)))


def test_no_traffic_tells_nothing() -> None:
    assert judge(watched(NOTHING, NOTHING, (NOTHING, NOTHING))).outcome is Outcome.IDLE
    assert judge(watched(steady(100, end=3), NOTHING, (steady(100, end=3), NOTHING))).outcome is Outcome.IDLE


def test_it_is_too_early_to_tell() -> None:
    assert judge(()).outcome is Outcome.UNKNOWN
    assert judge(watched(BUSY, BUSY, (NOTHING, NOTHING), until=1)).outcome is Outcome.UNKNOWN


def test_nobody_counts() -> None:
    readings = tuple(Reading(t, Counts(lag=LAG)) for t in range(9))
    assert "nobody counts" in said(Outcome.UNKNOWN, judge(readings))
    readings = tuple(Reading(t, Counts(seen=Ways(99 * t, 99 * t), lag=LAG)) for t in range(9))
    assert "nobody counts the copies" in said(Outcome.UNKNOWN, judge(readings))


def test_a_counter_that_began_anew_is_no_loss() -> None:
    readings = watched(BUSY, BUSY, (BUSY, BUSY))
    anew = tuple(replace(reading, time=reading.time + 21) for reading in watched(BUSY, BUSY, (BUSY, BUSY), until=6))
    assert judge((*readings, anew[0])).outcome is Outcome.UNKNOWN
    assert judge((*readings, *anew)).outcome is Outcome.OK


def test_a_filter_that_matched_nothing_says_nothing() -> None:
    asked = Asked(filtered=True)
    assert judge(watched(BUSY, BUSY, (NOTHING, NOTHING)), asked).outcome is Outcome.UNKNOWN
    assert judge(watched(BUSY, BUSY, (steady(3), NOTHING)), asked).outcome is Outcome.OK


def test_what_other_mirrors_of_a_target_count_is_not_missed() -> None:
    asked = Asked(shared=True)
    assert judge(watched(BUSY, BUSY, (NOTHING, NOTHING)), asked).outcome is Outcome.UNKNOWN
    assert judge(watched(BUSY, BUSY, (steady(30), NOTHING)), asked).outcome is Outcome.OK


def test_what_is_copied_does_not_arrive() -> None:
    both = (BUSY, BUSY)
    assert judge(watched(BUSY, BUSY, both, received=steady(200))).outcome is Outcome.OK
    assert "none arrived" in said(Outcome.NONE, judge(watched(BUSY, BUSY, both, received=NOTHING)))
    assert judge(watched(BUSY, BUSY, both, received=steady(50))).outcome is Outcome.LOSSY
    too_large = Asked(largest=1450, beyond="they are lost")
    reason = said(Outcome.TRUNCATED, judge(watched(BUSY, BUSY, both, received=steady(50)), too_large))
    assert "beyond 1450 bytes they are lost" in reason


def test_copies_that_are_refused() -> None:
    both = (BUSY, BUSY)
    assert "no copy" in said(Outcome.NONE, judge(watched(BUSY, BUSY, both, failed=steady(200))))
    assert judge(watched(BUSY, BUSY, both, failed=steady(10))).outcome is Outcome.LOSSY


def test_frames_that_are_too_large_on_average() -> None:
    asked = Asked(largest=1450, beyond="they are lost")
    reason = said(Outcome.TRUNCATED, judge(watched(BUSY, BUSY, (BUSY, BUSY), size=1514), asked))
    assert reason == "frames have 1514 bytes on average; beyond 1450 they are lost"
    assert judge(watched(BUSY, BUSY, (BUSY, BUSY), size=400), asked).outcome is Outcome.OK


def test_copies_that_arrive_cut() -> None:
    readings = watched(BUSY, BUSY, (BUSY, BUSY))
    cut = tuple(replace(reading, cut=int(reading.time)) for reading in readings)
    assert judge(cut).outcome is Outcome.TRUNCATED


def test_what_was_cut_to_spare_the_host_is_not_missed() -> None:
    readings = watched(BUSY, BUSY, (BUSY, BUSY), size=1514, received=steady(200))
    cut = tuple(replace(reading, cut=int(reading.time)) for reading in readings)
    asked = Asked(largest=1450, beyond="they are lost", cut=256)
    assert judge(cut, asked).outcome is Outcome.OK
    # It is cut to more than what arrives.
    assert judge(cut, replace(asked, largest=200)).outcome is Outcome.TRUNCATED
    lost = watched(BUSY, BUSY, (BUSY, BUSY), size=1514, received=steady(50))
    assert judge(lost, asked).outcome is Outcome.LOSSY


@pytest.mark.parametrize("every", [3, 7, 20, 60])
def test_however_rarely_counters_are_read(every: int) -> None:
    found: dict[bool, tuple[Reading, ...]] = {True: (), False: ()}
    for time in range(0, 12 * every, every):
        for whole, readings in found.items():
            ways = Ways(BUSY(time), BUSY(time) if whole else 0)
            found[whole] = kept(readings, Reading(time, Counts(Ways(BUSY(time), BUSY(time)), ways, lag=LAG)))
    assert judge(found[True]).outcome is Outcome.OK
    assert judge(found[False]).outcome is Outcome.ONE_WAY


def test_only_what_a_judgement_needs_is_kept() -> None:
    assert len(watched(BUSY, BUSY, (BUSY, BUSY), until=500)) < 8 * LAG
    rarely = watched(BUSY, BUSY, (BUSY, BUSY), until=5000, lag=600)
    assert len(rarely) < 200
    assert judge(rarely).outcome is Outcome.OK
    anew = lambda time: steady(1)(time) if time < 4990 else steady(1000, 4990)(time)  # noqa: E731
    restarted = watched(anew, BUSY, (BUSY, BUSY), until=5000, lag=600)
    assert judge(restarted).outcome is Outcome.UNKNOWN, "a counter that began anew between two of those is noticed"


# Whatever the traffic does

bursts = st.lists(st.integers(0, 2000), min_size=40, max_size=40)


def curve(counts: list[int]) -> Curve:
    sums = [0]
    for count in counts:
        sums.append(sums[-1] + count)

    def until(time: float) -> int:
        time = max(0.0, min(time, len(counts)))
        whole = int(time)
        return sums[whole] + (int(counts[whole] * (time - whole)) if whole < len(counts) else 0)

    return until


@settings(max_examples=300, deadline=None)
@given(into=bursts, out=bursts, late=st.floats(0, LAG), until=st.integers(0, 39), apart=st.booleans())
def test_a_mirror_that_delivers_is_never_called_broken(into, out, late, until, apart) -> None:
    """In bursts, with counters that are late, from its first second on, and with a collector beside it."""
    a, b = curve(into), curve(out)
    for received in (None, lambda time: a(time) + b(time)):
        verdict = judge(watched(a, b, (a, b), until=until, apart=apart, late=late, received=received))
        assert verdict.good, verdict


@settings(max_examples=300, deadline=None)
@given(into=bursts, out=bursts, until=st.integers(5, 39), apart=st.booleans())
def test_a_mirror_that_copies_nothing_is_never_called_good_where_there_is_traffic(into, out, until, apart) -> None:
    a, b = curve(into), curve(out)
    verdict = judge(watched(a, b, (NOTHING, NOTHING), until=until, apart=apart))
    busy = any(way(until - LAG) - way(until - 2 * LAG) >= 5 for way in (a, b))
    assert verdict.outcome in ({Outcome.STALE} if busy else {Outcome.IDLE, Outcome.STALE})


@settings(max_examples=300, deadline=None)
@given(into=bursts, out=bursts, until=st.integers(5, 39), late=st.floats(0, LAG))
def test_with_counters_for_each_way_a_missing_way_is_named(into, out, until, late) -> None:
    a, b = curve(into), curve(out)
    verdict = judge(watched(a, b, (a, NOTHING), until=until, late=late))
    if verdict.outcome is Outcome.ONE_WAY:
        assert "what the VM sends" in verdict.reason
    if b(until - LAG) - b(until - 2 * LAG) >= 5:
        assert not verdict.good


def test_what_cannot_be_counted_from_here_is_said_at_once_with_the_reason() -> None:
    elsewhere = Reading(9.0, Counts(why="another server has the port"))
    verdict = judge([elsewhere])
    assert (verdict.outcome, verdict.reason) == (Outcome.UNKNOWN, "not provable here: another server has the port")
