"""Every packet is accounted for, whatever happens to it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.blocks import drop_counts, statistics
from tests.support.netns import ip
from tests.support.packets import sender
from tests.support.repeating import repeating
from tests.support.shark import packets
from tests.support.vnics import quiet_namespace
from tests.support.wires import Wire, adds_up, frame, frames, running, source, until, wire

from tapwright.capture.request import Output

pytestmark = pytest.mark.root


@pytest.fixture
def w() -> Iterator[Wire]:
    with wire() as made:
        yield made


@pytest.mark.parametrize("count", [0, 1, 7, 500])
def test_exact_on_a_quiet_wire(w: Wire, tmp_path: Path, count: int) -> None:
    path = tmp_path / "q.pcapng"
    with running(w.source(), to=path) as engine:
        w.from_vm(*frames(count))
        (stats,) = engine.finished().sources
    assert (stats.port_packets, stats.accepted, stats.written) == (count, count, count)
    assert packets(path) == count
    (block,) = statistics(path)
    received, accepted, dropped, delivered = (int.from_bytes(block[code], "little") for code in (4, 6, 7, 8))
    assert (received, accepted, dropped, delivered) == (count, count, 0, count)


def test_opening_and_ending_in_full_traffic_misses_hardly_any(w: Wire, tmp_path: Path) -> None:
    """The port's count and ours begin and end within microseconds of each other, not with the making of a ring."""
    gaps = []
    with sender(w.vm, "eth0") as send, repeating(lambda: [send(frame()) for _ in range(100)]):
        for number in range(5):
            with running(w.source(), to=tmp_path / f"{number}.pcapng") as engine:
                until(lambda e=engine: e.stats.sources[0].written > 2000, "packets")
                (stats,) = engine.finished().sources
            assert adds_up(stats)
            assert stats.port_packets is not None
            gaps.append(abs(stats.port_packets - stats.accepted))
    assert sorted(gaps)[2] < 200, gaps


def test_overload_is_told_beside_the_packet_behind_it(w: Wire, tmp_path: Path) -> None:
    """A pipe that nobody reads holds the engine up until the ring is full."""
    read_end, write_end = os.pipe()
    path = tmp_path / "o.pcapng"
    with running(w.source(), to=Output(fd=write_end), buffer=1 << 20) as engine:
        os.close(write_end)
        w.from_vm(*frames(4000, 1500))
        with path.open("wb") as out, subprocess.Popen(["cat"], stdin=read_end, stdout=out) as copy:
            os.close(read_end)
            until(lambda: path.stat().st_size > 2_000_000, "what the pipe held back")
            w.from_vm(*frames(10, 90))
            (stats,) = engine.finished().sources
            copy.wait(20)
    assert stats.kernel_dropped > 0
    assert stats.engine_dropped == 0
    assert stats.port_packets == 4010 == stats.written + stats.kernel_dropped
    told = drop_counts(path)
    assert (len(told), sum(told)) == (stats.written, stats.kernel_dropped)


QUEUE = 1000
"""Packets that a tap's queue holds."""


@pytest.mark.parametrize("taken", [False, True])
def test_what_waits_in_a_taps_queue_is_not_counted_yet(tmp_path: Path, taken: bool) -> None:
    """Seen on its way to the guest; counted when the guest takes it, or when the full queue refuses it."""
    guest = (
        "import fcntl, os, struct, sys\n"
        "fd = os.open('/dev/net/tun', os.O_RDWR)\n"
        "fcntl.ioctl(fd, 0x400454CA, struct.pack('16sH22x', b'tap0', 0x1002))\n"
        "print(flush=True)\n"
        "for line in sys.stdin:\n"
        "    for _ in range(int(line)): os.read(fd, 2000)\n"
        "    print(flush=True)"
    )
    with quiet_namespace() as host:
        ip("tuntap", "add", "tap0", "mode", "tap", netns=host)
        argv = ["ip", "netns", "exec", host, sys.executable, "-c", guest]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdout.readline()
            ip("link", "set", "tap0", "up", netns=host)
            with running(source(host, "tap0"), to=tmp_path / "t.pcapng") as engine:
                with sender(host, "tap0") as send:
                    for each in frames(1500):
                        send(each)
                process.stdin.write(b"%d\n" % (QUEUE if taken else 0))
                process.stdin.flush()
                process.stdout.readline()
                (stats,) = engine.finished().sources
            process.communicate()
    assert stats.written == 1500
    assert stats.port_packets == 1500 if taken else 1500 - QUEUE
