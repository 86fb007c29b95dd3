"""Programs that run beside the tests, one after the other: by the time a test asks for its own, that has ended.

For what lives in namespaces of its own, where it neither sees other tests nor is seen by them, and mostly waits.
"""

import os
import signal
import subprocess
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

Done = subprocess.CompletedProcess[str]


class Aside:
    """Runs these commands; whatever still runs when it is closed is ended with all that it started."""

    def __init__(self, commands: Mapping[Hashable, Sequence[str]]) -> None:
        self._running: subprocess.Popen[str] | None = None
        self._closed = False
        self._pool = ThreadPoolExecutor(1)
        self._found = {name: self._pool.submit(self._run, argv) for name, argv in commands.items()}
        # Its thread ends with the last one: tests that fork come later, and want to be alone.
        self._pool.shutdown(wait=False)

    def result(self, name: Hashable, timeout: float) -> Done:
        """How that one ended and what it said."""
        return self._found[name].result(timeout)

    def close(self) -> None:
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        if running := self._running:
            for pid in (*_beside(running.pid), running.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._pool.shutdown()

    def _run(self, argv: Sequence[str]) -> Done:
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            self._running = running
            if self._closed:
                running.kill()
            out, err = running.communicate()
            self._running = None
        return Done(argv, running.returncode, out, err)


def _beside(pid: int) -> list[int]:
    """The other processes of its user namespace, where that is not ours."""
    theirs = _userns(str(pid))
    if theirs in (0, _userns("self")):
        return []
    found = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [other for other in found if other != pid and _userns(str(other)) == theirs]


def _userns(process: str) -> int:
    try:
        return Path(f"/proc/{process}/ns/user").stat().st_ino
    except OSError:
        return 0
