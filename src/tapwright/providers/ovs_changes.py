"""Pure: the transactions that open and close a mirror, where they may happen, and what differs from them later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tapwright.adapters.ovsdb_mirrors import MirroringBridge, MirroringInterface, MirroringPort, MirrorRow, Tables
from tapwright.adapters.ovsdb_transact import Operation as Change
from tapwright.adapters.ovsdb_transact import Outdated, a_map, a_set, named, uuid
from tapwright.errors import ProviderError
from tapwright.plan.preflight import room
from tapwright.plan.steps import Operation
from tapwright.providers.ovs_mirror import FLOODED, MARK, Wanted, carries, source, wanted

_OWN_MTU = 9216
"""Of our own device at least: else Open vSwitch gives it the smallest of the bridge, and a kernel cuts off at it."""


_YES, _NO = "yes", "no"


def spellings(port: str) -> tuple[str, ...]:
    """A port's name, and the bond's where it is that of a member: ``bond0/eth1``."""
    return tuple(dict.fromkeys((port, port.partition("/")[0])))


def allowed(do: Operation, want: Wanted, tables: Tables) -> None:
    """Raise ProviderError where the mirror of `do` would deliver nothing, or harm the switch.

    Raises Outdated where another process has made it since it was looked for.
    """
    port = do.text("port")
    if not tables.bridges:
        raise ProviderError(f"the switch of {source(do)} is gone")
    bridge = tables.bridges[0]
    if want.entry:
        _not_there(want, tables)
    if want.relay or want.entry:
        return
    if full := room(len(bridge.mirrors)):
        raise ProviderError(f"no mirror of {source(do)} on {bridge.name}: {full}", "see them: ovs-vsctl list Mirror")
    for name in filter(None, (port, want.existing)):
        if port_called(tables, name) not in bridge.ports:
            raise ProviderError(f"port {name} is not on {bridge.name}, and a mirror does not leave its bridge")
    _delivers(do, want, bridge, tables)
    if want.existing and not _of_this_session(want, tables):
        _harmless(want.existing, bridge.name, tables)


def _delivers(do: Operation, want: Wanted, bridge: MirroringBridge, tables: Tables) -> None:
    if want.snaplen and want.tunnel and bridge.datapath_type == "netdev":
        raise ProviderError(
            f"frames cut to {want.snaplen} bytes cannot be sent to {do.text('target')}: Open vSwitch's userspace "
            "datapath cuts them after it wrapped them, and nothing arrives",
            "leave -s out, or capture --point mirror -s and send the file",
        )
    _not_there(want, tables)
    mirrored = "" if want.whole else port_called(tables, do.text("port"))
    if want.vlan and want.vlan in (row.tag for row in tables.ports if row.uuid == mirrored):
        raise ProviderError(
            f"{source(do)} is in VLAN {want.vlan} itself: its copies would come back", "take another VLAN"
        )


def _not_there(want: Wanted, tables: Tables) -> None:
    """The port that is to be made."""
    there = tables.port(want.port) if want.port else None
    if there and want.ids.items() <= there.external_ids.items():
        raise Outdated(f"{want.port} was made meanwhile")
    if want.port and (there or any(row.name == want.port for row in tables.interfaces)):
        raise ProviderError(f"{want.port} is a port already, of another switch or of somebody else's")


def _of_this_session(want: Wanted, tables: Tables) -> bool:
    """Whether an earlier step of the same session made the port that takes the copies."""
    port = tables.port(want.existing)
    return port is not None and port.external_ids.get(MARK) == want.ids[MARK]


def _harmless(output: str, bridge: str, tables: Tables) -> None:
    """A port that takes copies carries nothing else: not one on which the switch's own traffic depends."""
    kind = next((row.type for row in tables.interfaces if row.name == output), "")
    if output == bridge or kind in ("patch", "vxlan", "geneve", "gre", "erspan", "ip6gre", "ip6erspan"):
        raise ProviderError(
            f"copies cannot go to port {output}: as long as they do it carries nothing else, and the switch needs it",
            "send them to a device or a collector's port of their own",
        )


def changes(do: Operation, tables: Tables, mtu: int = 0) -> list[Change]:
    """The transaction that opens the mirror, in a database of which `tables` was read.

    It happens only where the bridge and its mirrors are as they were read.  `mtu` is the mirrored port's.
    Raises ProviderError where a port is not there.
    """
    want, bridge = wanted(do), tables.bridges[0]
    if want.relay:
        return _relay(do, want, bridge.datapath_type)
    if want.entry:
        return _entrance(do, want, bridge, tables)
    mirrored = "" if want.whole else port_called(tables, want.mirrored)
    there = [["ports", "includes", uuid(mirrored)]] if mirrored else []
    guard = {
        "op": "wait", "timeout": 0, "table": "Bridge", "columns": ["name", "mirrors"], "until": "==",
        "where": [["_uuid", "==", uuid(bridge.uuid)], *there],
        "rows": [{"name": bridge.name, "mirrors": a_set(*map(uuid, bridge.mirrors))}],
    }  # fmt: skip
    mutations: list[object] = [["mirrors", "insert", a_set(named("mirror"))]]
    if want.port:
        mutations.append(["ports", "insert", a_set(named("port"))])
    output = named("port") if want.port else uuid(port_called(tables, want.existing)) if want.existing else None
    return [
        guard,
        *(_port_rows(want, mtu, _alike(want, mirrored, tables)) if want.port else ()),
        _mirror_row(do, want, uuid(mirrored), output),
        {
            "op": "mutate", "table": "Bridge", "where": [["_uuid", "==", uuid(bridge.uuid)]], "mutations": mutations,
        },
        {"op": "comment", "comment": f"tapwright: mirror {do.text('name')} of {source(do)}"},
    ]  # fmt: skip


def _relay(do: Operation, want: Wanted, datapath: str) -> list[Change]:
    """The transaction that makes a bridge of our own with no flows and a mirror of what comes in by its local port."""
    ids = a_map(want.ids)
    interface = {"name": want.relay, "type": "internal", "mtu_request": _OWN_MTU, "external_ids": ids}
    port = {"name": want.relay, "interfaces": named("local"), "external_ids": ids}
    bridge = {
        "name": want.relay, "datapath_type": datapath, "fail_mode": "secure", "external_ids": ids,
        "ports": a_set(named("entry"), named("port")), "mirrors": named("mirror"),
    }  # fmt: skip
    return [
        {"op": "insert", "table": "Interface", "uuid-name": "local", "row": interface},
        {"op": "insert", "table": "Port", "uuid-name": "entry", "row": port},
        *_port_rows(want, _OWN_MTU, {}),
        _mirror_row(do, want, named("entry"), named("port")),
        {"op": "insert", "table": "Bridge", "uuid-name": "bridge", "row": bridge},
        {
            "op": "mutate", "table": "Open_vSwitch", "where": [],
            "mutations": [["bridges", "insert", a_set(named("bridge"))]],
        },
        {"op": "comment", "comment": f"tapwright: relay {do.text('name')} of {do.text('port')}"},
    ]  # fmt: skip


def _entrance(do: Operation, want: Wanted, bridge: MirroringBridge, tables: Tables) -> list[Change]:
    """The transaction that makes a port into a VLAN, of which the bridge learns no addresses from then on.

    Frames may have tags of their own, and keep them behind that of the VLAN.
    """
    ours = any(row.external_ids.get(FLOODED) == _YES for row in _entrances(want.entry, bridge, tables))
    flooded = _YES if ours or want.entry not in bridge.flood_vlans else _NO
    vlan = {"tag": want.entry, "vlan_mode": "dot1q-tunnel", "other_config": a_map({"qinq-ethtype": "802.1q"})}
    mutations = [["ports", "insert", a_set(named("port"))], ["flood_vlans", "insert", a_set(want.entry)]]
    return [
        _as_read(bridge),
        *_port_rows(replace(want, ids={**want.ids, FLOODED: flooded}), _OWN_MTU, vlan),
        {"op": "mutate", "table": "Bridge", "where": [["_uuid", "==", uuid(bridge.uuid)]], "mutations": mutations},
        {"op": "comment", "comment": f"tapwright: entrance {do.text('name')}"},
    ]


def _as_read(bridge: MirroringBridge) -> Change:
    """That neither its ports nor the VLANs without learning have changed since."""
    row = {"ports": a_set(*map(uuid, sorted(bridge.ports))), "flood_vlans": a_set(*sorted(bridge.flood_vlans))}
    return {
        "op": "wait", "timeout": 0, "table": "Bridge", "columns": list(row), "until": "==",
        "where": [["_uuid", "==", uuid(bridge.uuid)]], "rows": [row],
    }  # fmt: skip


def _entrances(vlan: int, bridge: MirroringBridge, tables: Tables) -> list[MirroringPort]:
    """Ports of tapwright's into a VLAN of a bridge."""
    return [p for p in tables.ports if p.uuid in bridge.ports and p.tag == vlan and FLOODED in p.external_ids]


def port_called(tables: Tables, name: str) -> str:
    """The id of the port of that name, or of the bond that a member ``bond0/eth1`` belongs to.

    Raises ProviderError when it is gone.
    """
    port = next((port for spelling in spellings(name) if (port := tables.port(spelling))), None)
    if port is None:
        raise ProviderError(f"there is no port {name} any more")
    return port.uuid


def _alike(want: Wanted, mirrored: str, tables: Tables) -> dict[str, Any]:
    """The VLAN columns of a port that is to show frames as the mirrored one does."""
    port = next((port for port in tables.ports if want.alike and port.uuid == mirrored), None)
    if port is None:
        return {}
    return {column: value for column, value in (("tag", port.tag), ("vlan_mode", port.vlan_mode)) if value}


def _port_rows(want: Wanted, mtu: int, vlan: Mapping[str, Any]) -> Iterator[Change]:
    ids = a_map(want.ids)
    row: dict[str, Any] = {
        "name": want.port, "type": want.kind, "options": a_map(want.options), "external_ids": ids,
    }  # fmt: skip
    if want.kind == "internal":
        row["mtu_request"] = max(mtu, _OWN_MTU)
    yield {"op": "insert", "table": "Interface", "uuid-name": "interface", "row": row}
    port = {"name": want.port, "interfaces": named("interface"), "external_ids": ids, **vlan}
    yield {"op": "insert", "table": "Port", "uuid-name": "port", "row": port}


def _mirror_row(do: Operation, want: Wanted, mirrored: object, output: object) -> Change:
    """The operation that inserts the mirror's row."""
    row: dict[str, Any] = {"name": do.text("name"), "external_ids": a_map(want.ids)}
    if want.whole:  # a frame that comes in by one port and leaves by another one is copied once
        row["select_all"] = True
    if want.from_vm and not want.whole:
        row["select_src_port"] = mirrored
    if want.to_vm and not want.whole:
        row["select_dst_port"] = mirrored
    if output:
        row["output_port"] = output
    if want.vlan:
        row["output_vlan"] = want.vlan
    if want.snaplen:
        row["snaplen"] = want.snaplen
    if want.vlans:
        row["select_vlan"] = a_set(*want.vlans)
    return {"op": "insert", "table": "Mirror", "uuid-name": "mirror", "row": row}


def recut(do: Operation) -> list[Change]:
    """The transaction that gives the mirror of `do` another snap length.

    It happens only where the mirror has the one that was there before.
    """
    ours = [carries(wanted(do).ids)]
    was, snaplen = ({"snaplen": a_set(*filter(None, (do.number(name),)))} for name in ("was", "snaplen"))
    return [
        {
            "op": "wait", "timeout": 0, "table": "Mirror", "columns": ["snaplen"], "until": "==", "where": ours,
            "rows": [was],
        },
        {"op": "update", "table": "Mirror", "where": ours, "row": snaplen},
        {"op": "comment", "comment": f"tapwright: mirror {do.text('name')} of {source(do)} is cut"},
    ]  # fmt: skip


def removals(tables: Tables, whole: Tables) -> list[Change]:
    """The transaction that takes these off whatever has them; the rows vanish with that.

    `whole` has all bridges and ports where an entrance is among them.
    """
    return [
        *(change for port in tables.ports if FLOODED in port.external_ids for change in _learning(port, whole)),
        *(_removal("Bridge", "mirrors", mirror.uuid) for mirror in tables.mirrors),
        *(_removal("Bridge", "ports", port.uuid) for port in tables.ports),
        *(_removal("Open_vSwitch", "bridges", bridge.uuid) for bridge in tables.bridges),
    ]


def enters(tables: Tables) -> bool:
    """Whether a port into a VLAN is among these."""
    return any(FLOODED in port.external_ids for port in tables.ports)


def _learning(port: MirroringPort, whole: Tables) -> Iterator[Change]:
    """The bridge of an entrance learns addresses of its VLAN again, where it did before the first one."""
    yield from (_as_read(bridge) for bridge in whole.bridges if port.uuid in bridge.ports)
    if bridge := learning(port, whole):
        where = [["_uuid", "==", uuid(bridge.uuid)]]
        mutations = [["flood_vlans", "delete", a_set(port.tag)]]
        yield {"op": "mutate", "table": "Bridge", "where": where, "mutations": mutations}


def learning(port: MirroringPort, whole: Tables) -> MirroringBridge | None:
    """The bridge that is to learn addresses of the port's VLAN again once this last entrance to it is gone."""
    bridge = next((bridge for bridge in whole.bridges if port.uuid in bridge.ports), None)
    if bridge is None or port.tag is None or port.external_ids.get(FLOODED) != _YES:
        return None
    return bridge if len(_entrances(port.tag, bridge, whole)) == 1 else None


def _removal(table: str, column: str, row: str) -> Change:
    members = a_set(uuid(row))
    where, mutations = [[column, "includes", members]], [[column, "delete", members]]
    return {"op": "mutate", "table": table, "where": where, "mutations": mutations}


def differences(do: Operation, tables: Tables) -> list[str]:
    """What somebody changed of what `do` wrote, in words; `tables` has our rows and the ports that they name."""
    want, mirror = wanted(do), _mirror_of(do, tables)
    if want.entry:
        return list(_in_port(want, tables))
    told = ["the mirror's row is gone"] if mirror is None else list(_in_mirror(do, want, mirror, tables))
    told += list(_in_relay(want, tables)) if want.relay else []
    return told + (list(_in_port(want, tables)) if want.port else [])


def losses(do: Operation, tables: Tables) -> list[str]:
    """What a mirror that nobody changed lacks, in words: a port or device that went, and whatever works without it.

    The database takes a port that goes out of every mirror that names it, also when one of the same name comes.
    """
    want, mirror = wanted(do), _mirror_of(do, tables)
    told = []
    if mirror and not want.whole and not mirror.sources | mirror.destinations:
        told.append(f"the mirrored port {want.mirrored} is gone{_came_back(want.mirrored, tables)}")
    if mirror and want.existing and not mirror.output_port:
        told.append(f"port {want.existing}, which took the copies, is gone{_came_back(want.existing, tables)}")
    bridge = next((bridge for bridge in tables.bridges if want.entry and bridge.uuid == do.text("bridge")), None)
    if bridge and want.entry not in bridge.flood_vlans:
        told.append(f"{bridge.name} learns addresses of VLAN {want.entry} again, so that not all copies get there")
    row = next((i for i in tables.interfaces if _is_output(want, i)), None)
    if want.port and row and (row.error or row.ofport < 0):
        told.append(f"port {want.port} does not work: {row.error or 'ovs-vswitchd could not add it'}")
    return told


def _came_back(port: str, tables: Tables) -> str:
    return ", and the port of that name is another one" if any(map(tables.port, spellings(port))) else ""


def _mirror_of(do: Operation, tables: Tables) -> MirrorRow | None:
    ids = wanted(do).ids
    return next((mirror for mirror in tables.mirrors if ids.items() <= mirror.external_ids.items()), None)


def _in_mirror(do: Operation, want: Wanted, mirror: MirrorRow, tables: Tables) -> Iterator[str]:
    if mirror.name != do.text("name"):
        yield f"the mirror's name is {mirror.name!r}"
    if mirror.select_all != want.whole:
        yield "it selects all ports" if mirror.select_all else "it does not select all ports"
    if mirror.vlans != frozenset(want.vlans):
        yield f"it selects {'VLANs ' + ', '.join(map(str, sorted(mirror.vlans))) if mirror.vlans else 'all VLANs'}"
    yield from _in_selection(want, mirror, tables)
    output = tables.port(want.port or want.existing)
    if not mirror.output_port and want.port:
        yield "its output port is gone"
    elif mirror.output_port and (output is None or output.uuid != mirror.output_port):
        yield "output_port is another one"
    if mirror.output_vlan != want.vlan:
        yield f"output_vlan is {mirror.output_vlan}"
    if mirror.snaplen != want.snaplen:
        yield f"snaplen is {mirror.snaplen}"


def _in_relay(want: Wanted, tables: Tables) -> Iterator[str]:
    bridge = next((b for b in tables.bridges if want.ids.items() <= b.external_ids.items()), None)
    if bridge is None or bridge.name != want.relay:
        yield f"bridge {want.relay} is gone"
    elif not bridge.mirrors:
        yield f"bridge {want.relay} has no mirror"


def _in_selection(want: Wanted, mirror: MirrorRow, tables: Tables) -> Iterator[str]:
    if not mirror.sources | mirror.destinations:
        return
    port = next((port for name in spellings(want.mirrored) if (port := tables.port(name))), None)
    mirrored = frozenset({port.uuid} if port and not want.whole else ())
    for column, asked, found in (
        ("select_src_port", want.from_vm, mirror.sources),
        ("select_dst_port", want.to_vm, mirror.destinations),
    ):
        if found != (mirrored if asked else frozenset()):
            yield f"{column} is another one"


def _in_port(want: Wanted, tables: Tables) -> Iterator[str]:
    port = next((p for p in tables.ports if _is_output(want, p)), None)
    row = next((i for i in tables.interfaces if _is_output(want, i)), None)
    if port is None or row is None:
        yield f"port {want.port} is gone"
        return
    if port.name != want.port or port.interfaces != (row.uuid,):
        yield f"port {want.port} is another one"
    # One that is as the mirrored port changes with it no more, once it is there.
    if port.tag != (want.entry or None) and not want.alike:
        yield f"port {want.port} has {'no tag' if port.tag is None else f'the tag {port.tag}'}"
    if row.type != want.kind:
        yield f"the type of {want.port} is {row.type!r}"
    for key in sorted(row.options.keys() | want.options.keys()):
        if row.options.get(key) != want.options.get(key):
            yield f"{key} of {want.port} is {row.options.get(key, '')!r}"


def _is_output(want: Wanted, row: MirroringPort | MirroringInterface) -> bool:
    """Whether a row is of the port that takes the copies, and not the local one of a relay."""
    return want.ids.items() <= row.external_ids.items() and row.name != want.relay
