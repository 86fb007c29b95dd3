"""The ledger: where every packet went, and proof that the sum is right.

Per source: seen by the port = filtered out + left out when stepped down + dropped by the
kernel + dropped by us + over the limit + written + unaccounted.  Two accounts that know nothing of each other
meet here: the device's own counters, and the packet socket's.  Where they differ the
difference is shown, never hidden.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tapwright.text import columns, shortened


class Counts(Protocol):
    """What the engine counted for one source (`_core.SourceStats`)."""

    @property
    def name(self) -> str: ...
    @property
    def port_packets(self) -> int | None: ...
    @property
    def accepted(self) -> int: ...
    @property
    def kernel_dropped(self) -> int: ...
    @property
    def engine_dropped(self) -> int: ...
    @property
    def beyond_limit(self) -> int: ...
    @property
    def refused(self) -> int: ...
    @property
    def wrapped(self) -> int: ...
    @property
    def governed(self) -> int: ...
    @property
    def governed_estimated(self) -> bool: ...
    @property
    def cut(self) -> int: ...
    @property
    def written(self) -> int: ...
    @property
    def ended(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """The account of one source, or of all together.  All figures are packets."""

    name: str
    seen: int
    """By the device's own counters."""
    filtered: int
    """Refused by the filter: seen less accepted, and those the engine refused.  0 without a filter."""
    kernel_dropped: int
    engine_dropped: int
    beyond_limit: int
    written: int
    unaccounted: int
    """What is left when all the others are taken from `seen`; 0 when the ledger adds up."""
    ended: str = ""
    """Why this source ended before the capture did, "" when it did not."""
    wrapped: int = 0
    """Of those written, packets that should have been unwrapped and could not be: they are as they came."""
    at_least: bool = False
    """The device's counters could not be read in the end, as it was gone: `seen` and `filtered` are no less than this.
    `seen` is then their last reading, or what the socket accepted where that is more."""

    governed: int = 0
    """Left out because the capture had stepped down to a sample."""
    governed_estimated: bool = False
    """Nobody counted them: they are computed from those that were kept."""
    cut: int = 0
    """Of those written, cut shorter than was asked for, because the capture had stepped down."""

    @property
    def lost(self) -> int:
        """Packets that were wanted and are not in the file."""
        return self.kernel_dropped + self.engine_dropped

    @property
    def verdict(self) -> str:
        """A few words: whether the sum is right, and if not, by how much."""
        if self.at_least:
            return "a lower bound"
        return f"off by {self.unaccounted:+,}" if self.unaccounted else "adds up"

    @property
    def explanation(self) -> str:
        """What a sum that is not right can come from; "" for one that is."""
        if self.at_least:
            return "the port's own counters could not be read to the end, as its device is gone"
        if self.unaccounted > 0:
            return (
                "counted by the port and not shown to the tap: in flight while the counters were read, or merged (GRO)"
            )
        if self.unaccounted < 0:
            return "shown to the tap and not counted by the port: in the VM's queue, or in flight while both were read"
        return ""


@dataclass(frozen=True, slots=True)
class Ledger:
    """All entries of a capture and how it ended."""

    entries: tuple[Entry, ...]
    total: Entry
    filtered_by: str
    """``kernel``, ``engine``, ``kernel and engine`` or ``none``: who refused the filtered packets."""
    ended: str

    @property
    def complete(self) -> bool:
        """True when no wanted packet is known to be missing, or a part of one."""
        total = self.total
        return not (total.lost or total.governed or total.cut) and not any(entry.ended for entry in self.entries)


def ledger(
    sources: Sequence[Counts], *, filtered: bool, ended: str, by: str = "kernel", last: Mapping[int, int] | None = None
) -> Ledger:
    """Close the books of finished sources.  `filtered` tells whether a filter was attached, `by` who ran it.

    `last` is what ports had counted when they were last read, by the source's number, for those that are gone.
    """
    before = last or {}
    entries = tuple(_entry(s, filtered=filtered, last=before.get(n, 0)) for n, s in enumerate(sources))
    return Ledger(entries, _total(entries), by if filtered else "none", ended)


def _entry(source: Counts, *, filtered: bool, last: int) -> Entry:
    gone = source.port_packets is None
    least = max(last, source.accepted + source.governed)
    seen = least if source.port_packets is None else source.port_packets
    refused = max(0, seen - source.accepted - source.governed) + source.refused if filtered else 0
    kept = source.kernel_dropped + source.engine_dropped + source.beyond_limit + source.written
    return Entry(
        source.name,
        seen,
        refused,
        source.kernel_dropped,
        source.engine_dropped,
        source.beyond_limit,
        source.written,
        seen - refused - source.governed - kept,
        source.ended,
        source.wrapped,
        gone,
        source.governed,
        source.governed_estimated,
        source.cut,
    )


def _total(entries: Sequence[Entry]) -> Entry:
    return Entry(
        "total",
        sum(entry.seen for entry in entries),
        sum(entry.filtered for entry in entries),
        sum(entry.kernel_dropped for entry in entries),
        sum(entry.engine_dropped for entry in entries),
        sum(entry.beyond_limit for entry in entries),
        sum(entry.written for entry in entries),
        sum(entry.unaccounted for entry in entries),
        wrapped=sum(entry.wrapped for entry in entries),
        at_least=any(entry.at_least for entry in entries),
        governed=sum(entry.governed for entry in entries),
        governed_estimated=any(entry.governed_estimated for entry in entries),
        cut=sum(entry.cut for entry in entries),
    )


_HEADER = (
    ("", "", "filtered", "stepped", "kernel", "our", "over", "", ""),
    ("", "seen", "out", "down", "drop", "drop", "limit", "written", ""),
)
"""On two lines, so that names of twenty letters and figures of millions fit into 80 columns."""
_STEPPED = 3
"""The column that is shown only where there is something in it."""


def render(book: Ledger) -> str:
    """The ledger as an aligned table for a person; long names are cut, else they are as given (make them printable)."""
    shown = (*book.entries, book.total) if len(book.entries) > 1 else book.entries
    rows = [*_HEADER, *(_row(entry, filtered=book.filtered_by != "none") for entry in shown)]
    if not book.total.governed:
        rows = [(*row[:_STEPPED], *row[_STEPPED + 1 :]) for row in rows]
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    notes = {e.verdict: e.explanation for e in book.entries if e.explanation}
    lines = (_line(row, widths) for row in rows)
    return "\n".join((*lines, *(f"{verdict}: {why}" for verdict, why in notes.items()), *_wrapped(book), *_cut(book)))


def _wrapped(book: Ledger) -> Iterator[str]:
    for entry in book.entries:
        if entry.wrapped:
            yield f"{entry.name}: {entry.wrapped:,} packets could not be unwrapped and are written as they came"


def _cut(book: Ledger) -> Iterator[str]:
    if book.total.governed_estimated:
        yield "about: nobody counts what is left out in front of a filter; it is computed from what was kept"
    if book.total.cut:
        yield f"stepped down: {book.total.cut:,} of the packets written are cut short, to spare the host"


def _row(entry: Entry, *, filtered: bool) -> tuple[str, ...]:
    least = "at least " if entry.at_least else ""
    figures = (
        f"{least}{entry.seen:,}",
        f"{least if filtered else ''}{entry.filtered:,}",
        f"{'about ' if entry.governed_estimated else ''}{entry.governed:,}",
        *(f"{n:,}" for n in (entry.kernel_dropped, entry.engine_dropped, entry.beyond_limit, entry.written)),
    )
    verdict = f"{entry.verdict}; {entry.ended}" if entry.ended else entry.verdict
    name = "/".join(shortened(part) for part in entry.name.rsplit("/", 1))
    return (name, *figures, verdict)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    figures = (cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True))
    return "  ".join((row[0] + " " * (widths[0] - columns(row[0])), *figures, row[-1])).rstrip()
