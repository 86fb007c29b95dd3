"""Mirrors that are collected: of whom, where, which frames, what is missing, what is written; judged by tshark."""

import json
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.collecting import (
    ARRIVED,
    collecting,
    erspan2,
    inner,
    listening,
    outer,
    ports,
    send,
    sessions,
    talk,
    udp,
)
from tests.support.shark import capinfos, fields
from tests.support.tapwright import running_command

from tapwright.lab import Lab

pytestmark = pytest.mark.root


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
    arguments = ("erspan", "gre", "vxlan", "geneve", "--from", ARRIVED, "-f", text)
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


def test_each_source_at_its_own_address(lab: Lab, tmp_path: Path) -> None:
    path, result = tmp_path / "a.pcapng", {}
    vxlan, geneve = struct.pack("!II", 0x08000000, 7 << 8), struct.pack("!BBHI", 0, 0, 0x6558, 8 << 8)
    lab.exec("collector", ["ip", "address", "add", "172.31.0.98/24", "dev", "eth0"])
    try:
        arguments = ("vxlan@172.31.0.99", "geneve@172.31.0.98", "--from", ARRIVED, "-w", str(path))
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
    with collecting(lab, "erspan", "--from", ARRIVED, "-w", str(path), result=result):
        send(lab, [erspan2(lab, n, inner()) for n in (1, 2, 5, 4, 6, 6, 9)])
    (session,) = result["sessions"]
    assert (session["missing"], session["reordered"], session["repeated"]) == (3, 1, 1)
    assert [count for (count,) in fields(path, "frame.drop_count")] == ["", "", "2", "", "", "", "2"]


def test_exporters_get_no_answer(lab: Lab, tmp_path: Path) -> None:
    """A capture on the wire sees every ICMP message; without the collector there are some."""
    frames = [erspan2(lab, 1, inner()), udp(lab, 4789, struct.pack("!II", 0x08000000, 256) + inner())]
    frames += [udp(lab, port, inner()) for port in (6081, 37008)]
    lab.exec("collector", ["ip", "neigh", "replace", ARRIVED, "lladdr", "02:00:00:00:00:50", "dev", "eth0"])
    assert answers(lab, frames, tmp_path / "before.pcap") > 0
    result: dict[str, Any] = {}
    arguments = ("erspan", "vxlan", "geneve", "tzsp", "--from", ARRIVED, "-w", str(tmp_path / "q.pcapng"))
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
        lab, "erspan", "--from", ARRIVED, "--ring", "8Kx3", "-w", str(tmp_path / "r.pcapng"), result=result
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
    with collecting(lab, "erspan", "--from", ARRIVED, "-w", f"{tmp_path}/", result=result):
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
        argv = ("collect", "erspan", "--from", ARRIVED, "-w", str(path), "--json")
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
