"""``tapwright decap``: the innermost frames of captures, whatever they are wrapped in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from tapwright.cli import offline
from tapwright.cli.common import json_option
from tapwright.units import format_count, format_size

if TYPE_CHECKING:
    from tapwright.read.report import Decapped, Stuck
    from tapwright.read.request import Unwrap

_EPILOG = """\b
Examples:
  tapwright decap uplink.pcap -o vms.pcapng
  tapwright decap a.pcapng.zst b.pcap.gz -o both.pcapng      merged by time
  tapwright decap span.pcap -o plain.pcap                    one link type: Ethernet
  ssh host tcpdump -U -w - udp port 4789 | tapwright decap - -o - | wireshark -k -i -

VXLAN, VXLAN-GPE, Geneve, GRE, NVGRE, ERSPAN I/II/III, MPLS, IP in IP, GTP-U, PPPoE,
L2TP, PPTP, Teredo, NSH, PBB, FabricPath, PIM registers, TZSP and CAPWAP, one in
another.  Each distinct wrapping becomes an interface of the output, named after it.
What is in no tunnel, or cannot be taken off, stays as it is and is counted."""


@click.command(epilog=_EPILOG)
@offline.inputs_argument
@offline.output_option
@offline.unwrap_options
@click.option("--raw-ip", type=click.Choice(["raw", "ethernet"]), default=None,
              help="What packets without a link layer become (default: raw in pcapng, ethernet in pcap).")  # fmt: skip
@offline.force_option
@json_option
def decap(
    inputs: tuple[str, ...],
    output: str,
    unwrap: Unwrap,
    raw_ip: Literal["raw", "ethernet"] | None,
    force: bool,
    as_json: bool,
) -> None:
    """Unwrap IN... (pcap or pcapng, also compressed; - is standard input) into one capture of innermost frames."""
    from tapwright import read

    asked = offline.request("decap", inputs, output, force=force)
    found = offline.follow(lambda: read.decap(asked, unwrap, raw_ip))
    offline.finish(found, _summary(found, output), found.totals, output, as_json=as_json)


def _summary(found: Decapped, output: str) -> list[str]:
    """What happened, in a few lines."""
    totals = found.totals
    lines = [
        f"{offline.shown(output)}: {format_count(totals.written)} packets, {format_size(totals.bytes)}; "
        f"{format_count(found.unwrapped)} unwrapped{_wrappings(found)}"
    ]
    lines += [f"  {name:<12} {format_count(count):>12}" for name, count in found.layers]
    if found.stuck:
        lines.append("left as they are, because a layer could not be taken off:")
        lines += [_stuck(stuck) for stuck in found.stuck]
    return lines


def _wrappings(found: Decapped) -> str:
    if found.wrappings is None:
        return ", of more wrappings than can be told apart"
    return f" from {format_count(found.wrappings)} wrappings" if found.wrappings else ""


def _stuck(stuck: Stuck) -> str:
    return (
        f"  {stuck.layer + ' ' + stuck.reason:<20} {format_count(stuck.packets):>12}"
        f"  first: packet {stuck.first}, byte {stuck.offset}: {stuck.detail}"
    )
