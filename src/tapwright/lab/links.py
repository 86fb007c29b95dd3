"""Pure: what `ip` and `bridge` are told in each namespace, as lines for their ``-batch -``.

Namespaces are filled in the order of the plan (fabrics, servers, then VMs and machines), so
that a veth pair is made by the side that has the switch and the other side only dresses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_interface

from tapwright.lab.plan import (
    FABRIC_SWITCH,
    UPLINK,
    FabricNode,
    MachineNode,
    Node,
    Plan,
    Plug,
    ServerNode,
    netns_name,
)
from tapwright.lab.topology import OVERLAY_HEADERS, Overlay, Switch, Uplink

_BRIDGE = "type bridge stp_state 0 forward_delay 0 mcast_snooping 0"


def lines(plan: Plan, node: Node) -> Iterator[str]:
    """What `ip` makes in the node's namespace; devices of Open vSwitch are not there yet."""
    yield "link set lo up"
    match node:
        case FabricNode():
            yield from _fabric(plan, node)
        case ServerNode():
            yield from _server(plan, node)
        case MachineNode():
            yield from _machine(node)


def late_lines(server: ServerNode) -> Iterator[str]:
    """What `ip` does in a server's namespace once Open vSwitch has made its devices."""
    for name, switch in server.spec.switches.items():
        if switch.kind == "ovs":
            yield f"link set {name} up"
    if server.spec.uplink and server.uplink_is_ovs:
        yield from _uplink_address(server.spec.uplink)


def flood_lines(plan: Plan, server: ServerNode) -> Iterator[str]:
    """What `bridge` is told: where each MAC of an overlay is, and whom to flood to, as EVPN would learn it."""
    for overlay in _overlays(server):
        for other in plan.members(overlay, without=server):
            macs = ("00:00:00:00:00:00", *(nic.mac for nic in _inside(plan, other, overlay)))
            yield from (f"fdb append {mac} dev vx{overlay.vni} dst {vtep(other)}" for mac in macs)


def unoffloaded(plan: Plan) -> Iterator[tuple[str, str]]:
    """(namespace, device) of every veth end whose frames go into Open vSwitch's userspace datapath.

    It forwards what it gets, so the checksum must be complete before; otherwise TCP hangs.
    """
    for machine in plan.machines:
        yield from ((machine.netns, nic.name) for nic in machine.nics if nic.ovs and machine.netns)
    for number, server, uplink in _uplinks(plan):
        if server.uplink_is_ovs:
            yield netns_name(plan.lab, uplink.fabric), f"server{number}"


def vtep(server: ServerNode) -> str:
    """The server's underlay address without its prefix length, "" when it has none."""
    uplink = server.spec.uplink
    return str(ip_interface(uplink.address).ip) if uplink and uplink.address else ""


def _fabric(plan: Plan, node: FabricNode) -> Iterator[str]:
    yield from _bridge(FABRIC_SWITCH)
    mtu = node.spec.mtu
    for number, server, uplink in _uplinks(plan):
        if uplink.fabric == node.name:
            yield f"link add server{number} mtu {mtu} type veth peer name {UPLINK} mtu {mtu} netns {server.netns}"
            yield f"link set server{number} master {FABRIC_SWITCH} up"
    yield from _plugs(plan, node)


def _server(plan: Plan, server: ServerNode) -> Iterator[str]:
    for name, switch in server.spec.switches.items():
        if switch.kind == "bridge":
            yield from _bridge(name)
    if server.spec.uplink:
        yield from _uplink(server, server.spec.uplink)
        for name, switch in server.spec.switches.items():
            if switch.overlay and switch.kind == "bridge":
                mtu = plan.topology.fabrics[server.spec.uplink.fabric].mtu - OVERLAY_HEADERS
                yield from _vxlan(server, server.spec.uplink, name, switch.overlay, mtu)
    yield from _plugs(plan, server)


def _bridge(name: str) -> Iterator[str]:
    yield f"link add {name} {_BRIDGE}"
    yield f"link set {name} up"


def _uplink(server: ServerNode, uplink: Uplink) -> Iterator[str]:
    if server.uplink_is_ovs:
        yield f"link set {UPLINK} up"
    else:
        yield f"link set {UPLINK} {_master(uplink.switch)}up"
        yield from _uplink_address(uplink)


def _uplink_address(uplink: Uplink) -> Iterator[str]:
    if uplink.address:
        yield f"addr add {uplink.address} dev {uplink.switch or UPLINK}"


def _vxlan(server: ServerNode, uplink: Uplink, switch: str, overlay: Overlay, mtu: int) -> Iterator[str]:
    tunnel = f"id {overlay.vni} dstport 4789 local {vtep(server)} dev {uplink.switch or UPLINK} nolearning"
    yield f"link add vx{overlay.vni} mtu {mtu} type vxlan {tunnel}"
    yield f"link set vx{overlay.vni} master {switch} up"


def _plugs(plan: Plan, host: Node) -> Iterator[str]:
    for owner, nic in plan.plugs(host.name):
        if not owner.guest:
            inner = f"name {nic.name} address {nic.mac} mtu {nic.mtu} netns {owner.netns}"
            yield f"link add {nic.device} mtu {nic.mtu} type veth peer {inner}"
            yield f"link set {nic.device} alias {owner.name} {_master('' if nic.ovs else nic.switch)}up"


def _master(switch: str) -> str:
    return f"master {switch} " if switch else ""


def _machine(machine: MachineNode) -> Iterator[str]:
    for nic in machine.nics:
        yield f"link set {nic.name} up"
        yield from (f"addr add {address} dev {nic.name}{_nodad(address)}" for address in nic.addresses)
    if machine.spec.gateway:
        yield f"route add default via {machine.spec.gateway}"


def _nodad(address: str) -> str:
    """An IPv6 address is usable at once without duplicate address detection."""
    return " nodad" if ip_interface(address).version == 6 else ""


def _overlays(server: ServerNode) -> Iterator[Overlay]:
    switches = server.spec.switches.values()
    return (switch.overlay for switch in switches if switch.overlay and switch.kind == "bridge")


def _inside(plan: Plan, server: ServerNode, overlay: Overlay) -> Iterator[Plug]:
    """The vNICs of a server that are plugged into an overlay."""
    switches: dict[str, Switch] = server.spec.switches
    return (nic for _, nic in plan.plugs(server.name) if switches[nic.switch].overlay == overlay)


def _uplinks(plan: Plan) -> Iterator[tuple[int, ServerNode, Uplink]]:
    for number, server in enumerate(plan.servers):
        if server.spec.uplink:
            yield number, server, server.spec.uplink
