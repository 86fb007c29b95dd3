"""The state machine: a pure function of what happened."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapwright.plan.steps import Finding, Found, Mark, Operation, Step
from tapwright.tap import session as room
from tapwright.tap.session import (
    BEAT,
    LONGEST_LEASE,
    SILENCE,
    Entry,
    Fate,
    Progress,
    Session,
    State,
    Verdict,
    abandoned,
    after_undo,
    drained,
    orphaned,
    over,
    to_undo,
    verdict,
)

STEP = Step(Operation.of("fake", "mirror"), Operation.of("fake", "unmirror"), "why")
SESSION = Session("1a2b3c4d", "1.1.b.h.n", "a mirror", created=1000.0, lease=60.0, expires=1060.0)
PROGRESS = st.sampled_from(Progress)
ENTRIES = st.lists(st.builds(Entry, st.just(STEP), PROGRESS), max_size=6).map(tuple)
STATES = st.sampled_from([State.ARMING, State.RUNNING, State.DRAINING])


def test_it_is_pure() -> None:
    tree = ast.parse(Path(room.__file__).read_text())
    imported = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    imported |= {name.name for n in ast.walk(tree) if isinstance(n, ast.Import) for name in n.names}
    assert imported == {"__future__", "dataclasses", "enum", "tapwright.plan.steps", "tapwright.tap.delivery"}


def test_the_way_of_a_life() -> None:
    session = SESSION
    for state in (State.ARMING, State.RUNNING, State.DRAINING, State.CLOSED):
        session = session.moved(state)
    with pytest.raises(ValueError, match="no session goes from closed to running"):
        session.moved(State.RUNNING)
    assert session.draining() is session


@given(STATES, ENTRIES, st.data())
def test_whatever_was_intended_is_undone_on_the_way_to_closed(
    state: State, entries: tuple[Entry, ...], data: st.DataObject
) -> None:
    session = replace(SESSION, state=state, entries=entries).draining()
    undone: set[int] = set()
    for number in to_undo(session):
        progress = session.entries[number].progress
        found = data.draw(st.sampled_from(Found))
        after = data.draw(st.sampled_from(Found))
        match verdict(progress, found):
            case Verdict.UNDO:
                undone.add(number)
                session = session.at(number, *after_undo(Finding(after)))
            case Verdict.GONE:
                assert found is Found.ABSENT
                session = session.at(number, Progress.UNDONE)
            case Verdict.KEEP:
                assert (progress, found) == (Progress.DONE, Found.CHANGED)
                session = session.at(number, Progress.CHANGED)
            case Verdict.LATER:
                assert found is Found.UNKNOWN
    session = drained(session)
    began = {Progress.INTENDED, Progress.DONE, Progress.UNDOING}
    for number, entry in enumerate(entries):
        now = session.entries[number].progress
        assert (now in began | {Progress.UNDONE, Progress.CHANGED}) or now is entry.progress
        if entry.progress in began and session.state is State.CLOSED:
            assert now in {Progress.UNDONE, Progress.CHANGED}
        if entry.progress in {Progress.INTENDED, Progress.UNDOING} and now is Progress.UNDONE:
            assert number in undone
    assert (session.state is State.CLOSED) == (not session.left)


@given(ENTRIES)
def test_the_last_one_first(entries: tuple[Entry, ...]) -> None:
    numbers = to_undo(replace(SESSION, entries=entries))
    assert list(numbers) == sorted(numbers, reverse=True)


def test_half_done_is_not_somebody_elses_change() -> None:
    assert verdict(Progress.INTENDED, Found.CHANGED) is Verdict.UNDO
    assert verdict(Progress.INTENDED, Found.ABSENT) is Verdict.UNDO
    assert verdict(Progress.UNDOING, Found.CHANGED) is Verdict.UNDO
    assert verdict(Progress.DONE, Found.CHANGED) is Verdict.KEEP
    assert verdict(Progress.DONE, Found.ABSENT) is Verdict.GONE
    assert {verdict(progress, Found.UNKNOWN) for progress in Progress} == {Verdict.LATER}


def test_still_there_after_it_was_undone() -> None:
    assert after_undo(Finding(Found.ABSENT)) == (Progress.UNDONE, "")
    assert after_undo(Finding(Found.THERE)) == (Progress.UNDOING, "still there after it was undone")
    assert after_undo(Finding(Found.CHANGED, "output=nil"))[1].endswith("after it was undone: output=nil")


@pytest.mark.parametrize(
    ("fate", "during", "afterwards"),
    [
        (Fate.ALIVE, False, False),
        (Fate.DEAD, False, True),
        (Fate.UNKNOWN, False, True),
        (Fate.REBOOTED, True, True),
    ],
)
def test_who_may_be_swept(fate: Fate, during: bool, afterwards: bool) -> None:
    running = replace(SESSION, state=State.RUNNING)
    assert orphaned(running, 1059.0, fate) is during
    assert orphaned(running, 1060.0, fate) is afterwards
    assert not orphaned(replace(SESSION, state=State.CLOSED), 9e9, fate)


def test_a_living_owner_that_could_not_undo_it_does_not_come_back_to_it() -> None:
    draining = replace(SESSION, state=State.DRAINING)
    assert not orphaned(draining, 1059.0, Fate.ALIVE)
    assert orphaned(draining, 1060.0, Fate.ALIVE)


def test_a_clock_that_goes_back_does_not_make_a_lease_eternal() -> None:
    running = replace(SESSION, state=State.RUNNING)
    assert not orphaned(running, 990.0, Fate.DEAD)
    assert orphaned(running, 900.0, Fate.DEAD)
    assert not orphaned(running, 900.0, Fate.ALIVE)
    assert over(1060.0, 60.0, -1e9)


@pytest.mark.parametrize(
    ("fate", "now", "gone"),
    [
        (Fate.DEAD, 1059, False),
        (Fate.DEAD, 1060, True),
        (Fate.DEAD, -1e9, True),
        (Fate.REBOOTED, 1000, True),
        (Fate.ALIVE, 9e9, False),
        (Fate.UNKNOWN, 9e9, False),
    ],
)
def test_marks_without_a_journal(fate: Fate, now: float, gone: bool) -> None:
    assert abandoned(SESSION.mark, now, fate, None) is gone


@pytest.mark.parametrize(
    ("fate", "silent", "gone"),
    [
        (Fate.UNKNOWN, 0.0, False),
        (Fate.UNKNOWN, SILENCE, False),
        (Fate.UNKNOWN, SILENCE + 1, True),
        (Fate.REBOOTED, SILENCE, False),  # perhaps of a double of this host, which lives
        (Fate.REBOOTED, SILENCE + 1, True),
        (Fate.ALIVE, 9e9, False),
        (Fate.DEAD, 0.0, True),  # here that is known
    ],
)
@pytest.mark.parametrize("now", [1060.0, -1e9, 9e9], ids=["right", "behind", "ahead"])
def test_owners_that_cannot_be_seen_by_the_silence_we_heard_and_by_no_clock(
    fate: Fate, silent: float, gone: bool, now: float
) -> None:
    assert abandoned(SESSION.mark, now, fate, None, silent) is gone


def test_no_lease_outlasts_the_silence_and_signs_of_life_come_well_within_it() -> None:
    assert LONGEST_LEASE <= SILENCE
    assert 3 * BEAT < SILENCE


def test_marks_that_the_journal_knows() -> None:
    open_, closed = replace(SESSION, state=State.RUNNING), replace(SESSION, state=State.CLOSED)
    changed = replace(closed, entries=(Entry(STEP, Progress.CHANGED),))
    assert not abandoned(SESSION.mark, 9e9, Fate.DEAD, open_)
    assert not abandoned(SESSION.mark, 9e9, Fate.UNKNOWN, open_, 9e9)
    assert abandoned(SESSION.mark, 9e9, Fate.DEAD, closed)
    assert not abandoned(SESSION.mark, 9e9, Fate.DEAD, changed)


def test_the_mark() -> None:
    assert SESSION.mark == Mark("1a2b3c4d", "1.1.b.h.n", 1060)
    assert Mark.parse(SESSION.mark.text) == SESSION.mark
    assert Mark.parse(f"tapwright:1a2b3c4d:{'9' * 300}:1060") is None
