"""Choosing points: the least change wins, and nothing is read twice or passed over in silence."""

import dataclasses

import pytest

from tapwright.find.names import Selection
from tapwright.find.statistics import Rates
from tapwright.find.topology import Topology
from tapwright.model import Capability, Device, DeviceKey, Host, Netns, Overlay, Vm, Vnic
from tapwright.plan.planner import Request, choose, with_cost
from tapwright.plan.points import Point, PointKind

HERE, INSIDE = Netns(1), Netns(2, "/run/netns/web", "web")
TAP, VETH, GUEST = DeviceKey(1, 10), DeviceKey(1, 11), DeviceKey(2, 3)
YES = Capability.yes()
ETH0 = Vnic("eth0", "02:00:00:00:00:01", device=TAP, inner=GUEST)
WEB = Vm("id-web", "web", vnics=(ETH0,))
DB = Vm("id-db", "db", vnics=(Vnic("eth0", "02:00:00:00:00:02"),))


def point(kind=PointKind.DEVICE, device=TAP, name="tap0", *, vm=WEB, vnic="eth0", readable=YES, netns=HERE, **more):
    return Point(kind, vm.id, vnic, "linux", device, name, netns, readable, **more)


def topology(*vms, down=()):
    keys = {TAP: "tap0", VETH: "qvb0", GUEST: "eth0"}
    devices = {key: Device(key, name, up=name not in down) for key, name in keys.items()}
    return Topology(Host("here"), vms, devices=devices)


def planned(points, *, vms=(WEB,), down=(), **request):
    selections = tuple(Selection(vm, vm.vnics) for vm in vms)
    return choose(Request(selections, **request), topology(*vms, down=down), points)


def chosen(plan):
    return [choice.point.device_name for choice in plan.chosen]


ALL_KINDS = [
    point(PointKind.GUEST, GUEST, "eth0", netns=INSIDE),
    point(PointKind.MIRROR, DeviceKey(1, 20), "mirror0", changes=("a mirror",)),
    point(PointKind.UPLINK, DeviceKey(1, 2), "bond0"),
    point(),
]


def test_the_least_change_wins():
    order = []
    points = list(ALL_KINDS)
    while points:
        plan = planned(points)
        order.append(plan.chosen[0].point.kind)
        points.remove(plan.chosen[0].point)
    assert order == [PointKind.DEVICE, PointKind.UPLINK, PointKind.MIRROR, PointKind.GUEST]


def test_every_point_that_is_not_chosen_has_its_reason():
    plan = planned(ALL_KINDS)
    reasons = {rejected.point.kind: rejected.reason for rejected in plan.rejected}
    assert reasons == {
        PointKind.GUEST: "would enter the VM's own side, and its host side shows the same frames",
        PointKind.MIRROR: "would change the switch, and the device shows the same frames without",
        PointKind.UPLINK: "shows only what leaves the server, not what VMs here say to each other",
    }


def test_what_can_be_read_comes_before_what_changes_less():
    blocked = point(readable=Capability.no("the kernel never shows its frames"))
    inside = point(PointKind.GUEST, GUEST, "eth0", netns=INSIDE)
    plan = planned([blocked, inside])
    assert chosen(plan) == ["eth0"]
    assert plan.rejected[0].reason == "the kernel never shows its frames"


def test_what_surely_opens_comes_before_what_may():
    unsure = point(readable=Capability.unknown("only Open vSwitch says so"))
    inside = point(PointKind.GUEST, GUEST, "eth0", netns=INSIDE)
    assert chosen(planned([unsure, inside])) == ["eth0"]
    alone = planned([unsure])
    assert chosen(alone) == ["tap0"]
    assert "not sure it opens: only Open vSwitch says so" in alone.chosen[0].reason


def test_of_several_devices_in_a_row_the_vnics_own_is_read():
    # A tap on a bridge on a veth pair (OpenStack's hybrid plug) shows every frame at each of them.
    plan = planned([point(device=VETH, name="qvb0"), point()])
    assert chosen(plan) == ["tap0"]
    assert [(r.point.device_name, r.reason) for r in plan.rejected] == [
        ("qvb0", "another device of the same vNIC is nearer to it")
    ]


def test_a_device_two_providers_offer_is_one_point():
    twice = [point(), dataclasses.replace(point(), provider="ovs")]
    plan = planned(twice)
    assert chosen(plan) == ["tap0"]
    assert plan.rejected == ()


def test_a_device_two_vnics_share_is_read_once():
    # Containers of one pod share a namespace, and so a veth.
    pod = Vm("id-side", "sidecar", vnics=(dataclasses.replace(ETH0),))
    plan = planned([point(), point(vm=pod)], vms=(WEB, pod))
    assert [(c.vm.name, c.point.device_name) for c in plan.chosen] == [("web", "tap0")]
    assert [(r.vm.name, r.reason) for r in plan.rejected] == [
        ("sidecar", "it is the device of web/eth0, which is read already; its packets would come twice")
    ]
    assert plan.unseen == ()


def test_a_kind_can_be_asked_for():
    assert planned(ALL_KINDS, kind=PointKind.GUEST).chosen[0].point.kind is PointKind.GUEST
    none = planned([point()], kind=PointKind.MIRROR)
    assert (none.chosen, none.unseen[0].reason) == ((), "it has no point of kind mirror")


def uplink(vni=100, *, kind="vxlan", **more):
    overlay = Overlay(kind, vni, "172.31.0.11", ("172.31.0.12",), 4789)
    return point(PointKind.UPLINK, DeviceKey(1, 2), "bond0", overlay=overlay, outgoing_is_to_vm=False, **more)


def test_two_vms_behind_one_uplink_are_both_read():
    db = Vm("id-db", "db", vnics=(ETH0,))
    plan = planned([uplink(), uplink(vm=db)], vms=(WEB, db))
    assert [choice.vm.name for choice in plan.chosen] == ["web", "db"]
    assert plan.chosen[0].point.id == "uplink:bond0/vxlan-100"
    cost = with_cost(plan, {DeviceKey(1, 2): Rates(600, 4_000_000, 400, 4_000_000)}, None).cost
    assert cost.packets == 1000


def test_one_that_was_asked_for_says_what_it_does_not_show():
    plan = planned([point(), uplink()], kind=PointKind.UPLINK)
    assert plan.chosen[0].reason.startswith("asked for; it shows what leaves and enters the server")


def test_a_vni_chooses_among_several_overlays():
    plan = planned([uplink(), uplink(200)], vni=200)
    assert plan.chosen[0].point.overlay.vni == 200
    assert plan.rejected[0].reason == "its VNI is 100, not 200"


def test_a_vni_that_is_chosen_for_each_flow_must_be_said():
    plan = planned([uplink(None)])
    assert plan.unseen[0].fix == "say --vni N"
    assert planned([uplink(None)], vni=7).chosen[0].point.overlay.vni == 7
    assert planned([uplink(None, kind="gre")]).chosen[0].point.overlay.vni is None


@pytest.mark.parametrize(
    ("vm", "points", "reason"),
    [
        (dataclasses.replace(WEB, state="shut off"), [], "it is shut off; start it first"),
        (dataclasses.replace(WEB, state="shut off", vnics=()), [], "it is shut off; start it first"),
        (dataclasses.replace(WEB, vnics=()), [], "it has no network interface"),
        (WEB, [], "no provider offers a point for its device"),
        (dataclasses.replace(WEB, vnics=(Vnic("net0"),)), [], "no device of this host is known to carry it"),
        (WEB, [point(readable=Capability.no("it needs CAP_NET_RAW", "run it with sudo"))], "it needs CAP_NET_RAW"),
        (WEB, [point(PointKind.MIRROR, None, "vhu0", readable=Capability.no("its switch does not answer"))],
         "its switch does not answer"),
        (WEB, [point(PointKind.MIRROR, None, "lsp0", readable=Capability.yes("another server's"), elsewhere=True)],
         "another server's"),
    ],
)  # fmt: skip
def test_a_vnic_nothing_shows_says_why(vm, points, reason):
    plan = planned(points, vms=(vm,))
    assert plan.chosen == ()
    assert [unseen.reason for unseen in plan.unseen] == [reason]
    assert plan.warnings == ("nothing can be captured: none of these vNICs can be read here and now",)


def test_a_mirror_needs_no_device_and_no_port_is_mirrored_twice():
    vhu = [point(PointKind.MIRROR, None, "vhu0", vm=vm, switch="br0", port="vhu0") for vm in (WEB, DB)]
    device = point(readable=Capability.no("the kernel never shows its frames"))
    plan = planned([device, *vhu], vms=(WEB, DB))
    assert [choice.point for choice in plan.chosen] == [vhu[0]]
    assert "read already" in plan.rejected[-1].reason
    assert with_cost(plan, {}, 10**9).cost is None, "nobody knows the load of a port without a device"


def test_the_others_go_on_when_one_cannot_be_seen():
    off = Vm("id-db", "db", state="shut off", vnics=(Vnic("net0"),))
    plan = planned([point()], vms=(off, WEB))
    assert chosen(plan) == ["tap0"]
    assert [unseen.vm.name for unseen in plan.unseen] == ["db"]
    assert plan.warnings == ()


def test_it_warns_of_silence_to_come():
    assert planned([point()], down=("tap0",)).warnings == ("web/eth0: tap0 is down; packets come once it is up",)
    paused = dataclasses.replace(WEB, state="paused")
    assert planned([point()], vms=(paused,)).warnings == ("web/eth0: the VM is paused; packets come once it runs",)


def test_a_device_point_changes_nothing():
    assert planned(ALL_KINDS).steps == ()


LOAD = {TAP: Rates(600, 4_000_000, 400, 4_000_000), VETH: Rates(1e6, 1e9, 1e6, 1e9)}


def test_the_cost_counts_chosen_devices_only():
    cost = with_cost(planned([point(), point(device=VETH, name="qvb0")]), LOAD, None).cost
    assert (cost.packets, cost.bits) == (1000, 8_000_000)
    assert cost.disk == 1_000_000 + 1000 * 48
    assert (cost.total, cost.until_full, cost.memory) == (None, None, 48 << 20)


def test_a_snap_length_bounds_what_is_kept():
    assert with_cost(planned([point()], snaplen=96), LOAD, None).cost.disk == 1000 * (96 + 48)


def test_a_device_without_counters_costs_nothing_known():
    assert with_cost(planned([point()]), {}, 1 << 30).cost.disk == 0
