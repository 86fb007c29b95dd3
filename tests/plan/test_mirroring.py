"""Which point is mirrored, and where copies may go: nobody is cut off, and nothing is copied twice."""

from dataclasses import replace

import pytest

from tapwright.errors import NotFound, ProviderError, UsageError
from tapwright.find.names import Selection
from tapwright.find.topology import Topology
from tapwright.model import Capability, Device, DeviceKey, Host, Netns, Port, Role, Switch, Vm, Vnic
from tapwright.plan.mirroring import Asked, mirrored, place, ranked, reason, unmirrored, vnics, whole
from tapwright.plan.mirrors import Place, Target, TargetKind, parse
from tapwright.plan.points import Point, PointKind

HERE, THERE = Netns(1), Netns(2, "/run/netns/there", "there")
NAMES = ("vnet0", "vnet1", "br0", "up0", "snf0", "eth0", "lan0", "int0")
KEYS = {name: DeviceKey(1, number) for number, name in enumerate(NAMES, start=1)}
ETH0 = Vnic("eth0", "02:00:00:00:00:01", ("10.0.0.1/24",), device=KEYS["vnet0"])
WEB = Vm("id-web", "web", vnics=(ETH0,))
DB = Vm("id-db", "db", vnics=(Vnic("eth0", "02:00:00:00:00:02", device=KEYS["vnet1"]),))
TWO = Vm("id-two", "two", vnics=(Vnic("eth0"), Vnic("eth1")))
YES = Capability.yes()
MIRROR = Point(PointKind.MIRROR, "id-web", "eth0", "ovs", None, "vnet0", HERE, YES, "br", "vnet0")
DEVICE = replace(MIRROR, kind=PointKind.DEVICE, provider="linux", device=KEYS["vnet0"], copies=True)


def topology() -> Topology:
    devices = {key: Device(key, name) for name, key in KEYS.items()}
    devices[KEYS["eth0"]] = replace(devices[KEYS["eth0"]], addresses=("192.0.2.5/24",))
    devices[KEYS["snf0"]] = replace(devices[KEYS["snf0"]], addresses=("fe80::1/64",))
    devices[KEYS["lan0"]] = replace(devices[KEYS["lan0"]], master=99)
    away = DeviceKey(2, 7)
    devices[away] = Device(away, "away0")
    ports = (
        Port("br", "vnet0", Role.VNIC, KEYS["vnet0"]),
        Port("br", "vnet1", Role.VNIC, KEYS["vnet1"]),
        Port("br", "up0", Role.UPLINK, KEYS["up0"]),
        Port("br", "int0", Role.INTERNAL, KEYS["int0"]),
        Port("br", "dpdk1", Role.OTHER, kind="dpdk"),
    )
    switch = Switch("br", "br0", "ovs", 1, KEYS["br0"], providers=("ovs",))
    return Topology(Host("h"), (WEB, DB, TWO), (switch,), ports, devices=devices, netns={1: HERE, 2: THERE})


def asked(target: str = "nic:snf0", *vms: Vm, **more: object) -> Asked:
    return Asked(tuple(Selection(vm, vm.vnics) for vm in vms or (WEB,)), parse(target), **more)


@pytest.mark.parametrize(
    ("wanted", "first"),
    [
        (asked(), "ovs"),
        (asked("vxlan://192.0.2.9?vni=7"), "ovs"),
        (asked(filtered=True), "linux"),
        (asked("vm:db"), "linux"),
        (asked("vm:db", snaplen=64), "ovs"),
        (asked("rspan:9", filtered=True), "ovs"),
    ],
)
def test_the_switch_copies_unless_the_kernel_does_it_better(wanted: Asked, first: str) -> None:
    for points in ([MIRROR, DEVICE], [DEVICE, MIRROR]):
        best, other = ranked(wanted, WEB, ETH0, points)
        assert best.provider == first != other.provider
        assert best.port in reason(wanted, best)


def test_a_switch_is_a_point_of_no_vm() -> None:
    there = topology()
    (switch,) = there.switches
    point = whole(switch, there)
    assert (point.whole, point.vm, point.port, point.device_name) == (True, "", "", "br0")
    assert not MIRROR.whole
    assert not DEVICE.whole
    assert "each frame of these VLANs once" in reason(asked(switch=switch, vlans=(10,)), point)
    bridge = whole(replace(switch, kind="bridge"), there)
    assert (bridge.whole, bridge.provider, bridge.device) == (True, "linux", KEYS["br0"])
    assert "kernel copies each frame of these VLANs once" in reason(asked(switch=switch, vlans=(10,)), bridge)
    with pytest.raises(ProviderError, match="no device"):
        whole(replace(switch, kind="bridge", device=None), there)
    with pytest.raises(ProviderError, match="does not answer"):
        whole(replace(switch, providers=("linux",)), there)


def test_a_vm_of_the_switch_is_no_collector_behind_a_tunnel() -> None:
    there = topology()
    (switch,) = there.switches
    wanted = Asked((), parse("gre://10.0.0.1"), vlans=(10,), switch=switch)
    with pytest.raises(UsageError, match="a VM on the mirrored switch"):
        place(wanted, there, None, whole(switch, there))
    assert mirrored(wanted, there, None) == ("10.0.0.1/24",)
    assert place(replace(wanted, target=parse("gre://10.0.0.2")), there, None, whole(switch, there)) == Place()


def test_what_surely_works_comes_first_and_what_cannot_copy_not_at_all() -> None:
    unsure = replace(MIRROR, readable=Capability.unknown("its namespace is hidden"))
    assert ranked(asked(), WEB, ETH0, [unsure, DEVICE])[0] is DEVICE
    assert ranked(asked(), WEB, ETH0, [replace(DEVICE, copies=False), replace(MIRROR, vm="id-db")]) == ()
    assert ranked(asked(by="ovs", filtered=True), WEB, ETH0, [DEVICE, MIRROR]) == (MIRROR,)


def test_one_that_nothing_can_copy_says_what_to_do() -> None:
    assert "--by" in unmirrored(asked(by="linux"), WEB, ETH0).hint
    error = unmirrored(asked(), replace(WEB, state="shut off"), ETH0)
    assert "web is shut off" in error.message
    assert error.hint == "see where it is plugged in: tapwright where web"


def test_a_collector_is_not_mirrored() -> None:
    found = list(vnics(asked("vm:db", WEB, DB), topology()))
    assert [vm.name for vm, _ in found] == ["web"]
    with pytest.raises(UsageError, match="db cannot be mirrored to itself"):
        list(vnics(asked("vm:db", DB), topology()))
    with pytest.raises(NotFound, match="no vNIC"):
        list(vnics(asked("nic:snf0", replace(WEB, vnics=())), topology()))


def test_a_collector_with_several_vnics_needs_one_named() -> None:
    with pytest.raises(UsageError, match="two has 2 vNICs") as caught:
        list(vnics(asked("vm:two"), topology()))
    assert caught.value.hint == "say which: vm:two/eth0 or vm:two/eth1"


def test_a_collector_is_a_port_for_the_switch_and_a_device_for_the_kernel() -> None:
    at_port = place(asked("vm:db"), topology(), ETH0, MIRROR)
    assert (at_port.port, at_port.device) == ("vnet1", KEYS["vnet1"])
    at_device = place(asked("vm:db"), topology(), ETH0, DEVICE)
    assert (at_device.port, at_device.device, at_device.device_name) == ("", KEYS["vnet1"], "vnet1")
    away = replace(MIRROR, switch="other")
    assert place(asked("vm:db"), topology(), ETH0, away).port == "", "a mirror does not leave its switch"


def test_a_free_nic_and_a_port_of_the_switch_take_copies() -> None:
    for point in (MIRROR, DEVICE):
        found = place(asked(), topology(), ETH0, point)
        assert (found.device, found.device_name, found.port) == (KEYS["snf0"], "snf0", "")
    assert place(asked("nic:dpdk1"), topology(), ETH0, MIRROR).port == "dpdk1"
    assert place(asked("nic:int0"), topology(), ETH0, MIRROR).port == "int0"


def test_what_leaves_the_host_has_no_place_here() -> None:
    empty = place(asked("gre://192.0.2.9"), topology(), ETH0, MIRROR)
    assert (empty.device, empty.port) == (None, "")
    own = replace(asked(), target=Target(TargetKind.NIC))
    assert place(own, topology(), ETH0, MIRROR) == empty


@pytest.mark.parametrize(
    ("target", "point", "says"),
    [
        ("nic:vnet1", MIRROR, "the port of a VM"),
        ("nic:vnet1", DEVICE, "the port of a VM"),
        ("nic:up0", MIRROR, "the way out"),
        ("nic:up0", DEVICE, "the way out"),
        ("nic:int0", DEVICE, "would pass for the VM's own"),
        ("nic:eth0", MIRROR, "has the address 192.0.2.5/24"),
        ("nic:lan0", MIRROR, "is a port already"),
        ("vxlan://10.0.0.1?vni=7", MIRROR, "is the mirrored VM itself"),
    ],
)
def test_what_would_cut_somebody_off_is_refused(target: str, point: Point, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        place(asked(target), topology(), ETH0, point)
    assert caught.value.hint


def test_the_kernel_may_send_copies_out_of_a_nic_that_has_an_address() -> None:
    assert place(asked("nic:eth0"), topology(), ETH0, DEVICE).device_name == "eth0"


def test_a_nic_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(NotFound, match="no device 'nope'") as caught:
        place(asked("nic:nope"), topology(), ETH0, MIRROR)
    assert "snf0" in caught.value.hint
    assert "lan0" not in caught.value.hint, "a bridge has it"
    found = place(asked("nic:away0"), topology(), ETH0, DEVICE)
    assert found.netns == THERE, "the provider says why not"


def test_a_device_that_the_kernel_never_shows_cannot_be_copied_there() -> None:
    with pytest.raises(ProviderError, match="never shows"):
        place(asked(), topology(), ETH0, replace(DEVICE, readable=Capability.no("the kernel never shows its frames")))


def joined() -> Topology:
    """With a second switch, joined to the VM's by patches, and a third one that is not."""
    there = topology()
    keys = [DeviceKey(1, number) for number in range(20, 27)]
    ex0, mac0, mac1, leg0, leg1, far0, far1 = (
        Device(key, name, kind, peer=peer, lower=lower)
        for key, name, kind, peer, lower in (
            (keys[0], "ex0", "tun", None, None),
            (keys[1], "mac0", "macvlan", None, keys[0]),
            (keys[2], "mac1", "vlan", None, keys[1]),
            (keys[3], "leg0", "veth", keys[4], None),
            (keys[4], "leg1", "veth", keys[3], None),
            (keys[5], "far0", "veth", keys[6], None),
            (keys[6], "far1", "veth", keys[5], None),
        )
    )
    ports = (
        Port("br", "to-ex", Role.PATCH, peer="to-int"),
        Port("ex", "to-int", Role.PATCH, peer="to-ex"),
        Port("ex", "ex0", Role.INTERNAL, ex0.key),
        Port("ex", "leg1", Role.OTHER, leg1.key),
        Port("far", "far1", Role.OTHER, far1.key),
    )
    switches = tuple(replace(there.switches[0], id=name, name=name, device=None) for name in ("ex", "far"))
    devices = {device.key: device for device in (ex0, mac0, mac1, leg0, leg1, far0, far1)}
    return Topology(
        there.host, there.vms, (*there.switches, *switches), (*there.ports, *ports),
        devices={**there.devices, **devices}, netns=there.netns,
    )  # fmt: skip


@pytest.mark.parametrize("point", [DEVICE, MIRROR])
def test_copies_do_not_come_back_over_patches(point: Point) -> None:
    there = joined()
    for name in ("mac0", "mac1", "leg0", *(["ex0"] if point is DEVICE else [])):
        with pytest.raises(UsageError, match=f"{name} leads into the VM's own switch by port (ex0|leg1)"):
            place(asked(f"nic:{name}"), there, ETH0, point)
    for name in ("far0", "snf0"):
        assert place(asked(f"nic:{name}"), there, ETH0, point).device_name == name
