"""The smallest size that makes sense, against what the engine really writes."""

from pathlib import Path

import pytest

from tapwright import _core
from tapwright.capture.request import Limits, Output, Section, Source
from tapwright.capture.size import check, smallest
from tapwright.errors import UsageError

SECTION = Section("CPU", "Linux", "tapwright", "host h", tuple((f"10.0.0.{i}", "名" * i) for i in range(1, 40)))


@pytest.mark.root
@pytest.mark.parametrize("count", [1, 40])
def test_it_holds_what_the_engine_writes_without_a_packet(tmp_path: Path, count: int) -> None:
    path = tmp_path / "x.pcapng"
    sources = [
        Source(f"vm{i}/eth0", "é" * i, "lo", 1, mac="02:00:00:00:00:01", addresses=("10.0.0.1/24", "fe80::1/64"))
        for i in range(count)
    ]
    engine = _core.Engine(sources, SECTION, Output(path=str(path)), Limits())
    engine.start()
    engine.stop()
    assert engine.wait(20)
    empty, least = path.stat().st_size, smallest(sources, SECTION, 262_144)
    assert empty + 1500 < least < empty + 3000 + 512 * count


def test_it_is_checked_for_a_file_and_for_a_ring() -> None:
    source, section = Source("web/eth0", "", "vnet0", 4), Section()
    least = smallest([source], section, 96)
    check([source], section, Output(ring_bytes=least), Limits(96, bytes=least))
    with pytest.raises(UsageError, match="no room"):
        check([source], section, Output(), Limits(96, bytes=least - 1))
    with pytest.raises(UsageError) as caught:
        check([source], section, Output(ring_bytes=1), Limits(96))
    assert caught.value.hint.endswith("--ring 1KxFILES")
