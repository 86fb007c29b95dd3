"""Aligned columns: for a terminal as wide as it is, for a pipe complete."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tapwright.text import columns, shortened

NOTHING = "-"
_GAP = "  "
_SHORTEST = 12
"""Columns of a terminal that are left of a cell that is cut."""


def render(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    width: int | None = None,
    dispensable: Sequence[str] = (),
    elastic: Sequence[str] = (),
) -> Iterator[str]:
    """The lines of a table, header first; every cell is already safe to print.

    Within `width` columns those named in `dispensable` are left out, the first ones first,
    until it fits, then cells of those in `elastic` are cut, the first ones first; columns in
    which nothing is said are left out anyway.
    """
    cells = [tuple(cell or NOTHING for cell in row) for row in rows]
    sizes = [max(map(columns, column)) for column in zip(header, *cells, strict=True)]
    shown = [i for i in range(len(header)) if not cells or any(row[i] != NOTHING for row in cells)]
    for name in dispensable:
        if _excess(sizes, shown, width) > 0:
            shown = [i for i in shown if header[i] != name]
    for i in (header.index(name) for name in elastic):
        if i in shown and (excess := _excess(sizes, shown, width)) > 0:
            sizes[i] = max(sizes[i] - excess, min(sizes[i], _SHORTEST))
    for row in (tuple(header), *cells):
        yield _GAP.join(_fitted(row[i], sizes[i]) for i in shown).rstrip()


def _excess(sizes: Sequence[int], shown: Sequence[int], width: int | None) -> int:
    """How many columns of the terminal are wanting."""
    return 0 if width is None else sum(sizes[i] + len(_GAP) for i in shown) - len(_GAP) - width


def _fitted(text: str, size: int) -> str:
    text = shortened(text, size)
    return text + " " * (size - columns(text))
