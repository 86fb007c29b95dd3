"""Processes of this machine: where one lives, what it is called, what it may, what it listens on.

Facts of /proc, read without a library.  Numbers are as this process sees them (its own
pid namespace).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tapwright.model import Netns

_LONGEST = 256 << 10
"""Bytes of a command line: whoever lives in a container can have many processes with megabytes of it."""
_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_BPF": 39}
"""include/uapi/linux/capability.h"""
_LISTENS = 0x10000
"""SO_ACCEPTCON of include/uapi/linux/net.h, in the flags of /proc/net/unix"""


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


def own_netns() -> int:
    """Inode of the network namespace tapwright runs in."""
    return Path("/proc/self/ns/net").stat().st_ino


def netns_of(pid: int) -> Netns | None:
    """The network namespace of process `pid` and the way into it; None when it is gone or hidden from us."""
    path = f"/proc/{pid}/ns/net"
    inode = _inode(path)
    return Netns(inode, "" if inode == own_netns() else path) if inode else None


def command_name(pid: int) -> str:
    """The kernel's short name of process `pid` (``ovs-vswitchd``, 15 characters at most), "" when it is gone."""
    try:
        with open(f"/proc/{pid}/comm", "rb", buffering=0) as file:  # noqa: PTH123
            return file.read().rstrip(b"\n").decode(errors="replace")
    except OSError:
        return ""


def arguments(pid: int) -> tuple[str, ...]:
    """The command line of a process, cut at 256 KiB; empty for kernel threads and those that are gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb", buffering=0) as file:  # noqa: PTH123
            text = file.read(_LONGEST)
    except OSError:
        return ()
    return tuple(part.decode(errors="replace") for part in text.rstrip(b"\0").split(b"\0")) if text else ()


def pid_from_file(path: Path) -> int:
    """The process id a daemon wrote into its pid file, 0 when there is none."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def running() -> Iterator[Process]:
    """Every process that is not a kernel thread, in order of pid."""
    for pid in sorted(_pids()):
        if argv := arguments(pid):
            yield Process(pid, _inode(f"/proc/{pid}/ns/net"), argv)


def called(name: str) -> Iterator[int]:
    """Pids of the processes with that short name."""
    return (pid for pid in _pids() if command_name(pid) == name)


def _pids() -> list[int]:
    # A tenth of the time Path takes, for thousands of processes.
    return [int(entry) for entry in os.listdir("/proc") if entry.isdecimal()]  # noqa: PTH208


def trusted(name: str) -> Iterator[int]:
    """Pids of the processes with that short name that may be believed to be what they are called.

    Anybody may call a process as they like, a tenant in a container too, and wait for whom it
    attracts.  Believed are those with CAP_NET_ADMIN in our own user namespace: whoever has
    that could change this host's network anyway.
    """
    own = _inode("/proc/self/ns/user")
    return (
        pid for pid in called(name) if _inode(f"/proc/{pid}/ns/user") == own and "CAP_NET_ADMIN" in capabilities(pid)
    )


def _inode(path: str) -> int:
    """0 when it is gone or hidden from us."""
    try:
        return os.stat(path).st_ino  # noqa: PTH116
    except OSError:
        return 0


def capabilities(pid: int | str = "self") -> frozenset[str]:
    """Those of the capabilities that any verb could need which are in effect for a process; none when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return frozenset()
    effective = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")), 0)
    return frozenset(name for name, bit in _CAPABILITIES.items() if effective >> bit & 1)


def listening(pid: int) -> Iterator[str]:
    """Paths of the unix sockets that are listened on in the network namespace of process `pid`, as that sees them."""
    try:
        lines = Path(f"/proc/{pid}/net/unix").read_text(errors="replace").splitlines()[1:]
    except OSError:
        return
    for line in lines:
        fields = line.split(None, 7)
        if len(fields) == 8 and int(fields[3], 16) & _LISTENS and fields[7].startswith("/"):
            yield fields[7]


def reach(pid: int, path: str) -> str:
    """The path by which we reach the socket that process `pid` knows as `path`; "" when there is none.

    The same path unless that process has a file system of its own, as one in a container has.
    """
    inside = f"/proc/{pid}/root{path}"
    try:
        theirs = os.stat(inside)  # noqa: PTH116
    except PermissionError:
        return path if is_socket(path) else ""
    except OSError:
        return ""
    if is_socket(path) and os.path.samestat(theirs, os.stat(path)):  # noqa: PTH116
        return path
    return inside if stat.S_ISSOCK(theirs.st_mode) else ""


def is_socket(path: str) -> bool:
    """Whether there is a socket at `path`."""
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)  # noqa: PTH116
    except OSError:
        return False
