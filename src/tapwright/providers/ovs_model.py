"""Pure: the rows of Open vSwitch databases in tapwright's words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tapwright.adapters.ovsdb import Database
from tapwright.adapters.ovsdb_rows import KERNEL_TYPES, BridgeRow, InterfaceRow, PortRow
from tapwright.model import Counters, DeviceKey, Overlay, Port, Role, Snapshot, Switch, Vm, VmKind, Vnic

_TUNNEL_PORTS = {
    "vxlan": 4789, "geneve": 6081, "gtpu": 2152, "lisp": 4341, "stt": 7471, "bareudp": 6635,
    "gre": 0, "ip6gre": 0, "erspan": 0, "ip6erspan": 0, "srv6": 0,
}  # fmt: skip
"""Tunnel types and the destination port they use unless told otherwise."""
_ZERO_WITHOUT_KEY = frozenset({"vxlan", "geneve"})
"""Tunnels whose header always carries a network identifier: 0 unless told otherwise."""
_VIRTUAL_DRIVERS = frozenset({"veth", "bridge", "openvswitch", "dummy"})
"""Drivers that tell nothing about what is at the other end."""

_VM_KEYS = ("vm-id", "vm-uuid", "xs-vm-uuid")
"""libvirt, OpenStack's os-vif, XenServer."""
_CONTAINER_KEYS = ("container_id", "container-id")
"""ovs-docker, Antrea."""
_PODS = (("pod_namespace", "pod_name"), ("pod-namespace", "pod-name"))
"""Kube-OVN, Antrea."""


@dataclass(frozen=True)
class Member:
    """One interface of one port of one bridge: what a model `Port` is."""

    database: Database
    bridge: BridgeRow
    port: PortRow
    row: InterfaceRow

    @property
    def name(self) -> str:
        """The port's name; ``bond0/eth1`` for one member of a bond."""
        return self.row.name if len(self.port.interfaces) == 1 else f"{self.port.name}/{self.row.name}"

    @property
    def device(self) -> DeviceKey | None:
        """The kernel device that carries it, None when none does."""
        known = self.row.type in KERNEL_TYPES and self.row.ifindex > 0
        return DeviceKey(self.netns, self.row.ifindex) if known and self.netns else None

    @property
    def netns(self) -> int:
        """Inode of the switch's namespace, 0 when it is hidden from us."""
        return _inode(self.database)

    def told(self, *keys: str) -> str:
        """The first of these external ids that somebody set, "" when none is."""
        return next((value for key in keys if (value := self.row.external_ids.get(key))), "")

    @property
    def owner(self) -> str:
        """Id of the VM or container, where the switch was told; else the port's id; else ""."""
        return self.told(*_VM_KEYS, *_CONTAINER_KEYS, "iface-id")

    @property
    def mac(self) -> str:
        """The vNIC's MAC, where the switch was told."""
        return self.told("attached-mac", "attached_mac", "mac_address").lower()


def describe(databases: Sequence[Database], warnings: Iterable[str] = ()) -> Snapshot:
    """What these databases say."""
    members = [member for database in databases for member in _members(database)]
    devices = {(member.database.remote, member.row.name): member.device for member in members}
    faults = (f"Open vSwitch port {m.name} does not work: {m.row.error}" for m in members if m.row.error)
    return Snapshot(
        "ovs",
        netns=tuple({d.netns.inode: d.netns for d in databases if d.netns}.values()),
        vms=_vms(members),
        switches=tuple(_switch(database, bridge) for database in databases for bridge in database.bridges),
        ports=tuple(_port(member) for member in members),
        overlays=tuple(_overlay(member, devices) for member in members if _role(member) is Role.TUNNEL),
        warnings=(*warnings, *_hidden(databases), *faults),
    )


def _hidden(databases: Sequence[Database]) -> Iterator[str]:
    for database in databases:
        if database.netns is None:
            yield f"the namespace of Open vSwitch at {database.remote} is hidden from this user (run it with sudo)"


def _inode(database: Database) -> int:
    return database.netns.inode if database.netns else 0


def _members(database: Database) -> Iterator[Member]:
    for bridge in database.bridges:
        for port in bridge.ports:
            for row in port.interfaces:
                yield Member(database, bridge, port, row)


def _switch(database: Database, bridge: BridgeRow) -> Switch:
    own = (m.device for m in _members(database) if m.bridge is bridge and m.row.name == bridge.name)
    return Switch(
        id=bridge.uuid,
        name=bridge.name,
        kind="ovs",
        netns=_inode(database),
        device=next(own, None),
        datapath="netdev" if bridge.datapath_type == "netdev" else "kernel",
        providers=("ovs",),
    )


def _port(member: Member) -> Port:
    return Port(
        switch=member.bridge.uuid,
        name=member.name,
        role=_role(member),
        device=member.device,
        kind=member.row.type or "system",
        vlan=member.port.tag,
        trunks=member.port.trunks,
        peer=member.row.options.get("peer", "") if member.row.type == "patch" else "",
        mac=member.mac,
        iface_id=member.told("iface-id"),
        vm_id=member.told(*_VM_KEYS, *_CONTAINER_KEYS),
        counters=_counters(member.row.statistics),
    )


def _role(member: Member) -> Role:
    kind = member.row.type
    if kind == "patch":
        return Role.PATCH
    if kind in _TUNNEL_PORTS:
        # One for copies leads none of the switch's own frames anywhere.
        return Role.OTHER if member.port.takes_copies else Role.TUNNEL
    if member.row.name == member.bridge.name:
        return Role.INTERNAL
    if member.owner or member.mac or kind.startswith("dpdkvhost"):
        return Role.VNIC
    return _role_by_driver(member)


def _role_by_driver(member: Member) -> Role:
    kind, driver = member.row.type, member.row.status.get("driver_name", "")
    if kind == "internal":
        return Role.INTERNAL
    if member.port.takes_copies:
        return Role.OTHER
    if len(member.port.interfaces) > 1 or kind == "dpdk":
        return Role.UPLINK
    if driver == "tun":
        return Role.VNIC
    return Role.UPLINK if driver and driver not in _VIRTUAL_DRIVERS else Role.OTHER


def _counters(statistics: Mapping[str, int]) -> Counters | None:
    """OVS counts as a device does: received is what came from the port into the switch."""
    if not statistics:
        return None
    names = (f"{way}_{what}" for way in ("rx", "tx") for what in ("packets", "bytes", "dropped", "errors"))
    return Counters(
        **{name: statistics.get(name, 0) for name in names}, multicast=statistics.get("rx_multicast_packets", 0)
    )


def _overlay(member: Member, devices: Mapping[tuple[str, str], DeviceKey | None]) -> Overlay:
    options, kind = member.row.options, member.row.type
    remote = options.get("remote_ip", "")
    return Overlay(
        kind=kind,
        vni=_vni(kind, options),
        local=options.get("local_ip", "").replace("flow", ""),
        remotes=(remote,) if remote not in ("", "flow") else (),
        port=_integer(options.get("dst_port", "")) or _TUNNEL_PORTS[kind],
        netns=member.netns,
        switch_port=member.name,
        uplink=devices.get((member.database.remote, member.row.status.get("tunnel_egress_iface", ""))),
    )


def _vni(kind: str, options: Mapping[str, str]) -> int | None:
    key = options.get("key") or options.get("out_key")
    if key is None:
        return 0 if kind in _ZERO_WITHOUT_KEY else None
    return _integer(key)


def _integer(text: str) -> int | None:
    """A number as OVS writes one in its options: decimal, or hexadecimal behind ``0x``."""
    if re.fullmatch(r"\d{1,10}", text, re.ASCII):
        return int(text)
    return int(text, 16) if re.fullmatch(r"0[xX][\da-fA-F]{1,8}", text) else None


def _vms(members: Sequence[Member]) -> tuple[Vm, ...]:
    """One Vm for each owner that the ports name; another provider may know it better."""
    owned: dict[str, list[Member]] = {}
    for member in members:
        if member.owner and member.row.name != member.bridge.name:
            owned.setdefault(member.owner, []).append(member)
    return tuple(_vm(owner, mine) for owner, mine in owned.items())


def _vm(owner: str, members: Sequence[Member]) -> Vm:
    first = members[0]
    space, pod = next(((first.told(a), name) for a, b in _PODS if (name := first.told(b))), ("", ""))
    return Vm(
        id=owner,
        name=pod or owner,
        kind=VmKind.CONTAINER if pod or first.told(*_CONTAINER_KEYS) else VmKind.VM,
        aliases=(f"{space}/{pod}",) if space and pod else (),
        vnics=tuple(_vnic(member) for member in members),
        providers=("ovs",),
    )


def _vnic(member: Member) -> Vnic:
    return Vnic(
        name=member.told("container_iface") or member.row.name,
        mac=member.mac,
        mtu=member.row.mtu,
        device=member.device,
        iface_id=member.told("iface-id"),
    )
