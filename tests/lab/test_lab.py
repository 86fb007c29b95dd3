"""The shipped topologies on this machine's kernel: who reaches whom, and what the wire carries."""

import json
import os
import signal
import time
from ipaddress import ip_address
from pathlib import Path

import pytest

from support.wires import until
from tapwright.adapters import command
from tapwright.errors import MissingDependency, NotFound, ProviderError, UsageError
from tapwright.lab import Lab, NodeKind, parse, status, store
from tapwright.lab.status import State

pytestmark = pytest.mark.root


def addresses_of(frame: bytes) -> tuple[str, str]:
    """Source and destination of an IPv4 frame, "" of others."""
    if frame[12:14] != b"\x08\x00":
        return "", ""
    return str(ip_address(frame[26:30])), str(ip_address(frame[30:34]))


def test_bridge(ends) -> None:
    with Lab.up("bridge") as lab:
        talk = ends(lab)
        assert talk.reaches("web", "10.0.0.12")
        assert talk.reaches("db", "10.0.0.13")
        assert not talk.reaches("web", "10.0.0.99")
        devices = json.loads(lab.exec("s1", ["ip", "-json", "link"]).stdout)
        plugged = {d["ifname"]: d.get("ifalias") for d in devices if d.get("master") == "br0"}
        assert plugged == {"vnet0": "web", "vnet1": "db", "vnet2": "cache"}
        inside = json.loads(lab.exec("web", ["ip", "-json", "link", "show", "eth0"]).stdout)[0]
        assert inside["address"] == lab.node("web").nics[0].mac
        assert (lab.node("web").kind, lab.node("web").server) == (NodeKind.VM, "s1")
        assert Path(lab.node("web").netns_path).exists()


def test_a_lab_is_silent_until_somebody_speaks(ends) -> None:
    with Lab.up("bridge") as lab:
        sniffers = [ends(lab).sniff("s1", device) for device in ("br0", "vnet0", "vnet1", "vnet2")]
        time.sleep(1.5)
        assert [list(sniffer.frames()) for sniffer in sniffers] == [[], [], [], []]


def test_ovs(ends) -> None:
    with Lab.up("ovs") as lab:
        talk = ends(lab)
        assert talk.reaches("web", "10.0.0.12")
        assert talk.reaches("app", "10.0.10.12")
        lab.exec("web", ["ip", "address", "add", "10.0.10.99/24", "dev", "eth0"])
        assert not talk.reaches("web", "10.0.10.11"), "VLAN 10 is a network of its own"
        talk.serve("db", "tcp:5432")
        for _ in range(100):  # until the server listens
            if talk.asks("web", "tcp:10.0.0.12:5432"):
                break
        else:
            pytest.fail("TCP does not get through the userspace datapath: checksums")
        row = lab.exec("s1", ["ovs-vsctl", "--bare", "--columns=external_ids", "list", "Interface", "vnet2"]).stdout
        app = lab.node("app")
        wanted = {"attached-mac": app.nics[0].mac, "iface-id": app.nics[0].iface_id, "vm-id": app.id}
        assert wanted.items() <= dict(pair.split("=", 1) for pair in row.split()).items()
        assert lab.exec("s1", ["ovs-vsctl", "get", "Port", "vnet2", "tag"]).stdout.strip() == "10"
        assert lab.exec("s1", ["ovs-vsctl", "get", "Bridge", "br-int", "datapath_type"]).stdout.strip() == "netdev"


def test_overlay(ends) -> None:
    with Lab.up("overlay") as lab:
        talk = ends(lab)
        outer, inner = talk.sniff("s1", "uplink0"), talk.sniff("s1", "vx100")
        assert talk.reaches("red-web", "10.0.0.12")
        assert talk.reaches("blue-web", "10.0.0.12")
        tunnelled = [f for f in outer.frames() if addresses_of(f)[0] and f[36:38] == (4789).to_bytes(2)]
        assert {int.from_bytes(f[46:49]) for f in tunnelled} == {100, 200}
        assert {addresses_of(f) for f in tunnelled} == {
            ("172.31.0.11", "172.31.0.12"),
            ("172.31.0.12", "172.31.0.11"),
        }
        macs = {lab.node(name).nics[0].mac.replace(":", "") for name in ("red-web", "red-db")}
        assert {f[6:12].hex() for f in inner.frames()} == macs, "tenants do not see each other"


def test_routed_traffic_of_one_server_leaves_it_and_comes_back(ends) -> None:
    with Lab.up("routed") as lab:
        uplink = ends(lab).sniff("s1", "uplink0")
        assert ends(lab).reaches("web", "10.0.2.12")
        requests = [f for f in uplink.frames() if addresses_of(f) == ("10.0.1.11", "10.0.2.12")]
        assert [f[22] for f in requests] == [64, 63], "the same packet twice, one hop apart"
        assert requests[0][34:] == requests[1][34:]


def test_nat(ends) -> None:
    with Lab.up("nat") as lab:
        talk = ends(lab)
        inside, outside = talk.sniff("nat", "eth0"), talk.sniff("nat", "eth1")
        assert talk.reaches("web", "198.51.100.80")
        assert ("10.0.0.11", "198.51.100.80") in {addresses_of(f) for f in inside.frames()}
        seen = {addresses_of(f)[0] for f in outside.frames()} - {""}
        assert seen == {"198.51.100.1", "198.51.100.80"}, "no inside address outside"
        assert not talk.reaches("internet", "10.0.0.11")


OVS_OVERLAY = """
[fabrics.wire]
mtu = 1600
[servers.s1]
uplink = { fabric = "wire", switch = "br-phy", address = "172.31.0.1/24" }
switches = { br-phy = { kind = "ovs" }, br-int = { kind = "ovs", overlay = { kind = "geneve", vni = 5001 } } }
[servers.s2]
uplink = { fabric = "wire", switch = "br-phy", address = "172.31.0.2/24" }
switches = { br-phy = { kind = "ovs" }, br-int = { kind = "ovs", overlay = { kind = "geneve", vni = 5001 } } }
[vms.web]
nics = [{ on = "s1/br-int", addresses = ["10.0.0.1/24"] }]
[vms.db]
nics = [{ on = "s2/br-int", addresses = ["10.0.0.2/24"] }]
"""


def test_geneve_between_two_open_vswitches(ends) -> None:
    with Lab.up(parse(OVS_OVERLAY, "geneve")) as lab:
        uplink = ends(lab).sniff("s1", "uplink0")
        for _ in range(10):  # the first packet is lost while the switch learns where its peer is
            if ends(lab).reaches("web", "10.0.0.2"):
                break
        else:
            pytest.fail("no answer over Geneve")
        tunnelled = [f for f in uplink.frames() if addresses_of(f)[0] and f[36:38] == (6081).to_bytes(2)]
        assert {int.from_bytes(f[46:49]) for f in tunnelled} == {5001}


def test_ovn(ends) -> None:
    with Lab.up("ovn") as lab:
        talk = ends(lab)
        uplink = talk.sniff("s1", "uplink0")
        for address in ("10.0.0.13", "10.0.0.12"):
            for _ in range(10):  # the first packet is lost while the switch learns where its peer is
                if talk.reaches("web", address):
                    break
            else:
                pytest.fail(f"no answer from {address}")
        tunnelled = [f for f in uplink.frames() if addresses_of(f)[0] and f[36:38] == (6081).to_bytes(2)]
        assert {addresses_of(f) for f in tunnelled} == {("172.31.0.11", "172.31.0.12"), ("172.31.0.12", "172.31.0.11")}
        shown = lab.exec("central", ["ovn-nbctl", "show"]).stdout
        assert all(f"(aka {name})" in shown for name in ("web", "cache", "db"))
        chassis = lab.exec("s2", ["ovn-sbctl", "--bare", "--columns=name", "list", "Chassis"]).stdout.split()
        assert set(chassis) == {f"{lab.name}-s1", f"{lab.name}-s2"}
        assert status.status(lab.name).faults == ()
        pid = int((lab.folder("s2") / "ovn-controller.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.01)
        assert status.status(lab.name).faults == ("ovn-controller of s2 is not running",)


def test_ipv6_where_it_is_asked_for(ends) -> None:
    text = """
    [servers.s1.switches.br0]
    [vms.web]
    nics = [{ on = "s1/br0", addresses = ["10.0.0.1/24", "fd00::1/64"] }]
    [vms.db]
    nics = [{ on = "s1/br0", addresses = ["fd00::2/64"] }]
    """
    with Lab.up(parse(text, "six")) as lab:
        ends(lab).serve("db", "udp:53")
        deadline = time.monotonic() + 10
        while not ends(lab).asks("web", "udp:fd00::2:53"):
            assert time.monotonic() < deadline
        assert lab.exec("s1", ["cat", "/proc/sys/net/ipv6/conf/all/disable_ipv6"]).stdout == "1\n"


def test_traffic_flows_by_itself(ends) -> None:
    with Lab.up("bridge", traffic=True) as lab:
        sniffer = ends(lab).sniff("s1", "vnet0")
        wanted = {("10.0.0.11", "10.0.0.12"), ("10.0.0.12", "10.0.0.11"), ("10.0.0.13", "10.0.0.11")}
        deadline = time.monotonic() + 20
        while not all(in_hex(pair) in sniffer.log.read_text() for pair in wanted):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        sniffer.process.kill()
        sniffer.process.wait()


def in_hex(pair: tuple[str, str]) -> str:
    return "".join(ip_address(address).packed.hex() for address in pair)


def test_two_labs_of_one_topology_side_by_side(ends) -> None:
    with Lab.up("ovs") as one, Lab.up("ovs") as two, Lab.up("bridge") as three:
        assert one.name != two.name
        one.exec("db", ["ip", "link", "set", "eth0", "down"])
        assert not ends(one).reaches("web", "10.0.0.12")
        assert ends(two).reaches("web", "10.0.0.12"), "each has switches and addresses of its own"
        systems = {
            lab.exec("s1", ["ovs-vsctl", "get", "Open_vSwitch", ".", "external_ids:system-id"]).stdout
            for lab in (one, two)
        }
        assert len(systems) == 2
        one.down()
        assert ends(two).reaches("web", "10.0.0.12")
        assert {two.name, three.name} <= set(store.names())
        one.down()  # a second time is fine


def test_environment_shows_one_server_and_its_vms() -> None:
    with Lab.up("overlay") as lab:
        alone, both = lab.environment("s1"), lab.environment()
        names = alone["TAPWRIGHT_NETNS"].split(",")
        assert names == [f"twlab-{lab.name}-{node}" for node in ("s1", "red-web", "blue-web")]
        assert len(both["TAPWRIGHT_NETNS"].split(",")) == 6
        assert both["TAPWRIGHT_OVSDB"].split(",") == [f"unix:{lab.folder(s)}/db.sock" for s in ("s1", "s2")]
        seen = lab.exec("s1", ["env"]).stdout.splitlines()
        assert {f"{key}={value}" for key, value in alone.items()} <= set(seen)


def test_exec() -> None:
    with Lab.up("bridge") as lab:
        assert lab.exec("web", ["sh", "-c", "cat; exit 3"], stdin="x", check=False).code == 3
        assert lab.exec("web", ["cat"], stdin="x").stdout == "x"
        with pytest.raises(ProviderError):
            lab.exec("web", ["false"])
        with pytest.raises(NotFound, match="no node named 'wbe'") as caught:
            lab.exec("wbe", ["true"])
        assert "web" in caught.value.hint


def test_everything_it_started_ends_with_the_lab(tmp_path: Path) -> None:
    lab = Lab.up("bridge")
    with lab:
        kept = lab.start("web", ["sleep", "1000"])
        moved = command.start(["ip", "netns", "exec", lab.node("db").netns, "sleep", "1000"], log=tmp_path / "log")
        stubborn = lab.start("db", ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"])
        inside = Path(lab.node("db").netns_path).stat().st_ino
        until(lambda: Path(f"/proc/{moved.pid}/ns/net").stat().st_ino == inside, "it is in the lab")
    for process in (kept, moved, stubborn):
        assert process.wait(timeout=5) < 0
    assert not Path(lab.node("web").netns_path).exists()
    assert lab.name not in store.names()


def test_a_lab_that_fails_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    from tapwright.lab import openvswitch

    before = set(Path("/run/netns").iterdir())
    name = f"fail-{os.getpid()}"

    def fail(*_: object) -> None:
        raise ProviderError("the switch is on fire")

    monkeypatch.setattr(openvswitch, "vsctl", fail)
    with pytest.raises(ProviderError, match="on fire"):
        Lab.up("ovs", name)
    assert name not in store.names()
    assert not [entry for entry in set(Path("/run/netns").iterdir()) - before if name in entry.name]


@pytest.mark.parametrize(
    ("topology", "package"),
    [("ovs", "openvswitch-switch"), ("ovn", "openvswitch-switch"), ("nat", "nftables"), ("qemu", "openvswitch-switch")],
)
def test_a_missing_program_names_its_package(
    topology: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ip").symlink_to(command.find("ip"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(command, "_EXTRA_PATH", str(tmp_path))
    with pytest.raises(MissingDependency) as caught:
        Lab.up(topology)
    assert caught.value.hint == f"apt install {package}"


def test_names_are_refused_before_anything_happens() -> None:
    for name in ("Web", "-x", "a" * 25, "a/b", "..", "x\n", ""):
        with pytest.raises(UsageError):
            Lab.up("bridge", name)


def test_a_name_is_taken_once() -> None:
    name = f"once-{os.getpid()}"
    with Lab.up("bridge", name), pytest.raises(UsageError, match="exists already"):
        Lab.up("bridge", name)


def test_a_namespace_of_somebody_else_is_never_touched() -> None:
    name = f"foreign-{os.getpid()}"
    netns = f"twlab-{name}-web"
    command.run(["ip", "netns", "add", netns])
    try:
        with pytest.raises(UsageError, match="exists already, and lab"):
            Lab.up("bridge", name)
        assert Path("/run/netns", netns).exists()
        assert name not in store.names()
    finally:
        command.run(["ip", "netns", "del", netns])


def test_two_labs_cannot_mean_the_same_namespace() -> None:
    short = f"same-{os.getpid()}"
    one = '[servers.s1.switches.br0]\n[vms.b-web]\nnics = [{ on = "s1/br0" }]'
    two = '[servers.s2.switches.br0]\n[vms.web]\nnics = [{ on = "s2/br0" }]'
    with Lab.up(parse(one, "one"), short) as lab:
        command.run(["ip", "netns", "del", lab.node("b-web").netns])  # as if it were not made yet
        with pytest.raises(UsageError, match=f"twlab-{short}-b-web exists already"):
            Lab.up(parse(two, "two"), f"{short}-b")


def test_status_tells_what_is_broken() -> None:
    with Lab.up("ovs") as lab:
        assert status.status(lab.name).state is State.UP
        assert len(status.status(lab.name).nodes) == 5
        pid = int((lab.folder("s1") / "ovs-vswitchd.pid").read_text())
        os.kill(pid, 9)
        while status.status(lab.name).state is State.UP:
            time.sleep(0.01)
        command.run(["ip", "netns", "del", lab.node("web").netns])
        broken = status.status(lab.name)
        assert broken.state is State.BROKEN
        assert broken.faults == (
            f"network namespace {lab.node('web').netns} is gone",
            "ovs-vswitchd of s1 is not running",
        )


def test_status_misses_the_devices_that_are_gone() -> None:
    with Lab.up("bridge") as lab:
        lab.exec("s1", ["ip", "link", "del", "vnet1"])
        broken = status.status(lab.name)
        assert (broken.state, broken.faults) == (State.BROKEN, ("device vnet1 of db on s1 is gone",))


def test_a_record_of_another_version_is_broken_and_can_be_undone() -> None:
    lab = Lab.up("bridge")
    path = store.folder(lab.name) / "lab.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({"token": record["token"], "namespaces": record["namespaces"], "new": 1}))
    assert status.status(lab.name).state is State.BROKEN
    with pytest.raises(ProviderError, match="is broken"):
        Lab.open(lab.name)
    lab.down()
    assert lab.name not in store.names()
    assert not Path(lab.node("web").netns_path).exists()
