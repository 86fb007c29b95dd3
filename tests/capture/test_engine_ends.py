"""How a capture ends: counts, sizes, times, and being told to."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.blocks import STATISTICS, blocks
from tests.support.packets import sender
from tests.support.shark import capinfos, packets
from tests.support.wires import Wire, adds_up, frame, frames, running, until, wire

from tapwright import _core
from tapwright.capture.request import Limits, Output, Section

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def w() -> Iterator[Wire]:
    with wire() as made:
        yield made


def test_a_count(w: Wire, tmp_path: Path) -> None:
    """Exact in the file, and the kernel is stopped soon after: it copied no more than a small ring holds."""
    path = tmp_path / "c.pcapng"
    with running(w.source(), to=path, packets=10) as engine, sender(w.vm, "eth0") as send:
        sent = 0
        while not engine.engine.wait(0):
            send(frame(1400))
            sent += 1
        stats = engine.ended()
    (vnic,) = stats.sources
    assert stats.ended == "count"
    assert (vnic.written, packets(path)) == (10, 10)
    assert adds_up(vnic)
    assert vnic.beyond_limit <= (1 << 20) // 1400
    assert vnic.port_packets is not None
    assert vnic.port_packets <= sent


@pytest.mark.parametrize("heaps", [False, True])
def test_a_size(w: Wire, tmp_path: Path, heaps: bool) -> None:
    path, limit = tmp_path / "s.pcapng", 50_000
    with running(w.source(), to=path, bytes=limit) as engine, sender(w.vm, "eth0") as send:
        for each in frames(100, 1400):
            send(each)
            time.sleep(0 if heaps else 0.001)
        stats = engine.ended()
    assert stats.ended == "size"
    assert limit - 3000 < path.stat().st_size <= limit
    assert stats.file_bytes == path.stat().st_size
    capinfos(path)
    assert [kind for kind, _ in blocks(path.read_bytes())][-1] == STATISTICS
    (vnic,) = stats.sources
    assert vnic.written == packets(path)
    assert vnic.beyond_limit > 0
    assert adds_up(vnic)


def test_a_time(w: Wire, tmp_path: Path) -> None:
    with running(w.source(), to=tmp_path / "t.pcapng", seconds=0.3) as engine:
        w.from_vm(frame())
        stats = engine.ended()
    assert stats.ended == "time"
    assert stats.elapsed >= 0.3
    assert stats.sources[0].written == 1


def test_a_time_in_steady_traffic(w: Wire, tmp_path: Path) -> None:
    with running(w.source(), to=tmp_path / "t.pcapng", seconds=0.3) as engine, sender(w.vm, "eth0") as send:
        while not engine.engine.wait(0):
            for _ in range(50):
                send(frame(300))
        stats = engine.ended()
    assert stats.ended == "time"
    assert adds_up(stats.sources[0])


def test_being_told_twice_or_before_the_start(w: Wire, tmp_path: Path) -> None:
    engine = _core.Engine([w.source()], Section(), Output(path=str(tmp_path / "a")), Limits())
    w.from_vm(*frames(5))
    engine.stop()
    engine.stop()
    assert not engine.wait(0)
    engine.start()
    engine.start()
    assert engine.wait(20)
    assert engine.stats().sources[0].written == 5, "packets count from the opening"
    engine.stop()
    assert packets(tmp_path / "a") == 5


def test_an_engine_that_is_dropped_completes_its_file(w: Wire, tmp_path: Path) -> None:
    engine = _core.Engine([w.source()], Section(), Output(path=str(tmp_path / "a")), Limits())
    engine.start()
    w.from_vm(*frames(5))
    del engine
    assert packets(tmp_path / "a") == 5
    assert [kind for kind, _ in blocks((tmp_path / "a").read_bytes())][-1] == STATISTICS


def test_counters_are_known_while_it_runs(w: Wire, tmp_path: Path) -> None:
    with running(w.source(), to=tmp_path / "a") as engine:
        assert (engine.stats.running, engine.stats.ended) == (True, "")
        w.from_vm(*frames(5))
        until(lambda: engine.stats.sources[0].written == 5, "the count")
        until(lambda: (tmp_path / "a").stat().st_size == engine.stats.file_bytes > 500, "the file")
        until(lambda: engine.stats.sources[0].port_packets == 5, "the port's own count")
        assert engine.stats.files == [str(tmp_path / "a")]
        assert not engine.finished().running
