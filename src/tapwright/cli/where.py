"""``tapwright where``: the way from a VM's vNIC to the wire."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator

import click

from tapwright.cli.common import complete_vm, emit_json, is_terminal, json_option, show_warnings
from tapwright.find.drawing import draw
from tapwright.find.names import Selection, resolve_many
from tapwright.find.path import path
from tapwright.find.topology import Topology
from tapwright.text import printable

_PIPED_WIDTH = 80

_EPILOG = """\b
Examples:
  tapwright where web-1
  tapwright where web-1/eth1          one vNIC
  tapwright where 52540a4c --json     by the beginning of its id"""


@click.command(epilog=_EPILOG)
@click.argument("vms", metavar="VM...", nargs=-1, required=True, shell_complete=complete_vm)
@json_option
def where(vms: tuple[str, ...], as_json: bool) -> None:
    """Draw the way from each vNIC of VM over port, switch and overlay to the uplink."""
    from tapwright.control.local import look

    topology = look()
    selections = resolve_many(topology, vms)
    if as_json:
        emit_json([_as_data(topology, selection) for selection in selections])
        return
    click.echo("\n\n".join(part for selection in selections for part in _drawings(topology, selection)))
    show_warnings(topology.warnings)


def _drawings(topology: Topology, selection: Selection) -> Iterator[str]:
    from tapwright.control.local import on_hosts_network

    vm = selection.vm
    state = "" if vm.state == "running" else f", {vm.state}"
    identity = f", id {vm.id}" if vm.id != vm.name else ""
    yield printable(f"{vm.name}: {vm.kind}{state}{identity}, known by {', '.join(vm.providers)}") + (
        "" if selection.vnics else f"\n{on_hosts_network(vm) or 'no vNIC'}"
    )
    width = shutil.get_terminal_size().columns if is_terminal() else _PIPED_WIDTH
    for vnic in selection.vnics:
        yield draw(path(topology, vnic), width, unicode=_speaks_unicode())


def _speaks_unicode() -> bool:
    try:
        "│├└─▼→".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _as_data(topology: Topology, selection: Selection) -> dict[str, object]:
    """The schema of ``--json``: every vNIC with its hops in the order of the drawing."""
    return {
        "id": selection.vm.id,
        "name": selection.vm.name,
        "vnics": [{"name": vnic.name, "hops": path(topology, vnic)} for vnic in selection.vnics],
    }
