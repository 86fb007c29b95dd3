"""Stepping down and up while packets come: the filter is replaced live, the ledger adds up, the file tells."""

import bisect
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.blocks import statistics
from tests.support.shark import capinfos, fields
from tests.support.wires import Wire, adds_up, frames, running, until, wire

from tapwright.adapters import attach
from tapwright.capture.governor import Level
from tapwright.capture.level import filters
from tapwright.capture.request import Source
from tapwright.filter.compile import compile_filter
from tapwright.filter.program import Instruction, Program

pytestmark = pytest.mark.root
WHOLE = 262_144


@pytest.fixture
def w() -> Iterator[Wire]:
    with wire() as made:
        yield made


def lowered(source: Source, level: Level, snaplen: int = WHOLE) -> tuple[list[tuple[bytes, int]], bool, str]:
    return filters([source], level, snaplen), level is not Level.FULL, f"to {level}"


def comments(path: Path) -> list[tuple[str, str]]:
    """(number, comment) of the packets that have one."""
    return [found for found in fields(path, "frame.number", "frame.comment") if found[1]]  # type: ignore[misc]


def ledger_of(path: Path) -> str:
    (block,) = statistics(path)
    return block[1].decode()


def test_each_level_keeps_what_it_says_and_the_original_length(w: Wire, tmp_path: Path) -> None:
    path, source = tmp_path / "s.pcapng", w.source()
    levels = (Level.SLICED, Level.HEADERS, Level.FULL)
    with running(source, to=path) as engine:
        w.from_vm(*frames(10, 1000))
        until(lambda: engine.stats.sources[0].written == 10, "the first ones")
        for number, level in enumerate(levels, start=2):
            engine.engine.step(*lowered(source, level))
            until(lambda s=source, n=number: _is_in_force(w, engine, n), "the step")  # type: ignore[misc]
        (stats,) = engine.finished().sources
    found = fields(path, "frame.cap_len", "frame.len")
    assert {length for _, length in found} == {"1000"}
    kept = [int(captured) for captured, _ in found]
    assert {256, 96, 1000} == set(kept)
    assert kept == sorted(kept[: kept.index(96)], reverse=True) + sorted(kept[kept.index(96) :])
    assert [comment for _, comment in comments(path)] == ["to sliced", "to headers", "to full"]
    assert adds_up(stats)
    assert stats.port_packets == stats.written
    assert stats.cut == sum(captured < 1000 for captured in kept)
    assert stats.whole_bytes == 1000 * stats.written
    assert f"; {stats.cut} cut short" in ledger_of(path)
    assert "Number of packets:" in capinfos(path)


def _is_in_force(w: Wire, engine, number: int) -> bool:
    """Some packets more, and whether what is kept of them has changed."""
    before = engine.stats.sources[0]
    w.from_vm(*frames(5, 1000))
    until(lambda: engine.stats.sources[0].written == before.written + 5, "five more")
    after = engine.stats.sources[0]
    wanted = {2: 256, 3: 96, 4: 1000}[number]
    return after.written_bytes - before.written_bytes == 5 * wanted


def sample(w: Wire, engine, source: Source, count: int) -> None:
    """Step down to a sample, wait until that is so, and send."""
    engine.engine.step(*lowered(source, Level.SAMPLED))
    until(lambda: _leaves_out(w, engine), "the step")
    w.from_vm(*frames(count, 200))


def _leaves_out(w: Wire, engine) -> bool:
    """Some packets more, and whether any were left out by the time the engine has read the port's counters."""
    w.from_vm(*frames(64, 200))
    read = time.monotonic() + 2
    while not engine.stats.sources[0].governed and time.monotonic() < read:
        time.sleep(0.01)
    return engine.stats.sources[0].governed > 0


def test_what_a_sample_leaves_out_is_counted(w: Wire, tmp_path: Path) -> None:
    path, source = tmp_path / "s.pcapng", w.source()
    with running(source, to=path) as engine:
        sample(w, engine, source, 16_000)
        (stats,) = engine.finished().sources
    assert stats.port_packets == stats.accepted + stats.governed
    assert not stats.governed_estimated
    assert adds_up(stats)
    assert 500 < stats.written < 1600  # 1,000 are expected, give or take 31
    assert stats.governed > 10_000
    assert f"+ stepped down {stats.governed} + kernel dropped 0" in ledger_of(path)
    assert "unaccounted 0" in ledger_of(path)


def test_behind_a_filter_it_is_estimated_and_the_ledger_adds_up(w: Wire, tmp_path: Path) -> None:
    """Every packet matches, which nobody knows: the estimate must be near what was left out."""
    path = tmp_path / "s.pcapng"
    source = w.source(filter="greater 100", program=compile_filter("greater 100").program.code)
    with running(source, to=path) as engine:
        sample(w, engine, source, 16_000)
        (stats,) = engine.finished().sources
    assert stats.governed_estimated
    assert stats.port_packets is not None
    truth = stats.port_packets - stats.accepted
    assert 0.7 * truth < stats.governed <= truth
    said = re.search(
        r"seen (\d+) = filtered (\d+) \+ stepped down (\d+) \(estimated\) .* written (\d+)", ledger_of(path)
    )
    assert said
    seen, *parts = map(int, said.groups())
    assert seen == sum(parts)


def test_a_sample_ends_where_the_next_level_begins(w: Wire, tmp_path: Path) -> None:
    source = w.source()
    with running(source, to=tmp_path / "s.pcapng") as engine:
        sample(w, engine, source, 3000)
        engine.engine.step(*lowered(source, Level.FULL))

        def whole() -> bool:
            before = engine.stats.sources[0].accepted
            w.from_vm(*frames(50, 200))
            until(lambda: engine.stats.sources[0].written == engine.stats.sources[0].accepted, "an empty ring")
            return engine.stats.sources[0].accepted - before == 50

        until(whole, "the step up")
        left_out = engine.stats.sources[0].governed
        w.from_vm(*frames(1000, 200))
        (stats,) = engine.finished().sources
    assert stats.governed == left_out > 0
    assert stats.port_packets is not None
    # Packets that came while the step was made may have been counted by one side only.
    assert abs(stats.port_packets - stats.accepted - stats.governed) <= 50


def test_a_remark_without_a_packet_is_in_the_statistics(w: Wire, tmp_path: Path) -> None:
    path, source = tmp_path / "s.pcapng", w.source()
    with running(source, to=path) as engine:
        w.from_vm(*frames(3))
        until(lambda: engine.stats.sources[0].written == 3, "three")
        engine.engine.step([], lowered=True, remark="stopped: for a reason")
        engine.engine.stop("governor")
        assert engine.ended().ended == "governor"
    assert ledger_of(path).endswith("; stopped: for a reason")
    assert not comments(path)


def test_each_file_of_a_ring_says_that_less_is_kept(w: Wire, tmp_path: Path) -> None:
    from tapwright.capture.request import Output

    source = w.source()
    out = Output(path=str(tmp_path / "r.pcapng"), ring_bytes=20_000, ring_files=4)
    with running(source, to=out) as engine:
        engine.engine.step(*lowered(source, Level.HEADERS))
        until(lambda: _is_in_force(w, engine, 3), "the step")
        before = set(engine.stats.files)
        until(lambda: _sent(w, engine) and not before & set(engine.stats.files), "files that began behind it")
        files = engine.finished().files
    assert len(files) == 4
    for path in files:
        (number, text), *_ = comments(Path(path))
        assert number == "1"
        assert text.endswith("to headers")


def _sent(w: Wire, engine) -> bool:
    before = engine.stats.sources[0].written
    w.from_vm(*frames(100, 1000))
    until(lambda: engine.stats.sources[0].written >= before + 100, "a hundred")
    return True


def test_a_filter_near_the_limit_of_a_sockets_memory_is_replaced_too(w: Wire, tmp_path: Path) -> None:
    """There is no room for two such programs at once, so that for a moment between them nothing passes."""
    longest = bisect.bisect_left(range(100, 4096), x=True, key=lambda n: not attach.has_room(long_program(n).code))
    program = long_program((100 + longest) * 3 // 4)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as tried:
        attach.attach(tried, program.code)
        with pytest.raises(OSError, match="memory"):
            attach.attach(tried, program.code)
    source = w.source(filter="all", program=program.code)
    with running(source, to=tmp_path / "s.pcapng") as engine:
        engine.engine.step(*lowered(source, Level.HEADERS))
        until(lambda: _keeps_of_one_more(w, engine) == 96, "the step")
        assert engine.stats.stuck == 0
        (stats,) = engine.finished().sources
    assert adds_up(stats)


def long_program(length: int) -> Program:
    """Keeps everything, and jumps over the rest of itself."""
    never = [Instruction(0x20, 0, 0, 0)] * (length - 2)
    return Program.of([Instruction(0x05, 0, 0, len(never)), *never, Instruction(0x06, 0, 0, WHOLE)])


def _keeps_of_one_more(w: Wire, engine) -> float:
    """Bytes that were kept of each packet which was written meanwhile; 0 where none was."""
    before = engine.stats.sources[0]
    w.from_vm(*frames(1, 1000))
    after = engine.stats.sources[0]
    return (after.written_bytes - before.written_bytes) / ((after.written - before.written) or 1)


def test_strangers_are_counted_at_every_level(w: Wire) -> None:
    kept, strange = w.source(), replace(w.source(), role="strange", program=Program.keep_all(128).code)
    (_, one), (program, _) = filters([kept, strange], Level.SAMPLED, WHOLE)
    assert (one, program) == (16, b"")


def test_a_step_after_the_end_does_nothing(w: Wire, tmp_path: Path) -> None:
    source = w.source()
    with running(source, to=tmp_path / "s.pcapng") as engine:
        engine.finished()
        engine.engine.step(*lowered(source, Level.HEADERS))
    assert subprocess.run(["capinfos", tmp_path / "s.pcapng"], capture_output=True, check=False).returncode == 0
