"""Pure: mirrors in OVN's northbound database as steps, and what each writes there.

One mirror of OVN has one direction (in older releases), one number, and any number of ports.  So a
step writes a row of Mirror for each direction and attaches them to its port; several ports of one
session with the same target share the rows, because their servers could not tell two tunnels with
one number apart.  Each row carries the session's mark, and by it alone it is found again.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from tapwright.adapters.ovnnb import AttachedPort, Mirroring, NorthboundMirror, addresses
from tapwright.adapters.ovsdb_transact import Operation as Change
from tapwright.adapters.ovsdb_transact import a_map, a_set, named, uuid
from tapwright.errors import ProviderError, UsageError
from tapwright.plan.mirrors import Direction, Mirror, Target, TargetKind, parse
from tapwright.plan.steps import Mark, Operation, Step
from tapwright.providers.ovs_mirror import MARK, carries, identity, label

DO, UNDO = "mirror", "unmirror"
BEAT = "tapwright-beat"
"""External id that an owner counts up while it lives, for those who see the database and not the owner."""
FROM, TO, BOTH = "from-lport", "to-lport", "both"
"""Values of Mirror.filter."""
_COVERS = {FROM: {Direction.OUT}, TO: {Direction.IN}, BOTH: {Direction.IN, Direction.OUT}}
_TYPES = {TargetKind.GRE: "gre", TargetKind.ERSPAN2: "erspan"}
_MOST = {TargetKind.GRE: 0xFFFF_FFFF, TargetKind.ERSPAN2: 0x3FF}
_INSTEAD = "run tapwright on the VM's server, where Open vSwitch itself can mirror its port"


def steps(mirror: Mirror) -> Sequence[Step]:
    """The one step that opens `mirror`.  Raises UsageError, ProviderError with the reason where OVN cannot serve it."""
    _refuse(mirror)
    name = label(mirror.mark, mirror.target.text, mirror.direction)
    ours = {"name": name, "mark": mirror.mark.text, "port": mirror.point.port}
    do = Operation.of("ovn", DO, **ours, target=mirror.target.text, direction=str(mirror.direction))
    return (Step(do, Operation.of("ovn", UNDO, **ours), _why(mirror)),)


def _refuse(mirror: Mirror) -> None:
    port, target = mirror.point.port, mirror.target
    if mirror.program:
        raise UsageError(f"OVN cannot filter what it mirrors from {port}", f"leave the filter out, or {_INSTEAD}")
    if mirror.vlans:
        raise UsageError(f"OVN copies all VLANs of {port}", f"leave --vlan out, or {_INSTEAD}")
    if mirror.snaplen:
        raise UsageError(f"OVN cannot cut what it mirrors from {port}", f"leave -s out, or {_INSTEAD}")
    if target.kind not in _TYPES:
        raise ProviderError(
            f"OVN sends copies of {port} by GRE or ERSPAN II only, to a collector's address",
            f"--to gre://ADDRESS or --to erspan2://ADDRESS, or {_INSTEAD}",
        )
    if target.index not in (0, _index(target.number)) and target.kind is TargetKind.ERSPAN2:
        raise UsageError(
            f"OVN has one number for session and index, and Open vSwitch takes the index for hexadecimal: session "
            f"{target.number} has index {_index(target.number)} and not {target.index}",
            f"leave the index out, or {_INSTEAD}",
        )


def _index(session: int) -> int:
    """What is on the wire: the number is written in decimal, and ovs-vswitchd reads it in base 16."""
    return int(str(session), 16)


def _why(mirror: Mirror) -> str:
    port, target = mirror.point.port, mirror.target
    if mirror.direction is not Direction.BOTH:
        return f"logical port {port} is copied to {target.text}"
    word = "session" if target.kind is TargetKind.ERSPAN2 else "key"
    return (
        f"logical port {port} is copied to {target.text}: what the VM sends with {word} {target.number}, what comes to "
        f"it with {_other(target)} where this OVN needs a mirror for each direction"
    )


def _other(target: Target) -> int:
    """The number of the second direction: two tunnels to one collector with one number are refused by Open vSwitch."""
    return target.number + 1 if target.number < _MOST[target.kind] else target.number - 1


@dataclass(frozen=True, slots=True)
class Row:
    """A row of Mirror, as a step wants it."""

    name: str
    filter: str
    type: str
    sink: str
    index: int


def wanted(do: Operation, filters: Collection[str]) -> tuple[Row, ...]:
    """What `do` writes where Mirror.filter may be one of `filters`.  Raises ProviderError when it is none of ours."""
    if do.verb != DO:
        raise ProviderError(f"ovn cannot perform {do.verb!r}")
    target, name, direction = parse(do.text("target")), do.text("name"), Direction(do.text("direction"))
    kind, sink = _TYPES[target.kind], target.remote
    if direction is Direction.BOTH and BOTH in filters:
        return (Row(name, BOTH, kind, sink, target.number),)
    second = _other(target) if direction is Direction.BOTH else target.number
    out = Row(f"{name}-out", FROM, kind, sink, target.number)
    into = Row(f"{name}-in", TO, kind, sink, second)
    return {Direction.BOTH: (out, into), Direction.OUT: (out,), Direction.IN: (into,)}[direction]


def names_of(do: Operation) -> tuple[str, ...]:
    """The names that its rows may have, whatever this OVN can do."""
    return tuple(sorted({row.name for filters in ((), (BOTH,)) for row in wanted(do, filters)}))


def numbers(do: Operation, rows: Sequence[Row]) -> str:
    """With what numbers copies come where those are not simply the ones that were asked for, "" where they are."""
    target = parse(do.text("target"))
    erspan = target.kind is TargetKind.ERSPAN2
    if len(rows) == 1 and (not erspan or _index(target.number) == target.number):
        return ""
    words = {FROM: "what the VM sends", TO: "what comes to it", BOTH: "both directions"}
    said = [
        f"{words[row.filter]}: " + (f"session {row.index}, index {_index(row.index)}" if erspan else f"key {row.index}")
        for row in rows
    ]
    why = "; Open vSwitch reads the index in hexadecimal" if any(_index(r.index) != r.index for r in rows) else ""
    return "; ".join(said) + (why if erspan else "")


def allowed(do: Operation, rows: Sequence[Row], there: Mirroring) -> AttachedPort:
    """The port to be mirrored.  Raises ProviderError where it is gone, or nothing would arrive."""
    port = there.port(do.text("port"))
    if port is None:
        raise ProviderError(f"there is no logical port {do.text('port')} any more", "see them: ovn-nbctl show")
    sink = rows[0].sink
    if ip_address(sink) in set(addresses(port.addresses)):
        raise ProviderError(
            f"{sink} is the mirrored VM itself, which would get copies of its copies", "choose another target"
        )
    for row in rows:
        for mirror in there.mirrors:
            if (mirror.sink, mirror.type, mirror.index) == (sink, row.type, row.index) and mirror.name != row.name:
                raise ProviderError(
                    f"OVN's mirror {mirror.name} sends to {sink} with number {row.index} already, and a server refuses "
                    "two tunnels of one number",
                    f"choose another: --to '{_free(parse(do.text('target')), there)}'",
                )
    return port


def _free(target: Target, there: Mirroring) -> str:
    """The target with a number that nobody uses for that collector, nor the next one."""
    used = {mirror.index for mirror in there.mirrors if mirror.sink == target.remote}
    number = next(number for number in itertools.count(1) if not used & {number, number + 1})
    return replace(target, number=number, index=0).text


def changes(do: Operation, rows: Sequence[Row], port: AttachedPort, there: Mirroring) -> list[Change]:
    """The transaction that makes what is missing and attaches it to `port`; it happens only where both are as read."""
    known = {mirror.name: mirror for mirror in there.mirrors}
    guards = [_as_read("Logical_Switch_Port", ["_uuid", "==", uuid(port.uuid)], [port.name])]
    guards += [_as_read("Mirror", ["name", "==", row.name], [row.name] if row.name in known else []) for row in rows]
    fresh = {row.name: f"mirror{number}" for number, row in enumerate(rows) if row.name not in known}
    inserts = [_insert(do, row, fresh[row.name]) for row in rows if row.name in fresh]
    ids = [named(fresh[row.name]) if row.name in fresh else uuid(known[row.name].uuid) for row in rows]
    attach = [["mirror_rules", "insert", a_set(*ids)]]
    where = [["_uuid", "==", uuid(port.uuid)]]
    return [
        *guards,
        *inserts,
        {"op": "mutate", "table": "Logical_Switch_Port", "where": where, "mutations": attach},
    ]


def _insert(do: Operation, row: Row, name: str) -> Change:
    columns: dict[str, Any] = {
        "name": row.name, "filter": row.filter, "type": row.type, "sink": row.sink, "index": row.index,
        "external_ids": a_map({**identity(do), BEAT: "0"}),
    }  # fmt: skip
    return {"op": "insert", "table": "Mirror", "uuid-name": name, "row": columns}


def _as_read(table: str, condition: list[Any], names: Collection[str]) -> Change:
    rows = [{"name": name} for name in sorted(names)]
    return {
        "op": "wait", "timeout": 0, "table": table, "where": [condition], "columns": ["name"], "until": "==",
        "rows": rows,
    }  # fmt: skip


def renewal(mark: Mark, beat: str) -> list[Change]:
    """The transaction that writes `beat` into whatever carries `mark`."""
    change = [["external_ids", "delete", a_set(BEAT)], ["external_ids", "insert", a_map({BEAT: beat})]]
    return [{"op": "mutate", "table": "Mirror", "where": [carries({MARK: mark.text})], "mutations": change}]


def unrenewed(beat: str, there: Mirroring) -> list[Change]:
    """What stops a transaction where an owner showed since `beat` that it lives; nothing where no beat is known.

    Raises ProviderError where it did already.
    """
    if not beat:
        return []
    for mirror in there.mirrors:
        if mirror.external_ids.get(BEAT) != beat:
            raise ProviderError(f"the owner of mirror {mirror.name} showed a sign of life meanwhile")
    return [
        {
            "op": "wait", "timeout": 0, "table": "Mirror", "where": [["_uuid", "==", uuid(mirror.uuid)]],
            "columns": ["external_ids"], "until": "==", "rows": [{"external_ids": a_map(mirror.external_ids)}],
        }
        for mirror in there.mirrors
    ]  # fmt: skip


def removals(port: str, there: Mirroring) -> list[Change]:
    """The transaction that detaches our mirrors, of which `there` has all, from `port` and removes those without any.

    Without a port they are removed, and with that detached from all.
    """
    return [change for mirror in there.mirrors for change in _removal(port, mirror, there)]


def _removal(port: str, mirror: NorthboundMirror, there: Mirroring) -> Iterator[Change]:
    names = {attached.name for attached in there.attached(mirror)}
    yield _as_read("Logical_Switch_Port", ["mirror_rules", "includes", uuid(mirror.uuid)], names)
    if port and names - {port}:
        where, detach = [["name", "==", port]], [["mirror_rules", "delete", a_set(uuid(mirror.uuid))]]
        yield {"op": "mutate", "table": "Logical_Switch_Port", "where": where, "mutations": detach}
    else:  # what was attached is detached by that: it refers to it weakly
        yield {"op": "delete", "table": "Mirror", "where": [["_uuid", "==", uuid(mirror.uuid)]]}


def mine(do: Operation, there: Mirroring) -> bool:
    """Whether anything of ours is there for the port of `do`: attached to it, or to nobody at all."""
    port = there.port(do.text("port"))
    attached = port is not None and any(mirror.uuid in port.mirrors for mirror in there.mirrors)
    return attached or any(not there.attached(mirror) for mirror in there.mirrors)


def differences(do: Operation, there: Mirroring) -> Iterator[str]:
    """What is not as `do` wrote it, in words; `there` has our mirrors and the ports they are attached to.

    A port that is gone took its attachment with it; nobody changed anything of ours by that.
    """
    port = there.port(do.text("port"))
    rows = {row.name: row for filters in ((), (BOTH,)) for row in wanted(do, filters)}
    covered: set[Direction] = set()
    for mirror in there.mirrors:
        yield from _in_row(mirror, rows.get(mirror.name))
        covered |= _COVERS.get(mirror.filter, set())
        if port and mirror.uuid not in port.mirrors:
            yield f"mirror {mirror.name} is not attached to port {port.name} any more"
    asked = Direction(do.text("direction"))
    yield from (f"the mirror of what goes {way} is gone" for way in sorted(_ways(asked) - covered))


def _in_row(mirror: NorthboundMirror, row: Row | None) -> Iterator[str]:
    if row is None:
        yield f"the mirror's name is {mirror.name!r}"
        return
    for column in ("filter", "type", "sink", "index"):
        if getattr(mirror, column) != getattr(row, column):
            yield f"{column} of mirror {mirror.name} is {getattr(mirror, column)!r}"


def _ways(direction: Direction) -> set[Direction]:
    return {Direction.IN, Direction.OUT} if direction is Direction.BOTH else {direction}
