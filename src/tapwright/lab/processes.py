"""The processes of a lab, known by a token in their environment, or by the namespace they live in.

The token is on record before the first process starts, and each process inherits it, so there
is no instant in which one is running and nobody knows.  The namespaces catch those that were
given a clean environment (by libvirt) or were moved in by hand.  Signals go through a pidfd
that was checked after it was opened: a reused pid is never hit.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from tapwright.adapters.command import search_path
from tapwright.errors import ProviderError
from tapwright.lab.plan import NETNS_FOLDER

TOKEN = "TAPWRIGHT_LAB_TOKEN"  # noqa: S105 - a mark, not a secret
_GRACE = 3.0
_LOADING = 0.5
"""Seconds that a program may take to be loaded; one that took its arguments away itself costs as much."""


def environment(token: str) -> dict[str, str]:
    """Our environment with the lab's token in it, and a PATH that finds network programs."""
    return {**os.environ, "PATH": search_path(os.environ), TOKEN: token}


def find(token: str, namespaces: Iterable[str] = ()) -> list[int]:
    """The pids of every process of the lab, ourselves excepted."""
    inodes = _inodes(namespaces)
    return [pid for pid in _pids() if _belongs(pid, token, inodes)]


def stop(token: str, namespaces: Iterable[str] = ()) -> None:
    """End every process of the lab: asked first, killed after 3 s.  Raises ProviderError if one will not die."""
    inodes = _inodes(namespaces)
    _signal(token, inodes, signal.SIGTERM)
    for _ in range(20):  # a process that was forking while we looked is found the next time
        if not _signal(token, inodes, signal.SIGKILL):
            return
    raise ProviderError(f"processes {find(token, namespaces)} of the lab do not end", "see: dmesg")


def started_at(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError):
        return 0


def arguments(pid: int) -> bytes:
    """A process's command line as the kernel keeps it, each argument ended by a NUL; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def alive(pid: int, started: int) -> bool:
    """Whether the very process that had this pid and start time still runs."""
    return started != 0 and started_at(pid) == started


def _pids() -> Iterator[int]:
    return (int(e.name) for e in os.scandir("/proc") if e.name.isdecimal() and int(e.name) != os.getpid())


def _belongs(pid: int, token: str, inodes: frozenset[int]) -> bool:
    return inode(f"/proc/{pid}/ns/net") in inodes or _carries(pid, token)


def _carries(pid: int, token: str) -> bool:
    return f"{TOKEN}={token}".encode() in _variables(pid).split(b"\0")


def _variables(pid: int) -> bytes:
    """Its environment as the kernel keeps it; empty when it is gone.

    A process has none for a moment while its program is loaded, which on a busy machine takes some milliseconds: who
    starts it goes on before that, and may be killed there. It is waited for.
    """
    deadline = time.monotonic() + _LOADING
    loading = True
    while True:
        try:
            found = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return b""
        if found or not loading or not _has_program(pid) or time.monotonic() > deadline:
            return found
        loading = not arguments(pid)  # which come just before it; so it is read once more
        time.sleep(0.001)


def _has_program(pid: int) -> bool:
    """Not so a kernel's thread, of which a host has hundreds, nor a dead process."""
    try:
        return bool(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return False


def _inodes(namespaces: Iterable[str]) -> frozenset[int]:
    return frozenset(inode(f"{NETNS_FOLDER}/{name}") for name in namespaces) - {0}


def inode(path: str) -> int:
    """What tells one namespace from another; 0 when nothing is there."""
    try:
        return Path(path).stat().st_ino
    except OSError:
        return 0


def _signal(token: str, inodes: frozenset[int], number: int) -> bool:
    """Send a signal to all of them and wait up to 3 s for their end; False when there were none."""
    with ExitStack() as stack:
        waiting = select.poll()
        left = 0
        for pid in _pids():
            if not _belongs(pid, token, inodes):
                continue
            with suppress(ProcessLookupError):
                handle = os.pidfd_open(pid)
                stack.callback(os.close, handle)
                if _belongs(pid, token, inodes):
                    signal.pidfd_send_signal(handle, number)
                    waiting.register(handle, select.POLLIN)
                    left += 1
        _await(waiting, left)
    return left > 0


def _await(waiting: select.poll, left: int) -> None:
    deadline = time.monotonic() + _GRACE
    while left and (rest := deadline - time.monotonic()) > 0:
        for handle, _ in waiting.poll(rest * 1000):
            waiting.unregister(handle)
            left -= 1
