"""Other processes of this machine: where one lives, what it is called, what it listens on.

Facts of /proc, read without a library.  Numbers are as this process sees them (its own
pid namespace).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from tapwright.model import Netns

_CAP_NET_ADMIN = 1 << 12
_LISTENS = 0x10000
"""SO_ACCEPTCON of include/uapi/linux/net.h, in the flags of /proc/net/unix"""


def own_netns() -> int:
    """Inode of the network namespace tapwright runs in."""
    return Path("/proc/self/ns/net").stat().st_ino


def netns_of(pid: int) -> Netns | None:
    """The network namespace of process `pid` and the way into it; None when it is gone or hidden from us."""
    path = f"/proc/{pid}/ns/net"
    try:
        inode = os.stat(path).st_ino  # noqa: PTH116
    except OSError:
        return None
    return Netns(inode, "" if inode == own_netns() else path)


def command_name(pid: int) -> str:
    """The kernel's short name of process `pid` (``ovs-vswitchd``, 15 characters at most), "" when it is gone."""
    try:
        with open(f"/proc/{pid}/comm", "rb", buffering=0) as file:  # noqa: PTH123
            return file.read().rstrip(b"\n").decode(errors="replace")
    except OSError:
        return ""


def pid_from_file(path: Path) -> int:
    """The process id a daemon wrote into its pid file, 0 when there is none."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def called(name: str) -> Iterator[int]:
    """Pids of the processes with that short name."""
    for entry in os.listdir("/proc"):  # noqa: PTH208 - a tenth of the time Path takes, for thousands of processes
        if entry.isdecimal() and command_name(int(entry)) == name:
            yield int(entry)


def trusted(name: str) -> Iterator[int]:
    """Pids of the processes with that short name that may be believed to be what they are called.

    Anybody may call a process as they like, a tenant in a container too, and wait for whom it
    attracts.  Believed are those with CAP_NET_ADMIN in our own user namespace: whoever has
    that could change this host's network anyway.
    """
    own = _user_namespace("self")
    return (pid for pid in called(name) if _user_namespace(pid) == own and _may_change_networks(pid))


def _user_namespace(pid: int | str) -> int:
    try:
        return os.stat(f"/proc/{pid}/ns/user").st_ino  # noqa: PTH116
    except OSError:
        return 0


def _may_change_networks(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return False
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) & _CAP_NET_ADMIN)


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
