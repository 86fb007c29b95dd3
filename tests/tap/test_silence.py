"""Owners of other hosts: what is remembered of their signs of life, and that they are shown."""

import sqlite3
import threading
import time
from pathlib import Path

import pytest

from tapwright.errors import ProviderError
from tapwright.tap import lease
from tapwright.tap.journal import Journal
from tapwright.tap.lease import kept
from tapwright.tap.session import Session, State


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "state")


def heard(journal: Journal, beat: str, seconds: float, boot: str = "b", *, record: bool = True) -> float:
    return journal.silence({"mark": beat}, (boot, seconds), record=record)["mark"]


def test_it_is_counted_from_when_a_beat_was_seen_first(journal: Journal) -> None:
    assert [heard(journal, "0", at) for at in (100.0, 160.0, 4000.0)] == [0.0, 60.0, 3900.0]
    assert heard(journal, "1", 4060.0) == 0.0, "it lives"
    assert heard(journal, "1", 4100.0) == 40.0


def test_nothing_is_heard_of_an_earlier_boot_nor_of_the_future(journal: Journal) -> None:
    heard(journal, "0", 9000.0)
    assert heard(journal, "0", 9100.0, "another") == 0.0
    assert heard(journal, "0", 9000.0, "another") == 0.0
    assert heard(journal, "0", 9050.0, "another") == 50.0


def test_who_could_not_be_looked_at_is_not_forgotten_at_once(journal: Journal) -> None:
    heard(journal, "0", 100.0)
    assert journal.silence({}, ("b", 200.0), record=True) == {}
    assert heard(journal, "0", 300.0) == 200.0
    assert journal.silence({"another": "0"}, ("b", 1e6), record=True) == {"another": 0.0}
    assert heard(journal, "0", 1e6) == 0.0


def test_a_dry_look_leaves_no_trace(journal: Journal) -> None:
    assert heard(journal, "0", 100.0, record=False) == 0.0
    assert not journal.folder.exists()
    assert journal.silence({}, ("b", 1.0), record=True) == {}
    assert not journal.folder.exists(), "nor does one that sees nobody"


def test_what_makes_no_sense_was_not_seen(journal: Journal) -> None:
    heard(journal, "0", 100.0)
    with sqlite3.connect(journal.path) as db:
        db.execute("UPDATE beats SET since = 'long ago'")
    db.close()
    assert heard(Journal(journal.folder), "0", 9e9) == 0.0
    with sqlite3.connect(journal.path) as db:
        db.execute("DROP TABLE beats")
    db.close()
    assert heard(Journal(journal.folder), "0", 9e9) == 0.0


def test_a_living_owner_shows_itself_and_tries_again_where_it_cannot(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.05)
    monkeypatch.setattr(lease, "_AGAIN", 0.01)
    shown: list[int] = []
    enough = threading.Event()

    def beat() -> None:
        shown.append(len(shown))
        if len(shown) == 2:
            raise ProviderError("the database does not answer")
        if len(shown) > 3:
            enough.set()

    one = Session("0badcafe", "1.1.a.b.2", "mirror of web", time.time(), 60.0, time.time() + 60.0, State.RUNNING)
    journal.add(one)
    with kept(journal, lambda: one, threading.Event(), beat=beat):
        assert enough.wait(30)
    assert journal.notes == ["the database does not answer"]
    last = len(shown)
    assert all(thread.name != "beat" for thread in threading.enumerate())
    assert len(shown) == last
