"""A mirror that steps down: one frame in sixteen by chance, in the place of all of them, and back."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.netns import ip
from support.packets import send
from support.traces import tc
from support.vnics import FRAME, Bridge, quiet_bridge
from support.wires import until
from tapwright.capture.governor import Decision, Level
from tapwright.capture.policy import DEFAULT
from tapwright.config import load
from tapwright.control.mirror import Mirroring, Wish, opened, prepare
from tapwright.control.sessions import Sessions
from tapwright.errors import ProviderError
from tapwright.plan.mirrors import parse
from tapwright.plan.steps import Found
from tapwright.providers.linux import Linux
from tapwright.tap.session import Progress

pytestmark = pytest.mark.root

ONE_IN = Level.SAMPLED.one_in
SENT = 4096
MEAN, DEVIATION = SENT / ONE_IN, math.sqrt(SENT / ONE_IN * (1 - 1 / ONE_IN))
FEWEST, MOST = MEAN - 6 * DEVIATION, MEAN + 6 * DEVIATION
"""A sample has fewer or more once in five hundred million times."""
OTHER = FRAME[:12] + bytes.fromhex("88b6") + FRAME[14:]
_AT_ONCE = 64


@pytest.fixture
def bridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bridge]:
    with quiet_bridge() as bridge:
        ip("link", "add", "snf0", "type", "veth", "peer", "name", "snf1", netns=bridge.host)
        for device in ("snf0", "snf1"):
            ip("link", "set", device, "up", netns=bridge.host)
        monkeypatch.setenv("TAPWRIGHT_STATE", str(tmp_path / "state"))
        yield bridge


@pytest.fixture
def mirroring(bridge: Bridge) -> Iterator[Mirroring]:
    wish = Wish([bridge.guests[0]], parse("nic:snf0"), filter="ether proto 0x88b5", governor=None)
    with opened(prepare(wish, load(bridge.environment))) as mirroring:
        yield mirroring


def counted(bridge: Bridge, device: str, way: str) -> int:
    (link,) = json.loads(ip("-j", "-s", "link", "show", "dev", device, netns=bridge.host))
    return int(link["stats64"][way]["packets"])


def copied(bridge: Bridge) -> int:
    return counted(bridge, "snf0", "tx")


def says(bridge: Bridge, frame: bytes, times: int) -> None:
    """Until the host has seen it all; queues on the way have room for as many at once."""
    for _ in range(times // _AT_ONCE):
        before = counted(bridge, "vnet1", "rx")
        send(bridge.guests[0], "eth0", [frame] * _AT_ONCE)
        until(lambda before=before: counted(bridge, "vnet1", "rx") >= before + _AT_ONCE, "the frames")


def comes_whole(bridge: Bridge) -> None:
    """All that matches is copied; so everything before it has come by."""
    before = copied(bridge)
    says(bridge, FRAME, _AT_ONCE)
    until(lambda: copied(bridge) >= before + _AT_ONCE, "the copies")
    assert copied(bridge) == before + _AT_ONCE


def test_one_in_sixteen_of_what_matches_and_then_all_again(bridge: Bridge, mirroring: Mirroring) -> None:
    comes_whole(bridge)
    mirroring.step(Level.SAMPLED)
    before = copied(bridge)
    says(bridge, FRAME, SENT)
    until(lambda: copied(bridge) >= before + FEWEST, "the sample")
    mirroring.step(Level.FULL)
    sampled = copied(bridge) - before
    assert FEWEST <= sampled <= MOST
    comes_whole(bridge)
    reading = next(iter(mirroring.readings()))
    # What was counted before a step is not forgotten.
    assert sum(count.copied or 0 for count in reading.counts) == copied(bridge)


def test_a_sample_has_nothing_that_the_filter_refuses(bridge: Bridge, mirroring: Mirroring) -> None:
    mirroring.step(Level.SAMPLED)
    says(bridge, OTHER, SENT // 4)
    mirroring.step(Level.FULL)
    assert copied(bridge) == 0
    comes_whole(bridge)


def test_each_step_is_in_the_journal_and_found_as_it_was_made(bridge: Bridge, mirroring: Mirroring) -> None:
    provider, programs = Linux((bridge.host,)), []
    for level in (Level.FULL, Level.SAMPLED, Level.FULL):
        if programs:
            mirroring.step(level)
        ((session, _),) = Sessions(load(bridge.environment)).all()
        assert session.entries == mirroring.running.session.entries
        assert {entry.progress for entry in session.entries} == {Progress.DONE}
        assert {provider.found(entry.step).found for entry in session.entries} == {Found.THERE}
        programs.append([entry.step.do.text("program") for entry in session.entries])
    full, sampled, again = programs
    assert full == again
    assert all(one.endswith(other) and one != other for one, other in zip(sampled, full, strict=True))
    delivery = mirroring.deliveries
    delivery.look()
    assert delivery.latest[0].verdict.outcome != "stale"


def test_where_a_step_cannot_be_made_the_mirror_is_ended(bridge: Bridge, mirroring: Mirroring) -> None:
    """Somebody took the filters away, and they are not put there again."""
    for verb in ("del", "add"):
        tc("qdisc", verb, "dev", "vnet1", "clsact", netns=bridge.host)
    mirroring.govern(DEFAULT)
    assert mirroring.governed is not None
    mirroring.governed.apply(Decision(0.0, Level.FULL, Level.SAMPLED, "too much", cuts=False))
    assert mirroring.governed.failed
    assert mirroring.running.stopped.is_set()
    assert not tc("filter", "show", "dev", "vnet1", "ingress", netns=bridge.host)


def test_what_somebody_changed_is_not_overwritten(bridge: Bridge) -> None:
    wish = Wish([bridge.guests[0]], parse("nic:snf0"), governor=None)
    with opened(prepare(wish, load(bridge.environment))) as mirroring:
        do = mirroring.running.session.entries[0].step.do
        (pref,) = {line.split()[4] for line in tc("filter", "show", "dev", "vnet1", do.text("hook"), netns=bridge.host)
                   .splitlines() if line.startswith("filter")}  # fmt: skip
        which = f"dev vnet1 {do.text('hook')} protocol all pref {pref} handle {do.number('handle')} bpf".split()
        action = f"action mirred egress mirror dev snf0 continue cookie {do.text('session')}".split()
        tc("filter", "replace", *which, "bytecode", "1,6 0 0 0", *action, netns=bridge.host)
        with pytest.raises(ProviderError, match="changed"):
            mirroring.step(Level.SAMPLED)
    assert [entry.error for entry in mirroring.running.session.kept] == ["its program is another one"]
    assert "snf0" in tc("filter", "show", "dev", "vnet1", do.text("hook"), netns=bridge.host)


def test_which_levels_there_are_is_known_before(bridge: Bridge) -> None:
    prepared = prepare(Wish([bridge.guests[0]], parse("nic:snf0")), load(bridge.environment))
    assert prepared.levels(prepared.planned()) == (Level.FULL, Level.SAMPLED, Level.STOPPED)
