"""The Python API on a lab: what the README promises, typed and by hand."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.labs import config_of, running_lab

import tapwright
from tapwright.adapters import memory
from tapwright.config import Config
from tapwright.errors import CaptureError, FilterError, NotFound, UsageError

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def config() -> Iterator[Config]:
    with running_lab("bridge", traffic=True) as lab:
        yield config_of(lab)


def test_public_names_exist_and_importing_is_cheap() -> None:
    for name in tapwright.__all__:
        assert getattr(tapwright, name) is not None
    code = (
        "import sys, tapwright; print([m for m in sys.modules if m.startswith('tapwright.') or m in ('click', 'rich')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_verb_stays_a_verb_after_its_room_was_imported() -> None:
    import tapwright.capture.request
    import tapwright.plan.points

    assert callable(tapwright.open_capture)
    assert callable(tapwright.plan_capture)


def test_batches_are_columns(config: Config) -> None:
    seen = 0
    with tapwright.open_capture(["web"], packets=40, config=config) as capture:
        for batch in capture.batches():
            assert [c.format for c in (batch.time, batch.source, batch.direction)] == ["q", "I", "B"]
            assert len(batch) == len(batch.time) == len(batch.offset) == len(batch.captured)
            for start, size in zip(batch.offset, batch.captured, strict=True):
                assert len(batch.data[start : start + size]) == size >= 14
            assert set(batch.direction) <= {1, 2}
            assert list(batch.time) == sorted(batch.time)
            seen += len(batch)
    assert seen == capture.ledger.total.written == 40
    assert capture.ledger.complete


def test_a_file_two_vms_and_a_filter(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "both.pcapng"
    with tapwright.open_capture(
        ["web", "db"], filter="vm db and tcp", path=path, seconds=1.5, config=config
    ) as capture:
        assert capture.wait(30)
    out = subprocess.run(
        ["tshark", "-r", path, "-T", "fields", "-e", "frame.interface_name", "-e", "ip.addr"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    names = {line.split("\t")[0] for line in out.splitlines()}
    assert names == {"web/eth0", "db/eth0"}
    assert all("10.0.0.12" in line for line in out.splitlines())
    assert capture.ledger.total.filtered


def test_a_plan_changes_nothing_and_says_what_it_would_take(config: Config) -> None:
    planned = tapwright.plan_capture(["web"], interval=0.3, config=config)
    assert planned.plan.cost is not None
    assert planned.plan.steps == ()
    assert [choice.vm.name for choice in planned.plan.chosen] == ["web"]


def test_rings_never_take_the_memory_of_guests(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 64 << 20)
    for verb in (tapwright.open_capture, tapwright.plan_capture):
        with pytest.raises(UsageError, match=r"48\.0 MiB is more than half of what is free: 64\.0 MiB"):
            verb(["web"], config=config)


def test_mistakes_are_typed_and_leave_nothing(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    with pytest.raises(NotFound):
        tapwright.open_capture(["wbe"], path=path, config=config)
    with pytest.raises(FilterError) as caught:
        tapwright.open_capture(["web"], filter="tcp prot 80", path=path, config=config)
    assert caught.value.position == 4
    for wrong in ({"vms": []}, {"snaplen": 0}, {"snaplen": 1 << 20}, {"path": path, "fd": 1}):
        with pytest.raises(UsageError):
            tapwright.open_capture(**{"vms": ["web"], "config": config, **wrong})
    path.write_text("precious")
    with pytest.raises(UsageError):
        tapwright.open_capture(["web"], path=path, config=config)
    assert path.read_text() == "precious"


def test_a_vm_that_stops_before_it_is_opened_is_left_out(tmp_path: Path) -> None:
    with running_lab("bridge", traffic=True) as lab:
        config = config_of(lab)
        topology = tapwright.look(config)
        subprocess.run(["ip", "-n", lab.node("s1").netns, "link", "del", "vnet1"], check=True)
        path = tmp_path / "rest.pcapng"
        with tapwright.open_capture(["*"], path=path, packets=10, topology=topology, config=config) as capture:
            assert capture.absent == ("db/eth0",)
            assert {source.name for source in capture.sources} == {"web/eth0", "cache/eth0"}
            assert capture.wait(30)
        with pytest.raises(CaptureError, match="vnet1"):
            tapwright.open_capture(["db"], path=tmp_path / "none", topology=topology, config=config)
        assert not (tmp_path / "none").exists()
