"""Signals that end what goes on."""

import threading

from tapwright.signals import set_from_handler


def test_a_handler_may_set_what_its_own_thread_waits_for() -> None:
    """The thread that waits holds the event's lock for a moment, and a signal may come right then."""
    event = threading.Event()
    with event._cond:  # as within `wait`
        set_from_handler(event)
    assert event.wait(10)
