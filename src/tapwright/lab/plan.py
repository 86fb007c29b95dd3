"""Pure: from a topology and a lab's name to its nodes, with every device named."""

from __future__ import annotations

import hashlib
import itertools
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from tapwright.lab.topology import Fabric, Machine, Nic, Overlay, Server, Switch, Topology

NETNS_FOLDER = "/run/netns"
FABRIC_SWITCH = "fabric0"
UPLINK = "uplink0"


class NodeKind(StrEnum):
    """What a node of a lab stands for."""

    FABRIC = "fabric"
    SERVER = "server"
    VM = "vm"
    MACHINE = "machine"


@dataclass(frozen=True, slots=True)
class Plug:
    """A NIC plugged into a switch: both of its ends."""

    name: str
    """Inside the node: ``eth0``."""
    mac: str
    addresses: tuple[str, ...]
    """With prefix length."""
    mtu: int
    host: str
    """The server (or fabric) whose switch it is plugged into."""
    switch: str
    device: str
    """The host's side of it: ``vnet0`` for a veth end, ``tap0`` for a guest's tap."""
    ovs: bool
    """Whether the switch is an Open vSwitch."""
    vlan: int | None
    iface_id: str
    """The port's UUID, as a control plane would have given it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node of a lab: a fabric, server, VM or machine."""

    name: str
    kind: NodeKind
    netns: str
    """Name of its network namespace; "" for a QEMU guest, which has a kernel of its own."""
    nics: tuple[Plug, ...] = ()
    """Of VMs and machines."""
    server: str = ""
    """The server of a VM."""
    id: str = ""
    """A VM's UUID, as a hypervisor would have given it; the same on every `up` of the lab."""

    @property
    def netns_path(self) -> str:
        """The path that `setns` accepts, "" for a guest."""
        return f"{NETNS_FOLDER}/{self.netns}" if self.netns else ""

    @property
    def addresses(self) -> tuple[str, ...]:
        """All its addresses with prefix length."""
        return tuple(address for nic in self.nics for address in nic.addresses)


@dataclass(frozen=True, slots=True, kw_only=True)
class FabricNode(Node):
    """A fabric, with what its file says."""

    spec: Fabric


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerNode(Node):
    """A server, with what its file says."""

    spec: Server

    @property
    def uplink_switch(self) -> Switch | None:
        """The switch its uplink is plugged into, if any."""
        return self.spec.switches.get(self.spec.uplink.switch) if self.spec.uplink else None

    @property
    def uplink_is_ovs(self) -> bool:
        """Whether that is an Open vSwitch."""
        return self.uplink_switch is not None and self.uplink_switch.kind == "ovs"

    @property
    def has_ovs(self) -> bool:
        """Whether it needs an Open vSwitch of its own."""
        return any(switch.kind == "ovs" for switch in self.spec.switches.values())

    @property
    def integration(self) -> str:
        """The switch that OVN fills with flows, "" when the server is no chassis."""
        return next((name for name, switch in self.spec.switches.items() if switch.logical), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineNode(Node):
    """A VM or machine, with what its file says."""

    spec: Machine

    @property
    def guest(self) -> bool:
        """Whether it is a QEMU guest."""
        return self.spec.kind == "qemu"


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole lab, before it is made."""

    lab: str
    topology: Topology
    fabrics: tuple[FabricNode, ...]
    servers: tuple[ServerNode, ...]
    machines: tuple[MachineNode, ...]
    """VMs first."""

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Fabrics, then servers, then VMs, then machines."""
        return (*self.fabrics, *self.servers, *self.machines)

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Every network namespace the lab has."""
        return tuple(node.netns for node in self.nodes if node.netns)

    @property
    def guests(self) -> tuple[MachineNode, ...]:
        """The QEMU guests."""
        return tuple(machine for machine in self.machines if machine.guest)

    def guests_of(self, server: ServerNode) -> tuple[MachineNode, ...]:
        """The QEMU guests of one server."""
        return tuple(guest for guest in self.guests if guest.server == server.name)

    @property
    def ovn_central(self) -> MachineNode | None:
        """The machine that runs OVN's central part, if any does."""
        return next((machine for machine in self.machines if machine.spec.ovn_central), None)

    def plugs(self, host: str) -> Iterator[tuple[MachineNode, Plug]]:
        """Every NIC plugged into a switch of `host`."""
        return ((machine, nic) for machine in self.machines for nic in machine.nics if nic.host == host)

    def members(self, overlay: Overlay, *, without: ServerNode) -> Iterator[ServerNode]:
        """The servers that an overlay joins with the server `without`."""
        return (
            server
            for server in self.servers
            if server != without and any(switch.overlay == overlay for switch in server.spec.switches.values())
        )


def netns_name(lab: str, node: str) -> str:
    """The namespace of a node: ``twlab-bridge-web``."""
    return f"twlab-{lab}-{node}"


def plan(topology: Topology, lab: str) -> Plan:
    """Name everything that the lab `lab` will have."""
    fabrics = tuple(
        FabricNode(name=name, kind=NodeKind.FABRIC, netns=netns_name(lab, name), spec=fabric)
        for name, fabric in topology.fabrics.items()
    )
    servers = tuple(
        ServerNode(name=name, kind=NodeKind.SERVER, netns=netns_name(lab, name), spec=server)
        for name, server in topology.servers.items()
    )
    return Plan(lab, topology, fabrics, servers, _machines(topology, lab))


def _machines(topology: Topology, lab: str) -> tuple[MachineNode, ...]:
    devices: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)
    vms = [_machine(topology, lab, *item, NodeKind.VM, devices) for item in topology.vms.items()]
    others = [_machine(topology, lab, *item, NodeKind.MACHINE, devices) for item in topology.machines.items()]
    return (*vms, *others)


def _machine(
    topology: Topology, lab: str, name: str, spec: Machine, kind: NodeKind, devices: defaultdict[str, Iterator[int]]
) -> MachineNode:
    guest = spec.kind == "qemu"
    nics = tuple(_plug(topology, f"{lab}/{name}/eth{i}", nic, guest, devices) for i, nic in enumerate(spec.nics))
    return MachineNode(
        name=name,
        kind=kind,
        netns="" if guest else netns_name(lab, name),
        nics=nics,
        server=nics[0].host if kind is NodeKind.VM else "",
        id=_uuid(f"{lab}/{name}"),
        spec=spec,
    )


def _plug(topology: Topology, path: str, nic: Nic, guest: bool, devices: defaultdict[str, Iterator[int]]) -> Plug:
    host, _, switch = nic.on.partition("/")
    prefix = "tap" if guest else "vnet" if switch else "port"
    return Plug(
        name=path.rpartition("/")[2],
        mac=nic.mac or _mac(path.partition("/")[2]),
        addresses=nic.addresses,
        mtu=nic.mtu,
        host=host,
        switch=switch or FABRIC_SWITCH,
        device=f"{prefix}{next(devices[host])}",
        ovs=bool(switch) and topology.servers[host].switches[switch].kind == "ovs",
        vlan=nic.vlan,
        iface_id=_uuid(path),
    )


def _mac(path: str) -> str:
    """A MAC of QEMU's range that stays the same from one `up` to the next."""
    return ":".join(["52:54:00", *(f"{byte:02x}" for byte in hashlib.sha256(path.encode()).digest()[:3])])


def _uuid(path: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"tapwright-lab:{path}"))
