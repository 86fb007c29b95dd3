"""The table of a running `tapwright mirror`.  Pure: readings in, something rich can draw out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tapwright.plan.mirrors import Direction
from tapwright.text import printable, shortened
from tapwright.units import format_count, format_duration, format_rate

if TYPE_CHECKING:
    from tapwright.control.mirror import Prepared, Reading

_WAYS = {Direction.IN: "to VM", Direction.OUT: "from VM", Direction.BOTH: "both ways"}
_CHROME = 3
"""Lines beside the rows: title, header, and how many are not shown."""


def counted(prepared: Prepared, reading: Reading) -> Iterator[tuple[str, Direction, int | None]]:
    """(``VM/nic``, direction, frames copied) of every mirror."""
    names = {(c.mirror.point.vm, c.mirror.point.vnic): c.name for c in prepared.chosen}
    for count in reading.counts:
        yield names[count.mirror.point.vm, count.mirror.point.vnic], count.direction, count.copied


def picture(prepared: Prepared, now: Reading, before: Reading | None, height: int) -> RenderableType:
    """A line for each vNIC and direction, as many as fit into `height` lines."""
    rows = list(_rows(prepared, now, before))
    shown = rows[: max(height - _CHROME, 1)]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("VNIC", "DIRECTION", "BY"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for name in ("COPIED", "RATE"):
        table.add_column(name, no_wrap=True, justify="right")
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


def _rows(prepared: Prepared, now: Reading, before: Reading | None) -> Iterator[tuple[Text, ...]]:
    was = [count.copied for count in before.counts] if before else [None] * len(now.counts)
    span = now.seconds - before.seconds if before else 0.0
    by = [count.mirror.point.provider for count in now.counts]
    for (name, way, copied), earlier, provider in zip(counted(prepared, now), was, by, strict=True):
        known = copied is not None and earlier is not None and span > 0
        rate = format_rate(max(0, (copied or 0) - (earlier or 0)) / span, "pps") if known else "-"
        amount = "-" if copied is None else format_count(copied)
        yield (
            Text(shortened(printable(name))),
            Text(_WAYS[way]),
            Text(provider, style="dim"),
            Text(amount, style="dim" if not copied else ""),
            Text(rate, style="dim" if rate in ("-", "0 pps") else ""),
        )
