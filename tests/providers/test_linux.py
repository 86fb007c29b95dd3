"""The linux provider on real bridges, namespaces, tunnels and QEMU processes."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from support import short_folder
from support.netns import ifindex, inode, ip, namespace, veth
from support.openvswitch import openvswitch
from support.qemu import halted_qemu
from tapwright.errors import ProviderError
from tapwright.find.topology import Topology, join
from tapwright.model import Answer, DeviceKey, Host, Role, Snapshot, Vm, VmKind
from tapwright.plan.points import PointKind
from tapwright.plan.steps import Operation
from tapwright.providers.linux import Linux
from tapwright.providers.ovs import Ovs

pytestmark = pytest.mark.root


@dataclass(frozen=True)
class World:
    """One server with two bridges, three namespaces on them, a tunnel and a wire to the next server."""

    server: str
    fabric: str
    web: str
    db: str
    router: str

    @property
    def names(self) -> tuple[str, ...]:
        return (self.server, self.fabric, self.web, self.db, self.router)

    def key(self, netns: str, device: str) -> DeviceKey:
        return DeviceKey(inode(netns), ifindex(netns, device))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with contextlib.ExitStack() as stack:
        world = World(*(stack.enter_context(namespace()) for _ in range(5)))
        _server(world)
        _guests(world)
        yield world


def _server(world: World) -> None:
    here = world.server
    for bridge in ("br0", "br1"):
        ip("link", "add", bridge, "type", "bridge", netns=here)
        ip("link", "set", bridge, "up", netns=here)
    ip("link", "add", "fab0", "type", "bridge", netns=world.fabric)
    veth(here, "uplink0", "port1", world.fabric)
    ip("link", "set", "port1", "master", "fab0", netns=world.fabric)
    ip("addr", "add", "192.0.2.1/24", "dev", "uplink0", netns=here)
    ip("link", "add", "vx100", "type", "vxlan", "id", "100", "local", "192.0.2.1", "remote", "192.0.2.2",
       "dstport", "4789", netns=here)  # fmt: skip
    subprocess.run(
        ["bridge", "-n", here, "fdb", "append", "00:00:00:00:00:00", "dev", "vx100", "dst", "192.0.2.3"], check=True
    )
    veth(here, "p0", "p1")
    for device, bridge in (("vx100", "br0"), ("p0", "br0"), ("p1", "br1")):
        ip("link", "set", device, "master", bridge, netns=here)


def _guests(world: World) -> None:
    for netns, device, inner, bridge in (
        (world.web, "vnet0", "eth0", "br0"),
        (world.db, "vnet1", "eth0", "br0"),
        (world.router, "vnet2", "eth0", "br0"),
        (world.router, "vnet3", "eth1", "br1"),
    ):
        veth(world.server, device, inner, netns)
        ip("link", "set", device, "master", bridge, netns=world.server)
    ip("addr", "add", "10.0.0.11/24", "dev", "eth0", netns=world.web)
    ip("addr", "add", "2001:db8::11/64", "dev", "eth0", netns=world.web)
    ip("link", "set", "eth0", "mtu", "1400", netns=world.web)
    ip("link", "set", "vnet1", "alias", "db-3", netns=world.server)
    ip("link", "set", "vnet0", "alias", "tapwright: a note of ours", netns=world.server)


@pytest.fixture(scope="module")
def linux(world: World) -> Linux:
    return Linux(world.names)


@pytest.fixture(scope="module")
def snapshot(linux: Linux) -> Snapshot:
    return linux.snapshot()


@pytest.fixture(scope="module")
def topology(snapshot: Snapshot) -> Topology:
    return join(Host("h"), [snapshot])


def vm(snapshot: Snapshot, name: str) -> Vm:
    return next(vm for vm in snapshot.vms if vm.name == name)


def test_namespaces_without_a_switch_are_vms(world: World, snapshot: Snapshot) -> None:
    assert {(v.id, v.name, v.kind) for v in snapshot.vms if v.id in world.names} == {
        (world.web, world.web, VmKind.NAMESPACE),
        (world.db, "db-3", VmKind.NAMESPACE),
        (world.router, world.router, VmKind.NAMESPACE),
    }


def test_a_vnic_is_known_on_both_sides(world: World, snapshot: Snapshot) -> None:
    (vnic,) = vm(snapshot, world.web).vnics
    assert (vnic.name, vnic.mtu) == ("eth0", 1400)
    assert vnic.device == world.key(world.server, "vnet0")
    assert vnic.inner == world.key(world.web, "eth0")
    assert vnic.addresses[:2] == ("10.0.0.11/24", "2001:db8::11/64")
    assert vnic.mac in ip("link", "show", "dev", "eth0", netns=world.web)


def test_a_router_is_one_vm_with_two_vnics(world: World, snapshot: Snapshot) -> None:
    assert [vnic.name for vnic in vm(snapshot, world.router).vnics] == ["eth0", "eth1"]


def test_ports_and_what_they_are_for(world: World, topology: Topology) -> None:
    home = inode(world.server)
    names = {switch.id: switch.name for switch in topology.switches if switch.netns == home}
    assert {(names[p.switch], p.name, p.role) for p in topology.ports if p.switch in names} == {
        ("br0", "vnet0", Role.VNIC),
        ("br0", "vnet1", Role.VNIC),
        ("br0", "vnet2", Role.VNIC),
        ("br1", "vnet3", Role.VNIC),
        ("br0", "vx100", Role.TUNNEL),
        ("br0", "p0", Role.PATCH),
        ("br1", "p1", Role.PATCH),
    }


def test_the_wire_to_another_server(world: World, topology: Topology) -> None:
    port = topology.port_at(world.key(world.fabric, "port1"))
    assert port is not None
    assert port.role is Role.UPLINK


def test_the_overlay_with_every_remote_and_its_uplink(world: World, topology: Topology) -> None:
    (overlay,) = (overlay for overlay in topology.overlays if overlay.netns == inode(world.server))
    assert (overlay.kind, overlay.vni, overlay.local, overlay.port) == ("vxlan", 100, "192.0.2.1", 4789)
    assert overlay.remotes == ("192.0.2.2", "192.0.2.3")
    assert overlay.switch_port == "vx100"
    assert overlay.device == world.key(world.server, "vx100")
    assert overlay.uplink == world.key(world.server, "uplink0")


def test_points_of_a_namespace(world: World, linux: Linux, topology: Topology) -> None:
    mine = {point.kind: point for point in linux.points(topology) if point.vm == world.web}
    assert set(mine) == {PointKind.DEVICE, PointKind.GUEST, PointKind.UPLINK}
    outside, inside = mine[PointKind.DEVICE], mine[PointKind.GUEST]
    assert (outside.id, outside.port) == (f"device:vnet0@{world.server}", "vnet0")
    assert (inside.id, inside.netns.path) == (f"guest:eth0@{world.web}", f"/run/netns/{world.web}")
    assert (outside.outgoing_is_to_vm, inside.outgoing_is_to_vm) == (True, False)
    assert outside.readable.answer is inside.readable.answer is Answer.YES


def test_the_uplink_of_a_namespace_behind_an_overlay(world: World, linux: Linux, topology: Topology) -> None:
    (uplink,) = (p for p in linux.points(topology) if p.vm == world.web and p.kind is PointKind.UPLINK)
    assert uplink.id == f"uplink:uplink0@{world.server}/vxlan-100"
    assert uplink.device == world.key(world.server, "uplink0")
    assert not uplink.outgoing_is_to_vm
    assert uplink.overlay
    assert uplink.overlay.remotes == ("192.0.2.2", "192.0.2.3")


@pytest.mark.parametrize(
    ("has", "missing"), [((), "CAP_NET_RAW"), (("CAP_NET_RAW",), "CAP_SYS_ADMIN"), (("CAP_SYS_ADMIN",), "CAP_NET_RAW")]
)
def test_without_privilege_a_point_says_which(world: World, topology: Topology, has, missing) -> None:
    points = Linux(world.names, frozenset(has)).points(topology)
    mine = [point.readable for point in points if point.vm == world.web]
    assert {readable.answer for readable in mine} == {Answer.NO}
    assert all(missing in readable.reason and readable.fix for readable in mine)


def test_our_own_namespace_is_looked_at_and_is_no_vm(world: World, snapshot: Snapshot) -> None:
    assert snapshot.netns[0].path == ""
    assert {netns.name for netns in snapshot.netns[1:]} == set(world.names)
    assert snapshot.netns[0].inode not in {vnic.inner.netns for v in snapshot.vms for vnic in v.vnics if vnic.inner}


def test_a_namespace_that_only_a_process_has(world: World) -> None:
    argv = ["unshare", "-n", "sh", "-c", "echo here; exec sleep 1000"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"here\n"
            ip(
                "link",
                "add",
                "vnet9",
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                str(process.pid),
                netns=world.server,
            )
            found = [v for v in Linux().snapshot().vms if v.pid == process.pid]
            assert [(v.name, v.kind, v.vnics[0].name) for v in found] == [
                (f"sleep-{process.pid}", VmKind.NAMESPACE, "eth0")
            ]
            assert found[0].vnics[0].device == world.key(world.server, "vnet9")
        finally:
            process.kill()


@pytest.fixture
def taps(world: World) -> Iterator[tuple[str, str]]:
    names = ("twtap0", "twtap1")
    for name in names:
        ip("tuntap", "add", name, "mode", "tap", "vnet_hdr", netns=world.server)
        ip("link", "set", name, "up", "master", "br0", netns=world.server)
    yield names
    for name in names:
        ip("link", "del", name, netns=world.server)


UUID = "0f5a1f4e-0000-4000-8000-00000000aa01"


def test_a_guest_that_only_its_qemu_process_tells_of(world: World, linux: Linux, taps: tuple[str, str]) -> None:
    nics = (
        "-netdev", f"tap,id=n0,ifname={taps[0]},script=no,downscript=no",
        "-device", "virtio-net-pci,netdev=n0,mac=52:54:00:AA:00:01,romfile=",
        "-nic", f"tap,ifname={taps[1]},script=no,downscript=no,model=e1000",
        "-nic", "user",
    )  # fmt: skip
    ip("neigh", "add", "10.0.0.77", "lladdr", "52:54:00:aa:00:01", "nud", "permanent", "dev", "br0", netns=world.server)
    with halted_qemu(world.server, "-name", "guest=gá x,debug-threads=on", "-uuid", UUID, *nics) as pid:
        found = vm(linux.snapshot(), "gá x")
        topology = join(Host("h"), [linux.snapshot()])
    assert (found.id, found.pid, found.kind, found.state) == (UUID, pid, VmKind.VM, "running")
    assert [(vnic.name, vnic.mac, vnic.device) for vnic in found.vnics] == [
        ("net0", "52:54:00:aa:00:01", world.key(world.server, taps[0])),
        ("net1", "52:54:00:12:34:56", world.key(world.server, taps[1])),
        ("net2", "52:54:00:12:34:57", None),
    ]
    assert found.vnics[0].addresses == ("10.0.0.77",)
    assert topology.port_of(found.vnics[1]).role is Role.VNIC


def test_a_tap_that_was_opened_for_qemu_is_found_by_its_descriptor(world: World, linux: Linux) -> None:
    nics = (
        "-netdev",
        '{"type":"tap","fds":"@FD","id":"h0"}',
        "-device",
        '{"driver":"e1000","netdev":"h0","romfile":""}',
    )
    with halted_qemu(world.server, "-name", "quiet", *nics, tap="twtap7") as pid:
        found = vm(linux.snapshot(), "quiet")
        assert found.id == f"qemu:{pid}"
        assert [vnic.device for vnic in found.vnics] == [world.key(world.server, "twtap7")]


def test_a_server_with_nothing_but_guests_of_qemu_is_no_vm(world: World) -> None:
    with namespace() as lonely:
        veth(lonely, "eth0", "vnet8", world.server)
        assert lonely in {v.id for v in Linux((lonely, world.server)).snapshot().vms}
        nic = ("-netdev", "tap,id=n,fd=@FD", "-device", "e1000,netdev=n,romfile=")
        with halted_qemu(lonely, *nic, tap="twtap8"):
            assert lonely not in {v.id for v in Linux((lonely, world.server)).snapshot().vms}


def test_a_port_that_open_vswitch_gave_away_makes_its_namespace_a_vm() -> None:
    with namespace() as server, namespace() as guest, short_folder() as folder, openvswitch(folder, server) as switch:
        switch.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
        switch.vsctl("add-port", "br0", "int0", "tag=7", "--", "set", "interface", "int0", "type=internal")
        key = DeviceKey(inode(guest), ifindex(server, "int0"))
        ip("link", "set", "int0", "netns", guest, netns=server)
        topology = join(Host("h"), [Linux((server, guest)).snapshot(), Ovs([switch.remote]).snapshot()])
        (found,) = (vm for vm in topology.vms if vm.id == guest)
        (vnic,) = found.vnics
        port = topology.port_of(vnic)
    assert (vnic.name, vnic.device, vnic.inner.netns) == ("int0", None, key.netns)
    assert port is not None
    assert (port.name, port.vlan, port.role) == ("int0", 7, Role.VNIC)


def test_names_chosen_to_hurt(world: World) -> None:
    nasty = b"\x1b]0;x\x07\xff\xe2\x80\xae"
    with namespace() as guest:
        argv = [b"ip", b"-n", guest.encode(), b"link", b"add", nasty, b"type", b"veth", b"peer", b"name", b"vnet7"]
        subprocess.run([*argv, b"netns", world.server.encode()], check=True)
        snapshot = Linux((guest, world.server)).snapshot()
        (vnic,) = vm(snapshot, guest).vnics
    assert vnic.name == nasty.decode(errors="replace")
    assert vnic.device == DeviceKey(inode(world.server), vnic.device.index)


def test_a_namespace_closed_to_us_is_a_warning(world: World) -> None:
    code = "from tapwright.providers.linux import Linux; print(*Linux(('twt-*',)).snapshot().warnings, sep='\\n')"
    argv = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin", sys.executable, "-c", code]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    assert "network namespaces could not be looked into" in done.stdout
    assert "Operation not permitted" in done.stdout


def test_it_performs_nothing(linux: Linux) -> None:
    with pytest.raises(ProviderError):
        linux.perform(Operation("linux", "mirror"))
