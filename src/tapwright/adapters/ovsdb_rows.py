"""Pure: rows of Open vSwitch's database as they come in JSON (RFC 7047, section 5.1), and as plain values.

`decode` reads what a host has, `tables` what mirrors are made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import msgspec

T = TypeVar("T")

_Set = tuple[Literal["set"], tuple[T, ...]]
_Map = tuple[Literal["map"], tuple[tuple[str, T], ...]]
_Reference = tuple[Literal["uuid"], str]
_References = tuple[Literal["uuid", "set"], str | tuple[_Reference, ...]]
"""One is written as itself, any other number as a set."""


class _Bridge(msgspec.Struct):
    _uuid: _Reference
    name: str
    datapath_type: str
    ports: _References


class _Port(msgspec.Struct):
    _uuid: _Reference
    name: str
    interfaces: _References
    tag: int | _Set[int]
    trunks: int | _Set[int]
    external_ids: _Map[str]


class _Interface(msgspec.Struct):
    _uuid: _Reference
    name: str
    type: str
    ifindex: int | _Set[int]
    mtu: int | _Set[int]
    error: str | _Set[str]
    external_ids: _Map[str]
    options: _Map[str]
    status: _Map[str]
    statistics: _Map[int]


class _Result(msgspec.Struct, Generic[T]):
    rows: tuple[T, ...] = ()
    error: str = ""
    details: str = ""


class _Reply(msgspec.Struct):
    result: tuple[_Result[_Bridge], _Result[_Port], _Result[_Interface]]


_REPLY = msgspec.json.Decoder(_Reply)
"""Made at import: msgspec crashes when two threads are the first to decode into the same type."""


COLUMNS = {
    table: row.__struct_fields__ for table, row in (("Bridge", _Bridge), ("Port", _Port), ("Interface", _Interface))
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


@dataclass(frozen=True, slots=True)
class BridgeRow:
    """A row of the Bridge table with its ports."""

    uuid: str
    name: str
    datapath_type: str
    ports: tuple[PortRow, ...]


def decode(reply: bytes) -> tuple[BridgeRow, ...]:
    """The bridges in a reply to a select of COLUMNS.  Raises ValueError when it makes no sense."""
    bridges, ports, interfaces = _REPLY.decode(reply).result
    for result in (bridges, ports, interfaces):
        if result.error:
            raise ValueError(result.details or result.error)
    by_uuid = {row._uuid[1]: row for row in interfaces.rows}
    ports_by_uuid = {row._uuid[1]: _port(row, by_uuid) for row in ports.rows}
    return tuple(_bridge(row, ports_by_uuid) for row in bridges.rows)


def _bridge(row: _Bridge, ports: Mapping[str, PortRow]) -> BridgeRow:
    mine = tuple(ports[uuid] for uuid in _uuids(row.ports) if uuid in ports)
    return BridgeRow(row._uuid[1], row.name, row.datapath_type, mine)


def _port(row: _Port, interfaces: Mapping[str, _Interface]) -> PortRow:
    ids = dict(row.external_ids[1])
    mine = tuple(_interface(interfaces[uuid], ids) for uuid in _uuids(row.interfaces) if uuid in interfaces)
    return PortRow(row.name, mine, next(iter(_members(row.tag)), None), tuple(sorted(_members(row.trunks))))


def _interface(row: _Interface, ids_of_port: Mapping[str, str]) -> InterfaceRow:
    return InterfaceRow(
        name=row.name,
        type=row.type,
        ifindex=next(iter(_members(row.ifindex)), 0),
        mtu=next(iter(_members(row.mtu)), 0),
        error=next(iter(_members(row.error)), ""),
        external_ids={**ids_of_port, **dict(row.external_ids[1])},
        options=dict(row.options[1]),
        status=dict(row.status[1]),
        statistics=dict(row.statistics[1]),
    )


def _uuids(references: _References) -> Iterable[str]:
    found = references[1]
    return (found,) if isinstance(found, str) else (uuid for _, uuid in found)


def _members(value: T | _Set[T]) -> tuple[T, ...]:
    return value[1] if isinstance(value, tuple) else (value,)


class _MirroringBridge(msgspec.Struct):
    _uuid: _Reference
    name: str
    datapath_type: str
    ports: _References
    mirrors: _References


class _MirroringPort(msgspec.Struct):
    _uuid: _Reference
    name: str
    interfaces: _References
    tag: int | _Set[int]
    external_ids: _Map[str]


class _MirroringInterface(msgspec.Struct):
    _uuid: _Reference
    name: str
    type: str
    mtu: int | _Set[int]
    ofport: int | _Set[int]
    error: str | _Set[str]
    external_ids: _Map[str]
    options: _Map[str]


class _Mirror(msgspec.Struct):
    _uuid: _Reference
    name: str
    select_all: bool
    select_src_port: _References
    select_dst_port: _References
    select_vlan: int | _Set[int]
    output_port: _References
    output_vlan: int | _Set[int]
    snaplen: int | _Set[int]
    external_ids: _Map[str]
    statistics: _Map[int]


MIRROR_COLUMNS = {
    "Bridge": _MirroringBridge.__struct_fields__,
    "Port": _MirroringPort.__struct_fields__,
    "Interface": _MirroringInterface.__struct_fields__,
    "Mirror": _Mirror.__struct_fields__,
}
"""What to ask for where mirrors are concerned: table -> columns."""
_KNOWN = tuple(msgspec.json.Decoder(row) for row in (_MirroringBridge, _MirroringPort, _MirroringInterface, _Mirror))
"""Made at import, for the same reason as _REPLY."""


@dataclass(frozen=True, slots=True)
class MirroringBridge:
    """A bridge and the ids of its ports and mirrors."""

    uuid: str
    name: str
    datapath_type: str
    ports: frozenset[str]
    mirrors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MirroringPort:
    """A port that is mirrored or takes the copies."""

    uuid: str
    name: str
    interfaces: tuple[str, ...]
    tag: int | None
    external_ids: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MirroringInterface:
    """An interface of such a port; what the switch has not said yet is 0 or ""."""

    uuid: str
    name: str
    type: str
    mtu: int
    ofport: int
    """Its OpenFlow number: 0 before the switch took it over, -1 when it could not."""
    error: str
    external_ids: Mapping[str, str]
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MirrorRow:
    """A row of the Mirror table; references are ids, those that are empty are 0, "" or ()."""

    uuid: str
    name: str
    select_all: bool
    sources: frozenset[str]
    destinations: frozenset[str]
    vlans: frozenset[int]
    output_port: str
    output_vlan: int
    snaplen: int
    external_ids: Mapping[str, str]
    statistics: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Tables:
    """The rows of several selects, each table's together."""

    bridges: tuple[MirroringBridge, ...] = ()
    ports: tuple[MirroringPort, ...] = ()
    interfaces: tuple[MirroringInterface, ...] = ()
    mirrors: tuple[MirrorRow, ...] = ()

    def port(self, name: str) -> MirroringPort | None:
        """The port of that name."""
        return next((port for port in self.ports if port.name == name), None)


Selected = Sequence[tuple[str, Mapping[str, Any]]]


def tables(selected: Selected) -> Tables:
    """The rows in results of selects of MIRROR_COLUMNS, each with its table's name.

    A row that several of them found is there once.  Raises ValueError when they make no sense.
    """
    return Tables(
        tuple(_mirroring_bridge(row) for row in _rows(selected, "Bridge", _MirroringBridge)),
        tuple(_mirroring_port(row) for row in _rows(selected, "Port", _MirroringPort)),
        tuple(_mirroring_interface(row) for row in _rows(selected, "Interface", _MirroringInterface)),
        tuple(_mirror(row) for row in _rows(selected, "Mirror", _Mirror)),
    )


def _rows(selected: Selected, table: str, kind: type[T]) -> Iterable[T]:
    found: dict[str, T] = {}
    for name, result in selected:
        if name == table:
            for row in msgspec.convert(result.get("rows"), list[dict[str, Any]]):
                found[str(row.get("_uuid"))] = msgspec.convert(row, kind)
    return found.values()


def _mirroring_bridge(row: _MirroringBridge) -> MirroringBridge:
    ports, mirrors = frozenset(_uuids(row.ports)), tuple(_uuids(row.mirrors))
    return MirroringBridge(row._uuid[1], row.name, row.datapath_type, ports, mirrors)


def _mirroring_port(row: _MirroringPort) -> MirroringPort:
    tag = next(iter(_members(row.tag)), None)
    return MirroringPort(row._uuid[1], row.name, tuple(_uuids(row.interfaces)), tag, dict(row.external_ids[1]))


def _mirroring_interface(row: _MirroringInterface) -> MirroringInterface:
    return MirroringInterface(
        uuid=row._uuid[1],
        name=row.name,
        type=row.type,
        mtu=next(iter(_members(row.mtu)), 0),
        ofport=next(iter(_members(row.ofport)), 0),
        error=next(iter(_members(row.error)), ""),
        external_ids=dict(row.external_ids[1]),
        options=dict(row.options[1]),
    )


def _mirror(row: _Mirror) -> MirrorRow:
    return MirrorRow(
        uuid=row._uuid[1],
        name=row.name,
        select_all=row.select_all,
        sources=frozenset(_uuids(row.select_src_port)),
        destinations=frozenset(_uuids(row.select_dst_port)),
        vlans=frozenset(_members(row.select_vlan)),
        output_port=next(iter(_uuids(row.output_port)), ""),
        output_vlan=next(iter(_members(row.output_vlan)), 0),
        snaplen=next(iter(_members(row.snaplen)), 0),
        external_ids=dict(row.external_ids[1]),
        statistics=dict(row.statistics[1]),
    )
