"""Mirrors received from Open vSwitch, the kernel's own tunnels, and forms written here; judged by tshark."""

import json
import signal
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.labs import running_lab
from tests.support.netns import inode
from tests.support.shark import capinfos, fields
from tests.support.tapwright import running_command
from tests.support.wires import until

from tapwright.lab import Lab
from tapwright.lab.chatter import PROGRAM

pytestmark = pytest.mark.root

_LAB = """
about = "A server whose switch mirrors to a collector on the wire"
[fabrics.wire]
mtu = 1700
[servers.s1]
uplink = { fabric = "wire", switch = "br-phy", address = "172.31.0.11/24" }
[servers.s1.switches]
br-int = { kind = "ovs" }
br-phy = { kind = "ovs" }
[vms.web]
nics = [{ on = "s1/br-int", addresses = ["10.0.0.11/24"] }]
[vms.db]
nics = [{ on = "s1/br-int", addresses = ["10.0.0.12/24"] }]
[machines.collector]
nics = [{ on = "wire", addresses = ["172.31.0.99/24"], mtu = 1700 }]
[machines.sender]
nics = [{ on = "wire", addresses = ["172.31.0.50/24", "172.31.0.51/24"], mtu = 1700 }]
"""
_TUNNELS = {
    "er2": ("erspan", "erspan_ver=1", "key=101", "erspan_idx=11"),
    "er3": ("erspan", "erspan_ver=2", "key=102", "erspan_dir=1", "erspan_hwid=4"),
    "gre1": ("gre", "key=7", "seq=true"),
    "vx1": ("vxlan", "key=7007"),
    "gnv1": ("geneve", "key=7008"),
}
_SEND = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
    s.bind(("eth0", 0))
    for line in sys.stdin:
        s.send(bytes.fromhex(line))
"""
_ARRIVED = "172.31.0.50"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    path = tmp_path_factory.mktemp("lab") / "mirrors.toml"
    path.write_text(_LAB)
    with running_lab(str(path)) as lab:
        lab.start("db", [*PROGRAM, "serve", "tcp:5432"])
        yield lab


@pytest.fixture
def mirrored(lab: Lab) -> Iterator[Lab]:
    """Each kind of tunnel gets a mirror of web's port."""
    source = lab.node("web").nics[0].device
    for name, (kind, *options) in _TUNNELS.items():
        settings = (f"type={kind}", "options:remote_ip=172.31.0.99", *(f"options:{option}" for option in options))
        vsctl(
            lab, "add-port", "br-int", name, "--", "set", "interface", name, *settings,
            "--", "--id=@src", "get", "port", source, "--", "--id=@out", "get", "port", name,
            "--", "--id=@m", "create", "mirror", f"name={name}", "select_src_port=@src", "select_dst_port=@src",
            "output_port=@out", "--", "add", "bridge", "br-int", "mirrors", "@m",
        )  # fmt: skip
    lab.exec("s1", ["ovs-appctl", "revalidator/purge"])
    try:
        talk(lab, 1)  # resolves the collector's address
        yield lab
    finally:
        vsctl(lab, "clear", "bridge", "br-int", "mirrors")
        for name in _TUNNELS:
            vsctl(lab, "del-port", "br-int", name)


def vsctl(lab: Lab, *arguments: str) -> None:
    lab.exec("s1", ["ovs-vsctl", "--timeout=20", *arguments])


def talk(lab: Lab, count: int = 4) -> None:
    lab.exec("web", [*PROGRAM, "talk", "tcp:10.0.0.12:5432", "--count", str(count), "--every", "0.01"])


@contextmanager
def collecting(lab: Lab, *arguments: str, result: dict[str, Any], device: str = "eth0") -> Iterator[None]:
    """A running ``tapwright collect`` at the collector; `result` gets its summary."""
    wrapper = ("ip", "netns", "exec", lab.node("collector").netns)
    with running_command("collect", *arguments, "--json", env=lab.environment(), wrapper=wrapper) as process:
        listening(lab, process)
        yield
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        assert err == b""
        result.update(json.loads(out))


def listening(lab: Lab, process: subprocess.Popen) -> None:
    """Until it has its packet sockets and hears everything."""
    there, table = inode(lab.node("collector").netns), Path(f"/proc/{process.pid}/net/packet")
    for _ in range(2000):
        assert process.poll() is None, process.communicate()
        inside = Path(f"/proc/{process.pid}/ns/net").stat().st_ino == there
        sockets = table.read_text().splitlines()[1:] if inside else []
        if sockets and all(line.split()[4] != "0" for line in sockets):  # they are opened first, and then bound
            lab.exec("collector", ["sleep", "0.1"])
            return
        lab.exec("collector", ["sleep", "0.01"])
    raise AssertionError("it never listened")


def send(lab: Lab, frames: Sequence[bytes]) -> None:
    lab.exec("sender", [sys.executable, "-I", "-S", "-c", _SEND], stdin="\n".join(frame.hex() for frame in frames))


def sessions(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {session["name"]: session for session in result["sessions"]}


def outer(lab: Lab, protocol: int, payload: bytes, source: str = _ARRIVED, target: str = "172.31.0.99") -> bytes:
    """An Ethernet frame to the collector with IPv4 and this in it."""
    ends = b"".join(bytes(map(int, end.split("."))) for end in (source, target))
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0) + ends
    total = sum(struct.unpack("!10H", head))
    check = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    ether = bytes.fromhex(lab.node("collector").nics[0].mac.replace(":", "")) + b"\x02\0\0\0\0\x50\x08\0"
    return ether + head[:10] + struct.pack("!H", check) + head[12:] + payload


def outer6(lab: Lab, protocol: int, payload: bytes) -> bytes:
    """The same in IPv6, from fd00::50, behind a destination options header as tunnels of Linux have it."""
    ends = bytes.fromhex("fd" + "00" * 14 + "50" + "fd" + "00" * 14 + "99")
    options = struct.pack("!BB6B", protocol, 0, 4, 1, 4, 1, 1, 0)
    head = struct.pack("!IHBB", 6 << 28, len(options) + len(payload), 60, 64)
    ether = bytes.fromhex(lab.node("collector").nics[0].mac.replace(":", "")) + b"\x02\0\0\0\0\x50\x86\xdd"
    return ether + head + ends + options + payload


def udp(lab: Lab, port: int, payload: bytes, source: str = _ARRIVED, target: str = "172.31.0.99") -> bytes:
    return outer(lab, 17, struct.pack("!HHHH", 50_000, port, 8 + len(payload), 0) + payload, source, target)


def erspan2(lab: Lab, sequence: int, frame: bytes, session: int = 5, source: str = _ARRIVED) -> bytes:
    header = struct.pack("!HHIHHI", 0x1000, 0x88BE, sequence, 0x1000, 0x1800 | session, 0x11)
    return outer(lab, 47, header + frame, source)


def inner(number: int = 0) -> bytes:
    """A frame a VM could have sent: UDP to port 7000 + `number`."""
    payload = struct.pack("!HHHH", 6000, 7000 + number, 8 + 30, 0) + bytes(30)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), number, 0, 64, 17, 0) + bytes(
        (10, 9, 9, 1, 10, 9, 9, 2)
    )
    return b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\0" + head + payload


def ports(path: Path) -> Counter[str]:
    return Counter(row[0] for row in fields(path, "udp.dstport"))


def test_open_vswitchs_mirrors_all_at_once(mirrored: Lab, tmp_path: Path) -> None:
    path, result = tmp_path / "all.pcapng", {}
    arguments = ("erspan", "gre", "vxlan", "geneve", "--from", "172.31.0.11", "-w", str(path))
    with collecting(mirrored, *arguments, result=result):
        talk(mirrored)
    kinds = ("erspan2 101", "erspan3 102", "gre 7", "vxlan 7007", "geneve 7008")
    names = [f"{kind} 172.31.0.11>172.31.0.99" for kind in kinds]
    found = sessions(result)
    assert set(found) == set(names)
    assert {session["packets"] for session in found.values()} == {result["written"] // 5}
    for kind, name in zip(kinds, names, strict=True):
        wanted = (0, 0, 0) if kind.startswith(("erspan", "gre")) else (None, None, None)
        assert (found[name]["missing"], found[name]["reordered"], found[name]["repeated"]) == wanted
    assert found[names[0]]["shared"], "Open vSwitch numbers all its ERSPAN mirrors in one row"
    frame = ("eth.src", "eth.dst", "frame.len", "ip.id", "tcp.seq_raw", "tcp.payload")
    by_session = [Counter(fields(path, *frame, only=f'frame.interface_name == "{name}"')) for name in names]
    assert all(session == by_session[0] for session in by_session)
    assert any("10.0.0.12" in row[0] for row in fields(path, "ip.dst"))
    assert result["wrapped"] == result["lost"] == result["strangers"]["packets"] == 0
    assert "erspan_idx=11" in capinfos(path)
    directions = fields(path, "frame.packet_flags_direction", only=f'frame.interface_name == "{names[1]}"')
    assert set(directions) == {("0x00000002",)}


def test_what_is_lost_on_the_way_is_told(mirrored: Lab, tmp_path: Path) -> None:
    path, result = tmp_path / "gaps.pcapng", {}
    rules = (
        "add table netdev t; add chain netdev t c { type filter hook ingress device server0 priority 0; };"
        "add rule netdev t c ip protocol gre numgen inc mod 10 == 3 drop"
    )
    with collecting(mirrored, "erspan", "gre", "vxlan", "--from", "172.31.0.11", "-w", str(path), result=result):
        talk(mirrored, 1)
        mirrored.exec("wire", ["nft", rules])
        try:
            talk(mirrored)
        finally:
            mirrored.exec("wire", ["nft", "delete table netdev t"])
        talk(mirrored, 1)
    found = {name.partition(" 172")[0]: session for name, session in sessions(result).items()}
    sent = found["vxlan 7007"]["packets"]
    assert found["gre 7"]["missing"] == sent - found["gre 7"]["packets"] > 0
    arrived = found["erspan2 101"]["packets"] + found["erspan3 102"]["packets"]
    assert found["erspan2 101"]["missing"] == found["erspan3 102"]["missing"] == 2 * sent - arrived > 0
    told = fields(path, "frame.drop_count", only='frame.drop_count && frame.interface_name contains "gre 7"')
    assert sum(int(count) for (count,) in told) == found["gre 7"]["missing"]
    assert f"sequence numbers: missing {found['gre 7']['missing']}" in path.read_bytes().decode("latin-1")


def test_a_filter_on_what_is_inside_and_a_session(mirrored: Lab, tmp_path: Path) -> None:
    path, result = tmp_path / "f.pcapng", {}
    arguments = ("erspan", "vxlan", "--from", "172.31.0.0/24", "-f", "tcp[tcpflags] & tcp-syn != 0", "-w", str(path))
    with collecting(mirrored, *arguments, "--vni", "101", "-s", "60", result=result):
        talk(mirrored)
    assert [name.split(" 172")[0] for name in sessions(result)] == ["erspan2 101"]
    rows = fields(path, "tcp.flags.syn", "frame.cap_len", "frame.len")
    assert len(rows) == result["written"] == 8
    assert set(rows) == {("1", "60", "74")}
    assert result["filtered_by"] == "kernel"
    assert result["sessions"][0]["missing"] is None, "what a filter leaves out is not missing"


@pytest.fixture
def little_room(lab: Lab) -> Iterator[None]:
    """The collector's kernel has room for some 200 instructions."""
    setting = "/proc/sys/net/core/optmem_max"
    usual = lab.exec("collector", ["cat", setting]).stdout
    lab.exec("collector", ["tee", setting], stdin="8192")
    try:
        yield
    finally:
        lab.exec("collector", ["tee", setting], stdin=usual)


@pytest.mark.usefixtures("little_room")
def test_a_filter_that_is_too_long_for_the_kernel(lab: Lab, tmp_path: Path) -> None:
    """Refused; with consent the kernel keeps what is a mirror and the engine judges what is inside, also raw IP."""
    hosts = [f"host 10.8.0.{number}" for number in range(180)]
    text = " or ".join([*hosts, "udp port 7002", "udp port 7004"])
    arguments = ("erspan", "gre", "vxlan", "geneve", "--from", _ARRIVED, "-f", text)
    refused = lab.exec("collector", [sys.executable, "-m", "tapwright", "collect", *arguments], check=False)
    assert (refused.code, "--filter-in-engine" in refused.stderr) == (6, True), refused.stderr
    path, result = tmp_path / "long.pcapng", {}
    raw = outer(lab, 47, struct.pack("!HH", 0, 0x0800) + inner(4)[14:])
    not_asked = outer(lab, 47, struct.pack("!HH", 0, 0x0800) + inner(5)[14:])
    with collecting(lab, *arguments, "--filter-in-engine", "-w", str(path), result=result):
        send(lab, [*(erspan2(lab, n, inner(n)) for n in range(4)), raw, not_asked, udp(lab, 9, inner(2))])
    assert ports(path) == Counter(["7002", "7004"])
    assert (result["written"], result["filtered_by"]) == (2, "kernel and engine")


def test_who_is_not_named_is_counted_and_not_stored(lab: Lab, tmp_path: Path) -> None:
    path, result = tmp_path / "s.pcapng", {}
    with collecting(lab, "erspan", "tzsp", "--from", "172.31.0.50", "-w", str(path), result=result):
        send(lab, [erspan2(lab, n, inner(n), source=f"172.31.0.5{n % 2}") for n in range(10)])
        send(lab, [udp(lab, 37008, b"\x01\0\0\x01\x01" + inner(50), source="172.31.0.51")])
    assert ports(path) == Counter(str(7000 + n) for n in range(0, 10, 2))
    assert result["strangers"] == {"packets": 6, "by_address": {"172.31.0.51": 6}}
    anybody: dict[str, Any] = {}
    with collecting(lab, "erspan", "--from", "any", "-w", str(tmp_path / "any.pcapng"), result=anybody):
        send(lab, [erspan2(lab, n, inner(n), source=f"172.31.0.5{n % 2}") for n in range(10)])
    assert (anybody["written"], len(anybody["sessions"]), anybody["strangers"]["packets"]) == (10, 2, 0)


def test_forms_of_real_senders(lab: Lab, tmp_path: Path) -> None:
    """Type I, a trailing FCS, the T bit, IP inside, a header that says nothing sensible."""
    path, result = tmp_path / "forms.pcapng", {}
    type1 = outer(lab, 47, struct.pack("!HH", 0, 0x88BE) + inner(1))
    fcs = erspan2(lab, 1, inner(2) + b"\xde\xad\xbe\xef")
    truncated = outer(lab, 47, struct.pack("!HHIHHI", 0x1000, 0x88BE, 2, 0x1000, 0x1C05, 0) + inner(3))
    raw = outer(lab, 47, struct.pack("!HH", 0, 0x0800) + inner(4)[14:])
    wrong = outer(lab, 47, struct.pack("!HHIHHI", 0x1000, 0x88BE, 3, 0x7000, 5, 0) + inner(5))
    subheader = outer(lab, 47, struct.pack("!HHI", 0x1000, 0x22EB, 1) + struct.pack("!HHIHH", 0x2000, 9, 77, 0, 1)
                      + b"\xee" * 8 + inner(6))  # fmt: skip
    ipv6 = outer6(lab, 47, struct.pack("!HHIHHI", 0x1000, 0x88BE, 1, 0x1000, 7, 0) + inner(8))
    with collecting(lab, "erspan", "gre", "--from", f"{_ARRIVED},fd00::/64", "-w", str(path), result=result):
        send(lab, [type1, fcs, truncated, raw, wrong, subheader, ipv6])
    assert ports(path) == Counter(["7001", "7002", "7003", "7004", "7006", "7008"])
    lengths = dict(fields(path, "udp.dstport", "frame.len"))
    assert lengths["7002"] == str(int(lengths["7003"]) + 4), "bytes behind the frame stay"
    assert set(sessions(result)) == {
        *(f"{kind} 172.31.0.50>172.31.0.99" for kind in ("erspan1", "erspan2 5", "gre", "erspan3 9")),
        "erspan2 7 fd00::50>fd00::99",
    }


def test_vxlan_gpe_nvgre_and_ip_in_gre_and_geneve(lab: Lab, tmp_path: Path) -> None:
    path, result = tmp_path / "g.pcapng", {}
    six = struct.pack("!IHBB", 6 << 28, 38, 17, 64) + bytes(15) + b"\x01" + bytes(15) + b"\x02" + inner(5)[34:]
    packets = [
        udp(lab, 4790, struct.pack("!BHBI", 0x0C, 0, 3, 77 << 8) + inner(1)),
        udp(lab, 4790, struct.pack("!BHBI", 0x0C, 0, 1, 77 << 8) + inner(2)[14:]),
        outer(lab, 47, struct.pack("!HHI", 0x2000, 0x6558, 5001 << 8 | 3) + inner(3)),
        udp(lab, 6081, struct.pack("!BBHIQ", 2, 0, 0x6558, 78 << 8, 0x0108_0001_0000_0000) + inner(4)),
        outer(lab, 47, struct.pack("!HHII", 0xA000, 0x86DD, 0, 9) + six),
        udp(lab, 6081, struct.pack("!BBHI", 0, 0, 0x0800, 79 << 8) + inner(6)[14:]),
    ]
    arguments = ("vxlan-gpe", "gre", "geneve", "--from", _ARRIVED, "-w", str(path))
    with collecting(lab, *arguments, result=result):
        send(lab, packets)
    assert ports(path) == Counter(str(7000 + n) for n in range(1, 7))
    names = {"vxlan-gpe 77": 2, "nvgre 5001": 1, "geneve 78": 1, "gre 9": 1, "geneve 79": 1}
    found = {name.partition(" 172")[0]: session["packets"] for name, session in sessions(result).items()}
    assert found == names
    assert result["wrapped"] == 0


def test_each_source_at_its_own_address(lab: Lab, tmp_path: Path) -> None:
    path, result = tmp_path / "a.pcapng", {}
    vxlan, geneve = struct.pack("!II", 0x08000000, 7 << 8), struct.pack("!BBHI", 0, 0, 0x6558, 8 << 8)
    lab.exec("collector", ["ip", "address", "add", "172.31.0.98/24", "dev", "eth0"])
    try:
        arguments = ("vxlan@172.31.0.99", "geneve@172.31.0.98", "--from", _ARRIVED, "-w", str(path))
        with collecting(lab, *arguments, result=result):
            for number, (port, head) in enumerate(((4789, vxlan), (6081, geneve))):
                ends = ("172.31.0.99", "172.31.0.98")
                send(lab, [udp(lab, port, head + inner(2 * number + n), target=end) for n, end in enumerate(ends)])
    finally:
        lab.exec("collector", ["ip", "address", "del", "172.31.0.98/24", "dev", "eth0"])
    assert ports(path) == Counter(["7000", "7003"])
    assert set(sessions(result)) == {"vxlan 7 172.31.0.50>172.31.0.99", "geneve 8 172.31.0.50>172.31.0.98"}


def test_numbers_out_of_order(lab: Lab, tmp_path: Path) -> None:
    path, result = tmp_path / "n.pcapng", {}
    with collecting(lab, "erspan", "--from", _ARRIVED, "-w", str(path), result=result):
        send(lab, [erspan2(lab, n, inner()) for n in (1, 2, 5, 4, 6, 6, 9)])
    (session,) = result["sessions"]
    assert (session["missing"], session["reordered"], session["repeated"]) == (3, 1, 1)
    assert [count for (count,) in fields(path, "frame.drop_count")] == ["", "", "2", "", "", "", "2"]


def test_tzsp_and_the_cloud_forms(lab: Lab, tmp_path: Path) -> None:
    path, result = tmp_path / "c.pcapng", {}
    vxlan = struct.pack("!II", 0x08000000, 4242 << 8)
    through_balancer = struct.pack("!BBHI", 0, 0, 0x0800, 0) + udp(lab, 4789, vxlan + inner(3), "10.1.1.1")[14:]
    with collecting(lab, "tzsp", "aws", "--from", _ARRIVED, "-f", "udp dst portrange 7001-7003", "-w", str(path),
                    result=result):  # fmt: skip
        send(lab, [
            udp(lab, 37008, b"\x01\0\0\x01" + b"\x0a\x01\xd0\x00\x01" + inner(1)),
            udp(lab, 37008, b"\x01\0\0\x01\x01" + inner(9)),
            udp(lab, 4789, vxlan + inner(2)),
            udp(lab, 6081, through_balancer),
            udp(lab, 6081, through_balancer.replace(struct.pack("!H", 7003), struct.pack("!H", 7009))),
        ])  # fmt: skip
    assert ports(path) == Counter(["7001", "7002", "7003"])
    assert set(sessions(result)) == {
        "tzsp 172.31.0.50>172.31.0.99",
        "vxlan 4242 172.31.0.50>172.31.0.99",
        "geneve 0 172.31.0.50>172.31.0.99 / vxlan 4242 10.1.1.1>172.31.0.99",
    }
    assert result["filtered_by"] == "kernel and engine"


def test_the_kernels_own_vxlan_mirror(lab: Lab, tmp_path: Path) -> None:
    """tc mirred into a VXLAN device, as people do it without any switch."""
    path, result = tmp_path / "k.pcapng", {}
    commands = (
        "ip link add vxm type vxlan id 606 remote 172.31.0.99 local 172.31.0.50 dstport 4789 dev eth0",
        "ip link set vxm up", "ip link add tap0 type veth peer name tap1", "ip link set tap0 up", "ip link set tap1 up",
        "tc qdisc add dev tap0 clsact",
        "tc filter add dev tap0 ingress protocol all prio 1 u32 match u32 0 0 action mirred egress mirror dev vxm",
    )  # fmt: skip
    try:
        with collecting(lab, "vxlan:4789@172.31.0.99", "--from", _ARRIVED, "-w", str(path), result=result):
            for line in commands:
                lab.exec("sender", line.split())
            code = _SEND.replace("eth0", "tap1")
            lab.exec(
                "sender", [sys.executable, "-I", "-S", "-c", code], stdin="\n".join(inner(n).hex() for n in range(5))
            )
    finally:
        for name in ("vxm", "tap0"):
            lab.exec("sender", ["ip", "link", "del", name], check=False)
    found = ports(path)
    assert all(found[str(7000 + n)] == 1 for n in range(5))
    assert list(sessions(result)) == ["vxlan 606 172.31.0.50>172.31.0.99"]


def test_an_rspan_vlan(lab: Lab, tmp_path: Path) -> None:
    path, result = tmp_path / "r.pcapng", {}
    inside = inner(2)
    twice = inner(3)[:12] + b"\x81\0\0\x0a" + inner(3)[12:]
    frames = [frame[:12] + b"\x81\0\x03\xe7" + frame[12:] for frame in (inside, twice, inner(4))]
    with collecting(lab, "rspan:999@eth0", "-f", "not udp port 7004", "-w", str(path), result=result):
        until(lambda: promiscuity(lab) == 1, "a network card would drop what is for others")
        send(lab, [*frames, inner(8), inner(9)[:12] + b"\x81\0\x03\xe8" + inner(9)[12:]])
    assert promiscuity(lab) == 0
    rows = fields(path, "udp.dstport", "vlan.id", "frame.len", "frame.interface_name")
    assert rows == [("7002", "", "72", "rspan 999 eth0"), ("7003", "10", "76", "rspan 999 eth0")]


def promiscuity(lab: Lab) -> int:
    """How many want the collector's device to hear what is for others."""
    (link,) = json.loads(lab.exec("collector", ["ip", "-j", "-d", "link", "show", "eth0"]).stdout)
    return link["promiscuity"]


def test_exporters_get_no_answer(lab: Lab, tmp_path: Path) -> None:
    """A capture on the wire sees every ICMP message; without the collector there are some."""
    frames = [erspan2(lab, 1, inner()), udp(lab, 4789, struct.pack("!II", 0x08000000, 256) + inner())]
    frames += [udp(lab, port, inner()) for port in (6081, 37008)]
    lab.exec("collector", ["ip", "neigh", "replace", _ARRIVED, "lladdr", "02:00:00:00:00:50", "dev", "eth0"])
    assert answers(lab, frames, tmp_path / "before.pcap") > 0
    result: dict[str, Any] = {}
    arguments = ("erspan", "vxlan", "geneve", "tzsp", "--from", _ARRIVED, "-w", str(tmp_path / "q.pcapng"))
    with collecting(lab, *arguments, result=result):
        assert answers(lab, frames, tmp_path / "after.pcap") == 0
    assert result["written"] >= 2


def answers(lab: Lab, frames: Sequence[bytes], path: Path) -> int:
    """ICMP "unreachable" messages from the collector while it gets these, seen at its own device."""
    dump = lab.start("collector", ["tcpdump", "--immediate-mode", "-U", "-i", "eth0", "-w", str(path), "icmp"])
    lab.exec("collector", ["sleep", "1"])
    send(lab, frames)
    lab.exec("collector", ["sleep", "0.5"])
    dump.terminate()
    dump.wait()
    return len(fields(path, "icmp.type", only="icmp.type == 3"))


def test_a_ring_of_files_describes_every_session_again(lab: Lab, tmp_path: Path) -> None:
    result: dict[str, Any] = {}
    with collecting(
        lab, "erspan", "--from", _ARRIVED, "--ring", "8Kx3", "-w", str(tmp_path / "r.pcapng"), result=result
    ):
        send(lab, [erspan2(lab, n, inner(n % 2), session=1 + n % 3) for n in range(300)])
    files = sorted(tmp_path.iterdir())
    assert [str(file) for file in files] == result["files"]
    assert len(files) == 3
    for file in files:
        named = {row[0].split(" 172")[0] for row in fields(file, "frame.interface_name")}
        assert named == {f"erspan2 {n}" for n in (1, 2, 3)}
    assert result["written"] == 300


def test_a_folder_and_what_is_refused(lab: Lab, tmp_path: Path) -> None:
    result: dict[str, Any] = {}
    with collecting(lab, "erspan", "--from", _ARRIVED, "-w", f"{tmp_path}/", result=result):
        send(lab, [erspan2(lab, 1, inner())])
    (file,) = tmp_path.iterdir()
    assert file.name.startswith("collect-")
    assert len(fields(file, "frame.number")) == 1


def test_a_full_disk_leaves_a_valid_file(lab: Lab, tmp_path: Path) -> None:
    """Of sessions that came last not even the description is in it, and so no statistics."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tapwright-test", str(disk)], check=True)
    try:
        path = disk / "full.pcapng"
        wrapper = ("ip", "netns", "exec", lab.node("collector").netns)
        argv = ("collect", "erspan", "--from", _ARRIVED, "-w", str(path), "--json")
        with running_command(*argv, env=lab.environment(), wrapper=wrapper) as process:
            listening(lab, process)
            big = inner() + bytes(1300)
            send(lab, [erspan2(lab, n, big, session=1 + n // 40) for n in range(400)])
            out, err = process.communicate(timeout=30)
        assert process.returncode == 7, err
        result = json.loads(out)
        written = len(fields(path, "frame.number"))
        assert 50 < written == result["written"] < 400
        assert sum(session["packets"] for session in result["sessions"]) == written
        assert 0 < result["lost"] <= 400 - written  # the rest was sent when it had ended already
        capinfos(path)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
