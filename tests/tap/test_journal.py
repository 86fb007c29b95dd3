"""The journal's file: damaged, and while another thread writes into it."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tapwright.errors import CaptureError, PrivilegeError
from tapwright.tap import journal as journals
from tapwright.tap.journal import Journal
from tapwright.tap.session import Session

_WRITES = """
import sqlite3, sys
sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None).execute("BEGIN IMMEDIATE")
"""


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


def test_tables_that_are_none_of_ours_are_damage(journal: Journal) -> None:
    with sqlite3.connect(journal.path) as db:
        db.execute("ALTER TABLE sessions RENAME COLUMN what TO whit")
    db.close()
    again = Journal(journal.folder)
    assert [note.partition(" and is now ")[0] for note in again.notes] == ["the journal was damaged"]
    again.add(session("deadbeef"))
    assert [found.id for found in again.sessions()] == ["deadbeef"]


def test_a_new_session_leaves_the_locks_of_other_threads_alone(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of the thread that renews the lease of another session of this process."""
    monkeypatch.setattr(journals, "_BUSY", 0.0)
    with sqlite3.connect(journal.path, isolation_level=None) as db:
        db.execute("BEGIN IMMEDIATE")
        assert "locked" in writing(journal)
        with pytest.raises(CaptureError, match="locked"):
            journal.add(session("deadbeef"))
        assert "locked" in writing(journal)
    db.close()
    assert writing(journal) == ""


def writing(journal: Journal) -> str:
    """What another process is told that begins to write, "" when it may."""
    argv = [sys.executable, "-c", _WRITES, str(journal.path)]
    return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60).stderr


def test_a_file_that_leads_elsewhere_is_not_written_to(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "state")
    journal.folder.mkdir(mode=0o700)
    journal.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PrivilegeError, match=r"journal\.db is not a place that only we can write to"):
        journal.add(session("deadbeef"))
    assert not (tmp_path / "elsewhere").exists()
