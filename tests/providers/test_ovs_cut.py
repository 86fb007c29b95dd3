"""Mirrors on a real Open vSwitch that step down: their snap length is changed while frames flow, and back."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from support.mirrored import COLLECTOR, DB, WEB, World, seen, speakers, talk, world
from tapwright.errors import ProviderError
from tapwright.plan.mirrors import Place, Target, TargetKind
from tapwright.plan.steps import Found, Step
from tapwright.providers.base import Reducer
from tapwright.providers.ovs import Ovs

pytestmark = pytest.mark.root

SIZE = 1000
SLICED, HEADERS = 256, 96
FREE = "nic:snf0"
TAKERS = {
    FREE: (None, "sniffer", 0),
    "nic:trunk0": (Place(port="trunk0"), "trunk", 0),
    "vm:vm3/eth0": (Place(port="vnet3"), "vm", 0),
    "rspan:999": (None, "trunk", 4),
}
"""Where the port is, whose namespace gets the copies, and how much longer these are."""


@pytest.fixture(scope="module")
def lively() -> Iterator[World]:
    """Whoever talks says more than is kept at any level."""
    with world(talking=False) as lively, talk(lively.web, lively.db, said=bytes.fromhex("88b5") + bytes(SIZE - 14)):
        yield lively


@contextmanager
def opened(world: World, target: str, place: Place | None = None, **more: object) -> Iterator[tuple[Ovs, Step]]:
    before = world.dump()
    place = world.free_device() if target == FREE else place
    provider, step = world.step(target, place, **more)
    provider.perform(step.do)
    try:
        yield provider, step
    finally:
        provider.perform(step.undo)
    assert world.dump() == before


def reduced(provider: Ovs, step: Step, before: Step, most: int) -> Step:
    made = provider.reduced(step, before, most, 1)
    assert made is not None
    assert made.undo == step.undo
    return made


def lengths(world: World, target: str) -> set[int]:
    """Of the copies of what the VMs say to each other that come now."""
    rows = seen(getattr(world, TAKERS[target][1]), "eth0", "frame.len")
    said = [row for row in rows if speakers([row])]
    assert speakers(said) == {WEB, DB}
    return {int(row[1]) for row in said}


@pytest.mark.parametrize("target", TAKERS)
def test_frames_that_flow_already_are_cut_and_then_whole_again(lively: World, target: str) -> None:
    place, _, more = TAKERS[target]
    with opened(lively, target, place) as (provider, step):
        assert lengths(lively, target) == {SIZE + more}
        there = step
        for most in (SLICED, HEADERS, SLICED, 0):
            change = reduced(provider, step, there, most)
            provider.perform(change.do)
            once = lively.dump()
            provider.perform(change.do)
            assert lively.dump() == once
            assert provider.found(change).found is Found.THERE
            assert provider.found(there).found is Found.CHANGED
            assert lengths(lively, target) == {most or SIZE + more}
            there = change
        assert provider.found(step).found is Found.THERE


def test_what_was_asked_for_is_never_exceeded(lively: World) -> None:
    with opened(lively, FREE, snaplen=100) as (provider, step):
        sliced = reduced(provider, step, step, SLICED)
        assert sliced.do.number("snaplen") == 100
        headers = reduced(provider, step, step, HEADERS)
        provider.perform(headers.do)
        assert lengths(lively, FREE) == {HEADERS}
        provider.perform(reduced(provider, step, headers, 0).do)
        assert lengths(lively, FREE) == {100}


@pytest.mark.parametrize("change", ["snaplen=500", "select_dst_port=[]"])
def test_what_somebody_changed_is_reported_and_left(lively: World, change: str) -> None:
    with opened(lively, FREE) as (provider, step):
        lively.switch.vsctl("--no-wait", "set", "mirror", step.do.text("name"), change)
        theirs, told = lively.dump(), provider.found(step).detail
        sliced = reduced(provider, step, step, SLICED)
        with pytest.raises(ProviderError, match="was changed: " + told):
            provider.perform(sliced.do)
        assert lively.dump() == theirs


def test_one_that_is_gone_is_not_made_again(lively: World) -> None:
    with opened(lively, FREE) as (provider, step):
        sliced = reduced(provider, step, step, SLICED)
        provider.perform(step.undo)
        theirs = lively.dump()
        with pytest.raises(ProviderError, match="gone"):
            provider.perform(sliced.do)
        assert lively.dump() == theirs


def test_a_mirrored_port_that_is_gone_keeps_nobody_from_it(lively: World) -> None:
    """Its VM may have ended, and those of others in the session are to step down all the same."""
    before, vsctl = lively.dump(), partial(lively.switch.vsctl, "--no-wait")
    vsctl("add-port", "br0", "gone0", "--", "set", "interface", "gone0", "type=internal", "external_ids:vm-id=vm9")
    vsctl("wait-until", "interface", "gone0", "ofport>0")
    provider, step = lively.step(FREE, lively.free_device(), port="gone0")
    provider.perform(step.do)
    try:
        vsctl("del-port", "gone0")
        sliced = reduced(provider, step, step, SLICED)
        provider.perform(sliced.do)
        assert provider.found(sliced).found is Found.THERE
        assert "gone0 is gone" in provider.found(sliced).detail
    finally:
        provider.perform(step.undo)
    assert lively.dump() == before


def test_who_cannot_be_cut_says_so_beforehand(lively: World) -> None:
    provider = lively.provider
    assert isinstance(provider, Reducer)
    _, tunnel = lively.step(f"vxlan://{COLLECTOR}?vni=7")
    assert provider.reduced(tunnel, tunnel, SLICED, 1) is None
    assert provider.reduced(tunnel, tunnel, 0, 1) is None
    _, plain = lively.step(FREE, lively.free_device())
    assert provider.reduced(plain, plain, 0, 16) is None
    _, own = lively.step(Target(TargetKind.NIC))
    assert reduced(provider, own, own, SLICED).do.number("snaplen") == SLICED
