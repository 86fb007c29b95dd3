"""OVN's northbound database: logical switches, their ports, and mirrors of these (schema ``OVN_Northbound``).

The protocol is that of Open vSwitch's database.  What this OVN's mirrors can do is read from the
schema it serves, since every release adds to it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, TypeVar

import msgspec

from tapwright.adapters.ovsdb import TIMEOUT, ask, dial, reachable, socket_path, tcp_address
from tapwright.adapters.ovsdb_rows import Map, Reference, References, Set, members, uuids
from tapwright.adapters.ovsdb_transact import OPEN_VSWITCH, OVN, called
from tapwright.adapters.ovsdb_transact import Operation as Change
from tapwright.adapters.ovsdb_transact import transact as transact_with
from tapwright.errors import ProviderError

GLANCE = 0.3
"""Seconds in which a server that is looked for must let us in."""
_PATIENCE = 5.0
"""Seconds for the ports of a whole cloud: ten thousand are some megabytes."""
T = TypeVar("T")


class _Switch(msgspec.Struct):
    _uuid: Reference
    name: str
    ports: References


class _Port(msgspec.Struct):
    _uuid: Reference
    name: str
    type: str
    addresses: str | Set[str]
    dynamic_addresses: str | Set[str]
    parent_name: str | Set[str]
    up: bool | Set[bool]
    external_ids: Map[str]


class _Attached(msgspec.Struct):
    _uuid: Reference
    name: str
    addresses: str | Set[str]
    mirror_rules: References
    up: bool | Set[bool]


class _Nat(msgspec.Struct):
    external_ip: str
    logical_ip: str


class _Mirror(msgspec.Struct):
    _uuid: Reference
    name: str
    filter: str
    sink: str
    type: str
    index: int
    external_ids: Map[str]


class _OpenVSwitch(msgspec.Struct):
    external_ids: Map[str]


class _Column(msgspec.Struct):
    type: Any = None


class _Table(msgspec.Struct):
    columns: dict[str, _Column]


class _Schema(msgspec.Struct):
    tables: dict[str, _Table]


class _SchemaReply(msgspec.Struct):
    result: _Schema | None = None
    error: Any = None


_SCHEMA = msgspec.json.Decoder(_SchemaReply)
_KNOWN = tuple(msgspec.json.Decoder(row) for row in (_Switch, _Port, _Attached, _Mirror, _Nat, _OpenVSwitch))
"""Made at import: msgspec crashes when two threads are the first to decode into the same type."""


@dataclass(frozen=True, slots=True)
class LogicalSwitch:
    """A row of Logical_Switch."""

    uuid: str
    name: str
    ports: frozenset[str]


@dataclass(frozen=True, slots=True)
class LogicalPort:
    """A row of Logical_Switch_Port."""

    uuid: str
    name: str
    type: str
    """"" is a vNIC's; ``router``, ``localnet``, ``localport``... are OVN's own."""
    addresses: tuple[str, ...]
    """``MAC IP IP...``, or words like ``unknown``; those that OVN chose itself too."""
    parent: str
    """The port whose VLAN it is, for containers inside a VM."""
    up: bool
    external_ids: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Cloud:
    """What the northbound database says of vNICs."""

    switches: tuple[LogicalSwitch, ...]
    ports: tuple[LogicalPort, ...]


@dataclass(frozen=True, slots=True)
class AttachedPort:
    """A logical port and the ids of the mirrors that are attached to it."""

    uuid: str
    name: str
    addresses: tuple[str, ...]
    mirrors: frozenset[str]
    up: bool = True
    """Whether some server has it."""


@dataclass(frozen=True, slots=True)
class NorthboundMirror:
    """A row of Mirror."""

    uuid: str
    name: str
    filter: str
    sink: str
    type: str
    index: int
    external_ids: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Mirroring:
    """The rows that mirrors are made of."""

    ports: tuple[AttachedPort, ...] = ()
    mirrors: tuple[NorthboundMirror, ...] = ()

    def port(self, name: str) -> AttachedPort | None:
        """The logical port of that name."""
        return next((port for port in self.ports if port.name == name), None)

    def attached(self, mirror: NorthboundMirror) -> tuple[AttachedPort, ...]:
        """The ports to which a mirror is attached."""
        return tuple(port for port in self.ports if mirror.uuid in port.mirrors)


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the mirrors of an OVN can be, by its schema; nothing where it has none."""

    filters: frozenset[str] = frozenset()
    """``from-lport``, ``to-lport``, later ``both``."""
    types: frozenset[str] = frozenset()
    """``gre``, ``erspan``, later ``local`` and others."""


def addresses(texts: Iterable[str]) -> Iterator[IPv4Address | IPv6Address]:
    """The IP addresses in a port's ``MAC IP IP...``."""
    for word in (word for text in texts for word in text.split()):
        with suppress(ValueError):
            yield ip_address(word)


def checked(remote: str) -> str:
    """Why a remote cannot be used, "" for one that can: ``unix:PATH`` or ``tcp:ADDRESS:PORT``."""
    if remote.startswith("ssl:"):
        return "ssl: is not spoken yet; name a unix: or tcp: one, or run tapwright where the database has a socket"
    try:
        tcp_address(remote) if remote.startswith("tcp:") else socket_path(remote)
    except ProviderError as error:
        return error.line
    return ""


def closed(remote: str, timeout: float = TIMEOUT) -> str:
    """Why nobody can be talked to at `remote` within `timeout` seconds, "" when somebody listens."""
    if why := checked(remote):
        return why
    if not remote.startswith("tcp:"):
        return reachable(socket_path(remote))
    try:
        dial(remote, called(OVN, remote), timeout).close()
    except ProviderError as error:
        return error.message.rpartition(": ")[2].lower()
    return ""


def transact(remote: str, operations: Sequence[Change], timeout: float = TIMEOUT) -> tuple[Mapping[str, Any], ...]:
    """As `ovsdb_transact.transact` does, on the northbound database."""
    return transact_with(remote, operations, timeout, OVN)


def told_by_switch(remote: str, key: str = "ovn-nb") -> tuple[str, ...]:
    """The northbound database that the Open vSwitch at `remote` was told of (``external_ids:ovn-nb``).

    With ``ovn-remote`` as `key` the southbound one.
    """
    rows = _rows(
        transact_with(remote, [_asking("Open_vSwitch", _OpenVSwitch)])[0], _OpenVSwitch, called(OPEN_VSWITCH, remote)
    )
    return tuple(word for row in rows for word in dict(row.external_ids[1]).get(key, "").split(",") if word)


def read(remote: str) -> Cloud:
    """Every logical switch and port.  Raises PrivilegeError, ProviderError."""
    return cloud(transact(remote, _WHOLE, _PATIENCE), called(OVN, remote))


def cloud(answers: Sequence[Mapping[str, Any]], who: str = "OVN's northbound database") -> Cloud:
    """Pure: the rows in its answers to `read`.  Raises ProviderError when they make no sense."""
    switches, ports = _rows(answers[0], _Switch, who), _rows(answers[1], _Port, who)
    return Cloud(
        tuple(LogicalSwitch(row._uuid[1], row.name, frozenset(uuids(row.ports))) for row in switches),
        tuple(map(_port, ports)),
    )


def abilities(remote: str, timeout: float = TIMEOUT) -> Abilities:
    """What mirrors can be there.  Raises PrivilegeError, ProviderError."""
    who, deadline = called(OVN, remote), time.monotonic() + timeout
    with dial(remote, who, timeout) as connection:
        return abilities_in(ask(connection, {"id": 0, "method": "get_schema", "params": [OVN]}, who, deadline), who)


def abilities_in(reply: bytes, who: str = "OVN's northbound database") -> Abilities:
    """Pure: what a schema says of mirrors.  Raises ProviderError when it makes no sense."""
    try:
        answer = _SCHEMA.decode(reply)
    except (ValueError, RecursionError) as error:
        raise ProviderError(f"{who} made no sense: {error}") from None
    if answer.result is None:
        raise ProviderError(f"{who} refused: {str(answer.error)[:300]}")
    mirror, port = (answer.result.tables.get(name) for name in ("Mirror", "Logical_Switch_Port"))
    if mirror is None or port is None or "mirror_rules" not in port.columns:
        return Abilities()
    return Abilities(_words(mirror.columns.get("filter")), _words(mirror.columns.get("type")))


def _words(column: _Column | None) -> frozenset[str]:
    """The texts that a column may hold (RFC 7047, section 3.2: ``<base-type>`` with an ``enum``)."""
    try:
        return frozenset(word for word in column.type["key"]["enum"][1] if isinstance(word, str))  # type: ignore[union-attr]
    except (AttributeError, IndexError, KeyError, TypeError):
        return frozenset()


def mirroring(remote: str, ports: Sequence[Sequence[object]], mirrors: Sequence[Sequence[object]]) -> Mirroring:
    """The ports and mirrors that meet one of these lists of conditions, as of one moment.

    Raises PrivilegeError, ProviderError.
    """
    found = _select(
        remote,
        *(("Logical_Switch_Port", _Attached, where) for where in ports),
        *(("Mirror", _Mirror, where) for where in mirrors),
    )
    attached = {row._uuid[1]: _attached(row) for rows in found[: len(ports)] for row in rows}
    mirrored = {row._uuid[1]: _mirror(row) for rows in found[len(ports) :] for row in rows}
    return Mirroring(tuple(attached.values()), tuple(mirrored.values()))


def behind(remote: str, address: str) -> tuple[str, ...]:
    """The addresses of VMs that packets to `address` are translated to.  Raises PrivilegeError, ProviderError."""
    (rows,) = _select(remote, ("NAT", _Nat, [["external_ip", "==", address], ["type", "!=", "snat"]]))
    return tuple(row.logical_ip for row in rows)


def _asking(table: str, kind: Any, where: Sequence[object] = ()) -> Change:
    return {"op": "select", "table": table, "where": where, "columns": list(kind.__struct_fields__)}


_WHOLE = (_asking("Logical_Switch", _Switch), _asking("Logical_Switch_Port", _Port))


def _select(remote: str, *wanted: tuple[str, Any, Sequence[object]]) -> list[Any]:
    answers = transact(remote, [_asking(*one) for one in wanted])
    who = called(OVN, remote)
    return [_rows(answer, kind, who) for (_, kind, _), answer in zip(wanted, answers, strict=True)]


def _rows(answer: Mapping[str, Any], kind: type[T], who: str) -> list[T]:
    try:
        return msgspec.convert(answer.get("rows"), list[kind])  # type: ignore[valid-type]
    except (ValueError, RecursionError) as error:
        raise ProviderError(f"{who} made no sense: {error}") from None


def _port(row: _Port) -> LogicalPort:
    return LogicalPort(
        uuid=row._uuid[1],
        name=row.name,
        type=row.type,
        addresses=_texts(row.addresses, row.dynamic_addresses),
        parent=next(iter(members(row.parent_name)), ""),
        up=next(iter(members(row.up)), False),
        external_ids=dict(row.external_ids[1]),
    )


def _attached(row: _Attached) -> AttachedPort:
    up = next(iter(members(row.up)), False)
    return AttachedPort(row._uuid[1], row.name, _texts(row.addresses), frozenset(uuids(row.mirror_rules)), up)


def _mirror(row: _Mirror) -> NorthboundMirror:
    ids = dict(row.external_ids[1])
    return NorthboundMirror(row._uuid[1], row.name, row.filter, row.sink, row.type, row.index, ids)


def _texts(*columns: str | Set[str]) -> tuple[str, ...]:
    return tuple(text for column in columns for text in members(column))
