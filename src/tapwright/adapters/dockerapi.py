"""The Docker engine's REST API over its unix socket; Podman answers the same questions.

Whatever the engine says is checked against the few fields that are used.  A reply has a size
limit and the whole conversation a time limit, so that a stuck engine costs seconds, not for ever.
"""

from __future__ import annotations

import http.client
import socket
from contextlib import closing
from dataclasses import dataclass

import msgspec

from tapwright.adapters.bounded import bounded
from tapwright.errors import PrivilegeError, ProviderError

TIMEOUT = 5.0
"""Seconds for reading all containers of one engine."""
_MOST = 32 << 20
"""Bytes of one reply."""


class _Network(msgspec.Struct):
    MacAddress: str = ""
    IPAddress: str = ""
    IPPrefixLen: int = 0
    GlobalIPv6Address: str = ""
    GlobalIPv6PrefixLen: int = 0


class _Networks(msgspec.Struct):
    Networks: dict[str, _Network | None] | None = None


class _State(msgspec.Struct):
    Status: str = ""
    Pid: int = 0


class _Config(msgspec.Struct):
    Labels: dict[str, str] | None = None


class _HostConfig(msgspec.Struct):
    NetworkMode: str = ""


class _Inspected(msgspec.Struct):
    """``GET /containers/{id}/json``, the fields that are used."""

    Id: str
    Name: str = ""
    State: _State = msgspec.field(default_factory=_State)
    Config: _Config = msgspec.field(default_factory=_Config)
    HostConfig: _HostConfig = msgspec.field(default_factory=_HostConfig)
    NetworkSettings: _Networks = msgspec.field(default_factory=_Networks)


class _Listed(msgspec.Struct):
    """``GET /containers/json``, the fields that are used."""

    Id: str


_INSPECTED = msgspec.json.Decoder(_Inspected)
_LISTED = msgspec.json.Decoder(list[_Listed])
"""Made at import: msgspec crashes when two threads are the first to decode into the same type."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A network a container is attached to, as the engine set it up."""

    network: str
    mac: str
    addresses: tuple[str, ...]
    """With prefix length."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container, running or not."""

    id: str
    name: str
    state: str
    pid: int
    """Its first process, 0 unless it runs."""
    network_mode: str
    """``host``, ``none``, ``container:ID`` for a shared namespace, else a network's name."""
    labels: tuple[tuple[str, str], ...]
    attachments: tuple[Attachment, ...]


def read(path: str, timeout: float = TIMEOUT) -> tuple[Container, ...]:
    """All containers of the engine at the socket `path`, in at most `timeout` seconds.

    Raises PrivilegeError when the socket refuses us, ProviderError when the engine does not
    answer in time or makes no sense.
    """
    try:
        return bounded(lambda: _containers(path, timeout), timeout)
    except PermissionError:
        raise PrivilegeError(
            f"the container engine at {path} refuses us: permission denied",
            "run it with sudo, or join the group that owns the socket",
        ) from None
    except TimeoutError:
        raise ProviderError(f"the container engine at {path} does not answer") from None
    except OSError as error:
        raise ProviderError(f"the container engine at {path} does not answer: {error.strerror or error}") from None
    except (http.client.HTTPException, msgspec.MsgspecError, RecursionError) as error:
        raise ProviderError(f"the container engine at {path} made no sense: {error or type(error).__name__}") from None


def _containers(path: str, timeout: float) -> tuple[Container, ...]:
    with closing(_Connection(path, timeout)) as connection:
        listed = _LISTED.decode(_get(connection, "/containers/json?all=1") or b"[]")
        bodies = [_get(connection, f"/containers/{_checked(container.Id)}/json") for container in listed]
    return tuple(decode(body) for body in bodies if body)


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket; kept open from one question to the next."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _get(connection: _Connection, path: str) -> bytes:
    """The answer's body; empty when what was asked for ceased to exist meanwhile."""
    connection.request("GET", path)
    with connection.getresponse() as response:
        body = response.read(_MOST + 1)
    if len(body) > _MOST:
        raise http.client.HTTPException(f"its answer is larger than {_MOST >> 20} MiB")
    if response.status == http.client.NOT_FOUND:
        return b""
    if response.status != http.client.OK:
        raise http.client.HTTPException(f"it answered {response.status} {response.reason}")
    return body


def _checked(container: str) -> str:
    """An id that may stand in a path: engines use hexadecimal, and nothing else is believed."""
    if not container or set(container) - set("0123456789abcdef"):
        raise http.client.HTTPException("a container's id is not hexadecimal")
    return container


def decode(body: bytes) -> Container:
    """Pure: the answer to ``GET /containers/{id}/json``.  Raises msgspec.DecodeError."""
    found = _INSPECTED.decode(body)
    networks = found.NetworkSettings.Networks or {}
    return Container(
        id=found.Id,
        name=found.Name.removeprefix("/"),
        state=found.State.Status,
        pid=found.State.Pid,
        network_mode=found.HostConfig.NetworkMode,
        labels=tuple((found.Config.Labels or {}).items()),
        attachments=tuple(_attachment(name, network) for name, network in networks.items() if network),
    )


def _attachment(name: str, network: _Network) -> Attachment:
    addresses = (
        (network.IPAddress, network.IPPrefixLen),
        (network.GlobalIPv6Address, network.GlobalIPv6PrefixLen),
    )
    return Attachment(name, network.MacAddress.lower(), tuple(f"{a}/{length}" for a, length in addresses if a))
