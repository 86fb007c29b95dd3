"""The list of a host: one row for each vNIC with everything it hangs on.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tapwright.find.names import Selection
from tapwright.find.path import overlays
from tapwright.find.topology import Topology
from tapwright.model import Device, Netns, Overlay, Port, Switch, Vm, Vnic


@dataclass(frozen=True, slots=True)
class Place:
    """A device and the namespace it is in."""

    name: str
    kind: str
    index: int
    netns: Netns
    up: bool
    mtu: int


@dataclass(frozen=True, slots=True)
class Row:
    """A vNIC and where it is plugged in; a VM without any has one row with nothing in it."""

    vm: Vm
    vnic: Vnic | None = None
    device: Place | None = None
    inner: Place | None = None
    switch: Switch | None = None
    port: Port | None = None
    overlays: tuple[Overlay, ...] = ()


def rows(topology: Topology, selections: Iterable[Selection]) -> Iterator[Row]:
    """The rows of these VMs and vNICs, in that order."""
    for selection in selections:
        if not selection.vnics:
            yield Row(selection.vm)
        for vnic in selection.vnics:
            yield _row(topology, selection.vm, vnic)


def _row(topology: Topology, vm: Vm, vnic: Vnic) -> Row:
    port = topology.port_of(vnic)
    return Row(
        vm=vm,
        vnic=vnic,
        device=_place(topology, topology.device(vnic.device)),
        inner=_place(topology, topology.device(vnic.inner)),
        switch=topology.switch(port.switch) if port else None,
        port=port,
        overlays=overlays(topology, vnic),
    )


def _place(topology: Topology, device: Device | None) -> Place | None:
    if device is None:
        return None
    netns = topology.netns.get(device.key.netns) or Netns(device.key.netns)
    return Place(device.name, device.kind, device.key.index, netns, device.up, device.mtu)


def everybody(topology: Topology) -> tuple[Selection, ...]:
    """Every VM with all its vNICs, in the order people count: web-2 before web-10."""
    return tuple(Selection(vm, vm.vnics) for vm in sorted(topology.vms, key=lambda vm: (natural(vm.name), vm.id)))


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """A sort key in which the numbers inside a name count as numbers."""
    parts = re.split(r"([0-9]{1,18})", text)
    return tuple((int(part), "") if place % 2 else (0, part) for place, part in enumerate(parts))


def on_switch(listed: Iterable[Row], pattern: str) -> Iterator[Row]:
    """Those plugged into a switch whose name matches a shell pattern."""
    return (row for row in listed if row.switch and fnmatchcase(row.switch.name, pattern))
