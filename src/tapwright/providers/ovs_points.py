"""Pure: where Open vSwitch can show a vNIC's packets."""

from __future__ import annotations

from collections.abc import Iterator

from tapwright.find.topology import Topology
from tapwright.model import Capability, DeviceKey, Netns, Port, Switch, Vm, Vnic
from tapwright.plan.points import Point, PointKind


def points_of(topology: Topology, vm: Vm, vnic: Vnic) -> Iterator[Point]:
    """A mirror of the vNIC's port, and its device where nobody else can show that."""
    port = topology.port_of(vnic)
    switch = topology.switch(port.switch) if port else None
    if port is None or switch is None or switch.kind != "ovs":
        return
    if port.device and topology.device(port.device) is None:
        yield _unseen_device(topology, vm, vnic, port, port.device)
    yield _mirror(topology, vm, vnic, port, switch)


def _mirror(topology: Topology, vm: Vm, vnic: Vnic, port: Port, switch: Switch) -> Point:
    return Point(
        kind=PointKind.MIRROR,
        vm=vm.id,
        vnic=vnic.name,
        provider="ovs",
        device=None,
        device_name=port.name,
        netns=topology.netns.get(switch.netns, Netns(switch.netns)),
        readable=_capability(port, switch),
        switch=switch.id,
        port=port.name,
        sees="both directions, as the switch forwards them",
        changes=(f"a mirror of port {port.name} and a port of its own on {switch.name}",),
    )


def _capability(port: Port, switch: Switch) -> Capability:
    if "ovs" not in switch.providers:
        return Capability.no(f"Open vSwitch's database with port {port.name} does not answer")
    if not switch.netns:
        return Capability.unknown(f"the namespace of switch {switch.name} is hidden from this user", "run it with sudo")
    return Capability.yes(f"the switch can copy port {port.name} ({port.kind}) to a device of our own")


def _unseen_device(topology: Topology, vm: Vm, vnic: Vnic, port: Port, key: DeviceKey) -> Point:
    """A device that Open vSwitch names but nobody looked at: its namespace was left out, or closed to us."""
    return Point(
        kind=PointKind.DEVICE,
        vm=vm.id,
        vnic=vnic.name,
        provider="ovs",
        device=key,
        device_name=port.name,
        netns=topology.netns.get(key.netns, Netns(key.netns)),
        readable=Capability.unknown("only Open vSwitch says that this device is there; nobody else read it"),
        switch=port.switch,
        port=port.name,
        sees="both directions, before the switch adds its VLAN tag or tunnel header",
    )
