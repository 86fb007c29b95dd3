"""Open vSwitch: bridges, ports, VLANs, tunnels, whose vNIC each port is, and mirrors of them.

Looking reads each database once and changes nothing.  Kernel devices are named by the namespace
of ovs-vswitchd and the ``ifindex`` it publishes; everything else OVS carries (tunnels, patches,
DPDK, vhost-user) has no device that a packet socket could read, and takes a mirror.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tapwright.adapters import ovsdb
from tapwright.adapters.process import is_socket
from tapwright.errors import PrivilegeError, ProviderError
from tapwright.find.topology import Topology
from tapwright.model import Capability, Snapshot
from tapwright.plan.mirrors import Mirror
from tapwright.plan.points import Point, PointKind
from tapwright.plan.steps import Finding, Found, Leftover, Operation, Step
from tapwright.providers.ovs_model import describe
from tapwright.providers.ovs_points import points_of
from tapwright.providers.several import ask_all

if TYPE_CHECKING:
    from tapwright.plan.counts import Counts
    from tapwright.plan.preflight import Facts

T = TypeVar("T")

_EMPTIED = ("/run/", "/var/run/")
"""Folders that a restart of the host empties: one that is missing there may come back, its database with it."""


class Ovs:
    """Every Open vSwitch of this host, also those that run in containers or namespaces."""

    name = "ovs"

    def __init__(self, remotes: Sequence[str] = ()) -> None:
        """`remotes` are ``unix:PATH`` of the databases to read, and no others; empty finds them."""
        self._told = tuple(remotes)
        self._homes: dict[str, str] = {}
        """id of a bridge -> the database in which it was found"""

    def probe(self) -> Capability:
        """NO without a database, UNKNOWN when there is one that refuses us or nobody listens."""
        try:
            reasons = {remote: ovsdb.reachable(ovsdb.socket_path(remote)) for remote in self._remotes()}
        except ProviderError as error:
            return Capability.unknown(error.message, error.hint)
        if not reasons:
            return Capability.no(
                f"no Open vSwitch database at {' or '.join(self._told) or ovsdb.DEFAULT_REMOTE}",
                "if it is elsewhere: export TAPWRIGHT_OVSDB=unix:/path/to/db.sock",
            )
        if "" in reasons.values():
            return Capability.yes(f"database at {', '.join(reasons)}")
        return Capability.unknown("; ".join(f"{remote}: {reason}" for remote, reason in reasons.items()))

    def snapshot(self) -> Snapshot:
        """Read every instance; one that fails is a warning as long as another one answers."""
        databases, warnings = ask_all(self._remotes(), ovsdb.read)
        self._homes |= {bridge.uuid: database.remote for database in databases for bridge in database.bridges}
        return describe(databases, warnings)

    def _remotes(self) -> tuple[str, ...]:
        if not self._told:
            return ovsdb.discover()
        paths = {os.path.realpath(path): path for remote in self._told if is_socket(path := ovsdb.socket_path(remote))}
        return tuple(f"unix:{path}" for path in paths.values())

    def points(self, topology: Topology) -> Sequence[Point]:
        """A mirror of each port that a vNIC has.

        A device that nobody else can show is offered too; those that the topology knows are
        offered by whoever read them.
        """
        return tuple(point for vm in topology.vms for vnic in vm.vnics for point in points_of(topology, vm, vnic))

    def steps(self, mirror: Mirror) -> Sequence[Step]:
        """One for a mirror, more (tc's too) for a filtered one, none for a device.

        Raises UsageError, ProviderError for one that cannot be.
        """
        if mirror.point.kind is not PointKind.MIRROR:
            return ()
        from tapwright.providers import ovs_filtered, ovs_mirror

        make = ovs_filtered.steps if ovs_filtered.needed(mirror) else ovs_mirror.steps
        return make(mirror, self._homes.get(mirror.point.switch, ""))

    def perform(self, operation: Operation) -> None:
        """Open or close a mirror; idempotent.  Raises ProviderError, PrivilegeError."""
        from tapwright.providers import ovs_mirror, ovs_perform

        if operation.verb == ovs_mirror.DO:
            work = ovs_perform.cut_mirror if ovs_mirror.replaces(operation) else ovs_perform.open_mirror
            work(self._home(operation), operation)
        elif operation.verb == ovs_mirror.UNDO:
            self._everywhere(operation, lambda remote: ovs_perform.close_mirror(remote, operation), nothing=False)
        else:
            raise ProviderError(f"ovs cannot perform {operation.verb!r}")

    def reduced(self, step: Step, before: Step, most: int, one_in: int) -> Step | None:
        """The same mirror with another snap length; it copies every frame."""
        from tapwright.providers import ovs_mirror

        return ovs_mirror.cut(step, before, most) if one_in == 1 else None

    def found(self, step: Step) -> Finding:
        """Re-read what `step` made, tc's part of a filtered mirror too.  Raises PrivilegeError."""
        from tapwright.providers import ovs_perform

        if step.do.provider != self.name:
            from tapwright.providers import linux_mirror_tc

            return linux_mirror_tc.found(step)
        absent = Finding(Found.ABSENT)
        try:
            return self._everywhere(step.do, lambda remote: ovs_perform.look(remote, step), nothing=absent)
        except PrivilegeError:
            raise
        except ProviderError as error:
            return Finding(Found.UNKNOWN, error.line)

    def leftovers(self) -> Sequence[Leftover]:
        """Rows with our mark in every database; mirrors and ports of others that do nothing any more.

        A database that does not answer hides no other.  Raises ProviderError, PrivilegeError where none does.
        """
        from tapwright.adapters import ovsdb_transact, process
        from tapwright.providers import ovs_leftovers

        processes = tuple(process.running())
        whole = [(table, ()) for table in ("Bridge", "Port", "Interface", "Mirror")]

        def read(remote: str) -> tuple[Leftover, ...]:
            return tuple(ovs_leftovers.leftovers(remote, ovsdb_transact.select(remote, *whole), processes))

        answers, failures = ask_all(self._remotes(), read)
        found = (leftover for answer in answers for leftover in answer)
        return (*found, *map(ovs_leftovers.unread, failures))

    def copied(self, step: Step) -> int | None:
        """Frames that the mirror copied, as published last; None where nobody says.  Raises PrivilegeError."""
        from tapwright.providers import ovs_perform

        try:
            return self._everywhere(step.do, lambda remote: ovs_perform.count(remote, step), nothing=None)
        except PrivilegeError:
            raise
        except ProviderError:
            return None

    def scouted(self, mirror: Mirror) -> Facts:
        """The way of the copies, as this switch goes it.  Raises ProviderError, PrivilegeError."""
        from tapwright.providers import ovs_scout

        home = self._homes.get(mirror.point.switch)
        if not home:
            raise ProviderError(f"no Open vSwitch has the switch of {mirror.source}")
        return ovs_scout.scout(home, mirror)

    def measured(self, steps: Sequence[Step]) -> Counts:
        """At the mirrored port and of the mirror, as published last.  Raises ProviderError, PrivilegeError."""
        from tapwright.plan.counts import Counts, Ways
        from tapwright.providers import linux_counts, ovs_filtered, ovs_mirror, ovs_perform

        mirrors = [step for step in steps if step.do.verb == ovs_mirror.DO]
        vlan = max((step.do.number("entry") for step in mirrors), default=0)
        fed = [step for step in mirrors if ovs_filtered.feeds(step)]
        if not mirrors:
            return Counts()
        first = (fed or mirrors)[0]
        counts = self._everywhere(first.do, lambda remote: ovs_perform.measure(remote, first, vlan), nothing=Counts())
        if not fed:
            return counts
        # What was filtered tc counts, for each direction where they go apart.
        copies = [linux_counts.copied(step) or 0 for step in steps if ovs_filtered.counts(step)]
        return replace(counts, copied=Ways(), total=sum(copies))

    def revalidate(self, steps: Sequence[Step]) -> bool:
        """Throw away the flows that were computed before.  Raises ProviderError, PrivilegeError."""
        from tapwright.providers import ovs_perform

        for home in dict.fromkeys(self._home(step.do) for step in steps if step.do.provider == self.name):
            ovs_perform.purge(home)
        return bool(steps)

    def _home(self, do: Operation) -> str:
        """The database that has the bridge of `do`.  Raises ProviderError."""
        from tapwright.providers import ovs_perform
        from tapwright.providers.ovs_mirror import source

        told = do.text("remote")
        if told and is_socket(ovsdb.socket_path(told)):
            return told
        home = next((r for r in self._remotes() if ovs_perform.has_bridge(r, do.text("bridge"))), "")
        if not home:
            raise ProviderError(f"no Open vSwitch has the switch of {source(do)}", "is ovsdb-server running?")
        return home

    def _everywhere(self, operation: Operation, work: Callable[[str], T], *, nothing: T) -> T:
        """What `work` gives in the operation's own database, or in the first that gives more than `nothing`.

        Raises ProviderError where its own does not answer: what is in it, nobody knows.
        """
        told = operation.text("remote")
        if told and is_socket(ovsdb.socket_path(told)):
            return work(told)
        remotes = self._remotes()
        for remote in remotes:
            if (found := work(remote)) != nothing:
                return found
        if not _gone_for_good(told) if told else not remotes:
            raise ProviderError(
                f"Open vSwitch's database at {told or ovsdb.DEFAULT_REMOTE} is not there", "is ovsdb-server running?"
            )
        return nothing


def _gone_for_good(remote: str) -> bool:
    """Whether the very folder of a database's socket is gone, as after the end of a container or a lab."""
    path = ovsdb.socket_path(remote)
    return not path.startswith(_EMPTIED) and not Path(path).parent.exists()
