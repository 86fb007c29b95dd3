"""Pure: what OVN's northbound database says in tapwright's words.

Every vNIC of the cloud is in it, also those of other servers: a logical port becomes a port of its
logical switch, and its owner a VM.  Those of this host are joined with what Open vSwitch and the
others know by the port's name, which is the ``iface-id`` there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tapwright.adapters.ovnnb import Cloud, LogicalPort, addresses
from tapwright.model import Port, Role, Snapshot, Switch, Vm, VmKind, Vnic
from tapwright.providers.ovn_points import DOWN, KIND, UP

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
