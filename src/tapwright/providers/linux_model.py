"""Pure: the kernel's devices as switches, ports and overlays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from tapwright.model import Device, DeviceKey, Netns, Overlay, Port, Role, Snapshot, Switch, Vm
from tapwright.providers.linux_namespaces import namespaces
from tapwright.providers.linux_qemu import guests
from tapwright.providers.linux_view import VSWITCHD, View

_TUNNELS = {
    "vxlan": "vxlan", "geneve": "geneve", "gre": "gre", "gretap": "gre", "ip6gre": "gre", "ip6gretap": "gre",
    "erspan": "erspan", "ip6erspan": "erspan",
}  # fmt: skip
"""link kind -> what goes over the wire"""
_UPLINKS = frozenset({"", "bond", "team", "vlan", "macvlan", "dummy"})
_NAMED_AT_MOST = 4


def describe(view: View) -> Snapshot:
    """What the kernel says of this host."""
    emulated = guests(view)
    servers = _servers(view, emulated)
    vms = (*namespaces(view, servers), *emulated)
    owned = frozenset(vnic.device for vm in vms for vnic in vm.vnics if vnic.device)
    plugged = ((device, bridge) for device in view.devices.values() if (bridge := view.bridge_of(device)))
    return Snapshot(
        "linux",
        netns=view.census.namespaces,
        devices=tuple(view.devices.values()),
        vms=vms,
        switches=tuple(_switch(device) for device in view.devices.values() if device.kind == "bridge"),
        ports=tuple(_port(view, device, bridge, _role(device, owned)) for device, bridge in plugged),
        overlays=tuple(_overlays(view)),
        warnings=tuple(_warnings(view)),
    )


def _servers(view: View, emulated: Sequence[Vm]) -> frozenset[int]:
    """Namespaces that hold a switch or a hypervisor, and our own."""
    bridges = {d.key.netns for d in view.devices.values() if view.bridge_of(d)}
    datapaths = {d.key.netns for d in view.devices.values() if d.name == "ovs-system"}
    daemons = {process.netns for process in view.census.processes if process.program == VSWITCHD}
    hypervisors = {vnic.device.netns for vm in emulated for vnic in vm.vnics if vnic.device}
    return frozenset({view.census.own} | bridges | datapaths | daemons | hypervisors)


def _switch_id(bridge: Device) -> str:
    return f"bridge:{bridge.key.netns}:{bridge.key.index}"


def _switch(bridge: Device) -> Switch:
    return Switch(
        id=_switch_id(bridge),
        name=bridge.name,
        kind="bridge",
        netns=bridge.key.netns,
        device=bridge.key,
        datapath="kernel",
        providers=("linux",),
    )


def _port(view: View, device: Device, bridge: Device, role: Role) -> Port:
    vlans = view.survey.vlans.get(device.key)
    return Port(
        switch=_switch_id(bridge),
        name=device.name,
        role=role,
        device=device.key,
        kind=device.kind,
        vlan=vlans.pvid if vlans and vlans.pvid != 1 else None,
        trunks=vlans.tagged if vlans else (),
    )


def _role(device: Device, owned: Set[DeviceKey]) -> Role:
    if device.key in owned:
        return Role.VNIC
    if device.kind in _TUNNELS:
        return Role.TUNNEL
    return Role.UPLINK if device.kind in _UPLINKS else Role.OTHER


def _overlays(view: View) -> Iterator[Overlay]:
    for key, tunnel in view.survey.tunnels.items():
        device = view.devices[key]
        # The kernel makes gre0, gretap0 and erspan0 in every namespace; they lead nowhere.
        if device.kind in _TUNNELS and (tunnel.local or tunnel.remotes or tunnel.external or tunnel.vni is not None):
            yield Overlay(
                kind=_TUNNELS[device.kind],
                vni=tunnel.vni,
                local=tunnel.local,
                remotes=tunnel.remotes,
                port=tunnel.port,
                netns=key.netns,
                switch_port=device.name if device.master else "",
                device=key,
                uplink=device.lower,
            )


def _warnings(view: View) -> Iterator[str]:
    if closed := [netns for netns, error in view.survey.failures]:
        reasons = dict.fromkeys(error.strerror or str(error) for _, error in view.survey.failures)
        yield f"{_count(len(closed), 'network namespace')} could not be looked into ({_listed(closed)}): " + "; ".join(
            reasons
        )
    if view.census.hidden:
        yield (
            f"the network namespace of {_count(view.census.hidden, 'process', 'processes')} is hidden from this user; "
            "containers without a name for theirs may be missing (run it with sudo)"
        )


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _listed(closed: Sequence[Netns]) -> str:
    names = [netns.name or netns.path for netns in closed[:_NAMED_AT_MOST]]
    return ", ".join(names) + (f" and {len(closed) - len(names)} more" if len(closed) > len(names) else "")
