"""Where a capture goes: names for files, and what `-w` may mean."""

from __future__ import annotations

import os
import re
import shlex
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from tapwright.capture.request import Output
from tapwright.errors import UsageError


class Target(StrEnum):
    """The kinds of output `-w` can name."""

    FILE = "file"
    FIFO = "fifo"
    STDOUT = "stdout"


@dataclass(frozen=True, slots=True)
class Destination:
    """A checked output: what it is and its path ("" for standard output)."""

    target: Target
    path: str


_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def default_name(vms: Sequence[str], now: datetime) -> str:
    """``web-1-20261123-093015.pcapng``; names of strangers keep only harmless characters."""
    stem = "+".join(_UNSAFE.sub("_", name).strip("._-") or "vm" for name in vms[:3])[:80]
    more = f"+{len(vms) - 3}more" if len(vms) > 3 else ""
    return f"{stem}{more}-{now:%Y%m%d-%H%M%S}.pcapng"


def destination(path: str, *, force: bool, ring: bool) -> Destination:
    """Check an output before anything starts.

    Raises UsageError when standard output is a terminal, the file exists (without `force`),
    is no regular file or FIFO, cannot be written, or its folder is not there, and when a ring is to go
    anywhere but to files.
    """
    if path == "-":
        if ring:
            raise _no_ring("standard output")
        if sys.stdout.isatty():
            raise UsageError(
                "standard output is a terminal, and packets would garble it",
                "pipe it (`-w - | wireshark -k -i -`) or name a file (`-w FILE`)",
            )
        return Destination(Target.STDOUT, "")
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        _check_folder(path)
        return Destination(Target.FILE, path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    return _existing(path, mode, force=force, ring=ring)


def _existing(path: str, mode: int, *, force: bool, ring: bool) -> Destination:
    if stat.S_ISFIFO(mode):
        if ring:
            raise _no_ring(f"the FIFO {path}")
        return Destination(Target.FIFO, path)
    if not stat.S_ISREG(mode):
        raise UsageError(f"{path} is neither a file nor a FIFO")
    if not force and not ring:
        raise UsageError(f"{path} exists already", "add --force to overwrite it, or choose another name")
    _check_writable(Path(path).parent if ring else Path(path))
    return Destination(Target.FILE, path)


def _no_ring(where: str) -> UsageError:
    return UsageError(f"a ring of files cannot go to {where}", "name a file with -w, or leave --ring out")


def _check_folder(path: str) -> None:
    folder = Path(path).parent
    if not folder.is_dir():
        raise _no_folder(folder)
    _check_writable(folder)


def _no_folder(folder: Path) -> UsageError:
    return UsageError(f"there is no folder {folder}", f"make it first: mkdir -p {shlex.quote(str(folder))}")


def _check_writable(place: Path) -> None:
    """Root is told that it may write to the kernel's folders, although no file can be kept there."""
    kernels = any(place.resolve().is_relative_to(folder) for folder in ("/proc", "/sys"))
    if kernels or not os.access(place, os.W_OK, effective_ids=True):
        raise UsageError(f"{place} cannot be written", "choose a place that can, such as a file in /var/tmp")


def owner(environment: Mapping[str, str] | None = None) -> tuple[int, int] | None:
    """The uid and gid of the person behind sudo, who wants to open the file without it; None otherwise."""
    environment = os.environ if environment is None else environment
    uid, gid = environment.get("SUDO_UID", ""), environment.get("SUDO_GID", "")
    if os.geteuid() != 0 or not uid.isdecimal() or not gid.isdecimal():
        return None
    return int(uid), int(gid)


def output(path: str, fd: int, *, overwrite: bool, ring: tuple[int, int] | None) -> Output:
    """What the engine is told of it: `path`, else `fd`, else batches; `ring` is (bytes a file, files kept)."""
    size, files = ring or (0, 0)
    return Output(
        path=path,
        fd=fd,
        batches=not path and fd < 0,
        overwrite=overwrite,
        ring_bytes=size,
        ring_files=files,
        utc_offset=time.localtime().tm_gmtoff,
        owner=owner() if path else None,
    )


def disk_of(path: str) -> tuple[int, int] | None:
    """Bytes free for us on the disk that holds `path`, and its size; None where that cannot be told."""
    try:
        found = os.statvfs(Path(path).parent)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def free_bytes(path: str) -> int:
    """Bytes free for us on the file system that will hold `path`.  Raises UsageError where its folder is not there."""
    try:
        found = os.statvfs(Path(path).parent)
    except OSError:
        raise _no_folder(Path(path).parent) from None
    return found.f_bavail * found.f_frsize
