"""What filtered mirrors leave on a real Open vSwitch: nothing, also where they were killed or others changed them."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest

from support.filtered import GRE, RSPAN, TEXTS, compiled, look, opened, steps_of
from support.mirrored import MARK, World, points_of, world
from support.traces import difference
from tapwright.plan.steps import Found
from tapwright.providers.linux import Linux

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def quiet() -> Iterator[World]:
    with world(talking=False) as quiet:
        yield quiet


HARD = {"program": compiled(TEXTS["directions"]), "snaplen": 80}


@pytest.mark.parametrize("by_mark", [False, True], ids=["journal", "mark"])
@pytest.mark.parametrize("done", range(8))
@pytest.mark.parametrize("target", [GRE, RSPAN])
def test_killed_between_any_two_steps(quiet: World, target: str, done: int, by_mark: bool) -> None:
    """The longest ways: two directions, filtered, cut and wrapped.  All is undone, with the journal or without."""
    before = look(quiet)
    changers, steps = steps_of(quiet, target, **HARD)
    assert len(steps) == 7
    for step in steps[:done]:
        changers.perform(step.do)
    if by_mark:
        kernel = Linux([quiet.switch.netns])
        left = [*quiet.provider.leftovers(), *(each for each in kernel.leftovers() if each.mark == MARK)]
        for each in left:
            assert each.mark == MARK
            assert each.undo
            changers.perform(each.undo)
    else:
        for step in reversed(steps):
            changers.perform(step.undo)
    assert not quiet.provider.leftovers()
    changed = difference(before, look(quiet))
    assert not changed, changed


@pytest.mark.parametrize("target", [GRE, RSPAN])
def test_the_commands_that_are_told_remove_it(quiet: World, target: str) -> None:
    before = look(quiet)
    changers, steps = steps_of(quiet, target, program=compiled("ip"))
    for step in steps:
        changers.perform(step.do)
    for each in quiet.provider.leftovers():
        subprocess.run(shlex.split(each.command), check=True, timeout=20, capture_output=True)
    assert not quiet.provider.leftovers()
    # Commands of a person's count configurations, ours do not.
    changed = difference(*(re.sub("(cur|next)_cfg .*", "", text) for text in (before, look(quiet))))
    assert not changed, changed


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("del-br {relay}", "absent"),
        ("clear bridge {relay} mirrors", "the mirror's row is gone; bridge {relay} has no mirror"),
        ("del-port {relay} {name}", "its output port is gone; port {name} is gone"),
        ("set interface {name} options:key=99", "key of {name} is '99'"),
    ],
)
def test_a_relay_that_somebody_changed_is_told(quiet: World, change: str, told: str) -> None:
    before = look(quiet)
    changers, steps = steps_of(quiet, GRE, program=compiled("ip"))
    relay = steps[0]
    names = {"name": relay.do.text("name"), "relay": relay.do.text("relay")}
    try:
        for step in steps:
            changers.perform(step.do)
        quiet.switch.vsctl("--no-wait", *change.format(**names).split())
        finding = quiet.provider.found(relay)
        assert (finding.detail or str(finding.found)) == told.format(**names)
    finally:
        for step in reversed(steps):
            changers.perform(step.undo)
    changed = difference(before, look(quiet))
    assert not changed, changed


def test_learning_is_switched_off_as_long_as_anybody_needs_it(quiet: World) -> None:
    """Two sessions share the VLAN: the last one that ends gives it back, whichever that is."""
    before = look(quiet)
    for first_ends in (True, False):
        changers, one = steps_of(quiet, RSPAN, program=compiled("ip"))
        provider = quiet.provider
        points_of(provider)
        asked = replace(quiet.mirror(RSPAN, program=compiled("ip")), mark=replace(MARK, session="99999999"))
        other = provider.steps(asked)
        for step in (*one, *other):
            changers.perform(step.do)
        assert flooded(quiet) == "[999]"
        ends = (one, other) if first_ends else (other, one)
        for step in reversed(ends[0]):
            changers.perform(step.undo)
        assert flooded(quiet) == "[999]"
        assert {changers.found(step) for step in ends[1]} == {Found.THERE}
        for step in reversed(ends[1]):
            changers.perform(step.undo)
        changed = difference(before, look(quiet))
        assert not changed, changed


def test_a_switch_that_somebody_has_learn_again_is_told(quiet: World) -> None:
    before = look(quiet)
    changers, steps = steps_of(quiet, RSPAN, program=compiled("ip"))
    try:
        for step in steps:
            changers.perform(step.do)
        assert not quiet.provider.found(steps[0]).detail
        quiet.switch.vsctl("--no-wait", "clear", "bridge", "br0", "flood_vlans")
        assert "br0 learns addresses of VLAN 999 again" in quiet.provider.found(steps[0]).detail
    finally:
        for step in reversed(steps):
            changers.perform(step.undo)
    changed = difference(before, look(quiet))
    assert not changed, changed


def test_where_the_switch_did_not_learn_before_it_does_not_afterwards(quiet: World) -> None:
    quiet.switch.vsctl("set", "bridge", "br0", "flood_vlans=5,999")
    with opened(quiet, RSPAN, program=compiled("ip")):
        assert flooded(quiet) == "[5, 999]"
    assert flooded(quiet) == "[5, 999]"
    quiet.switch.vsctl("clear", "bridge", "br0", "flood_vlans")


def flooded(world: World) -> str:
    return world.switch.vsctl("get", "bridge", "br0", "flood_vlans").strip()
