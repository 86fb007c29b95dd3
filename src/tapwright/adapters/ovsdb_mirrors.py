"""Pure: the rows that mirrors are made of, as they come in JSON (RFC 7047, section 5.1), and as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from tapwright.adapters.ovsdb_rows import Map, Reference, References, Set, members, uuids

T = TypeVar("T")


class _MirroringBridge(msgspec.Struct):
    _uuid: Reference
    name: str
    datapath_type: str
    ports: References
    mirrors: References
    flood_vlans: int | Set[int]
    mcast_snooping_enable: bool
    stp_enable: bool
    rstp_enable: bool
    external_ids: Map[str]


class _MirroringPort(msgspec.Struct):
    _uuid: Reference
    name: str
    interfaces: References
    tag: int | Set[int]
    trunks: int | Set[int]
    vlan_mode: str | Set[str]
    external_ids: Map[str]


class _MirroringInterface(msgspec.Struct):
    _uuid: Reference
    name: str
    type: str
    mtu: int | Set[int]
    ofport: int | Set[int]
    error: str | Set[str]
    external_ids: Map[str]
    options: Map[str]
    statistics: Map[int]


class _Mirror(msgspec.Struct):
    _uuid: Reference
    name: str
    select_all: bool
    select_src_port: References
    select_dst_port: References
    select_vlan: int | Set[int]
    output_port: References
    output_vlan: int | Set[int]
    snaplen: int | Set[int]
    external_ids: Map[str]
    statistics: Map[int]


class _OpenVSwitch(msgspec.Struct):
    _uuid: Reference
    other_config: Map[str]


MIRROR_COLUMNS = {
    "Open_vSwitch": _OpenVSwitch.__struct_fields__,
    "Bridge": _MirroringBridge.__struct_fields__,
    "Port": _MirroringPort.__struct_fields__,
    "Interface": _MirroringInterface.__struct_fields__,
    "Mirror": _Mirror.__struct_fields__,
}
"""What to ask for where mirrors are concerned: table -> columns."""
_KNOWN = tuple(
    msgspec.json.Decoder(row) for row in (_MirroringBridge, _MirroringPort, _MirroringInterface, _Mirror, _OpenVSwitch)
)
"""Made at import, for the same reason as `ovsdb_rows`' decoder."""


@dataclass(frozen=True, slots=True)
class MirroringBridge:
    """A bridge and the ids of its ports and mirrors."""

    uuid: str
    name: str
    datapath_type: str
    ports: frozenset[str]
    mirrors: tuple[str, ...]
    external_ids: Mapping[str, str]
    flood_vlans: frozenset[int] = frozenset()
    """VLANs of which it learns no address, so that it hands their frames to all of their ports."""
    listens: tuple[str, ...] = ()
    """What it does with frames of certain protocols itself, whatever their VLAN."""


@dataclass(frozen=True, slots=True)
class MirroringPort:
    """A port that is mirrored or takes the copies."""

    uuid: str
    name: str
    interfaces: tuple[str, ...]
    tag: int | None
    vlan_mode: str
    """"" where the switch tells by the other columns."""
    external_ids: Mapping[str, str]
    trunks: frozenset[int] = frozenset()
    """VLANs that it carries beside its own; empty for all, where it has none of its own."""

    def carries(self, vlan: int) -> bool:
        """Whether frames of that VLAN leave by it."""
        if self.tag is None or self.vlan_mode.startswith("native"):
            return not self.trunks or vlan in self.trunks or vlan == self.tag
        return vlan == self.tag


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
    statistics: Mapping[str, int] = field(default_factory=dict)


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
    settings: Mapping[str, str] = field(default_factory=dict)
    """Of the switch as a whole, beside those that have a column."""

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
        dict(item for row in _rows(selected, "Open_vSwitch", _OpenVSwitch) for item in row.other_config[1]),
    )


def _rows(selected: Selected, table: str, kind: type[T]) -> Iterable[T]:
    found: dict[str, T] = {}
    for name, result in selected:
        if name == table:
            for row in msgspec.convert(result.get("rows"), list[dict[str, Any]]):
                found[str(row.get("_uuid"))] = msgspec.convert(row, kind)
    return found.values()


def _mirroring_bridge(row: _MirroringBridge) -> MirroringBridge:
    ports, mirrors = frozenset(uuids(row.ports)), tuple(uuids(row.mirrors))
    protocols = (("IGMP snooping", row.mcast_snooping_enable), ("STP", row.stp_enable), ("RSTP", row.rstp_enable))
    return MirroringBridge(
        uuid=row._uuid[1],
        name=row.name,
        datapath_type=row.datapath_type,
        ports=ports,
        mirrors=mirrors,
        external_ids=dict(row.external_ids[1]),
        flood_vlans=frozenset(members(row.flood_vlans)),
        listens=tuple(name for name, enabled in protocols if enabled),
    )


def _mirroring_port(row: _MirroringPort) -> MirroringPort:
    tag, mode = next(iter(members(row.tag)), None), next(iter(members(row.vlan_mode)), "")
    trunks = frozenset(members(row.trunks))
    ids = dict(row.external_ids[1])
    return MirroringPort(row._uuid[1], row.name, tuple(uuids(row.interfaces)), tag, mode, ids, trunks)


def _mirroring_interface(row: _MirroringInterface) -> MirroringInterface:
    return MirroringInterface(
        uuid=row._uuid[1],
        name=row.name,
        type=row.type,
        mtu=next(iter(members(row.mtu)), 0),
        ofport=next(iter(members(row.ofport)), 0),
        error=next(iter(members(row.error)), ""),
        external_ids=dict(row.external_ids[1]),
        options=dict(row.options[1]),
        statistics=dict(row.statistics[1]),
    )


def _mirror(row: _Mirror) -> MirrorRow:
    return MirrorRow(
        uuid=row._uuid[1],
        name=row.name,
        select_all=row.select_all,
        sources=frozenset(uuids(row.select_src_port)),
        destinations=frozenset(uuids(row.select_dst_port)),
        vlans=frozenset(members(row.select_vlan)),
        output_port=next(iter(uuids(row.output_port)), ""),
        output_vlan=next(iter(members(row.output_vlan)), 0),
        snaplen=next(iter(members(row.snaplen)), 0),
        external_ids=dict(row.external_ids[1]),
        statistics=dict(row.statistics[1]),
    )
