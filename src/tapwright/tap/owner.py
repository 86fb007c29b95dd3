"""Who owns a session, as text that outlives it: ``PID.START.BOOT.HOST.PIDNS``.

START is the process's start time in clock ticks since boot, so a reused pid is not mistaken for
it; BOOT the first 8 digits of the boot id; HOST 8 digits made of machine id and host name, since a
switch's or OVN's database may be shared by hosts; PIDNS the inode of the pid namespace, since from
another one the pid means somebody else.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from tapwright.adapters.process import capabilities
from tapwright.tap.session import Fate

_PARTS = 5
_INITIAL = {"pid": 0xEFFFFFFC, "user": 0xEFFFFFFD}
"""The namespaces that a kernel begins with (linux/nsfs.h)."""
_ENDED = frozenset("ZX")
"""States of a process that is dead and only waits for its parent to notice."""


def own() -> str:
    """This process."""
    return f"{os.getpid()}.{_started(os.getpid())}.{_here()}"


def pid(owner: str) -> int:
    """The owner's process id, 0 where `owner` is none of ours."""
    parts = _parsed(owner)
    return int(parts[0]) if parts else 0


def fate(owner: str) -> Fate:
    """What became of `owner`; UNKNOWN where that cannot be told from here."""
    parts = _parsed(owner)
    if parts is None:
        return Fate.UNKNOWN
    boot, host, namespace = _here().split(".")
    if parts[3] != host:
        return Fate.UNKNOWN
    if parts[2] != boot:
        return Fate.REBOOTED
    return _fate_here(int(parts[0]), int(parts[1])) if parts[4] == namespace else Fate.UNKNOWN


def uptime() -> tuple[str, float]:
    """This boot, and seconds of it: a clock that nobody sets and that goes on while the host sleeps."""
    return _here().split(".")[0], time.clock_gettime(time.CLOCK_BOOTTIME)


def gone_beside(owners: Collection[str]) -> frozenset[str]:
    """Those of `owners`, which are of this kernel, whose container or process is gone; none unless all can be seen."""
    boot, seen = _here().split(".")[0], {owner: parts for owner in owners if (parts := _parsed(owner))}
    wanted = {owner: (parts[4], int(parts[0])) for owner, parts in seen.items() if parts[2] == boot}
    if not wanted or not _sees_all():
        return frozenset()
    try:
        living = set(_living({namespace for namespace, _ in wanted.values()}))
    except PermissionError:
        return frozenset()
    return frozenset(owner for owner, where in wanted.items() if where not in living)


def _sees_all() -> bool:
    """Whether this is no container, and we may look at everybody in any."""
    try:
        initial = all(Path(f"/proc/self/ns/{kind}").stat().st_ino == inode for kind, inode in _INITIAL.items())
    except OSError:  # a kernel without such namespaces
        return False
    return initial and "CAP_SYS_PTRACE" in capabilities()


def _living(wanted: Collection[str]) -> Iterator[tuple[str, int]]:
    """The processes of these pid namespaces, each with its pid there.  Raises PermissionError."""
    # Process 1 is hidden from many, and no tapwright.
    for number in set(filter(str.isdecimal, os.listdir("/proc"))) - {"1"}:  # noqa: PTH208
        with suppress(FileNotFoundError, ProcessLookupError):
            namespace = str(os.stat(f"/proc/{number}/ns/pid").st_ino)  # noqa: PTH116
            if namespace in wanted and _started(int(number)):
                status = Path(f"/proc/{number}/status").read_text(errors="replace").splitlines()
                yield from ((namespace, int(line.split()[-1])) for line in status if line.startswith("NSpid:"))


def alive(owner: str) -> bool:
    """Whether it is known to run: same boot, and a process of that pid and start time."""
    return fate(owner) is Fate.ALIVE


def _fate_here(number: int, start: int) -> Fate:
    found = _started(number)
    if found:
        return Fate.ALIVE if found == start else Fate.DEAD
    with suppress(ProcessLookupError, OverflowError):
        try:
            os.kill(number, 0)
        except PermissionError:  # /proc is mounted so that other people's processes are hidden
            return Fate.UNKNOWN
    return Fate.DEAD


def _parsed(owner: str) -> tuple[str, ...] | None:
    parts = tuple(owner.split("."))
    numbers = parts[:2]
    if len(parts) != _PARTS or not all(n.isascii() and n.isdecimal() and len(n) < 20 and int(n) for n in numbers):
        return None
    return parts


def _started(number: int) -> int:
    """When a process started, in clock ticks since boot; 0 when it is gone or only waits for its parent."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return 0 if fields[0] in _ENDED else int(fields[19])
    except (OSError, IndexError, ValueError):
        return 0


@cache
def _here() -> str:
    boot = _text("/proc/sys/kernel/random/boot_id").replace("-", "")[:8]
    host = hashlib.sha256(f"{_text('/etc/machine-id')} {os.uname().nodename}".encode()).hexdigest()[:8]
    return f"{boot}.{host}.{Path('/proc/self/ns/pid').stat().st_ino}"


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
