"""Pure: what OVN's northbound database says in tapwright's words, and where OVN can mirror a vNIC.

Every vNIC of the cloud is in it, also those of other servers: a logical port becomes a port of its
logical switch, and its owner a VM.  Those of this host are joined with what Open vSwitch and the
others know by the port's name, which is the ``iface-id`` there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from tapwright.adapters.ovnnb import Cloud, LogicalPort, addresses
from tapwright.find.topology import Topology
from tapwright.model import Capability, Netns, Port, Role, Snapshot, Switch, Vm, VmKind, Vnic
from tapwright.plan.points import Point, PointKind

KIND = "ovn"
"""`Switch.kind` of a logical switch."""
UP, DOWN = "up", "down"
"""`Port.kind` of a logical port: whether some server has it."""
_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", re.IGNORECASE)
_OWNER, _NAME, _ROLE, _POD = "neutron:device_id", "neutron:port_name", "neutron:device_owner", "pod"
"""External ids of OpenStack's Neutron, and the one of Kube-OVN (``namespace/name``) and OVN-Kubernetes (``true``)."""


def describe(cloud: Cloud, warnings: Iterable[str] = ()) -> Snapshot:
    """The logical switches with the ports that VMs and containers have."""
    ports = {port.uuid: port for port in cloud.ports if _is_vnic(port)}
    homes = {uuid: switch for switch in cloud.switches for uuid in switch.ports if uuid in ports}
    return Snapshot(
        "ovn",
        vms=tuple(_vms([port for uuid, port in ports.items() if uuid in homes])),
        switches=tuple(Switch(switch.uuid, switch.name, KIND, providers=("ovn",)) for switch in cloud.switches),
        ports=tuple(_port(port, homes[uuid].uuid) for uuid, port in ports.items() if uuid in homes),
        warnings=tuple(warnings),
    )


def _is_vnic(port: LogicalPort) -> bool:
    """Not OVN's own plumbing, nor a container's VLAN inside a VM's port, which has no port of a switch to copy."""
    return not port.type and not port.parent and not port.external_ids.get(_ROLE, "").startswith("network:")


def _port(port: LogicalPort, switch: str) -> Port:
    # Without its MAC: other networks may have the same one, and the name is enough to find it.
    return Port(switch, port.name, Role.VNIC, kind=UP if port.up else DOWN, iface_id=port.name)


def _vms(ports: Iterable[LogicalPort]) -> Iterator[Vm]:
    owned: dict[str, list[LogicalPort]] = {}
    for port in ports:
        owned.setdefault(port.external_ids.get(_OWNER) or port.name, []).append(port)
    return (_vm(owner, mine) for owner, mine in owned.items())


def _vm(owner: str, ports: list[LogicalPort]) -> Vm:
    ids = ports[0].external_ids
    space, _, pod = ids.get(_POD, "").rpartition("/")
    named = tuple(dict.fromkeys(name for port in ports if (name := port.external_ids.get(_NAME))))
    alone = len(named) == 1
    return Vm(
        id=owner,
        name=pod if space else named[0] if alone else owner,
        kind=VmKind.CONTAINER if _POD in ids else VmKind.VM,
        state="running" if any(port.up for port in ports) else "down",
        aliases=(f"{space}/{pod}",) if space else () if alone else named,
        vnics=tuple(_vnic(port, len(ports) == 1, _POD in ids) for port in ports),
        providers=("ovn",),
    )


def _vnic(port: LogicalPort, alone: bool, pod: bool) -> Vnic:
    """Which of several NICs a port is, only its name tells."""
    words = [word for text in port.addresses for word in text.split()]
    return Vnic(
        name=("eth0" if pod else "net0") if alone else port.name,
        mac=next((word.lower() for word in words if _MAC.fullmatch(word)), ""),
        addresses=tuple(dict.fromkeys(map(str, addresses(port.addresses)))),
        iface_id=port.name,
    )


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
