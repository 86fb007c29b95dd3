"""``tapwright plan``: what a capture would do, without doing it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from tapwright.cli.common import emit_json, interruptible, is_terminal, json_option, show_warnings, warn
from tapwright.cli.wish import wish_of, wish_options
from tapwright.errors import CaptureError, PrivilegeError
from tapwright.text import folded, printable
from tapwright.units import format_count

if TYPE_CHECKING:
    from tapwright.control.plan import Planned
    from tapwright.plan.planner import Plan

_EPILOG = """\b
Examples:
  tapwright plan web-1                        where its packets can be seen, and what they would take
  tapwright plan web-1 -f 'tcp port 443' -s 96 -d 5m
  tapwright plan 'web-*' --interval 10        measure the load over ten seconds
  tapwright plan web-1 --json | jq .cost

It takes the options of `tapwright capture`, so that one word turns a plan into a capture.
Nothing is changed, opened or written."""


@click.command(epilog=_EPILOG)
@wish_options
@click.option("-w", "--write", "path", default="", metavar="FILE", help="Where the file would be; tells the free disk.")
@click.option("--interval", type=click.FloatRange(0, 3600), default=1.0, show_default=True, metavar="SECONDS",
              help="Measure the load over so long; 0 does not measure it.")  # fmt: skip
@json_option
def plan(path: str, interval: float, as_json: bool, **options: Any) -> None:
    """Show where the packets of VM... would be read, why there, and what a capture would take."""
    from tapwright.control.plan import plan as look

    wish = wish_of(options)
    planned = interruptible(lambda: look(wish, interval=interval, path="" if path == "-" else path))
    if as_json:
        emit_json(_as_data(planned))
    else:
        _show(planned)
    if not planned.plan.chosen:
        raise _nothing(planned.plan)


def _nothing(plan: Plan) -> PrivilegeError | CaptureError:
    """What a capture of this plan would end with; reasons and fixes have been shown already."""
    kind = PrivilegeError if any("CAP_" in unseen.reason for unseen in plan.unseen) else CaptureError
    return kind("; ".join(plan.warnings))


def _as_data(planned: Planned) -> dict[str, Any]:
    """The schema of ``plan --json``."""
    from tapwright.plan.describe import as_data

    compiled = planned.compiled
    words = {"text": compiled.text, "pcap": compiled.pcap_text, "instructions": len(compiled.program)}
    return {"host": planned.topology.host.name, **as_data(planned.plan), "filter": words if compiled.text else None}


def _show(planned: Planned) -> None:
    from tapwright.plan.describe import as_text

    for line in (*as_text(planned.plan, planned.topology), *_filter(planned)):
        text = printable(line)
        click.echo("\n".join(folded(text, shutil.get_terminal_size().columns)) if is_terminal() else text)
    show_warnings(planned.topology.warnings)
    for text in planned.plan.warnings if planned.plan.chosen else ():
        warn(text)


def _filter(planned: Planned) -> Iterator[str]:
    yield from _user_filter(planned)
    for choice, attached in zip(planned.plan.chosen, planned.attached, strict=True):
        if choice.point.shared:
            size = format_count(len(attached.program) // 8)
            yield f"At {choice.point.id}: {attached.text}"
            yield f"    {size} instructions, run by the {attached.filtered_by}"


def _user_filter(planned: Planned) -> Iterator[str]:
    compiled = planned.compiled
    if not compiled.pcap_text:
        return
    yield f"Filter: {compiled.text.strip()}"
    if compiled.pcap_text != compiled.text:
        yield f"    meaning {compiled.pcap_text.strip()}"
    yield f"    {format_count(len(compiled.program))} instructions, run by the kernel"
