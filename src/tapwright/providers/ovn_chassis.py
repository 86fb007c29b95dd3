"""What becomes of OVN's mirrors on the Open vSwitches of this host: ovn-controller writes them there under their name.

OVN itself is not asked to count configurations (``nb_cfg``): that would be a trace of us.  Where
the mirrored port is on this host, its switch says what arrived; of other servers nobody here knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from tapwright.adapters import ovnnb, ovnsb, unixctl
from tapwright.adapters.ovsdb_mirrors import MirrorRow, Tables
from tapwright.adapters.ovsdb_transact import select
from tapwright.errors import ProviderError, TapwrightError
from tapwright.plan.counts import Counts, Ways
from tapwright.plan.mirrors import Direction
from tapwright.providers.ovs_counts import at_port, lag_of
from tapwright.providers.ovs_leftovers import OVN_OWNED
from tapwright.providers.ovs_mirror import carries
from tapwright.providers.patience import until
from tapwright.text import printable

PATIENCE = 10.0
"""Seconds in which northd and ovn-controller have to take over what was written."""


def chassis(remotes: Sequence[str], port: str) -> tuple[str, ...]:
    """Those of the databases at `remotes` with an interface of that logical port; who does not answer has none."""
    return looked(remotes, port)[0]


def looked(remotes: Sequence[str], port: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The same, and what those said who did not answer."""
    there: list[str] = []
    refused: list[str] = []
    for remote in remotes:
        try:
            there += [remote] if select(remote, ("Interface", [carries({"iface-id": port})])).interfaces else []
        except TapwrightError as error:
            refused.append(error.line)
    return tuple(there), tuple(refused)


def server_of(northbound: str, switches: Sequence[str], port: str) -> str:
    """The server that has a logical port, by the southbound database; "" where that does not tell us."""
    beside = northbound.removesuffix("ovnnb_db.sock")
    local = [f"{beside}ovnsb_db.sock"] if beside != northbound else []
    with suppress(TapwrightError):
        told = [remote for switch in switches for remote in ovnnb.told_by_switch(switch, "ovn-remote")]
        for remote in dict.fromkeys((*local, *told)):
            if not ovnnb.closed(remote, ovnnb.GLANCE):
                return printable(ovnsb.server_of(remote, port))
    return ""


def taken_over(there: Sequence[str], port: str, names: Sequence[str]) -> None:
    """Wait until the switches at `there` send copies of `port` by the mirrors `names`, also of what flowed before.

    Raises ProviderError with what the switch says.
    """
    for remote in there:
        if not until(partial(_works, remote, port, names), PATIENCE):
            raise ProviderError(
                f"ovn-controller did not take the mirror of {port} over within {PATIENCE:g} s",
                "do ovn-northd and ovn-controller run? ovn-sbctl show",
            )
    # Cached flows were computed without the mirror and would go on without it.
    revalidate(there)


def _works(remote: str, port: str, names: Sequence[str]) -> bool:
    """Whether the switch copies.  Raises ProviderError where it says that it cannot."""
    tables = _tables(remote, names, port)
    outputs = {f"ovn-{name}" for name in names}
    for row in tables.interfaces:
        if row.name in outputs and row.ofport < 0:
            raise ProviderError(f"Open vSwitch cannot send copies to {row.name}: {row.error or 'it cannot be added'}")
    ready = {row.name for row in tables.interfaces if row.name in outputs and row.ofport > 0}
    return ready == outputs and _copying(tables) == set(names)


def _copying(tables: Tables) -> set[str]:
    """Which of the mirrors copy the port of which `tables` were read."""
    return {mirror.name for mirror in tables.mirrors if _ports(mirror) & _mirrored(tables)}


def _mirrored(tables: Tables) -> frozenset[str]:
    """The id of the mirrored port."""
    return frozenset(port.uuid for port in tables.ports)


def _ports(mirror: MirrorRow) -> frozenset[str]:
    return mirror.sources | mirror.destinations


def delays(there: Sequence[str], port: str, names: Sequence[str]) -> str:
    """Why copies may not arrive although the northbound database is as it should be, "" when they do."""
    try:
        if all(_works(remote, port, names) for remote in there):
            return ""
    except TapwrightError as error:
        return error.line
    return "its server does not copy yet: does ovn-controller run?"


def released(remotes: Sequence[str], port: str, names: Sequence[str], gone: Sequence[str]) -> bool:
    """Wait until no switch of this host copies `port` by the mirrors `names` or has one of those `gone`; whether so."""
    return until(lambda: not _held(remotes, port, names, gone), PATIENCE)


def _held(remotes: Sequence[str], port: str, names: Sequence[str], gone: Sequence[str]) -> bool:
    if any(_owned(remote, gone).mirrors for remote in remotes):
        return True
    return any(_copying(_tables(remote, names, port)) for remote in chassis(remotes, port))


def copied(remotes: Sequence[str], port: str, names: Sequence[str]) -> int | None:
    """Frames of `port` that these mirrors copied here, as ovs-vswitchd published it last.

    None where nobody says, or where another port of this host has the same mirror: they are counted as one.
    """
    counts: list[int | None] = []
    for remote in chassis(remotes, port):
        tables = _tables(remote, names, port)
        alone = _mirrored(tables)
        counts += [m.statistics.get("tx_packets") if _ports(m) <= alone else None for m in tables.mirrors]
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def measured(there: Sequence[str], port: str, names: Sequence[str], direction: Direction) -> Counts:
    """What the switches at `there` count of `port` and of its copies by the mirrors `names`, as published last.

    A mirror of one direction has a counter of its own; one that a switch does not have copies nothing.
    Raises PrivilegeError, ProviderError.
    """
    every = [_tables(remote, names, port) for remote in there]
    plugged = [row for tables in every for row in tables.interfaces if row.external_ids.get("iface-id") == port]
    counts = at_port(plugged, max(lag_of(tables.settings) for tables in every))
    copies = [_copies(mirror, _mirrored(tables)) for tables in every for mirror in tables.mirrors]
    if any(both for _, _, both in copies):
        return replace(counts, total=sum(sum(each) for each in copies))
    into, out = (sum(each[way] for each in copies) for way in (0, 1))
    return replace(
        counts,
        copied=Ways(into if direction is not Direction.OUT else None, out if direction is not Direction.IN else None),
    )


def _copies(mirror: MirrorRow, port: frozenset[str]) -> tuple[int, int, int]:
    """How many frames one copied of what comes to the VM, of what it sends, or of both where it does both."""
    count = mirror.statistics.get("tx_packets", 0)
    into, out = bool(mirror.destinations & port), bool(mirror.sources & port)
    return (count if into and not out else 0, count if out and not into else 0, count if into and out else 0)


def revalidate(there: Sequence[str]) -> None:
    """Have them compute anew what they do with traffic that flows already.  Raises PrivilegeError, ProviderError."""
    for remote in there:
        unixctl.command(unixctl.control_socket(remote), "revalidator/purge")


def _owned(remote: str, names: Sequence[str]) -> Tables:
    owned = carries({OVN_OWNED: "true"})
    try:
        return select(remote, *(("Mirror", [["name", "==", name], owned]) for name in names))
    except TapwrightError:
        return Tables()


def _tables(remote: str, names: Sequence[str], port: str) -> Tables:
    """The mirrored port with its interface, these mirrors, the interfaces that take their copies, and settings."""
    interfaces = [("Interface", [["name", "==", f"ovn-{name}"]]) for name in names]
    mirrors = [("Mirror", [["name", "==", name], carries({OVN_OWNED: "true"})]) for name in names]
    own: tuple[str, Sequence[object]] = ("Interface", [carries({"iface-id": port})])
    plugged = select(remote, own).interfaces
    ports = [("Port", [["interfaces", "includes", ["uuid", row.uuid]]]) for row in plugged]
    return select(remote, own, *interfaces, *mirrors, *ports, ("Open_vSwitch", ()))
