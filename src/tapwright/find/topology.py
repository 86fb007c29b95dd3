"""The topology: every provider's snapshot joined into one picture of the host.  Pure.

One VM seen by three providers is one VM.  What proves two sightings equal, in `find.sightings`:
the same id, the same host or guest device, the same control-plane port id, or the same MAC
where nobody else has it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar, cast

from tapwright.find import wiring
from tapwright.find.sightings import merge_vms
from tapwright.model import Device, DeviceKey, Host, Netns, Overlay, Port, Role, Snapshot, Switch, Vm, VmKind, Vnic

K = TypeVar("K")
V = TypeVar("V")

PREFERENCE = ("libvirt", "containers", "linux", "ovs", "ovn")
"""Whose name for a VM people use; providers of other packages come after these."""

_EXITS = (Role.TUNNEL, Role.PATCH, Role.UPLINK)


@dataclass(frozen=True, slots=True)
class Topology:
    """All that is known of one host at one moment, indexed."""

    host: Host
    vms: tuple[Vm, ...] = ()
    switches: tuple[Switch, ...] = ()
    ports: tuple[Port, ...] = ()
    overlays: tuple[Overlay, ...] = ()
    devices: Mapping[DeviceKey, Device] = field(default_factory=dict)
    netns: Mapping[int, Netns] = field(default_factory=dict)
    """Namespaces by inode."""
    warnings: tuple[str, ...] = ()
    _index: Mapping[Hashable, Any] = field(init=False, repr=False, compare=False)
    """(what, key) -> the thing, for the look-ups below; a host may have thousands of each."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", MappingProxyType(_first(_entries(self))))

    def vm(self, vm_id: str) -> Vm | None:
        """The VM with exactly that id (people's names are resolved by `find.names`)."""
        return cast("Vm | None", self._index.get(("vm", vm_id)))

    def device(self, key: DeviceKey | None) -> Device | None:
        """The device of a key; None for no key and for devices nobody could read."""
        return self.devices.get(key) if key else None

    def switch(self, switch_id: str) -> Switch | None:
        """The switch with that `Switch.id`."""
        return cast("Switch | None", self._index.get(("switch", switch_id)))

    def port_of(self, vnic: Vnic) -> Port | None:
        """The switch port a vNIC is plugged into: by its device, else by the ids its switch was told."""
        marks = (("device", vnic.device), ("device", vnic.inner), ("iface-id", vnic.iface_id), ("mac", vnic.mac))
        found = (self._index.get(mark) for mark in marks if mark[1])
        return next((cast("Port", port) for port in found if port), None)

    def ports_of(self, switch: str) -> tuple[Port, ...]:
        """All ports of a switch, by `Switch.id`."""
        return cast("tuple[Port, ...]", self._index.get(("ports", switch), ()))

    def port_at(self, key: DeviceKey | None) -> Port | None:
        """The port that a device carries."""
        return cast("Port | None", self._index.get(("device", key)))

    def exits_of(self, switch: str) -> tuple[Port, ...]:
        """The ports by which frames leave a switch for another one or the wire, by `Switch.id`."""
        return cast("tuple[Port, ...]", self._index.get(("exits", switch), ()))

    def across(self, port: Port) -> Port | None:
        """The port at the other end of a patch, or of a veth pair that serves as one."""
        if port.role is not Role.PATCH:
            return None
        device = self.device(port.device)
        if device and device.peer:
            return self.port_at(device.peer)
        switch = self.switch(port.switch)
        return cast("Port | None", self._index.get(("patch", switch.netns if switch else 0, port.peer)))

    def switch_of(self, key: DeviceKey | None) -> Switch | None:
        """The switch whose own device (bridge, internal port) or port that is."""
        port = self.port_at(key)
        own = self._index.get(("switch at", key)) if key else None
        return cast("Switch | None", own) or (self.switch(port.switch) if port else None)

    def overlay_of(self, port: Port) -> Overlay | None:
        """The tunnel that a port leads into."""
        switch = self.switch(port.switch)
        by_name = ("tunnel", switch.netns if switch else 0, port.name)
        found = (self._index.get(("tunnel", port.device)) if port.device else None) or self._index.get(by_name)
        return cast("Overlay | None", found)


def _entries(topology: Topology) -> Iterator[tuple[Hashable, object]]:
    yield from ((("vm", vm.id), vm) for vm in topology.vms)
    yield from ((("switch", switch.id), switch) for switch in topology.switches)
    yield from ((("switch at", switch.device), switch) for switch in topology.switches if switch.device)
    netns = {switch.id: switch.netns for switch in topology.switches}
    plugged: defaultdict[str, list[Port]] = defaultdict(list)
    for port in topology.ports:
        plugged[port.switch].append(port)
        if port.device:
            yield ("device", port.device), port
        if port.iface_id:
            yield ("iface-id", port.iface_id), port
        if port.mac and port.role is Role.VNIC and not port.device:
            yield ("mac", port.mac), port
        if port.role is Role.PATCH:
            yield ("patch", netns.get(port.switch, 0), port.name), port
    for switch, ports in plugged.items():
        yield ("ports", switch), tuple(ports)
        exits = (port for port in ports if port.role in _EXITS)
        yield ("exits", switch), tuple(sorted(exits, key=lambda port: port.name))
    for overlay in topology.overlays:
        if overlay.device:
            yield ("tunnel", overlay.device), overlay
        if overlay.switch_port:
            yield ("tunnel", overlay.netns, overlay.switch_port), overlay


def join(host: Host, snapshots: Sequence[Snapshot]) -> Topology:
    """Join what all providers saw.  The order of `snapshots` does not matter."""
    ranked = sorted(snapshots, key=_rank)
    kernel_first = sorted(ranked, key=lambda snapshot: snapshot.provider != "linux")
    netns = _first((n.inode, n) for s in kernel_first for n in s.netns)
    devices = wiring.paired(_first((d.key, d) for s in kernel_first for d in s.devices))
    switches = _first((s.id, s) for snapshot in ranked for s in snapshot.switches)
    said = _first(((p.switch, p.name), p) for s in ranked for p in s.ports).values()
    ports = wiring.located(said, switches, devices)
    overlays = _first((_overlay_key(o), o) for s in ranked for o in s.overlays).values()
    used = {port.switch for port in ports}
    switching = {switch.netns for switch in switches.values() if switch.id in used}
    merged = merge_vms(((s.provider, vm) for s in ranked for vm in s.vms), devices)
    vms = tuple(vm for vm in merged if not _is_server(vm, switching))
    own = {inode for inode, namespace in netns.items() if not namespace.path}
    return Topology(
        host=host,
        vms=vms,
        switches=tuple(switches.values()),
        ports=wiring.with_roles(ports, vms, devices, switching | own),
        overlays=wiring.with_uplinks(overlays, devices),
        devices=MappingProxyType(devices),
        netns=MappingProxyType(netns),
        warnings=tuple(dict.fromkeys(warning for s in ranked for warning in s.warnings)),
    )


def _rank(snapshot: Snapshot) -> tuple[int, str]:
    known = PREFERENCE.index(snapshot.provider) if snapshot.provider in PREFERENCE else len(PREFERENCE)
    return known, snapshot.provider


def _first(pairs: Iterable[tuple[K, V]]) -> dict[K, V]:
    """A dict in which the first value of a key stays."""
    found: dict[K, V] = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return found


def _overlay_key(overlay: Overlay) -> tuple[object, ...]:
    return (overlay.device,) if overlay.device else (overlay.netns, overlay.switch_port)


def _is_server(vm: Vm, switching: set[int]) -> bool:
    """Whether a namespace turned out to hold a switch itself: it is a server, not a VM."""
    inside = {vnic.inner.netns for vnic in vm.vnics if vnic.inner}
    return vm.kind is VmKind.NAMESPACE and bool(inside & switching)
