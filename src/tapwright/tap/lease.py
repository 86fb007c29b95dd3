"""Keeping a session: its owner renews the lease, and notices when somebody asks it to end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from tapwright.errors import TapwrightError
from tapwright.tap.journal import Journal, Seen
from tapwright.tap.session import Session, State

_POLL = 0.5
"""Seconds between two looks whether somebody asked us to stop."""
_RENEWALS = 4
"""So many renewals in the time of one lease."""


@contextmanager
def kept(journal: Journal, session: Session, stop: threading.Event) -> Iterator[None]:
    """While this holds, a running session's lease is renewed; `stop` is set once somebody asked for its end."""
    ended = threading.Event()
    thread = threading.Thread(target=_keep, args=(journal, session, stop, ended), name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _keep(journal: Journal, session: Session, stop: threading.Event, ended: threading.Event) -> None:
    due = time.monotonic() + session.lease / _RENEWALS
    while not ended.wait(min(_POLL, session.lease / _RENEWALS)):
        renewing = time.monotonic() >= due
        if renewing:
            due = time.monotonic() + session.lease / _RENEWALS
        try:
            seen = _look(journal, session, renewing=renewing)
        except TapwrightError as error:  # a living owner keeps its mirror even where the disk is full
            if error.line not in journal.notes:
                journal.notes.append(error.line)
            continue
        if seen is not None and (seen.stop_asked or seen.state is not State.RUNNING):
            stop.set()


def _look(journal: Journal, session: Session, *, renewing: bool) -> Seen | None:
    seen = journal.renew(session.id, time.time() + session.lease) if renewing else journal.peek(session.id)
    if seen is None:  # the journal was lost: what it knew of us, we know
        journal.add(replace(session, expires=time.time() + session.lease))
    return seen
