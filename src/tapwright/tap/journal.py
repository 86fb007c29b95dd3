"""The journal: every change of the world, on disk before it is made.

One SQLite file, ``journal.db``, which only its user can read.  Each change of it is one
transaction that has reached the disk when the call returns.  A connection is opened for each:
so threads share nothing, and a journal that was moved aside is never written to again.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tapwright.errors import CaptureError
from tapwright.plan.steps import Operation, Step
from tapwright.tap import folder as places
from tapwright.tap.delivery import News
from tapwright.tap.session import Entry, Progress, Session, State

VERSION = 1
_BUSY = 10.0
"""Seconds to wait for another tapwright's transaction."""
_KEPT = 7 * 86400.0
"""Seconds that closed sessions stay on record."""
_TABLES = (
    """CREATE TABLE IF NOT EXISTS sessions (
        id TEXT PRIMARY KEY, owner TEXT NOT NULL, what TEXT NOT NULL, created REAL NOT NULL, lease REAL NOT NULL,
        expires REAL NOT NULL, state TEXT NOT NULL, stop_asked INTEGER NOT NULL DEFAULT 0)""",
    """CREATE TABLE IF NOT EXISTS steps (
        session TEXT NOT NULL, number INTEGER NOT NULL, "do" TEXT NOT NULL, undo TEXT NOT NULL, why TEXT NOT NULL,
        state TEXT NOT NULL, error TEXT NOT NULL DEFAULT '', PRIMARY KEY (session, number))""",
    # Beside what has to be undone: nothing depends on it, and an older tapwright knows nothing of it.
    "CREATE TABLE IF NOT EXISTS news (session TEXT PRIMARY KEY, news TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS beats (mark TEXT PRIMARY KEY, beat TEXT NOT NULL, boot TEXT NOT NULL, since REAL)",
)
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
"""The last one: our own statements do not fit its tables."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What an owner has to know of its session from time to time."""

    state: State
    stop_asked: bool


class Journal:
    """The journal of one folder; made with the first session that is written into it."""

    def __init__(self, folder: Path) -> None:
        """Moves a damaged journal aside.

        Raises CaptureError where it cannot be used and why, PrivilegeError where others could write it or we may not
        look.
        """
        self.folder = folder
        self.path = folder / "journal.db"
        self.notes: list[str] = []
        """What a person should know of: damage, and what could not be recorded."""
        self._inspect()

    def add(self, session: Session) -> None:
        """Write a new session, or again one that got lost, with its steps.  Raises CaptureError, PrivilegeError."""
        self._make()
        with self._writing() as db:
            db.execute(
                "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (session.id, session.owner, session.what, session.created, session.lease, session.expires,
                 session.state, session.stop_asked),
            )  # fmt: skip
            for number, entry in enumerate(session.entries):
                _put(db, session.id, number, entry)

    def intend(self, session: Session, *numbers: int) -> None:
        """Write that steps are about to be done.

        Raises CaptureError when that cannot be written, or somebody ended the session meanwhile:
        then it must not be done.
        """
        with self._writing() as db:
            if _state(db, session.id) is not session.state:
                while_ = "being opened" if session.state is State.ARMING else "open"
                raise CaptureError(f"session {session.id} was ended while it was {while_}", "see: tapwright sessions")
            for number in numbers:
                _put(db, session.id, number, session.entries[number])

    def put(self, session: Session, *numbers: int) -> None:
        """Write how far steps came.  Raises CaptureError."""
        with self._writing() as db:
            for number in numbers:
                _put(db, session.id, number, session.entries[number])

    def move(self, session: Session, *numbers: int) -> None:
        """Write the session's state, and how far some steps came.  Raises CaptureError."""
        with self._writing() as db:
            for number in numbers:
                _put(db, session.id, number, session.entries[number])
            db.execute("UPDATE sessions SET state = ? WHERE id = ?", (session.state, session.id))

    def renew(self, session: str, expires: float, news: News | None = None) -> Seen | None:
        """Write the new end of the lease and the `news`; None when the journal knows nothing of it.

        Raises CaptureError.
        """
        with self._writing() as db:
            db.execute("UPDATE sessions SET expires = ? WHERE id = ?", (expires, session))
            seen = _seen(db, session)
            if seen and news:
                db.execute("INSERT OR REPLACE INTO news VALUES (?, ?)", (session, msgspec.json.encode(news).decode()))
            return seen

    def peek(self, session: str) -> Seen | None:
        """The same without writing.  Raises CaptureError."""
        with self._reading() as db:
            return _seen(db, session) if db else None

    def ask_stop(self, session: str) -> None:
        """Ask the session's owner to end it.  Raises CaptureError."""
        with self._writing() as db:
            db.execute("UPDATE sessions SET stop_asked = 1 WHERE id = ?", (session,))

    def forget(self, now: float) -> None:
        """Take sessions off the record that closed long ago and left nothing.  Raises CaptureError."""
        old = [s.id for s in self.sessions() if s.state is State.CLOSED and not s.kept and s.expires < now - _KEPT]
        if old:
            with self._writing() as db:
                for table, column in (("steps", "session"), ("sessions", "id")):
                    db.executemany(f"DELETE FROM {table} WHERE {column} = ?", [(s,) for s in old])  # noqa: S608
                if _has(db, "news"):  # an older tapwright, which knows nothing of it, may have forgotten others
                    db.execute("DELETE FROM news WHERE session NOT IN (SELECT id FROM sessions)")

    def silence(self, beats: Mapping[str, str], uptime: tuple[str, float], *, record: bool) -> dict[str, float]:
        """For how many seconds at least each mark has had that beat: 0.0 for one that is seen for the first time.

        `uptime` is the boot and seconds of it.  With `record` that is remembered.
        Raises CaptureError, PrivilegeError.
        """
        boot, now = uptime
        with self._reading() as db:
            before = _beats(db) if db else {}
        # What was not seen this time, because nobody could look, may be seen again.
        after = {mark: old for mark, old in before.items() if old[1] == boot and 0 <= now - old[2] < _KEPT}
        for mark, beat in beats.items():
            old = before.get(mark)
            since = old[2] if old and old[:2] == (beat, boot) and old[2] <= now else now
            after[mark] = (beat, boot, since)
        if record and after != before:
            self._make()
            with self._writing() as db:
                db.execute("DELETE FROM beats")
                db.executemany("INSERT INTO beats VALUES (?, ?, ?, ?)", [(mark, *beat) for mark, beat in after.items()])
        return {mark: now - after[mark][2] for mark in beats}

    def sessions(self) -> tuple[Session, ...]:
        """All of them, closed ones too, the oldest first.  Raises CaptureError."""
        with self._reading() as db:
            return _sessions(db) if db else ()

    def session(self, session: str) -> Session | None:
        """That one.  Raises CaptureError."""
        return next((s for s in self.sessions() if s.id == session), None)

    def _inspect(self) -> None:
        """Whether it can be used: read all of it."""
        try:
            places.check(self.folder)
            places.check(self.path)
        except FileNotFoundError:
            return
        if not self._sound():
            self._set_aside()

    def _sound(self) -> bool:
        try:
            with self._connected() as db:
                version: int = db.execute("PRAGMA user_version").fetchone()[0]
                if version > VERSION:
                    raise CaptureError(
                        f"{self.path} was written by a newer tapwright (version {version}, this one knows {VERSION})",
                        "use that one",
                    )
                if version:
                    _sessions(db)
                return version == 0 or _healthy(db)
        except (sqlite3.DatabaseError, msgspec.DecodeError, ValueError) as error:
            # Without a code: text in it is none, which Python finds out and not SQLite.
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
            if isinstance(error, sqlite3.OperationalError) and code not in _DAMAGE:
                raise self._unusable(error) from None
            return False

    def _set_aside(self) -> None:
        """Under a lock of that very file, so that of two who find the damage only one moves it."""
        with open(self.path, "rb") as damaged:  # noqa: PTH123
            fcntl.flock(damaged, fcntl.LOCK_EX)
            try:
                if not os.path.samestat(os.fstat(damaged.fileno()), self.path.stat()) or self._sound():
                    return
            except FileNotFoundError:
                return
            aside = next(p for n in range(1, 1 << 30) if not (p := Path(f"{self.path}.damaged-{n}")).exists())
            with suppress(FileNotFoundError):  # it belongs to the damaged one, and would be played back into a new one
                Path(f"{self.path}-journal").rename(f"{aside}-journal")
            self.path.rename(aside)
        self.notes.append(
            f"the journal was damaged and is now {aside}; what it knew is found again by the marks in the world"
        )

    def _make(self) -> None:
        places.make(self.folder)
        try:
            self._create()
        except OSError as error:
            raise CaptureError(f"cannot create {self.path}: {error.strerror}", _HINT) from None
        with self._writing() as db:
            for statement in _TABLES:
                db.execute(statement)
            if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                db.execute(f"PRAGMA user_version = {VERSION}")

    def _create(self) -> None:
        """Make an empty file where there is none, and do not open one that is there.

        Whoever closes a file drops all locks that its process has on it (fcntl(2)): those of a transaction of
        another thread, too.
        """
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        places.check(self.path)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """None where there is no journal, or an empty one."""
        if not self.path.exists():
            yield None
            return
        with self._explained(), self._connected() as db:
            db.execute("BEGIN")
            yield db if db.execute("PRAGMA user_version").fetchone()[0] else None

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._explained(), self._connected() as db:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(f"{self.path.as_uri()}?mode=rw", timeout=_BUSY, isolation_level=None, uri=True)
        try:
            db.execute("PRAGMA synchronous = FULL")
            yield db
        finally:
            db.close()  # takes back what was not committed

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, msgspec.DecodeError, ValueError) as error:
            raise self._unusable(error) from None

    def _unusable(self, error: Exception) -> CaptureError:
        code = getattr(error, "sqlite_errorcode", 0)
        if code == sqlite3.SQLITE_FULL:
            return CaptureError(f"no room for the journal in {self.folder}: the disk is full", _HINT)
        return CaptureError(f"the journal {self.path} cannot be used: {error}", _HINT)


_HINT = "make room there, or keep the journal elsewhere with TAPWRIGHT_STATE"


def _healthy(db: sqlite3.Connection) -> bool:
    return bool(db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")


def _state(db: sqlite3.Connection, session: str) -> State | None:
    seen = _seen(db, session)
    return seen.state if seen else None


def _seen(db: sqlite3.Connection, session: str) -> Seen | None:
    row = db.execute("SELECT state, stop_asked FROM sessions WHERE id = ?", (session,)).fetchone()
    return Seen(State(row[0]), bool(row[1])) if row else None


def _put(db: sqlite3.Connection, session: str, number: int, entry: Entry) -> None:
    step = entry.step
    db.execute(
        "INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?, ?, ?)",
        (session, number, _encode(step.do), _encode(step.undo), step.why, entry.progress, entry.error),
    )


def _sessions(db: sqlite3.Connection) -> tuple[Session, ...]:
    entries: dict[str, list[Entry]] = {}
    for session, do, undo, why, state, error in db.execute(
        'SELECT session, "do", undo, why, state, error FROM steps ORDER BY session, number'
    ):
        entries.setdefault(session, []).append(Entry(Step(_decode(do), _decode(undo), why), Progress(state), error))
    rows = db.execute("SELECT id, owner, what, created, lease, expires, state, stop_asked FROM sessions ORDER BY rowid")
    news = _news(db)
    return tuple(
        Session(
            key, who, what, created, lease, expires, State(state), tuple(entries.get(key, ())), bool(asked),
            news.get(key),
        )
        for key, who, what, created, lease, expires, state, asked in rows
    )  # fmt: skip


def _news(db: sqlite3.Connection) -> dict[str, News]:
    """What is known of deliveries; nothing in it is a reason to doubt the journal."""
    found: dict[str, News] = {}
    rows = db.execute("SELECT CAST(session AS BLOB), CAST(news AS BLOB) FROM news") if _has(db, "news") else ()
    for session, news in rows:
        with suppress(ValueError, TypeError, AttributeError, RecursionError):
            found[session.decode()] = msgspec.json.decode(news, type=News)
    return found


_Beat = tuple[str, str, float]
"""The beat, the boot in which it was seen first, and when in that."""


def _beats(db: sqlite3.Connection) -> dict[str, _Beat]:
    """By mark; what makes no sense was not seen."""
    rows = (
        db.execute("SELECT mark, beat, boot, since FROM beats WHERE typeof(since) = 'real'")
        if _has(db, "beats")
        else ()
    )
    return {mark: (beat, boot, since) for mark, beat, boot, since in rows}


def _has(db: sqlite3.Connection, table: str) -> bool:
    """Not in a journal that an older tapwright made."""
    found = db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,))
    return found.fetchone() is not None


def _encode(operation: Operation) -> str:
    return msgspec.json.encode(operation).decode()


def _decode(text: str) -> Operation:
    return msgspec.json.decode(text, type=Operation)
