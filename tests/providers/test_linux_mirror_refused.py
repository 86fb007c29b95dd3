"""Mirrors that tc cannot make, and those that would copy their own copies: refused at once, with the way out."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from support.copied import World, world
from support.mirrored import COLLECTOR
from support.netns import ip, veth
from tapwright.errors import ProviderError, UsageError
from tapwright.plan.mirrors import Place
from tapwright.plan.points import PointKind

pytestmark = pytest.mark.root


@pytest.fixture
def quiet() -> Iterator[World]:
    with world() as quiet:
        yield quiet


def test_loops_are_refused(quiet: World) -> None:
    with pytest.raises(UsageError, match="target of its own mirror"):
        quiet.steps("nic:vnet1", quiet.place("vnet1"))
    with pytest.raises(UsageError, match="would come back"):
        quiet.steps("nic:br0", quiet.place("br0"))
    with pytest.raises(UsageError, match="the VM's own bridge"):
        quiet.steps("nic:vnet2", quiet.place("vnet2"))
    ip("addr", "add", "10.9.9.9/32", "dev", "eth0", netns=quiet.web)
    for address, device in (("10.9.9.9", "up0"), ("10.9.9.8", "vnet1")):
        ip("route", "add", f"{address}/32", "dev", device, netns=quiet.host)
    with pytest.raises(UsageError, match="is the mirrored VM itself"):
        quiet.steps("vxlan://10.9.9.9?vni=1")
    with pytest.raises(UsageError, match="leave by vnet1 itself"):
        quiet.steps("vxlan://10.9.9.8?vni=1")


def test_a_loop_over_a_second_bridge_is_refused(quiet: World) -> None:
    """A veth pair leads from the second one back to the VM's."""
    ip("link", "add", "br1", "type", "bridge", netns=quiet.host)
    veth(quiet.host, "leg0", "leg1")
    veth(quiet.host, "way0", "way1")
    for port, bridge in (("leg0", "br1"), ("leg1", "br0"), ("way1", "br1")):
        ip("link", "set", port, "master", bridge, netns=quiet.host)
    with pytest.raises(UsageError, match="would come back"):
        quiet.steps("nic:way0", quiet.place("way0"))


def test_a_loop_over_the_device_below_is_refused(quiet: World) -> None:
    """What is given to a device that sends by another one, that one gets."""
    ip("link", "add", "upper0", "link", "br0", "type", "macvlan", netns=quiet.host)
    ip("link", "set", "upper0", "up", netns=quiet.host)
    with pytest.raises(UsageError, match="would come back"):
        quiet.steps("nic:upper0", quiet.place("upper0"))


def test_what_tc_cannot_do_is_refused_at_once(quiet: World) -> None:
    with pytest.raises(ProviderError, match="no such device in"):
        quiet.steps("nic:nowhere")
    with pytest.raises(ProviderError, match="another network namespace"):
        quiet.steps("nic:eth0", quiet.place("eth0", quiet.sniffer))
    with pytest.raises(ProviderError, match="no RSPAN VLAN"):
        quiet.steps("rspan:9")
    with pytest.raises(UsageError, match="whole frames"):
        quiet.steps("nic:snf0", quiet.place("snf0"), snaplen=64)
    with pytest.raises(UsageError, match="by its tag alone"):
        quiet.steps("nic:snf0", quiet.place("snf0"), vlans=(10,))
    with pytest.raises(ProviderError, match="no route to the collector"):
        quiet.steps("vxlan://203.0.113.1?vni=1")
    guest = next(point for point in quiet.points(PointKind.GUEST) if point.netns.name == quiet.web)
    with pytest.raises(UsageError, match="device on the host"):
        quiet.provider.steps(replace(quiet.mirror("nic:snf0", quiet.place("snf0")), point=guest))
    ip("link", "set", "snf0", "down", netns=quiet.host)
    with pytest.raises(ProviderError, match="snf0 is down") as refused:
        quiet.steps("nic:snf0", quiet.place("snf0"))
    assert refused.value.hint == "ip link set snf0 up"


@pytest.mark.parametrize("target", ["gre", "erspan2", "erspan3", "geneve"])
@pytest.mark.parametrize("remote", [COLLECTOR, "[fd00::9]"])
def test_tunnels_that_this_kernel_does_not_have_are_refused(quiet: World, target: str, remote: str) -> None:
    """At once and with the way out, so that the switch is asked next where there is one."""
    before = quiet.look()
    with pytest.raises(ProviderError, match="this kernel makes no") as refused:
        quiet.steps(f"{target}://{remote}")
    assert refused.value.hint.startswith("modprobe ")
    assert "vxlan://" in refused.value.hint
    assert quiet.look() == before


def test_a_place_that_is_empty_is_not_taken_for_a_device(quiet: World) -> None:
    with pytest.raises(ProviderError, match="no such device"):
        quiet.steps("nic:snf0", Place())
