"""Making a lab, step by step, from its plan; every effect of `up` starts here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from tapwright.adapters import command
from tapwright.lab import chatter, guests, image, libvirtd, links, netns, openvswitch, ovn, processes, store
from tapwright.lab.plan import MachineNode, Node, Plan, ServerNode

Report = Callable[[str], None]
"""Is told what is being made, in a few words for a person."""


def require(plan: Plan) -> None:
    """Raise MissingDependency or PrivilegeError for what the lab needs and this machine has not."""
    command.find("ip")
    if any(server.has_ovs for server in plan.servers):
        openvswitch.require()
    if plan.ovn_central:
        ovn.require()
    if any(machine.spec.masquerade for machine in plan.machines):
        command.find("nft")
    if plan.guests:
        command.find(guests.PROGRAM)
        openvswitch.require_tun()
    for server in plan.servers:
        if plan.guests_of(server) and server.spec.hypervisor == "libvirt":
            libvirtd.require()


def fetch(plan: Plan, report: Report) -> None:
    """Fetch what QEMU guests are made of, if the lab has any.  Raises MissingDependency, ProviderError."""
    if plan.guests:
        image.ensure(report)


def build(record: store.Record, report: Report, *, traffic: bool) -> None:
    """Make everything.  Raises any TapwrightError; the caller undoes what was made so far."""
    plan, env = record.plan, processes.environment(record.token)
    report(f"{len(plan.namespaces)} network namespaces")
    netns.ip((f"netns add {name}" for name in plan.namespaces), env)
    _settle(plan)
    report("devices and addresses")
    for node in plan.nodes:
        if node.netns:
            netns.ip(links.lines(plan, node), env, node.netns)
    for name, device in links.unoffloaded(plan):
        netns.complete_checksums(name, device)
    for machine in plan.machines:
        if machine.spec.masquerade:
            _masquerade(machine, env)
    if plan.ovn_central:
        report(f"OVN's databases and northd on {plan.ovn_central.name}")
        ovn.start_central(plan, plan.ovn_central, store.folder(plan.lab) / plan.ovn_central.name, env)
    for server in plan.servers:
        _server(plan, server, env, report, traffic)
    if plan.ovn_central:
        ovn.await_ready(plan, store.folder(plan.lab) / plan.ovn_central.name, env)
    if traffic:
        report("traffic")
        chatter.start(plan, store.folder(plan.lab), env)
    for server in plan.servers:
        guests.await_ready(store.folder(plan.lab) / server.name, plan.guests_of(server))


def daemons(plan: Plan) -> Iterator[str]:
    """Pid files, relative to the lab's directory, of what runs beside the guests as long as the lab is up."""
    for server in plan.servers:
        names: tuple[str, ...] = openvswitch.PID_FILES if server.has_ovs else ()
        if plan.guests_of(server) and _libvirt(server):
            names += ("libvirtd.pid",)
        if server.integration:
            names += ovn.CHASSIS_PID_FILES
        yield from (f"{server.name}/{name}" for name in names)
    if plan.ovn_central:
        yield from (f"{plan.ovn_central.name}/{name}" for name in ovn.CENTRAL_PID_FILES)


def undo(lab: str) -> None:
    """Undo whatever `build` made, from the record alone; safe to repeat."""
    undo = store.read_undo(lab)
    if undo:
        processes.stop(undo.token, undo.namespaces)
        netns.delete(undo.namespaces)
        if undo.netns_folder:
            netns.remove_folder()
    store.remove(lab)


def _server(plan: Plan, server: ServerNode, env: Mapping[str, str], report: Report, traffic: bool) -> None:
    folder = store.folder(plan.lab) / server.name
    folder.mkdir(mode=0o700)
    netns.ip(links.flood_lines(plan, server), env, server.netns, "bridge")
    if server.has_ovs:
        report(f"Open vSwitch on {server.name}")
        openvswitch.start(plan, server, folder, env)
        netns.ip(links.late_lines(server), env, server.netns)
    if server.integration:
        ovn.start_controller(plan, server, folder, env)
    if plan.guests_of(server):
        _guests(plan, server, env, report, traffic)


def _guests(plan: Plan, server: ServerNode, env: Mapping[str, str], report: Report, traffic: bool) -> None:
    folder = store.folder(plan.lab) / server.name
    starter, name = (libvirtd.start, "libvirt") if _libvirt(server) else (guests.start, "QEMU")
    machines = plan.guests_of(server)
    report(f"{len(machines)} guests on {server.name}, by {name}; they boot in about 10 s")
    guests.initramfs(folder).write_bytes(image.initramfs())
    talks = plan.topology.talks if traffic else ()
    appends = {guest: guests.cmdline(guest, talks, chatter.addresses(plan)) for guest in machines}
    starter(server, folder, appends, env)


def _libvirt(server: ServerNode) -> bool:
    wanted = server.spec.hypervisor
    return wanted == "libvirt" or (wanted == "auto" and libvirtd.available())


def _settle(plan: Plan) -> None:
    for node in plan.nodes:
        if node.netns:
            netns.settle(node.netns, dict(_settings(node)))


def _settings(node: Node) -> Iterator[tuple[str, str]]:
    """Pure: no IPv6 where it was not asked for, so that a capture shows nothing nobody sent."""
    ipv6 = any(":" in address for address in node.addresses)
    for scope in ("all", "default"):
        yield f"net/ipv6/conf/{scope}/disable_ipv6", "0" if ipv6 else "1"
        yield f"net/ipv6/conf/{scope}/router_solicitations", "0"
        yield f"net/ipv4/conf/{scope}/send_redirects", "0"
        yield f"net/ipv4/conf/{scope}/rp_filter", "0"
    if isinstance(node, MachineNode) and (node.spec.forward or node.spec.masquerade):
        yield "net/ipv4/ip_forward", "1"
        yield "net/ipv6/conf/all/forwarding", "1"


def _masquerade(machine: MachineNode, env: Mapping[str, str]) -> None:
    rules = f"""table ip tapwright-lab {{
        chain postrouting {{
            type nat hook postrouting priority srcnat;
            oifname "{machine.spec.masquerade}" masquerade
        }}
    }}"""
    netns.run(machine.netns, ["nft", "-f", "-"], env, stdin=rules)
