"""The processes of a lab are found, whatever moment of their life they are in."""

import os
import subprocess
import sys
import uuid

import pytest

from tapwright.lab import processes

BUSY = "while True: open('/proc/self/stat').read()"
"""Has the kernel do something, so that a program that is being loaded waits."""


def test_a_process_whose_program_is_still_being_loaded_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever starts it goes on before its environment can be read, and may be killed there."""
    load = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(2 * (os.cpu_count() or 1))]
    token, missed = uuid.uuid4().hex, 0
    try:
        for _ in range(200):
            with subprocess.Popen(["sleep", "60"], env=processes.environment(token)) as started:
                # to look at others first would give it the time
                monkeypatch.setattr(processes, "_pids", lambda pid=started.pid: iter([pid]))
                missed += started.pid not in processes.find(token)
                started.kill()
    finally:
        for each in load:
            each.kill()
            each.wait()
    assert missed == 0
