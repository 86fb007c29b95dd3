"""What the engine writes of what it sees, judged by tshark and capinfos."""

import json
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.blocks import INTERFACE, blocks, options
from tests.support.entered import entered
from tests.support.netns import veth
from tests.support.packets import sender
from tests.support.shark import capinfos, fields
from tests.support.vnics import quiet_namespace
from tests.support.wires import OURS, Wire, adds_up, frame, frames, running, source, wire

from tapwright.capture.request import Section

pytestmark = pytest.mark.root

TO_VM, FROM_VM = 1, 2


@pytest.fixture
def w() -> Iterator[Wire]:
    with wire() as made:
        yield made


def test_every_field_is_in_the_file(w: Wire, tmp_path: Path) -> None:
    path = tmp_path / "f.pcapng"
    names = (("10.9.8.7", "web"), ("fe80::9", "db"), ("no address", "x"))
    vnic = w.source(
        name="web/eth0", description="a wire of a test", mac="02:00:00:00:00:07", filter="any filter",
        addresses=("10.9.8.7/20", "2001:db8::7/64", "no address"),
    )  # fmt: skip
    with running(
        vnic, to=path, section=Section("a processor", "an OS", "tapwright test", "a comment", names)
    ) as engine:
        w.from_vm(*[frame(60 + n) for n in range(5)])
        w.to_vm(*frames(3, 100))
        stats = engine.finished()
    rows = fields(
        path, "frame.len", "frame.packet_flags_direction", "frame.interface_name", "frame.interface_description"
    )
    seen = [(int(length), int(direction, 0)) for length, direction, _, _ in rows]
    assert seen == [*((60 + n, FROM_VM) for n in range(5)), *[(100, TO_VM)] * 3]
    assert {row[2:] for row in rows} == {("web/eth0", "a wire of a test")}
    report = capinfos(path)
    for text in (
        "Capture hardware:    a processor", "Capture oper-sys:    an OS", "Capture application: tapwright test",
        "Capture comment:     a comment", "Strict time order:   True", "Filter string = any filter",
        "Time precision = nanoseconds (9)", "Number of stat entries = 1", "resolved IPv4 addresses in file: 1",
        "resolved IPv6 addresses in file: 1",
    ):  # fmt: skip
        assert text in report, text
    hosts = subprocess.run(["tshark", "-r", path, "-q", "-z", "hosts"], capture_output=True, text=True, check=True)
    assert {"10.9.8.7\tweb", "fe80::9\tdb"} <= set(hosts.stdout.splitlines())
    (interface,) = (options(kind, body) for kind, body in blocks(path.read_bytes()) if kind == INTERFACE)
    assert interface[4] == bytes([10, 9, 8, 7, 255, 255, 240, 0])
    assert interface[5] == bytes.fromhex("20010db8000000000000000000000007") + b"\x40"
    assert interface[6] == bytes.fromhex("020000000007")
    assert interface[12] == b"an OS"
    assert b"ledger: seen 8 = filtered 0 + kernel dropped 0" in path.read_bytes()
    (vnic_stats,) = stats.sources
    assert (vnic_stats.port_packets, vnic_stats.accepted, vnic_stats.written) == (8, 8, 8)
    assert vnic_stats.wire_bytes == vnic_stats.written_bytes == sum(60 + n for n in range(5)) + 300
    assert stats.ended == "stopped"


def test_from_inside_the_vm_directions_turn(w: Wire, tmp_path: Path) -> None:
    path = tmp_path / "g.pcapng"
    with running(source(w.vm, "eth0", outgoing_is_to_vm=False), to=path):
        w.from_vm(frame(60))
        w.to_vm(frame(70))
    rows = fields(path, "frame.len", "frame.packet_flags_direction")
    assert [(int(length), int(way, 0)) for length, way in rows] == [(60, FROM_VM), (70, TO_VM)]


@pytest.mark.parametrize("tags", ["8100a00a", "88a8a00a", "88a800078100000a"])
def test_vlan_tags_are_put_back(w: Wire, tmp_path: Path, tags: str) -> None:
    """The kernel takes the outer one out of the frame, in either direction."""
    path = tmp_path / "v.pcapng"
    tagged = bytes.fromhex("ffffffffffff020000000002" + tags + OURS) + bytes(range(80))
    with running(w.source(), to=path):
        w.from_vm(tagged)
        w.to_vm(tagged)
    assert raw(path) == [tagged, tagged]
    assert fields(path, "frame.len") == [(str(len(tagged)),)] * 2


@pytest.mark.parametrize("snaplen", [1, 12, 13, 14, 16, 17, 60, 104])
def test_a_cut_tag_stands_where_it_stood(w: Wire, tmp_path: Path, snaplen: int) -> None:
    path = tmp_path / "v.pcapng"
    tagged = frame(100)[:12] + bytes.fromhex("8100000a") + frame(100)[12:]
    with running(w.source(), to=path, snaplen=snaplen):
        w.to_vm(tagged)
    assert raw(path) == [tagged[:snaplen]]
    assert fields(path, "frame.len", "frame.cap_len") == [("104", str(snaplen))]


def raw(path: Path) -> list[bytes]:
    """The bytes of each packet, as tshark's JSON has them."""
    argv = ["tshark", "-r", str(path), "-T", "jsonraw", "-j", "frame"]
    found = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    return [bytes.fromhex(packet["_source"]["layers"]["frame_raw"][0]) for packet in found]


def test_filter_and_snap_length_are_the_kernels_work(w: Wire, tmp_path: Path) -> None:
    path = tmp_path / "s.pcapng"
    # ldb [17]; jeq #7, accept 30 bytes, else nothing
    code = b"".join(struct.pack("HBBI", *i) for i in [(0x30, 0, 0, 17), (0x15, 0, 1, 7), (6, 0, 0, 30), (6, 0, 0, 0)])
    with running(w.source(program=code, filter="the seventh"), to=path) as engine:
        w.from_vm(*frames(10, 200))
        (stats,) = engine.finished().sources
    assert fields(path, "frame.len", "frame.cap_len") == [("200", "30")]
    assert (stats.port_packets, stats.accepted, stats.written) == (10, 1, 1)
    assert b"seen 10 = filtered 9 + kernel dropped 0 + dropped by tapwright 0 + beyond limit 0 + written 1" in (
        path.read_bytes()
    )


def test_super_frames_keep_their_length(w: Wire, tmp_path: Path) -> None:
    """TCP hands frames of up to 64 KiB over a virtual wire."""
    w.add_addresses()
    path = tmp_path / "gso.pcapng"
    with entered(w.host, lambda: socket.create_server(("10.9.0.1", 5000))) as listener, running(w.source(), to=path):
        thread = threading.Thread(target=_swallow, args=[listener])
        thread.start()
        with entered(w.vm, lambda: socket.create_connection(("10.9.0.1", 5000), timeout=20)) as out:
            out.sendall(bytes(4_000_000))
        thread.join()
    rows = [tuple(map(int, row)) for row in fields(path, "frame.len", "frame.cap_len", "tcp.len", only="tcp.len > 0")]
    assert max(length for length, _, _ in rows) > 40_000
    assert all(length == kept for length, kept, _ in rows)
    assert sum(payload for _, _, payload in rows) >= 4_000_000
    assert "Strict time order:   True" in capinfos(path)


def _swallow(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        while connection.recv(1 << 20):
            pass


def test_many_sources_become_one_order_of_time(tmp_path: Path) -> None:
    """Six wires, both ways at once from several processors, and one that says nothing."""
    path = tmp_path / "m.pcapng"
    with quiet_namespace() as vm, quiet_namespace() as host:
        for number in range(7):
            veth(vm, f"eth{number}", f"vnet{number}", host)
        vnics = [source(host, f"vnet{n}", name=f"vm/eth{n}") for n in range(7)]
        with running(*vnics, to=path) as engine:
            ways = [(netns, f"{prefix}{n}") for n in range(6) for netns, prefix in ((vm, "eth"), (host, "vnet"))]
            threads = [threading.Thread(target=_burst, args=way) for way in ways]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            stats = engine.finished()
    assert "Strict time order:   True" in capinfos(path)
    assert stats.reordered == 0
    assert [vnic.written for vnic in stats.sources] == [4000] * 6 + [0]
    assert all(adds_up(vnic) for vnic in stats.sources)
    assert len(fields(path, "frame.number")) == 24_000


def _burst(netns: str, device: str) -> None:
    with sender(netns, device) as send:
        for number in range(2000):
            send(frame(60 + number % 1000, number))
