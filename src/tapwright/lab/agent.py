"""Running a command inside a QEMU guest, over its virtio-serial port.

The guest's init (guest-init.sh) has the other end.  One command at a time; when we hang up,
the guest ends it.
"""

from __future__ import annotations

import base64
import fcntl
import re
import secrets
import shlex
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tapwright.errors import ProviderError


class Conversation:
    """One command in a guest: iterate for its output (stdout and stderr together), then read `code`."""

    def __init__(self, sock: socket.socket, argv: Sequence[str], timeout: float | None) -> None:
        self.code = -1
        self._socket = sock
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._mark = secrets.token_hex(8).encode()
        sock.sendall(self._mark + b" " + base64.b64encode(shlex.join(argv).encode()) + b"\n")

    def __iter__(self) -> Iterator[bytes]:
        held = self._after(self._mark + b":begin\n")
        start = b"\0" + self._mark + b":"
        end = re.compile(re.escape(start) + rb"(\d+)\n")
        while not (found := end.search(held)):
            # everything goes out at once, but for what may be the beginning of the end
            last = held.rfind(b"\0")
            keep = last if last >= 0 and start.startswith(held[last:][: len(start)]) else len(held)
            if keep:
                yield held[:keep]
            held = held[keep:] + self._receive()
        if found.start():
            yield held[: found.start()]
        self.code = int(found[1])

    def _after(self, begin: bytes) -> bytes:
        """What comes behind `begin`; before it may be the rest of a command that was hung up on."""
        held = b""
        while begin not in held:
            held = held[-len(begin) :] + self._receive()
        return held.partition(begin)[2]

    def _receive(self) -> bytes:
        if self._deadline is not None:
            self._socket.settimeout(max(self._deadline - time.monotonic(), 0.001))
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            raise ProviderError("the guest gave no answer in time") from None
        if not data:
            raise ProviderError("the guest is gone")
        return data


@contextmanager
def converse(path: Path, argv: Sequence[str], timeout: float | None) -> Iterator[Conversation]:
    """Start a command in the guest whose port is at `path`; `timeout` in seconds covers all of it.

    Waits for another command in the same guest to end.  Raises ProviderError.
    """
    try:
        with path.with_suffix(".console").open("rb") as turn, socket.socket(socket.AF_UNIX) as sock:
            fcntl.flock(turn, fcntl.LOCK_EX)
            sock.connect(str(path))
            yield Conversation(sock, argv, timeout)
    except OSError as error:
        raise ProviderError(f"the guest cannot be reached: {error.strerror}") from None
