"""The ovs provider on a real ovsdb-server and ovs-vswitchd."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support import short_folder, sockets
from support.netns import ifindex, inode, ip, namespace
from support.openvswitch import OpenVSwitch, openvswitch
from support.packets import send
from support.zoo import MAC, VM, furnish
from tapwright.adapters import ovsdb
from tapwright.errors import ProviderError
from tapwright.find.topology import Topology, join
from tapwright.model import Answer, DeviceKey, Host, Overlay, Port, Role, Snapshot, VmKind, Vnic
from tapwright.plan.mirrors import Mirror, Target, TargetKind, parse
from tapwright.plan.points import PointKind
from tapwright.plan.steps import Mark, Operation
from tapwright.providers.ovs import Ovs

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def switch() -> Iterator[OpenVSwitch]:
    with namespace() as netns, namespace() as guest, short_folder() as folder, openvswitch(folder, netns) as switch:
        furnish(switch, guest)
        yield switch


@pytest.fixture(scope="module")
def snapshot(switch: OpenVSwitch) -> Snapshot:
    return Ovs([switch.remote]).snapshot()


@pytest.fixture
def topology(snapshot: Snapshot) -> Topology:
    return join(Host("h"), [snapshot])


def port(snapshot: Snapshot, name: str) -> Port:
    return next(port for port in snapshot.ports if port.name == name)


def overlay(snapshot: Snapshot, name: str) -> Overlay:
    return next(overlay for overlay in snapshot.overlays if overlay.switch_port == name)


def key(switch: OpenVSwitch, device: str) -> DeviceKey:
    return DeviceKey(inode(switch.netns), ifindex(switch.netns, device))


def test_probe_says_yes(switch: OpenVSwitch) -> None:
    assert Ovs([switch.remote]).probe().answer is Answer.YES


def test_an_instance_nobody_named_is_found_by_its_process(switch: OpenVSwitch) -> None:
    assert switch.remote in ovsdb.discover()


def test_switches(switch: OpenVSwitch, snapshot: Snapshot) -> None:
    found = {s.name: (s.kind, s.datapath, s.netns, s.device) for s in snapshot.switches}
    home = inode(switch.netns)
    assert found == {
        "br0": ("ovs", "netdev", home, key(switch, "br0")),
        "br-ext": ("ovs", "netdev", home, key(switch, "br-ext")),
        "br-lone": ("ovs", "netdev", home, key(switch, "br-lone")),
        "br-phy": ("ovs", "netdev", home, key(switch, "br-phy")),
    }


def test_the_namespace_is_that_of_the_switch_and_can_be_entered(switch: OpenVSwitch, snapshot: Snapshot) -> None:
    (netns,) = snapshot.netns
    assert netns.inode == inode(switch.netns) == Path(netns.path).stat().st_ino


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("vnet1", Role.VNIC), ("tap1", Role.VNIC), ("pod1", Role.VNIC), ("vhost1", Role.VNIC),
        ("br0", Role.INTERNAL), ("int1", Role.INTERNAL), ("vx1", Role.TUNNEL), ("gn1", Role.TUNNEL),
        ("gre1", Role.TUNNEL), ("p1", Role.PATCH), ("bond0/b0", Role.UPLINK), ("bond0/b1", Role.UPLINK),
        ("up0", Role.OTHER),
    ],
)  # fmt: skip
def test_roles(snapshot: Snapshot, name: str, role: Role) -> None:
    assert port(snapshot, name).role is role


@pytest.mark.parametrize("name", ["vnet1", "tap1", "int1", "up0"])
def test_ports_name_their_kernel_device(switch: OpenVSwitch, snapshot: Snapshot, name: str) -> None:
    assert port(snapshot, name).device == key(switch, name)


@pytest.mark.parametrize("name", ["vx1", "p1", "vhost1"])
def test_ports_without_a_kernel_device(snapshot: Snapshot, name: str) -> None:
    assert port(snapshot, name).device is None


def test_vlans_peers_and_owners(snapshot: Snapshot) -> None:
    vnet1 = port(snapshot, "vnet1")
    assert (vnet1.vlan, vnet1.mac, vnet1.iface_id, vnet1.vm_id) == (10, MAC, "port-1", VM)
    assert port(snapshot, "tap1").trunks == (20, 30)
    assert (port(snapshot, "p1").peer, port(snapshot, "p2").peer) == ("p2", "p1")


def test_members_of_a_bond(switch: OpenVSwitch, snapshot: Snapshot) -> None:
    assert {port(snapshot, f"bond0/{d}").device for d in ("b0", "b1")} == {key(switch, "b0"), key(switch, "b1")}


def test_overlays(switch: OpenVSwitch, snapshot: Snapshot) -> None:
    home = inode(switch.netns)
    assert overlay(snapshot, "vx1") == Overlay(
        "vxlan", 5001, "172.31.0.1", ("172.31.0.2",), 4789, home, "vx1", uplink=key(switch, "br-phy")
    )
    assert (overlay(snapshot, "vx2").vni, overlay(snapshot, "vx2").port) == (0, 8472)
    flow = overlay(snapshot, "gn1")
    assert (flow.kind, flow.vni, flow.remotes, flow.port) == ("geneve", None, (), 6081)
    gre = overlay(snapshot, "gre1")
    assert (gre.kind, gre.vni, gre.remotes, gre.port) == ("gre", None, ("172.31.0.4",), 0)


def test_vms(switch: OpenVSwitch, snapshot: Snapshot) -> None:
    vm, pod = sorted(snapshot.vms, key=lambda vm: vm.kind, reverse=True)
    assert (vm.id, vm.name, vm.kind) == (VM, VM, VmKind.VM)
    assert set(vm.vnics) == {
        Vnic("vnet1", MAC, mtu=1500, device=key(switch, "vnet1"), iface_id="port-1"),
        Vnic("vhost1", iface_id="port-2"),
    }
    assert (pod.id, pod.name, pod.aliases, pod.kind) == ("c0ffee", "web-0", ("shop/web-0",), VmKind.CONTAINER)


def test_a_port_in_error_is_a_warning(snapshot: Snapshot) -> None:
    assert [w for w in snapshot.warnings if "vhost1 does not work" in w]


def test_statistics_count_from_the_port_into_the_switch(switch: OpenVSwitch) -> None:
    """What a VM sends is received by its port: here ten frames, into the far end of a veth pair."""
    before = port(Ovs([switch.remote]).snapshot(), "lone0").counters
    send(switch.netns, "lone0p", [bytes.fromhex("ffffffffffff5254000000ff88b5") + bytes(46)] * 10)
    assert before
    switch.wait_for_statistics("lone0", before.rx_packets + 10)
    after = port(Ovs([switch.remote]).snapshot(), "lone0").counters
    assert after
    assert after.rx_packets - before.rx_packets >= 10
    assert after.rx_bytes - before.rx_bytes >= 600
    assert after.tx_packets - before.tx_packets < 10


def test_a_port_without_a_device_is_shown_by_a_mirror(topology: Topology) -> None:
    (point,) = (p for p in Ovs().points(topology) if p.port == "vhost1")
    assert (point.kind, point.vm, point.vnic, point.device) == (PointKind.MIRROR, VM, "vhost1", None)
    assert point.readable.answer is Answer.YES
    assert "dpdkvhostuser" in point.readable.reason
    assert point.changes
    (step,) = Ovs().steps(Mirror(point, Target(TargetKind.NIC), Mark("00c0ffee", "1.1.boot", 7)))
    assert step.undo.text("mark") == "tapwright:00c0ffee:1.1.boot:7"


def test_a_device_nobody_read_is_offered_with_a_doubt_and_a_mirror_too(switch: OpenVSwitch, topology: Topology) -> None:
    point, mirror = (p for p in Ovs().points(topology) if p.port == "vnet1")
    assert (point.kind, point.device, point.device_name) == (PointKind.DEVICE, key(switch, "vnet1"), "vnet1")
    assert point.netns.path
    assert point.readable.answer is Answer.UNKNOWN
    assert list(Ovs().steps(Mirror(point, parse("rspan:7"), Mark("00c0ffee", "1.1.boot", 7)))) == []
    assert (mirror.kind, mirror.device) == (PointKind.MIRROR, None)


def test_a_switch_that_only_others_know_offers_no_mirror(topology: Topology) -> None:
    """Its database does not answer us, so nobody could open one."""
    others = replace(topology, switches=tuple(replace(s, providers=("linux",)) for s in topology.switches))
    mirrors = [p for p in Ovs().points(others) if p.kind is PointKind.MIRROR]
    assert mirrors
    assert {p.readable.answer for p in mirrors} == {Answer.NO}


def test_unknown_verbs_are_refused() -> None:
    with pytest.raises(ProviderError, match="cannot perform"):
        Ovs().perform(Operation("ovs", "explode"))


def test_one_that_hangs_is_a_warning_beside_one_that_answers(
    switch: OpenVSwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = ovsdb.read
    monkeypatch.setattr(ovsdb, "read", lambda remote: read(remote, 0.5))
    with short_folder() as folder, sockets.server(folder / "db.sock", sockets.silence) as hung:
        snapshot = Ovs([f"unix:{hung}", switch.remote]).snapshot()
        assert len(snapshot.switches) == 4
        assert any(str(hung) in warning and "does not answer" in warning for warning in snapshot.warnings)
        with pytest.raises(ProviderError, match="does not answer"):
            Ovs([f"unix:{hung}"]).snapshot()


def test_no_socket_is_a_no_with_the_next_step() -> None:
    capability = Ovs(["unix:/nonexistent/db.sock"]).probe()
    assert capability.answer is Answer.NO
    assert "TAPWRIGHT_OVSDB" in capability.fix


def test_nobody_listening_is_unknown() -> None:
    with short_folder() as folder:
        with sockets.server(folder / "db.sock", sockets.silence):
            pass
        assert Ovs([f"unix:{folder}/db.sock"]).probe().answer is Answer.UNKNOWN


def test_the_same_instance_by_two_paths_is_one(switch: OpenVSwitch) -> None:
    with short_folder() as folder:
        (folder / "db.sock").symlink_to(switch.folder / "db.sock")
        both = Ovs([switch.remote, f"unix:{folder}/db.sock"]).snapshot()
    assert len(both.switches) == 4


def test_an_internal_port_that_moved_into_a_namespace(switch: OpenVSwitch) -> None:
    """As a tutorial or a DHCP agent does it: the port's device leaves the namespace of the switch."""
    with namespace() as guest:
        switch.vsctl("add-port", "br0", "moved", "--", "set", "interface", "moved", "type=internal")
        try:
            before = ifindex(switch.netns, "moved")
            ip("link", "set", "moved", "netns", guest, netns=switch.netns)
            switch.wait_for("interface", "moved", "ifindex", "0")
            found = port(Ovs([switch.remote]).snapshot(), "moved")
            assert before > 0
            assert (found.role, found.device) == (Role.INTERNAL, None)
        finally:
            switch.vsctl("del-port", "br0", "moved")
