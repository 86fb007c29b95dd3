"""The signals that end what goes on until it is told to stop."""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

STOPS = tuple(number for number in signal.Signals if number.name in ("SIGINT", "SIGTERM", "SIGHUP"))
"""Those of them that this system has."""

Handler = Callable[[int, FrameType | None], None]


@contextmanager
def handled(handler: Handler, numbers: Sequence[signal.Signals] = STOPS) -> Iterator[None]:
    """While this holds, `handler` hears of those signals; but not of a hang-up that `nohup` keeps from us."""
    before = {number: signal.signal(number, handler) for number in numbers if not _kept_away(number)}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


class Stop(threading.Event):
    """An event that a signal's handler may set."""

    _asked = False

    def set_from_handler(self) -> None:
        """Set it; who waits for it goes on soon.

        A handler runs in the midst of what its thread does. Where that is waiting for the event, it may hold the
        event's lock, and the handler would wait for it for ever: so it is another thread that tells who waits.
        """
        self._asked = True
        _thread.start_new_thread(self.set, ())

    def is_set(self) -> bool:
        """Also when nobody who waits was told yet."""
        return self._asked or super().is_set()


def listen_to_ctrl_c() -> None:
    """A script's shell starts background jobs deaf to SIGINT, and its `kill -INT $!` would do nothing."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _kept_away(number: signal.Signals) -> bool:
    return number.name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN
