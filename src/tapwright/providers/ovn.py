"""OVN: logical switches and ports of the whole cloud, and mirrors of them by the northbound database.

Looking reads the northbound database once and changes nothing.  A mirror is asked for there, and
the server that has the port makes it, wherever that is; its copies go to a collector's address.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tapwright.adapters import ovsdb
from tapwright.adapters.process import is_socket
from tapwright.errors import PrivilegeError, ProviderError, TapwrightError
from tapwright.find.topology import Topology
from tapwright.model import Capability, Snapshot
from tapwright.plan.mirrors import Direction, Mirror
from tapwright.plan.points import Point, PointKind
from tapwright.plan.steps import Finding, Found, Leftover, Operation, Step
from tapwright.providers.ovn_points import points_of

if TYPE_CHECKING:
    from tapwright.plan.counts import Counts
    from tapwright.plan.preflight import Facts
    from tapwright.plan.steps import Mark


_REMEMBERED = 10.0
"""Seconds for which it is not asked again where a port is."""


class Ovn:
    """The OVN that this host belongs to: one northbound database, perhaps with several servers."""

    name = "ovn"

    def __init__(self, remotes: Sequence[str] = (), switches: Sequence[str] = ()) -> None:
        """`remotes` are ways to the northbound database, ``unix:PATH`` or ``tcp:ADDRESS:PORT``; empty finds it.

        `switches` are the databases of this host's Open vSwitches, empty finds them.
        """
        self._told = tuple(remotes)
        self._switches_told = tuple(switches)
        self._reasons: dict[str, tuple[float, str]] = {}
        """Of ports that no switch here has: when that was asked, and what was said."""

    def probe(self) -> Capability:
        """NO without a database, UNKNOWN when there is one that refuses us or nobody listens."""
        remotes = self._remotes()
        if not remotes:
            return Capability.no(
                f"no northbound database of OVN at {' or '.join(self._told) or ovsdb.NORTHBOUND}",
                "if it is elsewhere: export TAPWRIGHT_OVN_NB=tcp:ADDRESS:6641",
            )
        from tapwright.adapters import ovnnb

        reasons = {remote: ovnnb.closed(remote, ovnnb.GLANCE) for remote in remotes}
        if open_ := [remote for remote, reason in reasons.items() if not reason]:
            return Capability.yes(f"northbound database at {open_[0]}")
        return Capability.unknown("; ".join(f"{remote}: {reason}" for remote, reason in reasons.items()))

    def snapshot(self) -> Snapshot:
        """Read every logical port.  Raises ProviderError, PrivilegeError."""
        from tapwright.adapters import ovnnb
        from tapwright.providers import ovn_model

        return ovn_model.describe(ovnnb.read(self._remote()))

    def points(self, topology: Topology) -> Sequence[Point]:
        """A mirror of each vNIC that is a port of a logical switch."""
        return tuple(points_of(topology))

    def steps(self, mirror: Mirror) -> Sequence[Step]:
        """One for a mirror, none for a device.  Raises UsageError, ProviderError for one that cannot be."""
        from tapwright.providers import ovn_mirror

        return ovn_mirror.steps(mirror) if mirror.point.kind is PointKind.MIRROR else ()

    def perform(self, operation: Operation) -> None:
        """Open or close a mirror; idempotent.  Raises ProviderError, PrivilegeError."""
        from tapwright.providers import ovn_mirror, ovn_perform

        if operation.verb == ovn_mirror.DO:
            ovn_perform.open_mirror(self._remote(), operation, self._switches())
        elif operation.verb == ovn_mirror.UNDO:
            ovn_perform.close_mirror(self._remote(), operation, self._switches())
        else:
            raise ProviderError(f"ovn cannot perform {operation.verb!r}")

    def found(self, step: Step) -> Finding:
        """Re-read what `step` made.  Raises PrivilegeError."""
        from tapwright.providers import ovn_perform

        try:
            return ovn_perform.look(self._remote(), step, self._switches())
        except PrivilegeError:
            raise
        except ProviderError as error:
            return Finding(Found.UNKNOWN, error.line)

    def leftovers(self) -> Sequence[Leftover]:
        """Rows with our mark, and mirrors of others that are attached to no port."""
        from tapwright.adapters import ovnnb
        from tapwright.providers import ovn_leftovers

        remote = self._remote()
        if not ovnnb.abilities(remote).types:
            return ()
        return tuple(ovn_leftovers.leftovers(remote, ovnnb.mirroring(remote, [[]], [[]])))

    def copied(self, step: Step) -> int | None:
        """Frames that its mirrors copied on this host; None where others share them, or another server has the port."""
        from tapwright.providers import ovn_chassis, ovn_mirror

        try:
            return ovn_chassis.copied(self._switches(), step.do.text("port"), ovn_mirror.names_of(step.do))
        except PrivilegeError:
            raise
        except ProviderError:
            return None

    def renew(self, mark: Mark, beat: str) -> None:
        """In all rows of the session, in one transaction.  Raises ProviderError, PrivilegeError."""
        from tapwright.adapters import ovnnb
        from tapwright.providers import ovn_mirror

        ovnnb.transact(self._remote(), ovn_mirror.renewal(mark, beat))

    def scouted(self, mirror: Mirror) -> Facts:
        """What OVN says, and the port's switch where that is here.  Raises ProviderError, PrivilegeError."""
        from tapwright.providers import ovn_scout

        (step,) = self.steps(mirror)
        return ovn_scout.scout(self._remote(), mirror, step, self._switches())

    def measured(self, steps: Sequence[Step]) -> Counts:
        """At the mirrored port and of its copies where its server is this host, as published last; else why not.

        Raises ProviderError, PrivilegeError.
        """
        from tapwright.plan.counts import Counts
        from tapwright.providers import ovn_chassis, ovn_mirror

        do = steps[0].do
        there, refused = ovn_chassis.looked(self._switches(), do.text("port"))
        if not there:
            return Counts(why=self._unseen(do.text("port"), refused))
        direction = Direction(do.text("direction"))
        return ovn_chassis.measured(there, do.text("port"), ovn_mirror.names_of(do), direction)

    def _unseen(self, port: str, refused: Sequence[str]) -> str:
        """Why no switch here has it: who asks every second shall not have the whole cloud's databases asked for it."""
        from tapwright.providers import ovn_perform

        asked, why = self._reasons.get(port, (float("-inf"), ""))
        if time.monotonic() > asked + _REMEMBERED:
            why = ovn_perform.unseen(self._remote(), port, self._switches(), refused)
            self._reasons[port] = time.monotonic(), why
        return why

    def revalidate(self, steps: Sequence[Step]) -> bool:
        """Throw away flows that were computed before, where the port is on this host.

        Raises ProviderError, PrivilegeError.
        """
        from tapwright.providers import ovn_chassis

        there = {remote for step in steps for remote in ovn_chassis.chassis(self._switches(), step.do.text("port"))}
        ovn_chassis.revalidate(sorted(there))
        return bool(there)

    def _remote(self) -> str:
        """The first way to the database that is open.  Raises ProviderError with what is wrong with each."""
        from tapwright.adapters import ovnnb

        remotes = self._remotes()
        reasons = []
        for remote in remotes:
            if not (why := ovnnb.closed(remote)):
                return remote
            reasons.append(f"{remote}: {why}")
        said = "; ".join(reasons) or f"nothing at {' or '.join(self._told) or ovsdb.NORTHBOUND}"
        raise ProviderError(f"OVN's northbound database cannot be reached: {said}", "is it running? ovn-nbctl show")

    def _remotes(self) -> tuple[str, ...]:
        """As told; else the service's own socket, else what Open vSwitch was told."""
        if self._told:
            return tuple(remote for remote in self._told if not remote.startswith("unix:") or is_socket(remote[5:]))
        if is_socket(ovsdb.socket_path(ovsdb.NORTHBOUND)):
            return (ovsdb.NORTHBOUND,)
        switches = self._switches_told or (ovsdb.DEFAULT_REMOTE,)
        return tuple(dict.fromkeys(remote for switch in switches for remote in _told_by(switch)))

    def _switches(self) -> tuple[str, ...]:
        return self._switches_told or ovsdb.discover()


def _told_by(switch: str) -> tuple[str, ...]:
    if not is_socket(ovsdb.socket_path(switch)):
        return ()
    from tapwright.adapters import ovnnb

    try:
        return ovnnb.told_by_switch(switch)
    except TapwrightError:  # the ovs provider says what is wrong with it
        return ()
