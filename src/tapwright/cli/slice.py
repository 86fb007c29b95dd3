"""``tapwright slice``: a part of a capture."""

from __future__ import annotations

import click

from tapwright.cli import offline
from tapwright.cli.common import json_option
from tapwright.cli.parameters import Parsed
from tapwright.errors import UsageError
from tapwright.read.moments import parse_moment, parse_range
from tapwright.units import format_count, format_size

_MOMENT = Parsed("when", parse_moment)
_RANGE = Parsed("range", parse_range)

_EPILOG = """\b
Examples:
  tapwright slice day.pcapng --from 2026-11-23T09:30 --to 2026-11-23T09:35 -o part.pcapng
  tapwright slice day.pcapng --from 90s --to 2m -o part.pcapng   counted from the first packet
  tapwright slice day.pcapng --packets 1000-2000 -o part.pcapng
  tapwright slice day.pcapng --first 100 --snaplen 96 -o headers.pcapng

A time without a zone is local time."""


@click.command(epilog=_EPILOG)
@offline.inputs_argument
@offline.output_option
@click.option("--from", "start", type=_MOMENT, default=None, help="Packets from then on.")
@click.option("--to", "end", type=_MOMENT, default=None, help="Packets before then.")
@click.option("--packets", "numbers", type=_RANGE, default=None, help="Packets by number, from 1: 10-20, 10-, -20.")
@click.option("--first", type=click.IntRange(min=1), default=None, metavar="N", help="The first N of what is left.")
@click.option("--snaplen", type=click.IntRange(1, 1 << 24), default=None, metavar="BYTES", help="Cut packets to that.")
@offline.force_option
@json_option
def slice(  # noqa: A001
    inputs: tuple[str, ...],
    output: str,
    start: tuple[bool, int] | None,
    end: tuple[bool, int] | None,
    numbers: tuple[int, int] | None,
    first: int | None,
    snaplen: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write the part of IN... that the options describe; several files are merged by time first."""
    from tapwright import read

    if start and end and start[0] == end[0] and start[1] >= end[1]:
        raise UsageError("--to is not after --from")
    part = read.Part(start, end, numbers, first or 0, snaplen or 0)
    asked = offline.request("slice", inputs, output, force=force)
    found = offline.follow(lambda: read.slice_file(asked, part))
    totals = found.totals
    text = f"{offline.shown(output)}: {format_count(totals.written)} packets, {format_size(totals.bytes)}"
    offline.finish(found, [text], totals, output, as_json=as_json)
