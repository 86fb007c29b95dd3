"""Pure: the uplinks where a vNIC's frames pass on their way out of the server, wrapped or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tapwright.find.path import exits
from tapwright.find.topology import Topology
from tapwright.model import Capability, DeviceKey, Netns, Overlay, Port, Role, Vm, Vnic
from tapwright.plan.points import Point, PointKind

_KNOWN = frozenset({"vxlan", "geneve", "gre"})
"""Overlays that the filter and the unwrapping know."""
_ALIVE = frozenset({"running", "paused", "shutting down"})
"""States of a VM in which it sends or may be sent to."""

Readable = Callable[[Netns, Port | None], Capability]


def uplinks(topology: Topology, vm: Vm, vnic: Vnic, readable: Readable) -> Iterator[Point]:
    """One point for each uplink and what the frames are wrapped in there."""
    if vm.state not in _ALIVE or not vnic.mac:
        return
    entry = topology.port_of(vnic)
    wrapped: dict[Overlay, Overlay] = {}
    for port in exits(topology, vnic):
        overlay = topology.overlay_of(port)
        if overlay and overlay.uplink:
            alike = replace(overlay, remotes=(), switch_port="", device=None)
            before = wrapped.get(alike, alike)
            wrapped[alike] = replace(before, remotes=tuple(dict.fromkeys((*before.remotes, *overlay.remotes))))
        elif port.role is Role.UPLINK and port.device:
            vlan = entry.vlan if entry and port.vlan != entry.vlan else None
            yield from _point(topology, vm, vnic, port.device, readable, port=port, vlan=vlan)
    for overlay in wrapped.values():
        if overlay.kind in _KNOWN and overlay.uplink:
            for key, way in _outwards(topology, overlay.uplink):
                yield from _point(topology, vm, vnic, key, readable, port=way, overlay=overlay)


def _outwards(topology: Topology, key: DeviceKey) -> Iterator[tuple[DeviceKey, Port | None]]:
    """Where the outer packets can be read; Open vSwitch's own datapath never shows them to the device they leave by."""
    switch = topology.switch_of(key)
    if switch is None or switch.device != key or switch.datapath != "netdev":
        yield key, topology.port_at(key)
        return
    for port in topology.exits_of(switch.id):
        if port.role is Role.UPLINK and port.device:
            yield port.device, port


def _point(
    topology: Topology,
    vm: Vm,
    vnic: Vnic,
    key: DeviceKey,
    readable: Readable,
    *,
    port: Port | None = None,
    overlay: Overlay | None = None,
    vlan: int | None = None,
) -> Iterator[Point]:
    device, netns, entry = topology.device(key), topology.netns.get(key.netns), topology.port_of(vnic)
    if device and netns:
        yield Point(
            kind=PointKind.UPLINK,
            vm=vm.id,
            vnic=vnic.name,
            provider="linux",
            device=key,
            device_name=device.name,
            netns=netns,
            readable=readable(netns, port),
            switch=entry.switch if entry else "",
            port=entry.name if entry else "",
            outgoing_is_to_vm=False,
            sees=_sees(overlay, vlan),
            overlay=overlay,
            vlan=vlan,
        )


def _sees(overlay: Overlay | None, vlan: int | None) -> str:
    beyond = "what it exchanges with others than VMs of this server, both ways"
    if overlay:
        vni = "" if overlay.vni is None else f" {overlay.vni}"
        return f"{beyond}; taken out of {overlay.kind}{vni}"
    return beyond if vlan is None else f"{beyond}; in VLAN {vlan}"
