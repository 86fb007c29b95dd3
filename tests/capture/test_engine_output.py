"""Outputs and what happens to them: rings of files, full disks, pipes, descriptors, kill -9."""

import contextlib
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.blocks import PACKET, SECTION, STATISTICS, blocks, statistics
from tests.support.netns import ifindex
from tests.support.packets import sender
from tests.support.shark import capinfos, fields, packets
from tests.support.wires import OURS, Wire, adds_up, frame, frames, path_of, running, wire

from tapwright.capture.request import Output

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def w() -> Iterator[Wire]:
    with wire() as made:
        yield made


def kinds(path: Path) -> list[int]:
    return [kind for kind, _ in blocks(path.read_bytes())]


def test_a_ring_of_files_keeps_the_newest(w: Wire, tmp_path: Path) -> None:
    output = Output(path=str(tmp_path / "ring.pcapng"), ring_bytes=20_000, ring_files=3)
    with running(w.source(), to=output) as engine:
        for start in range(0, 200, 10):
            w.from_vm(*frames(10, 1000, start))
            time.sleep(0.01)
        stats = engine.finished()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [str(tmp_path / name) for name in names] == stats.files
    assert len(names) == 3
    assert all(re.fullmatch(r"ring_\d{5}_\d{14}\.pcapng", name) for name in names)
    assert [int(name[5:10]) for name in names] == list(range(int(names[0][5:10]), int(names[0][5:10]) + 3))
    rows = []
    for name in names:
        path = tmp_path / name
        capinfos(path)
        assert path.stat().st_size <= 20_000
        assert kinds(path)[0] == SECTION
        assert kinds(path)[-1] == STATISTICS
        rows += [int(row[0][:8], 16) for row in fields(path, "data.data")]
    assert rows == list(range(200 - len(rows), 200))
    assert stats.sources[0].written == 200
    assert stats.file_bytes > 200_000


def test_a_ring_without_end_keeps_all(w: Wire, tmp_path: Path) -> None:
    with running(w.source(), to=Output(path=str(tmp_path / "all"), ring_bytes=20_000)):
        w.from_vm(*frames(100, 1000))
    assert sum(packets(path) for path in tmp_path.iterdir()) == 100
    assert len(list(tmp_path.iterdir())) > 4


@contextmanager
def tiny_disk(folder: Path, size: int) -> Iterator[Path]:
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tapwright-test", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("pause", [0, 0.003])
def test_a_full_disk_ends_the_capture_with_a_whole_file(w: Wire, tmp_path: Path, pause: float) -> None:
    """Whether packets come in heaps or one by one: the file has its statistics, and the rest is counted as lost."""
    with tiny_disk(tmp_path, 256 << 10) as disk:
        path = disk / "full.pcapng"
        with running(w.source(), to=path) as engine, sender(w.vm, "eth0") as send:
            for each in frames(400, 1400):
                send(each)
                time.sleep(pause)
            stats = engine.ended()
        assert stats.ended == "disk full"
        assert kinds(path)[-1] == STATISTICS
        assert capinfos(path)
        (vnic,) = stats.sources
        assert vnic.written == packets(path) > 100
        assert vnic.engine_dropped > 0
        assert adds_up(vnic)
        assert stats.file_bytes == path.stat().st_size
        numbers = [int(row[0][:8], 16) for row in fields(path, "data.data")]
        assert numbers == list(range(len(numbers)))


def test_a_full_disk_between_two_files_of_a_ring(w: Wire, tmp_path: Path) -> None:
    with tiny_disk(tmp_path, 64 << 10) as disk:
        output = Output(path=str(disk / "r"), ring_bytes=30_000, ring_files=9)
        with running(w.source(), to=output) as engine:
            w.from_vm(*frames(200, 1000))
            stats = engine.ended()
        assert stats.ended == "disk full"
        assert sum(packets(path) for path in disk.iterdir()) == stats.sources[0].written
        assert sorted(map(str, disk.iterdir())) == stats.files
        for path in disk.iterdir():
            assert kinds(path)[-1] == STATISTICS
        assert adds_up(stats.sources[0])


def test_no_room_for_the_first_block_leaves_no_file(w: Wire, tmp_path: Path) -> None:
    with tiny_disk(tmp_path, 4096) as disk:
        (disk / "filler").write_bytes(bytes(4096))
        with pytest.raises(OSError, match="No space left") as caught:
            running(w.source(), to=disk / "no.pcapng").__enter__()
        assert caught.value.filename == str(disk / "no.pcapng")
        assert [path.name for path in disk.iterdir()] == ["filler"]


def test_a_file_size_limit_of_the_system_is_a_full_disk(w: Wire, tmp_path: Path) -> None:
    path = tmp_path / "limited.pcapng"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with running(w.source(), to=path) as engine:
            w.from_vm(*frames(200, 1400))
            stats = engine.ended()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)
    assert stats.ended == "disk full"
    assert packets(path) == stats.sources[0].written
    assert kinds(path)[-1] == STATISTICS


def test_a_reader_that_goes_ends_the_capture(w: Wire) -> None:
    read_end, write_end = os.pipe()
    with running(w.source(), to=Output(fd=write_end)) as engine:
        os.close(write_end)
        w.from_vm(*frames(3))
        while os.read(read_end, 1 << 16).count(bytes.fromhex(OURS)) == 0:
            pass
        os.close(read_end)
        w.from_vm(*frames(3))
        stats = engine.ended()
    assert stats.ended == "output gone"
    assert adds_up(stats.sources[0])


def test_a_reader_that_goes_from_a_quiet_wire_ends_it_too(w: Wire) -> None:
    """Nothing is written that could fail."""
    read_end, write_end = os.pipe()
    with running(w.source(), to=Output(fd=write_end)) as engine:
        os.close(write_end)
        os.read(read_end, 1 << 16)
        os.close(read_end)
        assert engine.ended().ended == "output gone"


@pytest.mark.parametrize("how", ["stopped", "time"])
def test_a_reader_that_hangs_cannot_hold_the_end(w: Wire, how: str) -> None:
    """What it never took is lost, and counted."""
    read_end, write_end = os.pipe()
    with running(w.source(), to=Output(fd=write_end), seconds=0.5 if how == "time" else 0) as engine:
        os.close(write_end)
        for _ in range(3):
            w.from_vm(*frames(1000, 1400))
        stats = engine.finished() if how == "stopped" else engine.ended()
    taken = len([kind for kind, _ in blocks(os.read(read_end, 1 << 22)) if kind == PACKET])
    os.close(read_end)
    assert stats.ended == "output gone"
    (vnic,) = stats.sources
    assert vnic.written == taken
    assert vnic.engine_dropped > 0
    assert adds_up(vnic)


def test_a_slow_reader_gets_all(w: Wire, tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    got = bytearray()

    def read() -> None:
        while chunk := os.read(read_end, 20_000):
            got.extend(chunk)
            time.sleep(0.001)

    thread = threading.Thread(target=read)
    with running(w.source(), to=Output(fd=write_end)) as engine:
        os.close(write_end)
        thread.start()
        w.from_vm(*frames(2000, 1400))
        stats = engine.finished()
    thread.join()
    os.close(read_end)
    assert stats.sources[0].written == 2000
    (tmp_path / "slow.pcapng").write_bytes(got)
    assert packets(tmp_path / "slow.pcapng") == 2000


def test_a_fifo(w: Wire, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen(["tshark", "-n", "-r", str(fifo), "-T", "fields", "-e", "frame.len"], stdout=-1) as shark:
        fd = os.open(fifo, os.O_WRONLY)
        with running(w.source(), to=Output(fd=fd)):
            os.close(fd)
            w.from_vm(*frames(5, 77))
        out, _ = shark.communicate(timeout=30)
    assert out.split() == [b"77"] * 5


def test_a_socket(w: Wire, tmp_path: Path) -> None:
    near, far = socket.socketpair()
    with running(w.source(), to=Output(fd=near.fileno())):
        near.close()
        w.from_vm(*frames(9))
    with far, (tmp_path / "s.pcapng").open("wb") as out:
        while chunk := far.recv(1 << 16):
            out.write(chunk)
    assert packets(tmp_path / "s.pcapng") == 9


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND])
def test_a_descriptor_of_a_regular_file(w: Wire, tmp_path: Path, flags: int) -> None:
    """As of ``{ echo before; tapwright capture -w -; echo after; } > file``: each writes behind the other."""
    path = tmp_path / "shared"
    fd = os.open(path, flags | os.O_CREAT)
    os.write(fd, b"before\n")
    with running(w.source(), to=Output(fd=fd)) as engine:
        w.from_vm(*frames(300, 1400))
        stats = engine.finished()
    os.write(fd, b"after\n")
    os.close(fd)
    data = path.read_bytes()
    assert data.startswith(b"before\n")
    assert data.endswith(b"after\n")
    assert stats.file_bytes == len(data) - 13
    (tmp_path / "inner.pcapng").write_bytes(data[7:-6])
    assert packets(tmp_path / "inner.pcapng") == 300


def test_a_full_disk_behind_a_descriptor(w: Wire, tmp_path: Path) -> None:
    with tiny_disk(tmp_path, 256 << 10) as disk:
        fd = os.open(disk / "out", os.O_WRONLY | os.O_CREAT)
        with running(w.source(), to=Output(fd=fd)) as engine:
            os.close(fd)
            w.from_vm(*frames(400, 1400))
            stats = engine.ended()
        assert stats.ended == "disk full"
        assert packets(disk / "out") == stats.sources[0].written
        assert statistics(disk / "out")


def test_a_file_is_its_owners_alone_and_never_a_link(w: Wire, tmp_path: Path) -> None:
    path, link = tmp_path / "own.pcapng", tmp_path / "link"
    with running(w.source(), to=Output(path=str(path), owner=(65534, 65534))):
        pass
    assert path.stat().st_mode & 0o777 == 0o600
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)
    link.symlink_to(tmp_path / "elsewhere")
    for overwrite in (False, True):
        with pytest.raises(OSError, match=r"File exists|symbolic links"):
            running(w.source(), to=Output(path=str(link), overwrite=overwrite)).__enter__()
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(FileExistsError):
        running(w.source(), to=path).__enter__()
    with running(w.source(), to=Output(path=str(path), overwrite=True)):
        w.from_vm(frame())
    assert packets(path) == 1


_VICTIM = """
import sys
from tapwright import _core
from tapwright.capture.request import Limits, Output, Section, Source
source = Source("vm/eth0", "", "vnet0", int(sys.argv[2]), netns=sys.argv[1])
engine = _core.Engine([source], Section(), Output(path=sys.argv[3]), Limits())
engine.start()
print(flush=True)
engine.wait()
"""


def test_kill_nine_leaves_a_readable_file(w: Wire, tmp_path: Path) -> None:
    """Up to the last complete block: at most the last packet is cut short."""
    rng = random.Random(7)
    with sender(w.vm, "eth0") as send:
        for number in range(8):
            path = tmp_path / f"{number}.pcapng"
            argv = [sys.executable, "-c", _VICTIM, path_of(w.host), str(ifindex(w.host, "vnet0")), str(path)]
            with subprocess.Popen(argv, stdout=subprocess.PIPE) as victim:
                assert victim.stdout is not None
                victim.stdout.readline()
                end = time.monotonic() + 0.1 + rng.random() / 10
                while time.monotonic() < end:
                    with contextlib.suppress(BlockingIOError):
                        send(frame(1400))
                victim.kill()
            argv = ["tshark", "-n", "-r", str(path), "-T", "fields", "-e", "frame.len"]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            assert set(done.stdout.split()) == {"1400"}
            complaints = [line for line in done.stderr.splitlines() if "Running as user" not in line and line.strip()]
            assert all("cut short" in line for line in complaints), complaints
