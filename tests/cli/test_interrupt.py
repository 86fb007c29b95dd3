"""Ctrl-C while something is at work that takes no notice of it."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tapwright.cli.common import interruptible
from tapwright.errors import NotFound

BUSY = " or ".join(f"host 10.0.{i // 250}.{i % 250 + 1}" for i in range(640))
"""Keeps libpcap busy for half a minute."""

DEAF = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh")
"""As a script starts a job in the background."""


def test_a_result_and_an_error_come_through() -> None:
    assert interruptible(lambda: 7) == 7
    with pytest.raises(NotFound, match="nobody"):
        interruptible(lambda: (_ for _ in ()).throw(NotFound("nobody")))


def test_work_that_does_not_listen_is_left_behind() -> None:
    working, released = threading.Event(), threading.Event()

    def work() -> None:
        working.set()
        os.kill(os.getpid(), signal.SIGINT)
        released.wait(60)

    with pytest.raises(KeyboardInterrupt):
        interruptible(work)
    assert working.is_set()
    assert not released.is_set()
    released.set()


@pytest.mark.root
@pytest.mark.parametrize(("command", "shell"), [("capture", ()), ("plan", ()), ("plan", DEAF)])
def test_a_filter_of_hundreds_of_hosts_can_be_given_up(
    env: Mapping[str, str], tmp_path: Path, command: str, shell: tuple[str, ...]
) -> None:
    argv = [*shell, sys.executable, "-m", "tapwright", command, "web", "-f", BUSY, "-w", str(tmp_path / "x")]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    with subprocess.Popen(argv, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while _processor_time(process.pid) < 1.5:  # it needs a third of that to get to the filter
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, b"")
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 8, "libpcap went on to the end"
    assert not list(tmp_path.iterdir())


def _processor_time(pid: int) -> float:
    """Seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / os.sysconf("SC_CLK_TCK")
