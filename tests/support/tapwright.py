"""The command line as a person runs it: its own process, in a lab and nothing else in sight."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def data(self):
        return json.loads(self.out)


def tapwright(*arguments: str, env: Mapping[str, str], wrapper: tuple[str, ...] = ()) -> Answer:
    """Run ``tapwright ARGUMENTS`` to its end."""
    argv = [*wrapper, sys.executable, "-m", "tapwright", *arguments]
    done = subprocess.run(argv, env={**os.environ, **env}, check=False, capture_output=True, text=True, timeout=60)
    return Answer(done.returncode, done.stdout, done.stderr)


@contextmanager
def capturing(
    *arguments: str, env: Mapping[str, str], stdout=subprocess.PIPE, stderr=subprocess.PIPE
) -> Iterator[subprocess.Popen]:
    """A running ``tapwright capture ARGUMENTS``; killed at the end when it still runs."""
    with running_command("capture", *arguments, env=env, stdout=stdout, stderr=stderr) as running:
        yield running


@contextmanager
def running_command(
    *arguments: str,
    env: Mapping[str, str],
    wrapper: tuple[str, ...] = (),
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
) -> Iterator[subprocess.Popen]:
    """A running ``tapwright ARGUMENTS``; killed at the end when it still runs."""
    argv = [*wrapper, sys.executable, "-m", "tapwright", *arguments]
    with subprocess.Popen(argv, env={**os.environ, **env}, stdout=stdout, stderr=stderr) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                running.kill()


def grown(path: Path, size: int = 4000) -> None:
    """Wait until more than `size` bytes are in the file."""
    end = time.monotonic() + 30
    while not (path.exists() and path.stat().st_size > size):
        assert time.monotonic() < end, "nothing was captured"
        time.sleep(0.02)
