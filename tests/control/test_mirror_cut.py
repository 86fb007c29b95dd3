"""A mirror of a whole port by Open vSwitch that steps down: frames cut where the switch does that, and whole again."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.labs import config_of, running_lab
from support.mirrored import seen, talk
from support.netns import ip
from support.traces import difference
from tapwright.capture.governor import Decision, Level
from tapwright.capture.policy import DEFAULT
from tapwright.control.mirror import Mirroring, Prepared, Wish, opened, prepare
from tapwright.control.sessions import Sessions
from tapwright.lab import Lab
from tapwright.plan.mirrors import parse
from tapwright.plan.steps import Found
from tapwright.providers.ovs import Ovs
from tapwright.tap.delivery import Outcome, Verdict
from tapwright.tap.session import Progress

pytestmark = pytest.mark.root

FULL, SLICED, HEADERS, SAMPLED, STOPPED = Level
SIZE = 1200
MTU = 1000
KEPT = {FULL: SIZE, SLICED: 256, HEADERS: 96}
_BY_ITSELF = re.compile(r"^(statistics|status|link_resets|db_version) .*$", re.MULTILINE)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """web and db talk without a pause, in frames that every level cuts."""
    with running_lab("ovs") as lab:
        one, other = lab.node("web"), lab.node("db")
        macs = one.nics[0].mac, other.nics[0].mac
        with talk(one.netns, other.netns, macs, bytes.fromhex("88b5") + bytes(SIZE - 14)):
            yield lab


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal of our own."""
    monkeypatch.setenv("TAPWRIGHT_STATE", str(tmp_path / "state"))


def prepared(lab: Lab, to: str = "vm:queue/eth0", **more: Any) -> Prepared:
    return prepare(Wish(["web"], parse(to), by="ovs", **more), config_of(lab))


@contextmanager
def mirroring(lab: Lab) -> Iterator[Mirroring]:
    """At the end the switch is as it was."""
    before = switch(lab)
    with opened(prepared(lab, governor=None)) as mirroring:
        yield mirroring
    assert not difference(before, switch(lab))


def switch(lab: Lab) -> str:
    tables = ("Open_vSwitch", "Bridge", "Port", "Interface", "Mirror")
    return _BY_ITSELF.sub("", "\n".join(vsctl(lab, "list", table) for table in tables))


def vsctl(lab: Lab, *arguments: str) -> str:
    return lab.exec("s1", ["ovs-vsctl", "--no-wait", *arguments]).stdout


def lengths(lab: Lab) -> set[int]:
    """Of the copies that come to the collector now."""
    macs = {lab.node(name).nics[0].mac for name in ("web", "db")}
    rows = seen(lab.node("queue").netns, "eth0", "frame.len", only="ether proto 0x88b5")
    assert {source for source, _ in rows} == macs
    return {int(length) for _, length in rows}


def test_every_step_is_seen_at_the_collector_and_in_the_journal(lab: Lab) -> None:
    provider = Ovs(config_of(lab).ovsdb)
    with mirroring(lab) as running:
        assert lengths(lab) == {KEPT[FULL]}
        for level in (SLICED, HEADERS, SLICED, FULL):
            running.step(level)
            ((session, _),) = Sessions(config_of(lab)).all()
            assert session.entries == running.running.session.entries
            assert {entry.progress for entry in session.entries} == {Progress.DONE}
            assert {provider.found(entry.step).found for entry in session.entries} == {Found.THERE}
            assert lengths(lab) == {KEPT[level]}


def test_a_collector_that_takes_no_large_frames_gets_those_that_were_cut(lab: Lab) -> None:
    port = lab.node("queue").nics[0].device
    with small(lab, port), mirroring(lab) as running:
        running.step(HEADERS)
        delivered = judged(running)
        assert delivered.outcome is Outcome.OK, delivered
        running.step(FULL)
        told = judged(running)
        assert told.outcome is Outcome.TRUNCATED, told
        assert f"frames have {SIZE} bytes on average; beyond {MTU + 14}" in told.reason


@contextmanager
def small(lab: Lab, port: str) -> Iterator[None]:
    """A port that takes less than what the VMs say."""
    resize(lab, port, MTU)
    try:
        yield
    finally:
        resize(lab, port, 1500)


def resize(lab: Lab, port: str, mtu: int) -> None:
    ip("link", "set", port, "mtu", str(mtu), netns=lab.node("s1").netns)
    vsctl(lab, "--timeout=20", "wait-until", "interface", port, f"mtu={mtu}")


def judged(running: Mirroring) -> Verdict:
    found = (delivery.verdict for reading in running.readings() for delivery in reading.deliveries)
    return next(verdict for verdict in found if verdict.outcome is not Outcome.UNKNOWN)


def test_where_a_step_cannot_be_made_the_mirror_is_ended_and_left_as_somebody_made_it(lab: Lab) -> None:
    before = switch(lab)
    with opened(prepared(lab, governor=None)) as running:
        name = running.running.session.entries[0].step.do.text("name")
        vsctl(lab, "set", "mirror", name, "snaplen=500")
        running.govern(DEFAULT)
        assert running.governed is not None
        running.governed.apply(Decision(0.0, FULL, SLICED, "too much", cuts=False))
        assert "snaplen is 500" in running.governed.failed
        assert running.running.stopped.is_set()
    assert vsctl(lab, "get", "mirror", name, "snaplen").strip() == "500"
    (kept,) = running.running.session.kept
    assert kept.error == "snaplen is 500"
    uuid = vsctl(lab, "get", "mirror", name, "_uuid").strip()
    vsctl(lab, "remove", "bridge", "br-int", "mirrors", uuid)
    assert not difference(before, switch(lab))


@pytest.mark.parametrize(
    ("asked", "between"),
    [
        ({}, (SLICED, HEADERS)),
        ({"to": "rspan:999"}, (SLICED, HEADERS)),
        ({"snaplen": 256}, (HEADERS,)),
        ({"snaplen": 96}, ()),
        ({"filter": "tcp"}, (SAMPLED,)),
        ({"filter": "tcp", "snaplen": 300}, (SAMPLED,)),
    ],
)
def test_which_levels_there_are_is_known_before(lab: Lab, asked: dict[str, Any], between: tuple[Level, ...]) -> None:
    plan = prepared(lab, **asked)
    assert plan.levels(plan.planned()) == (FULL, *between, STOPPED)
