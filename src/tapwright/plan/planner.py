"""The planner: request + topology + points -> plan, with a reason for every choice.  Pure.

The least change of the host wins: a device that can simply be read, then the uplink, then a
mirror, then the VM's own side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tapwright.find.names import Selection
from tapwright.find.statistics import Rates
from tapwright.find.topology import Topology
from tapwright.model import Answer, Capability, DeviceKey, Vm, Vnic
from tapwright.plan import cost as costs
from tapwright.plan.points import Point, PointKind
from tapwright.plan.steps import Step

_LEAST_CHANGE = (PointKind.DEVICE, PointKind.UPLINK, PointKind.MIRROR, PointKind.GUEST)
_SUREST = (Answer.YES, Answer.UNKNOWN, Answer.NO)
_WITH_VNI = frozenset({"vxlan", "geneve"})
"""Overlays whose header always has one; a GRE tunnel may do without a key."""
_WITH_DEVICES = frozenset({"running", "paused", "shutting down", "suspended"})
"""States of a VM in which its devices exist."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the user wants to see, names already resolved.  0 means no limit."""

    selections: tuple[Selection, ...]
    filter: str = ""
    snaplen: int = 262_144
    seconds: float = 0.0
    bytes: int = 0
    buffer: int = 48 << 20
    kind: PointKind | None = None
    """Only points of this kind, when the user insists."""
    vni: int | None = None
    """Of the overlay the user means, at an uplink."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A vNIC and the point it will be read at."""

    vm: Vm
    vnic: Vnic
    point: Point
    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A point that was not chosen, and why."""

    vm: Vm
    vnic: Vnic
    point: Point
    reason: str


@dataclass(frozen=True, slots=True)
class Unseen:
    """A vNIC that no point can show here and now, and why."""

    vm: Vm
    vnic: Vnic | None
    """None when the VM has no vNIC at all."""
    reason: str
    fix: str = ""
    """What would make it readable, "" when nothing is known to."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be read and changed; nothing has been touched yet."""

    request: Request
    chosen: tuple[Choice, ...]
    rejected: tuple[Rejected, ...] = ()
    unseen: tuple[Unseen, ...] = ()
    steps: tuple[Step, ...] = ()
    cost: costs.Cost | None = None
    warnings: tuple[str, ...] = ()


def choose(request: Request, topology: Topology, points: Sequence[Point]) -> Plan:
    """The best point of every vNIC asked for, and why the others are not."""
    chosen: dict[tuple[object, ...], Choice] = {}
    rejected: list[Rejected] = []
    unseen: list[Unseen] = []
    for vm, vnic in _wanted(request.selections):
        ranked = _ranked(vm, vnic, points, request) if vnic else []
        best = ranked[0] if ranked and _usable(ranked[0]) else None
        if vnic is None or best is None:
            unseen.append(Unseen(vm, vnic, *_why_unseen(vm, vnic, ranked, request.kind)))
        elif before := chosen.get(_taken(best)):
            rejected.append(Rejected(vm, vnic, best, _same_device(before)))
        else:
            chosen[_taken(best)] = Choice(vm, vnic, best, _why(best, request.kind))
        rejected += [Rejected(vm, vnic, point, _why_not(point)) for point in ranked if vnic and point is not best]
    choices = tuple(chosen.values())
    return Plan(request, choices, tuple(rejected), tuple(unseen), warnings=_warnings(choices, topology))


def with_cost(plan: Plan, rates: Mapping[DeviceKey, Rates], free: int | None) -> Plan:
    """`plan` with what it would take, from the `rates` of devices and the `free` bytes of the disk (None: unknown)."""
    request = plan.request
    limits = costs.Limits(request.snaplen, request.seconds, request.bytes, request.buffer)
    devices = dict.fromkeys(device for choice in plan.chosen if (device := loaded(choice)))
    mine = [rate for device in devices if (rate := rates.get(device))]
    if not mine and any(choice.point.device is None for choice in plan.chosen):
        return plan
    cost = costs.estimate(mine, limits, free)
    return replace(plan, cost=cost, warnings=plan.warnings + costs.warnings(cost))


def loaded(choice: Choice) -> DeviceKey | None:
    """The device whose load tells what a choice will take: a mirror has none yet, and copies the vNIC's."""
    return choice.point.device or choice.vnic.device


def _wanted(selections: Sequence[Selection]) -> Iterator[tuple[Vm, Vnic | None]]:
    for selection in selections:
        yield from ((selection.vm, vnic) for vnic in selection.vnics or (None,))


def _usable(point: Point) -> bool:
    """A mirror brings its own device, where its copies can come here."""
    mirrors = point.kind is PointKind.MIRROR and not point.elsewhere
    return point.readable.answer is not Answer.NO and (point.device is not None or mirrors)


def _taken(point: Point) -> tuple[object, ...]:
    """What is read at a point; nothing else may be read there, since its packets would come twice."""
    if point.device is None:
        return (point.switch, point.port)
    return (point.device, point.vm, point.vnic) if point.shared else (point.device,)


def _narrowed(point: Point, vni: int | None) -> Point:
    """`point` with the VNI that the user means."""
    if point.overlay is None:
        return point
    if vni is None:
        unknown = point.overlay.vni is None and point.overlay.kind in _WITH_VNI
        no = Capability.no("its VNI is chosen for each flow, so which are its frames is not known", "say --vni N")
        return replace(point, readable=no) if unknown else point
    if point.overlay.vni in (None, vni):
        return replace(point, overlay=replace(point.overlay, vni=vni))
    return replace(point, readable=Capability.no(f"its VNI is {point.overlay.vni}, not {vni}"))


def _ranked(vm: Vm, vnic: Vnic, points: Sequence[Point], request: Request) -> list[Point]:
    """The points of one vNIC, best first, each device once.

    What surely can be read comes first, then what changes least, then the vNIC's own device
    (a port may be behind several in a row, such as tap, bridge and veth pair).
    """
    mine = [p for p in points if p.vm == vm.id and p.vnic == vnic.name and request.kind in (None, p.kind)]
    mine = [_narrowed(point, request.vni) for point in mine]
    mine.sort(
        key=lambda p: (
            _SUREST.index(p.readable.answer),
            not _usable(p),
            _LEAST_CHANGE.index(p.kind),
            p.device != vnic.device,
        )
    )
    unique: dict[tuple[object, ...], Point] = {}
    for point in mine:
        place = (point.device, point.overlay, point.vlan) if point.device else (point.kind, point.switch, point.port)
        unique.setdefault(place, point)
    return list(unique.values())


_REASONS = {
    PointKind.DEVICE: "it carries every frame of the vNIC, both ways; reading it changes nothing",
    PointKind.UPLINK: "its own port cannot be read; the uplink shows what leaves and enters the server",
    PointKind.MIRROR: "its port has no device that can be read; a mirror shows it both ways",
    PointKind.GUEST: "its host side cannot be read; the VM's own side shows the same frames",
}

_SHOWS = {
    PointKind.DEVICE: "carries every frame of the vNIC, both ways",
    PointKind.UPLINK: "shows what leaves and enters the server, and not what VMs here say to each other",
    PointKind.MIRROR: "shows every frame of the port, both ways",
    PointKind.GUEST: "shows the vNIC's frames from inside the VM",
}

_INFERIOR = {
    PointKind.DEVICE: "another device of the same vNIC is nearer to it",
    PointKind.UPLINK: "shows only what leaves the server, not what VMs here say to each other",
    PointKind.MIRROR: "would change the switch, and the device shows the same frames without",
    PointKind.GUEST: "would enter the VM's own side, and its host side shows the same frames",
}


def _why(point: Point, asked: PointKind | None) -> str:
    reason = f"asked for; it {_SHOWS[point.kind]}" if point.kind is asked else _REASONS[point.kind]
    if point.readable.answer is Answer.UNKNOWN:
        return f"{reason} (not sure it opens: {point.readable.reason})"
    return reason


def _why_not(point: Point) -> str:
    if point.readable.answer is Answer.NO:
        return _with_fix(point.readable)
    return _INFERIOR[point.kind]


def _same_device(other: Choice) -> str:
    return f"it is the device of {other.vm.name}/{other.vnic.name}, which is read already; its packets would come twice"


def _why_unseen(vm: Vm, vnic: Vnic | None, ranked: Sequence[Point], kind: PointKind | None) -> tuple[str, str]:
    """Reason and fix."""
    if vm.state not in _WITH_DEVICES:
        return f"it is {vm.state}; start it first", ""
    if vnic is None:
        return "it has no network interface", ""
    if ranked:
        fixes = dict.fromkeys(point.readable.fix for point in ranked if point.readable.fix)
        return "; ".join(dict.fromkeys(point.readable.reason for point in ranked)), "; ".join(fixes)
    if kind:
        return f"it has no point of kind {kind}", "leave --point out to take the best that can be read"
    if vnic.device is None:
        return "no device of this host is known to carry it", ""
    return "no provider offers a point for its device", ""


def _with_fix(capability: Capability) -> str:
    return f"{capability.reason} ({capability.fix})" if capability.fix else capability.reason


def _warnings(chosen: Sequence[Choice], topology: Topology) -> tuple[str, ...]:
    if not chosen:
        return ("nothing can be captured: none of these vNICs can be read here and now",)
    return tuple(text for choice in chosen for text in _silent(choice, topology))


def _silent(choice: Choice, topology: Topology) -> Iterator[str]:
    """Why no packets may come although the device can be read."""
    name = f"{choice.vm.name}/{choice.vnic.name}"
    device = topology.device(choice.point.device)
    if device and not device.up:
        yield f"{name}: {device.name} is down; packets come once it is up"
    if choice.vm.state != "running":
        yield f"{name}: the VM is {choice.vm.state}; packets come once it runs"
