"""Looking at the host: what mirrors left behind, and whether everything tapwright needs is here.

Changes nothing: what is read is read only, and what must be tried is tried in a network
namespace that vanishes with its process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tapwright import config as configuration
from tapwright import providers
from tapwright.adapters import attach, kernel, memory, process
from tapwright.adapters import clock as clocks
from tapwright.config import Config
from tapwright.control import checks, wireshark
from tapwright.control.checks import Check
from tapwright.control.sessions import Sessions
from tapwright.errors import MissingDependency, TapwrightError
from tapwright.filter.libpcap import version
from tapwright.model import Answer, Capability
from tapwright.plan.steps import Leftover
from tapwright.tap import folder, owner
from tapwright.tap.session import Fate, Session, State, abandoned, orphaned
from tapwright.tap.sweep import fates


@dataclass(frozen=True, slots=True)
class Remnant:
    """Something a mirror left in the world, and how to remove it."""

    what: str
    ours: bool
    state: str
    """Why it is a remnant, or why it may be one."""
    command: str
    """What a person would type to remove it, and nothing else."""
    attention: bool = True
    """Whether it stays for ever unless somebody does something."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that was looked at."""

    remnants: tuple[Remnant, ...]
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    """What could not be looked at, and why."""

    @property
    def attention(self) -> int:
        """How many things somebody should do something about."""
        return (
            sum(remnant.attention for remnant in self.remnants)
            + sum(check.attention for check in self.checks)
            + len(self.notes)
        )


def diagnose(config: Config | None = None) -> Diagnosis:
    """Look at everything.  Raises UsageError for a configuration that cannot be."""
    config = config or configuration.load()
    before = clocks.ahead()
    found, notes = _remnants(config)
    looked = (
        *checks.privileges(process.capabilities()),
        *_kernel(),
        *_memory(config),
        _libpcap(),
        _extcap(),
        *_providers(config),
        checks.journal(place(folder.state_folder())),
        *checks.clock(clocks.read(), clocks.ahead() - before),
    )
    return Diagnosis(found, looked, notes)


# Leftovers


def _remnants(config: Config) -> tuple[tuple[Remnant, ...], tuple[str, ...]]:
    try:
        sessions = Sessions(config)
        known = [session for session, _ in sessions.all()]
        found, unseen = sessions.leftovers()
    except TapwrightError as error:
        return (), (error.line,)
    now = time.time()
    ours = (*_of_journal(known, now), *_of_marks(found, known, now))
    return (*ours, *_of_strangers(found)), (*sessions.notes, *unseen)


def _of_journal(known: Sequence[Session], now: float) -> Iterator[Remnant]:
    """Sessions whose owner is gone; what somebody changed and we therefore left."""
    for session in known:
        fate = owner.fate(session.owner)
        if session.state is State.CLOSED:
            for entry in session.kept:
                yield Remnant(
                    f"session {session.id} ({session.what})", True, f"somebody changed it, so it stays: {entry.error}",
                    "", attention=False,
                )  # fmt: skip
        elif orphaned(session, now, fate):
            yield Remnant(_named(session), True, _why(session, fate), f"tapwright stop {session.id}")
        elif fate in (Fate.DEAD, Fate.REBOOTED):
            state = f"its owner is gone, and its lease ends in {max(0, session.expires - now):.0f} s"
            yield Remnant(_named(session), True, state, f"tapwright stop {session.id}", attention=False)


def _named(session: Session) -> str:
    return f"session {session.id} ({session.what})"


def _why(session: Session, fate: Fate) -> str:
    errors = "; ".join(entry.error for entry in session.left if entry.error)
    reasons = {
        Fate.DEAD: "its owner is gone",
        Fate.REBOOTED: "of an earlier boot",
        Fate.UNKNOWN: "nobody renewed its lease",
        Fate.ALIVE: "not everything was undone",
    }
    return reasons[fate] + (f": {errors}" if errors else "")


def _of_marks(found: Sequence[Leftover], known: Sequence[Session], now: float) -> Iterator[Remnant]:
    """What carries a mark that the journal knows nothing of any more."""
    sessions = {session.id: session for session in known}
    for leftover, fate in zip(found, fates(found, owner.fate), strict=True):
        mark = leftover.mark
        session = sessions.get(mark.session) if mark else None
        if mark is None or (session and (session.state is not State.CLOSED or session.kept)):
            continue
        if fate is Fate.ALIVE:
            continue
        dead = fate in (Fate.DEAD, Fate.REBOOTED)
        state = "its owner is gone, and no journal here knows it" if dead else "of a tapwright that cannot be seen here"
        silent = 0.0 if leftover.beat else None  # only a sweep, which remembers, knows better
        yield Remnant(leftover.what, True, state, leftover.command, abandoned(mark, now, fate, session, silent))


def _of_strangers(found: Sequence[Leftover]) -> Iterator[Remnant]:
    for leftover in found:
        if leftover.mark is None:
            yield Remnant(leftover.what, False, "not ours, and never touched by tapwright", leftover.command)


# What tapwright needs


def _kernel() -> Iterator[Check]:
    try:
        said: str | None = kernel.packet_ring()
    except PermissionError:
        said = None
    yield checks.ring(said)
    found = kernel.read()
    privileged = "CAP_SYS_ADMIN" in process.capabilities()
    yield from checks.features(found, kernel.tried(checks.to_try(found), privileged=privileged))
    yield checks.pressure(kernel.pressure())


def _memory(config: Config) -> Iterator[Check]:
    yield checks.filter_memory(attach.room())
    yield checks.ring_memory(config.buffer_bytes, memory.available())


def _libpcap() -> Check:
    try:
        return checks.libpcap(version())
    except MissingDependency as error:
        return checks.libpcap("", error.message)


def _providers(config: Config) -> Iterator[Check]:
    for provider in providers.load_all(config):
        capability = provider.probe()
        yield Check("providers", provider.name, capability, needed=capability.answer is Answer.UNKNOWN)


def place(path: Path) -> checks.Place:
    """What can be told of the journal's folder without making it."""
    there, problem = True, ""
    try:
        folder.check(path)
    except FileNotFoundError:
        there = False
    except TapwrightError as error:
        problem = error.message
    nearest = next(parent for parent in (path, *path.parents) if os.path.exists(parent))  # noqa: PTH110 - never raises
    writable = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK, effective_ids=True)
    disk = os.statvfs(nearest)
    return checks.Place(str(path), there, writable, disk.f_bavail * disk.f_frsize, problem)


def _extcap() -> Check:
    try:
        places = wireshark.folders()
        found = [wireshark.status(one) for one in dict.fromkeys((places.personal, places.system))]
    except TapwrightError as error:
        return Check("software", "extcap", Capability.no(error.message, error.hint))
    if not any(one.installed for one in found):
        return Check(
            "software", "extcap", Capability.no("not among Wireshark's interfaces", "tapwright extcap install")
        )
    good = next((one for one in found if one.installed and one.current and one.known), None)
    if good:
        return Check("software", "extcap", Capability.yes(good.path))
    bad = next(one for one in found if one.installed)
    reason = "Wireshark does not find it" if bad.current else "it starts another tapwright, or one that is gone"
    return Check("software", "extcap", Capability.no(f"{bad.path}: {reason}", "tapwright extcap install"), needed=True)
