"""Mirrors by OVN's northbound database: each delivers what flows already, and leaves nothing; judged by tshark."""

import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support.cloud import COLLECTOR, ERSPAN, GRE, Cloud, cloud, opened
from support.labs import config_of
from support.mirrored import MARK
from tapwright.errors import ProviderError, UsageError
from tapwright.model import Role
from tapwright.plan.counts import Counts
from tapwright.plan.mirrors import Direction, Mirror, parse
from tapwright.plan.steps import Finding, Found, Operation
from tapwright.providers.base import Beacon, Meter
from tapwright.providers.ovn import Ovn
from tapwright.providers.ovn_mirror import wanted
from tapwright.providers.ovs import Ovs

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def lively() -> Iterator[Cloud]:
    with cloud() as lively:
        yield lively


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


def test_an_ovn_with_mirrors_of_both_directions_needs_one() -> None:
    """As later releases have it; the schema says so."""
    do = Operation.of("ovn", "mirror", name="tw", mark="m", port="p", target=GRE, direction="both")
    both = wanted(do, {"from-lport", "to-lport", "both"})
    assert [(row.name, row.filter, row.index) for row in both] == [("tw", "both", 7)]
    assert [(row.filter, row.index) for row in wanted(do, {"from-lport", "to-lport"})] == [
        ("from-lport", 7), ("to-lport", 8),
    ]  # fmt: skip
