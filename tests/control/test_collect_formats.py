"""What each form of mirror becomes: of Open vSwitch, the kernel, and senders imitated here; judged by tshark."""

import json
import struct
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.support.collecting import (
    ARRIVED,
    SEND,
    collecting,
    erspan2,
    inner,
    outer,
    outer6,
    ports,
    send,
    sessions,
    talk,
    udp,
)
from tests.support.shark import capinfos, fields
from tests.support.wires import until

from tapwright.lab import Lab

pytestmark = pytest.mark.root


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
    with collecting(lab, "erspan", "gre", "--from", f"{ARRIVED},fd00::/64", "-w", str(path), result=result):
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
    arguments = ("vxlan-gpe", "gre", "geneve", "--from", ARRIVED, "-w", str(path))
    with collecting(lab, *arguments, result=result):
        send(lab, packets)
    assert ports(path) == Counter(str(7000 + n) for n in range(1, 7))
    names = {"vxlan-gpe 77": 2, "nvgre 5001": 1, "geneve 78": 1, "gre 9": 1, "geneve 79": 1}
    found = {name.partition(" 172")[0]: session["packets"] for name, session in sessions(result).items()}
    assert found == names
    assert result["wrapped"] == 0


def test_tzsp_and_the_cloud_forms(lab: Lab, tmp_path: Path) -> None:
    path, result = tmp_path / "c.pcapng", {}
    vxlan = struct.pack("!II", 0x08000000, 4242 << 8)
    through_balancer = struct.pack("!BBHI", 0, 0, 0x0800, 0) + udp(lab, 4789, vxlan + inner(3), "10.1.1.1")[14:]
    with collecting(lab, "tzsp", "aws", "--from", ARRIVED, "-f", "udp dst portrange 7001-7003", "-w", str(path),
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
        with collecting(lab, "vxlan:4789@172.31.0.99", "--from", ARRIVED, "-w", str(path), result=result):
            for line in commands:
                lab.exec("sender", line.split())
            code = SEND.replace("eth0", "tap1")
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
