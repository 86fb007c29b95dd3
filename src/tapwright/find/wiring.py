"""Wiring: what only the whole picture tells of ports, pairs and tunnels.  Pure.

A provider sees its own end: Open vSwitch knows a port's name and not who is behind the veth,
the kernel knows the veth and not Open vSwitch's bridges.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace

from tapwright.model import Device, DeviceKey, Overlay, Port, Role, Switch, Vm

_PAIRS = ("veth", "netkit")
_BY_DEVICE = frozenset({"", "system", "internal", "tap", "afxdp", "afxdp-nonpmd"})
"""Types of Open vSwitch ports that a kernel device of the same name carries."""
_GIVEN_AWAY = frozenset({"tun", "openvswitch"})
"""Link kinds of an internal port, which may be moved into somebody's namespace."""


def paired(devices: Mapping[DeviceKey, Device]) -> dict[DeviceKey, Device]:
    """The devices, with both ends of a pair pointing at each other where only one did."""
    backward = {d.peer: d.key for d in devices.values() if d.peer}
    return {
        key: device if device.peer or key not in backward else replace(device, peer=backward[key])
        for key, device in devices.items()
    }


def located(
    ports: Iterable[Port], switches: Mapping[str, Switch], devices: Mapping[DeviceKey, Device]
) -> tuple[Port, ...]:
    """The ports, each with the device that carries it, found by name where the switch did not say or was wrong."""
    names: defaultdict[str, list[Device]] = defaultdict(list)
    for device in devices.values():
        names[device.name].append(device)
    return tuple(_located(port, switches.get(port.switch), names, devices) for port in ports)


def _located(
    port: Port, switch: Switch | None, names: Mapping[str, list[Device]], devices: Mapping[DeviceKey, Device]
) -> Port:
    if switch is None or switch.kind != "ovs" or port.kind not in _BY_DEVICE:
        return port
    name = port.name.rpartition("/")[2]
    said = devices.get(port.device) if port.device else None
    if said and said.name == name:
        return port
    alike = names.get(name, [])
    here = [device.key for device in alike if device.key.netns == switch.netns]
    away = [device.key for device in alike if device.kind in _GIVEN_AWAY] if port.kind == "internal" else []
    # A port whose device was renamed keeps its number; one that moved away leaves its number to somebody else.
    found = here or (away if len(away) == 1 else [])
    return replace(port, device=found[0]) if found else port


def with_roles(
    ports: Sequence[Port], vms: Iterable[Vm], devices: Mapping[DeviceKey, Device], servers: Set[int]
) -> tuple[Port, ...]:
    """The ports with the role that the other end gives them; `servers` are namespaces that hold a switch."""
    owned = {key for vm in vms for vnic in vm.vnics for key in (vnic.device, vnic.inner) if key}
    carried = {port.device: port for port in ports if port.device}
    known = tuple(_with_role(port, owned, carried, devices, servers) for port in ports)
    lone = _only_ways_out(known, devices)
    return tuple(replace(port, role=Role.UPLINK) if port in lone else port for port in known)


def _only_ways_out(ports: Sequence[Port], devices: Mapping[DeviceKey, Device]) -> Set[Port]:
    """Pairs that lead where we may not look, one to a switch that has no other way out: who else should it be?"""
    unseen: defaultdict[str, list[Port]] = defaultdict(list)
    for port in ports:
        device = devices.get(port.device) if port.device else None
        if port.role is Role.OTHER and device and device.kind in _PAIRS and device.peer is None:
            unseen[port.switch].append(port)
    exits = {port.switch for port in ports if port.role in (Role.UPLINK, Role.TUNNEL, Role.PATCH)}
    return {found[0] for switch, found in unseen.items() if len(found) == 1 and switch not in exits}


def _with_role(
    port: Port,
    owned: Set[DeviceKey],
    carried: Mapping[DeviceKey, Port],
    devices: Mapping[DeviceKey, Device],
    servers: Set[int],
) -> Port:
    if port.device in owned:
        return port if port.role is Role.VNIC else replace(port, role=Role.VNIC)
    device = devices.get(port.device) if port.device else None
    if device is None or device.kind not in _PAIRS or device.peer is None or port.role in (Role.TUNNEL, Role.PATCH):
        return port
    if device.peer.netns != device.key.netns:
        return replace(port, role=Role.UPLINK) if device.peer.netns in servers else port
    other = carried.get(device.peer)
    return replace(port, role=Role.PATCH, peer=other.name) if other and other.switch != port.switch else port


def with_uplinks(overlays: Iterable[Overlay], devices: Mapping[DeviceKey, Device]) -> tuple[Overlay, ...]:
    """The tunnels, each with the device its outer packets leave by, where the addresses tell."""
    overlays = tuple(overlays)
    spaces = {overlay.netns for overlay in overlays if overlay.uplink is None}
    local: defaultdict[int, list[Device]] = defaultdict(list)
    for device in devices.values():
        if device.key.netns in spaces and device.addresses:
            local[device.key.netns].append(device)
    return tuple(
        overlay if overlay.uplink else replace(overlay, uplink=_uplink(overlay, local[overlay.netns]))
        for overlay in overlays
    )


def _uplink(overlay: Overlay, devices: Sequence[Device]) -> DeviceKey | None:
    """Who has the local endpoint's address, else who is in one network with a remote one."""
    interfaces = [(device.key, interface) for device in devices for interface in _interfaces(device)]
    if overlay.local:
        return next((key for key, interface in interfaces if str(interface.ip) == overlay.local), None)
    remotes = [remote for text in overlay.remotes if (remote := _address(text))]
    near = (key for remote in remotes for key, interface in interfaces if remote in interface.network)
    return next(near, None)


def _interfaces(device: Device) -> Iterator[ipaddress.IPv4Interface | ipaddress.IPv6Interface]:
    for text in device.addresses:
        try:
            yield ipaddress.ip_interface(text)
        except ValueError:
            continue


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
