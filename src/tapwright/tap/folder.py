"""The folder where tapwright keeps what must outlive it: the journal, and the lock of a sweep."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tapwright.errors import CaptureError, PrivilegeError, ProviderError

_SYSTEM = Path("/var/lib/tapwright")
PATIENCE = 60.0
"""Seconds to wait for another one's sweep."""
_AGAIN = 0.05
_HINT = "say where with TAPWRIGHT_STATE, or remove it"


def state_folder(environment: Mapping[str, str] | None = None) -> Path:
    """``$TAPWRIGHT_STATE``, else root's ``/var/lib/tapwright``, else the user's below ``$XDG_STATE_HOME``."""
    environment = os.environ if environment is None else environment
    if told := environment.get("TAPWRIGHT_STATE"):
        return Path(told).absolute()
    if os.geteuid() == 0:
        return _SYSTEM
    home = environment.get("XDG_STATE_HOME") or str(Path(environment.get("HOME", "/nonexistent"), ".local/state"))
    return Path(home) / "tapwright"


def make(folder: Path) -> None:
    """Make `folder`, for us alone.  Raises PrivilegeError, CaptureError when there is no room."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise _refused(f"create {folder}", error) from None
    check(folder)


def check(path: Path) -> None:
    """Believe nothing that others may write: undoing what a journal says takes our privileges.

    Raises PrivilegeError where `path` is not ours alone, CaptureError where that cannot be told, FileNotFoundError.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _refused(f"look at {path}", error) from None
    if stat.S_ISLNK(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PrivilegeError(f"{path} is not a place that only we can write to", _HINT)


@contextmanager
def sweeping(folder: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the lock of whoever undoes what others began; False when another has it and we do not `wait`.

    Where there is no folder there is nothing to be locked.  Raises PrivilegeError, CaptureError where it cannot be,
    ProviderError where we waited too long.
    """
    descriptor = _opened(folder)
    if descriptor is None:
        yield True
        return
    try:
        yield _locked(folder, descriptor, wait=wait)
    finally:
        os.close(descriptor)


def _opened(folder: Path) -> int | None:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refused(f"open {folder}", error) from None


def _locked(folder: Path, descriptor: int, *, wait: bool) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not _taken(folder, descriptor):
        if not wait:
            return False
        if time.monotonic() > deadline:
            said = f"another tapwright has been undoing what was left behind for {PATIENCE:g} s"
            raise ProviderError(said, "does it hang, or was it stopped by Ctrl-Z? end it: it loses nothing")
        time.sleep(_AGAIN)
    return True


def _taken(folder: Path, descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise _refused(f"lock {folder}", error) from None
    return True


def _refused(what: str, error: OSError) -> PrivilegeError | CaptureError:
    if isinstance(error, PermissionError):
        return PrivilegeError(f"not allowed to {what}", "use sudo, or say where with TAPWRIGHT_STATE")
    return CaptureError(f"cannot {what}: {error.strerror}", "say where with TAPWRIGHT_STATE")
