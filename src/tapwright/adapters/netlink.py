"""The kernel's devices in every network namespace, in the model's words.

The native core reads (1,000 namespaces in a tenth of a second); here its answers become
`Device` values whose peers and lower devices are named by `DeviceKey`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tapwright import _core
from tapwright.model import Counters, Device, DeviceKey, Netns

_GONE = (FileNotFoundError, ProcessLookupError)


@dataclass(frozen=True, slots=True)
class Tunnel:
    """What a VXLAN, Geneve or GRE device wraps frames in."""

    vni: int | None
    local: str
    remotes: tuple[str, ...]
    port: int
    external: bool
    """Endpoints and VNI are chosen per flow."""


@dataclass(frozen=True, slots=True)
class PortVlans:
    """The VLANs of a port of a VLAN-aware bridge, or of such a bridge itself."""

    pvid: int | None
    """Where what comes without a tag belongs."""
    tagged: tuple[int, ...]
    """Those whose frames leave by it with their tag."""
    untagged: tuple[int, ...] = ()
    """Those whose frames leave by it without."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Somebody who answered to ARP or neighbour discovery."""

    device: DeviceKey
    """The device of ours behind which it is."""
    mac: str
    address: str


@dataclass(frozen=True, slots=True)
class Survey:
    """All that the kernel says of the devices of some namespaces; loopbacks are left out."""

    devices: Mapping[DeviceKey, Device] = field(default_factory=dict)
    tunnels: Mapping[DeviceKey, Tunnel] = field(default_factory=dict)
    vlans: Mapping[DeviceKey, PortVlans] = field(default_factory=dict)
    vlan_aware: Mapping[DeviceKey, int] = field(default_factory=dict)
    """Of each VLAN-aware bridge the EtherType of its tags."""
    neighbours: tuple[Neighbour, ...] = ()
    failures: tuple[tuple[Netns, OSError], ...] = ()
    """Namespaces that could not be looked into; those that are simply gone are not among them."""

    def by_netns(self) -> Mapping[int, list[Device]]:
        """The devices of each namespace, in order of ifindex."""
        found: defaultdict[int, list[Device]] = defaultdict(list)
        for key in sorted(self.devices):
            found[key.netns].append(self.devices[key])
        return found


def survey(namespaces: Sequence[Netns]) -> Survey:
    """Look into all of them.  Raises OSError only when rtnetlink itself cannot be used."""
    scanned = _core.scan_links([netns.path for netns in namespaces])
    inodes = [found.inode for found in scanned]
    links = {DeviceKey(found.inode, link.index): link for found in scanned for link in found.links if not link.loopback}
    return Survey(
        devices={key: _device(key, link, inodes) for key, link in links.items()},
        tunnels={key: _tunnel(tunnel) for key, link in links.items() if (tunnel := link.tunnel)},
        vlans={
            key: PortVlans(link.pvid, tuple(link.tagged), tuple(link.untagged))
            for key, link in links.items()
            if link.pvid is not None or link.tagged or link.untagged
        },
        vlan_aware={key: link.vlan_protocol for key, link in links.items() if link.vlan_protocol},
        neighbours=tuple(
            Neighbour(DeviceKey(found.inode, index), mac, address)
            for found in scanned
            for index, mac, address in found.neighbours
        ),
        failures=tuple(
            (netns, found.error)
            for netns, found in zip(namespaces, scanned, strict=True)
            if found.error and not isinstance(found.error, _GONE)
        ),
    )


def _device(key: DeviceKey, link: _core.Link, inodes: Sequence[int]) -> Device:
    kind, other = link.kind, link.peer
    beyond = DeviceKey(inodes[other[0]], other[1]) if other else None
    paired = kind in ("veth", "netkit")
    return Device(
        key=key,
        name=link.name,
        kind=kind,
        mac=link.mac,
        mtu=link.mtu,
        up=link.up,
        alias=link.alias,
        master=link.master,
        peer=beyond if paired else None,
        addresses=_local_last(link.addresses),
        counters=Counters(*link.counters),
        lower=None if paired else beyond,
        vlan=link.vlan,
    )


def _tunnel(tunnel: _core.Tunnel) -> Tunnel:
    return Tunnel(tunnel.vni, tunnel.local, tuple(tunnel.remotes), tunnel.port, tunnel.external)


def _local_last(addresses: Iterable[str]) -> tuple[str, ...]:
    """Link-local addresses tell least, so they come last."""
    return tuple(sorted(addresses, key=lambda address: address.startswith("fe80:")))


def read_counters(keys: Iterable[DeviceKey], netns: Mapping[int, Netns]) -> dict[DeviceKey, Counters]:
    """The present counters of those devices that still exist, namespace by namespace in one go.

    Raises OSError only when rtnetlink itself cannot be used.
    """
    wanted: defaultdict[int, list[int]] = defaultdict(list)
    for key in keys:
        if key.netns in netns:
            wanted[key.netns].append(key.index)
    answers = _core.link_counters([(netns[inode].path, indexes) for inode, indexes in wanted.items()])
    return {
        DeviceKey(inode, index): Counters(*values)
        for (inode, indexes), answer in zip(wanted.items(), answers, strict=True)
        for index, values in zip(indexes, answer, strict=True)
        if values is not None
    }
