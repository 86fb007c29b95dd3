"""Doing and undoing a session's steps, each in the journal first and read again afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from tapwright.errors import ProviderError, TapwrightError
from tapwright.plan.steps import Finding, Found, Step
from tapwright.providers.base import Tapper
from tapwright.tap.journal import Journal
from tapwright.tap.session import (
    Entry,
    Progress,
    Session,
    State,
    Verdict,
    after_undo,
    drained,
    to_undo,
    verdict,
)

TapperOf = Callable[[str], Tapper]
"""The provider of that name.  Raises TapwrightError where there is none that changes anything."""


def arm(journal: Journal, session: Session, steps: Iterable[Step], tapper_of: TapperOf) -> Session:
    """Write a planned session into the journal and do its steps in order; the session as it runs.

    At the first failure what was begun is undone, in reverse.  Raises what failed, with what could
    not be undone in its hint.
    """
    session = replace(session, entries=()).moved(State.ARMING)
    journal.add(session)
    try:
        for step in steps:
            tapper = tapper_of(step.do.provider)
            session = replace(session, entries=(*session.entries, Entry(step, Progress.INTENDED)))
            session = _do(journal, session, tapper)
        session = session.moved(State.RUNNING)
        journal.move(session, *_last(session))
    except BaseException as error:
        session = disarm(journal, session, tapper_of)
        if isinstance(error, TapwrightError) and session.left:
            error.hint = "\n".join(filter(None, (error.hint, f"{left(session)}; when that is mended: tapwright sweep")))
        raise
    return session


def intended(journal: Journal, session: Session, steps: Mapping[int, Step], tapper_of: TapperOf) -> Session:
    """Write into the journal that these steps are about to be done in the place of others of a running session.

    They are undone as those are; so whatever comes of them, the session's end undoes it.  Raises CaptureError,
    and ProviderError where somebody changed what is there: then it stays as it is, and so does the session.
    """
    for number, step in steps.items():
        there = session.entries[number].step
        if step.undo != there.undo:
            raise ValueError(f"step {number} would be undone in another way")
        finding = tapper_of(there.do.provider).found(there)
        if finding.found is not Found.THERE:
            raise ProviderError(f"the mirror is {': '.join(filter(None, (finding.found, finding.detail)))} by now")
        session = session.exchanged(number, step)
    journal.intend(session, *steps)
    return session


def redone(journal: Journal, session: Session, numbers: Sequence[int], tapper_of: TapperOf) -> Session:
    """Do steps that are intended; the session as it runs.  Raises what failed."""
    for number in numbers:
        _perform(session.entries[number].step, tapper_of(session.entries[number].step.do.provider))
        session = session.at(number, Progress.DONE)
    journal.put(session, *numbers)
    return session


def _do(journal: Journal, session: Session, tapper: Tapper) -> Session:
    """Do the session's last step; that the one before is done is written together with what is intended now."""
    number = len(session.entries) - 1
    journal.intend(session, *range(max(0, number - 1), number + 1))
    _perform(session.entries[number].step, tapper)
    return session.at(number, Progress.DONE)


def _last(session: Session) -> range:
    """The number of its last step, where it has any."""
    return range(len(session.entries))[-1:]


def _perform(step: Step, tapper: Tapper) -> None:
    """Do it, and read it again."""
    tapper.perform(step.do)
    finding = tapper.found(step)
    if finding.found is not Found.THERE:
        detail = f": {finding.detail}" if finding.detail else ""
        raise ProviderError(f"{step.do.provider} did {step.do.verb!r}, yet it is {finding.found}{detail}")


def disarm(journal: Journal, session: Session, tapper_of: TapperOf) -> Session:
    """Undo what is left of a session, in reverse, and close it; the session as it is then.

    One step that cannot be undone does not keep the others; it stays in the journal with the
    reason, for the next sweep.  A journal that cannot be written does not keep anything from
    being undone.  Raises nothing but what no program should catch.
    """
    session = session.draining()
    _recorded(journal, lambda: journal.move(session))
    unwritten: list[int] = []
    for number in to_undo(session):
        session = _undo(journal, session, number, tapper_of, unwritten)
        unwritten.append(number)
    session = drained(session)
    _recorded(journal, lambda: journal.move(session, *unwritten))
    return session


def _undo(journal: Journal, session: Session, number: int, tapper_of: TapperOf, unwritten: list[int]) -> Session:
    """Undo one step; with the reason in it where that did not work.

    What became of it is written with the next change of the journal: until then it is as good as half undone.
    """
    entry = session.entries[number]
    try:
        tapper = tapper_of(entry.step.undo.provider)
        finding = tapper.found(entry.step)
    except Exception as error:
        return session.at(number, entry.progress, _said(error))
    return _undo_as_found(journal, session, number, tapper, finding, unwritten)


def _undo_as_found(
    journal: Journal, session: Session, number: int, tapper: Tapper, finding: Finding, unwritten: list[int]
) -> Session:
    entry = session.entries[number]
    match verdict(entry.progress, finding.found):
        case Verdict.GONE:
            return session.at(number, Progress.UNDONE)
        case Verdict.KEEP:
            return session.at(number, Progress.CHANGED, finding.detail or "somebody changed it")
        case Verdict.LATER:
            return session.at(number, entry.progress, finding.detail or f"{entry.step.undo.provider} does not answer")
    session = session.at(number, Progress.UNDOING)
    if _recorded(journal, lambda: journal.put(session, number, *unwritten)):
        unwritten.clear()
    try:
        tapper.perform(entry.step.undo)
        return session.at(number, *after_undo(tapper.found(entry.step)))
    except Exception as error:
        return session.at(number, Progress.UNDOING, _said(error))


def _said(error: Exception) -> str:
    return error.line if isinstance(error, TapwrightError) else f"{type(error).__name__}: {error}"


def _recorded(journal: Journal, write: Callable[[], None]) -> bool:
    """Whether it could be written.  Undoing matters more: what is not on record is found gone the next time."""
    try:
        write()
    except TapwrightError as error:
        if error.line not in journal.notes:
            journal.notes.append(error.line)
        return False
    return True


def left(session: Session) -> str:
    """What is still in the world of a session and why, in words; "" when nothing is."""
    return "; ".join(f"{entry.step.undo.provider}: {entry.error or 'not undone yet'}" for entry in session.left)
