"""Where labs are on record: one directory each below ``/run/tapwright/lab``.

A lab is three kinds of things: network namespaces, processes and its directory.  ``lab.json``
names all of them before the first is made: the namespaces by name, the processes by a token
that each carries in its environment.  So whatever instant `up` dies at, the record is enough
to undo it.

Locks are `flock` on the directories themselves, so that they vanish with their holder: the
parent's while a name is claimed, the lab's own during `up` and `down`.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import msgspec

from tapwright.errors import NotFound, PrivilegeError, ProviderError, TapwrightError, UsageError
from tapwright.lab.plan import NETNS_FOLDER, Plan, plan
from tapwright.lab.processes import started_at
from tapwright.lab.topology import Topology

ROOT = Path("/run/tapwright/lab")
_RECORD = "lab.json"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class Undo(msgspec.Struct, frozen=True):
    """What `down` needs; read leniently, so that a record of another version can still be undone."""

    token: str
    namespaces: tuple[str, ...]
    netns_folder: bool = False


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of a lab."""

    lab: str
    token: str
    namespaces: tuple[str, ...]
    netns_folder: bool
    """Whether the folder of named namespaces was not there before, so that `ip` will make and mount it."""
    topology: Topology
    state: Literal["starting", "up"] = "starting"
    created: float
    """Seconds since the epoch."""
    pid: int
    """The process that runs `up`, and..."""
    pid_started: int
    """...when it started (clock ticks since boot), so that a reused pid is not mistaken for it."""
    daemons: tuple[str, ...] = ()
    """Pid files, relative to the lab's directory, of what must run while the lab is up."""

    @property
    def plan(self) -> Plan:
        """The lab's plan, as it was when it was made."""
        return plan(self.topology, self.lab)


def folder(lab: str) -> Path:
    """The lab's directory."""
    return ROOT / lab


def names() -> tuple[str, ...]:
    """Every lab on record, broken ones too."""
    try:
        return tuple(sorted(entry.name for entry in ROOT.iterdir()))
    except FileNotFoundError:
        return ()
    except PermissionError:
        raise PrivilegeError(f"not allowed to read {ROOT}", "the labs there are root's: use sudo") from None


def read(lab: str) -> Record | None:
    """The record of a lab; None when it died before it had one, or is of another version.

    Raises NotFound when there is no such lab.
    """
    if lab not in names():
        hint = f"labs: {', '.join(names())}" if names() else "start one with: tapwright lab up bridge"
        raise NotFound(f"there is no lab named {lab!r}", hint)
    try:
        return msgspec.json.decode((folder(lab) / _RECORD).read_bytes(), type=Record)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def read_undo(lab: str) -> Undo | None:
    """What has to be undone; None when nothing was made."""
    try:
        return msgspec.json.decode((folder(lab) / _RECORD).read_bytes(), type=Undo)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise TapwrightError(f"the record of lab {lab} cannot be read: {error}", f"look at {folder(lab)}") from None


def write(record: Record) -> None:
    """Replace the record in one step."""
    path = folder(record.lab) / _RECORD
    new = path.with_suffix(".new")
    new.write_bytes(msgspec.json.encode(record))
    new.rename(path)


def finish(record: Record, daemons: Iterable[str]) -> Record:
    """Put on record that everything was made, and what must run from now on."""
    done = msgspec.structs.replace(record, state="up", daemons=tuple(daemons))
    write(done)
    return done


@contextmanager
def claim(topology: Topology, candidates: Iterator[str]) -> Iterator[Record]:
    """Take the first free name, put the lab on record and hold its lock.

    Raises UsageError when the candidates are exhausted or a namespace of that name exists already.
    """
    with _locked(_root()):
        lab = next((name for name in candidates if not folder(name).exists()), None)
        if lab is None:
            raise UsageError("a lab of that name exists already", "see: tapwright lab ls")
        made = plan(topology, lab)
        _refuse_taken(made)
        folder(lab).mkdir(mode=0o700)
        record = _new(made)
        write(record)
        lock = _open(folder(lab))
    try:
        yield record
    finally:
        os.close(lock)


@contextmanager
def locked(lab: str) -> Iterator[None]:
    """Hold the lock of an existing lab; waits for an `up` or `down` of it that is under way."""
    with _locked(folder(lab)):
        yield


def remove(lab: str) -> None:
    """Remove the lab's directory, its record last.  Raises ProviderError when something still writes there."""
    path = folder(lab)
    try:
        for entry in path.iterdir():
            if entry.name != _RECORD:
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        (path / _RECORD).unlink(missing_ok=True)
        path.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ProviderError(f"cannot remove {path}: {error.strerror}", f"try again: tapwright lab down {lab}") from None


def tidy() -> None:
    """Remove the parents of the labs' directories where they are empty; nobody is claiming a name then."""
    with suppress(OSError):
        lock = os.open(ROOT, _DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            ROOT.rmdir()
        finally:
            os.close(lock)
    with suppress(OSError):
        ROOT.parent.rmdir()


def _new(made: Plan) -> Record:
    return Record(
        lab=made.lab,
        token=secrets.token_hex(16),
        namespaces=made.namespaces,
        netns_folder=not Path(NETNS_FOLDER).exists(),
        topology=made.topology,
        created=time.time(),
        pid=os.getpid(),
        pid_started=started_at(os.getpid()),
    )


def _refuse_taken(made: Plan) -> None:
    """No namespace of the lab may exist, nor belong to a lab that is about to make it (a-b/c and a/b-c)."""
    claimed = {name for lab in names() if (undo := read_undo(lab)) for name in undo.namespaces}
    for name in made.namespaces:
        if name in claimed or Path(NETNS_FOLDER, name).exists():
            raise UsageError(
                f"a network namespace {name} exists already, and lab {made.lab!r} did not make it",
                f"use another --name; if nobody needs it: ip netns del {name}",
            )


def _root() -> Path:
    try:
        ROOT.parent.mkdir(mode=0o755, exist_ok=True)
        ROOT.mkdir(mode=0o700, exist_ok=True)
        found = ROOT.lstat()
    except FileNotFoundError:
        return _root()  # a `down` removed the empty parents between our two steps
    except PermissionError as error:
        raise PrivilegeError(f"not allowed to create {ROOT}: {error.strerror}", "run as root: sudo") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PrivilegeError(f"{ROOT} is not a directory that only we can write to", f"remove it: rm -r {ROOT}")
    return ROOT


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = _open(path)
    try:
        yield
    finally:
        os.close(lock)


def _open(path: Path) -> int:
    """A locked descriptor of the directory that has this path now, not of one removed while we waited."""
    while True:
        try:
            lock = os.open(path, _DIRECTORY)
        except FileNotFoundError:
            if path != ROOT:
                raise NotFound(f"there is no lab named {path.name!r}") from None
            _root()
            continue
        fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), path.stat()):
                return lock
        os.close(lock)
