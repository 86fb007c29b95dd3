"""`tapwright decap` on files of our own: the innermost frames, their wrappings, and what stays."""

import json
import random
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import shark
from support.captures import Packet, Pcap, Pcapng, Read, read, tcp_frames, vxlan
from tapwright import read as reading
from tapwright.errors import TapwrightError, UsageError
from tapwright.read.verbs import RawIp

TAPWRIGHT = [sys.executable, "-m", "tapwright"]
FRAMES = tcp_frames(40)


def unwrapped(source: Path, target: Path, **options: object) -> reading.Decapped:
    request = reading.Request((str(source),), str(target), force=True)
    return reading.decap(request, **options).result()


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    path = tmp_path / "uplink.pcap"
    path.write_bytes(bytes(Pcap([Packet(data, time=10**18 + n * 10**6) for n, data in enumerate(vxlan(FRAMES))])))
    return path


def test_the_same_as_chopping_a_fixed_offset_where_that_is_right(overlay: Path, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.pcap", tmp_path / "theirs.pcap"
    unwrapped(overlay, ours)
    subprocess.run(["editcap", "-F", "pcap", "-C", "50", "-L", str(overlay), str(theirs)], check=True)
    assert ours.read_bytes()[24:] == theirs.read_bytes()[24:]


def test_one_interface_for_each_wrapping_named_after_it(tmp_path: Path) -> None:
    source, target = tmp_path / "in.pcap", tmp_path / "out.pcapng"
    packets = [*vxlan(FRAMES[:3], 7), *vxlan(FRAMES[3:5], 8), FRAMES[5], *vxlan(FRAMES[6:7], 7)]
    source.write_bytes(bytes(Pcap([Packet(data) for data in packets])))
    found = unwrapped(source, target)
    assert (found.unwrapped, found.wrappings, found.layers) == (6, 2, (("vxlan", 6),))
    names = [packet.interface for packet in read(target)]
    seven, eight = ("vxlan 7 172.16.0.1>172.16.0.2", "vxlan 8 172.16.0.1>172.16.0.2")
    assert names == [seven] * 3 + [eight] * 2 + [""] + [seven]
    assert [packet.data for packet in read(target)] == FRAMES[:7]
    assert seven in shark.capinfos(target)


def test_erspan_keeps_direction_and_index(tmp_path: Path) -> None:
    def mirrored(protocol: int, header: bytes) -> bytes:
        gre = struct.pack("!HHI", 0x1000, protocol, 1) + header + FRAMES[0]
        head = struct.pack("!BBHHHBBH", 0x45, 0, len(gre) + 20, 1, 0, 64, 47, 0) + bytes([10, 9, 0, 1, 10, 9, 0, 2])
        return bytes(12) + b"\x08\x00" + head + gre

    two = struct.pack("!HHI", 0x1001, 100, 0xABC)
    inwards = struct.pack("!HHIHH", 0x2001, 101, 7, 0, 0)
    outwards = struct.pack("!HHIHH", 0x2001, 101, 7, 0, 8)
    source, target = tmp_path / "in.pcap", tmp_path / "out.pcapng"
    packets = [mirrored(0x88BE, two), mirrored(0x22EB, inwards), mirrored(0x22EB, outwards)]
    source.write_bytes(bytes(Pcap([Packet(data) for data in packets])))
    unwrapped(source, target)
    got = [(packet.interface, packet.flags) for packet in read(target)]
    third = "erspan3 101 10.9.0.1>10.9.0.2"
    assert got == [("erspan2 100 index 2748 10.9.0.1>10.9.0.2", 0), (third, 1), (third, 2)]


@pytest.mark.parametrize(("name", "raw_ip", "link", "head"), [
    ("o.pcapng", None, 101, b""), ("o.pcap", None, 1, bytes(12) + b"\x08\x00"),
    ("o.pcapng", "ethernet", 1, bytes(12) + b"\x08\x00"), ("o.pcap", "raw", 101, b""),
])  # fmt: skip
def test_raw_ip_as_asked_or_as_the_file_can_hold_it(
    tmp_path: Path, name: str, raw_ip: RawIp | None, link: int, head: bytes
) -> None:
    ip = FRAMES[0][14:]
    gre = struct.pack("!HH", 0, 0x0800) + ip
    outer = struct.pack("!BBHHHBBH", 0x45, 0, len(gre) + 20, 1, 0, 64, 47, 0) + bytes([1, 1, 1, 1, 2, 2, 2, 2])
    source, target = tmp_path / "in.pcap", tmp_path / name
    source.write_bytes(bytes(Pcap([Packet(bytes(12) + b"\x08\x00" + outer + gre)])))
    unwrapped(source, target, raw_ip=raw_ip)
    assert [(packet.link, packet.data) for packet in read(target)] == [(link, head + ip)]


def test_link_types_that_pcap_cannot_hold_together(tmp_path: Path) -> None:
    source, target = tmp_path / "in.pcapng", tmp_path / "out.pcap"
    can = Packet(bytes(16), interface=1)
    source.write_bytes(bytes(Pcapng().section().interface(1).interface(227).packet(Packet(FRAMES[0])).packet(can)))
    with pytest.raises(TapwrightError, match="one link type") as caught:
        unwrapped(source, target)
    assert "pcapng" in caught.value.hint
    assert list(tmp_path.iterdir()) == [source]


def test_reasons_are_counted_with_numbers(tmp_path: Path) -> None:
    source = tmp_path / "in.pcap"
    whole = next(vxlan(FRAMES[:1]))
    cut = [Packet(whole[:length], wire=len(whole)) for length in (44, 45, 55)]
    source.write_bytes(bytes(Pcap([Packet(whole), *cut])))
    found = unwrapped(source, tmp_path / "out.pcapng")
    reasons = [(s.layer, s.reason, s.packets, s.first, s.offset, s.detail) for s in found.stuck]
    assert reasons == [("vxlan", "cut", 3, 2, 42, "needs 8 bytes, has 2")]
    assert [packet.data for packet in read(tmp_path / "out.pcapng")][1:] == [packet.data for packet in cut]


def test_several_files_merge_in_order_of_time(tmp_path: Path) -> None:
    names = []
    for number in range(3):
        path = tmp_path / f"host-{number}.pcap"
        packets = [
            Packet(data, time=10**18 + (i * 3 + number) * 1000) for i, data in enumerate(vxlan(FRAMES[:9], number))
        ]
        path.write_bytes(bytes(Pcap(packets)))
        names.append(str(path))
    target = tmp_path / "all.pcapng"
    found = reading.decap(reading.Request(tuple(names), str(target))).result()
    got = read(target)
    assert [packet.time for packet in got] == sorted(packet.time for packet in got)
    assert len(got) == found.totals.packets == 27
    assert [number.packets for number in found.totals.inputs] == [9, 9, 9]


@pytest.mark.parametrize("suffix", [".pcapng", ".pcap", ".pcapng.gz", ".pcap.zst", ".pcapng.lz4", ".cap.gz"])
def test_suffixes_choose_layout_and_compression(overlay: Path, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"out{suffix}"
    unwrapped(overlay, target)
    assert [packet.data for packet in read(target)] == FRAMES
    again = tmp_path / "again.pcapng"
    unwrapped(target, again)
    assert [packet.data for packet in read(again)] == FRAMES


def test_a_chosen_port_replaces_the_usual_ones(tmp_path: Path) -> None:
    source = tmp_path / "in.pcap"
    source.write_bytes(bytes(Pcap([Packet(data) for data in [*vxlan(FRAMES[:1], port=5555), *vxlan(FRAMES[1:2])]])))
    found = unwrapped(source, tmp_path / "out.pcapng", unwrap=reading.Unwrap(vxlan=(5555,)))
    assert found.unwrapped == 1
    assert unwrapped(source, tmp_path / "out.pcapng", unwrap=reading.Unwrap(depth=0)).unwrapped == 0


def test_through_pipes_as_people_do(overlay: Path) -> None:
    argv = [*TAPWRIGHT, "decap", "-", "-o", "-"]
    with overlay.open("rb") as source:
        done = subprocess.run(argv, stdin=source, capture_output=True, check=True, timeout=60)
    assert b"40 unwrapped" in done.stderr
    shown = subprocess.run(["tcpdump", "-r", "-", "-n"], input=done.stdout, capture_output=True, check=True)
    assert len(shown.stdout.splitlines()) == 40


def test_a_live_pipe_is_not_kept_waiting() -> None:
    """What was captured reaches the reader although the capture goes on."""
    argv = [*TAPWRIGHT, "decap", "-", "-o", "-"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(bytes(Pcap([Packet(data) for data in vxlan(FRAMES[:2])])))
        process.stdin.flush()
        got = b""
        while FRAMES[1] not in got:
            chunk = process.stdout.read1(65536)
            assert chunk, "it ended too early"
            got += chunk
        process.stdin.close()
        assert process.wait(30) == 0


def test_json_and_exit_codes(overlay: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.pcapng"
    argv = [*TAPWRIGHT, "decap", str(overlay), "-o", str(target), "--json"]
    said = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    assert (said["unwrapped"], said["wrappings"], said["totals"]["written"]) == (40, 1, 40)
    refused = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "--force" in refused.stderr


def test_a_damaged_file_gives_all_before_the_damage(overlay: Path, tmp_path: Path) -> None:
    whole = overlay.read_bytes()
    overlay.write_bytes(whole[: len(whole) - 10])
    target = tmp_path / "out.pcapng"
    argv = [*TAPWRIGHT, "decap", str(overlay), "-o", str(target)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert "damaged at byte" in done.stderr
    assert len(read(target)) == 39


def test_what_cannot_be_done_leaves_nothing_behind(overlay: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no-such"):
        unwrapped(tmp_path / "no-such.pcap", tmp_path / "out.pcapng")
    with pytest.raises(TapwrightError, match="neither pcap nor pcapng"):
        unwrapped(Path(__file__), tmp_path / "out.pcapng")
    with pytest.raises(UsageError):
        unwrapped(overlay, tmp_path / "no" / "folder.pcapng")
    assert list(tmp_path.iterdir()) == [overlay]


def test_the_output_may_be_the_input(overlay: Path) -> None:
    unwrapped(overlay, overlay)
    assert [packet.data for packet in read(overlay)] == FRAMES


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    """Also while nothing comes out of the pipe it reads."""
    argv = [*TAPWRIGHT, "decap", "-", "-o", str(tmp_path / "out.pcapng")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin
        process.stdin.write(bytes(Pcap([Packet(data) for data in vxlan(FRAMES)])))
        process.stdin.flush()
        while not list(tmp_path.glob(".out*.part")):
            assert process.poll() is None
        process.send_signal(number)
        assert process.wait(30) == 130
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32), flips=st.integers(0, 12), cut=st.integers(0, 400))
def test_whatever_the_bytes_a_frame_is_part_of_its_packet(
    tmp_path_factory: pytest.TempPathFactory, seed: int, flips: int, cut: int
) -> None:
    rng = random.Random(seed)
    packets = []
    for data in vxlan(vxlan(tcp_frames(6, 60), 9), 5):
        changed = bytearray(data)
        for _ in range(flips):
            changed[rng.randrange(120)] ^= 1 << rng.randrange(8)
        packets.append(Packet(bytes(changed[: len(changed) - min(cut, len(changed))]), wire=len(data)))
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "in.pcap").write_bytes(bytes(Pcap(packets)))
    found = unwrapped(folder / "in.pcap", folder / "out.pcapng")
    got: list[Read] = read(folder / "out.pcapng")
    assert len(got) == len(packets) == found.totals.written
    for packet, frame in zip(packets, got, strict=True):
        assert frame.data in packet.data
        # The first fragment of a datagram tells the length of the whole.
        assert len(frame.data) <= frame.wire <= max(packet.length, 0xFFFF)
