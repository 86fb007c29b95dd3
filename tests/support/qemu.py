"""QEMU processes that hold taps and never run a guest."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import short_folder

_WITH_A_TAP = """
import fcntl, os, struct, sys
name, *argv = sys.argv[1:]
fd = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x0002 | 0x1000 | 0x4000))
os.set_inheritable(fd, True)
os.execvp(argv[0], [argument.replace("@FD", str(fd)) for argument in argv])
"""
"""Attach a tap and pass its descriptor on, as libvirt does: the command line then names no device."""


@contextmanager
def halted_qemu(netns: str, *arguments: str, tap: str = "") -> Iterator[int]:
    """A QEMU in `netns`, stopped before the first instruction; its pid, once it has all its devices.

    With `tap` that one is opened for it, and ``@FD`` in the arguments stands for the descriptor.
    """
    with short_folder() as folder:
        pidfile = folder / "pid"
        launcher = [sys.executable, "-c", _WITH_A_TAP, tap] if tap else []
        machine = ["-S", "-display", "none", "-nodefaults", "-machine", "pc", "-accel", "tcg", "-m", "8"]
        argv = ["qemu-system-x86_64", *machine, "-daemonize", "-pidfile", str(pidfile), *arguments]
        done = subprocess.run(
            ["ip", "netns", "exec", netns, *launcher, *argv], check=False, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        pid = int(pidfile.read_text())
        try:
            yield pid
        finally:
            _end(pid)


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}/exe").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
