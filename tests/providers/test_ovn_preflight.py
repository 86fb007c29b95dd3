"""What is said of a mirror by OVN before it is opened."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from support.cloud import COLLECTOR, ERSPAN, GRE, Cloud, cloud
from tapwright.errors import ProviderError
from tapwright.plan.mirrors import Direction, Mirror, parse
from tapwright.plan.preflight import Answer, Preflight, judge
from tapwright.plan.steps import NOBODY

pytestmark = pytest.mark.root

UNDERLAY = 1600


@pytest.fixture(scope="module")
def lively() -> Iterator[Cloud]:
    with cloud() as lively:
        yield lively


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
