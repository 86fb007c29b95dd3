"""What state the labs on record are in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tapwright.adapters import netlink
from tapwright.lab import processes, store
from tapwright.lab.plan import Node, Plan
from tapwright.model import Netns


class State(StrEnum):
    """Whether a lab can be used."""

    UP = "up"
    STARTING = "starting"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Status:
    """One lab on record."""

    name: str
    state: State
    topology: str = ""
    created: float = 0.0
    """Seconds since the epoch."""
    faults: tuple[str, ...] = ()
    """Why it is broken."""
    nodes: tuple[Node, ...] = ()


def labs() -> tuple[Status, ...]:
    """Every lab on record.  Raises PrivilegeError when the records may not be read."""
    return tuple(status(name) for name in store.names())


def status(name: str) -> Status:
    """The state of one lab.  Raises NotFound."""
    record = store.read(name)
    if record is None:
        return Status(name, State.BROKEN, faults=("its record is missing or of another version",))
    faults = tuple(_faults(record))
    state = State.UP
    if record.state == "starting" and processes.alive(record.pid, record.pid_started):
        state, faults = State.STARTING, ()
    elif faults:
        state = State.BROKEN
    return Status(name, state, record.topology.name, record.created, faults, record.plan.nodes)


def _faults(record: store.Record) -> Iterator[str]:
    if record.state == "starting":
        yield "the process that made it died before it was done"
        return
    plan, running = record.plan, processes.find(record.token)
    spaces = {n.name: Netns(processes.inode(n.netns_path), n.netns_path, n.netns) for n in plan.nodes if n.netns}
    gone = {name for name, netns in spaces.items() if not netns.inode}
    yield from (f"network namespace {node.netns} is gone" for node in plan.nodes if node.name in gone)
    booted = b"".join(map(processes.arguments, running))
    dead = {guest.name for guest in plan.guests if f"\0-uuid\0{guest.id}\0".encode() not in booted}
    yield from (f"guest {guest.name} is not running" for guest in plan.guests if guest.name in dead)
    yield from _missing_devices(plan, spaces, gone | dead)
    for daemon in record.daemons:
        if _pid(store.folder(record.lab) / daemon) not in running:
            yield f"{Path(daemon).stem} of {Path(daemon).parent} is not running"


def _missing_devices(plan: Plan, spaces: Mapping[str, Netns], without: set[str]) -> Iterator[str]:
    """Host-side devices that are not there; the nodes `without` took theirs with them."""
    hosts = {name: netns for name, netns in spaces.items() if name not in without}
    survey = netlink.survey(tuple(hosts.values()))
    unknown, devices = {netns for netns, _ in survey.failures}, survey.by_netns()
    for host, netns in hosts.items():
        present = {device.name for device in devices.get(netns.inode, ())}
        for owner, nic in plan.plugs(host) if netns not in unknown else ():
            if owner.name not in without and nic.device not in present:
                yield f"device {nic.device} of {owner.name} on {host} is gone"


def _pid(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
