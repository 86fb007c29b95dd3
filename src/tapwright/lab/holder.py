"""What keeps an ordinary user's labs alive between two commands.

The labs of root live in the machine's own ``/run``.  Those of an ordinary user live in a user
namespace, which would end with the command that made it; so one sleeping process per user
holds it, and every further command joins it.  It is known by its token, as a lab's processes
are, and ends with the user's last lab.
"""

from __future__ import annotations

import os
import socket
import sys
import time

from tapwright.adapters import command
from tapwright.errors import PrivilegeError, ProviderError
from tapwright.lab import processes, store
from tapwright.lab.userns import enter_userns, join_userns, privileged

_PATIENCE = 180.0
"""Seconds to wait for another `up` or `down` of the same user."""


class Reach:
    """The way to the labs of whoever calls: nothing to do for root, the holder's namespaces for others.

    Must be made before any thread is started.
    """

    def __init__(self, *, alone: bool = False, make: bool = False) -> None:
        """Join the holder, if one is needed; with `make` start it when there is none.

        `alone` keeps the user's other `up` and `down` waiting until `leave`.  Raises
        PrivilegeError where user namespaces are not allowed, ProviderError after a long wait.
        """
        self._token = "" if privileged() else f"holder-{os.getuid()}"
        self._lock = _lock() if self._token and alone else None
        found = processes.find(self._token) if self._token else []
        if self._token and make and not found:
            found = [_start(self._token)]
        self.possible = bool(found) or not self._token
        """Whether there can be any lab: False for a user who has no holder."""
        if found:
            join_userns(found[0])

    def leave(self) -> None:
        """Done; when no lab is left, the holder of an ordinary user ends."""
        if self._lock and self.possible and not store.names():
            processes.stop(self._token)
        if self._lock:
            self._lock.close()


def main() -> None:
    """Enter new namespaces and leave a sleeping process there that carries the token."""
    token = sys.argv[1]
    try:
        enter_userns()
    except PrivilegeError as error:
        sys.exit(f"{error.message}\n{error.hint}")
    if os.fork():
        while not processes.find(token):
            time.sleep(0.002)
        return
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(quiet, stream)
    os.chdir("/")
    command.become(["sleep", "infinity"], {"PATH": os.defpath, processes.TOKEN: token})


def _start(token: str) -> int:
    done = command.run([sys.executable, "-m", "tapwright.lab.holder", token], check=False)
    if not done.ok:
        message, _, hint = done.stderr.partition("\n")
        raise PrivilegeError(message or "the process that holds an ordinary user's labs did not start", hint.strip())
    return processes.find(token)[0]


def _lock() -> socket.socket:
    """A lock of this user that leaves no file: a name in the abstract socket space, free when we are gone."""
    deadline = time.monotonic() + _PATIENCE
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    while True:
        try:
            lock.bind(f"\0tapwright-lab-{os.getuid()}")
        except OSError:
            if time.monotonic() > deadline:
                lock.close()
                raise ProviderError("another tapwright lab command of yours is still running") from None
            time.sleep(0.02)
        else:
            return lock


if __name__ == "__main__":
    main()
