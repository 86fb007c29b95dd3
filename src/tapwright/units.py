"""Sizes, durations and rates: from what people type, and back to what people read.

Sizes are in bytes and their suffixes binary (``64K`` = 65,536), as in tcpdump's and dd's
options; rates are printed decimal (1 Mbit/s = 1,000,000 bit/s), as in network engineering.
"""

from __future__ import annotations

import math
import re

from tapwright.errors import UsageError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmMgGtT]?)(?:i?[bB])?")
_SIZE_FACTOR = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_size(text: str) -> int:
    """Bytes in ``100``, ``64K``, ``1.5G``, ``10MiB``.  Raises UsageError."""
    found = _SIZE.fullmatch(text.strip())
    if not found or not (size := int(float(found[1]) * _SIZE_FACTOR[found[2].lower()])):
        raise UsageError(f"{text!r} is not a size", "write it like 500K, 100M or 2G")
    return size


def parse_duration(text: str) -> float:
    """Seconds in ``90``, ``1.5``, ``30s``, ``5m``, ``1h30m``.  Raises UsageError."""
    text = text.strip().lower()
    try:
        seconds = float(text)
    except ValueError:
        parts = _DURATION_PART.findall(text)
        if "".join(n + unit for n, unit in parts) != text:
            parts = []
        seconds = sum((float(n) * _SECONDS[unit] for n, unit in parts), 0.0 if parts else math.nan)
    if seconds == 0:
        raise UsageError(f"{text!r} is no time at all", "write more than 0: in seconds, or like 90s, 5m or 1h30m")
    if not 0 < seconds < 1e9:
        raise UsageError(f"{text!r} is not a duration", "write it in seconds, or like 90s, 5m or 1h30m")
    return seconds


_DECIMAL = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:bit/s|bps)?")


def parse_rate(text: str) -> float:
    """So many a second, with decimal prefixes: ``500M``, ``2.5G``, ``10Gbit/s``.  Raises UsageError."""
    found = _RATE.fullmatch(text.strip().lower())
    if not found or not (rate := float(found[1]) * _DECIMAL[found[2]]):
        raise UsageError(f"{text!r} is not a rate", "write it like 500M or 2.5G, per second")
    return rate


def parse_share(text: str) -> float:
    """A share of 1 in ``50%`` or ``0.5``.  Raises UsageError."""
    number, percent, rest = text.strip().partition("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = math.nan
    if rest or not 0 < share <= 1:
        raise UsageError(f"{text!r} is not a share", "write it like 50% or 0.5")
    return share


def parse_ring(text: str) -> tuple[int, int]:
    """(bytes a file, number of files) in ``100Mx10``.  Raises UsageError."""
    size, cross, files = text.lower().partition("x")
    if not cross or not files.isdecimal() or int(files) < 1:
        raise UsageError(f"{text!r} is not a ring of files", "write it like 100Mx10: ten files of 100 MiB each")
    return parse_size(size), int(files)


def format_size(size: float) -> str:
    """``1.4 MiB``; exact below 1,024."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def format_rate(rate: float, unit: str) -> str:
    """A decimal rate: ``8.10 Mbit/s``, ``0 pps`` (`unit` is "bit/s" or "pps")."""
    for prefix in ("", "k", "M", "G"):
        if rate < 999.5:
            return f"{rate:.0f} {unit}" if not prefix else f"{rate:.3g} {prefix}{unit}"
        rate /= 1000
    return f"{rate:.3g} T{unit}"


def format_share(share: float) -> str:
    """``37 %``."""
    return f"{100 * share:.0f} %"


def format_duration(seconds: float) -> str:
    """``0:42``, ``12:05``, ``3:12:05``, ``29 days``: who waits for days does not count minutes."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24:,} days"
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def format_count(count: int) -> str:
    """``1,234,567``."""
    return f"{count:,}"


def format_things(count: int, thing: str) -> str:
    """``1 VM``, ``12 VMs``."""
    return f"{format_count(count)} {thing}{'' if count == 1 else 's'}"
