"""Root's powers for an ordinary user: a user namespace with networks and mounts of its own.

Inside, the caller is root over network namespaces it makes itself, ``/run`` is private (so
`ip netns` works), and everything vanishes with the last process.  Nothing outside changes.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from tapwright.errors import PrivilegeError

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_ALL = _CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWNS
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_REC_PRIVATE = _MS_REC | 0x40000
_CAP_NET_ADMIN, _CAP_SYS_ADMIN = 12, 21

_libc = ctypes.CDLL(None, use_errno=True)

_SWITCHES = (
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("user.max_user_namespaces", "0", "15000"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
)
"""(sysctl, the value that forbids user namespaces, one that allows them)"""


def privileged() -> bool:
    """Whether we may make network namespaces and mounts here: root, or root of our own user namespace."""
    capabilities = int(_status("CapEff"), 16)
    return os.geteuid() == 0 and all(capabilities >> bit & 1 for bit in (_CAP_NET_ADMIN, _CAP_SYS_ADMIN))


def enter_userns() -> None:
    """Move this process into new user, network and mount namespaces, as their root.

    Must be called before any thread is started.  Raises PrivilegeError saying which kernel
    setting forbids it and how to allow it.
    """
    uid, gid = os.geteuid(), os.getegid()
    try:
        _call("unshare", _ALL)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
        _call("mount", b"none", b"/", None, _MS_REC_PRIVATE, None)
        cover(Path("/run"))
    except OSError as error:
        raise refusal(error) from None


def join_userns(pid: int) -> None:
    """Move this process into the namespaces of a process that called `enter_userns`.

    Must be called before any thread is started.  Raises PrivilegeError when the kernel refuses.
    """
    here = Path.cwd()
    handle = os.pidfd_open(pid)
    try:
        _call("setns", handle, _ALL)
        os.chdir(here)
    except OSError as error:
        raise PrivilegeError(f"cannot join the namespaces of process {pid}: {error.strerror}") from None
    finally:
        os.close(handle)


def initial_userns() -> bool:
    """Whether this is the machine's own user namespace, where every user id exists."""
    return Path("/proc/self/uid_map").read_text().split()[2] == str(0xFFFFFFFF)


def cover(place: Path, keep: Path | None = None) -> None:
    """Lay an empty file system over `place`, `keep` below it showing through.  Raises OSError."""
    below = os.open(keep, os.O_PATH) if keep else -1
    _call("mount", b"tmpfs", bytes(place), b"tmpfs", 0, b"mode=0755")
    if keep:
        keep.mkdir(parents=True)
        bind(Path(f"/proc/self/fd/{below}"), keep)
        os.close(below)


def bind(source: Path, target: Path) -> None:
    """Make the directory `target` show `source`.  Raises OSError."""
    _call("mount", bytes(source), bytes(target), None, _MS_BIND | _MS_REC, None)


def unmount(place: Path) -> None:
    """Take away what is mounted at `place`.  Raises OSError when it is in use."""
    _call("umount", bytes(place))


def refusal(error: OSError) -> PrivilegeError:
    """Why an ordinary user is refused here, with every kernel setting that forbids it."""
    if error.errno == errno.EINVAL:
        return PrivilegeError("user namespaces must be entered before any thread is started")
    found = tuple(_forbidding())
    why = "; ".join(f"{name} is {value}" for name, value, _ in found) or _said(error)
    fix = "\n".join(f"sudo sysctl {name}={allowed}" for name, _, allowed in found)
    return PrivilegeError(
        f"a lab needs root, or user namespaces, which are not allowed here ({why})",
        f"run it with sudo{', or allow them:' if fix else ''}\n{fix}".strip(),
    )


def _said(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "as many as user.max_user_namespaces allows are in use"
    return f"the kernel says: {error.strerror}"


def _forbidding() -> Iterator[tuple[str, str, str]]:
    for name, forbidden, allowed in _SWITCHES:
        path = Path("/proc/sys", *name.split("."))
        if path.exists() and path.read_text().strip() == forbidden:
            yield name, forbidden, allowed


def _status(key: str) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{key}:"))


def _call(name: str, *arguments: int | bytes | None) -> None:
    if getattr(_libc, name)(*arguments):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
