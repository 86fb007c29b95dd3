"""What this kernel can do, found out without changing it.

Read first: the kernel's configuration, the modules it has and those it could load.  Then tried,
in a network namespace that vanishes with the process that made it, but only what cannot make the
kernel load a module on the way: that would be a change of the host.
"""

from __future__ import annotations

import gzip
import os
import re
import socket
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tapwright.adapters import command
from tapwright.errors import TapwrightError

_SET = re.compile(r"^CONFIG_(\w+)=([ym])$", re.MULTILINE)
_FAILED = re.compile(r"Command failed -:(\d+)")
_SOL_PACKET, _PACKET_VERSION, _TPACKET_V3 = 263, 10, 2


@dataclass(frozen=True, slots=True)
class Kernel:
    """What the kernel's own files say."""

    release: str = ""
    config: Mapping[str, str] | None = None
    """``VXLAN`` -> ``y`` or ``m``; None where the kernel's configuration cannot be read."""
    present: frozenset[str] = frozenset()
    """Modules that are loaded or built in."""
    installed: frozenset[str] = frozenset()
    """Modules that could be loaded."""
    loads: bool = True
    """Whether it loads modules at all."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One line for ``ip`` or ``tc`` that works where the kernel has the thing."""

    name: str
    program: str
    line: str


def read(root: str = "/") -> Kernel:
    """What the files below `root` say; nothing where they do not."""
    base, release = Path(root), os.uname().release
    modules = base / "lib/modules" / release
    present = {_module(path) for path in _lines(modules / "modules.builtin")} | set(_listing(base / "sys/module"))
    installed = {_module(line.partition(":")[0]) for line in _lines(modules / "modules.dep")}
    disabled = _text(base / "proc/sys/kernel/modules_disabled").strip() == "1"
    loads = (base / "proc/modules").exists() and not disabled
    return Kernel(release, _config(base, release), frozenset(present), frozenset(installed), loads)


def _module(path: str) -> str:
    """As the kernel calls it: ``kernel/net/sched/cls-bpf.ko.xz`` is ``cls_bpf``."""
    return path.rpartition("/")[2].partition(".")[0].replace("-", "_")


def _config(base: Path, release: str) -> Mapping[str, str] | None:
    try:
        text = gzip.decompress((base / "proc/config.gz").read_bytes()).decode(errors="replace")
    except (OSError, EOFError, zlib.error):
        text = _text(base / f"boot/config-{release}")
    return dict(_SET.findall(text)) if text else None


def tried(trials: Sequence[Trial], *, privileged: bool) -> Mapping[str, str]:
    """By name "" for each trial that worked, else what the kernel said; those that could not be tried are left out.

    Without privileges the namespace needs a user namespace around it, which not every host allows.
    """
    way = ["unshare", "--net"] if privileged else ["unshare", "--user", "--map-root-user", "--net"]
    found: dict[str, str] = {}
    for program in dict.fromkeys(trial.program for trial in trials):
        mine = [trial for trial in trials if trial.program == program]
        try:
            done = command.run(
                [*way, program, "-force", "-batch", "-"], stdin="".join(f"{t.line}\n" for t in mine), check=False
            )
        except TapwrightError:
            continue
        failures = dict(_failures(done.stderr))
        if done.ok or failures:
            found |= {trial.name: failures.get(number, "") for number, trial in enumerate(mine, start=1)}
    return found


def _failures(said: str) -> Iterator[tuple[int, str]]:
    """Numbers of the lines that failed and what was said about them."""
    before: list[str] = []
    for line in said.splitlines():
        if failed := _FAILED.search(line):
            yield int(failed[1]), " ".join(before) or "refused"
            before = []
        elif not line.startswith("We have an error"):
            before.append(line.strip())


def packet_ring() -> str:
    """Why no packet socket can have a ring of version 3, "" where it can; the socket hears nothing.

    Raises PermissionError where we may not make one.
    """
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as tried_on:
            tried_on.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V3)
    except PermissionError:
        raise
    except OSError as error:
        return error.strerror or str(error)
    return ""


def pressure() -> str:
    """Why the kernel does not say how hard pressed the host is, "" where it does (Documentation/accounting/psi.rst)."""
    try:
        return "" if Path("/proc/pressure/cpu").read_text().startswith("some") else "it says nothing"
    except OSError as error:
        return error.strerror or str(error)


def _lines(path: Path) -> Iterable[str]:
    return _text(path).splitlines()


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _listing(path: Path) -> Iterable[str]:
    try:
        return os.listdir(path)  # noqa: PTH208
    except OSError:
        return ()
