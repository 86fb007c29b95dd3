"""One tapwright at a time changes a network namespace."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tapwright.errors import PrivilegeError, ProviderError
from tapwright.model import Netns

LOCKS = "/run/tapwright.lock"
"""Of the namespaces that are being changed; empty, and kept as other programs keep theirs there."""


@contextmanager
def alone(netns: Netns, patience: float = 20.0) -> Iterator[None]:
    """Keep other tapwrights from changing a namespace meanwhile; it ends with its holder.

    Raises ProviderError when the namespace is gone, and after `patience` seconds; PrivilegeError.
    """
    try:
        handle = os.open(netns.path or "/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        where = netns.name or netns.path
        raise PrivilegeError(f"entering network namespace {where} needs CAP_SYS_ADMIN", "run it with sudo") from None
    except OSError as error:
        raise ProviderError(f"network namespace {netns.name or netns.path}: {error.strerror}") from None
    try:
        with _lock(handle) as taken:
            deadline = time.monotonic() + patience
            while not taken():
                if time.monotonic() > deadline:
                    where = netns.name or netns.path or "this network namespace"
                    said = f"another tapwright has been changing {where} for {patience:g} s"
                    raise ProviderError(said, "does it hang?")
                time.sleep(0.01)
            yield
    finally:
        os.close(handle)


@contextmanager
def _lock(handle: int) -> Iterator[Callable[[], bool]]:
    """What takes the lock of the namespace that is open as `handle`, or says that another has it.

    Whoever lives in a namespace can open it, and keep a lock on it for ever. So it is the byte of its number in a file
    that only root opens; where no such file can be, as in a container of an ordinary user's, the namespace itself.
    """
    try:
        file = os.open(LOCKS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        yield lambda: _taken(fcntl.flock, handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    # struct flock, as 64-bit Linux has it: type, whence, start, length, pid
    byte = struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, os.fstat(handle).st_ino, 1, 0)
    try:
        yield lambda: _taken(fcntl.fcntl, file, fcntl.F_OFD_SETLK, byte)
    finally:
        os.close(file)


def _taken(take: Callable[..., object], *arguments: object) -> bool:
    try:
        take(*arguments)
    except BlockingIOError:
        return False
    return True
