"""What only the whole picture tells of ports, pairs and tunnels."""

import pytest

from support.hosts import joined, pair, spaces, topology
from tapwright.model import Device, DeviceKey, Overlay, Port, Role, Snapshot, Switch, Vm, VmKind, Vnic

SERVER, GUEST, FABRIC = 1, 2, 3


def bridge(netns, name="br0", kind="bridge"):
    return Switch(f"{name}@{netns}", name, kind, netns)


def kernel(*devices, **more):
    return Snapshot("linux", netns=spaces(SERVER, GUEST, FABRIC), devices=devices, **more)


def roles(topology):
    return {(port.switch, port.name): port.role for port in topology.ports}


def test_one_end_that_knows_the_other_is_enough():
    a, b = DeviceKey(1, 5), DeviceKey(2, 2)
    found = joined(kernel(Device(a, "vnet5", "veth", peer=b), Device(b, "eth0", "veth")))
    assert found.device(b).peer == a


def test_a_pair_to_a_vm_is_a_vnic_and_one_to_another_server_the_wire():
    vm, wire = pair(SERVER, 5, GUEST), pair(SERVER, 6, FABRIC)
    switches = (bridge(SERVER), bridge(FABRIC, "fabric"))
    ports = tuple(
        Port(s.id, d.name, device=d.key)
        for s, d in ((switches[0], vm[0]), (switches[0], wire[0]), (switches[1], wire[1]))
    )
    guest = Vm("g", "g", VmKind.NAMESPACE, vnics=(Vnic("eth0", inner=vm[1].key),))
    found = joined(kernel(*vm, *wire, vms=(guest,), switches=switches, ports=ports))
    assert roles(found) == {
        ("br0@1", "vnet5"): Role.VNIC,
        ("br0@1", "vnet6"): Role.UPLINK,
        ("fabric@3", "eth0"): Role.UPLINK,
    }


def test_a_pair_between_two_switches_is_a_patch():
    a, b = pair(SERVER, 5, SERVER, 6)
    switches = (bridge(SERVER, "qbr"), bridge(SERVER, "br-int", "ovs"))
    kernel_side = kernel(a, b, switches=switches[:1], ports=(Port("qbr@1", a.name, device=a.key),))
    vswitch = Snapshot("ovs", switches=switches[1:], ports=(Port("br-int@1", b.name, device=b.key, kind="system"),))
    found = joined(kernel_side, vswitch)
    assert set(roles(found).values()) == {Role.PATCH}
    one, other = found.ports
    assert found.across(one) == other
    assert found.across(other) == one


def test_a_namespace_that_another_provider_shows_to_hold_a_switch_is_a_server():
    outer, inner = pair(FABRIC, 5, GUEST)
    claimed = Vm("s1", "s1", VmKind.NAMESPACE, vnics=(Vnic("eth0", inner=inner.key),))
    seen = kernel(outer, inner, vms=(claimed,))
    assert [vm.name for vm in joined(seen).vms] == ["s1"]
    switch = Snapshot("ovs", switches=(bridge(GUEST, kind="ovs"),), ports=(Port("br0@2", "eth0", device=inner.key),))
    assert joined(seen, switch).vms == ()


def test_a_container_that_holds_a_switch_is_still_one():
    outer, inner = pair(FABRIC, 5, GUEST)
    pod = Vm("pod", "pod", VmKind.CONTAINER, vnics=(Vnic("eth0", inner=inner.key),))
    switch = Snapshot("ovs", switches=(bridge(GUEST, kind="ovs"),), ports=(Port("br0@2", "eth0", device=inner.key),))
    assert [vm.name for vm in joined(kernel(outer, inner), Snapshot("containers", vms=(pod,)), switch).vms] == ["pod"]


def test_an_internal_port_given_away_is_found_by_its_name():
    # Open vSwitch still publishes the number it had at home, where another device has it now.
    moved, usurper = Device(DeviceKey(GUEST, 2), "int0", "openvswitch"), Device(DeviceKey(SERVER, 9), "vnet9", "tun")
    vm = Vm("g", "g", VmKind.NAMESPACE, vnics=(Vnic("int0", inner=moved.key),))
    port = Port("br0@1", "int0", Role.INTERNAL, usurper.key, "internal")
    found = joined(
        kernel(moved, usurper, vms=(vm,)), Snapshot("ovs", switches=(bridge(SERVER, kind="ovs"),), ports=(port,))
    )
    assert found.ports[0].device == moved.key
    assert found.ports[0].role is Role.VNIC
    assert found.port_of(found.vms[0].vnics[0]) == found.ports[0]


@pytest.mark.parametrize("kind", ["vxlan", "dpdkvhostuser"])
def test_a_port_without_a_device_gets_none_by_its_name(kind):
    device = Device(DeviceKey(SERVER, 9), "p0", "tun")
    port = Port("br0@1", "p0", kind=kind)
    found = joined(kernel(device), Snapshot("ovs", switches=(bridge(SERVER, kind="ovs"),), ports=(port,)))
    assert found.ports[0].device is None


UPLINK = Device(DeviceKey(SERVER, 3), "eth1", addresses=("192.0.2.1/24", "not an address"))
OTHER = Device(DeviceKey(SERVER, 4), "eth2", addresses=("198.51.100.1/24",))


@pytest.mark.parametrize(
    ("local", "remotes", "uplink"),
    [
        ("192.0.2.1", (), UPLINK.key),
        ("", ("203.0.113.1", "198.51.100.9"), OTHER.key),
        ("", ("203.0.113.1",), None),
        ("192.0.2.77", ("198.51.100.9",), None),
        ("", ("nonsense",), None),
    ],
)
def test_the_addresses_of_a_tunnel_tell_its_uplink(local, remotes, uplink):
    overlay = Overlay("vxlan", 7, local, remotes, netns=SERVER, switch_port="vx")
    assert joined(kernel(UPLINK, OTHER, overlays=(overlay,))).overlays[0].uplink == uplink


def test_an_uplink_that_was_told_is_kept():
    overlay = Overlay("vxlan", 7, "192.0.2.1", netns=SERVER, switch_port="vx", uplink=OTHER.key)
    assert joined(kernel(UPLINK, OTHER, overlays=(overlay,))).overlays[0].uplink == OTHER.key


def test_the_only_pair_into_the_unknown_is_the_uplink():
    switch = bridge(SERVER)
    devices = [Device(DeviceKey(SERVER, n), f"v{n}", "veth") for n in (5, 6)]
    ports = [Port(switch.id, d.name, device=d.key) for d in devices]
    assert roles(joined(kernel(*devices, switches=(switch,), ports=(ports[0],)))) == {(switch.id, "v5"): Role.UPLINK}
    two = joined(kernel(*devices, switches=(switch,), ports=tuple(ports)))
    assert set(roles(two).values()) == {Role.OTHER}


def test_the_overlay_lab():
    found = topology("overlay")
    tunnels = [port for port in found.ports if port.role is Role.TUNNEL]
    assert len(tunnels) == 4
    for port in tunnels:
        uplink = found.device(found.overlay_of(port).uplink)
        assert (uplink.name, uplink.key.netns) == ("uplink0", port.device.netns)
    assert {vm.name for vm in found.vms} == {"red-web", "red-db", "blue-web", "blue-db"}
