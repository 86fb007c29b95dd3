"""Whether a session's mirrors deliver, beside its lease: for others to read, and for nothing to depend on."""

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tapwright.errors import CaptureError
from tapwright.tap import lease
from tapwright.tap.delivery import News, Outcome, Verdict
from tapwright.tap.journal import Journal
from tapwright.tap.lease import kept
from tapwright.tap.session import Session, State

OK, STALE = Verdict(Outcome.OK, "9 copies"), Verdict(Outcome.STALE, "copies stopped")
NEWS = News(1000.0, (("web/eth0", OK), ("db/eth0", STALE)))
PATIENCE = 30.0


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "state")


def session(name: str = "0badcafe", length: float = 3600.0) -> Session:
    return Session(name, "1.1.a.b.2", "mirror of web", time.time(), length, time.time() + length, State.RUNNING)


def raw(journal: Journal, *statements: str) -> None:
    with sqlite3.connect(journal.path) as db:
        for statement in statements:
            db.execute(statement)
    db.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_it_goes_with_the_lease_and_is_read_with_the_session(journal: Journal) -> None:
    journal.add(session())
    assert journal.session("0badcafe") is not None
    assert journal.sessions()[0].news is None
    journal.renew("0badcafe", 7.0, NEWS)
    (found,) = Journal(journal.folder).sessions()
    assert (found.expires, found.news) == (7.0, NEWS)
    journal.renew("0badcafe", 8.0)
    assert journal.sessions()[0].news == NEWS, "a renewal without news takes none away"
    assert journal.renew("deadbeef", 8.0, NEWS) is None
    assert len(journal.sessions()) == 1


@pytest.mark.parametrize(
    "stored",
    [
        "''", "'[]'", "x'ff00'", "7", '\'{"time":1,"mirrors":[["web/eth0",{"outcome":"splendid","reason":""}]]}\'',
        '\'{"time":"noon","mirrors":[]}\'', "'" + "[" * 100_000 + "'",
    ],
    ids=["nothing", "a list", "no text", "a number", "of a newer tapwright", "no time", "deep"],
)  # fmt: skip
def test_news_that_makes_no_sense_is_none_and_does_not_damage_the_journal(journal: Journal, stored: str) -> None:
    journal.add(session())
    raw(journal, f"INSERT INTO news VALUES ('0badcafe', {stored})", "INSERT INTO news VALUES (NULL, 'x')")
    again = Journal(journal.folder)
    assert again.notes == []
    assert [(s.id, s.news) for s in again.sessions()] == [("0badcafe", None)]
    journal.renew("0badcafe", 7.0, NEWS)
    assert again.sessions()[0].news == NEWS


def test_a_journal_of_an_older_tapwright_is_read_swept_and_gets_news(journal: Journal) -> None:
    old = Session("aaaaaaaa", "1.1.a.b.2", "long ago", 1.0, 60.0, 61.0, State.CLOSED)
    journal.add(old)
    raw(journal, "DROP TABLE news")
    older = Journal(journal.folder)
    assert (older.notes, older.sessions()) == ([], (old,))
    older.forget(time.time())
    assert older.sessions() == ()
    older.add(session())
    older.renew("0badcafe", 7.0, NEWS)
    assert older.sessions()[0].news == NEWS


def test_what_is_forgotten_takes_its_news_along(journal: Journal) -> None:
    journal.add(Session("aaaaaaaa", "1.1.a.b.2", "long ago", 1.0, 60.0, 61.0, State.CLOSED))
    journal.renew("aaaaaaaa", 61.0, NEWS)
    journal.add(session())
    journal.renew("0badcafe", 7.0, NEWS)
    journal.forget(time.time())
    with sqlite3.connect(journal.path) as db:
        assert db.execute("SELECT session FROM news").fetchall() == [("0badcafe",)]
    db.close()


def test_another_outcome_is_told_before_the_lease_has_to_be_renewed(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_SHORTEST", 0.1)
    monkeypatch.setattr(lease, "_POLL", 0.05)
    latest = [News(1.0, (("web/eth0", OK),))]
    journal.add(session())
    with kept(journal, session, threading.Event(), lambda: latest[-1]):
        until(lambda: journal.sessions()[0].news == latest[0])
        before = journal.sessions()[0].expires
        latest.append(News(2.0, (("web/eth0", STALE),)))
        until(lambda: journal.sessions()[0].news == latest[1])
        assert journal.sessions()[0].expires > before


def test_where_news_has_no_room_the_lease_is_renewed_all_the_same(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Journal.renew

    def cramped(self: Journal, session: str, expires: float, news: News | None = None) -> object:
        if news:
            raise CaptureError("no room for the journal: the disk is full")
        return whole(self, session, expires)

    monkeypatch.setattr(Journal, "renew", cramped)
    one = session(length=1.0)
    journal.add(one)
    with kept(journal, lambda: one, threading.Event(), lambda: NEWS):
        until(lambda: journal.sessions()[0].expires > one.expires)
    assert journal.notes == []
