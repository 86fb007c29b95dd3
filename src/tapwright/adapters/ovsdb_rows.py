"""Pure: rows of Open vSwitch's database as they come in JSON (RFC 7047, section 5.1), and as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import msgspec

T = TypeVar("T")

Set = tuple[Literal["set"], tuple[T, ...]]
Map = tuple[Literal["map"], tuple[tuple[str, T], ...]]
Reference = tuple[Literal["uuid"], str]
References = tuple[Literal["uuid", "set"], str | tuple[Reference, ...]]
"""One is written as itself, any other number as a set."""


class _Bridge(msgspec.Struct):
    _uuid: Reference
    name: str
    datapath_type: str
    ports: References


class _Port(msgspec.Struct):
    _uuid: Reference
    name: str
    interfaces: References
    tag: int | Set[int]
    trunks: int | Set[int]
    external_ids: Map[str]


class _Interface(msgspec.Struct):
    _uuid: Reference
    name: str
    type: str
    ifindex: int | Set[int]
    mtu: int | Set[int]
    error: str | Set[str]
    external_ids: Map[str]
    options: Map[str]
    status: Map[str]
    statistics: Map[int]


class _Mirror(msgspec.Struct):
    output_port: References


class _Result(msgspec.Struct, Generic[T]):
    rows: tuple[T, ...] = ()
    error: str = ""
    details: str = ""


class _Reply(msgspec.Struct):
    result: tuple[_Result[_Bridge], _Result[_Port], _Result[_Interface], _Result[_Mirror]]


_REPLY = msgspec.json.Decoder(_Reply)
"""Made at import: msgspec crashes when two threads are the first to decode into the same type."""


COLUMNS = {
    table: row.__struct_fields__
    for table, row in (("Bridge", _Bridge), ("Port", _Port), ("Interface", _Interface), ("Mirror", _Mirror))
}
"""What to ask for: table -> columns, in the order of the reply."""


KERNEL_TYPES = frozenset({"", "system", "internal", "tap", "afxdp", "afxdp-nonpmd"})
"""Interface types whose ``ifindex`` is a device's; DPDK and tunnel ports publish a made-up number there."""


@dataclass(frozen=True, slots=True)
class InterfaceRow:
    """A row of the Interface table; optional columns that are empty are 0 or ""."""

    name: str
    type: str
    ifindex: int
    mtu: int
    error: str
    external_ids: Mapping[str, str]
    """Its port's as well: some integrations write them there."""
    options: Mapping[str, str]
    status: Mapping[str, str]
    statistics: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PortRow:
    """A row of the Port table with its interfaces: one, or several when it is a bond."""

    name: str
    interfaces: tuple[InterfaceRow, ...]
    tag: int | None
    trunks: tuple[int, ...]
    takes_copies: bool = False
    """Whether a mirror sends its copies there; then it carries nothing else."""


@dataclass(frozen=True, slots=True)
class BridgeRow:
    """A row of the Bridge table with its ports."""

    uuid: str
    name: str
    datapath_type: str
    ports: tuple[PortRow, ...]


def decode(reply: bytes) -> tuple[BridgeRow, ...]:
    """The bridges in a reply to a select of COLUMNS.  Raises ValueError when it makes no sense."""
    bridges, ports, interfaces, mirrors = _REPLY.decode(reply).result
    for result in (bridges, ports, interfaces, mirrors):
        if result.error:
            raise ValueError(result.details or result.error)
    by_uuid = {row._uuid[1]: row for row in interfaces.rows}
    outputs = {uuid for row in mirrors.rows for uuid in uuids(row.output_port)}
    ports_by_uuid = {row._uuid[1]: _port(row, by_uuid, row._uuid[1] in outputs) for row in ports.rows}
    return tuple(_bridge(row, ports_by_uuid) for row in bridges.rows)


def _bridge(row: _Bridge, ports: Mapping[str, PortRow]) -> BridgeRow:
    mine = tuple(ports[uuid] for uuid in uuids(row.ports) if uuid in ports)
    return BridgeRow(row._uuid[1], row.name, row.datapath_type, mine)


def _port(row: _Port, interfaces: Mapping[str, _Interface], output: bool) -> PortRow:
    ids = dict(row.external_ids[1])
    mine = tuple(_interface(interfaces[uuid], ids) for uuid in uuids(row.interfaces) if uuid in interfaces)
    return PortRow(row.name, mine, next(iter(members(row.tag)), None), tuple(sorted(members(row.trunks))), output)


def _interface(row: _Interface, ids_of_port: Mapping[str, str]) -> InterfaceRow:
    return InterfaceRow(
        name=row.name,
        type=row.type,
        ifindex=next(iter(members(row.ifindex)), 0),
        mtu=next(iter(members(row.mtu)), 0),
        error=next(iter(members(row.error)), ""),
        external_ids={**ids_of_port, **dict(row.external_ids[1])},
        options=dict(row.options[1]),
        status=dict(row.status[1]),
        statistics=dict(row.statistics[1]),
    )


def uuids(references: References) -> Iterable[str]:
    """The ids in a column of references."""
    found = references[1]
    return (found,) if isinstance(found, str) else (uuid for _, uuid in found)


def members(value: T | Set[T]) -> tuple[T, ...]:
    """What is in a column of an optional value, or of several."""
    return value[1] if isinstance(value, tuple) else (value,)
