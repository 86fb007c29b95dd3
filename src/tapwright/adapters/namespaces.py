"""Network namespaces of this machine: the ways into them, and the census of who lives where."""

from __future__ import annotations

import ctypes
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeVar

from tapwright.adapters.process import Process, running
from tapwright.model import Netns

T = TypeVar("T")

NAMED = "/run/netns"
"""Where ``ip netns`` keeps the namespaces that have a name."""

_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def inside(path: str, work: Callable[[], T]) -> T:
    """What `work` gives in the namespace at `path`, on a thread of its own: the caller never leaves its own namespace.

    Raises OSError as the kernel does, and whatever `work` raises.
    """
    done: list[T] = []
    failures: list[Exception] = []

    def enter() -> None:
        try:
            _enter(path)
            done.append(work())
        except Exception as error:  # raised again where it is waited for
            failures.append(error)

    thread = threading.Thread(target=enter, name=f"in {path}")
    thread.start()
    thread.join()
    for error in failures:
        raise error
    return done[0]


def _enter(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(handle, _NEWNET):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(handle)


@dataclass(frozen=True, slots=True)
class Census:
    """All namespaces worth a look, own one first, and the processes with a command line in them."""

    own: int
    namespaces: tuple[Netns, ...]
    processes: tuple[Process, ...]
    hidden: int = 0
    """Processes whose namespace the kernel would not tell us."""

    def residents(self) -> Mapping[int, list[Process]]:
        """The processes of each namespace, oldest pid first."""
        found: defaultdict[int, list[Process]] = defaultdict(list)
        for process in self.processes:
            found[process.netns].append(process)
        return found


def census(globs: Sequence[str] = ()) -> Census:
    """Find the namespaces of this machine.

    With `globs` only namespaces with a matching name, and our own; without, also those that
    have no name but a process, and processes whose namespace is hidden from us.
    """
    here = os.stat("/proc/self/ns/net")  # noqa: PTH116 - a thousand times faster than Path
    names = dict(_named(here.st_dev))
    processes = tuple(running())
    found = {here.st_ino: Netns(here.st_ino, "", names.get(here.st_ino, ""))}
    for inode, name in sorted(names.items(), key=lambda item: item[1]):
        if not globs or any(fnmatchcase(name, glob) for glob in globs):
            found.setdefault(inode, Netns(inode, f"{NAMED}/{name}", name))
    for process in () if globs else processes:
        if process.netns not in found and process.netns and process.netns not in names:
            found[process.netns] = Netns(process.netns, f"/proc/{process.pid}/ns/net")
    # Process 1 is hidden from most containers and lives where the machine's own network is.
    hidden = sum(not process.netns and process.pid != 1 for process in processes)
    inside = processes if not globs else tuple(process for process in processes if process.netns in found)
    return Census(here.st_ino, tuple(found.values()), inside, hidden)


def _named(nsfs: int) -> Iterator[tuple[int, str]]:
    """(inode, name), last name first so that the first one stays when a namespace has several."""
    for name in sorted(_names(), reverse=True):
        try:
            found = os.stat(f"{NAMED}/{name}")  # noqa: PTH116
        except OSError:
            continue
        # A name left behind by a reboot or a race is an empty file of another file system.
        if found.st_dev == nsfs and _is_text(name):
            yield found.st_ino, name


def _is_text(name: str) -> bool:
    """Whether it can be shown and written to a file; the namespace of another name counts as one without."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _names() -> list[str]:
    try:
        return os.listdir(NAMED)  # noqa: PTH208
    except OSError:
        return []
