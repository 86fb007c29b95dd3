"""Live statistics of vNICs: who counts them, and rates from one reading to the next.  Pure.

A vNIC is counted in up to three places: by the host's device that carries it, by its switch,
and inside the VM.  What one of them counts and another does not, was lost in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from tapwright.find.names import Selection
from tapwright.find.statistics import Rates, rates
from tapwright.find.topology import Topology
from tapwright.model import Counters, DeviceKey


class Source(StrEnum):
    """Who counted."""

    DEVICE = "device"
    SWITCH = "switch"
    GUEST = "guest"


_PUBLISHED_AFTER = {Source.DEVICE: 0.0, Source.SWITCH: 12.0, Source.GUEST: 0.0}
"""Seconds for which a counter that stands still may only be one that nobody published yet:
ovs-vswitchd writes its statistics every 5 s, and one look may come just before it does."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A vNIC as one source counts it."""

    vm_id: str
    vm: str
    nic: str
    source: Source
    switch: str = ""
    port: str = ""

    @property
    def outside(self) -> bool:
        """Whether the counter faces the VM: it receives what the VM sends."""
        return self.source is not Source.GUEST


@dataclass(frozen=True, slots=True)
class Target:
    """A vNIC to be watched, and where its counters are."""

    subject: Subject
    """As its device counts it."""
    mac: str
    device: DeviceKey | None
    inner: DeviceKey | None
    switch: Counters | None
    """What its switch port said when the topology was read."""

    @property
    def keys(self) -> tuple[DeviceKey, ...]:
        """The devices whose counters have to be read."""
        return tuple(key for key in (self.device, self.inner) if key)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one source had counted at a moment."""

    subject: Subject
    counters: Counters
    time: float
    """When that was read, in seconds; a switch is read more rarely than a device."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """A sample and the rates since the one before."""

    subject: Subject
    counters: Counters
    rates: Rates
    seconds: float
    """What the rates are over; 0 at the first sample, which has none."""


def targets(topology: Topology, selections: Iterable[Selection]) -> Iterator[Target]:
    """The vNICs of these VMs, in that order."""
    for selection in selections:
        for vnic in selection.vnics:
            port = topology.port_of(vnic)
            switch = topology.switch(port.switch) if port else None
            yield Target(
                subject=Subject(
                    vm_id=selection.vm.id,
                    vm=selection.vm.name,
                    nic=vnic.name,
                    source=Source.DEVICE,
                    switch=switch.name if switch else "",
                    port=port.name if port else "",
                ),
                mac=vnic.mac,
                device=vnic.device,
                inner=vnic.inner,
                switch=port.counters if port else None,
            )


def samples(
    wanted: Iterable[Target],
    counted: Mapping[DeviceKey, Counters],
    told: Mapping[tuple[str, str], Counters],
    now: float,
    looked: float,
) -> Iterator[Sample]:
    """What is known of each vNIC: `counted` by the kernel and `told` by guests (by VM id and MAC) `now`.

    What its switch said is as old as the topology, which was `looked` up before.
    """
    for target in wanted:
        inside = counted.get(target.inner) if target.inner else told.get((target.subject.vm_id, target.mac))
        found = {
            Source.DEVICE: counted.get(target.device) if target.device else None,
            Source.SWITCH: target.switch,
            Source.GUEST: inside,
        }
        for source, counters in found.items():
            if counters is not None:
                time = looked if source is Source.SWITCH else now
                yield Sample(replace(target.subject, source=source), counters, time)


class Tracker:
    """Turns samples into traffic, remembering the last reading of each."""

    def __init__(self) -> None:
        self._last: dict[Subject, tuple[float, Traffic]] = {}

    def update(self, found: Iterable[Sample]) -> tuple[Traffic, ...]:
        """The traffic since the update before; a vNIC seen for the first time has none yet.

        Those that are not among `found` are forgotten.
        """
        before, self._last = self._last, {}
        for sample in found:
            self._last[sample.subject] = _next(sample, before.get(sample.subject))
        return tuple(traffic for _, traffic in self._last.values())


def _next(sample: Sample, last: tuple[float, Traffic] | None) -> tuple[float, Traffic]:
    """The traffic, and the time of the reading it was last told by."""
    subject, counters = sample.subject, sample.counters
    if last is None:
        return sample.time, Traffic(subject, counters, Rates(), 0.0)
    then, traffic = last
    seconds = sample.time - then
    if seconds <= 0 or (counters == traffic.counters and seconds < _PUBLISHED_AFTER[subject.source]):
        return last
    found = rates(traffic.counters, counters, seconds, outside=subject.outside)
    return sample.time, Traffic(subject, counters, found, seconds)


@dataclass(frozen=True, slots=True)
class Totals:
    """Counters turned to the VM's side, since its device was made."""

    to_vm_packets: int
    to_vm_bytes: int
    to_vm_dropped: int
    to_vm_errors: int
    from_vm_packets: int
    from_vm_bytes: int
    from_vm_dropped: int
    from_vm_errors: int
    multicast: int
    """Received by whoever counts: from the VM outside of it, to the VM inside."""


def totals(subject: Subject, counters: Counters) -> Totals:
    """What `subject` counted, turned to the VM's side."""
    received = (counters.rx_packets, counters.rx_bytes, counters.rx_dropped, counters.rx_errors)
    sent = (counters.tx_packets, counters.tx_bytes, counters.tx_dropped, counters.tx_errors)
    to_vm, from_vm = (sent, received) if subject.outside else (received, sent)
    return Totals(*to_vm, *from_vm, counters.multicast)
