"""`filter`, `slice`, `split` and `info` on files of our own, judged by tcpdump, editcap, capinfos and tshark."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from support import shark
from support.captures import Packet, Pcap, Pcapng, every_block, read, tcp_frames, vxlan
from tapwright import read as reading
from tapwright.errors import CaptureError, FilterError, TapwrightError
from tapwright.read.programs import programs
from tapwright.read.verbs import By

TAPWRIGHT = [sys.executable, "-m", "tapwright"]
FRAMES = tcp_frames(60)
START = 1_795_426_215_000_000_000


def request(source: Path, target: Path | str) -> reading.Request:
    return reading.Request((str(source),), str(target), force=True)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Half of it in two tunnels, half plain, a packet every 10 ms."""
    path = tmp_path / "mixed.pcap"
    frames = [next(vxlan([f], 7 + n % 2)) if n % 4 < 2 else f for n, f in enumerate(FRAMES)]
    path.write_bytes(bytes(Pcap([Packet(data, time=START + n * 10_000_000) for n, data in enumerate(frames)])))
    return path


EXPRESSIONS = [
    "tcp port 443",
    "host 10.0.0.5",
    "not tcp port 5432",
    "udp",
    "ether src 52:54:00:00:00:05",
    "less 200",
    "",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_filter_means_the_innermost_frame(mixed: Path, tmp_path: Path, expression: str) -> None:
    inner, ours, judged = tmp_path / "inner.pcap", tmp_path / "ours.pcapng", tmp_path / "judged.pcap"
    reading.decap(request(mixed, inner)).result()
    subprocess.run(
        ["tcpdump", "-r", inner, "-w", judged, *([expression] if expression else [])], check=True, capture_output=True
    )
    found = reading.filter_file(request(mixed, ours), programs(expression)).result()
    times = [packet.time for packet in read(judged)]
    assert [packet.time for packet in read(ours)] == times
    assert (found.totals.packets, found.totals.written) == (60, len(times))
    originals = {packet.time: packet.data for packet in read(mixed)}
    assert all(packet.data == originals[packet.time] for packet in read(ours)), "packets stay wrapped"


def test_a_filter_may_be_narrowed(mixed: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.pcapng"
    assert reading.filter_file(request(mixed, target), ids=[7]).result().totals.written == 15
    assert reading.filter_file(request(mixed, target), ids=[7, 8]).result().totals.written == 30
    assert reading.filter_file(request(mixed, target), ids=[9]).result().totals.written == 0
    outer = programs("udp port 4789")
    assert reading.filter_file(request(mixed, target), programs("tcp"), outer=outer).result().totals.written == 30


def test_a_filter_on_link_types_it_means_nothing_for(tmp_path: Path) -> None:
    source, target = tmp_path / "in.pcapng", tmp_path / "out.pcapng"
    ip = Packet(FRAMES[0][14:], interface=1)
    source.write_bytes(bytes(Pcapng().section().interface(1).interface(101).packet(Packet(FRAMES[0])).packet(ip)))
    assert reading.filter_file(request(source, target), programs("tcp")).result().totals.written == 2
    found = reading.filter_file(request(source, target), programs("ether src 52:54:00:00:00:05")).result()
    assert (found.totals.written, found.no_program) == (1, ((101, 1),))


def test_ip_without_ethernet_has_no_mac_address_to_be_asked_for(tmp_path: Path) -> None:
    """As in the kernel: libpcap alone would refuse the one, and read the other from the IP header."""
    source, target = tmp_path / "in.pcapng", tmp_path / "out.pcapng"
    ip = Packet(FRAMES[0][14:])
    source.write_bytes(bytes(Pcapng().section().interface(101).packet(ip)))
    for expression, matches in (
        ("ether host 52:54:00:00:00:05 or tcp", 1),
        ("tcp and not ether src 52:54:00:00:00:05", 1),
        ("ether[0] & 1 = 0", 0),
        ("ether[0] & 1 = 1", 0),
    ):
        found = reading.filter_file(request(source, target), programs(expression)).result()
        assert (expression, found.totals.written) == (expression, matches)


def test_a_bad_filter_is_refused_before_anything_is_written(mixed: Path, tmp_path: Path) -> None:
    with pytest.raises(FilterError) as caught:
        programs("tcp port")
    assert caught.value.position is not None
    argv = [*TAPWRIGHT, "filter", str(mixed), "-f", "tcp port", "-o", str(tmp_path / "out.pcapng")]
    assert subprocess.run(argv, capture_output=True, check=False).returncode == 6
    assert list(tmp_path.iterdir()) == [mixed]


def sliced(source: Path, target: Path, **part: object) -> list[int]:
    found = reading.slice_file(request(source, target), reading.Part(**part)).result()  # type: ignore[arg-type]
    got = read(target)
    assert found.totals.written == len(got)
    return [(packet.time - START) // 10_000_000 for packet in got]


def test_slices(mixed: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.pcapng"
    assert sliced(mixed, target) == list(range(60))
    assert sliced(mixed, target, first=3) == [0, 1, 2]
    assert sliced(mixed, target, range=(5, 7)) == [4, 5, 6]
    assert sliced(mixed, target, start=(True, 100_000_000), end=(True, 130_000_000)) == [10, 11, 12]
    assert sliced(mixed, target, start=(False, START + 570_000_000)) == [57, 58, 59]
    assert sliced(mixed, target, start=(True, 10_000_000), range=(1, 4), first=2) == [1, 2]


def test_a_slice_of_lengths_is_editcaps(mixed: Path, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.pcap", tmp_path / "theirs.pcap"
    reading.slice_file(request(mixed, ours), reading.Part(snaplen=64)).result()
    subprocess.run(["editcap", "-F", "pcap", "-s", "64", mixed, theirs], check=True)
    assert ours.read_bytes()[24:] == theirs.read_bytes()[24:]
    assert struct.unpack_from("=I", ours.read_bytes(), 16) == (64,)


def test_a_slice_by_time_is_editcaps(mixed: Path, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.pcap", tmp_path / "theirs.pcap"
    begin, end = START // 10**9, START / 1e9 + 0.25
    argv = [*TAPWRIGHT, "slice", mixed, "-o", ours, "--from", str(begin), "--to", f"{end:.2f}"]
    subprocess.run(argv, check=True, capture_output=True)
    subprocess.run(["editcap", "-F", "pcap", "-A", str(begin), "-B", f"{end:.2f}", mixed, theirs], check=True)
    assert ours.read_bytes()[24:] == theirs.read_bytes()[24:]


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_copy_says_what_the_original_said(tmp_path: Path, order: str) -> None:
    """tshark finds the same in both, block by block."""
    source, target = tmp_path / "in.pcapng", tmp_path / "out.pcapng"
    source.write_bytes(bytes(every_block(order)))
    found = reading.slice_file(request(source, target), reading.Part()).result()
    names = ("frame.time_epoch", "frame.len", "frame.cap_len", "frame.comment", "frame.packet_flags_direction",
             "frame.encap_type", "data.data", "frame.interface_name", "frame.interface_description")  # fmt: skip
    packets = "frame.interface_id >= 0"  # tshark counts custom blocks as packets
    copy, original = (shark.fields(path, *names, only=packets) for path in (target, source))
    assert len(copy) == 5
    without_time = (copy[2][0], *original[2][1:])
    assert copy[:4] == [*original[:2], without_time, original[3]]
    assert copy[4][:-2] == original[4][:-2], "tshark 4.0 names the interface of another section here"
    assert copy[4][-2] == "any"
    native = order == ("<" if sys.byteorder == "little" else ">")
    assert found.totals.left_out == ((0x40000BAD, 1 if native else 2), (0x80000001, 1))
    assert b"SECRET" in target.read_bytes()
    assert b"db-3" in target.read_bytes()
    report = shark.capinfos(target)
    for said in ("eth0", "the first", "File encapsulation", "tun0", "a comment"):
        assert said in report, said


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("nano", [False, True])
def test_both_byte_orders_say_the_same(tmp_path: Path, nano: bool, extended: bool) -> None:
    said = []
    for order in "<>":
        source, target = tmp_path / f"in{order}.pcap", tmp_path / "out.pcapng"
        packets = [Packet(data, time=START + n * 1001) for n, data in enumerate(FRAMES[:5])]
        source.write_bytes(bytes(Pcap(packets, order, nano=nano, extended=extended)))
        reading.slice_file(request(source, target), reading.Part()).result()
        said.append(read(target))
    unit = 1001 if nano and not extended else 1000
    assert said[0] == said[1]
    assert [packet.time - START for packet in said[0]][1:] == [n * 1001 // unit * unit for n in range(1, 5)]


def test_what_a_file_says_of_itself(tmp_path: Path) -> None:
    source = tmp_path / "in.pcapng"
    for order in "<>":
        source.write_bytes(bytes(every_block(order)))
        found = reading.info(str(source)).result()
        assert [section.application for section in found.sections] == ["by hand", ""]
        assert [(i.name, i.link, i.amount.packets) for i in found.interfaces] == [
            ("eth0", 1, 3),
            ("tun0", 101, 1),
            ("any", 113, 1),
        ]
        first = found.interfaces[0]
        assert (first.snaplen, first.filter, first.dropped, first.comment) == (96, "tcp", 7 + 3, "adds up")
        assert first.statistics == (("received", 99), ("dropped_by_device", 2))
        assert (found.amount.packets, found.timeless, found.amount.cut) == (5, 1, 1)
        assert found.amount.first == 5
        assert found.amount.last == 1004 * 10**9
        assert dict(found.blocks) == {4: 1, 10: 1, 0x0BAD: 1, 0x40000BAD: 1, 0x80000001: 1} or order != "<"


def test_info_agrees_with_capinfos(mixed: Path) -> None:
    argv = [*TAPWRIGHT, "info", "--json", str(mixed)]
    ours = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    table = subprocess.run(["capinfos", "-TmQcdS", mixed], capture_output=True, text=True, check=True).stdout
    _, packets, size, *_ = table.splitlines()[1].replace('"', "").split(",")
    assert (ours["amount"]["packets"], ours["amount"]["wire"]) == (int(packets), int(size))
    assert ours["wrappings"] == [["vxlan 7 172.16.0.1>172.16.0.2", 15], ["vxlan 8 172.16.0.1>172.16.0.2", 15]]
    assert ours["backwards"] == 0


def test_info_for_people_has_no_control_characters(tmp_path: Path) -> None:
    source = tmp_path / "in.pcapng"
    evil = b"\x1b[2Jevil\x07"
    made = Pcapng().section((4, evil), (1, evil)).interface(1, (2, evil), (3, evil), (11, b"\0" + evil))
    source.write_bytes(bytes(made.packet(Packet(FRAMES[0]))))
    done = subprocess.run([*TAPWRIGHT, "info", str(source)], capture_output=True, check=True)
    assert done.stdout.count(b"evil") == 5
    assert not set(done.stdout) & ({*range(32)} - {10} | {127})


def parts(folder: Path) -> dict[str, int]:
    return {path.name: len(read(path)) for path in folder.iterdir()}


def test_split_by_tunnel_flow_time_and_size(mixed: Path, tmp_path: Path) -> None:
    def split(by: By, amount: int = 0, suffix: str = "pcapng") -> dict[str, int]:
        folder = tmp_path / by
        folder.mkdir()
        reading.split_file(request(mixed, f"{folder}/{{}}.{suffix}"), by, amount=amount).result()
        return parts(folder)

    assert split("vni") == {"vxlan-7.pcapng": 15, "vxlan-8.pcapng": 15, "plain.pcapng": 30}
    assert split("time", 200_000_000) == {f"20261123T093015{s}Z.pcapng": 20 for s in ("", ".2", ".4")}
    flows = split("flow", suffix="pcap")
    assert sum(flows.values()) == 60
    assert flows.keys() >= {"vxlan-7_tcp_10.0.0.5_40000_10.0.0.9_5432.pcap"}
    sizes = split("size", 4000, "pcap.gz")
    assert sum(sizes.values()) == 60
    assert min(sizes) == "00001.pcap.gz"


def test_split_by_vm_whatever_it_is_called(tmp_path: Path) -> None:
    names = ["web-1/eth0", "web-1/eth1", "db-3/eth0", "../../etc/passwd", "-rf", "a/b/eth0", "a b", "a_b", ""]
    made = Pcapng().section()
    for name in names:
        made.interface(1, (2, name.encode()))
    for number in range(len(names)):
        made.packet(Packet(FRAMES[number], interface=number))
    source, folder = tmp_path / "in.pcapng", tmp_path / "out"
    folder.mkdir()
    source.write_bytes(bytes(made))
    reading.split_file(request(source, f"{folder}/{{}}.pcapng"), "vm").result()
    got = parts(folder)
    assert got == {"web-1.pcapng": 2, "db-3.pcapng": 1, "_.._etc.pcapng": 1, "rf.pcapng": 1, "a_b.pcapng": 1,
                   "a_b~2.pcapng": 1, "a_b~3.pcapng": 1, "in-8.pcapng": 1}  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.pcapng", "out"]


def test_split_never_makes_more_files_than_allowed(tmp_path: Path) -> None:
    source, folder = tmp_path / "in.pcap", tmp_path / "out"
    folder.mkdir()
    source.write_bytes(bytes(Pcap([Packet(next(vxlan(FRAMES[:1], vni))) for vni in range(50)])))
    reading.split_file(request(source, f"{folder}/{{}}.pcap"), "vni", most=10).result()
    got = parts(folder)
    assert len(got) == 10
    assert got["rest.pcap"] == 41


def test_split_keeps_names_secrets_and_statistics(tmp_path: Path) -> None:
    source, folder = tmp_path / "in.pcapng", tmp_path / "out"
    folder.mkdir()
    source.write_bytes(bytes(every_block("<")))
    reading.split_file(request(source, f"{folder}/{{}}.pcapng"), "vm").result()
    assert sorted(parts(folder)) == ["any.pcapng", "eth0.pcapng", "tun0.pcapng"]
    for path in folder.iterdir():
        assert b"SECRET" in path.read_bytes()
        assert (b"adds up" in path.read_bytes()) == (path.name == "eth0.pcapng")
        shark.capinfos(path)


def test_a_split_that_fails_leaves_nothing_behind(mixed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "vxlan-8.pcap").touch()
    asked = reading.Request((str(mixed),), f"{folder}/{{}}.pcap")
    with pytest.raises(TapwrightError, match="exists already"):
        reading.split_file(asked, "vni").result()
    assert [path.name for path in folder.iterdir()] == ["vxlan-8.pcap"]


@pytest.mark.parametrize("argv", [
    ["split", "IN", "--by", "time", "-o", "OUT-{}"], ["split", "IN", "--by", "vni", "--each", "1M", "-o", "OUT-{}"],
    ["split", "IN", "--by", "vni", "-o", "OUT"], ["slice", "IN", "--from", "20s", "--to", "10s", "-o", "OUT"],
    ["slice", "IN", "--from", "soon", "-o", "OUT"], ["slice", "IN", "--packets", "9-3", "-o", "OUT"],
    ["decap", "IN", "-o", "OUT", "--depth", "99"], ["decap", "-", "-", "-o", "OUT"], ["filter", "IN", "-f", "tcp"],
])  # fmt: skip
def test_requests_that_mean_nothing(mixed: Path, tmp_path: Path, argv: list[str]) -> None:
    real = {"IN": str(mixed), "OUT": str(tmp_path / "out.pcapng"), "OUT-{}": str(tmp_path / "out-{}")}
    done = subprocess.run([*TAPWRIGHT, *(real.get(word, word) for word in argv)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, check=False)  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert list(tmp_path.iterdir()) == [mixed]


def test_a_full_disk(mixed: Path) -> None:
    with pytest.raises(CaptureError, match="no space"):
        reading.slice_file(request(mixed, "/dev/full"), reading.Part()).result()


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Half a gigabyte through a pipe, compressed to almost nothing, in less than 100 MB."""
    feed = "import sys,zlib\n" + (
        "c=zlib.compressobj(1,wbits=31)\nhead,record=bytes.fromhex(sys.argv[1]),bytes.fromhex(sys.argv[2])\n"
        "out=sys.stdout.buffer\nout.write(c.compress(head))\n"
        "for _ in range(500): out.write(c.compress(record*4000))\nout.write(c.flush())\n"
    )
    record = bytes(Pcap([Packet(next(vxlan(FRAMES[:1])))]))
    script = (
        "from pathlib import Path\nfrom tapwright import read\n"
        "found = read.decap(read.Request(('-',), '/dev/null')).result()\n"
        "peak = Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0]\n"
        "print(found.totals.packets, peak)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", feed, record[:24].hex(), record[24:].hex()], stdout=subprocess.PIPE
    ) as source:
        done = subprocess.run(
            [sys.executable, "-c", script], stdin=source.stdout, capture_output=True, text=True, check=True
        )
    packets, kilobytes = map(int, done.stdout.split())
    assert packets == 2_000_000
    assert kilobytes < 100_000


@pytest.mark.parametrize("verb", ["decap", "filter", "slice", "split", "info"])
def test_files_need_nothing_of_the_host(mixed: Path, tmp_path: Path, verb: str) -> None:
    """No verb on files imports what knows switches, kernels or captures: they work on any system."""
    options = {"info": [], "split": ["--by", "vni", "-o", str(tmp_path / "{}.pcap")]}
    argv = [verb, str(mixed), *options.get(verb, ["-o", str(tmp_path / "out.pcapng")])]
    script = (
        "import sys\nsys.argv[1:] = " + repr(argv) + "\n"
        "from tapwright.cli.main import tapwright\ntapwright(standalone_mode=False)\n"
        "rooms = {name.split('.')[1] for name in sys.modules if name.startswith('tapwright.')}\n"
        "print(sorted(rooms), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    rooms = set(done.stderr.splitlines()[-1].strip("[]").replace("'", "").split(", "))
    assert rooms <= {"_core", "capture", "cli", "errors", "filter", "find", "model", "read", "signals", "text", "units"}
