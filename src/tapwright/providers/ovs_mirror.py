"""Pure: mirrors on Open vSwitch as rows of its database; what a step writes there, and what differs from it later.

A mirror is one step and one transaction: a row of Mirror, and where its target needs one a port
with its interface.  Each carries the session's mark and the step's name in its external ids, and
by these alone it is found again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tapwright.adapters.ovsdb_rows import MirrorRow, Tables
from tapwright.adapters.ovsdb_transact import Operation as Change
from tapwright.adapters.ovsdb_transact import a_map, a_set, named, uuid
from tapwright.errors import ProviderError, UsageError
from tapwright.plan.mirrors import Direction, Mirror, Target, TargetKind, parse
from tapwright.plan.steps import Operation, Step
from tapwright.providers.ovs_preflight import loop

MARK = "tapwright-mark"
"""External id with `Mark.text` on every row of ours."""
STEP = "tapwright-step"
"""External id with the name of the step that made the row."""
DO, UNDO = "mirror", "unmirror"

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_LEAST_SNAPLEN, _MOST_SNAPLEN = 14, 65535
_OWN_MTU = 9216
"""Of our own device at least: else Open vSwitch gives it the smallest of the bridge, and a kernel cuts off at it."""


def steps(mirror: Mirror, remote: str = "") -> Sequence[Step]:
    """The one step that opens `mirror` on the switch whose database is `remote` ("": the one that has its bridge).

    Raises UsageError, ProviderError with the reason where Open vSwitch cannot serve it.
    """
    _refuse(mirror)
    name, port = name_of(mirror), mirror.point.port
    identity = {"name": name, "mark": mirror.mark.text, "port": port, "remote": remote}
    do = Operation.of(
        "ovs",
        DO,
        **identity,
        bridge=mirror.point.switch,
        target=mirror.target.text,
        place=mirror.place.port or mirror.place.device_name,
        existing=bool(mirror.place.port),
        direction=str(mirror.direction),
        snaplen=mirror.snaplen if mirror.snaplen < _MOST_SNAPLEN else 0,
        device=name if own(mirror.target) else "",
    )
    return (Step(do, Operation.of("ovs", UNDO, **identity), _why(mirror)),)


def name_of(mirror: Mirror) -> str:
    """What the rows of `mirror` are called, its own device too: the session and five characters of what is asked."""
    what = (mirror.point.switch, mirror.point.port, mirror.target.text, mirror.place.port, mirror.place.device_name)
    digest = hashlib.blake2b("\0".join((*what, mirror.direction, str(mirror.snaplen))).encode(), digest_size=8).digest()
    number = int.from_bytes(digest, "big")
    return f"tw{mirror.mark.session[:8]}" + "".join(_ALPHABET[number // 36**place % 36] for place in range(5))


def own(target: Target) -> bool:
    """Whether the copies go to a device that we make, for our engine to read."""
    return target.kind is TargetKind.NIC and not target.name


def _refuse(mirror: Mirror) -> None:
    if mirror.program:
        raise UsageError(
            f"Open vSwitch cannot filter what it mirrors from {mirror.point.port}",
            "leave the filter out, or capture --point mirror -f FILTER: there the copies are filtered on this host",
        )
    if 0 < mirror.snaplen < _LEAST_SNAPLEN:
        raise UsageError(f"Open vSwitch copies {_LEAST_SNAPLEN} bytes of a frame at least, not {mirror.snaplen}")
    if mirror.target.kind is TargetKind.VM and not mirror.place.port:
        raise ProviderError(
            f"{mirror.target.name} is not on the switch of {mirror.point.port}, and a mirror does not leave its bridge",
            "send the copies to the collector's address: --to vxlan://ADDRESS?vni=7",
        )
    if mirror.target.kind is TargetKind.NIC and mirror.target.name:
        _refuse_device(mirror)
    if why := loop(mirror):
        raise ProviderError(f"this mirror would be a loop: {why}", "choose another target")


def _refuse_device(mirror: Mirror) -> None:
    name, place = mirror.target.name, mirror.place
    if not place.port and not place.device_name:
        raise ProviderError(f"{name} is not a device of this host", "list those of the switch's namespace: ip link")
    home = place.netns.inode if place.netns else place.device.netns if place.device else 0
    if not place.port and home not in (0, mirror.point.netns.inode):
        raise ProviderError(
            f"{name} is in another network namespace than the switch of {mirror.point.port}",
            f"move it there: ip link set {name} netns ...",
        )


def _why(mirror: Mirror) -> str:
    port, place = mirror.point.port, mirror.place
    if own(mirror.target):
        return f"port {port} is copied to a device of our own"
    if place.port:
        return f"port {port} is copied to port {place.port}, which carries nothing else as long as that lasts"
    if mirror.target.kind is TargetKind.NIC:
        return (
            f"port {port} is copied to {place.device_name}, which becomes a port of the switch and carries nothing else"
        )
    return f"port {port} is copied to {mirror.target.text}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a step writes."""

    ids: Mapping[str, str]
    port: str
    """Name of the port that is made, "" when none is."""
    kind: str
    """Type of its interface."""
    options: Mapping[str, str] = field(default_factory=dict)
    existing: str = ""
    """Name of the port that takes the copies and was there before."""
    vlan: int = 0
    to_vm: bool = True
    from_vm: bool = True
    snaplen: int = 0
    tunnel: bool = False


def wanted(do: Operation) -> Wanted:
    """What `do` writes.  Raises ProviderError when it is no mirror of this provider."""
    if do.verb != DO:
        raise ProviderError(f"ovs cannot perform {do.verb!r}")
    target = Target(TargetKind.NIC) if do.text("device") else parse(do.text("target"))
    port, kind = _port_of(do, target)
    return Wanted(
        ids=identity(do),
        port=port,
        kind=kind,
        options=_options(target, Direction(do.text("direction"))) if target.tunnel else {},
        existing=do.text("place") if do.number("existing") else "",
        vlan=target.vlan,
        # From the switch: what a VM sends enters at its port, what comes to it leaves there.
        from_vm=do.text("direction") != Direction.IN,
        to_vm=do.text("direction") != Direction.OUT,
        snaplen=do.number("snaplen"),
        tunnel=target.tunnel,
    )


def identity(operation: Operation) -> Mapping[str, str]:
    """The external ids of the rows that belong to `operation`."""
    ids = {MARK: operation.text("mark"), STEP: operation.text("name")}
    return {key: value for key, value in ids.items() if value}


def carries(ids: Mapping[str, str]) -> list[object]:
    """The condition of a row that carries these external ids."""
    return ["external_ids", "includes", a_map(ids)]


def _port_of(do: Operation, target: Target) -> tuple[str, str]:
    """Name of the port to make and type of its interface."""
    if do.text("device"):
        return do.text("device"), "internal"
    if target.tunnel:
        return do.text("name"), "erspan" if target.kind in (TargetKind.ERSPAN2, TargetKind.ERSPAN3) else str(
            target.kind
        )
    if target.kind is TargetKind.NIC and not do.number("existing"):
        return do.text("place"), ""
    return "", ""


def _options(target: Target, direction: Direction) -> dict[str, str]:
    options = {"remote_ip": target.remote}
    if target.number or target.kind is not TargetKind.GRE:
        options["key"] = str(target.number)
    if target.port:
        options["dst_port"] = str(target.port)
    if target.kind is TargetKind.ERSPAN2:
        # ovs-vswitchd reads these two in base 16, whatever they look like.
        options |= {"erspan_ver": "1", "erspan_idx": f"{target.index:#x}"}
    if target.kind is TargetKind.ERSPAN3:
        # One tunnel has one direction bit: 1 is "leaves the switch", 0 "enters it", and what both ways share.
        options |= {"erspan_ver": "2", "erspan_dir": str(int(direction is Direction.IN)), "erspan_hwid": "0x0"}
    return options


def changes(do: Operation, tables: Tables, mtu: int = 0) -> list[Change]:
    """The transaction that opens the mirror, in a database of which `tables` was read.

    It happens only where the bridge and its mirrors are as they were read.  `mtu` is the mirrored port's.
    Raises ProviderError where a port is not there.
    """
    want, bridge = wanted(do), tables.bridges[0]
    mirrored = port_called(tables, do.text("port"))
    guard = {
        "op": "wait", "timeout": 0, "table": "Bridge", "columns": ["name", "mirrors"], "until": "==",
        "where": [["_uuid", "==", uuid(bridge.uuid)], ["ports", "includes", uuid(mirrored)]],
        "rows": [{"name": bridge.name, "mirrors": a_set(*map(uuid, bridge.mirrors))}],
    }  # fmt: skip
    mutations: list[object] = [["mirrors", "insert", a_set(named("mirror"))]]
    if want.port:
        mutations.append(["ports", "insert", a_set(named("port"))])
    output = named("port") if want.port else uuid(port_called(tables, want.existing)) if want.existing else None
    return [
        guard,
        *(_port_rows(want, mtu) if want.port else ()),
        {"op": "insert", "table": "Mirror", "uuid-name": "mirror", "row": _mirror_row(do, want, mirrored, output)},
        {
            "op": "mutate", "table": "Bridge", "where": [["_uuid", "==", uuid(bridge.uuid)]], "mutations": mutations,
        },
        {"op": "comment", "comment": f"tapwright: mirror {do.text('name')} of {do.text('port')}"},
    ]  # fmt: skip


def port_called(tables: Tables, name: str) -> str:
    """The id of the port of that name, or of the bond that a member ``bond0/eth1`` belongs to.

    Raises ProviderError when it is gone.
    """
    port = tables.port(name) or tables.port(name.partition("/")[0])
    if port is None:
        raise ProviderError(f"there is no port {name} any more")
    return port.uuid


def _port_rows(want: Wanted, mtu: int) -> Iterator[Change]:
    ids = a_map(want.ids)
    row: dict[str, Any] = {
        "name": want.port, "type": want.kind, "options": a_map(want.options), "external_ids": ids,
    }  # fmt: skip
    if want.kind == "internal":
        row["mtu_request"] = max(mtu, _OWN_MTU)
    yield {"op": "insert", "table": "Interface", "uuid-name": "interface", "row": row}
    port = {"name": want.port, "interfaces": named("interface"), "external_ids": ids}
    yield {"op": "insert", "table": "Port", "uuid-name": "port", "row": port}


def _mirror_row(do: Operation, want: Wanted, mirrored: str, output: object) -> dict[str, Any]:
    row: dict[str, Any] = {"name": do.text("name"), "external_ids": a_map(want.ids)}
    if want.from_vm:
        row["select_src_port"] = uuid(mirrored)
    if want.to_vm:
        row["select_dst_port"] = uuid(mirrored)
    if output:
        row["output_port"] = output
    if want.vlan:
        row["output_vlan"] = want.vlan
    if want.snaplen:
        row["snaplen"] = want.snaplen
    return row


def removals(tables: Tables) -> list[Change]:
    """The transaction that takes these mirrors and ports off whatever bridge has them; their rows vanish with that."""
    return [
        *(_removal("mirrors", mirror.uuid) for mirror in tables.mirrors),
        *(_removal("ports", port.uuid) for port in tables.ports),
    ]


def _removal(column: str, row: str) -> Change:
    members = a_set(uuid(row))
    where, mutations = [[column, "includes", members]], [[column, "delete", members]]
    return {"op": "mutate", "table": "Bridge", "where": where, "mutations": mutations}


def differences(do: Operation, tables: Tables) -> list[str]:
    """What is not as `do` wrote it, in words; `tables` has the rows of ours and the ports that they name."""
    want = wanted(do)
    mirror = next((m for m in tables.mirrors if want.ids.items() <= m.external_ids.items()), None)
    told = ["the mirror's row is gone"] if mirror is None else list(_in_mirror(do, want, mirror, tables))
    return told + (list(_in_port(want, tables)) if want.port else [])


def _in_mirror(do: Operation, want: Wanted, mirror: MirrorRow, tables: Tables) -> Iterator[str]:
    try:
        mirrored = frozenset({port_called(tables, do.text("port"))})
    except ProviderError:
        yield f"the mirrored port {do.text('port')} is gone"
        return
    if mirror.name != do.text("name"):
        yield f"the mirror's name is {mirror.name!r}"
    if mirror.select_all or mirror.vlans:
        yield "it selects all ports" if mirror.select_all else "it selects VLANs"
    for column, asked, found in (
        ("select_src_port", want.from_vm, mirror.sources),
        ("select_dst_port", want.to_vm, mirror.destinations),
    ):
        if found != (mirrored if asked else frozenset()):
            yield f"{column} is another one"
    output = tables.port(want.port or want.existing)
    if not mirror.output_port and (want.port or want.existing):
        yield "its output port is gone"
    elif mirror.output_port and (output is None or output.uuid != mirror.output_port):
        yield "output_port is another one"
    if mirror.output_vlan != want.vlan:
        yield f"output_vlan is {mirror.output_vlan}"
    if mirror.snaplen != want.snaplen:
        yield f"snaplen is {mirror.snaplen}"


def _in_port(want: Wanted, tables: Tables) -> Iterator[str]:
    port = next((p for p in tables.ports if want.ids.items() <= p.external_ids.items()), None)
    row = next((i for i in tables.interfaces if want.ids.items() <= i.external_ids.items()), None)
    if port is None or row is None:
        yield f"port {want.port} is gone"
        return
    if port.name != want.port or port.interfaces != (row.uuid,):
        yield f"port {want.port} is another one"
    if port.tag is not None:
        yield f"port {want.port} has the tag {port.tag}"
    if row.type != want.kind:
        yield f"the type of {want.port} is {row.type!r}"
    for key in sorted(row.options.keys() | want.options.keys()):
        if row.options.get(key) != want.options.get(key):
            yield f"{key} of {want.port} is {row.options.get(key, '')!r}"
    if row.error or row.ofport < 0:
        yield f"port {want.port} does not work: {row.error or 'ovs-vswitchd could not add it'}"
