from pathlib import Path

from tapwright.adapters import memory


def test_this_machine_says_it() -> None:
    assert (memory.available() or 0) > 1 << 20


def test_a_kernel_that_does_not_say(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\n")
    assert memory.available(str(tmp_path / "meminfo")) is None
    assert memory.available(str(tmp_path / "nothing")) is None
