"""``tapwright info``: what is in a capture file, and what is missing from it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from tapwright.cli import offline
from tapwright.cli.common import emit_json, json_option

if TYPE_CHECKING:
    from tapwright.read.request import Unwrap

_EPILOG = """\b
Examples:
  tapwright info web-1.pcapng             interfaces, VMs, drops, the ledger, tunnels
  tapwright info *.pcapng --json | jq .amount.packets
  zcat old.pcap.gz | tapwright info -

Exit code 7 when a file is damaged; what was before the damage is shown."""


@click.command(epilog=_EPILOG)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@offline.unwrap_options
@json_option
def info(files: tuple[str, ...], unwrap: Unwrap, as_json: bool) -> None:
    """Show what is in each FILE (pcap or pcapng, also compressed; - is standard input)."""
    from tapwright import read
    from tapwright.cli.info_text import describe

    looked = []
    for number, path in enumerate(offline.check_inputs(files)):
        found = offline.follow(partial(read.info, path, unwrap))
        looked.append(found.input)
        if as_json:
            emit_json(found)
        else:
            click.echo(("\n" if number else "") + "\n".join(describe(found)))
    offline.check_damage(looked, "what is shown was read before the damage")
