"""Mirrors by OVN's northbound database: each delivers what flows already, and leaves nothing; judged by tshark."""

import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from support.cloud import COLLECTOR, Cloud, cloud, run
from support.labs import config_of
from support.mirrored import MARK
from tap.victims import Tick, WatchedJournal, killed_at, points_of
from tapwright.adapters import ovnnb
from tapwright.errors import ProviderError, UsageError
from tapwright.model import Role
from tapwright.plan.counts import Counts
from tapwright.plan.mirrors import Direction, Mirror, parse
from tapwright.plan.preflight import Answer, Preflight, judge
from tapwright.plan.steps import NOBODY, Finding, Found, Mark, Operation, Step
from tapwright.providers.base import Beacon, Meter
from tapwright.providers.ovn import Ovn
from tapwright.providers.ovn_mirror import BEAT, wanted
from tapwright.providers.ovs import Ovs
from tapwright.tap import owner
from tapwright.tap.arm import arm, disarm
from tapwright.tap.journal import Journal
from tapwright.tap.session import Session, State
from tapwright.tap.sweep import Swept, sweep

pytestmark = pytest.mark.root

UNDERLAY = 1600
GRE, ERSPAN = f"gre://{COLLECTOR}?key=7", f"erspan2://{COLLECTOR}?session=12"


@pytest.fixture(scope="module")
def lively() -> Iterator[Cloud]:
    with cloud() as lively:
        yield lively


@contextmanager
def opened(lively: Cloud, target: str = GRE, **more: object) -> Iterator[Step]:
    """Done twice, undone twice; both databases are afterwards as they were before."""
    before = lively.dump()
    provider, step = lively.provider(), lively.step(target, **more)
    assert provider.found(step) == Finding(Found.ABSENT)
    try:
        provider.perform(step.do)
        once = lively.dump()
        provider.perform(step.do)
        assert lively.dump() == once != before
        assert provider.found(step) == Finding(Found.THERE)
        yield step
        assert provider.found(step).found is Found.THERE, provider.found(step)
    finally:
        provider.perform(step.undo)
        provider.perform(step.undo)
    assert provider.found(step) == Finding(Found.ABSENT)
    assert lively.dump() == before


def test_it_keeps_the_contract_of_those_that_change_the_world() -> None:
    assert isinstance(Ovn(), Meter)
    assert isinstance(Ovn(), Beacon)


@pytest.mark.parametrize(
    ("target", "fields", "numbers"),
    [
        (GRE, ("gre.key", "gre.proto"), [("0x00000007", "0x6558"), ("0x00000008", "0x6558")]),
        # Session and index are one number, which Open vSwitch takes for hexadecimal in the index.
        (ERSPAN, ("erspan.spanid", "erspan.index"), [("12", "18"), ("13", "19")]),
        (f"gre://{COLLECTOR}", ("gre.key", "gre.proto"), [("0x00000000", "0x6558"), ("0x00000001", "0x6558")]),
        (f"erspan2://{COLLECTOR}?session=1023&index=4131", ("erspan.spanid",), [("1023",), ("1022",)]),
    ],
    ids=["gre", "erspan2", "gre without a key", "erspan2 highest"],
)
def test_both_directions_of_what_flows_already(
    lively: Cloud, target: str, fields: tuple[str, ...], numbers: list[tuple[str, ...]]
) -> None:
    with opened(lively, target):
        assert lively.copies(*fields) == {("web", *numbers[0]), ("db", *numbers[1])}


@pytest.mark.parametrize(("direction", "by"), [(Direction.IN, "db"), (Direction.OUT, "web")])
def test_one_direction_is_the_vms(lively: Cloud, direction: Direction, by: str) -> None:
    with opened(lively, GRE, direction=direction):
        assert lively.copies("gre.key") == {(by, "0x00000007")}


def test_a_vm_of_another_server(lively: Cloud) -> None:
    """Nobody on s1 can ask the switch of s2 what it does."""
    provider, step = lively.provider("s1"), lively.step(GRE, "db")
    before = lively.dump()
    provider.perform(step.do)
    try:
        assert provider.found(step) == Finding(Found.THERE)
        assert provider.copied(step) is None
        why = f"{lively.server('s2')} has the logical port {lively.port('db')}, and only its switch counts the copies"
        assert provider.measured([step]) == Counts(why=why)
        assert not provider.revalidate([step])
        assert lively.copies("gre.key") == {("db", "0x00000007"), ("web", "0x00000008")}
    finally:
        provider.perform(step.undo)
    lively.nbctl("--wait=hv", "sync")
    assert lively.dump() == before


def test_copies_are_counted_in_each_direction(lively: Cloud) -> None:
    before = lively.dump()
    provider, step = lively.provider(), lively.step(GRE)
    provider.perform(step.do)
    try:
        lively.vsctl("s1", "wait-until", "Mirror", f"{step.do.text('name')}-out", "statistics:tx_packets>10")
        assert (provider.copied(step) or 0) > 10
        counts = provider.measured([step])
        assert min(counts.seen.into or 0, counts.seen.out or 0, counts.seen_bytes or 0) > 10
        assert min(counts.copied.into or 0, counts.copied.out or 0) > 10
        lively.vsctl("s1", "set", "Open_vSwitch", ".", "other_config:stats-update-interval=15000")
        assert provider.measured([step]).lag == counts.lag + 10
        lively.vsctl("s1", "remove", "Open_vSwitch", ".", "other_config", "stats-update-interval")
        lively.nbctl("--wait=hv", "mirror-del", f"{step.do.text('name')}-in")
        copied = provider.measured([step]).copied
        assert (copied.into, (copied.out or 0) > 10) == (0, True), "what the switch does not have copies nothing"
        assert provider.measured([lively.step(GRE, direction=Direction.OUT)]).copied.into is None
    finally:
        provider.perform(step.undo)
    assert lively.dump() == before


def test_a_switch_that_does_not_answer_is_no_other_server(lively: Cloud, tmp_path: Path) -> None:
    silent = Ovn([lively.remote], [f"unix:{tmp_path}/db.sock"])
    step = lively.step(GRE)
    assert silent.measured([step]).why.startswith("its switch cannot be asked: ")
    gone = replace(step, do=Operation.of("ovn", "mirror", **dict(step.do.arguments) | {"port": "no-such-port"}))
    assert silent.measured([gone]) == Counts()
    nowhere = Ovn([lively.remote], [f"unix:{lively.lab.folder('s1')}/db.sock"])
    with lively.without("central", "ovnsb_db"):
        assert nowhere.measured([lively.step(GRE, "db")]).why.startswith("another server has the logical port")


def test_ports_of_one_session_share_a_target(lively: Cloud) -> None:
    """Their server could not tell two tunnels with one key apart."""
    before = lively.dump()
    provider, web, cache = lively.provider(), lively.step(GRE), lively.step(GRE, "cache")
    provider.perform(web.do)
    alone = lively.dump()
    assert provider.found(cache) == Finding(Found.ABSENT)
    provider.perform(cache.do)
    assert lively.nbctl("--columns=name", "list", "Mirror").count("name") == 2
    assert [provider.found(step) for step in (web, cache)] == [Finding(Found.THERE)] * 2
    assert [provider.copied(step) for step in (web, cache)] == [None, None]
    provider.perform(cache.undo)
    assert provider.found(cache) == Finding(Found.ABSENT)
    assert lively.dump() == alone
    assert lively.copies() == {("web",), ("db",)}
    provider.perform(web.undo)
    assert lively.dump() == before


def test_its_tunnel_is_no_way_out_of_the_switch(lively: Cloud) -> None:
    with opened(lively):
        snapshot = Ovs(config_of(lively.lab, "s1").ovsdb).snapshot()
        assert {port.role for port in snapshot.ports if port.kind == "gre"} == {Role.OTHER}
        assert {overlay.kind for overlay in snapshot.overlays} == {"geneve"}


def test_what_ovn_cannot_do_is_refused_at_once(lively: Cloud) -> None:
    for target in (
        f"vxlan://{COLLECTOR}?vni=7",
        f"erspan3://{COLLECTOR}?session=7",
        "rspan:9",
        "nic:eth9",
        "vm:x/eth0",
    ):
        with pytest.raises(ProviderError, match="by GRE or ERSPAN II only") as refused:
            lively.step(target)
        assert "on the VM's server" in refused.value.hint
    with pytest.raises(UsageError, match="session 12 has index 18 and not 3"):
        lively.step(f"{ERSPAN}&index=3")
    with pytest.raises(UsageError, match="cannot filter"):
        lively.step(GRE, program=bytes(8))
    with pytest.raises(UsageError, match="copies all VLANs"):
        lively.step(GRE, vlans=(10,))
    with pytest.raises(UsageError, match="cannot cut"):
        lively.step(GRE, snaplen=96)


def test_what_would_harm_is_refused_when_it_is_tried(lively: Cloud) -> None:
    lively.nbctl("mirror-add", "theirs", "gre", "8", "to-lport", COLLECTOR)
    before = lively.dump()
    step, provider = lively.step("gre://10.0.0.11?key=7"), lively.provider()
    with pytest.raises(ProviderError, match=r"10\.0\.0\.11 is the mirrored VM itself"):
        provider.perform(step.do)
    with pytest.raises(ProviderError, match=r"mirror theirs sends to .* with number 8 already") as refused:
        provider.perform(lively.step(GRE).do)
    assert refused.value.hint == f"choose another: --to 'gre://{COLLECTOR}?key=1'"
    gone = replace(lively.point(), port="no-such-port")
    with pytest.raises(ProviderError, match="no logical port no-such-port"):
        provider.perform(provider.steps(Mirror(gone, parse(GRE), MARK))[0].do)
    assert lively.dump() == before
    lively.nbctl("mirror-del", "theirs")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("set Mirror {row} index=99", "index of mirror {name}-in is 99"),
        ("set Mirror {row} sink=172.31.0.11", "sink of mirror {name}-in is '172.31.0.11'"),
        ("set Mirror {row} type=erspan", "type of mirror {name}-in is 'erspan'"),
        ("set Mirror {row} filter=from-lport", "the mirror of what goes in is gone"),
        ("set Mirror {row} name=mine", "the mirror's name is 'mine'"),
        ("mirror-del {name}-in", "the mirror of what goes in is gone"),
        ("lsp-detach-mirror {port} {name}-in", "mirror {name}-in is not attached to port {port} any more"),
        ("clear Logical_Switch_Port {port} mirror_rules", "mirror {name}-out is not attached to port {port} any more"),
    ],
)
def test_what_somebody_changed_is_told_and_not_overwritten(lively: Cloud, change: str, told: str) -> None:
    before = lively.dump()
    provider, step = lively.provider(), lively.step(GRE)
    provider.perform(step.do)
    name = step.do.text("name")
    called = {"name": name, "port": step.do.text("port"), "row": lively.row(f"{name}-in")}
    try:
        lively.nbctl("--wait=hv", *change.format(**called).split())
        changed = lively.dump()
        finding = provider.found(step)
        assert finding.found is Found.CHANGED
        assert told.format(**called) in finding.detail
        with pytest.raises(ProviderError, match="is not as it was made"):
            provider.perform(step.do)
        assert lively.dump() == changed
    finally:
        provider.perform(step.undo)
    assert provider.found(step) == Finding(Found.ABSENT)
    lively.nbctl("--wait=hv", "sync")
    assert lively.dump() == before


def test_a_mirror_of_others_on_the_same_port_goes_on(lively: Cloud) -> None:
    lively.nbctl("mirror-add", "theirs", "gre", "70", "to-lport", COLLECTOR)
    lively.nbctl("--wait=hv", "lsp-attach-mirror", lively.port("web"), "theirs")
    with opened(lively):
        assert lively.copies("gre.key") == {("web", "0x00000007"), ("db", "0x00000008"), ("db", "0x00000046")}
    assert lively.copies("gre.key") == {("db", "0x00000046")}
    lively.nbctl("--wait=hv", "mirror-del", "theirs")


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


def test_two_at_once_make_one(lively: Cloud) -> None:
    code = "import sys, pickle; p, o = pickle.loads(sys.stdin.buffer.read()); p.perform(o)"
    provider, step = lively.provider(), lively.step(GRE)
    both = [subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) for _ in range(2)]
    for one in both:
        assert one.stdin
        one.stdin.write(pickle.dumps((provider, step.do)))
        one.stdin.close()
    assert [one.wait(timeout=60) for one in both] == [0, 0]
    assert provider.found(step) == Finding(Found.THERE)
    assert lively.nbctl("--columns=name", "list", "Mirror").count("name") == 2
    provider.perform(step.undo)


def test_without_a_controller_nothing_is_left_behind(lively: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapwright.providers.ovn_chassis.PATIENCE", 1.0)
    before = lively.dump()
    provider, step = lively.provider(), lively.step(GRE)
    with lively.without("s1", "ovn-controller"):
        with pytest.raises(ProviderError, match=r"did not take the mirror .* over"):
            provider.perform(step.do)
        assert lively.dump() == before
    provider.perform(step.do)
    with lively.without("s1", "ovn-controller"):
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


def test_an_ovn_with_mirrors_of_both_directions_needs_one() -> None:
    """As later releases have it; the schema says so."""
    do = Operation.of("ovn", "mirror", name="tw", mark="m", port="p", target=GRE, direction="both")
    both = wanted(do, {"from-lport", "to-lport", "both"})
    assert [(row.name, row.filter, row.index) for row in both] == [("tw", "both", 7)]
    assert [(row.filter, row.index) for row in wanted(do, {"from-lport", "to-lport"})] == [
        ("from-lport", 7), ("to-lport", 8),
    ]  # fmt: skip


def before(
    lively: Cloud, target: str, vm: str = "web", servers: tuple[str, ...] = ("s1",), **more: object
) -> Preflight:
    """What is said of a mirror before it is opened, on these servers."""
    mirror = Mirror(lively.point(vm), parse(target), NOBODY, **more)  # type: ignore[arg-type]
    return judge(mirror, lively.provider(*servers).scouted(mirror))


def told(found: Preflight) -> dict[str, tuple[Answer, str]]:
    return {verdict.question: (verdict.answer, verdict.text) for verdict in found.verdicts}


def test_before_it_is_opened_its_way_is_the_switchs_own(lively: Cloud) -> None:
    found = before(lively, ERSPAN)
    assert found.refusal is None
    assert told(found)["way"] == (Answer.YES, "copies leave by br-phy")
    assert told(found)["room"] == (Answer.YES, "there is room for 2 more mirrors")
    numbers = "what the VM sends: session 12, index 18; what comes to it: session 13, index 19"
    assert numbers in told(found)["numbers"][1]
    assert "hexadecimal" in told(found)["numbers"][1]
    assert told(found)["size"] == (Answer.YES, f"the vNIC's largest frames pass the MTU of {UNDERLAY}")
    refusal = before(lively, "gre://203.0.113.9?key=7").refusal
    assert refusal
    assert refusal.text == "no route to the collector 203.0.113.9"


def test_before_it_is_opened_large_frames_are_warned_of(lively: Cloud) -> None:
    with lively.narrow("s1", 1500):
        found = before(lively, ERSPAN)
        assert told(found)["size"][0] is Answer.WARN
        assert found.largest == 1500 + 14 - (14 + 20 + 8 + 8)
        assert "they are lost" in found.beyond


def test_before_it_is_opened_on_another_server_it_is_said_what_nobody_here_knows(lively: Cloud) -> None:
    found = before(lively, GRE, "db")
    assert [verdict.question for verdict in found.warnings] == ["server"]
    assert f"{lively.server('s2')} has the logical port" in found.warnings[0].text
    assert "room" not in told(found)
    assert told(before(lively, GRE, "db", ("s2",)))["way"] == (Answer.YES, "copies leave by br-phy"), (
        "there it is known"
    )


def test_before_it_is_opened_what_ovn_would_refuse_is_refused(lively: Cloud) -> None:
    lively.nbctl("mirror-add", "theirs", "gre", "8", "to-lport", COLLECTOR)
    try:
        with pytest.raises(ProviderError, match=r"mirror theirs sends to .* with number 8 already"):
            before(lively, GRE)
    finally:
        lively.nbctl("mirror-del", "theirs")


def test_before_it_is_opened_a_collector_that_stands_for_the_vm_is_a_loop(lively: Cloud) -> None:
    lively.nbctl("lr-add", "edge", "--", "lr-nat-add", "edge", "dnat_and_snat", "172.31.0.77", "10.0.0.11")
    try:
        mirror = Mirror(lively.point(), parse("gre://172.31.0.77?key=7"), NOBODY)
        facts = replace(lively.provider("s1").scouted(mirror), addresses=("10.0.0.11/24",))
        refusal = judge(mirror, facts).refusal
        assert refusal
        assert "172.31.0.77 are passed on to the mirrored VM" in refusal.text
    finally:
        lively.nbctl("lr-del", "edge")


def test_before_it_is_opened_a_switch_with_room_for_one_of_two_is_full(lively: Cloud) -> None:
    port = lively.vsctl("s1", "--bare", "--columns=_uuid", "find", "Port", "name=vnet1").strip()
    for number in range(31):
        made = ["--id=@m", "create", "Mirror", f"name=m{number}", f"select_src_port={port}", "output_vlan=99"]
        lively.vsctl("s1", *made, "--", "add", "Bridge", "br-int", "mirrors", "@m")
    try:
        assert before(lively, GRE, direction=Direction.IN).refusal is None
        refusal = before(lively, GRE).refusal
        assert refusal
        assert "31 mirrors already" in refusal.text
    finally:
        lively.vsctl("s1", "clear", "Bridge", "br-int", "mirrors")


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
