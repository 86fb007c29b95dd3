"""``tapwright filter``: packets of files by their innermost frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tapwright.cli import offline
from tapwright.cli.common import interruptible, json_option, warn
from tapwright.units import format_count, format_size

if TYPE_CHECKING:
    from tapwright.read.report import Filtered
    from tapwright.read.request import Unwrap

_EPILOG = """\b
Examples:
  tapwright filter uplink.pcap -f 'tcp port 443 and host 10.0.0.5' -o web.pcapng
  tapwright filter uplink.pcap --vni 5001 -o tenant.pcapng
  tapwright filter span.pcapng -f arp --outer-filter 'src host 172.16.0.1' -o arp.pcapng

The expression means the innermost frame, whatever it is wrapped in; the packets are
written as they were captured (tapwright decap takes the wrapping off)."""


@click.command(epilog=_EPILOG)
@offline.inputs_argument
@offline.output_option
@click.option("-f", "--filter", "text", default="", metavar="FILTER", help="pcap filter on the innermost frame.")
@click.option("--outer-filter", "outer", default="", metavar="FILTER", help="pcap filter on the packet as captured.")
@click.option("--vni", "ids", type=click.IntRange(0, (1 << 32) - 1), multiple=True, metavar="N",
              help="Only this VNI, key or session; repeatable.")  # fmt: skip
@offline.unwrap_options
@offline.force_option
@json_option
def filter(  # noqa: A001
    inputs: tuple[str, ...],
    output: str,
    text: str,
    outer: str,
    ids: tuple[int, ...],
    unwrap: Unwrap,
    force: bool,
    as_json: bool,
) -> None:
    """Keep the packets of IN... whose innermost frame matches."""
    from tapwright import read
    from tapwright.read.programs import programs

    compiled = interruptible(lambda: (programs(text), programs(outer)))
    asked = offline.request("filter", inputs, output, force=force)
    found = offline.follow(lambda: read.filter_file(asked, compiled[0], outer=compiled[1], ids=ids, unwrap=unwrap))
    _warn(found)
    offline.finish(found, [_summary(found, output)], found.totals, output, as_json=as_json)


def _summary(found: Filtered, output: str) -> str:
    totals = found.totals
    return (
        f"{offline.shown(output)}: {format_count(totals.written)} of {format_count(totals.packets)} packets, "
        f"{format_size(totals.bytes)}"
    )


def _warn(found: Filtered) -> None:
    from tapwright.read.links import link_name

    for link, packets in found.no_program:
        about = f"{format_count(packets)} packets of {link_name(link)}"
        warn(f"note: {about} did not match: the filter means nothing there")
