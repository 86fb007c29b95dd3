"""The governor on a real wire: too much comes, it steps down, says so everywhere, and the ledger adds up."""

import json
import os
import subprocess
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.blocks import statistics
from tests.support.packets import sender
from tests.support.repeating import repeating
from tests.support.shark import capinfos, fields
from tests.support.tapwright import running_command, tapwright
from tests.support.vnics import Bridge, quiet_bridge
from tests.support.wires import frames, until

import tapwright as product
from tapwright.capture.governor import Decision, Level, Readings
from tapwright.capture.policy import DEFAULT
from tapwright.capture.readings import Own
from tapwright.config import load
from tapwright.control.capture import Capture
from tapwright.control.governor import Governor

pytestmark = pytest.mark.root

SIZE = 1400
CALM_HOST = "psi-cpu=100%,psi-io=100%,psi-memory=100%,psi-full=100%,steal=100%,drops=1T,softnet=1T"
"""Whatever else this machine does is no reason here."""


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    with quiet_bridge() as made:
        yield made


@contextmanager
def flood(bridge: Bridge) -> Iterator[None]:
    """The first guest sends as fast as it can."""
    burst = frames(64, SIZE)
    with sender(bridge.guests[0], "eth0") as send, repeating(lambda: [send(each) for each in burst]):
        yield


def test_overload_brings_it_down_and_the_file_tells(bridge: Bridge, tmp_path: Path) -> None:
    path, config = tmp_path / "g.pcapng", load(bridge.environment)
    with product.open_capture([bridge.guests[0]], path=path, governor=f"rate=1M,{CALM_HOST}", config=config) as capture:
        assert capture.governor is not None
        with flood(bridge):
            until(lambda: capture.governor.level >= Level.SAMPLED, "the third step")
    levels = [step.after for step in capture.steps]
    assert levels[:3] == [Level.SLICED, Level.HEADERS, Level.SAMPLED]
    assert all("limit 1 Mbit/s" in step.reason for step in capture.steps)
    book = capture.ledger
    assert not book.complete
    assert book.total.cut > 0
    assert not book.total.governed_estimated
    # What the port counts and what the socket does not differ by is not only what a sample left out.
    assert abs(book.total.unaccounted) < 100
    found = fields(path, "frame.len", "frame.cap_len", "frame.comment")
    assert {length for length, _, _ in found} == {str(SIZE)}
    assert {int(captured) for _, captured, _ in found} == {SIZE, 256, 96}
    told = [comment for _, _, comment in found if comment]
    said = "\n".join(told) + statistics(path)[0][1].decode()
    for step in capture.steps:
        assert step.text in said
    assert told[0].startswith("tapwright stepped down from full to sliced (256 bytes of each packet): copying")
    assert "Number of packets:" in capinfos(path)


def test_the_last_step_ends_it(bridge: Bridge, tmp_path: Path) -> None:
    path, config = tmp_path / "g.pcapng", load(bridge.environment)
    with product.open_capture(
        [bridge.guests[0]], path=path, governor=f"rate=1,{CALM_HOST}", config=config
    ) as capture, flood(bridge):  # fmt: skip
        until(lambda: capture.wait(0.1), "its end")
    assert capture.stats.ended == "governor"
    assert capture.steps[-1].after is Level.STOPPED
    # Where the kernel still held packets, the first of them has it.
    told = [comment for (comment,) in fields(path, "frame.comment")]
    assert any("tapwright stopped: copying" in text for text in (*told, statistics(path)[0][1].decode()))


def test_a_disk_that_runs_down_ends_it_at_once(bridge: Bridge, tmp_path: Path) -> None:
    """A fiftieth of it is to stay free, and less is."""
    config = load(bridge.environment)
    with disk(tmp_path, 900 << 20):
        with (tmp_path / "images").open("wb") as others:
            os.posix_fallocate(others.fileno(), 0, 890 << 20)
        with product.open_capture([bridge.guests[0]], path=tmp_path / "g.pcapng", config=config) as capture:
            until(lambda: capture.wait(0.1), "its end")
        assert fields(tmp_path / "g.pcapng", "frame.number") == []
    assert capture.stats.ended == "governor"
    assert [step.after for step in capture.steps] == [Level.STOPPED]
    assert capture.steps[0].reason.startswith("free space")


@contextmanager
def disk(folder: Path, size: int) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_what_a_person_sees_and_what_a_program_reads(bridge: Bridge, tmp_path: Path) -> None:
    path = tmp_path / "g.pcapng"
    arguments = (
        "capture", bridge.guests[0], "-w", str(path), "--json", "--governor", f"rate=1k,{CALM_HOST}"
    )  # fmt: skip
    with running_command(*arguments, env=bridge.environment) as running:
        with flood(bridge):
            code = running.wait(120)
        out, err = running.communicate()
    data = json.loads(out)
    steps = data["governor"]["steps"]
    assert [step["to"] for step in steps][:2] == ["sliced", "headers"]
    assert data["governor"]["limits"]["rate"] == 1e3
    assert data["governor"]["failed"] == 0
    assert data["complete"] is False
    lines = [line for line in err.decode().splitlines() if "stepped down" in line]
    assert len(lines) >= 3
    assert code == 7
    assert data["ended"] == "governor"
    assert "--governor" in err.decode()


def test_off_is_off_and_a_calm_capture_never_steps(bridge: Bridge, tmp_path: Path) -> None:
    config = load(bridge.environment)
    with product.open_capture([bridge.guests[0]], path=tmp_path / "a", governor="off", config=config) as capture:
        assert capture.governor is None
    with product.open_capture([bridge.guests[0]], path=tmp_path / "b", config=config) as capture:
        bridge.says(bridge.guests[0], 200)
        until(lambda: capture.governor and capture.governor.latest.psi_cpu is not None, "a reading")
        until(lambda: capture.stats.sources[0].written == 200, "the packets")
    assert capture.steps == ()
    assert capture.ledger.complete


def forgotten(bridge: Bridge, path: Path) -> "weakref.ref[Capture]":
    """A capture that nobody holds any more, once its governor has looked."""
    capture = product.open_capture([bridge.guests[0]], path=path, config=load(bridge.environment))
    until(lambda: capture.governor and capture.governor.latest.unknown != Readings().unknown, "a look")
    return weakref.ref(capture)


class Flood:
    """Something that copies 4 Gbit/s of a clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.level = Level.FULL

    def monotonic(self) -> float:
        return self.now

    time = monotonic

    def own(self) -> Own:
        return Own(self.now, int(self.now * 1e5), int(self.now * 5e8), int(self.now * 5e8))

    def dropped(self) -> None:
        pass

    def space(self) -> None:
        pass

    def apply(self, decision: Decision) -> None:
        self.level = decision.after


@pytest.mark.parametrize(("pause", "ticks"), [(0.1, 4), (1.0, 2), (6.6, 2)])
def test_however_rarely_it_is_looked_at(monkeypatch: pytest.MonkeyPatch, pause: float, ticks: int) -> None:
    """A look at a host of very many mirrors takes long, and gets a small part of the time."""
    flood, made = Flood(), 1
    monkeypatch.setattr("tapwright.control.governor.time", flood)
    governor = Governor(replace(DEFAULT, rate=1e9), flood)
    while governor.tick() is None:
        flood.now += pause
        made += 1
    assert (flood.level, made) == (Level.SLICED, ticks)


def test_the_governor_keeps_no_capture_alive(bridge: Bridge, tmp_path: Path) -> None:
    """It completes its file, as it does without a governor."""
    gone = forgotten(bridge, tmp_path / "g.pcapng")
    until(lambda: gone() is None, "its end")
    assert statistics(tmp_path / "g.pcapng")


def test_it_is_shown_without_a_vm_and_a_mistake_is_told(bridge: Bridge) -> None:
    answer = tapwright("capture", "--show-limits", env=bridge.environment)
    assert answer.code == 0
    assert "12 Gbit/s" in answer.out
    changed = tapwright("capture", "--governor", "rate=2G", "--show-limits", env=bridge.environment)
    assert "2 Gbit/s" in changed.out
    by_default = {**bridge.environment, "TAPWRIGHT_GOVERNOR": "cpu=10%"}
    assert "10 %" in tapwright("capture", "--show-limits", env=by_default).out
    wrong = tapwright("capture", "x", "--governor", "speed=1", env=bridge.environment)
    assert wrong.code == 2
    assert "busy-rate" in wrong.err
