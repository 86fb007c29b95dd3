"""Keeping a session: its owner renews the lease, and notices when somebody asks it to end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from tapwright.errors import CaptureError, TapwrightError
from tapwright.tap.delivery import News
from tapwright.tap.journal import Journal, Seen
from tapwright.tap.session import BEAT, Session, State

_POLL = 0.5
"""Seconds between two looks whether somebody asked us to stop."""
_RENEWALS = 4
"""So many renewals in the time of one lease."""
_LONGEST = 15.0
"""Seconds between two renewals at most, however long the lease: news goes with them."""
_SHORTEST = 2.0
"""Seconds between two renewals at least, however often the news changes."""
_AGAIN = 60.0
"""Seconds until what others could not be shown is shown again."""

NewsOf = Callable[[], News | None]
SessionOf = Callable[[], Session]


def nothing() -> None:
    """To show to others."""


@contextmanager
def kept(
    journal: Journal,
    latest: SessionOf,
    stop: threading.Event,
    news: NewsOf = lambda: None,
    beat: Callable[[], None] = nothing,
) -> Iterator[None]:
    """While this holds, a running session's lease is renewed; `stop` is set once somebody asked for its end.

    `latest` gives the session as it is by then.

    What `news` says of its mirrors goes into the journal with the lease, and sooner where an outcome changed.
    `beat` shows those who cannot see this process that it lives.
    """
    ended = threading.Event()
    threads = [
        threading.Thread(target=_keep, args=(journal, latest, stop, news, ended), name="lease", daemon=True),
        threading.Thread(target=_show, args=(journal, beat, ended), name="beat", daemon=True),
    ]
    mine = threads[: 1 if beat is nothing else 2]
    for thread in mine:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in mine:
            thread.join()


def _show(journal: Journal, beat: Callable[[], None], ended: threading.Event) -> None:
    pause = BEAT
    while not ended.wait(pause):
        try:
            beat()
        except TapwrightError as error:
            _note(journal, error)
            pause = _AGAIN
        else:
            pause = BEAT


def _note(journal: Journal, error: TapwrightError) -> None:
    if error.line not in journal.notes:
        journal.notes.append(error.line)


def _keep(journal: Journal, session_of: SessionOf, stop: threading.Event, news: NewsOf, ended: threading.Event) -> None:
    session = session_of()
    pause = min(session.lease / _RENEWALS, _LONGEST)
    renewed, told = time.monotonic(), None
    while not ended.wait(min(_POLL, pause)):
        session, latest, passed = session_of(), news(), time.monotonic() - renewed
        renewing = passed >= pause or (passed >= _SHORTEST and latest is not None and latest.turned(told))
        if renewing:
            renewed, told = time.monotonic(), latest
        try:
            seen = _look(journal, session, latest, renewing=renewing)
        except TapwrightError as error:  # a living owner keeps its mirror even where the disk is full
            _note(journal, error)
            continue
        if seen is not None and (seen.stop_asked or seen.state is not State.RUNNING):
            stop.set()


def _look(journal: Journal, session: Session, news: News | None, *, renewing: bool) -> Seen | None:
    seen = _renewed(journal, session, news) if renewing else journal.peek(session.id)
    if seen is None:  # the journal was lost: what it knew of us, we know
        journal.add(replace(session, expires=time.time() + session.lease))
    return seen


def _renewed(journal: Journal, session: Session, news: News | None) -> Seen | None:
    """The lease matters more than the news: where there is no room for both, it is renewed alone."""
    expires = time.time() + session.lease
    if news is not None:
        with suppress(CaptureError):
            return journal.renew(session.id, expires, news)
    return journal.renew(session.id, expires)
