"""Pure: mirrors that Open vSwitch cannot make by itself, in steps that it and tc can.

It copies whole ports; what a filter matches of them only the kernel can tell, and its userspace
datapath cuts a frame for a tunnel after it wrapped it, which nobody can unwrap.  So copies pass
through a device of our own (an internal port), whose ingress hook has the filter:

    port ==mirror==> our device --filter--> a device that takes them                          nic:, vm:
    port ==mirror==> our device --filter--> a bridge of our own ==mirror==> its tunnel port   tunnels
    port ==mirror==> our device --filter--> a port of our own in the VLAN                     rspan:

The bridge of our own (a *relay*) has no flows, so it forwards nothing; but it mirrors what comes in.
Where frames are filtered and cut, a second relay cuts them in between.

The port in the VLAN (an *entrance*) the switch takes for any other: it puts what comes in into the
VLAN and hands it to all ports that carry that.  So that it does not learn there that the VM is
behind the entrance, the VLAN is made one in which it learns nothing (``flood_vlans``), as Open
vSwitch's manual wants it for RSPAN anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from tapwright.errors import ProviderError
from tapwright.plan.mirrors import Direction, Mirror, Place, Target, TargetKind
from tapwright.plan.steps import Step
from tapwright.providers.linux_mirror import relayed
from tapwright.providers.linux_programs import asks_direction, at_hook
from tapwright.providers.linux_vlan_programs import without_vlan
from tapwright.providers.ovs_mirror import entrance, made, name_of, refuse

_OWN = Target(TargetKind.NIC)


def needed(mirror: Mirror) -> bool:
    """Whether one mirror of Open vSwitch's is not enough."""
    return bool(mirror.program or (mirror.snaplen and mirror.target.tunnel))


def feeds(step: Step) -> bool:
    """Whether a step copies the VM's port to a device of ours, for the filter."""
    return bool(step.do.number("alike"))


def counts(step: Step) -> bool:
    """Whether what a step copies is what the mirror delivers."""
    return step.do.provider == "linux" and bool(step.do.text("direction"))


def steps(mirror: Mirror, remote: str = "") -> Sequence[Step]:
    """The changes that open `mirror`, in order.  Raises UsageError, ProviderError where it cannot be."""
    refuse(mirror)
    if not mirror.point.netns.inode:
        raise ProviderError(f"the namespace of the switch of {mirror.source} is hidden from us", "run it with sudo")
    return tuple(_steps(mirror, remote))


def _steps(mirror: Mirror, remote: str) -> Iterator[Step]:
    taker = _taker(mirror)
    entry = taker or Place()
    if taker is None:
        entry, way_out = (_entrance if mirror.target.kind is TargetKind.RSPAN else _relay)(mirror, remote)
        yield way_out
    if mirror.program and mirror.snaplen:
        short, cut = name_of(mirror, "short"), name_of(mirror, "cut")
        why = f"of what comes in by {cut}, a bridge of our own, {mirror.snaplen} bytes are copied to {short}"
        yield made(replace(mirror, target=_OWN, place=Place(), vlans=()), remote, short, why, relay=cut)
        yield relayed(short, mirror.point.netns, mirror.mark, at_hook(b"", outgoing=False), entry)
        entry = Place(device_name=cut)
    for way in ways(mirror):
        device = _device(mirror, way)
        yield _fed(mirror, remote, way, device)
        yield relayed(device, mirror.point.netns, mirror.mark, _filter(mirror, way), entry, str(way))


def _device(mirror: Mirror, way: Direction) -> str:
    return name_of(mirror, f"from the port, {way}")


def _filter(mirror: Mirror, way: Direction) -> bytes:
    program = at_hook(mirror.program, outgoing=(way is Direction.IN) == mirror.point.outgoing_is_to_vm)
    # A port that carries the VLAN of the copies gets them, too.
    return without_vlan(program, mirror.target.vlan) if mirror.target.vlan else program


def _relay(mirror: Mirror, remote: str) -> tuple[Place, Step]:
    """A bridge of our own with the tunnel; the same one for all ports of a session with the same target."""
    shared = _for_all_ports(mirror)
    bridge = name_of(shared, "relay")
    why = f"what comes in by {bridge}, a bridge of our own, is copied to {mirror.target.text}"
    step = made(shared, remote, name_of(shared), why, relay=bridge, way=str(mirror.direction))
    return Place(device_name=bridge), step


def _entrance(mirror: Mirror, remote: str) -> tuple[Place, Step]:
    """A port of our own in the VLAN; the same one for all ports of a session."""
    shared = _for_all_ports(mirror)
    name = name_of(shared, "entrance")
    why = f"what comes in by {name}, a device of our own, goes to all ports that carry VLAN {mirror.target.vlan}"
    return Place(device_name=name), entrance(shared, remote, name, f"{why}; no address is learned there")


def _for_all_ports(mirror: Mirror) -> Mirror:
    return replace(
        mirror,
        point=replace(mirror.point, port=""),
        direction=Direction.BOTH if mirror.target.vlan else mirror.direction,
        program=b"",
        snaplen=0,
        vlans=(),
    )


def ways(mirror: Mirror) -> tuple[Direction, ...]:
    """One device for each direction where the filter asks for it, since a copy does not tell."""
    if mirror.direction is Direction.BOTH and asks_direction(mirror.program):
        return (Direction.OUT, Direction.IN)
    return (mirror.direction,)


def _taker(mirror: Mirror) -> Place | None:
    """The device that the kernel gives the copies to; None for a tunnel or a VLAN.

    Raises ProviderError where there is none.
    """
    place = mirror.place
    if mirror.target.tunnel or mirror.target.vlan:
        return None
    beside = place.device is None or place.device.netns == mirror.point.netns.inode
    if not beside or not (place.device_name or place.device):
        raise ProviderError(
            f"what is filtered of {mirror.source} cannot go to {mirror.target.name}: the kernel filters, and it has no "
            "device of that name beside the switch",
            "leave the filter out, or send the copies to the collector's address: --to vxlan://ADDRESS?vni=7",
        )
    return place


def _fed(mirror: Mirror, remote: str, way: Direction, device: str) -> Step:
    """Copies of the port to a device of ours, cut where no filter needs more."""
    snaplen = 0 if mirror.program else mirror.snaplen
    fed = replace(mirror, target=_OWN, place=Place(), snaplen=snaplen)
    why = f"{mirror.source} is copied to {device}, a device of our own"
    return made(fed, remote, device, why, selects=str(way), alike=True)
