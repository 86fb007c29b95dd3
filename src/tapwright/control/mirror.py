"""Mirrors on this host: from what a person asks to an open session, and what it copies as time goes by."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from tapwright import config as configuration
from tapwright import providers
from tapwright.adapters import livepcap
from tapwright.capture.governor import Level
from tapwright.capture.policy import DEFAULT, Policy
from tapwright.config import Config
from tapwright.control import local
from tapwright.control.delivery import Deliveries, Delivery
from tapwright.control.governed_mirror import BETWEEN, GovernedMirror, govern, ladder, most
from tapwright.control.governor import Governor
from tapwright.control.prepare import resolver, selected
from tapwright.control.sessions import Count, Opened, Running, Sessions
from tapwright.errors import PrivilegeError, ProviderError, TapwrightError, UsageError
from tapwright.filter.compile import Compiled, compile_filter
from tapwright.find.names import resolve_switch
from tapwright.find.topology import Topology
from tapwright.model import Switch, Vm, Vnic
from tapwright.plan.mirroring import Asked, mirrored, place, ranked, reason, unmirrored, vnics, whole
from tapwright.plan.mirrors import Direction, Mirror, Target, vlans_of
from tapwright.plan.points import Point
from tapwright.plan.preflight import NOTHING_KNOWN, Preflight
from tapwright.plan.steps import NOBODY, Mark
from tapwright.tap.session import LEASE, Session

INTERVAL = 1.0
"""Seconds between two looks at what was copied."""
_SHARE = 10
"""A look may take one part in so many of the time: with very many mirrors looks get rarer."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asks of a mirror, in their own words.  0 means no limit."""

    vms: Sequence[str]
    """Names, ids, ``VM/nic`` or shell patterns."""
    target: Target
    switch: str = ""
    """Name or id of a switch whose `vlans` are copied as a whole; then there are no VMs."""
    filter: str = ""
    direction: Direction = Direction.BOTH
    snaplen: int = 0
    vlans: tuple[int, ...] = ()
    """Only frames of these VLANs of the switch."""
    seconds: float = 0.0
    lease: float = LEASE
    by: str = ""
    """Only by this provider."""
    governor: Policy | None = DEFAULT
    """What it may take of the host before it is stopped; None is no limit."""

    @property
    def what(self) -> str:
        """As a person would call the session."""
        whole = [vlans_of(self.switch, self.vlans)] if self.switch else self.vms
        return f"mirror of {', '.join(whole)} to {self.target.text}"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A vNIC, or VLANs of a switch, the mirror that copies them, and why there."""

    vm: Vm | None
    vnic: Vnic | None
    """Both None where a switch is copied."""
    mirror: Mirror
    """With nobody's mark: a session puts its own on it."""
    reason: str
    refused: tuple[tuple[Point, str], ...] = ()
    """Points that come before it and cannot serve, and why."""
    preflight: Preflight = NOTHING_KNOWN
    """What is known before it is opened: whether copies fit the way, for one."""

    @property
    def name(self) -> str:
        """``VM/nic``, or which VLANs of which switch."""
        return f"{self.vm.name}/{self.vnic.name}" if self.vm and self.vnic else self.mirror.source


@dataclass(frozen=True, slots=True)
class Prepared:
    """Mirrors that only need to be opened; nothing has been changed."""

    wish: Wish
    topology: Topology
    chosen: tuple[Chosen, ...]
    left_out: tuple[str, ...]
    """A sentence about each vNIC that was asked for and cannot be mirrored."""
    sessions: Sessions

    def mirrors(self, mark: Mark) -> tuple[Mirror, ...]:
        """What a session of that mark opens."""
        return tuple(replace(chosen.mirror, mark=mark) for chosen in self.chosen)

    def planned(self) -> tuple[Opened, ...]:
        """What would be opened, with nobody's mark.  Raises as `open`."""
        return self.sessions.plan(self.mirrors(NOBODY))

    def levels(self, opened: Sequence[Opened]) -> tuple[Level, ...]:
        """Of the governor, for what is opened: full, and what it can step down to; only full without one."""
        if self.wish.governor is None:
            return (Level.FULL,)
        possible = [level for level in BETWEEN if self.sessions.can_reduce(opened, most(level), level.one_in)]
        return ladder(possible, self.wish.snaplen)


@dataclass(frozen=True, slots=True)
class Reading:
    """A session at one moment: what every mirror copied so far."""

    session: Session
    seconds: float
    """since it was opened"""
    counts: tuple[Count, ...]
    deliveries: tuple[Delivery, ...] = ()
    """Whether each mirror delivers, where its provider can tell."""


Watch = Callable[[Reading], None]
"""Whoever wants to know what becomes of a session; called in the thread that reads it."""


@dataclass(slots=True)
class Mirroring:
    """An open session."""

    prepared: Prepared
    running: Running
    watchers: list[Watch] = field(default_factory=list)
    """Called about once a second with the newest reading, the last one too."""
    governor: Governor | None = None
    """What steps it down for the sake of the host."""
    governed: GovernedMirror | None = None
    """As the governor sees it."""
    deliveries: Deliveries = field(default_factory=Deliveries)
    """Whether its mirrors deliver."""

    def __post_init__(self) -> None:
        known = (chosen.preflight for chosen in self.prepared.chosen)
        limits = [(each.largest, each.beyond) for each in known]
        opened = self.running.mirrors
        self.deliveries = Deliveries.of(self.prepared.sessions, opened, dict(zip(opened, limits, strict=True)))

    def govern(self, policy: Policy) -> None:
        """Have it step down when it takes more than that, or the host is under pressure it is a part of."""
        points = (chosen.mirror.point for chosen in self.prepared.chosen)
        governed = GovernedMirror(points, self.prepared.wish.snaplen, self.step, self.running.stopped.set)
        self.governed = governed
        governor = self.governor = govern(policy, governed, self.prepared.levels(self.running.mirrors))

        def look(reading: Reading) -> None:
            governed.tell([count.copied for count in reading.counts])
            governor.tick()

        self.watchers.append(look)

    def step(self, level: Level) -> None:
        """Copy as much as `level`, which is not the last one, says from now on.  Raises as `Sessions.reduce`."""
        self.prepared.sessions.reduce(self.running, most(level), level.one_in)
        self.deliveries.reduced(self.running.steps, most(level), level.one_in)

    def readings(self, interval: float = INTERVAL) -> Iterator[Reading]:
        """One now, then one each `interval` seconds until it is to end, and a last one with everything still open.

        Rarer where looking takes long.
        """
        start = time.monotonic()
        ended = False
        deliveries = self.deliveries
        names = dict(zip(self.running.mirrors, (chosen.name for chosen in self.prepared.chosen), strict=True))
        while True:
            looked = time.monotonic()
            counts = self.prepared.sessions.counts(self.running)
            pause = max(interval, _SHARE * (time.monotonic() - looked))
            proof = deliveries.look()
            self.running.news = deliveries.news(names)
            reading = Reading(self.running.session, time.monotonic() - start, counts, proof)
            for watch in self.watchers:
                watch(reading)
            yield reading
            if ended:
                return
            ended = self.running.wait(pause)


def prepare(wish: Wish, config: Config | None = None) -> Prepared:
    """Find the VMs and the target, compile the filter and choose who copies each vNIC.

    Raises NotFound, Ambiguous, FilterError (with the position), MissingDependency, UsageError, and what the
    providers raise where none of the vNICs can be mirrored.
    """
    config = config or configuration.load()
    known = {provider.name: provider for provider in providers.load_all(config)}
    if wish.by and wish.by not in known:
        known[wish.by] = providers.load(wish.by, config)
    topology = local.look(config, tuple(known.values()))
    asked = Asked(
        selected(topology, wish.vms) if wish.vms else (),
        wish.target,
        wish.direction,
        bool(wish.filter.strip()),
        wish.snaplen,
        wish.by,
        wish.vlans,
        resolve_switch(topology, wish.switch) if wish.switch else None,
    )
    sessions = Sessions.of(tuple(known.values()), config)
    found = _Chooser(asked, topology, sessions, _filters(wish, topology))
    points = local.points(topology, config, tuple(known.values()))
    chosen, refused = found.all(points)
    if not chosen:
        raise _nothing(refused)
    left_out = tuple(f"{name} is not mirrored: {error.line}" for name, error in refused)
    return Prepared(wish, topology, chosen, left_out, sessions)


@contextmanager
def opened(prepared: Prepared) -> Iterator[Mirroring]:
    """The mirrors, open while this holds; at the end everything is undone.

    Raises as `Sessions.open`.
    """
    wish = prepared.wish
    with prepared.sessions.open(wish.what, prepared.mirrors, lease=wish.lease, seconds=wish.seconds) as running:
        mirroring = Mirroring(prepared, running)
        if wish.governor:
            mirroring.govern(wish.governor)
        yield mirroring


def _filters(wish: Wish, topology: Topology) -> dict[bool, Compiled]:
    """The filter for points on either side: `inbound` and `outbound` are meant from the VM's.  Raises FilterError."""
    return {
        outside: compile_filter(wish.filter, resolver(topology), live=livepcap.live, outgoing_is_to_vm=outside)
        for outside in (True, False)
    }


class _Chooser:
    """Tries the points of each vNIC, best first, until a provider can serve one."""

    def __init__(self, asked: Asked, topology: Topology, sessions: Sessions, filters: dict[bool, Compiled]) -> None:
        self._asked = asked
        self._topology = topology
        self._sessions = sessions
        self._filters = filters

    def all(self, points: Sequence[Point]) -> tuple[tuple[Chosen, ...], list[tuple[str, TapwrightError]]]:
        """Who is mirrored and how, and who is not and why."""
        chosen: list[Chosen] = []
        refused: list[tuple[str, TapwrightError]] = []
        if self._asked.switch:
            return (self._whole(self._asked.switch),), []
        for vm, vnic in vnics(self._asked, self._topology):
            try:
                chosen.append(self._one(vm, vnic, points))
            except PrivilegeError:
                raise
            except TapwrightError as error:
                refused.append((f"{vm.name}/{vnic.name}", error))
        return tuple(chosen), refused

    def _one(self, vm: Vm, vnic: Vnic, points: Sequence[Point]) -> Chosen:
        refusals: list[tuple[Point, TapwrightError]] = []
        for point in ranked(self._asked, vm, vnic, points):
            try:
                mirror, known = self._tried(vnic, point)
            except PrivilegeError:
                raise
            except TapwrightError as error:
                refusals.append((point, error))
            else:
                before = tuple((point, error.line) for point, error in refusals)
                return Chosen(vm, vnic, mirror, reason(self._asked, point), before, known)
        raise _refused(refusals) if refusals else unmirrored(self._asked, vm, vnic)

    def _whole(self, switch: Switch) -> Chosen:
        point = whole(switch, self._topology)
        if self._asked.by not in ("", point.provider):
            raise ProviderError(f"VLANs of {switch.name} cannot be mirrored by {self._asked.by}", "leave --by out")
        mirror, known = self._tried(None, point)
        return Chosen(None, None, mirror, reason(self._asked, point), (), known)

    def _tried(self, vnic: Vnic | None, point: Point) -> tuple[Mirror, Preflight]:
        asked = self._asked
        program = self._filters[point.outgoing_is_to_vm].program.code if asked.filtered else b""
        where = place(asked, self._topology, vnic, point)
        mirror = Mirror(point, asked.target, NOBODY, where, asked.direction, program, asked.snaplen, asked.vlans)
        self._sessions.steps(mirror)
        addresses = mirrored(asked, self._topology, vnic)
        known = self._sessions.preflight(mirror, addresses, vnic.mtu if vnic else 0)
        if refusal := known.refusal:
            raise ProviderError(refusal.text, refusal.advice)
        return mirror, known


def _refused(refusals: Sequence[tuple[Point, TapwrightError]]) -> TapwrightError:
    """The first refusal, with the others behind it: it is of the point that was meant."""
    (_, first), *others = refusals
    if told := [f"; at {point.id}: {error.message}" for point, error in others if error.message != first.message]:
        first.message += "".join(told)
        first.hint = "\n".join(dict.fromkeys(error.hint for _, error in refusals if error.hint))
    return first


def _nothing(refused: Sequence[tuple[str, TapwrightError]]) -> TapwrightError:
    """One error for all of them, told once where all say the same."""
    (_, first), *others = refused
    if not others:
        return first
    lines = dict.fromkeys(error.message for _, error in refused)
    hints = "\n".join(dict.fromkeys(error.hint for _, error in refused if error.hint))
    kind = UsageError if all(isinstance(error, UsageError) for _, error in refused) else ProviderError
    if len(lines) == 1:
        return kind(first.message, hints)
    return kind("; ".join(f"{name}: {error.message}" for name, error in refused), hints)
