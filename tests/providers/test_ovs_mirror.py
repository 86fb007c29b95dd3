"""Mirrors on a real Open vSwitch: each target delivers what flows already, and leaves nothing; judged by tshark."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.mirrored import COLLECTOR, COLLECTOR6, DB, WEB, World, seen, speakers, world
from tapwright.errors import ProviderError, UsageError
from tapwright.model import Role
from tapwright.plan.mirrors import Direction, Place, Target, TargetKind
from tapwright.plan.steps import Found, Step
from tapwright.providers.ovs_counts import LAG

pytestmark = pytest.mark.root

OWN = Target(TargetKind.NIC)


@pytest.fixture(scope="module")
def lively() -> Iterator[World]:
    with world() as lively:
        yield lively


@contextmanager
def opened(world: World, target: str | Target, place: Place | None = None, **more: object) -> Iterator[Step]:
    """Done twice, undone twice; the database is afterwards as it was before."""
    before = world.dump()
    provider, step = world.step(target, place, **more)
    assert provider.found(step).found is Found.ABSENT
    try:
        provider.perform(step.do)
        once = world.dump()
        provider.perform(step.do)
        assert world.dump() == once != before
        assert provider.found(step).found is Found.THERE, provider.found(step)
        yield step
        assert provider.found(step).found is Found.THERE, provider.found(step)
    finally:
        provider.perform(step.undo)
        provider.perform(step.undo)
    assert provider.found(step).found is Found.ABSENT
    assert world.dump() == before


def test_a_device_of_our_own(lively: World) -> None:
    with opened(lively, OWN) as step:
        device = step.do.text("device")
        assert len(device) <= 15
        rows = seen(lively.switch.netns, device, "frame.len")
    assert speakers(rows) == {WEB, DB}
    assert {row[1] for row in rows} == {"214"}


@pytest.mark.parametrize(("direction", "by"), [(Direction.IN, DB), (Direction.OUT, WEB)])
def test_one_direction_is_the_vms(lively: World, direction: Direction, by: str) -> None:
    """In is what comes to web, out what it sends."""
    with opened(lively, OWN, direction=direction) as step:
        assert speakers(seen(lively.switch.netns, step.do.text("device"))) == {by}


def test_frames_are_cut(lively: World) -> None:
    with opened(lively, OWN, snaplen=64) as step:
        rows = seen(lively.switch.netns, step.do.text("device"), "frame.len")
    assert speakers(rows) == {WEB, DB}
    assert {row[1] for row in rows} == {"64"}


def test_a_free_device(lively: World) -> None:
    with opened(lively, "nic:snf0", lively.free_device()):
        assert speakers(seen(lively.sniffer, "eth0")) == {WEB, DB}


def test_a_device_that_is_a_port_already(lively: World) -> None:
    with opened(lively, "nic:trunk0", Place(port="trunk0")):
        assert speakers(seen(lively.trunk, "eth0")) == {WEB, DB}


def test_a_collectors_vnic(lively: World) -> None:
    with opened(lively, "vm:vm3/eth0", Place(port="vnet3")):
        assert speakers(seen(lively.vm, "eth0")) == {WEB, DB}


@pytest.mark.parametrize(("snaplen", "length"), [(0, "218"), (64, "64")])
def test_a_vlan(lively: World, snaplen: int, length: str) -> None:
    with opened(lively, "rspan:999", snaplen=snaplen):
        rows = seen(lively.trunk, "eth0", "vlan.id", "frame.len", only="vlan 999")
    assert speakers(rows) == {WEB, DB}
    assert {row[1:] for row in rows} == {("999", length)}


TUNNELS = {
    f"erspan2://{COLLECTOR}?session=7&index=19": ("erspan.spanid", "erspan.index", "7", "19"),
    f"erspan3://{COLLECTOR}?session=8": ("erspan.spanid", "erspan.version", "8", "2"),
    f"gre://{COLLECTOR}?key=4242": ("gre.key", "gre.proto", "0x00001092", "0x6558"),
    f"gre://{COLLECTOR}": ("gre.flags.key", "gre.proto", "0", "0x6558"),
    f"vxlan://{COLLECTOR}?vni=7007": ("vxlan.vni", "udp.dstport", "7007", "4789"),
    f"geneve://{COLLECTOR}?vni=7008": ("geneve.vni", "udp.dstport", "0x001b60", "6081"),
    f"vxlan://[{COLLECTOR6}]?vni=7009": ("vxlan.vni", "udp.dstport", "7009", "4789"),
    f"gre://[{COLLECTOR6}]?key=17": ("gre.key", "gre.proto", "0x00000011", "0x6558"),
    f"erspan2://[{COLLECTOR6}]?session=9": ("erspan.spanid", "erspan.index", "9", "0"),
}


@pytest.mark.parametrize("target", TUNNELS)
def test_a_collector_behind_a_tunnel(lively: World, target: str) -> None:
    one, other, *values = TUNNELS[target]
    to_it = "not arp and not icmp6 and not icmp and ether src not " + "02:00:00:00:00:09"
    with opened(lively, target):
        rows = seen(lively.collector, "eth0", one, other, only=to_it)
    copies = [row for row in rows if speakers([row])]
    assert speakers(copies) == {WEB, DB}
    assert {row[1:] for row in copies} == {tuple(values)}


def test_a_tunnel_for_copies_is_no_way_out_of_the_switch(lively: World) -> None:
    with opened(lively, f"vxlan://{COLLECTOR}?vni=7007") as step:
        snapshot = lively.provider.snapshot()
        (port,) = [port for port in snapshot.ports if port.name == step.do.text("name")]
        assert (port.role, port.kind) == (Role.OTHER, "vxlan")
        assert snapshot.overlays == ()


def test_a_port_for_vxlan_of_its_own(lively: World) -> None:
    with opened(lively, f"vxlan://{COLLECTOR}?vni=5&port=8472"):
        assert seen(lively.collector, "eth0", only="udp dst port 8472", packets=4)


@pytest.mark.parametrize(("direction", "bit"), [(Direction.IN, "1"), (Direction.OUT, "0")])
def test_the_direction_in_erspan3(lively: World, direction: Direction, bit: str) -> None:
    with opened(lively, f"erspan3://{COLLECTOR}?session=8", direction=direction):
        rows = seen(lively.collector, "eth0", "erspan.direction", only="ip proto 47")
    assert {row[1] for row in rows} == {bit}


def test_what_open_vswitch_cannot_do_is_refused_at_once(lively: World) -> None:
    with pytest.raises(UsageError, match="filtered where it is read") as refused:
        lively.step(OWN, program=bytes(8))
    assert "--point mirror" in refused.value.hint
    with pytest.raises(UsageError, match="14 bytes"):
        lively.step(OWN, snaplen=5)
    with pytest.raises(ProviderError, match="is not on the switch"):
        lively.step("vm:elsewhere/eth0")
    with pytest.raises(ProviderError, match="not a device of this host"):
        lively.step("nic:nowhere")
    with pytest.raises(ProviderError, match="loop"):
        lively.step("nic:vnet1", Place(port="vnet1"))


@pytest.mark.parametrize(("port", "why"), [("br0", "carries nothing else"), ("up0", "is not on br0")])
def test_a_port_that_the_switch_needs_takes_no_copies(lively: World, port: str, why: str) -> None:
    before = lively.dump()
    provider, step = lively.step(f"nic:{port}", Place(port=port))
    with pytest.raises(ProviderError, match=why):
        provider.perform(step.do)
    assert lively.dump() == before


def test_a_device_that_is_not_there_is_said_and_leaves_nothing(lively: World) -> None:
    before = lively.dump()
    provider, step = lively.step("nic:ghost0", lively.free_device("ghost0"))
    with pytest.raises(ProviderError, match=r"ghost0.*No such device"):
        provider.perform(step.do)
    assert lively.dump() == before


def test_two_tunnels_of_one_session_cannot_be_told_apart(lively: World) -> None:
    with opened(lively, f"gre://{COLLECTOR}?key=77"):
        before = lively.dump()
        provider, step = lively.step(f"gre://{COLLECTOR}?key=77", port="vnet2")
        with pytest.raises(ProviderError, match="cannot send copies"):
            provider.perform(step.do)
        assert lively.dump() == before


def test_copies_are_counted(lively: World) -> None:
    with opened(lively, OWN) as step:
        deadline = time.monotonic() + 30
        while not lively.provider.copied(step):
            assert time.monotonic() < deadline, "ovs-vswitchd publishes every 5 s"
            time.sleep(0.2)
    assert lively.provider.copied(step) is None


def test_counts_are_as_late_as_the_switch_was_told_to_publish_them(lively: World) -> None:
    _, step = lively.step(OWN)
    assert lively.provider.measured([step]).lag == LAG
    lively.switch.vsctl("set", "Open_vSwitch", ".", "other_config:stats-update-interval=15000")
    assert lively.provider.measured([step]).lag == LAG + 10
    lively.switch.vsctl("remove", "Open_vSwitch", ".", "other_config", "stats-update-interval")
