"""Making foreign text fit to be shown: VM names, device names and comments come from strangers."""

from __future__ import annotations

import itertools
import re
import textwrap
import unicodedata

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that move the cursor, reorder or hide text."""

LONGEST_NAME = 40
"""Columns that one name may take of a table for people."""


def printable(text: str) -> str:
    r"""`text` with control, formatting and unassigned characters written as ``\xNN`` or ``\uNNNN``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if unicodedata.category(c) not in _UNSAFE else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def columns(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def shortened(text: str, most: int = LONGEST_NAME) -> str:
    """`text` within `most` columns, an ellipsis in place of what does not fit."""
    if columns(text) <= most:
        return text
    ends = itertools.accumulate(map(_columns, text))
    return text[: sum(end < most for end in ends)] + "…"


def folded(line: str, width: int) -> list[str]:
    """`line` within `width` columns, broken between words; what goes on stands below what its label says."""
    label = re.match(r" +\w+ {2,}", line)
    indent = label.end() if label else len(line) - len(line.lstrip()) + 4
    broken = textwrap.wrap(
        line, max(width, indent + 20), subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
    return broken or [line]


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
