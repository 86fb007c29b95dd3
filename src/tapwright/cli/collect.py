"""``tapwright collect``: mirrors that switches, clouds and routers send us, as one clean capture."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tapwright.capture.request import DEFAULT_SNAPLEN
from tapwright.cli.common import interruptible, is_terminal, json_option, show_warnings, warn
from tapwright.cli.limits import limit_options, limited
from tapwright.cli.parameters import SIZE, Parsed
from tapwright.cli.progress import Goals
from tapwright.cli.running import follow, output, stoppable
from tapwright.errors import UsageError
from tapwright.plan.feeds import FeedKind, exporters, feed

if TYPE_CHECKING:
    from tapwright.capture.files import Destination
    from tapwright.control.collect import Collection

_EPILOG = """\b
SOURCE is KIND[:NUMBER][@DEVICE|@ADDRESS]; NUMBER is a UDP port, or RSPAN's VLAN:
  erspan  gre  vxlan  vxlan-gpe  geneve  tzsp  aws  rspan:VLAN@DEVICE
\b
Examples:
  tapwright collect erspan --from 10.0.0.1,10.0.0.2 -w leaves.pcapng
  tapwright collect vxlan geneve:6081@eth1 --from 10.1.0.0/16 -f 'tcp port 443'
  tapwright collect aws --from any -w - | wireshark -k -i -
  tapwright collect rspan:999@eth1 -w DIR/

Every exporter and session becomes an interface of the file. Who is not named
with --from is counted, and nothing of it is stored. Nobody is answered."""

_SOURCE = Parsed("source", feed)


@click.command(epilog=_EPILOG)
@click.argument("feeds", metavar="SOURCE...", nargs=-1, required=True, type=_SOURCE)
@click.option("--from", "senders", default="", metavar="ADDRESS[,..]|any",
              help="Exporters that may send: addresses and networks, or everybody.")  # fmt: skip
@click.option("-f", "--filter", "text", default="", metavar="FILTER", help="pcap filter on the mirrored frames.")
@click.option("--vni", type=click.IntRange(0, (1 << 32) - 1), default=None, metavar="N",
              help="Only this VNI, key or ERSPAN session.")  # fmt: skip
@click.option("--filter-in-engine", is_flag=True,
              help="Let tapwright finish a filter that is too long for the kernel.")  # fmt: skip
@click.option("-s", "--snaplen", type=click.IntRange(1, DEFAULT_SNAPLEN), default=DEFAULT_SNAPLEN, show_default=True,
              metavar="BYTES", help="Keep at most so many bytes of a mirrored frame.")  # fmt: skip
@limit_options
@click.option("--buffer", type=SIZE, default=None, help="Kernel ring memory of all devices together (default 48M).")
@click.option("-w", "--write", "path", default="", metavar="FILE|DIR|-",
              help="Output; in a folder, and by default here, a file named after the time.")  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite the output file.")
@json_option
def collect(path: str, force: bool, as_json: bool, **options: Any) -> None:
    """Receive mirrors (ERSPAN, GRE, VXLAN, Geneve, RSPAN, TZSP) and write the frames inside them."""
    from tapwright.capture.files import destination
    from tapwright.cli.collected import outcome, show
    from tapwright.control.collect import prepare, receiving

    wish = _collection(options, overwrite=force)
    out = destination(_file(path), force=force, ring=wish.ring is not None)
    ready = interruptible(lambda: prepare(wish))
    with (
        stoppable() as stop,
        output(out) as fd,
        receiving(ready, path=out.path if fd < 0 else "", fd=fd) as (running, notes),
    ):
        stop.capture = running
        show_warnings(notes)
        _announce(wish, out)
        follow(running, Goals(wish.seconds, wish.packets, wish.bytes))
    show(running, out, as_json=as_json, err=not out.path)
    outcome(running)


def _collection(options: dict[str, Any], *, overwrite: bool) -> Collection:
    from tapwright.control.collect import Collection

    feeds = options["feeds"]
    if not options["senders"] and any(one.kind is not FeedKind.RSPAN for one in feeds):
        raise UsageError("who may send is not said", "--from 10.0.0.1,10.0.1.0/24, or --from any for everybody")
    return Collection(
        feeds=feeds,
        exporters=exporters(options["senders"] or "any"),
        filter=options["text"],
        vni=options["vni"],
        filter_in_engine=options["filter_in_engine"],
        **limited(options),
        overwrite=overwrite,
    )


def _file(path: str) -> str:
    """A folder gets one file, which holds every exporter: an interface each."""
    name = f"collect-{datetime.now():%Y%m%d-%H%M%S}.pcapng"
    if not path:
        return name
    return str(Path(path) / name) if path.endswith("/") or Path(path).is_dir() else path


def _announce(wish: Collection, out: Destination) -> None:
    if is_terminal(err=True):
        kinds = ", ".join(dict.fromkeys(one.kind for one in wish.feeds))
        warn(f"receiving {kinds} into {out.path or 'standard output'}; Ctrl-C ends it")
