"""The clock that packets are stamped with: whether it is kept right, steady and fine. Read only."""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass
from pathlib import Path

_UNSYNCHRONISED = 0x40
"""STA_UNSYNC of include/uapi/linux/timex.h"""
_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")


class _Timex(ctypes.Structure):
    """``struct timex``; what is not read here is left as room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_long * 32),
    )


@dataclass(frozen=True, slots=True)
class Clock:
    """What the kernel says of it."""

    synchronised: bool | None
    """None where it does not say."""
    error: float
    """Seconds by which it may be wrong at most, as whoever keeps it says."""
    resolution: float
    """Seconds."""
    source: str
    """What it is read from (``tsc``, ``kvm-clock``, ``hpet``...), "" where that is hidden."""


def read() -> Clock:
    """Look at it; needs no privilege."""
    timex = _Timex()
    said = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    try:
        source = _SOURCE.read_text().strip()
    except OSError:
        source = ""
    synchronised = None if said < 0 else not timex.status & _UNSYNCHRONISED
    return Clock(synchronised, timex.maxerror / 1e6, time.clock_getres(time.CLOCK_REALTIME), source)


def ahead() -> float:
    """Seconds by which the clock is ahead of the one that nobody sets; the same ever after, unless somebody does."""
    return time.clock_gettime(time.CLOCK_REALTIME) - time.clock_gettime(time.CLOCK_BOOTTIME)
