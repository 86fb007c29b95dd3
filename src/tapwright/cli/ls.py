"""``tapwright ls``: the VMs and containers of this host and where they are plugged in."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import click

from tapwright.cli.common import complete_vm, emit_json, is_terminal, json_option, show_warnings, warn
from tapwright.cli.table import render
from tapwright.find.listing import Place, Row, everybody, on_switch, rows
from tapwright.find.names import resolve_many
from tapwright.model import Answer, Overlay
from tapwright.text import printable, shortened

_HEADER = ("VM", "KIND", "VNIC", "MAC", "IP", "MTU", "DEVICE", "SWITCH", "PORT", "VLAN", "OVERLAY", "KNOWN BY")
_DISPENSABLE = ("KNOWN BY", "PORT", "MTU", "KIND", "VLAN", "MAC")
_ELASTIC = ("DEVICE", "SWITCH", "VM")

_SAYS = {Answer.YES: "knows of none; asked ", Answer.UNKNOWN: "could not be asked: ", Answer.NO: ""}

_EPILOG = """\b
Examples:
  tapwright ls
  tapwright ls 'web-*' db-3
  tapwright ls --switch br-int
  tapwright ls --json | jq '.vnics[] | [.vm.name, .device.name]'

On a terminal, columns that do not fit are left out and long names cut; --wide shows all."""


@click.command(epilog=_EPILOG)
@click.argument("vms", metavar="[VM]...", nargs=-1, shell_complete=complete_vm)
@click.option("--switch", metavar="PATTERN", help="Only those plugged into a switch of that name.")
@click.option("--wide", is_flag=True, help="All columns, all addresses.")
@json_option
def ls(vms: tuple[str, ...], switch: str | None, wide: bool, as_json: bool) -> None:
    """List the VMs and containers of this host and where they are plugged in.

    VM is a name, an id, VM/nic or a shell pattern; by default all.  A pattern is held against
    names, and where no name matches against ids, then VM/nic.
    """
    from tapwright.control.local import look

    topology = look()
    selections = resolve_many(topology, vms) if vms else everybody(topology)
    found = list(rows(topology, selections))
    if switch is not None:
        found = list(on_switch(found, switch))
    if as_json:
        emit_json({"host": topology.host, "vnics": [as_data(row) for row in found], "warnings": topology.warnings})
        return
    width = None if wide or not is_terminal() else shutil.get_terminal_size().columns
    if found:
        click.echo("\n".join(table(found, width, wide=wide)))
    elif not topology.vms:
        _explain()
    else:
        warn(f"none of the {len(topology.vms)} VMs is plugged into a switch called {switch!r}")
    show_warnings(topology.warnings)


def _explain() -> None:
    """Nobody was found: where we looked, and what every source said."""
    from tapwright import config, providers

    warn("no VM or container was found on this host")
    for provider in providers.load_all(config.load()):
        capability = provider.probe()
        warn(f"  {provider.name}: {_SAYS[capability.answer]}{capability.reason}")


def table(found: Sequence[Row], width: int | None, *, wide: bool = False) -> Iterable[str]:
    """The lines; `width` is that of the terminal, None when everything shall be shown."""
    owners = Counter(name for name, _ in {(row.vm.name, row.vm.id) for row in found})
    cells = ([printable(cell) for cell in _cells(row, owners[row.vm.name] > 1, width, wide=wide)] for row in found)
    return render(_HEADER, cells, width, _DISPENSABLE, _ELASTIC)


def _cells(row: Row, ambiguous: bool, width: int | None, *, wide: bool) -> tuple[str, ...]:
    """One line; a name that several VMs have is followed by the id that tells them apart."""
    vm, vnic, port = row.vm, row.vnic, row.port
    name = vm.name if width is None else shortened(printable(vm.name))
    return (
        f"{name} ({vm.id})" if ambiguous and vm.id != vm.name else name,
        vm.kind if vm.state == "running" else f"{vm.kind} ({vm.state})",
        vnic.name if vnic else "",
        vnic.mac if vnic else "",
        _addresses(vnic.addresses if vnic else (), wide=wide),
        str(vnic.mtu) if vnic and vnic.mtu else "",
        _device(row.device or row.inner),
        row.switch.name if row.switch else "",
        port.name if port else "",
        str(port.vlan) if port and port.vlan is not None else "",
        ", ".join(dict.fromkeys(_overlay(overlay) for overlay in row.overlays)),
        ", ".join(vm.providers),
    )


def _addresses(addresses: Sequence[str], *, wide: bool) -> str:
    """All with their prefix length, or the first and how many more; link-local ones only when asked for."""
    if wide:
        return ", ".join(addresses)
    told = [address.partition("/")[0] for address in addresses if not address.startswith("fe80:")]
    return f"{told[0]} +{len(told) - 1}" if len(told) > 1 else "".join(told)


def _device(place: Place | None) -> str:
    if place is None:
        return ""
    where = f"@{place.netns.name or place.netns.inode}" if place.netns.path else ""
    return f"{place.name}{where}" + ("" if place.up else " (down)")


def _overlay(overlay: Overlay) -> str:
    return overlay.kind if overlay.vni is None else f"{overlay.kind} {overlay.vni}"


def as_data(row: Row) -> dict[str, Any]:
    """A row as plain data (the schema of ``--json``); the VM without its list of vNICs."""
    vm = row.vm
    return {
        "vm": {
            "id": vm.id, "name": vm.name, "kind": vm.kind, "state": vm.state, "aliases": vm.aliases,
            "pid": vm.pid, "providers": vm.providers,
        },
        "vnic": row.vnic, "device": row.device, "inner": row.inner,
        "switch": row.switch, "port": row.port, "overlays": row.overlays,
    }  # fmt: skip
