"""Filtered mirrors of a real Open vSwitch, opened and closed: the switch copies, and the kernel filters."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from support.mirrored import COLLECTOR, World, points_of
from support.tapes import MARKERS
from support.traces import difference, traces
from tapwright.adapters import livepcap
from tapwright.filter import compile_filter
from tapwright.plan.mirrors import Place
from tapwright.plan.steps import Found, Operation, Step
from tapwright.providers.base import Tapper
from tapwright.providers.linux import Linux
from tapwright.providers.ovs import Ovs

GRE = f"gre://{COLLECTOR}?key=3"
RSPAN = "rspan:999"
TEXTS = {"plain": "tcp or arp", "directions": "(inbound and tcp) or (outbound and udp)"}


def look(world: World) -> str:
    return world.switch.dump() + traces(world.switch.netns)


class Changers:
    """Whoever performs a step: the switch's provider, or the kernel's."""

    def __init__(self, ovs: Ovs) -> None:
        self._all: dict[str, Tapper] = {"ovs": ovs, "linux": Linux()}

    def perform(self, operation: Operation) -> None:
        self._all[operation.provider].perform(operation)

    def found(self, step: Step) -> Found:
        return self._all[step.do.provider].found(step).found

    def copied(self, step: Step) -> int | None:
        return self._all[step.do.provider].copied(step)


def steps_of(world: World, target: str, place: Place | None = None, **more: object) -> tuple[Changers, Sequence[Step]]:
    provider = world.provider
    points_of(provider)
    return Changers(provider), provider.steps(world.mirror(target, place, **more))


@contextmanager
def opened(world: World, target: str, place: Place | None = None, **more: object) -> Iterator[Sequence[Step]]:
    """Each step done twice and found, undone twice and gone; and the world is as before."""
    before = look(world)
    changers, steps = steps_of(world, target, place, **more)
    try:
        for step in steps:
            assert changers.found(step) is Found.ABSENT
            changers.perform(step.do)
            changers.perform(step.do)
            assert changers.found(step) is Found.THERE
        yield steps
        assert {changers.found(step) for step in steps} == {Found.THERE}
    finally:
        for step in reversed(steps):
            changers.perform(step.undo)
            changers.perform(step.undo)
    assert {changers.found(step) for step in steps} == {Found.ABSENT}
    changed = difference(before, look(world))
    assert not changed, changed


def compiled(text: str) -> bytes:
    """The program of a filter that lets markers through."""
    return compile_filter(f"{MARKERS} or ({text})", live=livepcap.live, outgoing_is_to_vm=True).program.code
