"""The way from a vNIC to the wire: device, port, switch, further switches, overlay, uplink.  Pure.

A path is a tree told in order: where a switch has several ways out, each is a branch one level
deeper.  Pairs, patches and masters come from strangers' configuration and may run in circles;
every switch and device is visited once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from tapwright.find.topology import Topology
from tapwright.model import Device, DeviceKey, Overlay, Port, Role, Switch, Vnic

_KINDS = {
    "bridge": "Linux bridge",
    "ovs": "Open vSwitch",
    "ovn": "OVN logical switch",
    "tun": "tap",
    "": "network card",
}
_LISTED = 4
_PAIRS = ("veth", "netkit")
_STACKED = ("vlan", "macvlan", "ipvlan")
_KEYED = ("gre", "ip6gre", "erspan", "ip6erspan")
_FURTHEST = 32
"""Switches in one drawing; nobody reads further."""


class HopKind(StrEnum):
    """What one passes on the way."""

    VNIC = "vnic"
    DEVICE = "device"
    SWITCH = "switch"
    OVERLAY = "overlay"
    UPLINK = "uplink"
    HOST = "host"
    """No switch: the host itself routes."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One thing on the way."""

    kind: HopKind
    name: str
    details: tuple[str, ...] = ()
    via: str = ""
    """What leads to it from the hop before."""
    depth: int = 0
    """How many forks it lies behind."""
    forks: bool = False
    """It begins one of several branches."""


def path(topology: Topology, vnic: Vnic) -> tuple[Hop, ...]:
    """The way of one vNIC, as far as it is known."""
    return tuple(_Walk(topology).from_vnic(vnic))


def overlays(topology: Topology, vnic: Vnic) -> tuple[Overlay, ...]:
    """The tunnels that lead away from the switches a vNIC can reach without leaving the host."""
    return tuple(dict.fromkeys(found for port in exits(topology, vnic) if (found := topology.overlay_of(port))))


def exits(topology: Topology, vnic: Vnic) -> tuple[Port, ...]:
    """The ports by which a vNIC's frames may leave the host: tunnels, uplinks, and patches on the way to them."""
    entry = topology.port_of(vnic)
    vlan = entry.vlan if entry else None
    found: list[Port] = []
    todo, passed = [entry] if entry else [], set()
    while todo:
        port = todo.pop()
        if port.switch not in passed:
            passed.add(port.switch)
            ways = [p for p in topology.exits_of(port.switch) if p is not port and _carries(p, vlan)]
            found += ways
            todo += [other for p in ways if (other := topology.across(p))]
    return tuple(found)


class _Walk:
    """One walk; remembers the switches it passed."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._passed: set[str] = set()

    def from_vnic(self, vnic: Vnic) -> Iterator[Hop]:
        mtu = (f"MTU {vnic.mtu}",) if vnic.mtu else ()
        yield Hop(HopKind.VNIC, vnic.name, (*filter(None, (vnic.mac,)), *_telling(vnic.addresses), *mtu))
        device, port = self._topology.device(vnic.device), self._topology.port_of(vnic)
        if device:
            via = "veth pair" if device.kind in _PAIRS else ""
            yield Hop(HopKind.DEVICE, device.name, self._about(device, vnic.mtu), via)
        if port:
            yield from self._switch(self._topology.switch(port.switch), port, f"port {port.name}{_vlan(port.vlan)}")
        else:
            yield from self._without_switch(self._topology.device(vnic.inner), device)

    def _without_switch(self, inner: Device | None, device: Device | None) -> Iterator[Hop]:
        below = self._topology.device(inner.lower) if inner else None
        if below and inner:
            yield from self._device(below, f"{inner.kind} on it")
        elif device:
            yield Hop(HopKind.HOST, self._topology.host.name, ("routes it, no switch is known",))

    def _switch(self, switch: Switch | None, entry: Port | None, via: str, vlan: int | None = None) -> Iterator[Hop]:
        if switch is None or switch.id in self._passed or len(self._passed) == _FURTHEST:
            return
        self._passed.add(switch.id)
        yield Hop(HopKind.SWITCH, switch.name, self._about_switch(switch), via)
        vlan = entry.vlan if entry and entry.vlan is not None else vlan
        ports = [p for p in self._topology.exits_of(switch.id) if p is not entry and _carries(p, vlan)]
        ways = [way for way in self._ways(ports, vlan) if way]
        for way in ways:
            yield from _branch(way) if len(ways) > 1 else way

    def _ways(self, ports: list[Port], vlan: int | None) -> Iterator[list[Hop]]:
        for via, overlay in _grouped(self._topology, ports):
            yield list(self._overlay(overlay, via))
        for port in ports:
            if port.role is Role.PATCH and (other := self._topology.across(port)):
                yield list(self._switch(self._topology.switch(other.switch), other, f"patch {port.name}", vlan))
            elif port.role is Role.UPLINK:
                device = self._topology.device(port.device)
                yield list(self._device(device)) if device else [Hop(HopKind.UPLINK, port.name, (port.kind,))]

    def _overlay(self, overlay: Overlay, via: str) -> Iterator[Hop]:
        """The tunnel, then the way of its outer packets, which may lead over a switch of their own."""
        yield Hop(HopKind.OVERLAY, overlay.kind, _about_overlay(overlay), via)
        device = self._topology.device(overlay.uplink)
        switch = self._topology.switch_of(overlay.uplink)
        via = f"outer packets by {device.name}" if device and switch else "outer packets"
        if switch and switch.id in self._passed:
            yield Hop(HopKind.SWITCH, switch.name, ("as above",), via)
        elif switch:
            yield from self._switch(switch, None, via)
        elif device:
            yield from self._device(device, via)

    def _device(self, device: Device, via: str = "") -> Iterator[Hop]:
        """An uplink, and what lies below a VLAN."""
        passed: set[DeviceKey] = set()
        below: Device | None = device
        while below and below.key not in passed:
            passed.add(below.key)
            far = self._beyond(below)
            yield Hop(HopKind.UPLINK, below.name, (*self._about(below), far) if far else self._about(below), via)
            via = _vlan(below.vlan).removeprefix(", ")
            below = self._topology.device(below.lower) if below.kind in _STACKED else None

    def _about(self, device: Device, mtu: int = 0) -> tuple[str, ...]:
        """What a device is and where; its MTU only when it is not `mtu`, which was told before."""
        kind = _KINDS.get(device.kind, device.kind) + self._place(device.key.netns)
        size = f"MTU {device.mtu}" if device.mtu != mtu else ""
        return tuple(part for part in (kind, *_telling(device.addresses), size, "" if device.up else "down") if part)

    def _beyond(self, device: Device) -> str:
        """Where the wire of a virtual uplink ends."""
        peer = self._topology.device(device.peer)
        return f"to {peer.name}{self._place(peer.key.netns)}" if peer else ""

    def _about_switch(self, switch: Switch) -> tuple[str, ...]:
        own = self._topology.device(switch.device)
        datapath = f"{switch.datapath} datapath" if switch.kind != "bridge" and switch.datapath else ""
        mine = _telling(own.addresses) if own else ()
        host = f"the host itself: {', '.join(mine)}" if mine else ""
        kind = _KINDS.get(switch.kind, switch.kind) + self._place(switch.netns)
        return tuple(part for part in (kind, datapath, host) if part)

    def _place(self, inode: int) -> str:
        """Where, unless it is our own namespace."""
        netns = self._topology.netns.get(inode)
        return f" in {netns.name or netns.path}" if netns and netns.path else ""


def _branch(way: Iterable[Hop]) -> Iterator[Hop]:
    for place, hop in enumerate(way):
        yield replace(hop, depth=hop.depth + 1, forks=hop.forks or place == 0)


def _carries(port: Port, vlan: int | None) -> bool:
    """Whether frames of `vlan` (None: untagged) can leave by that port."""
    if vlan is not None and port.trunks:
        return vlan in port.trunks or port.vlan == vlan
    return port.vlan in (None, vlan)


def _grouped(topology: Topology, ports: Iterable[Port]) -> Iterator[tuple[str, Overlay]]:
    """The tunnels of a switch, those that differ in nothing but the far end as one."""
    groups: defaultdict[Overlay, list[tuple[Port, Overlay]]] = defaultdict(list)
    for port in ports:
        if port.role is Role.TUNNEL and (overlay := topology.overlay_of(port)):
            alike = replace(overlay, remotes=(), switch_port="", device=None)
            groups[alike].append((port, overlay))
    for alike, members in groups.items():
        remotes = dict.fromkeys(remote for _, overlay in members for remote in overlay.remotes)
        yield f"port {_listed([port.name for port, _ in members])}", replace(alike, remotes=tuple(remotes))


def _about_overlay(overlay: Overlay) -> tuple[str, ...]:
    what, unknown = ("key", "") if overlay.kind in _KEYED else ("VNI", "VNI per flow")
    vni = unknown if overlay.vni is None else f"{what} {overlay.vni}"
    port = f"UDP {overlay.port}" if overlay.port else ""
    ends = f"{overlay.local or 'this host'} → {_listed(overlay.remotes) or 'chosen per flow'}"
    return tuple(part for part in (vni, port, ends) if part)


def _telling(addresses: Iterable[str]) -> tuple[str, ...]:
    """Without link-local ones, which every device has."""
    return tuple(address for address in addresses if not address.startswith("fe80:"))


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _vlan(vlan: int | None) -> str:
    return "" if vlan is None else f", VLAN {vlan}"
