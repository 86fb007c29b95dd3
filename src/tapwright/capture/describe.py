"""What a capture file says about itself: sections, interfaces and names, from the topology.

Pure.  pcapng carries these in the Section Header, Interface Description and Name
Resolution Blocks (draft-ietf-opsawg-pcapng, sections 4.1, 4.2 and 4.4).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from tapwright.capture.request import Section, Source
from tapwright.find.topology import Topology
from tapwright.model import Vm, Vnic
from tapwright.plan.points import Point, PointKind


def section(topology: Topology, application: str, captured: Iterable[Vm] = (), comment: str = "") -> Section:
    """The section header of a capture of these VMs made on this host."""
    host = topology.host
    about = f"host {host.name}"
    return Section(
        hardware=host.hardware,
        os=f"{host.os}, Linux {host.kernel}" if host.os else f"Linux {host.kernel}",
        application=application,
        comment=f"{about}; {comment}" if comment else about,
        names=names(neighbours(topology, captured)),
    )


def neighbours(topology: Topology, vms: Iterable[Vm]) -> tuple[Vm, ...]:
    """These VMs and all that share a switch and VLAN with them, also behind VMs that route between two.

    Others on the host belong to other networks: their names tell nothing about the packets, and are
    nobody's business who gets the file.
    """
    places = {vm.id: {place for vnic in vm.vnics if (place := _place(topology, vnic))} for vm in topology.vms}
    inside = {vm.id for vm in vms}
    reached: set[tuple[str, int | None]] = set()
    while more := set().union(*(places.get(vm_id, set()) for vm_id in inside)) - reached:
        reached |= more
        inside |= {vm_id for vm_id, mine in places.items() if mine & more}
    return tuple(vm for vm in topology.vms if vm.id in inside)


def _place(topology: Topology, vnic: Vnic) -> tuple[str, int | None] | None:
    port = topology.port_of(vnic)
    return (port.switch, port.vlan) if port else None


def names(vms: Iterable[Vm]) -> tuple[tuple[str, str], ...]:
    """(address, VM name) for every address that belongs to exactly one VM.

    Two VMs may both have a 10.0.0.5; a name there would be a lie, so such an
    address gets none (the interface blocks tell them apart).
    """
    owners: defaultdict[str, set[str]] = defaultdict(set)
    called: dict[str, str] = {}
    for vm in vms:
        called[vm.id] = vm.name
        for vnic in vm.vnics:
            for address in vnic.addresses:
                owners[address.partition("/")[0]].add(vm.id)
    return tuple(sorted((address, called[min(ids)]) for address, ids in owners.items() if len(ids) == 1))


def source(topology: Topology, vm: Vm, vnic: Vnic, point: Point, text: str, program: bytes) -> Source:
    """The interface block and packet source of `vnic`, read at `point` through filter `text`."""
    assert point.device is not None, "a mirror is opened before it is read"
    return Source(
        name=f"{vm.name}/{vnic.name}",
        description=_description(topology, vm, point),
        device=point.device_name,
        index=point.device.index,
        netns=point.netns.path,
        outgoing_is_to_vm=point.outgoing_is_to_vm,
        mac=vnic.mac,
        addresses=vnic.addresses,
        filter=text,
        program=program,
        role=_role(topology, vnic, point),
    )


def _role(topology: Topology, vnic: Vnic, point: Point) -> str:
    """Copies that a switch makes of a port in a VLAN carry the tag, which the VM itself never sees."""
    if point.kind is not PointKind.MIRROR:
        return "seen"
    port = topology.port_of(vnic)
    return "copied tagged" if port and port.vlan is not None else "copied"


def _description(topology: Topology, vm: Vm, point: Point) -> str:
    switch = topology.switch(point.switch)
    parts = [
        f"{vm.kind} {vm.name} ({vm.id})",
        f"host {topology.host.name}",
        f"mirror of port {point.port}" if point.kind is PointKind.MIRROR else "",
        f"device {point.device_name}" + (f" in netns {point.netns.name}" if point.netns.name else ""),
        f"switch {switch.name} ({switch.kind})" if switch else "",
        f"point {point.kind}",
        *_overlay(point),
    ]
    return ", ".join(part for part in parts if part)


def _overlay(point: Point) -> Iterator[str]:
    """What the frames were wrapped in, and between which endpoints (VTEPs)."""
    overlay = point.overlay
    if overlay is None:
        return
    yield overlay.kind if overlay.vni is None else f"{overlay.kind} {overlay.vni}"
    if overlay.local:
        yield f"VTEP {overlay.local}"
    if overlay.remotes:
        yield f"remote VTEPs {' '.join(overlay.remotes)}"
