"""The control socket of ovs-vswitchd: what ``ovs-appctl`` speaks, JSON-RPC over a unix socket.

Open vSwitch has things to say and to do that its database does not know: throwing away flows
that were computed before a mirror was there, for one.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tapwright.adapters.ovsdb import DEFAULT_REMOTE, ask, connect, reachable, socket_path
from tapwright.adapters.process import arguments, is_socket, listening, pid_from_file, reach, trusted
from tapwright.errors import ProviderError

TIMEOUT = 5.0
"""Seconds for one command; ovs-vswitchd answers between two rounds of its work."""


class _Reply(msgspec.Struct):
    result: str | None = None
    error: str | None = None


_REPLY = msgspec.json.Decoder(_Reply)


def control_socket(remote: str) -> str:
    """The path of the control socket of the ovs-vswitchd that serves the database at `remote` (``unix:PATH``).

    Raises ProviderError when there is none that listens.
    """
    database = socket_path(remote)
    found = next((path for path in _candidates(database) if is_socket(path) and not reachable(path)), "")
    if not found:
        raise ProviderError(
            f"the ovs-vswitchd of {remote} cannot be reached: no control socket of it listens",
            "is it running? ovs-appctl version",
        )
    return found


def command(path: str, method: str, *arguments: str, timeout: float = TIMEOUT) -> str:
    """What ovs-vswitchd answers to one command on the control socket at `path`, in at most `timeout` seconds.

    Raises PrivilegeError when the socket refuses us, ProviderError when it does not answer, makes
    no sense or refuses the command.
    """
    deadline = time.monotonic() + timeout
    request = {"id": 0, "method": method, "params": arguments}
    who = f"ovs-vswitchd at {path}"
    with connect(path, who, timeout) as connection:
        reply = ask(connection, request, who, deadline)
    return answer(reply, f"{who}, asked for {method},")


def answer(reply: bytes, who: str = "ovs-vswitchd") -> str:
    """Pure: the text in a reply.  Raises ProviderError."""
    try:
        said = _REPLY.decode(reply)
    except (ValueError, RecursionError) as error:
        raise ProviderError(f"{who} made no sense: {error}") from None
    if said.error is not None:
        raise ProviderError(f"{who} refused: {said.error.strip()[:300]}")
    return said.result or ""


def _candidates(database: str) -> Iterator[str]:
    """By its process, wherever that lives; else by what lies beside the database."""
    for pid in trusted("ovs-vswitchd"):
        if _serves(pid, database):
            yield from _sockets_of(pid)
    folder = Path(database).parent
    yield str(folder / f"ovs-vswitchd.{pid_from_file(folder / 'ovs-vswitchd.pid')}.ctl")
    yield from sorted(str(path) for path in folder.glob("ovs-vswitchd.*.ctl"))


def _serves(pid: int, database: str) -> bool:
    told = [argument for argument in arguments(pid)[1:] if re.match(r"[a-z0-9]+:", argument)] or [DEFAULT_REMOTE]
    paths = (reach(pid, argument.removeprefix("unix:")) for argument in told if argument.startswith("unix:"))
    return any(path and _same(path, database) for path in paths)


def _sockets_of(pid: int) -> Iterator[str]:
    told = [a.removeprefix("--unixctl=") for a in arguments(pid) if a.startswith("--unixctl=")]
    name = f"ovs-vswitchd.{_own_number(pid)}.ctl"
    for path in listening(pid):
        if path in told or Path(path).name == name:
            yield reach(pid, path)


def _own_number(pid: int) -> int:
    """What the process itself takes for its pid, in a container another one than ours."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return pid
    return next((int(line.split()[-1]) for line in status.splitlines() if line.startswith("NSpid:")), pid)


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)  # noqa: PTH121
    except OSError:
        return False
