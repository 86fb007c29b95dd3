"""A provider without a world: for tests, for the tutorial, and to copy from when writing a real one.

It keeps the contract of `providers.base` to the letter, mirrors included, and touches nothing.
Made from a `Snapshot`, or from a short description:

>>> fake = Fake.described({
...     "switches": {"br0": {"uplink": "eth0"}},
...     "vms": {"web": {"nics": [{"mac": "02:00:00:00:00:11", "device": "vnet0", "switch": "br0"}]}},
... })
>>> [vm.name for vm in fake.snapshot().vms]
['web']
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tapwright.errors import ProviderError, UsageError
from tapwright.find.topology import Topology
from tapwright.model import Answer, Capability, Snapshot, Vm, Vnic
from tapwright.plan.mirrors import Mirror
from tapwright.plan.points import Point, PointKind
from tapwright.plan.steps import Finding, Found, Leftover, Mark, Operation, Step
from tapwright.providers.fake_description import HOME, Description, snapshot


class Fake:
    """A provider that says what it was told to say."""

    def __init__(self, snapshot: Snapshot, capability: Capability | None = None, name: str = "fake") -> None:
        """`capability` is what `probe` answers, YES unless told."""
        self.name = name
        self._snapshot = replace(snapshot, provider=name)
        self._capability = capability or Capability.yes("it is only a fake")
        self.mirrors: set[tuple[str, str]] = set()
        """(port, mark) of the mirrors that are open: what the steps did and did not undo."""

    @classmethod
    def described(cls, description: Mapping[str, Any]) -> Fake:
        """From a dict of the shape of `Description`.  Raises UsageError at whatever does not fit."""
        import msgspec

        try:
            host = msgspec.convert(description, Description)
        except msgspec.ValidationError as error:
            raise UsageError(f"this describes no host: {error}") from None
        return cls(snapshot(host))

    @classmethod
    def from_toml(cls, text: str) -> Fake:
        """From TOML of the same shape.  Raises UsageError."""
        import tomllib

        try:
            return cls.described(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"this is not TOML: {error}") from None

    def probe(self) -> Capability:
        """What it was told."""
        return self._capability

    def snapshot(self) -> Snapshot:
        """What it was told.  Raises ProviderError when `probe` says NO."""
        if self._capability.answer is Answer.NO:
            raise ProviderError(self._capability.reason, self._capability.fix)
        return self._snapshot

    def points(self, topology: Topology) -> Sequence[Point]:
        """The device of a vNIC where it has one, and a mirror of its port where that is on a switch of ours."""
        return tuple(point for vm in topology.vms for vnic in vm.vnics for point in self._points(topology, vm, vnic))

    def _points(self, topology: Topology, vm: Vm, vnic: Vnic) -> Iterator[Point]:
        port, device = topology.port_of(vnic), topology.device(vnic.device)
        bare = Point(
            kind=PointKind.MIRROR,
            vm=vm.id,
            vnic=vnic.name,
            provider=self.name,
            device=None,
            device_name=f"mirror-{port.name}" if port else "",
            netns=HOME,
            readable=Capability.yes(),
            switch=port.switch if port else "",
            port=port.name if port else "",
            sees="both directions",
        )
        if device:
            netns = topology.netns[device.key.netns]
            yield replace(bare, kind=PointKind.DEVICE, device=device.key, device_name=device.name, netns=netns)
        switch = topology.switch(port.switch) if port else None
        if port and switch and self.name in switch.providers:
            yield replace(bare, changes=(f"a mirror of port {port.name}",))

    def steps(self, mirror: Mirror) -> Sequence[Step]:
        """One for a mirror, none for a device."""
        if mirror.point.kind is not PointKind.MIRROR:
            return ()
        port, mark = mirror.point.port, mirror.mark.text
        return (
            Step(
                do=Operation.of(self.name, "mirror", port=port, mark=mark),
                undo=Operation.of(self.name, "unmirror", port=port, mark=mark),
                why=f"port {port} has no device that can be read",
            ),
        )

    def perform(self, operation: Operation) -> None:
        """Open or close a mirror; doing either twice changes nothing.  Raises ProviderError at any other verb."""
        mirror = (operation.text("port"), operation.text("mark"))
        if operation.verb == "mirror":
            self.mirrors.add(mirror)
        elif operation.verb == "unmirror":
            self.mirrors.discard(mirror)
        else:
            raise ProviderError(f"{self.name} cannot perform {operation.verb!r}")

    def found(self, step: Step) -> Finding:
        """Whether the mirror is open."""
        there = (step.do.text("port"), step.do.text("mark")) in self.mirrors
        return Finding(Found.THERE if there else Found.ABSENT)

    def leftovers(self) -> Sequence[Leftover]:
        """The mirrors that are open."""
        return tuple(self._leftover(port, mark) for port, mark in sorted(self.mirrors))

    def _leftover(self, port: str, mark: str) -> Leftover:
        undo = Operation.of(self.name, "unmirror", port=port, mark=mark)
        return Leftover(self.name, f"mirror of {port}", Mark.parse(mark), undo, f"close the mirror of {port}")

    def copied(self, step: Step) -> int | None:
        """Nothing flows in a fake."""
        return None
