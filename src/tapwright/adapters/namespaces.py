"""Network namespaces of this machine, the ways into them and the processes that live there."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeVar

from tapwright.errors import PrivilegeError, ProviderError
from tapwright.model import Netns

T = TypeVar("T")

NAMED = "/run/netns"
"""Where ``ip netns`` keeps the namespaces that have a name."""
LOCKS = "/run/tapwright.lock"
"""Of the namespaces that are being changed; empty, and kept as other programs keep theirs there."""

_NEWNET = 0x40000000
_LONGEST = 256 << 10
"""Bytes of a command line: whoever lives in a container can have many processes with megabytes of it."""
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
class Process:
    """A running program, as far as anybody may see it."""

    pid: int
    netns: int
    """Inode of its network namespace; 0 when that is hidden from us."""
    argv: tuple[str, ...]

    @property
    def program(self) -> str:
        """Name of the program without its folder."""
        return self.argv[0].rpartition("/")[2]


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
    here = os.stat("/proc/self/ns/net")  # noqa: PTH116 - a thousand times faster than Path, see below
    names = dict(_named(here.st_dev))
    processes = tuple(_processes())
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


def _named(nsfs: int) -> Iterator[tuple[int, str]]:
    """(inode, name), last name first so that the first one stays when a namespace has several."""
    for name in sorted(_listing(NAMED), reverse=True):
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


def _processes() -> Iterator[Process]:
    """Every process that is not a kernel thread, in order of pid."""
    for pid in sorted(int(name) for name in _listing("/proc") if name.isdecimal()):
        if argv := arguments(pid):
            yield Process(pid, _netns_of(pid), argv)


def _netns_of(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino  # noqa: PTH116
    except OSError:
        return 0


def arguments(pid: int) -> tuple[str, ...]:
    """The command line of a process, cut at 256 KiB; empty for kernel threads and those that are gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb", buffering=0) as file:  # noqa: PTH123
            text = file.read(_LONGEST)
    except OSError:
        return ()
    return tuple(part.decode(errors="replace") for part in text.rstrip(b"\0").split(b"\0")) if text else ()


def _listing(folder: str) -> Iterable[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208
    except OSError:
        return ()


_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_BPF": 39}
"""include/uapi/linux/capability.h"""


def capabilities() -> frozenset[str]:
    """Those of the capabilities that any verb could need which are in effect for this process."""
    with open("/proc/self/status") as status:  # noqa: PTH123
        effective = next((int(line.split()[1], 16) for line in status if line.startswith("CapEff:")), 0)
    return frozenset(name for name, bit in _CAPABILITIES.items() if effective >> bit & 1)
