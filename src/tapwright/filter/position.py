"""Showing a person where in the filter the mistake is."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from tapwright.errors import FilterError
from tapwright.text import printable


def render(error: FilterError, width: int = 78) -> str:
    """The user's text and, below it, a caret under the place that is wrong.

    Control characters are shown escaped, wide ones count two columns, and of a long text only
    the part around the place is shown: at most `width` columns.  Without a position there is
    no caret.
    """
    pieces = [_shown(character) for character in error.text]
    position = len(pieces) if error.position is None else min(error.position, len(pieces))
    low, high = _window([_columns(piece) for piece in pieces], position, width - len("  ......") - 1)
    head = ("..." if low else "") + "".join(pieces[low:position])
    tail = "".join(pieces[position:high]) + ("..." if high < len(pieces) else "")
    caret = "" if error.position is None else f"\n  {' ' * _columns(head)}^"
    return f"  {head}{tail}{caret}"


def _shown(character: str) -> str:
    return " " if character in "\t\r\n" else printable(character)


def _columns(text: str) -> int:
    return sum(_width(character) for character in text)


def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _window(columns: Sequence[int], position: int, room: int) -> tuple[int, int]:
    """The pieces to show: half of the room before the position, the rest behind, or as it comes."""
    low = _back(columns, position, room // 2)
    high, room = position, room - sum(columns[low:position])
    while high < len(columns) and columns[high] <= room:
        room -= columns[high]
        high += 1
    return _back(columns, low, room), high


def _back(columns: Sequence[int], low: int, room: int) -> int:
    while low > 0 and columns[low - 1] <= room:
        low -= 1
        room -= columns[low]
    return low
