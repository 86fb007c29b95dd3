"""The table of a running `tapwright mirror`: readings in, something rich can draw out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tapwright.plan.mirrors import Direction, Mirror
from tapwright.tap.delivery import Outcome, Verdict
from tapwright.text import columns, printable, shortened
from tapwright.units import format_count, format_duration, format_rate

if TYPE_CHECKING:
    from tapwright.control.delivery import Delivery
    from tapwright.control.mirror import Prepared, Reading

_WAYS = {Direction.IN: "to VM", Direction.OUT: "from VM", Direction.BOTH: "both ways"}
_CHROME = 3
"""Lines beside the rows: title, header, and how many are not shown."""
_STALE = 10.0
"""Seconds after which a count that does not change means that nothing is copied: Open vSwitch publishes every 5."""


def name_of(prepared: Prepared, mirror: Mirror) -> str:
    """``VM/nic``."""
    vnic = (mirror.point.vm, mirror.point.vnic)
    return next(c.name for c in prepared.chosen if (c.mirror.point.vm, c.mirror.point.vnic) == vnic)


def counted(prepared: Prepared, reading: Reading) -> Iterator[tuple[str, Direction, int | None]]:
    """(``VM/nic``, direction, frames copied) of every mirror."""
    for count in reading.counts:
        yield name_of(prepared, count.mirror), count.direction, count.copied


def told(prepared: Prepared, delivery: Delivery) -> str:
    """Whether a mirror delivers, in one line."""
    verdict = delivery.verdict
    reminded = "; the switch was told to compute its flows anew" if delivery.revalidated else ""
    return f"{name_of(prepared, delivery.opened.mirror)}  delivery {verdict.outcome}: {verdict.reason}{reminded}"


def summary(prepared: Prepared, last: Reading) -> Iterator[str]:
    """What was copied in the end, as lines of text."""
    rows = [
        (name, _WAYS[way], "not counted" if copied is None else f"{format_count(copied)} frames")
        for name, way, copied in counted(prepared, last)
    ]
    widths = [max((columns(row[i]) for row in rows), default=0) for i in range(3)]
    for name, way, amount in rows:
        yield f"{name}{' ' * (widths[0] - columns(name))}  {way.ljust(widths[1])}  {amount.rjust(widths[2])}"


class Pace:
    """Frames a second of counts that some switches publish only now and then: measured from one change to the next."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, float, float | None]] = {}
        """row -> count, when it changed, and the rate up to there"""

    def rate(self, row: int, copied: int | None, now: float) -> float | None:
        """That of a row; None before it is known.  `now` is in seconds."""
        if copied is None:
            return None
        before, changed, rate = self._known.get(row, (None, now, None))
        if before is None:
            self._known[row] = copied, now, None
        elif copied != before:
            rate = max(0, copied - before) / max(now - changed, 1e-3)
            self._known[row] = copied, now, rate
        elif now - changed > _STALE:
            rate = 0.0
        return rate


def picture(prepared: Prepared, now: Reading, pace: Pace, height: int) -> RenderableType:
    """A line for each vNIC and direction, as many as fit into `height` lines."""
    rows = list(_rows(prepared, now, pace))
    shown = rows[: max(height - _CHROME, 1)]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("VNIC", "DIRECTION", "BY"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for name in ("COPIED", "RATE"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("DELIVERY", no_wrap=True, overflow="ellipsis")
    for row in shown:
        table.add_row(*row)
    below = [Text(f"and {len(rows) - len(shown)} more", style="dim")] if len(rows) > len(shown) else []
    return Group(Text(title(prepared, now), style="bold", no_wrap=True, overflow="ellipsis"), table, *below)


def title(prepared: Prepared, now: Reading) -> str:
    """The line above the table."""
    seconds = prepared.wish.seconds
    left = f", {format_duration(max(0.0, seconds - now.seconds))} left" if seconds else ""
    target = printable(prepared.wish.target.text)
    return f"session {now.session.id}: to {target}, {format_duration(now.seconds)}{left}  -  Ctrl-C ends it"


def _rows(prepared: Prepared, now: Reading, pace: Pace) -> Iterator[tuple[Text, ...]]:
    outcomes = {delivery.opened.mirror: delivery.verdict for delivery in now.deliveries}
    for number, (count, (name, way, copied)) in enumerate(zip(now.counts, counted(prepared, now), strict=True)):
        rate = pace.rate(number, copied, now.seconds)
        yield (
            Text(shortened(printable(name))),
            Text(_WAYS[way]),
            Text(count.mirror.point.provider, style="dim"),
            Text("-" if copied is None else format_count(copied), style="" if copied else "dim"),
            Text("-" if rate is None else format_rate(rate, "pps"), style="" if rate else "dim"),
            _verdict(outcomes.get(count.mirror)),
        )


def _verdict(verdict: Verdict | None) -> Text:
    """In one word where it is well, with its reason where it is not."""
    if verdict is None:
        return Text("-", style="dim")
    if verdict.good:
        return Text(verdict.outcome, style="green" if verdict.outcome is Outcome.OK else "dim")
    return Text(printable(f"{verdict.outcome}: {verdict.reason}"), style="bold red")
