"""Waiting for a daemon to take over what was written for it."""

from __future__ import annotations

import time
from collections.abc import Callable

_PAUSE = 0.02


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it comes true in `seconds`; it is asked again and again."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True
