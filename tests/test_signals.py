"""Signals that end what goes on."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tapwright.cli.watch import _stopping
from tapwright.control.sessions import _signals
from tapwright.signals import Stop


@contextmanager
def _of_a_session() -> Iterator[threading.Event]:
    stop = Stop()
    with _signals(stop):
        yield stop


@pytest.mark.parametrize("stopping", [_stopping, _of_a_session])
def test_ctrl_c_while_its_own_thread_looks_at_what_it_sets(stopping) -> None:
    """The thread that waits for an event holds the event's lock for a moment; the signal may come right then."""
    with _at_most(10), stopping() as stop:
        with stop._cond:  # as within `wait`
            signal.raise_signal(signal.SIGINT)
        assert stop.wait(10)


def test_the_second_signal_to_a_session_interrupts() -> None:
    with _of_a_session() as stop, stop._cond:  # also when nobody could tell of the first one yet
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    """A failure where it would hang for ever."""

    def late(*_: object) -> None:
        raise AssertionError(f"still waiting after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
