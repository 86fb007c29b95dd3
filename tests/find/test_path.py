"""The way from a vNIC to the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.hosts import joined, pair, spaces, topology
from tapwright.find.drawing import draw
from tapwright.find.path import HopKind, overlays, path
from tapwright.model import Device, DeviceKey, Overlay, Port, Role, Snapshot, Switch, Vnic

HERE = 1


def key(number, netns=HERE):
    return DeviceKey(netns, number)


def kinds(hops):
    return [(str(hop.kind), hop.name, hop.depth) for hop in hops]


def vnic_of(topology, name, place=0):
    return next(vm for vm in topology.vms if vm.name == name).vnics[place]


def host(switches=(), ports=(), devices=(), overlays=(), vms=()):
    return joined(Snapshot("linux", spaces(HERE, 2, 3), devices, vms, switches, ports, overlays))


def ovs(name):
    return Switch(name, name, "ovs", HERE, datapath="kernel")


TAP = Device(key(7), "vnet0", "tun", mtu=1450)
ETH = Device(key(2), "eth0", mtu=1500)
VNIC = Vnic("net0", "52:54:00:00:00:01", ("10.0.0.5/24",), 1450, TAP.key)
PORT = Port("br-int", "vnet0", Role.VNIC, TAP.key, vlan=10)


def test_recorded_overlay():
    found = topology("overlay")
    hops = path(found, vnic_of(found, "red-web"))
    assert kinds(hops) == [
        ("vnic", "eth0", 0),
        ("device", "vnet0", 0),
        ("switch", "br-red", 0),
        ("overlay", "vxlan", 0),
        ("uplink", "uplink0", 0),
    ]
    assert hops[3].details == ("VNI 100", "UDP 4789", "172.31.0.11 → 172.31.0.12")
    assert hops[3].via == "port vx100"
    assert "MTU 1600" in hops[4].details


def test_recorded_open_vswitch():
    found = topology("ovs")
    hops = path(found, vnic_of(found, "app"))
    assert [(str(hop.kind), hop.via) for hop in hops] == [
        ("vnic", ""),
        ("device", "veth pair"),
        ("switch", "port vnet2, VLAN 10"),
    ]
    assert hops[-1].details == ("Open vSwitch", "netdev datapath")


def test_over_a_patch_and_a_tunnel_with_a_switch_of_its_own():
    """OpenStack's three bridges: br-int, br-tun by a patch, br-ex under the tunnel."""
    ports = (
        PORT,
        Port("br-int", "patch-tun", Role.PATCH, peer="patch-int"),
        Port("br-tun", "patch-int", Role.PATCH, peer="patch-tun"),
        Port("br-tun", "vxlan-1", Role.TUNNEL, kind="vxlan"),
        Port("br-tun", "vxlan-2", Role.TUNNEL, kind="vxlan"),
        Port("br-ex", "br-ex", Role.INTERNAL, key(3)),
        Port("br-ex", "eth0", Role.UPLINK, ETH.key),
    )
    tunnels = tuple(
        Overlay("vxlan", None, "192.0.2.1", (f"192.0.2.{n}",), 4789, HERE, f"vxlan-{n - 1}") for n in (2, 3)
    )
    local = Device(key(3), "br-ex", "openvswitch", addresses=("192.0.2.1/24",))
    found = host((ovs("br-int"), ovs("br-tun"), ovs("br-ex")), ports, (TAP, ETH, local), tunnels)
    hops = path(found, VNIC)
    assert kinds(hops) == [
        ("vnic", "net0", 0),
        ("device", "vnet0", 0),
        ("switch", "br-int", 0),
        ("switch", "br-tun", 0),
        ("overlay", "vxlan", 0),
        ("switch", "br-ex", 0),
        ("uplink", "eth0", 0),
    ]
    assert [hop.via for hop in hops[2:6]] == [
        "port vnet0, VLAN 10",
        "patch patch-tun",
        "port vxlan-1, vxlan-2",
        "outer packets by br-ex",
    ]
    assert hops[4].details == ("VNI per flow", "UDP 4789", "192.0.2.1 → 192.0.2.2, 192.0.2.3")
    assert {overlay.remotes for overlay in overlays(found, VNIC)} == {("192.0.2.2",), ("192.0.2.3",)}


def fork():
    ports = (
        PORT,
        Port("br-int", "vx1", Role.TUNNEL, kind="vxlan"),
        Port("br-int", "to-ext", Role.PATCH, peer="to-int"),
        Port("br-ext", "to-int", Role.PATCH, peer="to-ext"),
        Port("br-ext", "eth0", Role.UPLINK, ETH.key),
        Port("br-ext", "eth9", Role.UPLINK, kind="dpdk"),
    )
    tunnel = Overlay("vxlan", 7, "", ("192.0.2.2",), 4789, HERE, "vx1")
    return host((ovs("br-int"), ovs("br-ext")), ports, (TAP, ETH), (tunnel,))


def test_two_tunnels_over_one_switch_draw_it_once():
    ports = (
        Port("br-int", "vnet0", Role.VNIC, TAP.key),
        Port("br-int", "vx1", Role.TUNNEL, kind="vxlan"),
        Port("br-int", "gre1", Role.TUNNEL, kind="gre"),
        Port("br-phy", "br-phy", Role.INTERNAL, key(3)),
    )
    tunnels = (
        Overlay("vxlan", 7, "192.0.2.1", ("192.0.2.2",), 4789, HERE, "vx1"),
        Overlay("gre", None, "192.0.2.1", ("192.0.2.3",), 0, HERE, "gre1"),
        Overlay("gre", 5, "192.0.2.1", ("192.0.2.3",), 0, HERE, "gre2"),
    )
    local = Device(key(3), "br-phy", "openvswitch", addresses=("192.0.2.1/24", "fe80::1/64"))
    ports = (*ports, Port("br-int", "gre2", Role.TUNNEL, kind="gre"))
    hops = path(host((ovs("br-int"), ovs("br-phy")), ports, (TAP, local), tunnels), VNIC)
    outer = [hop for hop in hops if hop.name == "br-phy"]
    assert [hop.details for hop in outer] == [("Open vSwitch", "kernel datapath"), ("as above",), ("as above",)]
    assert {hop.via for hop in outer} == {"outer packets by br-phy"}
    ends = "192.0.2.1 → 192.0.2.3"
    assert [hop.details for hop in hops if hop.name == "gre"] == [(ends,), ("key 5", ends)]
    assert "fe80::1" not in draw(hops)


def test_several_ways_out_are_branches():
    assert kinds(path(fork(), VNIC))[2:] == [
        ("switch", "br-int", 0),
        ("overlay", "vxlan", 1),
        ("switch", "br-ext", 1),
        ("uplink", "eth0", 2),
        ("uplink", "eth9", 2),
    ]


def test_the_drawing_of_branches():
    assert draw(path(fork(), VNIC)).splitlines() == [
        "vnic     net0             52:54:00:00:00:01, 10.0.0.5/24, MTU 1450",
        "  │",
        "device   vnet0            tap",
        "  ▼ port vnet0, VLAN 10",
        "switch   br-int           Open vSwitch, kernel datapath",
        "  ├─ port vx1",
        "  │  overlay  vxlan            VNI 7, UDP 4789, this host → 192.0.2.2",
        "  └─ patch to-ext",
        "     switch   br-ext           Open vSwitch, kernel datapath",
        "       ├─",
        "       │  uplink   eth0             network card, MTU 1500",
        "       └─",
        "          uplink   eth9             dpdk",
    ]


def test_the_drawing_in_ascii():
    text = draw(path(fork(), VNIC), unicode=False)
    assert text.isascii()
    assert "  |  overlay  vxlan            VNI 7, UDP 4789, this host -> 192.0.2.2" in text.splitlines()
    assert "  `- patch to-ext" in text.splitlines()


def test_details_are_wrapped_below_each_other():
    addresses = tuple(f"2001:db8::{n}/64" for n in range(6))
    (first, *more) = draw(path(host(), Vnic("net0", addresses=addresses))).splitlines()
    assert first.startswith("vnic     net0             2001:db8::0/64,")
    assert more
    assert all(len(line) <= 80 and line.startswith(" " * 26 + "2001:db8::") for line in more)


def test_a_name_that_would_drive_a_terminal_is_defused():
    nasty = Vnic("\x1b[2J\neth0", "", device=key(8))
    device = Device(key(8), "a\u202eb" * 9, "tun", addresses=("\x07",))
    text = draw(path(host(devices=(device,)), nasty))
    assert all(character.isprintable() for line in text.split("\n") for character in line)
    assert "\\x1b[2J\\x0aeth0" in text


def test_a_vlan_leaves_only_where_it_is_carried():
    ports = (
        PORT,
        Port("br-int", "other", Role.UPLINK, vlan=20),
        Port("br-int", "trunk", Role.UPLINK, trunks=(10, 20)),
        Port("br-int", "native", Role.UPLINK, vlan=20, trunks=(30,)),
        Port("br-int", "all", Role.UPLINK),
    )
    hops = path(host((ovs("br-int"),), ports, (TAP,)), VNIC)
    assert [hop.name for hop in hops if hop.kind is HopKind.UPLINK] == ["all", "trunk"]


def test_down_a_vlan_device():
    vlan = Device(key(9), "eth0.100", "vlan", lower=ETH.key, vlan=100)
    bridge = Switch("br0", "br0", "bridge", HERE)
    ports = (Port("br0", "vnet0", Role.VNIC, TAP.key), Port("br0", "eth0.100", Role.UPLINK, vlan.key))
    hops = path(host((bridge,), ports, (TAP, vlan, ETH)), VNIC)
    assert [(hop.name, hop.via) for hop in hops[3:]] == [("eth0.100", ""), ("eth0", "VLAN 100")]


def test_a_macvlan_sits_on_its_lower_device():
    inner = Device(key(2, netns=2), "eth0", "macvlan", lower=ETH.key)
    hops = path(host(devices=(inner, ETH)), Vnic("eth0", inner=inner.key))
    assert kinds(hops) == [("vnic", "eth0", 0), ("uplink", "eth0", 0)]
    assert hops[1].via == "macvlan on it"


def test_a_device_without_a_switch_is_routed_by_the_host():
    outer, inner = pair(HERE, 5, 2)
    hops = path(host(devices=(outer, inner)), Vnic("eth0", inner=inner.key, device=outer.key))
    assert kinds(hops)[-1] == ("host", "h1", 0)


def test_a_vnic_nobody_knows_more_about():
    assert kinds(path(host(), Vnic("net0"))) == [("vnic", "net0", 0)]


def test_a_different_mtu_and_a_device_that_is_down_are_told():
    device = Device(key(8), "vnet8", "tun", mtu=9000, up=False)
    hops = path(host(devices=(device,)), Vnic("net0", mtu=1500, device=device.key))
    assert hops[1].details == ("tap", "MTU 9000", "down")


def test_the_host_itself_on_a_bridge():
    own = Device(key(4), "virbr0", "bridge", addresses=("192.168.122.1/24",))
    bridge = Switch("virbr0", "virbr0", "bridge", HERE, own.key)
    hops = path(host((bridge,), (Port("virbr0", "vnet0", Role.VNIC, TAP.key),), (TAP, own)), VNIC)
    assert hops[-1].details == ("Linux bridge", "the host itself: 192.168.122.1/24")


_numbers = st.integers(0, 5)
_devices = st.lists(
    st.builds(
        Device,
        key=st.builds(key, _numbers, st.integers(1, 2)),
        name=st.sampled_from("abc"),
        kind=st.sampled_from(("veth", "vlan", "macvlan", "tun", "")),
        peer=st.none() | st.builds(key, _numbers, st.integers(1, 2)),
        lower=st.none() | st.builds(key, _numbers, st.integers(1, 2)),
    ),
    unique_by=lambda device: device.key,
    max_size=8,
).map(tuple)
_ports = st.lists(
    st.builds(
        Port,
        switch=st.sampled_from("xyz"),
        name=st.sampled_from("pqrs"),
        role=st.sampled_from(Role),
        device=st.none() | st.builds(key, _numbers),
        peer=st.sampled_from("pqrs"),
        vlan=st.sampled_from((None, None, 1)),
    ),
    unique_by=lambda port: (port.switch, port.name),
    max_size=12,
).map(tuple)
_tunnels = st.lists(
    st.builds(
        Overlay,
        kind=st.just("vxlan"),
        netns=st.just(HERE),
        switch_port=st.sampled_from("pqrs"),
        uplink=st.none() | st.builds(key, _numbers),
    ),
    max_size=3,
).map(tuple)


@given(_devices, _ports, _tunnels, _numbers)
def test_circles_end(devices, ports, tunnels, number):
    switches = tuple(Switch(name, name, "bridge", HERE, key(place)) for place, name in enumerate("xyz"))
    found = host(switches, ports, devices, tunnels)
    hops = path(found, Vnic("net0", device=key(number)))
    # One that outer packets come to, and was passed before, is named once more and not gone through.
    names = [hop.name for hop in hops if hop.kind is HopKind.SWITCH and hop.details != ("as above",)]
    assert len(names) == len(set(names))
    assert len(draw(hops).splitlines()) >= len(hops)
    assert len(overlays(found, Vnic("net0", device=key(number)))) <= 3


@pytest.mark.parametrize("size", [5000])
def test_a_chain_without_end_is_cut(size):
    switches = tuple(ovs(f"s{n}") for n in range(size))
    ports = [PORT]
    for n in range(size):
        ports.append(Port(f"s{n}", f"down{n}", Role.PATCH, peer=f"up{n + 1}"))
        ports.append(Port(f"s{n}", f"up{n}", Role.PATCH, peer=f"down{n - 1}"))
    found = host(switches, (Port("s0", "vnet0", Role.VNIC, TAP.key), *ports), (TAP,))
    hops = path(found, VNIC)
    assert 10 < len(hops) < 100
    assert overlays(found, VNIC) == ()


def test_every_vm_of_the_recordings_can_be_drawn():
    for name in ("qemu", "ovs", "overlay"):
        found = topology(name)
        for vm in found.vms:
            for vnic in vm.vnics:
                assert all(len(line) <= 100 for line in draw(path(found, vnic)).splitlines())
