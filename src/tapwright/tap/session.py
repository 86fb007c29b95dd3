"""Sessions: a mirror's life as frozen data, and every decision about it.

    planned -> arming -> running -> draining -> closed

Each step of a session has a life of its own, and each change of it is in the journal *before*
the world changes:

    planned -> intended -> done -> undoing -> undone        and  done -> changed: kept, and reported

Pure: the clock, the owner's fate and what was found in the world come in as values.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from tapwright.plan.steps import Finding, Found, Mark, Step
from tapwright.tap.delivery import News

LEASE = 60.0
"""Seconds that a session stays without being renewed."""
LONGEST_LEASE = 3600.0
"""More than this nobody may ask for, so a mark that ends later was written by another clock."""
BEAT = 900.0
"""Seconds after which an owner shows those who cannot see it that it lives."""
SILENCE = 3600.0
"""Seconds without that, by the clock of whoever looks, after which they take it for dead: no lease is longer."""


class State(StrEnum):
    """Where a session is in its life."""

    PLANNED = "planned"
    ARMING = "arming"
    RUNNING = "running"
    DRAINING = "draining"
    CLOSED = "closed"


class Progress(StrEnum):
    """How far a step came, as the journal knows it."""

    PLANNED = "planned"
    INTENDED = "intended"
    """May be in the world, wholly or half."""
    DONE = "done"
    """Was in the world as it should be: it was read again."""
    UNDOING = "undoing"
    """May be half undone."""
    UNDONE = "undone"
    CHANGED = "changed"
    """Somebody changed it after it was done, so it was left as it is."""


class Fate(StrEnum):
    """What became of a session's owner."""

    ALIVE = "alive"
    DEAD = "dead"
    REBOOTED = "rebooted"
    """Gone with an earlier boot of this host."""
    UNKNOWN = "unknown"
    """Of another host or another pid namespace: not to be seen from here."""


_NEXT: dict[State, frozenset[State]] = {
    State.PLANNED: frozenset({State.ARMING, State.CLOSED}),
    State.ARMING: frozenset({State.RUNNING, State.DRAINING}),
    State.RUNNING: frozenset({State.DRAINING}),
    State.DRAINING: frozenset({State.DRAINING, State.CLOSED}),
    State.CLOSED: frozenset(),
}
_IN_THE_WORLD = frozenset({Progress.INTENDED, Progress.DONE, Progress.UNDOING})


@dataclass(frozen=True, slots=True)
class Entry:
    """A step and how far it came."""

    step: Step
    progress: Progress = Progress.PLANNED
    error: str = ""
    """Why it could not be undone yet, or what differs where it was changed."""


@dataclass(frozen=True, slots=True)
class Session:
    """One running mirror or capture; times are seconds since 1970."""

    id: str
    """8 hexadecimal digits."""
    owner: str
    """`tap.owner`"""
    what: str
    """As a person would say it: ``mirror of web-1 to nic:eth3``."""
    created: float
    lease: float
    """Seconds."""
    expires: float
    """End of the lease as it was renewed last."""
    state: State = State.PLANNED
    entries: tuple[Entry, ...] = ()
    stop_asked: bool = False
    news: News | None = None
    """Whether its mirrors deliver, as its owner said last; None where it did not say yet."""

    @property
    def mark(self) -> Mark:
        """What everything it creates carries."""
        return Mark(self.id, self.owner, int(self.created + self.lease))

    @property
    def kept(self) -> tuple[Entry, ...]:
        """What was left in the world because somebody had changed it."""
        return tuple(entry for entry in self.entries if entry.progress is Progress.CHANGED)

    @property
    def left(self) -> tuple[Entry, ...]:
        """What is or may be in the world still, and has to go."""
        return tuple(entry for entry in self.entries if entry.progress in _IN_THE_WORLD)

    def moved(self, state: State) -> Session:
        """In that state.  Raises ValueError where no way leads there."""
        if state not in _NEXT[self.state]:
            raise ValueError(f"no session goes from {self.state} to {state}")
        return replace(self, state=state)

    def draining(self) -> Session:
        """On its way out, from whatever state it was left in."""
        return replace(self, state=State.DRAINING) if self.state is not State.CLOSED else self

    def at(self, number: int, progress: Progress, error: str = "") -> Session:
        """With step `number` (from 0) that far."""
        entry = replace(self.entries[number], progress=progress, error=error)
        return replace(self, entries=(*self.entries[:number], entry, *self.entries[number + 1 :]))

    def exchanged(self, number: int, step: Step) -> Session:
        """With another step intended in the place of step `number`."""
        return replace(
            self, entries=(*self.entries[:number], Entry(step, Progress.INTENDED), *self.entries[number + 1 :])
        )


def to_undo(session: Session) -> tuple[int, ...]:
    """Numbers of the steps that may be in the world, in the order in which they have to be undone."""
    return tuple(n for n, entry in reversed(tuple(enumerate(session.entries))) if entry.progress in _IN_THE_WORLD)


def drained(session: Session) -> Session:
    """After a round of undoing: closed when nothing that has to go is left, draining still otherwise."""
    return session.moved(State.DRAINING if session.left else State.CLOSED)


class Verdict(StrEnum):
    """What to do with a step that has to go."""

    GONE = "gone"
    UNDO = "undo"
    KEEP = "keep"
    LATER = "later"


def verdict(progress: Progress, found: Found) -> Verdict:
    """What to do with a step that came so far, by what was found of it.

    A step which was never read again after it was begun, or whose undoing was begun, may be half
    there: that is not somebody else's change, and its undo removes nothing but what carries our mark.
    """
    if found is Found.UNKNOWN:
        return Verdict.LATER
    if progress is not Progress.DONE or found is Found.THERE:
        return Verdict.UNDO
    return Verdict.GONE if found is Found.ABSENT else Verdict.KEEP


def after_undo(finding: Finding) -> tuple[Progress, str]:
    """How far a step is once its undo was performed, and why it is not gone."""
    if finding.found is Found.ABSENT:
        return Progress.UNDONE, ""
    return Progress.UNDOING, f"still {finding.found} after it was undone" + (
        f": {finding.detail}" if finding.detail else ""
    )


def over(expires: float, lease: float, now: float) -> bool:
    """Whether a lease is over; one that ends later than any renewal can make it tells of a clock that went back."""
    return now >= expires or expires - now > 2 * lease


def orphaned(session: Session, now: float, fate: Fate) -> bool:
    """Whether anybody may undo `session`: its owner is gone and the lease is over, or the whole boot is.

    An owner that cannot be seen from here has nothing but the lease to show for itself; and one that lives
    but could not undo everything does not come back to it.
    """
    if session.state is State.CLOSED or (fate is Fate.ALIVE and session.state is not State.DRAINING):
        return False
    return fate is Fate.REBOOTED or over(session.expires, session.lease, now)


def abandoned(mark: Mark, now: float, fate: Fate, session: Session | None, silent: float | None = None) -> bool:
    """Whether what carries `mark` may be removed by the mark alone; `session` is what the journal knows of it.

    Renewals are not in the mark, so its owner must be known to be dead.  What the journal still
    has to undo is undone step by step, and what somebody changed stays.  `silent` is for how many
    seconds we saw no sign of life from an owner that gives some, None for one that gives none: it
    tells of owners of other hosts, and of one that seems to be of an earlier boot of this one, since
    what we take for this host may be its double.
    """
    if session is not None and (session.state is not State.CLOSED or session.kept):
        return False
    if silent is not None and fate in (Fate.UNKNOWN, Fate.REBOOTED):
        return silent > SILENCE
    return fate is Fate.REBOOTED or (fate is Fate.DEAD and over(mark.expires, LONGEST_LEASE, now))
