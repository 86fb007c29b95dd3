"""The topology: what is joined, and its look-ups."""

import dataclasses

from support.hosts import joined, recorded, topology
from tapwright.model import Device, DeviceKey, Netns, Overlay, Port, Role, Snapshot, Switch, Vm, Vnic

TAP = DeviceKey(1, 7)
SWITCH = Switch("s", "br0", "ovs", 1)


def test_nobody_saw_anything():
    found = joined()
    assert (found.vms, found.switches, found.warnings) == ((), (), ())
    assert found.vm("x") is found.switch("x") is found.device(None) is found.port_at(None) is None


def test_the_kernel_knows_namespaces_and_devices_best():
    engine = Snapshot("containers", netns=(Netns(1, "/proc/7/ns/net"),), devices=(Device(TAP, "?"),))
    kernel = Snapshot("linux", netns=(Netns(1, "", "here"),), devices=(Device(TAP, "vnet0", "tun"),))
    found = joined(engine, kernel)
    assert found.netns[1] == Netns(1, "", "here")
    assert found.device(TAP).name == "vnet0"


def test_a_port_is_found_by_device_by_port_id_and_by_mac():
    by_device = Port("s", "vnet0", Role.VNIC, TAP)
    by_id = Port("s", "vhost1", Role.VNIC, iface_id="p1")
    by_mac = Port("s", "vhost2", Role.VNIC, mac="52:54:00:00:00:09")
    found = joined(Snapshot("ovs", switches=(SWITCH,), ports=(by_device, by_id, by_mac)))
    assert found.port_of(Vnic("a", device=TAP)) == by_device
    assert found.port_of(Vnic("a", inner=TAP)) == by_device
    assert found.port_of(Vnic("b", iface_id="p1")) == by_id
    assert found.port_of(Vnic("c", mac="52:54:00:00:00:09")) == by_mac
    assert found.port_of(Vnic("d")) is None


def test_a_mac_does_not_lead_to_a_port_that_has_a_device():
    port = Port("s", "vnet0", Role.VNIC, TAP, mac="52:54:00:00:00:09")
    assert joined(Snapshot("ovs", switches=(SWITCH,), ports=(port,))).port_of(Vnic("a", mac=port.mac)) is None


def test_an_overlay_is_found_by_device_and_by_the_name_of_its_port():
    vxlan = Overlay("vxlan", 1, netns=1, switch_port="vx", device=TAP)
    geneve = Overlay("geneve", 2, netns=1, switch_port="gen")
    elsewhere = dataclasses.replace(geneve, netns=2)
    ports = (Port("s", "renamed", Role.TUNNEL, TAP), Port("s", "gen", Role.TUNNEL), Port("s", "none", Role.TUNNEL))
    found = joined(Snapshot("ovs", switches=(SWITCH,), ports=ports, overlays=(vxlan, elsewhere, geneve)))
    assert [found.overlay_of(port) for port in found.ports_of("s")] == [vxlan, geneve, None]


def test_a_switch_is_found_by_its_own_device_and_by_its_ports():
    switch = dataclasses.replace(SWITCH, device=DeviceKey(1, 2))
    found = joined(Snapshot("linux", switches=(switch,), ports=(Port("s", "vnet0", device=TAP),)))
    assert found.switch_of(DeviceKey(1, 2)) == found.switch_of(TAP) == switch
    assert found.switch_of(DeviceKey(1, 3)) is found.switch_of(None) is None


def test_patches_lead_to_each_other_within_one_instance():
    switches = tuple(Switch(f"{name}{n}", name, "ovs", n) for n in (1, 2) for name in ("int", "ext"))
    ports = tuple(
        Port(s.id, f"to-{'ext' if s.name == 'int' else 'int'}", Role.PATCH, peer=f"to-{s.name}") for s in switches
    )
    found = joined(Snapshot("ovs", switches=switches, ports=ports))
    assert [found.across(port).switch for port in ports] == ["ext1", "int1", "ext2", "int2"]


def test_warnings_are_told_once():
    found = joined(Snapshot("linux", warnings=("a", "b")), Snapshot("ovs", warnings=("b", "c")))
    assert found.warnings == ("a", "b", "c")


def test_nothing_of_a_recording_is_lost():
    for name in ("qemu", "ovs", "overlay"):
        found, said = topology(name), recorded(name)
        assert set(found.devices) == {d.key for s in said for d in s.devices}
        assert {s.id for s in found.switches} == {s.id for snapshot in said for s in snapshot.switches}
        assert {(p.switch, p.name) for p in found.ports} == {(p.switch, p.name) for s in said for p in s.ports}
        assert {(o.netns, o.switch_port) for o in found.overlays} == {
            (o.netns, o.switch_port) for s in said for o in s.overlays
        }


def test_a_vm_is_found_by_its_id_alone():
    vm = Vm("u1", "web", aliases=("other",))
    found = joined(Snapshot("libvirt", vms=(vm,)))
    assert found.vm("u1").name == "web"
    assert found.vm("web") is found.vm("other") is None


def test_thousands_of_everything_are_joined_in_no_time_worth_counting():
    # No clock: a quadratic join of this would not end within the suite's time limit.
    size = 20_000
    devices = tuple(Device(DeviceKey(1, n), f"d{n}", "veth", peer=DeviceKey(1, (n * 7) % size)) for n in range(size))
    vms = tuple(
        Vm(f"u{n}", f"vm{n}", vnics=(Vnic("net0", "52:54:00:00:00:01", device=d.key),)) for n, d in enumerate(devices)
    )
    ports = tuple(Port(f"s{n % 3}", d.name, device=d.key) for n, d in enumerate(devices))
    switches = tuple(Switch(f"s{n}", f"br{n}", "bridge", 1) for n in range(3))
    found = joined(
        Snapshot("linux", netns=(Netns(1),), devices=devices, vms=vms, switches=switches, ports=ports),
        Snapshot("libvirt", vms=tuple(dataclasses.replace(vm, vnics=()) for vm in vms)),
    )
    assert len(found.vms) == size
