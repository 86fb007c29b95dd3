"""Moments and ranges as people type them."""

from __future__ import annotations

import re
from datetime import datetime

from tapwright.errors import UsageError
from tapwright.units import parse_duration

_FIRST_EPOCH = 1_000_000_000
"""Plain numbers from here on are seconds since the epoch, smaller ones since the first packet."""
_HINT = "write 90s or 1h30m after the first packet, 2026-11-23T09:30:15 (with +01:00 or Z), or seconds since 1970"
_NUMBER = re.compile(r"(\d+)(?:\.(\d{1,9}))?")
_FRACTION = re.compile(r"\.(\d{1,9})")
_RANGE = re.compile(r"(\d*)-(\d*)|(\d+)")


def parse_moment(text: str) -> tuple[bool, int]:
    """(counted from the first packet, nanoseconds) of ``10s``, ``2026-11-23 09:30`` (local time) or ``1795426215.5``.

    Raises UsageError.
    """
    text = text.strip()
    if (found := _NUMBER.fullmatch(text)) and int(found[1]) >= _FIRST_EPOCH:
        return False, int(found[1]) * 1_000_000_000 + _nanoseconds(found[2])
    try:
        return True, round(parse_duration(text.removeprefix("+")) * 1e9) if text != "0" else 0
    except UsageError:
        return False, _date(text)


def _date(text: str) -> int:
    fraction = _FRACTION.search(text)
    whole = _FRACTION.sub("", text, count=1)
    try:
        at = datetime.fromisoformat(whole)
        seconds = int(at.timestamp())
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"{text!r} is not a moment", _HINT) from None
    if seconds < 0:
        raise UsageError(f"{text!r} is before 1970", _HINT)
    return seconds * 1_000_000_000 + _nanoseconds(fraction[1] if fraction else None)


def _nanoseconds(digits: str | None) -> int:
    return int((digits or "0").ljust(9, "0"))


def parse_range(text: str) -> tuple[int, int]:
    """(first, last) of ``10-20``, ``10-``, ``-20`` or ``7``; numbers of packets, from 1.  Raises UsageError."""
    found = _RANGE.fullmatch(text.strip())
    if not found or text.strip() == "-":
        raise UsageError(f"{text!r} is not a range of packets", "write it like 10-20, 10- or -20")
    if found[3]:
        return int(found[3]), int(found[3])
    low, high = int(found[1] or 1), int(found[2] or (1 << 64) - 1)
    if low > high:
        raise UsageError(f"{text!r} ends before it begins")
    return low, high
