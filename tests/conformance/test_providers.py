"""The contract of `providers.base`, on every provider, each looking at something real.

A new provider is one more entry in worlds.py.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import msgspec
import pytest

from conformance.worlds import WORLDS, World
from tapwright import providers
from tapwright.errors import ProviderError
from tapwright.find.topology import Topology, join
from tapwright.model import Answer, DeviceKey, Host, Role, Snapshot
from tapwright.plan.mirrors import Mirror, parse
from tapwright.plan.points import Point, PointKind
from tapwright.plan.steps import Mark, Operation, Step
from tapwright.providers.base import Provider

pytestmark = pytest.mark.root

MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")


@pytest.fixture(scope="module", params=WORLDS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with WORLDS[request.param]() as world:
        yield world


@pytest.fixture(scope="module")
def provider(world: World) -> Provider:
    return world.provider


@pytest.fixture(scope="module")
def snapshot(provider: Provider) -> Snapshot:
    return provider.snapshot()


@pytest.fixture(scope="module")
def topology(snapshot: Snapshot) -> Topology:
    return join(Host("h"), [snapshot])


@pytest.fixture(scope="module")
def points(provider: Provider, topology: Topology) -> tuple[Point, ...]:
    return tuple(provider.points(topology))


def test_every_provider_has_a_world() -> None:
    assert set(WORLDS) >= set(providers.names())


def test_its_name_is_its_key(provider: Provider, request: pytest.FixtureRequest) -> None:
    assert provider.name == request.node.callspec.params["world"]


def test_probe_says_yes_and_how_it_knows(provider: Provider) -> None:
    capability = provider.probe()
    assert capability.answer is Answer.YES
    assert capability.reason


def test_the_snapshot_says_whose_it_is(provider: Provider, snapshot: Snapshot) -> None:
    assert snapshot.provider == provider.name
    assert {vm.providers for vm in snapshot.vms} == {(provider.name,)}
    assert all(switch.providers == (provider.name,) for switch in snapshot.switches)


def test_it_found_something_with_a_vnic(snapshot: Snapshot) -> None:
    assert any(vm.vnics for vm in snapshot.vms)


def test_the_snapshot_is_a_value(snapshot: Snapshot) -> None:
    assert hash(snapshot) == hash(replace(snapshot))
    assert msgspec.json.decode(msgspec.json.encode(snapshot), type=Snapshot) == snapshot


def test_looking_twice_finds_the_same(provider: Provider, snapshot: Snapshot) -> None:
    again = provider.snapshot()
    assert {vm.id for vm in again.vms} == {vm.id for vm in snapshot.vms}
    assert {s.id for s in again.switches} == {s.id for s in snapshot.switches}
    assert {(p.switch, p.name, p.device) for p in again.ports} == {(p.switch, p.name, p.device) for p in snapshot.ports}
    assert {d.key for d in again.devices} == {d.key for d in snapshot.devices}


def test_ids_are_unique(snapshot: Snapshot) -> None:
    for ids in (
        [vm.id for vm in snapshot.vms],
        [switch.id for switch in snapshot.switches],
        [device.key for device in snapshot.devices],
        [netns.inode for netns in snapshot.netns],
        [(port.switch, port.name) for port in snapshot.ports],
    ):
        assert [key for key, count in Counter(ids).items() if count > 1] == []


def test_everybody_has_a_name(snapshot: Snapshot) -> None:
    assert all(vm.id and vm.name for vm in snapshot.vms)
    assert all(vnic.name for vm in snapshot.vms for vnic in vm.vnics)
    assert all(thing.name for things in (snapshot.switches, snapshot.ports, snapshot.devices) for thing in things)
    assert all(text for vm in snapshot.vms for text in vm.aliases)


def test_vnics_of_a_vm_have_different_names(snapshot: Snapshot) -> None:
    for vm in snapshot.vms:
        assert len({vnic.name for vnic in vm.vnics}) == len(vm.vnics)


def test_macs_are_written_one_way(snapshot: Snapshot) -> None:
    macs = [vnic.mac for vm in snapshot.vms for vnic in vm.vnics]
    macs += [device.mac for device in snapshot.devices] + [port.mac for port in snapshot.ports]
    assert [mac for mac in macs if mac and not MAC.fullmatch(mac)] == []


def test_ports_hang_on_a_switch_it_reported(snapshot: Snapshot) -> None:
    switches = {switch.id for switch in snapshot.switches}
    assert {port.switch for port in snapshot.ports} <= switches


def test_tunnels_hang_on_a_tunnel_port(snapshot: Snapshot) -> None:
    tunnels = {port.name for port in snapshot.ports if port.role is Role.TUNNEL}
    assert {overlay.switch_port for overlay in snapshot.overlays if overlay.switch_port} <= tunnels


def test_device_keys_are_in_namespaces_it_reported(snapshot: Snapshot) -> None:
    known = {netns.inode for netns in snapshot.netns}
    keys: list[DeviceKey | None] = [device.key for device in snapshot.devices]
    keys += [key for vm in snapshot.vms for vnic in vm.vnics for key in (vnic.device, vnic.inner)]
    keys += [port.device for port in snapshot.ports] + [switch.device for switch in snapshot.switches]
    assert {key.netns for key in keys if key} <= known
    assert all(key.index > 0 for key in keys if key)


def test_points_are_pure(provider: Provider, topology: Topology, points: tuple[Point, ...]) -> None:
    assert tuple(provider.points(topology)) == points


def test_points_name_a_vnic_of_the_topology(topology: Topology, points: tuple[Point, ...]) -> None:
    vnics = {(vm.id, vnic.name) for vm in topology.vms for vnic in vm.vnics}
    assert {(point.vm, point.vnic) for point in points} <= vnics


def test_points_say_who_offers_them_and_what_they_see(provider: Provider, points: tuple[Point, ...]) -> None:
    assert all(point.provider == provider.name and point.sees for point in points)
    assert all(point.readable.reason for point in points if point.readable.answer is not Answer.YES)


def mirror(point: Point, world: World) -> Mirror:
    target = world.target or f"nic:{world.free.device_name}"
    return Mirror(point, parse(target), Mark("00c0ffee", "1.1.boot", 0), world.free)


def test_a_device_that_is_read_changes_nothing(points: tuple[Point, ...]) -> None:
    readers = [point for point in points if point.kind is not PointKind.MIRROR]
    assert all(point.device for point in readers)
    assert [change for point in readers for change in point.changes] == []


def test_a_mirror_says_what_it_changes(points: tuple[Point, ...]) -> None:
    assert all(point.changes for point in points if point.kind is PointKind.MIRROR)


def test_what_opens_a_mirror_can_be_done_twice_and_undone_twice(world: World, points: tuple[Point, ...]) -> None:
    """As after a crash, when nobody knows how far it came; and the world is as before."""
    mirrored = [point for point in points if point.kind in MIRRORED and point.readable.answer is not Answer.NO]
    opened = [steps for point in mirrored if (steps := steps_of(world, point))]
    assert bool(opened) == copies(world)
    for steps in opened:
        before = world.look()
        for step in steps:
            perform(world.provider, step.do, step.do)
        assert world.look() != before
        for step in reversed(steps):
            perform(world.provider, step.undo, step.undo)
        assert world.look() == before


MIRRORED = (PointKind.DEVICE, PointKind.MIRROR)
"""Points whose frames some provider may be asked to copy."""


def steps_of(world: World, point: Point) -> Sequence[Step]:
    return world.provider.steps(mirror(point, world)) if copies(world) else ()


def copies(world: World) -> bool:
    """Whether its provider can open mirrors."""
    return bool(world.target or world.free.device_name)


def perform(provider: Provider, *operations: Operation) -> None:
    for operation in operations:
        provider.perform(operation)


def test_it_offers_nothing_for_an_empty_host(provider: Provider) -> None:
    assert list(provider.points(Topology(Host("h")))) == []


def test_verbs_it_does_not_know_are_refused(provider: Provider) -> None:
    with pytest.raises(ProviderError):
        provider.perform(Operation(provider.name, "no-such-verb"))
