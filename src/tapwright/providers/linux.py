"""Linux itself: bridges, veth pairs, taps held by QEMU, tunnels, and namespaces that are VMs.

Needs no daemon and no configuration.  Sees every network namespace it may enter.  To read a device
changes nothing; a mirror of one is made by tc (`linux_mirror`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tapwright.adapters import namespaces, netlink, process, taps
from tapwright.errors import ProviderError
from tapwright.find.topology import Topology
from tapwright.model import Capability, Netns, Port, Snapshot, Vm, Vnic
from tapwright.plan.mirrors import Mirror
from tapwright.plan.points import Point, PointKind
from tapwright.plan.steps import Finding, Leftover, Operation, Step
from tapwright.providers.linux_model import describe
from tapwright.providers.linux_uplink import uplinks
from tapwright.providers.linux_view import View, holds_taps

if TYPE_CHECKING:
    from tapwright.adapters.promiscuous import Promiscuous
    from tapwright.plan.counts import Counts
    from tapwright.plan.preflight import Facts
    from tapwright.providers.linux_facts import Devices

_BYPASSING = ("afxdp", "dpdk")
"""Port types of Open vSwitch that take the frames before the kernel shows them to anybody."""

_SEES = {
    PointKind.DEVICE: "both directions as the VM sends and receives them, before any tunnel is put around them",
    PointKind.GUEST: "both directions from inside the VM",
}


class Linux:
    """What the kernel of this host knows of virtual networks."""

    name = "linux"

    def __init__(self, netns: Sequence[str] = (), capabilities: frozenset[str] | None = None) -> None:
        """`netns` are patterns: only namespaces with such a name, and our own, are looked at.

        `capabilities` are those this process has (``CAP_NET_RAW``...); None asks the kernel.
        """
        self._globs = tuple(netns)
        self._devices: Devices | None = None
        self._promiscuous: Promiscuous | None = None
        self._capabilities = process.capabilities() if capabilities is None else capabilities

    def probe(self) -> Capability:
        """Always YES: it is the kernel we run on."""
        return Capability.yes("rtnetlink")

    def snapshot(self) -> Snapshot:
        """Read every namespace we may enter.  Raises ProviderError when rtnetlink cannot be used."""
        census = namespaces.census(self._globs)
        try:
            survey = netlink.survey(census.namespaces)
        except OSError as error:
            raise ProviderError(f"rtnetlink: {error.strerror or error}") from None
        held = {p.pid: taps.open_taps(p.pid) for p in census.processes if holds_taps(p)}
        return describe(View(census, survey, held))

    def points(self, topology: Topology) -> Sequence[Point]:
        """The host's device of every vNIC, the VM's own where that is a device of this kernel too, and the uplinks."""
        return tuple(point for vm in topology.vms for vnic in vm.vnics for point in self._points(topology, vm, vnic))

    def _points(self, topology: Topology, vm: Vm, vnic: Vnic) -> Iterator[Point]:
        port = topology.port_of(vnic)
        yield from uplinks(topology, vm, vnic, self._readable)
        for kind, key in ((PointKind.DEVICE, vnic.device), (PointKind.GUEST, vnic.inner)):
            device = topology.device(key)
            netns = topology.netns.get(key.netns) if key else None
            if key and device and netns:
                yield Point(
                    kind=kind,
                    vm=vm.id,
                    vnic=vnic.name,
                    provider=self.name,
                    device=key,
                    device_name=device.name,
                    netns=netns,
                    readable=self._readable(netns, port if kind is PointKind.DEVICE else None),
                    switch=port.switch if port else "",
                    port=port.name if port else "",
                    outgoing_is_to_vm=kind is PointKind.DEVICE,
                    sees=_SEES[kind],
                    copies=kind is PointKind.DEVICE,
                )

    def _readable(self, netns: Netns, port: Port | None) -> Capability:
        if port and port.kind.startswith(_BYPASSING):
            return Capability.no(f"port {port.name} is of type {port.kind}: the kernel never shows its frames")
        if "CAP_NET_RAW" not in self._capabilities:
            return Capability.no("reading a device needs CAP_NET_RAW", "run it with sudo")
        if netns.path and "CAP_SYS_ADMIN" not in self._capabilities:
            where = netns.name or netns.path
            return Capability.no(f"entering network namespace {where} needs CAP_SYS_ADMIN", "run it with sudo")
        return Capability.yes()

    def steps(self, mirror: Mirror) -> Sequence[Step]:
        """A filter by tc for each direction, what holds it and what wraps the copies, where that is missing.

        One small look at the kernel decides what is missing.  A device that is only read needs none of
        this, so whoever reads does not ask.  Raises UsageError, ProviderError with the reason where tc
        cannot serve such a mirror, PrivilegeError where we may not look.
        """
        from tapwright.providers import linux_facts, linux_mirror, linux_vlans

        facts = linux_facts.read(mirror, self._lately())
        return linux_vlans.steps(mirror, facts) if mirror.point.whole else linux_mirror.steps(mirror, facts)

    def _overhearing(self) -> Promiscuous:
        from tapwright.adapters.promiscuous import Promiscuous

        self._promiscuous = self._promiscuous or Promiscuous()
        return self._promiscuous

    def _lately(self) -> Devices:
        from tapwright.providers.linux_facts import Devices

        self._devices = self._devices or Devices(self._globs)
        return self._devices

    def perform(self, operation: Operation) -> None:
        """Make or remove hooks, filters and tunnel devices, or keep a bridge promiscuous.

        Raises ProviderError, PrivilegeError.
        """
        from tapwright.providers import linux_mirror_tc, linux_overhear

        if operation.verb in linux_overhear.VERBS:
            linux_overhear.perform(self._overhearing(), operation)
        else:
            linux_mirror_tc.perform(operation)

    def reduced(self, step: Step, before: Step, most: int, one_in: int) -> Step | None:
        """The same filter behind a random number; frames that tc hands on cannot be cut."""
        from tapwright.providers import linux_mirror

        return None if most else linux_mirror.sampled(step, before, one_in)

    def found(self, step: Step) -> Finding:
        """Re-read what a step made.  Raises PrivilegeError."""
        from tapwright.providers import linux_mirror_tc, linux_overhear

        if step.do.verb in linux_overhear.VERBS:
            return linux_overhear.found(self._overhearing(), step.do)
        return linux_mirror_tc.found(step)

    def leftovers(self) -> Sequence[Leftover]:
        """What carries our mark in every namespace we look at, and strangers' mirrors that lead nowhere.

        Raises ProviderError, PrivilegeError.
        """
        from tapwright.providers import linux_leftovers

        return tuple(linux_leftovers.leftovers(self._globs))

    def copied(self, step: Step) -> int | None:
        """Frames that a step's filter copied since it was made.  Raises ProviderError, PrivilegeError."""
        from tapwright.providers import linux_counts

        return linux_counts.copied(step)

    def scouted(self, mirror: Mirror) -> Facts:
        """The kernel's way to the collector, and what the target takes.  Raises ProviderError, PrivilegeError."""
        from tapwright.providers import linux_facts

        return linux_facts.scout(mirror, self._lately())

    def measured(self, steps: Sequence[Step]) -> Counts:
        """By each direction's filter, the vNIC's device and the tunnel's.  Raises ProviderError, PrivilegeError."""
        from tapwright.providers import linux_counts

        return linux_counts.measured(steps)

    def revalidate(self, steps: Sequence[Step]) -> bool:
        """Nothing is cached: a filter is asked for every frame."""
        return False
