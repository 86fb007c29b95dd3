"""Mirrors opened and closed in OVN's northbound database, and what re-reading it says of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from tapwright.adapters import ovnnb
from tapwright.adapters.ovnnb import Mirroring
from tapwright.adapters.ovsdb_transact import Outdated, uuid
from tapwright.errors import ProviderError, TapwrightError
from tapwright.plan.steps import Finding, Found, Operation, Step
from tapwright.providers import ovn_chassis
from tapwright.providers.ovn_mirror import (
    Row,
    allowed,
    changes,
    differences,
    mine,
    names_of,
    removals,
    unrenewed,
    wanted,
)
from tapwright.providers.ovs_mirror import carries, identity

_TRIES = 5
"""How often somebody else may change these rows between our look and our transaction."""


def open_mirror(remote: str, do: Operation, switches: Sequence[str]) -> None:
    """Write the mirrors of `do` into the database at `remote` and see that they work; twice is as good as once.

    `switches` are the databases of this host's Open vSwitches.  Raises PrivilegeError,
    ProviderError; then nothing of it is left, unless that is what could not be done.
    """
    fresh = _write(remote, do)
    names = [mirror.name for mirror in _ours(remote, do).mirrors]
    try:
        ovn_chassis.taken_over(ovn_chassis.chassis(switches, do.text("port")), do.text("port"), names)
    except TapwrightError:
        if fresh:
            with suppress(TapwrightError):
                close_mirror(remote, do, switches)
        raise


def close_mirror(remote: str, operation: Operation, switches: Sequence[str]) -> None:
    """Detach what carries the mark and name of `operation` from its port, remove it where that was the last.

    Without a port it is removed; with a beat only where that is still its owner's last.
    Raises PrivilegeError, ProviderError.
    """
    for _ in range(_TRIES):
        there = _ours(remote, operation)
        if not there.mirrors:
            return
        try:
            guards = unrenewed(operation.text("beat"), there)
            ovnnb.transact(remote, [*guards, *removals(operation.text("port"), there)])
        except Outdated:
            continue
        left = {mirror.name for mirror in _ours(remote, operation).mirrors}
        names = {mirror.name for mirror in there.mirrors}
        ovn_chassis.released(switches, operation.text("port"), sorted(names), sorted(names - left))
        return
    raise _unsteady(operation)


def look(remote: str, step: Step, switches: Sequence[str]) -> Finding:
    """What the database at `remote` says of `step`, and this host's switches.  Raises PrivilegeError, ProviderError."""
    there, port = _ours(remote, step.do), step.do.text("port")
    if not there.mirrors or not mine(step.do, there):
        known = names_of(step.do)
        gone = set(known) - {mirror.name for mirror in there.mirrors}
        # Whoever undid it may have been killed before the switch knew.
        if not ovn_chassis.released(switches, port, known, sorted(gone)):
            return Finding(Found.UNKNOWN, "a switch of this host still has the mirror: does ovn-controller run?")
        return Finding(Found.ABSENT)
    different = list(differences(step.do, there))
    if different:
        return Finding(Found.CHANGED, "; ".join(different))
    if there.port(port) is None:
        return Finding(Found.THERE, f"the logical port {port} is gone")
    names = [mirror.name for mirror in there.mirrors]
    return Finding(Found.THERE, ovn_chassis.delays(ovn_chassis.chassis(switches, port), port, names))


def planned(remote: str, do: Operation) -> tuple[Row, ...]:
    """What `do` would write into the database at `remote`.

    Raises ProviderError where it would do harm or this OVN cannot have it, PrivilegeError.
    """
    rows = _rows(remote, do)
    allowed(do, rows, _beside(remote, do, rows))
    return rows


def unseen(remote: str, port: str, switches: Sequence[str], refused: Sequence[str]) -> str:
    """Why none of this host's `switches` has a logical port of that name, "" where OVN has none any more.

    `refused` is what those said who did not answer.  Raises PrivilegeError, ProviderError.
    """
    found = ovnnb.mirroring(remote, [[["name", "==", port]]], []).port(port)
    if found is None:
        return ""
    if refused:
        return f"its switch cannot be asked: {'; '.join(refused)}"
    if not found.up:
        return f"no server has the logical port {port} now, so nothing is copied"
    server = ovn_chassis.server_of(remote, switches, port)
    return f"{server or 'another server'} has the logical port {port}, and only its switch counts the copies"


def _ours(remote: str, operation: Operation) -> Mirroring:
    """Our mirrors with every port that they are attached to, and the mirrored port, as of one moment."""
    carried, port = [carries(identity(operation))], [["name", "==", operation.text("port")]]
    for _ in range(_TRIES):
        first = ovnnb.mirroring(remote, [], [carried])
        attached = [[["mirror_rules", "includes", uuid(mirror.uuid)]] for mirror in first.mirrors]
        whole = ovnnb.mirroring(remote, [port, *attached] if first.mirrors else [], [carried])
        if whole.mirrors == first.mirrors:
            return whole
    raise _unsteady(operation)


def _write(remote: str, do: Operation) -> bool:
    """One transaction, unless all is there already; whether it was needed.

    Rows of ours that are attached to other ports are attached to this one too.
    """
    rows = _rows(remote, do)
    for _ in range(_TRIES):
        ours = _ours(remote, do)
        if ours.mirrors and mine(do, ours):
            if different := list(differences(do, ours)):
                raise ProviderError(
                    f"mirror {do.text('name')} of logical port {do.text('port')} is not as it was made: "
                    f"{'; '.join(different)}",
                    "stop it and open it again",
                )
            return False
        there = _beside(remote, do, rows)
        port = allowed(do, rows, there)
        try:
            ovnnb.transact(remote, changes(do, rows, port, there))
        except Outdated:
            continue
        return True
    raise _unsteady(do)


def _rows(remote: str, do: Operation) -> tuple[Row, ...]:
    """What `do` writes there.  Raises ProviderError where this OVN cannot have it."""
    able = ovnnb.abilities(remote)
    rows = wanted(do, able.filters)
    if unable := [row for row in rows if row.type not in able.types or row.filter not in able.filters]:
        what = f"mirrors of type {unable[0].type} and direction {unable[0].filter}" if able.types else "mirrors"
        raise ProviderError(
            f"this OVN has no {what}", "OVN mirrors ports since 22.12; Open vSwitch itself always could"
        )
    return rows


def _beside(remote: str, do: Operation, rows: Sequence[Row]) -> Mirroring:
    """The port to be mirrored, and the mirrors with these names or to the same collector."""
    alike = [[["name", "==", row.name]] for row in rows]
    return ovnnb.mirroring(remote, [[["name", "==", do.text("port")]]], [*alike, [["sink", "==", rows[0].sink]]])


def _unsteady(operation: Operation) -> ProviderError:
    return ProviderError(
        f"the mirrors of logical port {operation.text('port')} change all the time",
        "see who does it: ovn-nbctl list Mirror",
    )
