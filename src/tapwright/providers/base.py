"""The contract every provider keeps: five members, two of them pure.

A provider is one file with one class.  `probe` and `snapshot` look, `perform` changes;
`points` and `steps` are pure.  The conformance suite (tests/conformance) runs on all of
them, the public fake included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from tapwright.errors import ProviderError

if TYPE_CHECKING:
    from tapwright.find.topology import Topology
    from tapwright.model import Capability, Snapshot
    from tapwright.plan.counts import Counts
    from tapwright.plan.mirrors import Mirror
    from tapwright.plan.points import Point
    from tapwright.plan.preflight import Facts
    from tapwright.plan.steps import Finding, Leftover, Mark, Operation, Step


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

    def steps(self, mirror: Mirror) -> Sequence[Step]:
        """Pure: the changes that open `mirror`, in order; none where its point is a device to be read.

        The `do` of a step that copies says which way in its argument ``direction`` (`plan.mirrors.Direction`).
        Where it makes a port of the switch for the copies, it names that in ``outlet``: the session's next
        mirrors to the same target on that switch come with it as their `Place.port`.

        Raises UsageError or ProviderError with the reason where this provider cannot serve such a mirror.
        """

    def perform(self, operation: Operation) -> None:
        """Perform a do or an undo; idempotent.  Raises ProviderError, PrivilegeError."""


class Onlooker:
    """What a provider is beside its looking that knows VMs and offers no point: their devices are somebody else's."""

    name: str

    def points(self, topology: Topology) -> Sequence[Point]:
        """None."""
        return ()

    def steps(self, mirror: Mirror) -> Sequence[Step]:
        """None: it offers no point."""
        return ()

    def perform(self, operation: Operation) -> None:
        """Nothing to perform: every verb is unknown.  Raises ProviderError."""
        raise ProviderError(f"{self.name} cannot perform {operation.verb!r}")


@runtime_checkable
class Tapper(Provider, Protocol):
    """A provider that changes the world, and so can also say what is left of its changes."""

    def found(self, step: Step) -> Finding:
        """Re-read what `step` made.  Raises PrivilegeError; a source that does not answer is Found.UNKNOWN."""

    def leftovers(self) -> Sequence[Leftover]:
        """All that carries our mark, and strangers' mirrors that do nothing.  Raises ProviderError, PrivilegeError."""

    def copied(self, step: Step) -> int | None:
        """Frames that went through what `step` made, since it was made; None where nothing counts them."""


@runtime_checkable
class Beacon(Tapper, Protocol):
    """One whose changes are seen by people who cannot see their owner: it shows them that the owner lives."""

    def renew(self, mark: Mark, beat: str) -> None:
        """Write `beat`, another one each time, beside `mark`.  Raises ProviderError, PrivilegeError."""


@runtime_checkable
class Reducer(Tapper, Protocol):
    """One that can copy less of the frames, or of their bytes, while a mirror is open."""

    def reduced(self, step: Step, before: Step, most: int, one_in: int) -> Step | None:
        """What copies `most` bytes of a frame and one frame in `one_in` of what `step` copies.

        `most` is 0 for as many as `step` does; which frames is left to chance.  It takes the place of `before`,
        which is there now, and is undone as `step` is.  None where that cannot be.  Pure.
        """


@runtime_checkable
class Meter(Tapper, Protocol):
    """One that also says beforehand whether copies can arrive, and counts what should have been copied."""

    def scouted(self, mirror: Mirror) -> Facts:
        """What is known of a mirror before it is opened; nothing is changed.  Raises ProviderError, PrivilegeError."""

    def measured(self, steps: Sequence[Step]) -> Counts:
        """What is counted now of one mirror, which `steps` opened, or why nothing can be from here.

        Raises ProviderError, PrivilegeError.
        """

    def revalidate(self, steps: Sequence[Step]) -> bool:
        """Make the switch compute anew what it does with traffic that flows already; False where nothing is cached.

        Raises ProviderError, PrivilegeError.
        """
