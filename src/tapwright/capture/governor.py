"""The governor: how much of the packets may be kept, so that the host's VMs hardly feel it.  Pure.

    full       all that was asked for
    sliced     256 bytes of each packet
    headers    96 bytes
    sampled    96 bytes of one packet in sixteen
    stopped    nothing more; the capture ends, and its file is whole

`decide` takes the state and the latest readings and gives the next state and, where something changes, the decision
with its reason in words.  It steps down one level at a time when a limit is broken, and when the host is under
pressure *and* the capture is a considerable part of what goes on; pressure that is not ours is nothing that stepping
down would help.  A level that would not help is left out: one that would cut nothing, since the packets are that
small, and one that only cuts them where processors are short and the packets are a crowd.  It steps up, one level at a
time too, after a time of calm and where the next level is expected to keep well within the limits; each relapse doubles
the time.  Never from `stopped`.

Readings are taken over a window of a second, and over each shorter stretch of time up to now: when a fifth of the
window has copied as much as a limit allows for all of it, the rest cannot make that less, and need not be waited for.
A burst that is smaller than this is no reason, however steep.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import NamedTuple

from tapwright.capture.policy import Policy, formatted
from tapwright.units import format_count

SETTLE = 0.5
"""Seconds after a step before the next one: its effect must show first."""
STEEP = 1.5
"""So many times its limit a pressure has to be where it is read over less than the window."""
SPARED = 0.1
"""A level that cuts packets keeps so much less of them, as long as they are now, or it is left out."""
CALM = 30.0
"""Seconds without a reason to step down before the first step up."""
LONGEST_CALM = 600.0
ROOM = 0.7
"""Of a limit: a level is stepped up to when so much of it is not expected to be used."""


class Level(IntEnum):
    """How much is kept; a higher one is less."""

    FULL = 0
    SLICED = 1
    HEADERS = 2
    SAMPLED = 3
    STOPPED = 4

    def __str__(self) -> str:
        return self.name.lower()

    @property
    def most(self) -> int:
        """Bytes kept of a packet; 0 is as many as were asked for."""
        return (0, 256, 96, 96, 96)[self]

    @property
    def one_in(self) -> int:
        """One packet in so many is kept."""
        return 16 if self is Level.SAMPLED else 1

    def described(self, *, cuts: bool = True) -> str:
        """The level and what it keeps, in a few words; without `cuts` a sample is of whole packets."""
        if self in (Level.FULL, Level.STOPPED):
            return str(self)
        which = "each packet" if self.one_in == 1 else f"one packet in {self.one_in}"
        return f"{self} ({f'{self.most} bytes of ' if cuts or self.one_in == 1 else ''}{which})"


LADDER = tuple(Level)


def ladder(snaplen: int, *, cuts: bool = True) -> tuple[Level, ...]:
    """The levels that keep less than the one above where `snaplen` bytes are asked for.

    Without `cuts` packets can only be left out: what looks into all of a packet.
    """
    cutting = (Level.SLICED, Level.HEADERS)
    return tuple(level for level in LADDER if level not in cutting or (cuts and level.most < snaplen))


@dataclass(frozen=True, slots=True)
class Readings:
    """What was measured over the last moments, as rates; None where this host does not tell."""

    part: float = 1.0
    """Of the window, that they were taken over."""
    packets: float = 0.0
    """Packets kept a second."""
    rate: float = 0.0
    """Bits copied a second."""
    whole: float = 0.0
    """Bits a second of the packets kept, had they not been cut."""
    cpu: float = 0.0
    """Share of a core that the engine had."""
    disk: float = 0.0
    """Bytes written a second."""
    free: int | None = None
    """Bytes free on the file's disk, less what is to stay free; None without a file."""
    psi_cpu: float | None = None
    psi_io: float | None = None
    psi_memory: float | None = None
    psi_full: float | None = None
    """The larger of those of disks and memory."""
    steal: float | None = None
    drops: float | None = None
    softnet: float | None = None

    @property
    def unknown(self) -> tuple[str, ...]:
        """What this host does not tell."""
        watched = ("psi_cpu", "psi_io", "psi_memory", "psi_full", "steal", "drops", "softnet")
        return tuple(name for name in watched if getattr(self, name) is None)


@dataclass(frozen=True, slots=True)
class Decision:
    """A step: when (seconds since the epoch), from where to where, and why."""

    time: float
    before: Level
    after: Level
    reason: str
    cuts: bool = True
    """Whether a sample is cut, too."""

    @property
    def text(self) -> str:
        """One sentence."""
        verb = "stopped" if self.after is Level.STOPPED else "down" if self.after > self.before else "up"
        what = (
            "stopped"
            if verb == "stopped"
            else f"stepped {verb} from {self.before} to {self.after.described(cuts=self.cuts)}"
        )
        return f"{what}: {self.reason}"


@dataclass(frozen=True, slots=True)
class State:
    """Where the governor stands; times are seconds of one clock that never goes back."""

    level: Level = Level.FULL
    stepped: float = float("-inf")
    """When the last step was."""
    calm_since: float | None = None
    """Since when there was no reason to step down; None while there is one."""
    patience: float = CALM
    """How long it must be calm before the next step up."""
    rose: float = float("-inf")
    """When the last step up was."""
    ladder: tuple[Level, ...] = field(default=LADDER, repr=False)


def decide(
    policy: Policy, state: State, now: float, readings: Readings, sudden: Iterable[Readings] = ()
) -> tuple[State, tuple[Level, str] | None]:
    """The next state, and the level stepped to with the reason; None where nothing changes.

    `sudden` are readings of shorter stretches of time up to now; only as reasons to step down.
    """
    if state.level is Level.STOPPED:
        return state, None
    if policy.free and readings.free is not None and readings.free < 0:
        full = f"free space on the file's disk is down to what is to stay free ({formatted('free', policy.free)})"
        return replace(state, level=Level.STOPPED, stepped=now), (Level.STOPPED, full)
    if now - state.stepped < SETTLE:
        return state, None
    # Fewer packets than a sample has only the end, which a flood of small ones is no reason for.
    limits = replace(policy, busy_packets=float("inf")) if state.level is Level.SAMPLED else policy
    for each in (readings, *sudden):
        if reason := next(reasons(limits, each), None):
            return _down(state, now, each, reason)
    return _up(policy, state, now, readings)


def _down(state: State, now: float, readings: Readings, reason: Reason) -> tuple[State, tuple[Level, str]]:
    level = _lower(state, readings, crowd=reason.crowd)
    patience = state.patience
    if state.calm_since is not None or state.stepped == state.rose:  # else it goes on falling
        patience = min(2 * patience, LONGEST_CALM) if now - state.rose < patience else CALM
    return replace(state, level=level, stepped=now, calm_since=None, patience=patience), (level, reason.text)


def _lower(state: State, readings: Readings, *, crowd: bool) -> Level:
    """The next level that keeps less of packets as they come now, or fewer of them where they are a crowd."""
    length = readings.rate / 8 / readings.packets if readings.packets else float("inf")
    below = state.ladder[state.ladder.index(state.level) + 1 :]
    helps = (level for level in below if level.one_in > 1 or (not crowd and level.most <= length * (1 - SPARED)))
    return next(helps, below[-1])


def _up(policy: Policy, state: State, now: float, readings: Readings) -> tuple[State, tuple[Level, str] | None]:
    if state.level is Level.FULL:
        return state, None
    above = state.ladder[state.ladder.index(state.level) - 1]
    if next(reasons(policy, expected(readings, state.level, above), ROOM), None):
        return replace(state, calm_since=None), None
    since = now if state.calm_since is None else state.calm_since
    if now - since < state.patience:
        return replace(state, calm_since=since), None
    calm = f"calm for {state.patience:.0f} s"
    return replace(state, level=above, stepped=now, rose=now, calm_since=None), (above, calm)


def expected(readings: Readings, level: Level, above: Level) -> Readings:
    """What would be read one level up, everything else being as it is."""
    packets = readings.packets * level.one_in / above.one_in
    whole = readings.whole * level.one_in / above.one_in
    rate = min(whole, packets * above.most * 8) if above.most else whole
    grown = rate / readings.rate if readings.rate else 1.0
    return replace(readings, packets=packets, whole=whole, rate=rate, disk=readings.disk * grown)


class Reason(NamedTuple):
    """Why to step down."""

    text: str
    crowd: bool = False
    """Whether it is for how many packets are kept, and not only for how much of them."""


def reasons(policy: Policy, readings: Readings, room: float = 1.0) -> Iterator[Reason]:
    """Why to step down, most certain first; with `room` below 1 the limits are as much lower.

    Readings of a part of the window are compared with what may come in all of it.
    """
    whole = room / min(readings.part, 1.0)
    for name, what in (("rate", "copying"), ("cpu", "the engine takes"), ("disk", "writing")):
        limit = getattr(policy, name) * whole
        if limit and getattr(readings, name) > limit:
            yield Reason(f"{what} {formatted(name, getattr(readings, name))} {_limit(name, policy)}")
    causes = _causes(policy, readings, whole)
    if not causes:
        return
    for name, text, writes in _PRESSURES:
        read = getattr(readings, name)
        cause = causes.get("disk" if writes else "cpu")
        most = getattr(policy, name) * (whole if name in _COUNTED else min(whole, room * STEEP))
        if cause and read is not None and read > most:
            # That there is a reason has to be certain over a window; how many packets come is taken as it is just now.
            crowd = not writes and readings.packets > policy.busy_packets * room
            yield Reason(f"{text.format(formatted(name, read))} {_limit(name, policy)}, and {cause}", crowd)


_PRESSURES = (
    ("psi_cpu", "tasks wait for a processor {} of the time", False),
    ("psi_io", "tasks wait for a disk {} of the time", True),
    ("psi_memory", "tasks wait for memory {} of the time", True),
    ("psi_full", "everything waits for a disk or memory {} of the time", True),
    ("steal", "the host's own host takes away {} of the processors' time", False),
    ("drops", "the VMs' ports drop {} packets", False),
    ("softnet", "the host's processors drop {} packets", False),
)
"""(the reading, what it means, whether it is writing that causes it)"""
_COUNTED = ("drops", "softnet")
"""Not shares of time, which are no larger in a part of the window than in all of it."""


def idle(policy: Policy, readings: Readings) -> bool:
    """Whether the governed does so little that pressure of the host would be none of its doing for now."""
    return not _causes(policy, readings, 0.5)


def _causes(policy: Policy, readings: Readings, room: float) -> dict[str, str]:
    """What the capture does to the host that is worth mentioning: to its processors, to its disks."""
    crowd = readings.packets > policy.busy_packets * room
    packets = f"{format_count(round(readings.packets))} packets/s"
    copying = f"the capture copies {formatted('rate', readings.rate)}{f', {packets}' if crowd else ''}"
    taking = f"the capture takes {formatted('cpu', readings.cpu)} of a core"
    found = {}
    if readings.rate > policy.busy_rate * room:
        found["cpu"] = copying
    elif crowd:
        found["cpu"] = f"the capture keeps {packets}"
    elif readings.cpu > policy.busy_cpu * room:
        found["cpu"] = taking
    if readings.disk > policy.busy_disk * room:
        found["disk"] = f"the capture writes {formatted('disk', readings.disk)}"
    return found


def _limit(name: str, policy: Policy) -> str:
    return f"(limit {formatted(name, getattr(policy, name))})"


@dataclass(frozen=True, slots=True)
class Reserve:
    """How much of a disk stays free: what the policy says, or a fiftieth of it where that is less.

    A disk so small that this is next to nothing was made for the capture and holds nothing of the host's.
    """

    free: int

    def of(self, size: int) -> int:
        """Bytes of a disk of `size`."""
        kept = min(self.free, size // 50)
        return kept if kept >= _SMALLEST else 0


_SMALLEST = 16 << 20
