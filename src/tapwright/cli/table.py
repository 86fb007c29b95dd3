"""Aligned columns: for a terminal as wide as it is, for a pipe complete."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tapwright.text import columns

NOTHING = "-"
_GAP = "  "


def render(
    header: Sequence[str], rows: Iterable[Sequence[str]], width: int | None = None, dispensable: Sequence[str] = ()
) -> Iterator[str]:
    """The lines of a table, header first; every cell is already safe to print.

    Within `width` columns those named in `dispensable` are left out, the first ones first,
    until it fits; columns in which nothing is said are left out anyway.
    """
    cells = [tuple(cell or NOTHING for cell in row) for row in rows]
    sizes = [max(map(columns, column)) for column in zip(header, *cells, strict=True)]
    shown = [i for i in range(len(header)) if not cells or any(row[i] != NOTHING for row in cells)]
    for name in dispensable if width is not None else ():
        if sum(sizes[i] + len(_GAP) for i in shown) - len(_GAP) > (width or 0):
            shown = [i for i in shown if header[i] != name]
    for row in (tuple(header), *cells):
        yield _GAP.join(_padded(row[i], sizes[i]) for i in shown).rstrip()


def _padded(text: str, size: int) -> str:
    return text + " " * (size - columns(text))
