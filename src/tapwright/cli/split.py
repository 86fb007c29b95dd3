"""``tapwright split``: one file for each VM, tunnel, flow, stretch of time or size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from tapwright.cli import offline
from tapwright.cli.common import json_option
from tapwright.cli.parameters import DURATION, SIZE
from tapwright.errors import UsageError
from tapwright.text import printable
from tapwright.units import format_count, format_size

if TYPE_CHECKING:
    from tapwright.read.report import Split
    from tapwright.read.request import Unwrap

By = Literal["vm", "vni", "flow", "time", "size"]

_SHOWN = 20
"""Files that are listed to a person."""

_EPILOG = """\b
Examples:
  tapwright split both.pcapng --by vm -o '{}.pcapng'           web-1.pcapng, db-3.pcapng
  tapwright split uplink.pcap --by vni -o 'tenants/{}.pcapng'  tenants/vxlan-5001.pcapng...
  tapwright split uplink.pcap --by flow -o 'flows/{}.pcap'
  tapwright split day.pcapng --by time --every 5m -o 'day-{}.pcapng.zst'
  tapwright split day.pcapng --by size --each 100M -o 'day-{}.pcapng'

{} stands for what a file is of.  A VM is known by the interface's name, VM/nic."""


@click.command(epilog=_EPILOG)
@offline.inputs_argument
@click.option(
    "--by", type=click.Choice(["vm", "vni", "flow", "time", "size"]), required=True, help="What is kept together."
)
@click.option(
    "-o", "--output", "pattern", required=True, metavar="PATTERN", help="Names of the files, with {} in them."
)
@click.option("--every", type=DURATION, default=None, help="With --by time: how long a stretch is (30s, 5m, 1h).")
@click.option("--each", type=SIZE, default=None, help="With --by size: how large a file gets (100M, 2G).")
@click.option("--max-files", "most", type=click.IntRange(2, 100_000), default=1000, show_default=True, metavar="N",
              help="What would need more files goes into one called `rest`.")  # fmt: skip
@offline.unwrap_options
@offline.force_option
@json_option
def split(
    inputs: tuple[str, ...],
    by: By,
    pattern: str,
    every: float | None,
    each: int | None,
    most: int,
    unwrap: Unwrap,
    force: bool,
    as_json: bool,
) -> None:
    """Divide the packets of IN... among several files."""
    from tapwright import read

    amount = _amount(by, every, each)
    _check_pattern(pattern)
    asked = offline.pattern_request(inputs, pattern, force=force)
    found = offline.follow(lambda: read.split_file(asked, by, amount=amount, most=most, unwrap=unwrap))
    offline.finish(found, _summary(found, by), found.totals, pattern, as_json=as_json)


def _amount(by: str, every: float | None, each: int | None) -> int:
    """Nanoseconds or bytes.  Raises UsageError on options that do not belong together."""
    for kind, name, value in (("time", "--every", every), ("size", "--each", each)):
        if (by == kind) != (value is not None):
            raise UsageError(f"{name} belongs to --by {kind}", f"add {name} to --by {kind}, and only there")
    return round(every * 1e9) if every else each or 0


def _check_pattern(pattern: str) -> None:
    if pattern.count("{}") != 1 or "{}" not in Path(pattern).name:
        raise UsageError(
            f"{pattern} does not have {{}} in the file's name", "it stands for what a file is of: -o 'part-{}.pcapng'"
        )
    folder = Path(pattern).parent
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", f"make it first: mkdir -p {folder}")


def _summary(found: Split, by: str) -> list[str]:
    totals, count = found.totals, len(found.parts)
    files = f"{format_count(count)} file{'s' * (count != 1)}"
    lines = [f"{format_count(totals.written)} packets into {files}, {format_size(totals.bytes)}"]
    parts = found.parts if by in ("time", "size") else sorted(found.parts, key=lambda part: -part[1])
    lines += [f"  {format_count(packets):>12}  {printable(path)}" for path, packets, _ in parts[:_SHOWN]]
    if count > _SHOWN:
        lines.append(f"  and {format_count(count - _SHOWN)} more")
    return lines
