"""Pure: network namespaces that are VMs: containers, pods, a lab's machines.

Told by the veth (or macvlan, or lent switch port) that leads into them; who runs them does not
matter here, another provider may know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from tapwright.model import Device, DeviceKey, Netns, Vm, VmKind, Vnic
from tapwright.providers.linux_view import PAIRS, VSWITCHD, View

_NIC_KINDS = frozenset({"", *PAIRS, "macvlan", "ipvlan", "openvswitch"})
"""Link kinds that are a VM's network card when they sit in its namespace; "" is a card passed through."""
_OURS = "tapwright"
"""Device descriptions that begin so are notes to ourselves, not names."""


def namespaces(view: View, servers: Set[int]) -> Iterator[Vm]:
    """The namespaces that are VMs: not our own, not one of `servers`, and with a network card."""
    lent = _lent_taps(view)
    for netns in view.census.namespaces:
        if netns.inode == view.census.own or netns.inode in servers:
            continue
        nics = [d for d in view.by_netns.get(netns.inode, ()) if _is_nic(d) or d.key in lent]
        if nics:
            yield _namespace(view, netns, nics)


def _is_nic(device: Device) -> bool:
    inside = device.peer is not None and device.peer.netns == device.key.netns
    return device.kind in _NIC_KINDS and not inside


def _lent_taps(view: View) -> frozenset[DeviceKey]:
    """Taps that an ovs-vswitchd holds open: in somebody's namespace they are internal ports given away."""
    daemons = [process for process in view.census.processes if process.program == VSWITCHD]
    names = {tap.name for process in daemons for tap in view.held.get(process.pid, ())}
    return frozenset(device.key for name in names for device in view.taps.get(name, ()))


def _namespace(view: View, netns: Netns, nics: Sequence[Device]) -> Vm:
    first = next(iter(view.residents.get(netns.inode, ())), None)
    own_name = netns.name or (f"{first.program}-{first.pid}" if first else f"netns-{netns.inode}")
    name = _described(view, nics) or own_name
    return Vm(
        id=netns.name or f"netns:{netns.inode}",
        name=name,
        kind=VmKind.NAMESPACE,
        aliases=(own_name,) if own_name not in (name, netns.name) else (),
        vnics=tuple(
            Vnic(d.name, d.mac, d.addresses, d.mtu, device=d.peer if d.kind in PAIRS else None, inner=d.key)
            for d in nics
        ),
        pid=first.pid if first else 0,
        providers=("linux",),
    )


def _described(view: View, nics: Sequence[Device]) -> str:
    """The one description that the host's ends of these cards carry, "" when none or several."""
    ends = (view.devices.get(nic.peer) for nic in nics if nic.peer)
    texts = {end.alias for end in ends if end and end.alias and not end.alias.startswith(_OURS)}
    return texts.pop() if len(texts) == 1 else ""
