"""Delivery proven on a real Open vSwitch and real tc: traffic that flowed already, and everything that goes wrong."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.mirrored import COLLECTOR, World, talk, world
from support.netns import ip, namespace, veth
from support.vnics import quiet_namespace
from tapwright.config import Config
from tapwright.control.delivery import Deliveries, Delivery
from tapwright.control.sessions import Running, Sessions
from tapwright.filter import compile_filter
from tapwright.find.topology import join
from tapwright.model import Host
from tapwright.plan.mirrors import Direction, Mirror, Place, Target, TargetKind, parse
from tapwright.plan.points import Point, PointKind
from tapwright.providers import ovs_perform
from tapwright.providers.base import Meter
from tapwright.providers.linux import Linux
from tapwright.providers.ovs import Ovs
from tapwright.tap.delivery import Outcome

pytestmark = [pytest.mark.root, pytest.mark.long]

OWN = Target(TargetKind.NIC)


@pytest.fixture
def lively() -> Iterator[World]:
    with world() as lively:
        yield lively


@contextmanager
def mirrored(
    lively: World, state: Path, target: Target = OWN, point: Point | None = None, **more: object
) -> Iterator[tuple[Running, Deliveries]]:
    provider, kernel = lively.provider, Linux([lively.switch.netns])
    sessions = Sessions(Config(), state, load=lambda name, config: provider if name == "ovs" else kernel)
    topology = join(Host("h"), [provider.snapshot()])
    port = next(p for p in provider.points(topology) if p.port == "vnet1" and p.kind is PointKind.MIRROR)
    make = lambda mark: [Mirror(point or port, target, mark, **more)]  # noqa: E731
    with sessions.open("a test", make) as running:
        yield running, Deliveries.of(sessions, running.mirrors)


def until(deliveries: Deliveries, wanted: Callable[[Delivery], bool]) -> Delivery:
    """Look about once a second until that is so."""
    deadline = time.monotonic() + 150
    while True:
        (delivery,) = deliveries.look()
        if wanted(delivery):
            return delivery
        assert time.monotonic() < deadline, delivery.verdict
        time.sleep(0.5)


def judged(deliveries: Deliveries) -> Delivery:
    return until(deliveries, lambda delivery: delivery.verdict.outcome is not Outcome.UNKNOWN)


def test_they_count_who_can() -> None:
    assert isinstance(Ovs(), Meter)
    assert isinstance(Linux(), Meter)


def test_traffic_that_was_flowing_already_is_copied(lively: World, tmp_path: Path) -> None:
    with mirrored(lively, tmp_path) as (_, deliveries):
        delivery = judged(deliveries)
        assert delivery.verdict.outcome is Outcome.OK, delivery.verdict
        assert not delivery.revalidated


def test_a_switch_that_publishes_rarely_is_waited_for(lively: World, tmp_path: Path) -> None:
    """What it publishes first is of long before the mirror was opened, and next to no copies of it can be there."""
    lively.switch.vsctl("set", "Open_vSwitch", ".", "other_config:stats-update-interval=10000")
    time.sleep(8.5)  # it published when it was told
    with mirrored(lively, tmp_path) as (_, deliveries):
        verdict = judged(deliveries).verdict
        assert verdict.outcome is Outcome.OK, verdict


@pytest.mark.parametrize("access", [True, False])
def test_what_is_filtered_into_a_vlan_is_counted_behind_the_filter(lively: World, tmp_path: Path, access: bool) -> None:
    """A port that carries the VLAN of the copies counts these, too."""
    if access:
        lively.switch.vsctl(*(word for n in (1, 2) for word in ("--", "set", "port", f"vnet{n}", "tag=10")))
    program = compile_filter("ether proto 0x88b5", outgoing_is_to_vm=True).program.code
    with mirrored(lively, tmp_path, parse("rspan:999"), program=program) as (_, deliveries):
        verdict = judged(deliveries).verdict
        assert verdict.outcome is Outcome.OK, verdict


@pytest.mark.parametrize("more", [{}, {"program": compile_filter("ether proto 0x88b5").program.code}])
def test_that_nobody_counts_the_frames_of_a_vlan_is_said(
    lively: World, tmp_path: Path, more: dict[str, object]
) -> None:
    """Those of a port are of all VLANs, and whatever else it gets; copies are counted."""
    target = parse(f"gre://{COLLECTOR}?key=7")
    made = re.compile(r"nobody counts the frames there; [1-9][\d,]* copies were made lately")
    with mirrored(lively, tmp_path, target, lively.whole(), vlans=(0,), **more) as (_, deliveries):
        delivery = until(deliveries, lambda delivery: bool(made.fullmatch(delivery.verdict.reason)))
    assert delivery.verdict.outcome is Outcome.UNKNOWN


def test_without_a_purge_old_flows_are_noticed_and_the_switch_is_reminded_once(
    lively: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, deliveries = opened_unnoticed(lively, tmp_path, monkeypatch)
    try:
        delivery = until(deliveries, lambda delivery: delivery.revalidated)
        lively.switch.appctl("revalidator/resume")
        assert delivery.verdict.outcome is Outcome.STALE, delivery.verdict
        assert "flows that ran before" in delivery.verdict.reason
        delivery = until(deliveries, lambda delivery: delivery.verdict.outcome is Outcome.OK)
        assert delivery.revalidated
    finally:
        opening.__exit__(None, None, None)


def opened_unnoticed(lively: World, state: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Deliveries]:
    """A mirror in which flows that ran before take no part.

    One that makes a port has them computed anew by that, and a switch under load now and then does it by itself.
    """
    settled(lively)
    lively.switch.appctl("revalidator/pause")
    asked: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(ovs_perform, "purge", asked.append)
        opening = mirrored(lively, state, parse("rspan:999"))
        _, deliveries = opening.__enter__()
    assert len(asked) == 1, "opening a mirror no longer purges"
    assert not any("vid=999" in line for line in flows(lively))
    return opening, deliveries


def flows(lively: World) -> list[str]:
    return [line for line in lively.switch.appctl("dpctl/dump-flows").splitlines() if "eth_type(0x88b5)" in line]


def settled(lively: World) -> None:
    """Until the flows of both VMs have been there for a while."""
    deadline = time.monotonic() + 60
    while len([line for line in flows(lively) if int(re.findall(r"packets:(\d+)", line)[0]) > 300]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_direction_that_somebody_took_away_is_one_way(lively: World, tmp_path: Path) -> None:
    with mirrored(lively, tmp_path) as (running, deliveries):
        assert judged(deliveries).verdict.outcome is Outcome.OK
        name = running.mirrors[0].steps[0].do.text("name")
        lively.switch.vsctl("clear", "mirror", name, "select_src_port")
        told = "somebody changed it: select_src_port is another one"
        # As long as flows of before are cached, both ways are copied, and said to be.
        assert until(deliveries, lambda delivery: told in delivery.verdict.reason).verdict.outcome is Outcome.OK
        lively.switch.appctl("revalidator/purge")
        delivery = until(deliveries, lambda delivery: delivery.verdict.outcome is Outcome.ONE_WAY)
        assert told in delivery.verdict.reason
        assert not delivery.revalidated, "what somebody changed is reported and left as it is"


def test_a_mirror_that_somebody_removed_delivers_nothing(lively: World, tmp_path: Path) -> None:
    with mirrored(lively, tmp_path, parse(f"vxlan://{COLLECTOR}?vni=7")) as (_, deliveries):
        assert judged(deliveries).verdict.outcome is Outcome.OK
        lively.switch.vsctl("clear", "bridge", "br0", "mirrors")
        delivery = until(deliveries, lambda delivery: delivery.verdict.outcome is Outcome.NONE)
        assert "the mirror's row is gone" in delivery.verdict.reason


def test_one_direction_that_was_asked_for_is_all_that_is_missed(lively: World, tmp_path: Path) -> None:
    with mirrored(lively, tmp_path, direction=Direction.OUT) as (_, deliveries):
        assert judged(deliveries).verdict.outcome is Outcome.OK


def test_a_switch_that_does_not_answer_is_no_verdict(lively: World, tmp_path: Path) -> None:
    with mirrored(lively, tmp_path) as (running, _):
        gone = replace(running.mirrors[0], steps=tuple(
            replace(step, do=replace(step.do, arguments=(*step.do.arguments, ("remote", "unix:/run/nowhere/db.sock"))))
            for step in running.mirrors[0].steps
        ))  # fmt: skip
        sessions = Sessions(Config(), tmp_path, load=lambda name, config: Ovs(["unix:/run/nowhere/db.sock"]))
        (delivery,) = Deliveries.of(sessions, [gone]).look()
        assert delivery.verdict.outcome is Outcome.UNKNOWN


# tc


@contextmanager
def bridge() -> Iterator[tuple[str, str, Linux]]:
    """A host with two VMs that talk, and a device for copies; the host, its sniffer, and a provider that sees it."""
    with ExitStack() as stack:
        host, web, db, sniffer = (stack.enter_context(quiet_namespace()) for _ in range(4))
        ip("link", "add", "br0", "type", "bridge", "mcast_snooping", "0", netns=host)
        ip("link", "set", "br0", "up", netns=host)
        for device, guest in (("vnet1", web), ("vnet2", db)):
            veth(host, device, "eth0", guest)
            ip("link", "set", device, "master", "br0", netns=host)
        veth(host, "snf0", "eth0", sniffer)
        stack.enter_context(talk(web, db))
        yield host, sniffer, Linux([host, web, db])


@contextmanager
def copied(host: str, provider: Linux, state: Path, target: str, **more: object) -> Iterator[Deliveries]:
    sessions = Sessions(Config(), state, load=lambda name, config: provider)
    topology = join(Host("h"), [provider.snapshot()])
    points = provider.points(topology)
    point = next(p for p in points if p.device_name == "vnet1" and p.netns.name == host and p.kind is PointKind.DEVICE)
    with sessions.open("a test", lambda mark: [_mirror(point, provider, target, mark, more)]) as running:
        yield Deliveries.of(sessions, running.mirrors)


def _mirror(point: Point, provider: Linux, target: str, mark: object, more: dict) -> Mirror:
    devices = provider.snapshot().devices
    device = next((d for d in devices if f"nic:{d.name}" == target and d.key.netns == point.netns.inode), None)
    place = Place(device.key, device.name, point.netns) if device else Place()
    return Mirror(point, parse(target), mark, place, **more)


def test_both_ways_by_tc(tmp_path: Path) -> None:
    with bridge() as (host, _, provider), copied(host, provider, tmp_path, "nic:snf0") as deliveries:
        delivery = judged(deliveries)
        assert delivery.verdict.outcome is Outcome.OK, delivery.verdict
        assert "what the VM sends" in delivery.verdict.reason


def test_a_filter_that_somebody_removed_is_one_way(tmp_path: Path) -> None:
    with bridge() as (host, _, provider), copied(host, provider, tmp_path, "nic:snf0") as deliveries:
        assert judged(deliveries).verdict.outcome is Outcome.OK
        subprocess.run(["tc", "-n", host, "filter", "del", "dev", "vnet1", "egress"], check=True, timeout=20)
        delivery = until(deliveries, lambda delivery: delivery.verdict.outcome is Outcome.ONE_WAY)
        assert "what comes to the VM is not copied" in delivery.verdict.reason
        assert "the mirror is gone" in until(deliveries, lambda d: "gone" in d.verdict.reason).verdict.reason


def test_a_target_that_takes_nothing_is_none(tmp_path: Path) -> None:
    """Whoever is at the other end is down: nothing can be handed on, although all is copied."""
    with bridge() as (host, sniffer, provider), copied(host, provider, tmp_path, "nic:snf0") as deliveries:
        assert judged(deliveries).verdict.outcome is Outcome.OK
        ip("link", "set", "eth0", "down", netns=sniffer)
        delivery = until(deliveries, lambda delivery: delivery.verdict.outcome is Outcome.NONE)
        assert delivery.verdict.reason


def test_no_traffic_is_idle(tmp_path: Path) -> None:
    with namespace() as host, quiet_namespace() as web:
        veth(host, "vnet1", "eth0", web)
        veth(host, "snf0", "snf1")
        provider = Linux([host, web])
        with copied(host, provider, tmp_path, "nic:snf0") as deliveries:
            assert until(deliveries, lambda d: d.verdict.outcome is Outcome.IDLE).verdict.reason
