"""Mirrors that a capture opens to devices of its own, reads, and closes.

Most captures need none, so what keeps a journal is imported only where there is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tapwright.adapters import netlink
from tapwright.config import Config
from tapwright.errors import CaptureError
from tapwright.model import Device
from tapwright.plan.mirrors import Mirror, Target, TargetKind
from tapwright.plan.planner import Choice
from tapwright.plan.points import PointKind
from tapwright.plan.steps import NOBODY, Mark, Step
from tapwright.providers.base import Provider

if TYPE_CHECKING:
    from tapwright._core import EngineStats
    from tapwright.capture.request import Source
    from tapwright.control.capture import Capture
    from tapwright.control.delivery import Deliveries, Delivery
    from tapwright.control.sessions import Opened, Running

_OWN = Target(TargetKind.NIC)


@dataclass(frozen=True, slots=True)
class Tapped:
    """Choices whose points are devices that can be read."""

    choices: tuple[Choice, ...]
    running: Running | None = None
    """The session of those that are mirrors; None where there is none."""
    deliveries: Deliveries | None = None
    """Whether these mirrors deliver."""
    opened: tuple[Opened | None, ...] = ()
    """The mirror of each choice, None for one that is none."""


def mirrored(choices: Sequence[Choice]) -> tuple[Choice, ...]:
    """Those that take a mirror."""
    return tuple(choice for choice in choices if choice.point.kind is PointKind.MIRROR)


def steps(choices: Sequence[Choice], config: Config, known: Sequence[Provider]) -> tuple[Step, ...]:
    """What a capture of these would change on the host.

    Raises ProviderError, UsageError where a provider cannot serve it; CaptureError, PrivilegeError for a
    journal that cannot be used.
    """
    wanted = mirrored(choices)
    if not wanted:
        return ()
    from tapwright.control.sessions import Sessions, steps_of

    return steps_of(Sessions.of(known, config).plan(_mirrors(wanted, NOBODY)))


@contextmanager
def opened(choices: Sequence[Choice], config: Config, known: Sequence[Provider]) -> Iterator[Tapped]:
    """The mirrors, open while this holds, and where to read each choice.

    Signals are the caller's own business.  Raises as `Sessions.open`, and CaptureError.
    """
    wanted = mirrored(choices)
    if not wanted:
        yield Tapped(tuple(choices))
        return
    from tapwright.control.delivery import Deliveries
    from tapwright.control.sessions import Sessions

    sessions = Sessions.of(known, config)
    what = f"capture of {', '.join(f'{choice.vm.name}/{choice.vnic.name}' for choice in wanted)}"
    with sessions.open(what, lambda mark: _mirrors(wanted, mark), signals=False) as running:
        places = dict(zip(wanted, running.mirrors, strict=True))
        read = tuple(_at_device(c, places[c].steps) if c in places else c for c in choices)
        proof = Deliveries.of(sessions, running.mirrors)
        yield Tapped(read, running, proof, tuple(places.get(choice) for choice in choices))


def prove(capture: Capture, found: Tapped, sources: Sequence[Source]) -> None:
    """Have it judged while `capture` runs whether the mirrors of `found`, read by `sources`, deliver."""
    deliveries, running = found.deliveries, found.running
    if deliveries is None or running is None:
        return
    from tapwright.control.delivery import Received

    of = {id(source): opened for source, opened in zip(sources, found.opened, strict=True) if opened}
    names = {of[id(source)]: source.name for source in capture.sources if id(source) in of}
    whose = {o: f"{c.vm.name}/{c.vnic.name}" for o, c in zip(found.opened, found.choices, strict=True) if o in names}

    def look(stats: EngineStats) -> tuple[tuple[str, Delivery], ...]:
        arrived = {
            of[id(source)]: Received(counted.port_packets)
            for source, counted in zip(capture.sources, stats.sources, strict=False)
            if id(source) in of and counted.port_packets is not None
        }
        looked = deliveries.look(arrived)
        running.news = deliveries.news(whose)
        return tuple((names[each.opened], each) for each in looked if each.opened in names)

    capture.prove(look)


def _mirrors(choices: Sequence[Choice], mark: Mark) -> tuple[Mirror, ...]:
    """Whole frames both ways: what is filtered and cut, our own packet socket does, and the ledger counts it."""
    return tuple(Mirror(choice.point, _OWN, mark) for choice in choices)


def _at_device(choice: Choice, done: Sequence[Step]) -> Choice:
    """`choice` with the device that its mirror made."""
    name = next((name for step in done if (name := step.do.text("device"))), "")
    found = _device(choice, name)
    if found is None:
        raise CaptureError(
            f"the device {name} that was to get the copies of {choice.point.port} did not appear",
            "see what Open vSwitch says: ovs-vsctl show",
        )
    return replace(choice, point=replace(choice.point, device=found.key, device_name=name))


def _device(choice: Choice, name: str) -> Device | None:
    try:
        devices = netlink.survey([choice.point.netns]).devices.values()
    except OSError:
        return None
    return next((device for device in devices if device.name == name), None)
