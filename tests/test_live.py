"""Live into Wireshark without an extcap: a pipe and a FIFO, read by the real tshark."""

import os
import shutil
import subprocess
import sys

import pytest

from tapwright.lab import Lab

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed"),
]
FIELDS = ["-l", "-T", "fields", "-e", "frame.interface_name", "-e", "tcp.port"]


@pytest.fixture(scope="module")
def env():
    with Lab.up("bridge", f"lv{os.getpid()}", traffic=True) as lab:
        yield {**os.environ, **lab.environment()}


def capture(env, *arguments, **streams):
    argv = [sys.executable, "-m", "tapwright", "capture", "web", "-f", "tcp port 5432", *arguments]
    return subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, **streams)


def judged(packets):
    lines = packets.splitlines()
    assert len(lines) == 10
    assert all(line.startswith("web/eth0\t") and "5432" in line for line in lines)


def test_a_pipe_into_tshark_that_has_enough_after_ten(env):
    source = capture(env, "-w", "-", stdout=subprocess.PIPE)
    reader = subprocess.run(
        ["tshark", "-i", "-", "-c", "10", *FIELDS], stdin=source.stdout, check=True, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    source.stdout.close()
    judged(reader.stdout)
    _, said = source.communicate(timeout=30)
    assert b"Traceback" not in said


def test_a_fifo_that_tshark_reads(env, tmp_path):
    fifo = tmp_path / "web.fifo"
    os.mkfifo(fifo)
    source = capture(env, "-w", str(fifo), "-c", "10")
    reader = subprocess.run(["tshark", "-i", fifo, *FIELDS], check=False, capture_output=True, text=True, timeout=60)
    judged(reader.stdout)
    _, said = source.communicate(timeout=30)
    assert source.returncode == 0, said
