"""What becomes of OVN's mirrors on the Open vSwitches of this host: ovn-controller writes them there under their name.

OVN itself is not asked to count configurations (``nb_cfg``): that would be a trace of us.  Where
the mirrored port is on this host, its switch says what arrived; of other servers nobody here knows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tapwright.adapters import unixctl
from tapwright.adapters.ovsdb_mirrors import Tables
from tapwright.adapters.ovsdb_transact import select
from tapwright.errors import ProviderError, TapwrightError
from tapwright.providers.ovs_leftovers import OVN_OWNED
from tapwright.providers.ovs_mirror import carries

PATIENCE = 10.0
"""Seconds in which northd and ovn-controller have to take over what was written."""
_PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class Chassis:
    """An Open vSwitch of this host that has the mirrored port."""

    remote: str


def chassis(remotes: Sequence[str], port: str) -> tuple[Chassis, ...]:
    """Those of the databases at `remotes` with an interface of that logical port; who does not answer has none."""
    return tuple(Chassis(remote) for remote in remotes if _has(remote, port))


def _has(remote: str, port: str) -> bool:
    try:
        return bool(select(remote, ("Interface", [carries({"iface-id": port})])).interfaces)
    except TapwrightError:
        return False


def taken_over(there: Sequence[Chassis], port: str, names: Sequence[str]) -> None:
    """Wait until these servers send copies of `port` by the mirrors `names`, also of what flowed before.

    Raises ProviderError with what the switch says.
    """
    for one in there:
        if not _until(lambda one=one: _works(one.remote, port, names)):  # type: ignore[misc]
            raise ProviderError(
                f"ovn-controller did not take the mirror of {port} over within {PATIENCE:g} s",
                "do ovn-northd and ovn-controller run? ovn-sbctl show",
            )
        # Cached flows were computed without the mirror and would go on without it.
        unixctl.command(unixctl.control_socket(one.remote), "revalidator/purge")


def _works(remote: str, port: str, names: Sequence[str]) -> bool:
    """Whether the switch copies.  Raises ProviderError where it says that it cannot."""
    tables = _tables(remote, names, port)
    outputs = {f"ovn-{name}" for name in names}
    for row in tables.interfaces:
        if row.name in outputs and row.ofport < 0:
            raise ProviderError(f"Open vSwitch cannot send copies to {row.name}: {row.error or 'it cannot be added'}")
    ready = {row.name for row in tables.interfaces if row.name in outputs and row.ofport > 0}
    mirrored = {port.uuid for port in tables.ports if port.interfaces and port.name not in outputs}
    copying = {mirror.name for mirror in tables.mirrors if (mirror.sources | mirror.destinations) & mirrored}
    return ready == outputs and copying == set(names)


def delays(there: Sequence[Chassis], port: str, names: Sequence[str]) -> str:
    """Why copies may not arrive although the northbound database is as it should be, "" when they do."""
    if not there:
        return "its server is another one: connections that flowed before show up as their flows are computed anew"
    try:
        if all(_works(one.remote, port, names) for one in there):
            return ""
    except TapwrightError as error:
        return error.line
    return "its server does not copy yet: does ovn-controller run?"


def forgotten(remotes: Sequence[str], names: Sequence[str]) -> bool:
    """Wait until no switch of this host has these mirrors any more; whether that is so."""
    return _until(lambda: not kept(remotes, names))


def kept(remotes: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a switch of this host still has one of these mirrors of OVN."""
    return any(mirror for remote in remotes for mirror in _owned(remote, names).mirrors)


def copied(remotes: Sequence[str], names: Sequence[str]) -> int | None:
    """Frames that these mirrors copied here, as ovs-vswitchd publishes it every 5 s; None where nobody says."""
    rows = [mirror for remote in remotes for mirror in _owned(remote, names).mirrors]
    counted = [row.statistics["tx_packets"] for row in rows if "tx_packets" in row.statistics]
    return sum(counted) if counted else None


def _owned(remote: str, names: Sequence[str]) -> Tables:
    owned = carries({OVN_OWNED: "true"})
    try:
        return select(remote, *(("Mirror", [["name", "==", name], owned]) for name in names))
    except TapwrightError:
        return Tables()


def _tables(remote: str, names: Sequence[str], port: str) -> Tables:
    interfaces = [("Interface", [["name", "==", f"ovn-{name}"]]) for name in names]
    mirrors = [("Mirror", [["name", "==", name], carries({OVN_OWNED: "true"})]) for name in names]
    plugged = select(remote, ("Interface", [carries({"iface-id": port})])).interfaces
    ports = [("Port", [["interfaces", "includes", ["uuid", row.uuid]]]) for row in plugged]
    return select(remote, *interfaces, *mirrors, *ports)


def _until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True
