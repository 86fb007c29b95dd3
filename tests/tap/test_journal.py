"""The journal's file, damaged."""

import sqlite3
from pathlib import Path

import pytest

from tapwright.tap.journal import Journal
from tapwright.tap.session import Session


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path / "state")
    journal.add(session("0badcafe"))
    return journal


def session(name: str) -> Session:
    return Session(name, "1.1.a.b.2", "mirror of web", 1.0, 60.0, 61.0)


@pytest.mark.parametrize("column", ["id", "what", "state"])
def test_text_that_is_none_is_damage_like_any_other(journal: Journal, column: str) -> None:
    with sqlite3.connect(journal.path) as db:
        db.execute(f"UPDATE sessions SET {column} = CAST(x'ff41' AS TEXT)")
    db.close()
    again = Journal(journal.folder)
    assert again.sessions() == ()
    assert [note.partition(" and is now ")[0] for note in again.notes] == ["the journal was damaged"]
    again.add(session("deadbeef"))
    assert [found.id for found in again.sessions()] == ["deadbeef"]
