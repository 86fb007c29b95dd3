"""Sessions on this host: opened, kept, listed, stopped and swept."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from tapwright import config as configuration
from tapwright import providers
from tapwright.config import Config
from tapwright.errors import Ambiguous, NotFound, ProviderError, TapwrightError, UsageError
from tapwright.model import Answer
from tapwright.plan.mirrors import Direction, Mirror, Target
from tapwright.plan.preflight import Preflight, judge
from tapwright.plan.steps import Leftover, Mark, Step
from tapwright.providers.base import Beacon, Meter, Provider, Reducer, Tapper
from tapwright.signals import Stop, handled
from tapwright.tap import owner
from tapwright.tap.arm import arm, disarm, intended, left, redone
from tapwright.tap.delivery import News
from tapwright.tap.folder import state_folder
from tapwright.tap.journal import Journal
from tapwright.tap.lease import kept, nothing
from tapwright.tap.session import LEASE, LONGEST_LEASE, Fate, Session, State, orphaned, over
from tapwright.tap.sweep import Swept, close, sweep

_SHORTEST_LEASE = 1.0
_PATIENCE = 30.0
"""Seconds that a living owner has to end its session."""
_LOOK_AGAIN = 0.1


@dataclass(frozen=True, slots=True)
class Opened:
    """One mirror of a session, and the steps that opened it."""

    mirror: Mirror
    steps: tuple[Step, ...]


def steps_of(opened: Sequence[Opened]) -> tuple[Step, ...]:
    """The steps of all of them in order; what several share (a tunnel of the kernel's) is one."""
    return tuple(dict.fromkeys(step for one in opened for step in one.steps))


@dataclass(frozen=True, slots=True)
class Count:
    """What was copied so far, of one mirror and direction."""

    mirror: Mirror
    direction: Direction
    copied: int | None
    """Frames; None where nobody says, or not yet."""


@dataclass(slots=True)
class Running:
    """A session of ours that is open."""

    session: Session
    mirrors: tuple[Opened, ...]
    stopped: Stop
    """Set once somebody asked for its end: `stop`, a signal, or another tapwright that thought us dead."""
    ends: float
    """When its time is over, on the monotonic clock; infinite without a limit."""
    news: News | None = None
    """Whether its mirrors deliver, for others to read."""

    def steps(self, opened: Opened) -> tuple[Step, ...]:
        """What `opened` was opened by, as it is in the world by now."""
        present = {entry.step.undo: entry.step for entry in self.session.entries}
        return tuple(present.get(step.undo, step) for step in opened.steps)

    def wait(self, seconds: float = float("inf")) -> bool:
        """Wait for its end, `seconds` at most; whether it should end now."""
        rest = max(0.0, min(seconds, self.ends - time.monotonic()))
        return self.stopped.wait(min(rest, threading.TIMEOUT_MAX)) or time.monotonic() >= self.ends


class Sessions:
    """The sessions in the journal of this user, and the providers that can undo them."""

    def __init__(
        self,
        config: Config | None = None,
        folder: Path | None = None,
        load: Callable[[str, Config], Provider] = providers.load,
    ) -> None:
        """`folder` holds the journal, by default the one of `state_folder`; `load` makes a provider.

        Raises CaptureError when the journal cannot be used, PrivilegeError, UsageError.
        """
        self._config = config or configuration.load()
        self._load = load
        self._loaded: dict[str, Provider] = {}
        self._journal = Journal(folder or state_folder())

    @classmethod
    def of(cls, known: Sequence[Provider], config: Config) -> Sessions:
        """With providers that have looked already, so that they know what they saw.  Raises as the constructor."""
        made = {provider.name: provider for provider in known}
        return cls(config, load=lambda name, config: made.get(name) or providers.load(name, config))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the journal."""
        return tuple(dict.fromkeys(self._journal.notes))

    def all(self) -> tuple[tuple[Session, Fate], ...]:
        """Every session on record, closed ones too, and what became of its owner.  Raises CaptureError."""
        return tuple((session, owner.fate(session.owner)) for session in self._journal.sessions())

    def sweep(self, *, dry: bool = False, wait: bool = True) -> Swept:
        """Undo whatever owners left behind that are gone; with `dry` only say what.

        Raises CaptureError, ProviderError where another one's sweep does not end.
        """
        return sweep(self._journal, self._tappers(), self._tapper, owner.fate, time.time(), wait=wait, dry=dry)

    def leftovers(self) -> tuple[tuple[Leftover, ...], tuple[str, ...]]:
        """All that carries our mark, of living sessions too, strangers' mirrors that do nothing, and who did not say.

        Raises UsageError.
        """
        found: list[Leftover] = []
        unseen: list[str] = []
        for tapper in self._tappers():
            try:
                found += tapper.leftovers()
            except TapwrightError as error:
                unseen.append(f"{tapper.name}: {error.line}")
        return tuple(found), tuple(unseen)

    def find(self, names: Sequence[str]) -> tuple[Session, ...]:
        """The open sessions of these ids or beginnings of ids.  Raises NotFound, Ambiguous, CaptureError."""
        running = [session for session in self._journal.sessions() if session.state is not State.CLOSED]
        return tuple(dict.fromkeys(_named(running, name) for name in names))

    def stop(self, session: Session) -> Session:
        """End it: by its owner where that lives, else by undoing what it left; the session as it is then.

        Raises ProviderError when the owner does not do it in time, or something could not be
        undone; CaptureError when the journal cannot be used.
        """
        if _reachable(session):
            self._journal.ask_stop(session.id)
            self._await_end(session)
        closed = close(self._journal, session.id, self._tapper) or session
        if closed.left:
            raise ProviderError(f"session {session.id} is not undone: {left(closed)}", "when mended: tapwright sweep")
        return closed

    @contextmanager
    def open(
        self,
        what: str,
        mirrors: Callable[[Mark], Sequence[Mirror]],
        *,
        lease: float = LEASE,
        seconds: float = 0.0,
        signals: bool = True,
    ) -> Iterator[Running]:
        """Open `mirrors`, made for the mark they are to carry, and keep them while this holds.

        `what` is how a person would call it; `lease` and `seconds` are seconds, 0 without a limit
        of time.  With `signals`, Ctrl-C, SIGTERM and SIGHUP set `Running.stopped`; the second one
        raises KeyboardInterrupt.  Raises what the providers raise, CaptureError when the journal cannot be
        written: then nothing was changed.  At the end, ProviderError when something could not be undone.
        """
        session = _planned(what, lease)
        opened = self.plan(mirrors(session.mark))
        running = Running(session, opened, Stop(), float("inf"))
        with _signals(running.stopped) if signals else nullcontext():
            steps = _until(running.stopped, steps_of(opened))
            running.session = arm(self._journal, session, steps, self._tapper)
            running.ends = time.monotonic() + (seconds or float("inf"))
            try:
                with self._kept(running):
                    yield running
            finally:
                running.session = disarm(self._journal, running.session, self._tapper)
        if running.session.left:
            raise ProviderError(f"not everything was undone: {left(running.session)}", "when mended: tapwright sweep")

    def _kept(self, running: Running) -> AbstractContextManager[None]:
        """Its lease renewed, and its owner shown to live where that is how others know."""
        names = dict.fromkeys(step.do.provider for opened in running.mirrors for step in opened.steps)
        beacons = [found for name in names if isinstance(found := self._provider(name), Beacon)]
        numbers = itertools.count(1)

        def beat() -> None:
            number = str(next(numbers))
            for beacon in beacons:
                beacon.renew(running.session.mark, number)

        shown = beat if beacons else nothing
        return kept(self._journal, lambda: running.session, running.stopped, lambda: running.news, shown)

    def steps(self, mirror: Mirror) -> tuple[Step, ...]:
        """What opens `mirror`.  Raises UsageError, ProviderError where its provider cannot serve it."""
        return tuple(self._provider(mirror.point.provider).steps(mirror))

    def plan(self, mirrors: Sequence[Mirror]) -> tuple[Opened, ...]:
        """What opens all of them in one session: those to one target on one switch share its port there.

        Raises UsageError, ProviderError.
        """
        outlets: dict[tuple[str, str, Target], str] = {}
        opened: list[Opened] = []
        for wanted in mirrors:
            key = wanted.point.provider, wanted.point.switch, wanted.target
            mirror = replace(wanted, place=replace(wanted.place, port=outlets[key])) if key in outlets else wanted
            steps = self.steps(mirror)
            opened.append(Opened(mirror, steps))
            if made := [outlet for step in steps if (outlet := step.do.text("outlet"))]:
                outlets[key] = made[0]
        return tuple(opened)

    def can_reduce(self, mirrors: Sequence[Opened], most: int, one_in: int) -> bool:
        """Whether all of them can copy `most` bytes of one frame in `one_in`; 0 bytes are as many as were asked for."""
        return all(self._reduced(opened, opened.steps, most, one_in) for opened in mirrors)

    def reduce(self, running: Running, most: int, one_in: int) -> None:
        """Have all its mirrors copy `most` bytes of one frame in `one_in`, by chance, until told otherwise.

        0 bytes are as many as were asked for, and with one in one everything is.
        Each change is in the journal before it is made.  Raises what the providers raise, CaptureError; then
        the session should end.
        """
        numbers = {entry.step.undo: number for number, entry in enumerate(running.session.entries)}
        wanted = [
            step for opened in running.mirrors for step in self._reduced(opened, running.steps(opened), most, one_in)
        ]
        steps = {numbers[step.undo]: step for step in wanted}
        running.session = intended(self._journal, running.session, steps, self._tapper)
        running.session = redone(self._journal, running.session, tuple(steps), self._tapper)

    def _reduced(self, opened: Opened, present: Sequence[Step], most: int, one_in: int) -> tuple[Step, ...]:
        """The steps that have a mirror copy so much of the frames; none where it cannot."""
        made: list[Step] = []
        for step, before in zip(opened.steps, present, strict=True):
            if not step.do.text("direction"):  # it counts no copies of the VM's frames, so it makes none
                continue
            provider = self._provider(step.do.provider)
            other = provider.reduced(step, before, most, one_in) if isinstance(provider, Reducer) else None
            if other is None:
                return ()
            made.append(other)
        return tuple(made)

    def meter(self, name: str) -> Meter | None:
        """The provider of that name where it can prove that what it copies is delivered."""
        provider = self._provider(name)
        return provider if isinstance(provider, Meter) else None

    def preflight(self, mirror: Mirror, addresses: Sequence[str], mtu: int = 0) -> Preflight:
        """What can be said of a mirror before it is opened; nothing where its provider knows nothing.

        `addresses` are those whose frames are copied, `mtu` the vNIC's where its switch does not say.

        Raises ProviderError, PrivilegeError.
        """
        meter = self.meter(mirror.point.provider)
        if meter is None:
            return Preflight()
        facts = meter.scouted(mirror)
        return judge(mirror, replace(facts, vnic_mtu=facts.vnic_mtu or mtu, addresses=tuple(addresses)))

    def counts(self, running: Running) -> tuple[Count, ...]:
        """What its mirrors copied so far; a switch that does not answer is no reason to end them."""
        return tuple(
            Count(opened.mirror, direction, _sum(map(self._copied, steps)))
            for opened in running.mirrors
            for direction, steps in _by_direction(opened.steps).items()
        )

    def _copied(self, step: Step) -> int | None:
        try:
            return self._tapper(step.do.provider).copied(step)
        except TapwrightError:
            return None

    def _await_end(self, session: Session) -> None:
        """Until it is closed or its owner is gone."""
        deadline = time.monotonic() + _PATIENCE
        while (now := self._journal.session(session.id)) and now.state is not State.CLOSED and _reachable(now):
            if time.monotonic() > deadline:
                pid = owner.pid(session.owner)
                raise ProviderError(
                    f"process {pid} was asked to end session {session.id} and did not within {_PATIENCE:g} s",
                    f"end it, kill {pid}, then: tapwright stop {session.id}",
                )
            time.sleep(_LOOK_AGAIN)

    def _provider(self, name: str) -> Provider:
        if name not in self._loaded:
            self._loaded[name] = self._load(name, self._config)
        return self._loaded[name]

    def _tapper(self, name: str) -> Tapper:
        provider = self._provider(name)
        if not isinstance(provider, Tapper):
            raise ProviderError(f"{name} changes nothing, so it has nothing to undo")
        return provider

    def _tappers(self) -> tuple[Tapper, ...]:
        """Those that have something to say here."""
        names = self._config.providers or providers.names()
        found = [self._provider(name) for name in names]
        return tuple(p for p in found if isinstance(p, Tapper) and p.probe().answer is not Answer.NO)


def _by_direction(steps: Sequence[Step]) -> dict[Direction, list[Step]]:
    """Those that copy frames."""
    found: dict[Direction, list[Step]] = {}
    for step in steps:
        if direction := step.do.text("direction"):
            found.setdefault(Direction(direction), []).append(step)
    return found


def _sum(counts: Iterable[int | None]) -> int | None:
    """None where one of them is not known."""
    known = list(counts)
    return None if None in known else sum(count or 0 for count in known)


def sweep_first(config: Config | None = None) -> tuple[str, ...]:
    """What every command does before it changes something: sweep, and say in sentences what a person should know.

    Never raises TapwrightError: the command itself may need nothing of what failed here.
    """
    try:
        sessions = Sessions(config)
        swept = sessions.sweep(wait=False)
    except TapwrightError as error:
        return (f"could not look for what was left behind: {error.line}",)
    return tuple(filter(None, (*sessions.notes, swept.sentence, *swept.kept)))


def _planned(what: str, lease: float) -> Session:
    if not _SHORTEST_LEASE <= lease <= LONGEST_LEASE:
        raise UsageError(f"a lease of {lease:g} s is not possible", f"from {_SHORTEST_LEASE:g} to {LONGEST_LEASE:g} s")
    now = time.time()
    return Session(secrets.token_hex(4), owner.own(), what, now, lease, now + lease)


def _until(stopped: threading.Event, steps: Sequence[Step]) -> Iterator[Step]:
    """The steps, as long as nobody asks for the end; raises KeyboardInterrupt then."""
    for step in steps:
        if stopped.is_set():
            raise KeyboardInterrupt
        yield step


def _reachable(session: Session) -> bool:
    """Whether its owner lives and will end it, or may: one that cannot be seen from here renews its lease."""
    fate = owner.fate(session.owner)
    if fate is Fate.ALIVE:
        return not orphaned(session, time.time(), fate)
    return fate is Fate.UNKNOWN and not over(session.expires, session.lease, time.time())


def _named(running: Sequence[Session], name: str) -> Session:
    found = [session for session in running if session.id.startswith(name)] if name else []
    if len(found) > 1:
        ids = tuple(session.id for session in found)
        raise Ambiguous(f"{name!r} is the beginning of several sessions", ids, f"there are {', '.join(ids)}")
    if not found:
        known = ", ".join(session.id for session in running)
        raise NotFound(f"there is no session {name!r}", f"there are {known}" if known else "no session is open")
    return found[0]


@contextmanager
def _signals(stop: Stop) -> Iterator[None]:
    """The first signal sets `stop`, the next one interrupts; nothing of this outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(_signal: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set_from_handler()

    with handled(ask):
        yield
