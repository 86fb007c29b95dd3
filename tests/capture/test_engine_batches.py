"""Packets as columns."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.shark import fields
from tests.support.wires import Running, Wire, adds_up, frame, frames, running, wire

from tapwright import _core
from tapwright.capture.request import Output

pytestmark = pytest.mark.root


@pytest.fixture
def w() -> Iterator[Wire]:
    with wire() as made:
        yield made


def drained(engine: Running) -> list[_core.Batch]:
    found = []
    while batch := engine.engine.next_batch(0):
        found.append(batch)
    return found


def test_columns_agree_with_a_file(w: Wire, tmp_path: Path) -> None:
    path = tmp_path / "b.pcapng"
    with running(w.source(), to=path, snaplen=80), running(w.source(), to=Output(batches=True), snaplen=80) as engine:
        w.from_vm(*[frame(60 + number % 50, number) for number in range(500)])
        w.to_vm(*frames(100, 80))
        engine.finished()
    seen = [
        (batch.length[n], batch.captured[n], batch.direction[n], data(batch, n)[14:].hex())
        for batch in drained(engine)
        for n in range(len(batch))
    ]
    rows = fields(path, "frame.len", "frame.cap_len", "frame.packet_flags_direction", "data.data")
    assert seen == [(int(length), int(kept), int(way, 0), text) for length, kept, way, text in rows]


def data(batch: _core.Batch, n: int) -> bytes:
    start = batch.offset[n]
    return bytes(batch.data[start : start + batch.captured[n]])


def test_columns_are_typed_and_read_only(w: Wire) -> None:
    with running(w.source(), to=Output(batches=True)) as engine:
        w.from_vm(*frames(3))
        engine.finished()
    (batch,) = drained(engine)
    columns = {name: getattr(batch, name) for name in ("time", "source", "direction", "length", "captured", "offset")}
    assert {name: column.format for name, column in columns.items()} == {
        "time": "q", "source": "I", "direction": "B", "length": "I", "captured": "I", "offset": "Q",
    }  # fmt: skip
    assert all(column.shape == (3,) and column.readonly for column in columns.values())
    assert (batch.data.format, batch.data.readonly, len(batch.data)) == ("B", True, 180)
    assert list(batch.time) == sorted(batch.time)
    assert engine.stats.sources[0].first_ns == batch.time[0]


def test_a_reader_that_is_too_slow_costs_packets_not_memory(w: Wire) -> None:
    with running(w.source(), to=Output(batches=True)) as engine:
        for _ in range(8):
            w.from_vm(*frames(2000, 1500))
        (stats,) = engine.finished().sources
    assert stats.engine_dropped > 0
    assert sum(len(batch) for batch in drained(engine)) == stats.written
    assert adds_up(stats)
