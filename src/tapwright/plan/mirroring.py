"""Mirrors: at which point each vNIC is copied, and where on this host a target is.  Pure.

The switch's own mirror is taken where nothing but copies is wanted, a controller asked for one
where this host has not got the port.  Where a filter is, the kernel
runs it best at the vNIC's device, and the switch is not changed at all; so it does for a collector
VM, whose port would carry nothing else while a switch mirrors to it.  Whether a provider can serve
what is asked, it says itself when it makes the steps; the next point is tried where it cannot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from tapwright.errors import NotFound, ProviderError, TapwrightError, UsageError
from tapwright.find.names import Selection, resolve_vnic
from tapwright.find.topology import Topology
from tapwright.model import Answer, Capability, Device, Netns, Port, Role, Switch, Vm, Vnic
from tapwright.plan.mirrors import Direction, Place, Target, TargetKind
from tapwright.plan.points import Point, PointKind

UPPER = frozenset({"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"})
"""Kinds of devices that send by the one below them."""
_SUREST = (Answer.YES, Answer.UNKNOWN, Answer.NO)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user wants copied, names already resolved."""

    selections: tuple[Selection, ...]
    target: Target
    direction: Direction = Direction.BOTH
    filtered: bool = False
    snaplen: int = 0
    """Bytes of a frame, 0 for whole ones."""
    by: str = ""
    """Only by this provider, when the user insists."""
    vlans: tuple[int, ...] = ()
    """Only frames of these VLANs; () is all."""
    switch: Switch | None = None
    """What is mirrored instead of VMs: those VLANs of it."""


def vnics(asked: Asked, topology: Topology) -> Iterator[tuple[Vm, Vnic]]:
    """Those that are mirrored: the collector's own are not, since it would get copies of its copies.

    Raises UsageError where nothing but the collector was named, NotFound, Ambiguous.
    """
    taker = collector(asked.target, topology)
    found = [(s.vm, vnic) for s in asked.selections for vnic in s.vnics if taker is None or s.vm.id != taker[0].id]
    if not found and taker and any(s.vm.id == taker[0].id for s in asked.selections):
        raise UsageError(
            f"{taker[0].name} cannot be mirrored to itself: its copies would be copied again",
            "name another VM as the collector, or send the copies elsewhere: --to nic:DEV, --to vxlan://ADDRESS?vni=7",
        )
    if not found:
        names = ", ".join(selection.vm.name for selection in asked.selections)
        raise NotFound(f"{names} has no vNIC that could be mirrored", "tapwright ls shows the vNICs of every VM")
    yield from found


def collector(target: Target, topology: Topology) -> tuple[Vm, Vnic] | None:
    """The vNIC of a ``vm:`` target, None for another one.  Raises NotFound, Ambiguous, UsageError."""
    if target.kind is not TargetKind.VM:
        return None
    found = resolve_vnic(topology, target.name)
    if len(found.vnics) != 1:
        names = " or ".join(f"vm:{found.vm.name}/{vnic.name}" for vnic in found.vnics)
        raise UsageError(
            f"{target.text}: {found.vm.name} has {len(found.vnics)} vNICs",
            f"say which: {names}" if names else "it needs one that can take the copies",
        )
    return found.vm, found.vnics[0]


def ranked(asked: Asked, vm: Vm, vnic: Vnic, points: Sequence[Point]) -> tuple[Point, ...]:
    """The points of one vNIC at which it could be copied, best first."""
    mine = [p for p in points if (p.vm, p.vnic) == (vm.id, vnic.name) and p.mirrors and asked.by in ("", p.provider)]
    mine.sort(
        key=lambda p: (
            _SUREST.index(p.readable.answer),
            p.elsewhere,
            (p.kind is PointKind.DEVICE) != _at_device(asked),
            p.device != vnic.device,
        )
    )
    return tuple(mine)


def whole(switch: Switch, topology: Topology) -> Point:
    """The point at which VLANs of a switch are copied.  Raises ProviderError where nobody can."""
    by_ovs = switch.kind == "ovs"
    if by_ovs and "ovs" not in switch.providers:
        raise ProviderError(f"Open vSwitch's database with switch {switch.name} does not answer")
    if not by_ovs and switch.device is None:
        raise ProviderError(f"{switch.name} has no device in this kernel, at which its frames could be copied")
    return Point(
        kind=PointKind.MIRROR if by_ovs else PointKind.DEVICE,
        vm="",
        vnic="",
        provider="ovs" if by_ovs else "linux",
        device=None if by_ovs else switch.device,
        device_name=switch.name,
        netns=topology.netns.get(switch.netns, Netns(switch.netns)),
        readable=Capability.yes("each of its frames can be copied"),
        switch=switch.id,
        sees="each frame once, as the switch takes it in",
        changes=(
            f"a mirror of VLANs and a port of its own on {switch.name}"
            if by_ovs
            else f"filters on {switch.name}, which is promiscuous meanwhile",
        ),
        copies=not by_ovs,
    )


def _at_device(asked: Asked) -> bool:
    """Whether the kernel serves it better at the vNIC's device than the switch at its port."""
    possible = not asked.snaplen and not asked.vlans and asked.target.kind is not TargetKind.RSPAN
    return possible and (asked.filtered or asked.target.kind is TargetKind.VM)


def reason(asked: Asked, point: Point) -> str:
    """Why a vNIC is copied at `point`."""
    if point.elsewhere:
        return f"the server that has port {point.port} copies it, as its controller says"
    if point.whole:
        filtered = ", and what it copies is filtered" if asked.filtered else ""
        who = "switch" if point.kind is PointKind.MIRROR else "kernel"
        return f"the {who} copies each frame of these VLANs once{filtered}"
    if point.kind is PointKind.MIRROR:
        filtered = ", and what it copies is filtered" if asked.filtered else ""
        return f"the switch copies port {point.port}{filtered}"
    filtered = " what the filter matches" if asked.filtered else ""
    collector = ", and the collector's own traffic goes on" if asked.target.kind is TargetKind.VM else ""
    return f"the kernel copies{filtered} at {point.device_name}; the switch is not changed{collector}"


def unmirrored(asked: Asked, vm: Vm, vnic: Vnic) -> TapwrightError:
    """What to say of a vNIC that no point can copy."""
    name = f"{vm.name}/{vnic.name}"
    if asked.by:
        return ProviderError(f"{name} cannot be mirrored by {asked.by}", "leave --by out to take whatever can")
    state = "" if vm.state == "running" else f" ({vm.name} is {vm.state})"
    return ProviderError(
        f"{name} cannot be mirrored: no switch or device of this host is known to carry it{state}",
        f"see where it is plugged in: tapwright where {vm.name}",
    )


def mirrored(asked: Asked, topology: Topology, vnic: Vnic | None) -> tuple[str, ...]:
    """Addresses of the vNICs whose frames are copied: of all on the switch where that is mirrored."""
    if vnic is not None:
        return vnic.addresses
    everybody = (vnic for vm in topology.vms for vnic in vm.vnics)
    there = asked.switch.id if asked.switch else ""
    on_it = (vnic for vnic in everybody if (port := topology.port_of(vnic)) and port.switch == there)
    return tuple(address for vnic in on_it for address in vnic.addresses)


def place(asked: Asked, topology: Topology, vnic: Vnic | None, point: Point) -> Place:
    """Where the copies made at `point` go on this host; an empty place for what leaves it.

    Raises NotFound, ProviderError, UsageError with the reason where that would do harm.
    """
    target = asked.target
    if point.readable.answer is Answer.NO:
        raise ProviderError(point.readable.reason, point.readable.fix)
    addresses = mirrored(asked, topology, vnic)
    if target.remote and ip_address(target.remote) in {ip_address(a.partition("/")[0]) for a in addresses}:
        who = "the mirrored VM itself" if vnic else "a VM on the mirrored switch"
        raise UsageError(f"{target.remote} is {who}, which would get copies of its copies", "name another collector")
    if point.elsewhere:
        return Place()
    if found := collector(target, topology):
        return _of_vnic(topology, found[1], point)
    if target.kind is TargetKind.NIC and target.name:
        return _of_device(topology, target.name, point)
    return Place()


def _of_vnic(topology: Topology, vnic: Vnic, point: Point) -> Place:
    port, device = topology.port_of(vnic), topology.device(vnic.device)
    there = port.name if port and point.kind is PointKind.MIRROR and port.switch == point.switch else ""
    return Place(vnic.device, device.name if device else "", _netns(topology, device), there)


def _of_device(topology: Topology, name: str, point: Point) -> Place:
    device = _device(topology, name, point.netns)
    port = _port(topology, name, device, point)
    if port is None and device is None:
        raise NotFound(f"there is no device {name!r} beside {point.device_name}", _near(topology, point.netns))
    if port is not None:
        _refuse_port(name, port, point)
    if device is not None:
        _refuse_way_back(topology, device, point)
    if point.kind is PointKind.MIRROR and device is not None and (port is None or port.switch != point.switch):
        _refuse_taken(topology, device, point)
    there = port.name if port and point.kind is PointKind.MIRROR and port.switch == point.switch else ""
    return Place(device.key if device else None, name, _netns(topology, device), there)


def _port(topology: Topology, name: str, device: Device | None, point: Point) -> Port | None:
    """The port of that name on the mirrored switch, else the one that the device carries."""
    own = next((port for port in topology.ports_of(point.switch) if port.name == name), None) if point.switch else None
    return own or (topology.port_at(device.key) if device else None)


def _refuse_port(name: str, port: Port, point: Point) -> None:
    """A port that takes copies carries nothing else meanwhile, or passes them on as if they were the VM's own."""
    if port.role is Role.VNIC:
        raise UsageError(f"{name} is the port of a VM", "name the collector by its vNIC: --to vm:NAME/NIC")
    if port.switch != point.switch:
        return
    if port.role is Role.UPLINK:
        raise UsageError(
            f"{name} is the way out of the VM's own switch, which needs it for other traffic",
            "take a NIC of its own for the copies, or send them wrapped: --to vxlan://ADDRESS?vni=7",
        )
    if port.role is Role.INTERNAL and point.kind is not PointKind.MIRROR:
        raise UsageError(
            f"{name} leads into the VM's own switch, where copies would pass for the VM's own frames",
            "take a NIC that hangs on no switch, or a collector VM: --to vm:NAME/NIC",
        )


def _refuse_way_back(topology: Topology, device: Device, point: Point) -> None:
    """Where frames that leave by `device` get into the VM's own switch, or one beside it, they come to the VM again."""
    entry = _entry(topology, device, own=point.kind is not PointKind.MIRROR)
    if entry and entry.switch in _joined(topology, point.switch):
        raise UsageError(
            f"{device.name} leads into the VM's own switch by port {entry.name}, and copies would be copied for ever",
            "take a NIC that hangs on no switch, or a collector VM: --to vm:NAME/NIC",
        )


def _entry(topology: Topology, device: Device, *, own: bool) -> Port | None:
    """The port by which a frame gets into a switch that is given to `device`; `own` where that may be its port."""
    way = [device]
    while way[-1].kind in UPPER and (below := topology.device(way[-1].lower)) and below not in way:
        way.append(below)
    last = way[-1]
    port = topology.port_at(last.key) if own or len(way) > 1 else None
    if port and port.role is Role.INTERNAL:
        return port
    return topology.port_at(last.peer) if last.peer else None


def _joined(topology: Topology, switch: str) -> frozenset[str]:
    """A switch, and those that patches join to it."""
    found, todo = {switch} - {""}, [switch]
    while todo:
        beyond = filter(None, map(topology.across, topology.ports_of(todo.pop())))
        new = {port.switch for port in beyond} - found
        found |= new
        todo += new
    return frozenset(found)


def _refuse_taken(topology: Topology, device: Device, point: Point) -> None:
    """A device that becomes a port of the switch is lost to whoever uses it now."""
    told = [text for text in device.addresses if not ip_address(text.partition("/")[0]).is_link_local]
    hint = "take a NIC that nobody uses, or send the copies wrapped: --to vxlan://ADDRESS?vni=7"
    if told:
        raise UsageError(
            f"{device.name} has the address {told[0]} of this host, and would become a port of the switch that "
            "carries nothing but copies",
            hint,
        )
    switch = topology.switch_of(device.key)
    if device.master or switch:
        where = f" of {switch.name}" if switch else ""
        there = f"the switch of {point.port}" if point.port else point.device_name
        raise UsageError(f"{device.name} is a port{where} already, and not of {there}", hint)


def _device(topology: Topology, name: str, netns: Netns) -> Device | None:
    """The device of that name beside the point; else one somewhere else, for the provider to say why not."""
    alike = [device for device in topology.devices.values() if device.name == name]
    return next((device for device in alike if device.key.netns == netns.inode), alike[0] if alike else None)


def _netns(topology: Topology, device: Device | None) -> Netns | None:
    return topology.netns.get(device.key.netns, Netns(device.key.netns)) if device else None


def _near(topology: Topology, netns: Netns) -> str:
    names = sorted(d.name for d in topology.devices.values() if d.key.netns == netns.inode and not d.master)
    return f"there are {', '.join(names[:12])}" if names else "ip link lists the devices"
