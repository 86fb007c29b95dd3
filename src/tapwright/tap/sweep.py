"""Sweeping: undoing what owners left behind that are gone, by the journal and by the marks in the world."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tapwright.errors import TapwrightError
from tapwright.plan.steps import Leftover
from tapwright.providers.base import Tapper
from tapwright.tap import owner
from tapwright.tap.arm import TapperOf, disarm, left
from tapwright.tap.folder import sweeping
from tapwright.tap.journal import Journal
from tapwright.tap.session import SILENCE, Fate, Session, State, abandoned, orphaned
from tapwright.units import format_duration

FateOf = Callable[[str], Fate]


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did, or what a dry one would do."""

    sessions: tuple[Session, ...] = ()
    """Whose owners are gone, as they are now."""
    leftovers: tuple[Leftover, ...] = ()
    """Found in the world without a journal that knows them, and removed."""
    kept: tuple[str, ...] = ()
    """What is ours and somebody changed since, so it was left as it is."""
    waiting: tuple[str, ...] = ()
    """What was left to an owner that cannot be seen from here, as long as it may live."""
    failed: tuple[str, ...] = ()
    """What could not be looked at or undone, and why: the next sweep tries again."""
    busy: bool = False
    """Another sweep was under way, and nothing was done here."""

    @property
    def sentence(self) -> str:
        """In one line, "" when there was nothing to do."""
        undone = [f"session {s.id} ({s.what})" for s in self.sessions if s.state is State.CLOSED]
        undone += [leftover.what for leftover in self.leftovers]
        return f"undid what was left behind: {', '.join(undone)}" if undone else ""


def sweep(
    journal: Journal,
    tappers: Sequence[Tapper],
    tapper_of: TapperOf,
    fate_of: FateOf,
    now: float,
    *,
    wait: bool = True,
    dry: bool = False,
    uptime: tuple[str, float] | None = None,
) -> Swept:
    """Undo the sessions whose owner is gone and whose lease is over, then what carries our mark and no journal knows.

    `tappers` are asked for what they see.  A sweep that is under way already is waited for, or
    with `wait` unset left to itself.  `uptime` is this boot and seconds of it, by default now.
    Raises CaptureError when the journal cannot be read, ProviderError where another one's sweep does not end.
    """
    with sweeping(journal.folder, wait=wait) as ours:
        if not ours:
            return Swept(busy=True)
        orphans = [s for s in journal.sessions() if orphaned(s, now, fate_of(s.owner))]
        closed = tuple(orphans if dry else [disarm(journal, s, tapper_of) for s in orphans])
        seen, unseen = _seen(tappers)
        silent = _silence(journal, seen, fate_of, uptime or owner.uptime(), dry=dry)
        found = _abandoned(journal, seen, silent, fate_of, now)
        removed, failed = (found, ()) if dry else _removed(found, tapper_of)
        if not dry:
            _forget(journal, now)
    kept = tuple(f"session {s.id}: {entry.error}" for s in closed for entry in s.kept)
    stuck = tuple(f"session {s.id}: {left(s)}" for s in closed if s.left and not dry)
    waiting = tuple(
        _waiting(x, silent[x.mark.text]) for x in seen if x.mark and x.mark.text in silent and x not in found
    )
    return Swept(closed, removed, kept, waiting, (*stuck, *unseen, *failed))


def _waiting(found: Leftover, silent: float) -> str:
    return (
        f"{found.what}: of another host; it showed a sign of life, or was seen first, "
        f"{format_duration(silent)} ago, and is undone here once that is {format_duration(SILENCE)}"
    )


def close(journal: Journal, session: str, tapper_of: TapperOf) -> Session | None:
    """Undo that session, whoever owned it; None when the journal knows nothing of it.  Raises as `sweep`."""
    with sweeping(journal.folder, wait=True):
        found = journal.session(session)
        return found if found is None or found.state is State.CLOSED else disarm(journal, found, tapper_of)


def _seen(tappers: Sequence[Tapper]) -> tuple[tuple[Leftover, ...], tuple[str, ...]]:
    """What is there, and what could not be looked at."""
    found: list[Leftover] = []
    unseen: list[str] = []
    for tapper in tappers:
        try:
            found += tapper.leftovers()
        except TapwrightError as error:
            unseen.append(f"{tapper.name}: {error.line}")
    return tuple(found), tuple(unseen)


def _silence(
    journal: Journal, seen: Sequence[Leftover], fate_of: FateOf, uptime: tuple[str, float], *, dry: bool
) -> dict[str, float]:
    """For how long each owner that shows signs of life to those who cannot see it has shown none to us.

    Clocks are not compared: it is by ours that its beat stayed what it was.
    """
    beats: dict[str, str] = {}
    for x in seen:
        if x.mark and x.beat and fate_of(x.mark.owner) in (Fate.UNKNOWN, Fate.REBOOTED):
            beats[x.mark.text] = f"{beats.get(x.mark.text, '')} {x.beat}".strip()
    try:
        return journal.silence(beats, uptime, record=not dry)
    except TapwrightError as error:  # who remembers nothing saw no silence
        journal.notes.append(error.line)
        return dict.fromkeys(beats, 0.0)


def _abandoned(
    journal: Journal, seen: Sequence[Leftover], silent: Mapping[str, float], fate_of: FateOf, now: float
) -> tuple[Leftover, ...]:
    """What carries the mark of somebody who is gone."""
    known = {session.id: session for session in journal.sessions()}
    return tuple(
        x
        for x, fate in zip(seen, fates(seen, fate_of), strict=True)
        if x.mark and abandoned(x.mark, now, fate, known.get(x.mark.session), silent.get(x.mark.text))
    )


def fates(seen: Sequence[Leftover], fate_of: FateOf) -> list[Fate]:
    """What became of each one's owner; one in another container is looked for there."""
    told = [fate_of(x.mark.owner) if x.mark else Fate.UNKNOWN for x in seen]
    hidden = [x.mark.owner for x, fate in zip(seen, told, strict=True) if x.mark and x.here and fate is Fate.UNKNOWN]
    gone = owner.gone_beside(frozenset(hidden))
    return [
        Fate.DEAD if x.mark and x.here and x.mark.owner in gone else fate for x, fate in zip(seen, told, strict=True)
    ]


def _removed(found: Sequence[Leftover], tapper_of: TapperOf) -> tuple[tuple[Leftover, ...], tuple[str, ...]]:
    removed: list[Leftover] = []
    failed: list[str] = []
    for leftover in found:
        if leftover.undo is None:
            continue
        try:
            tapper_of(leftover.undo.provider).perform(leftover.undo)
            removed.append(leftover)
        except TapwrightError as error:
            failed.append(f"{leftover.what}: {error.line}")
    return tuple(removed), tuple(failed)


def _forget(journal: Journal, now: float) -> None:
    try:
        journal.forget(now)
    except TapwrightError as error:
        journal.notes.append(error.line)
