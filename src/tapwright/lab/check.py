"""Whether a decoded lab file makes sense as a whole: references, addresses, what a switch kind can do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface

from tapwright.errors import UsageError
from tapwright.lab.topology import OVERLAY_HEADERS, OVN_HEADERS, Machine, Nic, Overlay, Server, Switch, Topology


def check(topology: Topology) -> None:
    """Raise UsageError with the first key that does not make sense."""
    for fault in _faults(topology):
        raise UsageError(fault)


def _faults(topology: Topology) -> Iterator[str]:
    names = [n for table in (topology.fabrics, topology.servers, topology.vms, topology.machines) for n in table]
    yield from (f"{name}: two nodes have this name" for name, count in Counter(names).items() if count > 1)
    if not topology.vms:
        yield "vms: a lab needs at least one VM"
    for name, server in topology.servers.items():
        yield from (f"servers.{name}: {fault}" for fault in _server(topology, server))
    yield from _overlays(topology)
    yield from _ovn(topology)
    for table, machines in (("vms", topology.vms), ("machines", topology.machines)):
        for name, machine in machines.items():
            yield from (f"{table}.{name}: {fault}" for fault in _machine(topology, machine, table == "vms"))
    yield from _talks(topology)


def _server(topology: Topology, server: Server) -> Iterator[str]:
    if not server.switches:
        yield "a server needs at least one switch"
    uplink = server.uplink
    if uplink is None:
        return
    if uplink.fabric not in topology.fabrics:
        yield f"uplink: no fabric named {uplink.fabric!r}"
    if uplink.switch and uplink.switch not in server.switches:
        yield f"uplink: it has no switch named {uplink.switch!r}"
    if uplink.address:
        yield from _address("uplink: address", uplink.address)


def _overlays(topology: Topology) -> Iterator[str]:
    members = [
        (f"servers.{name}.switches.{switch_name}", server, switch, switch.overlay)
        for name, server in topology.servers.items()
        for switch_name, switch in server.switches.items()
        if switch.overlay is not None
    ]
    sizes = Counter(overlay for _, _, _, overlay in members)
    for where, server, switch, overlay in members:
        yield from (f"{where}: {fault}" for fault in _overlay(server, switch, overlay, sizes[overlay]))


def _overlay(server: Server, switch: Switch, overlay: Overlay, size: int) -> Iterator[str]:
    uplink = server.uplink
    if uplink is None or not uplink.address:
        yield "an overlay needs the server to have an uplink with an address"
        return
    carrier = server.switches[uplink.switch].kind if uplink.switch in server.switches else ""
    if switch.kind == "bridge" and overlay.kind != "vxlan":
        yield f"a bridge has overlays of kind vxlan only, not {overlay.kind}"
    if switch.kind == "ovs" and (carrier != "ovs" or server.switches[uplink.switch] is switch):
        yield "an overlay of an ovs switch needs the uplink plugged into another ovs switch"
    if switch.kind == "ovs" and size > 2:
        yield "an overlay between more than two ovs switches would loop"
    if size < 2:
        yield "no other switch has this overlay"


def _ovn(topology: Topology) -> Iterator[str]:
    centrals = [machine for machine in topology.machines.values() if machine.ovn_central]
    fabrics = {nic.on for machine in centrals for nic in machine.nics if nic.addresses}
    if len(centrals) > 1:
        yield "machines: OVN has one central part, so one machine with ovn_central"
    for name, server in topology.servers.items():
        logical = [switch for switch in server.switches.values() if switch.logical]
        if len(logical) > 1:
            yield f"servers.{name}: a chassis has one integration bridge, so one switch with a logical one"
        for switch in logical:
            yield from (f"servers.{name}: {fault}" for fault in _chassis(server, switch, fabrics))


def _chassis(server: Server, switch: Switch, centrals: set[str]) -> Iterator[str]:
    uplink = server.uplink
    carrier = server.switches.get(uplink.switch) if uplink else None
    if switch.kind != "ovs" or switch.overlay:
        yield "logical: only an ovs switch without an overlay of its own can belong to OVN"
    if uplink is None or not uplink.address or carrier is None or carrier.kind != "ovs" or carrier is switch:
        yield "logical: OVN needs an uplink with an address, plugged into another ovs switch"
    elif uplink.fabric not in centrals:
        yield f"logical: OVN needs a machine with ovn_central and an address on {uplink.fabric}"


def _machine(topology: Topology, machine: Machine, vm: bool) -> Iterator[str]:
    if not 1 <= len(machine.nics) <= 8:
        yield "a machine has 1 to 8 nics"
    if vm and len({nic.on.partition("/")[0] for nic in machine.nics}) > 1:
        yield "nics: a VM runs on one server"
    for index, nic in enumerate(machine.nics):
        yield from (f"nics[{index}]: {fault}" for fault in _nic(topology, nic, vm))
    if machine.gateway:
        yield from _address("gateway", machine.gateway, prefix=False)
    if machine.masquerade and machine.masquerade not in {f"eth{i}" for i in range(len(machine.nics))}:
        yield f"masquerade: it has no nic {machine.masquerade!r} (they are eth0, eth1...)"
    if machine.kind == "qemu" and (machine.forward or machine.masquerade or not vm):
        yield "a qemu machine is a plain VM: it cannot forward, masquerade or stand in a fabric"
    if machine.ovn_central and vm:
        yield "ovn_central: OVN's central part runs on a machine in a fabric, not in a VM"


def _nic(topology: Topology, nic: Nic, vm: bool) -> Iterator[str]:
    if vm:
        yield from _port(topology, nic)
    elif nic.on not in topology.fabrics:
        yield f"on: no fabric named {nic.on!r}"
    elif nic.vlan:
        yield "vlan: a fabric has none"
    for address in nic.addresses:
        yield from _address("addresses", address)


def _port(topology: Topology, nic: Nic) -> Iterator[str]:
    server, _, name = nic.on.partition("/")
    switch = topology.servers[server].switches.get(name) if server in topology.servers else None
    if switch is None:
        yield f"on: {nic.on!r} is not the SERVER/SWITCH of any server"
        return
    if nic.vlan and switch.kind != "ovs":
        yield "vlan: only ports of an ovs switch can have one"
    uplink = topology.servers[server].uplink
    if nic.vlan and switch.logical:
        yield "vlan: a port of a logical switch has none"
    least = nic.mtu + (OVN_HEADERS if switch.logical else OVERLAY_HEADERS)
    if (switch.overlay or switch.logical) and uplink and least > topology.fabrics[uplink.fabric].mtu:
        yield f"mtu: {nic.mtu} in an overlay needs fabrics.{uplink.fabric} to have {least} or more"


def _talks(topology: Topology) -> Iterator[str]:
    machines = {**topology.vms, **topology.machines}
    for index, talk in enumerate(topology.talks):
        for name in (talk.source, talk.to):
            if name not in machines:
                yield f"talks[{index}]: no VM or machine named {name!r}"
        if talk.protocol == "udp" and any(machines[n].kind == "qemu" for n in (talk.source, talk.to) if n in machines):
            yield f"talks[{index}]: QEMU guests talk tcp only"
        if talk.to in machines and not any(nic.addresses for nic in machines[talk.to].nics):
            yield f"talks[{index}]: {talk.to} has no address to talk to"


def _address(key: str, text: str, *, prefix: bool = True) -> Iterator[str]:
    try:
        if "%" in text or (prefix and "/" not in text):  # a scope may hold any character
            raise ValueError
        ip_interface(text) if prefix else ip_address(text)
    except ValueError:
        yield f"{key}: {text!r} is not an IP address{' with a prefix length, like 10.0.0.5/24' if prefix else ''}"
