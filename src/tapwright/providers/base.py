"""The contract every provider keeps: five members, two of them pure.

A provider is one file with one class.  `probe` and `snapshot` look, `perform` changes;
`points` and `steps` are pure.  The conformance suite (tests/conformance) runs on all of
them, the public fake included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tapwright.find.topology import Topology
from tapwright.model import Capability, Snapshot
from tapwright.plan.points import Point
from tapwright.plan.steps import Operation, Step


class Provider(Protocol):
    """One source of knowledge about virtual networks."""

    name: str
    """A short word, the key of the provider table: ``linux``, ``ovs``..."""

    def probe(self) -> Capability:
        """Tell quickly (milliseconds, no side effect) whether this provider has anything to say here.

        Never raises: NO when the thing is not here at all (no socket, no library), UNKNOWN when
        it is but could not be asked.
        """

    def snapshot(self) -> Snapshot:
        """Read this provider's view of the host.

        Raises ProviderError when the source does not answer in time, PrivilegeError when it
        refuses us, MissingDependency when its library is not installed.
        """

    def points(self, topology: Topology) -> Sequence[Point]:
        """Pure: the points this provider can offer for the vNICs of a joined topology."""

    def steps(self, point: Point, session: str) -> Sequence[Step]:
        """Pure: the changes that open `point` for session id `session`; none for a device."""

    def perform(self, operation: Operation) -> None:
        """Perform a do or an undo; idempotent.  Raises ProviderError, PrivilegeError."""
