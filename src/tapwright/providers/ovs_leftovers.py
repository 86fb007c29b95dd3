"""What mirrors left on an Open vSwitch: ours by their mark, and strangers' that do nothing.

Pure but for one look at the running processes: a port of ``ovs-tcpdump`` is a leftover only
when no ovs-tcpdump on that interface runs any more.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePath

from tapwright.adapters.ovsdb import DEFAULT_REMOTE
from tapwright.adapters.ovsdb_mirrors import MirroringBridge, MirroringPort, MirrorRow, Tables
from tapwright.adapters.process import Process
from tapwright.plan.steps import Leftover, Mark, Operation
from tapwright.providers.ovs_changes import learning
from tapwright.providers.ovs_mirror import MARK, STEP, UNDO

OVN_OWNED = "ovn-owned"
"""External id of mirrors that ovn-controller keeps as the northbound database says: only there they can be removed."""
_TCPDUMP = re.compile(r"mi.+|ovsmi\d{6}")
"""What ovs-tcpdump calls its ports: ``mi`` and the interface, a random number where that is too long."""


def leftovers(remote: str, tables: Tables, processes: Collection[Process]) -> Iterator[Leftover]:
    """In the database at `remote`, of which `tables` is the whole."""
    yield from _ours(remote, tables)
    yield from _strangers(remote, tables, processes)


def unread(why: str) -> Leftover:
    """In a database that does not answer."""
    return Leftover("ovs", f"a database that cannot be read: {why}", None, None, "ovs-vsctl show")


def _ours(remote: str, tables: Tables) -> Iterator[Leftover]:
    carried = [row.external_ids for rows in (tables.mirrors, tables.ports, tables.bridges) for row in rows]
    for mark, step in dict.fromkeys((ids[MARK], ids.get(STEP, "")) for ids in carried if MARK in ids):
        mine = {MARK: mark, STEP: step} if step else {MARK: mark}
        mirrors = [row for row in tables.mirrors if mine.items() <= row.external_ids.items()]
        ports = [row for row in tables.ports if mine.items() <= row.external_ids.items()]
        parsed = Mark.parse(mark)
        bridges = [row for row in tables.bridges if mine.items() <= row.external_ids.items()]
        what = f"bridge {bridges[0].name}" if bridges else f"port {ports[0].name}" if ports else ""
        if mirrors and not bridges:
            what = f"mirror {mirrors[0].name} of bridge {_bridge(tables, mirrors[0])}"
        undo = Operation.of("ovs", UNDO, name=step, mark=mark, port="", remote=remote)
        command = _command(remote, tables, mirrors, ports, bridges)
        yield Leftover("ovs", what, parsed, undo if parsed else None, command, here=True)


def _strangers(remote: str, tables: Tables, processes: Collection[Process]) -> Iterator[Leftover]:
    forgotten = [port for port in tables.ports if _forgotten(port, tables, processes)]
    for mirror in tables.mirrors:
        why = "" if mirror.external_ids.keys() & {MARK, OVN_OWNED} else _idle(mirror, tables)
        if why and mirror.output_port not in {port.uuid for port in forgotten}:
            what = f"mirror {mirror.name} of bridge {_bridge(tables, mirror)}, {why}"
            yield Leftover("ovs", what, None, None, _command(remote, tables, [mirror], []))
    for port in forgotten:
        mirrors = [mirror for mirror in tables.mirrors if mirror.output_port == port.uuid]
        what = f"port {port.name} of an ovs-tcpdump that is gone"
        yield Leftover("ovs", what, None, None, _command(remote, tables, mirrors, [port]))


def _idle(mirror: MirrorRow, tables: Tables) -> str:
    """Why a mirror does nothing, "" when it may."""
    if not mirror.output_port and not mirror.output_vlan:
        return "which has no output"
    if not (mirror.select_all or mirror.sources or mirror.destinations):
        return "which copies no port"
    output = next((port for port in tables.ports if port.uuid == mirror.output_port), None)
    members = [row for row in tables.interfaces if output and row.uuid in output.interfaces]
    if output and members and all(row.ofport < 0 for row in members):
        return f"whose output port {output.name} does not work"
    return ""


def _forgotten(port: MirroringPort, tables: Tables, processes: Collection[Process]) -> bool:
    """Whether this is a port that ovs-tcpdump made and did not live to remove."""
    if not _TCPDUMP.fullmatch(port.name) or MARK in port.external_ids:
        return False
    mirror = next((row for row in tables.mirrors if row.output_port == port.uuid), None)
    interface = port.name.removeprefix("mi")
    if mirror and mirror.name.startswith("m_"):
        interface = mirror.name.removeprefix("m_")
    elif mirror or tables.port(interface) is None:
        return False
    return not any(_watches(process, interface) for process in processes)


def _watches(process: Process, interface: str) -> bool:
    return any(PurePath(word).name == "ovs-tcpdump" for word in process.argv[:3]) and any(
        interface in (word, word.removeprefix("-i"), word.removeprefix("--interface=")) for word in process.argv
    )


def _bridge(tables: Tables, mirror: MirrorRow) -> str:
    return next((bridge.name for bridge in tables.bridges if mirror.uuid in bridge.mirrors), "?")


def _command(
    remote: str,
    tables: Tables,
    mirrors: list[MirrorRow],
    ports: list[MirroringPort],
    bridges: Sequence[MirroringBridge] = (),
) -> str:
    """What a person would type; mirrors by their ids, since names may repeat.  A bridge goes with all that it has."""
    if bridges:
        mirrors, ports = [], []
    words = [["remove", "Bridge", _bridge(tables, mirror), "mirrors", mirror.uuid] for mirror in mirrors]
    words += [
        ["remove", "Bridge", bridge.name, "flood_vlans", str(port.tag)]
        for port in ports
        if (bridge := learning(port, tables))
    ]
    words += [["--if-exists", "del-port", port.name] for port in ports]
    words += [["--if-exists", "del-br", bridge.name] for bridge in bridges]
    where = [] if remote == DEFAULT_REMOTE else [f"--db={remote}"]
    return shlex.join(["ovs-vsctl", *where, *(word for command in words for word in ("--", *command))])
