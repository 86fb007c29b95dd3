"""Open vSwitch's database, read in one transaction over its unix socket (RFC 7047).

A client of our own instead of the ``ovs`` package's, for three reasons that matter here: one
deadline covers connecting, asking and reading, so that a hung ovsdb-server costs seconds and
not for ever; a reply has a size limit; and a switch of a thousand ports is decoded in
milliseconds, where the package's pure Python parser alone takes most of a second.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import msgspec

from tapwright.adapters.ovsdb_rows import COLUMNS, KERNEL_TYPES, BridgeRow, decode
from tapwright.adapters.process import (
    arguments,
    command_name,
    is_socket,
    netns_of,
    own_netns,
    pid_from_file,
    reach,
    trusted,
)
from tapwright.errors import PrivilegeError, ProviderError
from tapwright.model import Netns

DEFAULT_REMOTE = "unix:/run/openvswitch/db.sock"
NORTHBOUND = "unix:/run/ovn/ovnnb_db.sock"
"""Where OVN's service keeps its northbound database."""
TIMEOUT = 2.0
"""Seconds for one whole conversation."""
_SELECTS = [{"op": "select", "table": t, "where": [], "columns": list(c)} for t, c in COLUMNS.items()]
QUESTION: Mapping[str, object] = {"id": 0, "method": "transact", "params": ["Open_vSwitch", *_SELECTS]}
"""What `read` asks: everything, as of one moment."""
_MOST = 64 << 20
"""Bytes of a reply; a switch of ten thousand ports sends about a sixth of it."""


@dataclass(frozen=True, slots=True)
class Database:
    """What one Open vSwitch says about itself, and the namespace in which its devices live."""

    remote: str
    netns: Netns | None
    """None when it is hidden from us, so that nobody can tell which device an ifindex means."""
    bridges: tuple[BridgeRow, ...]


def discover() -> tuple[str, ...]:
    """The databases of this machine: the service's, and those that privileged ovs-vswitchd processes talk to."""
    found: dict[tuple[int, int], str] = {}
    for path in (socket_path(DEFAULT_REMOTE), *_paths_of_switches()):
        if is_socket(path):
            identity = os.stat(path)  # noqa: PTH116
            found.setdefault((identity.st_dev, identity.st_ino), f"unix:{path}")
    return tuple(found.values())


def _paths_of_switches() -> Iterator[str]:
    for pid in trusted("ovs-vswitchd"):
        for argument in arguments(pid)[1:]:
            if argument.startswith("unix:"):
                yield reach(pid, argument.removeprefix("unix:"))


def read(remote: str, timeout: float = TIMEOUT) -> Database:
    """Read the database at `remote` (``unix:PATH``), in at most `timeout` seconds.

    Raises PrivilegeError when the socket refuses us, ProviderError when it does not answer in
    time or its answer makes no sense.
    """
    path = socket_path(remote)
    deadline = time.monotonic() + timeout
    with connect(path, _called(remote), timeout) as connection:
        reply = ask(connection, QUESTION, _called(remote), deadline)
        netns = netns_of(_switch_pid(connection, Path(path).parent))
    found = bridges(reply, remote)
    return Database(remote, netns or _proven_own(found), found)


def home(remote: str, timeout: float = TIMEOUT) -> Netns | None:
    """The namespace in which the devices of the switch at `remote` live; None when it is hidden from us.

    Raises as `read` does, except for answers: nothing is asked.
    """
    path = socket_path(remote)
    with connect(path, _called(remote), timeout) as connection:
        return netns_of(_switch_pid(connection, Path(path).parent))


def _called(remote: str) -> str:
    return f"Open vSwitch's database at {remote}"


def socket_path(remote: str) -> str:
    """The path in ``unix:PATH``.  Raises ProviderError on any other kind of remote."""
    kind, colon, path = remote.partition(":")
    if kind != "unix" or not colon or not path:
        raise ProviderError(f"{remote!r} is not an OVSDB socket", "write it as unix:/run/openvswitch/db.sock")
    return path


def reachable(path: str) -> str:
    """Why the socket at `path` cannot be talked to, "" when it can.  Takes microseconds; sends nothing."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        try:
            connection.connect(path)
        except OSError as error:
            return (error.strerror or str(error)).lower()
    return ""


def connect(path: str, who: str, timeout: float) -> socket.socket:
    """Connect to the socket at `path` within `timeout` seconds; `who` is what messages call its owner.

    Raises PrivilegeError when it refuses us, ProviderError when nobody answers.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        connection.connect(path)
    except PermissionError:
        connection.close()
        raise PrivilegeError(
            f"{who} refuses us: permission denied", "run it with sudo, or join the group that owns the socket"
        ) from None
    except OSError as error:
        connection.close()
        raise ProviderError(f"{who} does not answer: {error.strerror or error}") from None
    return connection


def dial(remote: str, who: str, timeout: float) -> socket.socket:
    """Connect to ``unix:PATH`` or ``tcp:ADDRESS:PORT`` within `timeout` seconds.

    Raises PrivilegeError, ProviderError as `connect` does, and for a remote that is neither.
    """
    if not remote.startswith("tcp:"):
        return connect(socket_path(remote), who, timeout)
    try:
        return socket.create_connection(tcp_address(remote), timeout)
    except OSError as error:
        raise ProviderError(f"{who} does not answer: {error.strerror or error}") from None


def tcp_address(remote: str) -> tuple[str, int]:
    """Address and port in ``tcp:ADDRESS:PORT``, an IPv6 address in brackets.  Raises ProviderError."""
    host, colon, port = remote.removeprefix("tcp:").rpartition(":")
    try:
        address = str(ip_address(host.removeprefix("[").removesuffix("]")))
    except ValueError:
        address = ""
    if not (colon and address and port.isascii() and port.isdecimal() and 0 < int(port) < 1 << 16):
        raise ProviderError(f"{remote!r} is not an OVSDB server", "write it as tcp:192.0.2.1:6641")
    return address, int(port)


def ask(connection: socket.socket, request: Mapping[str, object], who: str, deadline: float) -> bytes:
    """Send one JSON-RPC request; the bytes of its reply, there before the monotonic `deadline` or ProviderError."""
    reply = bytearray()
    try:
        connection.sendall(msgspec.json.encode(request))
        while not _complete(reply):
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            piece = connection.recv(1 << 20)
            reply += piece
            if not piece or len(reply) > _MOST or time.monotonic() > deadline:
                raise ProviderError(f"{who} stopped in the middle of its answer")
    except TimeoutError:
        raise ProviderError(
            f"{who} does not answer", "see whether Open vSwitch's daemons are stuck: ovs-vsctl show"
        ) from None
    except OSError as error:
        raise ProviderError(f"{who} broke off: {error.strerror or error}") from None
    return bytes(reply)


def _complete(reply: bytearray) -> bool:
    """Whether a whole JSON text is there: OVSDB frames its messages by their braces alone."""
    if not reply.endswith(b"}"):
        return False
    try:
        msgspec.json.decode(reply, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True


def _switch_pid(connection: socket.socket, directory: Path) -> int:
    """The process of ovs-vswitchd: by its pid file beside the socket, else the database's, which lives beside it."""
    switch = pid_from_file(directory / "ovs-vswitchd.pid")
    if command_name(switch) == "ovs-vswitchd":
        return switch
    # A pid file written in a container counts in that container's numbers; the socket's peer never does.
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[0])


def _proven_own(found: tuple[BridgeRow, ...]) -> Netns | None:
    """Our own namespace, if each device that the switch names is here under the same number."""
    rows = [row for bridge in found for port in bridge.ports for row in port.interfaces]
    named = {(row.name, row.ifindex) for row in rows if row.type in KERNEL_TYPES and row.ifindex}
    here = {(name, index) for index, name in socket.if_nameindex()}
    return Netns(own_netns()) if named and named <= here else None


def bridges(reply: bytes, remote: str = "") -> tuple[BridgeRow, ...]:
    """Pure: the bridges in a reply to our transaction.  Raises ProviderError when it makes no sense."""
    try:
        return decode(reply)
    except (ValueError, RecursionError) as error:
        raise ProviderError(f"Open vSwitch's database at {remote} made no sense: {error}") from None
