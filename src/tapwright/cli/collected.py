"""What a finished collection says: who sent how much, what of it is missing, who was not let in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from tapwright._core import EngineStats, SessionStats
from tapwright.cli.common import emit_json
from tapwright.cli.summary import file_data, next_step
from tapwright.cli.summary import outcome as judged
from tapwright.text import printable
from tapwright.units import format_count, format_duration, format_size

if TYPE_CHECKING:
    from tapwright.capture.files import Destination
    from tapwright.control.capture import Capture

_COLUMNS = ("session", "packets", "missing", "reordered", "repeated")


def show(running: Capture, out: Destination, *, as_json: bool, err: bool) -> None:
    """Print the summary, as text for a person or as one JSON object."""
    if as_json:
        emit_json(as_data(running, out), err=err)
        return
    for line in _lines(running.stats, out):
        click.echo(printable(line), err=err)


def as_data(running: Capture, out: Destination) -> dict[str, Any]:
    """The summary as plain data (the schema of ``collect --json``)."""
    stats, (total, strangers) = running.stats, running.stats.strangers
    return {
        **file_data(stats, out),
        "filtered_by": running.ledger.filtered_by if any(source.filter for source in running.sources) else "none",
        "written": sum(source.written for source in stats.sources),
        "wrapped": sum(source.wrapped for source in stats.sources),
        "lost": _lost(stats),
        "sessions": [_session(session) for session in stats.sessions],
        "strangers": {"packets": total, "by_address": dict(strangers)},
    }


def outcome(running: Capture) -> None:
    """Raise CaptureError when it ended for a reason nobody asked for."""
    judged(running.ledger)


def _session(session: SessionStats) -> dict[str, Any]:
    names = ("missing", "reordered", "repeated", "restarts")
    counts = session.sequence or (None, None, None, None)
    about = {"name": session.name, "packets": session.packets, "bytes": session.bytes, "shared": session.shared}
    return about | dict(zip(names, counts, strict=True))


def _lost(stats: EngineStats) -> int:
    return sum(source.kernel_dropped + source.engine_dropped for source in stats.sources)


def _lines(stats: EngineStats, out: Destination) -> Iterator[str]:
    written = sum(source.written for source in stats.sources)
    lost = _lost(stats)
    amount = f"{format_count(written)} packets, {format_size(stats.file_bytes)} in {format_duration(stats.elapsed)}"
    verdict = f"INCOMPLETE: {format_count(lost)} packets lost" if lost else "all that was received is written"
    yield f"{out.path or 'standard output'}: {amount}, {verdict}"
    if stats.sessions:
        yield from _table([_COLUMNS, *(_row(session) for session in stats.sessions)])
    if any(session.shared for session in stats.sessions):
        yield "* one count for all sessions of the exporter, which numbers them in one row"
    if wrapped := sum(source.wrapped for source in stats.sources):
        yield f"{format_count(wrapped)} packets could not be unwrapped and are written as they came"
    total, strangers = stats.strangers
    if total:
        shown = ", ".join(f"{address} ({format_count(count)})" for address, count in strangers[:4])
        more = f" and {len(strangers) - 4} more" if len(strangers) > 4 else ""
        yield f"not let in: {format_count(total)} packets of {shown}{more} (name them with --from)"
    yield from next_step(stats, out)
    if not (written or lost or total):
        yield "Next: nothing came; see whether the exporter sends to an address of this host: tcpdump -i any -n"


def _row(session: SessionStats) -> tuple[str, ...]:
    missing, reordered, repeated = ("-", "-", "-")
    if session.sequence:
        mark = "*" if session.shared else ""
        missing, reordered, repeated = (f"{format_count(count)}{mark}" for count in session.sequence[:3])
    return (session.name, format_count(session.packets), missing, reordered, repeated)


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        figures = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join((row[0].ljust(widths[0]), *figures))
