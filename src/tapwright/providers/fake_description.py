"""The short description from which `Fake` makes a host, and how it becomes a snapshot.  Pure."""

from __future__ import annotations

import itertools

import msgspec

from tapwright.errors import UsageError
from tapwright.model import Device, DeviceKey, Netns, Overlay, Port, Role, Snapshot, Switch, Vm, VmKind, Vnic

HOME = Netns(1)
"""The only namespace of a described host: tapwright's own."""


class Nic(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A vNIC; without `device` only a mirror of its port can show it."""

    mac: str = ""
    addresses: tuple[str, ...] = ()
    mtu: int = 1500
    device: str = ""
    switch: str = ""
    vlan: int | None = None


class Machine(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A VM or container; its id is its name unless told."""

    id: str = ""
    kind: VmKind = VmKind.VM
    state: str = "running"
    aliases: tuple[str, ...] = ()
    nics: tuple[Nic, ...] = ()


class Tunnel(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An overlay that leaves a switch."""

    kind: str = "vxlan"
    vni: int | None = None
    local: str = ""
    remotes: tuple[str, ...] = ()
    port: int = 4789


class Bridge(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A switch and its ways out."""

    kind: str = "bridge"
    uplink: str = ""
    overlay: Tunnel | None = None


class Description(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A host in few words, as a dict or a TOML file has it."""

    vms: dict[str, Machine] = {}
    switches: dict[str, Bridge] = {}


def snapshot(host: Description) -> Snapshot:
    """What a provider would say of that host.  Raises UsageError at a switch that is not described."""
    return _Builder().snapshot(host)


class _Builder:
    """Turns a description into a snapshot, numbering devices as they come."""

    def __init__(self) -> None:
        self._devices: list[Device] = []
        self._ports: list[Port] = []
        self._overlays: list[Overlay] = []
        self._numbers = itertools.count(1)

    def snapshot(self, host: Description) -> Snapshot:
        switches = tuple(self._switch(name, bridge) for name, bridge in host.switches.items())
        vms = tuple(self._vm(name, machine, host) for name, machine in host.vms.items())
        return Snapshot("fake", (HOME,), tuple(self._devices), vms, switches, tuple(self._ports), tuple(self._overlays))

    def _device(self, name: str, kind: str, mtu: int = 1500) -> DeviceKey:
        key = DeviceKey(HOME.inode, next(self._numbers))
        self._devices.append(Device(key, name, kind, mtu=mtu))
        return key

    def _switch(self, name: str, bridge: Bridge) -> Switch:
        uplink = self._device(bridge.uplink, "") if bridge.uplink else None
        if uplink:
            self._ports.append(Port(name, bridge.uplink, Role.UPLINK, uplink))
        if tunnel := bridge.overlay:
            port = f"{name}-{tunnel.kind}"
            self._ports.append(Port(name, port, Role.TUNNEL, kind=tunnel.kind))
            self._overlays.append(
                Overlay(
                    tunnel.kind, tunnel.vni, tunnel.local, tunnel.remotes, tunnel.port, HOME.inode, port, None, uplink
                )
            )
        return Switch(name, name, bridge.kind, HOME.inode, providers=("fake",))

    def _vm(self, name: str, machine: Machine, host: Description) -> Vm:
        vnics = tuple(self._vnic(f"{name}-{i}", i, nic, host) for i, nic in enumerate(machine.nics))
        return Vm(machine.id or name, name, machine.kind, machine.state, machine.aliases, vnics, providers=("fake",))

    def _vnic(self, port: str, place: int, nic: Nic, host: Description) -> Vnic:
        device = self._device(nic.device, "tun", nic.mtu) if nic.device else None
        if nic.switch:
            if nic.switch not in host.switches:
                raise UsageError(f"there is no switch {nic.switch!r} in this description")
            self._ports.append(
                Port(nic.switch, nic.device or port, Role.VNIC, device, vlan=nic.vlan, mac=nic.mac, iface_id=port)
            )
        return Vnic(f"net{place}", nic.mac, nic.addresses, nic.mtu, device, iface_id=port if nic.switch else "")
