"""Mirrors by OVN's northbound database undone: whatever is gone, killed or of another host, strangers' left alone."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from support.cloud import COLLECTOR, ERSPAN, GRE, Cloud, cloud, opened, run
from support.labs import config_of
from support.mirrored import MARK
from tap.victims import Tick, WatchedJournal, killed_at, points_of
from tapwright.adapters import ovnnb
from tapwright.errors import ProviderError
from tapwright.plan.mirrors import Mirror, parse
from tapwright.plan.steps import Finding, Found, Mark, Operation
from tapwright.providers.ovn import Ovn
from tapwright.providers.ovn_mirror import BEAT
from tapwright.providers.ovs import Ovs
from tapwright.tap import owner
from tapwright.tap.arm import arm, disarm
from tapwright.tap.journal import Journal
from tapwright.tap.session import Session, State
from tapwright.tap.sweep import Swept, sweep

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def lively() -> Iterator[Cloud]:
    with cloud() as lively:
        yield lively


def test_our_leftovers_are_found_without_a_journal_and_undone(lively: Cloud) -> None:
    before = lively.dump()
    for step in (lively.step(GRE), lively.step(GRE, "cache"), lively.step(ERSPAN)):
        lively.provider().perform(step.do)
    provider = lively.provider()
    found = provider.leftovers()
    assert [leftover.mark for leftover in found] == [MARK, MARK]
    assert any(lively.port("web") in x.what and lively.port("cache") in x.what for x in found)
    for leftover in found:
        assert leftover.undo
        provider.perform(leftover.undo)
    assert provider.leftovers() == ()
    assert lively.dump() == before


def test_the_command_for_a_leftover_removes_it(lively: Cloud) -> None:
    before = lively.dump()
    provider = lively.provider()
    provider.perform(lively.step(GRE).do)
    (leftover,) = provider.leftovers()
    run(leftover.command, lively.lab.environment("central"))
    assert provider.leftovers() == ()
    lively.nbctl("--wait=hv", "sync")
    assert lively.dump() == before


def test_strangers_mirrors_are_reported_with_a_command_and_left_alone(lively: Cloud) -> None:
    lively.nbctl("mirror-add", "spare", "gre", "70", "to-lport", COLLECTOR)
    lively.nbctl("mirror-add", "used", "gre", "71", "to-lport", COLLECTOR)
    lively.nbctl("lsp-attach-mirror", lively.port("db"), "used")
    before = lively.dump()
    (leftover,) = lively.provider().leftovers()
    assert leftover.what == "mirror spare of OVN, which is attached to no port"
    assert (leftover.mark, leftover.undo) == (None, None)
    assert lively.dump() == before
    run(leftover.command, lively.lab.environment("central"))
    assert lively.provider().leftovers() == ()
    lively.nbctl("--wait=hv", "mirror-del", "used")


def test_mirrors_that_ovn_keeps_are_no_strangers_leftovers_of_open_vswitch(lively: Cloud) -> None:
    """Not even those that copy nothing: what ovs-vsctl removes, ovn-controller makes again."""
    switch = Ovs(config_of(lively.lab, "s1").ovsdb)
    with opened(lively) as step:
        assert switch.leftovers() == ()
        lively.vsctl("s1", "clear", "Mirror", f"{step.do.text('name')}-in", "select_dst_port")
        assert switch.leftovers() == ()


def test_a_mark_of_another_session_is_not_ours_to_undo(lively: Cloud) -> None:
    with opened(lively) as step:
        mark = Mark("00c0ffee", "1.1.b", 9).text
        lively.provider().perform(Operation.of("ovn", "unmirror", **{**dict(step.undo.arguments), "mark": mark}))


def test_without_a_controller_nothing_is_left_behind(lively: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    patience = "tapwright.providers.ovn_chassis.PATIENCE"
    before = lively.dump()
    provider, step = lively.provider(), lively.step(GRE)
    with lively.without("s1", "ovn-controller"), monkeypatch.context() as patched:
        patched.setattr(patience, 1.0)  # one that has just begun again takes longer
        with pytest.raises(ProviderError, match=r"did not take the mirror .* over"):
            provider.perform(step.do)
        assert lively.dump() == before
    provider.perform(step.do)
    with lively.without("s1", "ovn-controller"), monkeypatch.context() as patched:
        patched.setattr(patience, 1.0)
        provider.perform(step.undo)
        finding = provider.found(step)
        assert finding.found is Found.UNKNOWN
        assert "still has the mirror" in finding.detail
    assert provider.found(step) == Finding(Found.ABSENT)
    assert lively.dump() == before


def test_nobody_knows_while_the_database_is_down(lively: Cloud) -> None:
    before = lively.dump()
    provider, step = lively.provider(), lively.step(GRE)
    provider.perform(step.do)
    with lively.without("central", "ovnnb_db"):
        finding = provider.found(step)
        assert finding.found is Found.UNKNOWN
        assert "cannot be reached" in finding.detail
        assert provider.measured([step]).copied.into is not None, "the switch counts all the same"
        with pytest.raises(ProviderError, match="cannot be reached"):
            provider.perform(step.undo)
    assert provider.found(step) == Finding(Found.THERE)
    provider.perform(step.undo)
    assert lively.dump() == before


def test_undone_with_the_mirrored_port_gone() -> None:
    with cloud() as lively:
        provider, step = lively.provider(), lively.step(GRE)
        provider.perform(step.do)
        lively.nbctl("--wait=hv", "lsp-del", lively.port("web"))
        assert provider.found(step) == Finding(Found.THERE, f"the logical port {lively.port('web')} is gone")
        provider.perform(step.undo)
        assert provider.found(step) == Finding(Found.ABSENT)
        assert not lively.nbctl("list", "Mirror").strip()
        assert not lively.vsctl("s1", "list", "Mirror").strip()


NOW = 1_000_000.0


class Watched(Ovn):
    """With a point before and after each transaction with the northbound database."""

    def __init__(self, config: object, tick: Tick) -> None:
        super().__init__(config.ovn_nb, config.ovsdb)  # type: ignore[attr-defined]
        self._tick = tick

    def perform(self, operation: Operation) -> None:
        real = ovnnb.transact

        def transact(*arguments: object) -> object:
            self._tick("before a transaction")
            answer = real(*arguments)  # type: ignore[arg-type]
            self._tick("after a transaction")
            return answer

        ovnnb.transact = transact  # type: ignore[assignment]
        try:
            super().perform(operation)
        finally:
            ovnnb.transact = real


def test_killed_at_every_boundary_the_cloud_is_as_before_after_a_sweep(lively: Cloud, tmp_path: Path) -> None:
    config, before = config_of(lively.lab), lively.dump()
    state = tmp_path / "state"
    points = [lively.point("web"), lively.point("cache")]

    def live(tick: Tick) -> None:
        session = Session("5e551042", owner.own(), "a mirror", NOW, 60.0, NOW + 60.0)
        provider, journal = Watched(config, tick), WatchedJournal(state, tick)
        mirrors = [Mirror(point, parse(GRE), session.mark) for point in points]
        steps = [step for mirror in mirrors for step in provider.steps(mirror)]
        disarm(journal, arm(journal, session, steps, lambda _: provider), lambda _: provider)

    names = points_of(live)
    assert len(names) >= 50
    assert lively.dump() == before
    for number, name in enumerate(names):
        for file in state.iterdir():
            file.unlink()
        assert killed_at(live, number) == name
        if number % 5 == 0:  # as if the journal were lost too: by the marks alone, once the lease is over for good
            for file in state.iterdir():
                file.unlink()
        provider, journal = lively.provider(), Journal(state)
        swept = sweep(journal, [provider], lambda _, one=provider: one, owner.fate, NOW + 4000.0)
        assert (swept.failed, swept.kept) == ((), ()), name
        assert all(session.state is State.CLOSED for session in journal.sessions()), name
        assert lively.dump() == before, f"{number}: {name}"


ELSEWHERE = Mark("5e551043", "4242.99.deadbeef.feedface.1", 1000)
"""Of a process of another host."""


def swept(lively: Cloud, journal: Journal, uptime: float, now: float = NOW) -> Swept:
    """A sweep so many seconds after this host was started, whatever the time of day is."""
    provider = lively.provider("s1")
    return sweep(journal, [provider], lambda _: provider, owner.fate, now, uptime=("a boot", uptime))


def test_a_dead_owner_of_another_host_is_told_by_its_silence(lively: Cloud, tmp_path: Path) -> None:
    """By the time that passes here: how wrong either clock is makes no difference."""
    before, journal, provider = lively.dump(), Journal(tmp_path / "state"), lively.provider()
    step = lively.step(GRE, mark=ELSEWHERE)
    older = lively.step(f"gre://{COLLECTOR}?key=90", mark=replace(ELSEWHERE, session="01de5700"))
    lively.nbctl("mirror-add", "theirs", "gre", "70", "to-lport", COLLECTOR)
    provider.perform(older.do)
    for way in ("in", "out"):  # as if by a tapwright that shows no sign of life
        lively.nbctl("remove", "Mirror", lively.row(f"{older.do.text('name')}-{way}"), "external_ids", BEAT)
    untouched = lively.dump()
    provider.perform(step.do)
    whole = lively.dump()
    for uptime, now in ((0.0, NOW), (1800.0, NOW + 9e8), (3600.0, NOW - 9e8)):
        found = swept(lively, journal, uptime, now)
        assert (found.leftovers, found.failed, len(found.waiting)) == ((), (), 1)
        assert "of another host" in found.waiting[0]
    assert lively.dump() == whole
    provider.renew(ELSEWHERE, "1")
    renewed = lively.dump()
    assert renewed == whole.replace(f'{BEAT}="0"', f'{BEAT}="1"')
    for uptime in (3700.0, 7300.0):
        assert swept(lively, journal, uptime).leftovers == (), "it lives"
    assert lively.dump() == renewed
    found = swept(lively, journal, 7301.0)
    assert [leftover.mark for leftover in found.leftovers] == [ELSEWHERE]
    assert (found.failed, found.waiting) == ((), ())
    assert lively.dump() == untouched, "what strangers made stays, and what shows no sign of life"
    assert provider.found(step) == Finding(Found.ABSENT)
    provider.renew(ELSEWHERE, "2")  # an owner that had only been cut off harms nothing when it comes back
    assert lively.dump() == untouched
    provider.perform(older.undo)
    lively.nbctl("mirror-del", "theirs")
    assert lively.dump() == before


def test_one_that_shows_that_it_lives_at_the_last_moment_is_left_alone(
    lively: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, provider = lively.dump(), lively.provider("s1")
    step = lively.step(GRE, mark=ELSEWHERE)
    provider.perform(step.do)
    (found,) = [leftover for leftover in provider.leftovers() if leftover.mark == ELSEWHERE]
    assert found.beat == "0"
    assert found.undo
    real = ovnnb.transact

    def transact(*arguments: object) -> object:  # between its look and its transaction
        monkeypatch.undo()
        provider.renew(ELSEWHERE, "1")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ovnnb, "transact", transact)
    whole = lively.dump()
    for _ in range(2):
        with pytest.raises(ProviderError, match="showed a sign of life meanwhile"):
            provider.perform(found.undo)
    assert lively.dump() == whole.replace(f'{BEAT}="0"', f'{BEAT}="1"')
    provider.perform(step.undo)
    assert lively.dump() == before


def test_of_two_hosts_that_sweep_at_once_one_does(lively: Cloud, tmp_path: Path) -> None:
    before, step = lively.dump(), lively.step(GRE, mark=ELSEWHERE)
    lively.provider().perform(step.do)
    journals = [Journal(tmp_path / name) for name in ("one", "other")]
    for journal in journals:
        swept(lively, journal, 0.0)
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda journal: swept(lively, journal, 3601.0), journals))
    assert any(found.leftovers for found in both)
    assert lively.dump() == before
