"""What a finished capture says: how much, how complete, where every packet went, what next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from tapwright._core import EngineStats
from tapwright.capture.files import Destination
from tapwright.capture.ledger import Ledger, render
from tapwright.cli.common import emit_json
from tapwright.control.capture import Capture
from tapwright.errors import CaptureError
from tapwright.text import printable
from tapwright.units import format_count, format_duration, format_size

_MOST_STEPS = 10
"""Of the governor's, the newest."""
_FAILED = {
    "disk full": "the disk is full; the file is valid up to there",
    "all sources gone": "every vNIC that was captured is gone",
    "governor": "stopped to spare the host; the file is valid up to there",
}
_HINTS = {
    "disk full": "make room, keep less of each packet (-s 96), filter (-f), or use a ring of files (--ring 100Mx10)",
    "all sources gone": "see what is there now: tapwright ls",
    "governor": "filter (-f), keep less of each packet (-s 96), or allow more: --governor KEY=VALUE or off",
}


def show(capture: Capture, out: Destination, *, as_json: bool, err: bool) -> None:
    """Print the summary, as text for a person or as one JSON object."""
    stats, book, missing = capture.stats, capture.ledger, (*capture.unseen, *capture.absent)
    if as_json:
        more = {"governor": governed(capture), "delivery": delivered(capture)}
        emit_json(as_data(stats, book, out, missing) | more, err=err)
        return
    headline = _headline(stats, book, out, missing)
    steps = (f"{_clock(step.time)} {step.text}" for step in capture.steps[-_MOST_STEPS:])
    mirrors = (f"{name}: mirror {d.verdict.outcome}: {d.verdict.reason}" for name, d in capture.deliveries)
    table = printable_lines(render(book))
    for line in (headline, table, *steps, *map(printable, mirrors), *(next_step(stats, out) or nothing_written(book))):
        click.echo(line, err=err)


def delivered(capture: Capture) -> list[dict[str, Any]]:
    """Whether the mirrors that it read delivered."""
    return [
        {"vnic": name, "outcome": d.verdict.outcome, "reason": d.verdict.reason, "revalidated": d.revalidated}
        for name, d in capture.deliveries
    ]


def file_data(stats: EngineStats, out: Destination) -> dict[str, Any]:
    """What every summary says of what was written, as plain data."""
    return {
        "output": out.path or "-",
        "files": list(stats.files),
        "bytes": stats.file_bytes,
        "seconds": round(stats.elapsed, 3),
        "ended": stats.ended,
    }


def as_data(stats: EngineStats, book: Ledger, out: Destination, missing: Sequence[str]) -> dict[str, Any]:
    """The summary as plain data (the schema of ``--json``)."""
    return {
        **file_data(stats, out),
        "complete": book.complete,
        "not_captured": missing,
        "reordered": stats.reordered,
        "ledger": book,
    }


def governed(capture: Capture) -> dict[str, Any] | None:
    """What the governor may take and did; None where there is none."""
    governor = capture.governor
    if governor is None:
        return None
    steps = [
        {"time": step.time, "from": str(step.before), "to": str(step.after), "reason": step.reason}
        for step in governor.decisions
    ]
    return {
        "limits": governor.policy,
        "unknown": governor.latest.unknown,
        "level": str(governor.level),
        "steps": steps,
        "failed": capture.stats.stuck,
    }


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds):%H:%M:%S}"


def printable_lines(text: str) -> str:
    """Many lines, each made safe for a terminal."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _headline(stats: EngineStats, book: Ledger, out: Destination, missing: Sequence[str]) -> str:
    where = printable(out.path) if out.path else "standard output"
    files = f" in {len(stats.files)} files" if len(stats.files) > 1 else ""
    amount = f"{format_count(book.total.written)} packets, {format_size(stats.file_bytes)}{files}"
    return f"{where}: {amount} in {format_duration(stats.elapsed)}, {_verdict(book)}{_without(missing)}"


def _without(missing: Sequence[str]) -> str:
    """Who was asked for and is not in the file."""
    if not missing:
        return ""
    return f", without {printable(', '.join(missing[:4]))}" + (f" and {len(missing) - 4} more" * (len(missing) > 4))


def _verdict(book: Ledger) -> str:
    if book.ended == "output gone":
        return f"ended when its reader went away ({format_count(book.total.lost)} packets were still on their way)"
    if book.total.lost:
        return f"INCOMPLETE: {format_count(book.total.lost)} packets lost"
    if less := _less(book):
        return f"STEPPED DOWN to spare the host: {less}"
    if not book.complete:
        return "complete until a vNIC went away"
    if _too_large(book):
        return "nothing fitted into --max-size"
    return "complete"


def _less(book: Ledger) -> str:
    """What is not as it was asked for, since the governor stepped down; "" where all is."""
    total = book.total
    about = "about " if total.governed_estimated else ""
    left_out = f"{about}{format_count(total.governed)} packets left out" if total.governed else ""
    cut = f"{format_count(total.cut)} cut short" if total.cut else ""
    return ", ".join(text for text in (left_out, cut) if text)


def _too_large(book: Ledger) -> bool:
    return book.ended == "size" and not book.total.written


def next_step(stats: EngineStats, out: Destination) -> list[str]:
    """The next command to try, when there is a file with something in it."""
    if not any(source.written for source in stats.sources):
        return []
    name = stats.files[-1] if stats.files else out.path
    if not name or not Path(name).is_file():
        return []
    return [f"Next: wireshark {shlex.quote(printable(name))}"]


def nothing_written(book: Ledger) -> list[str]:
    """What to look at when no packet was written, most likely cause first; nothing where some were."""
    total = book.total
    if total.written or total.lost or book.ended == "output gone":
        return []
    if _too_large(book):
        return ["Next: a larger --max-size, or less of each packet (-s 96)"]
    vms = " ".join(dict.fromkeys(shlex.quote(printable(e.name.rpartition("/")[0])) for e in book.entries[:4]))
    if total.filtered:
        passed = f"none of {format_count(total.seen)} packets passed the filter"
        return [f"Next: {passed}; what it means: tapwright plan {vms} -f FILTER"]
    return [f"Next: nothing came; is there traffic? tapwright watch {vms} (and where it is read: tapwright plan {vms})"]


def outcome(book: Ledger) -> None:
    """Raise CaptureError when wanted packets are missing, or the capture ended for a reason nobody asked for.

    A reader of a pipe that goes away is how a live capture ends.
    """
    if message := _FAILED.get(book.ended):
        raise CaptureError(message, _HINTS[book.ended])
    if book.ended.startswith("error"):
        raise CaptureError(f"the capture ended: {book.ended.removeprefix('error: ')}")
    if book.total.governed:
        raise CaptureError(
            f"{format_count(book.total.governed)} wanted packets were left out to spare the host",
            "filter (-f), keep less of each packet (-s 96), or allow more: --governor KEY=VALUE or off",
        )
    if book.total.lost and book.ended != "output gone":
        raise CaptureError(
            f"{format_count(book.total.lost)} wanted packets are not in the file",
            "give it a larger --buffer, keep less of each packet (-s 96), or filter (-f)",
        )
