"""Pure: where OVN can mirror a vNIC."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tapwright.find.topology import Topology
from tapwright.model import Capability, Netns, Port, Vm, Vnic
from tapwright.plan.points import Point, PointKind

KIND = "ovn"
"""`Switch.kind` of a logical switch."""
UP, DOWN = "up", "down"
"""`Port.kind` of a logical port: whether some server has it."""


def points_of(topology: Topology) -> Iterator[Point]:
    """A mirror of each vNIC that is a port of a logical switch."""
    known = _logical(topology)
    for vm in topology.vms:
        for vnic in vm.vnics:
            if vnic.iface_id in known:
                plugged = topology.port_of(vnic)
                here = plugged is not None and plugged.switch != known[vnic.iface_id].switch
                yield _point(vm, vnic, known[vnic.iface_id], here)


def _logical(topology: Topology) -> Mapping[str, Port]:
    switches = (switch for switch in topology.switches if switch.kind == KIND)
    return {port.iface_id: port for switch in switches for port in topology.ports_of(switch.id) if port.iface_id}


def _point(vm: Vm, vnic: Vnic, port: Port, here: bool) -> Point:
    return Point(
        kind=PointKind.MIRROR,
        vm=vm.id,
        vnic=vnic.name,
        provider="ovn",
        device=None,
        device_name=port.name,
        netns=Netns(0),
        readable=_capability(port, here),
        switch=port.switch,
        port=port.name,
        sees="both directions, as the switch of its server forwards them",
        elsewhere=True,
        changes=(f"a mirror of logical port {port.name} in OVN's northbound database, one for each direction",),
    )


def _capability(port: Port, here: bool) -> Capability:
    if port.kind == DOWN:
        return Capability.unknown("no server has the logical port now; copies come once one does")
    can = "OVN can have that send copies to a collector, by GRE or ERSPAN"
    return Capability.yes(f"it is on {'this' if here else 'another'} server; {can}")
