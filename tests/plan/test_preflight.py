"""What is said of a mirror before it is opened: from facts alone."""

from dataclasses import replace

import pytest

from tapwright.model import Capability, DeviceKey, Netns
from tapwright.plan.mirrors import Mirror, Place, parse
from tapwright.plan.points import Point, PointKind
from tapwright.plan.preflight import Answer, Facts, TooLarge, Vlan, Way, judge, largest, overhead
from tapwright.plan.steps import Mark

POINT = Point(
    PointKind.MIRROR, "web", "eth0", "ovs", DeviceKey(1, 5), "vnet1", Netns(1), Capability.yes(), port="vnet1"
)
FACTS = Facts(vnic_mtu=1500, addresses=("10.0.0.5/24", "fd00::5/64"), way=Way("br-phy", "", 1600))
LOST = replace(FACTS, way=Way("br-phy", "", 1500), too_large=TooLarge.LOST)


def mirror(target: str = "vxlan://192.0.2.9?vni=7", place: Place | None = None, **more) -> Mirror:
    return Mirror(POINT, parse(target), Mark("1a2b3c4d", "1.1.b", 9), place or Place(), **more)


def answers(asked: Mirror, facts: Facts) -> dict[str, tuple[Answer, str, str]]:
    return {v.question: (v.answer, v.text, v.advice) for v in judge(asked, facts).verdicts}


def test_where_all_is_well_nothing_is_refused_or_warned_of() -> None:
    found = judge(mirror(), FACTS)
    assert found.refusal is None
    assert not found.warnings
    assert found.largest == 0


@pytest.mark.parametrize(
    ("target", "bytes_around"),
    [
        ("vxlan://192.0.2.9?vni=7", 50),
        ("vxlan://[2001:db8::9]?vni=7", 70),
        ("geneve://192.0.2.9?vni=7", 50),
        ("gre://192.0.2.9", 38),
        ("gre://192.0.2.9?key=7", 42),
        ("erspan2://192.0.2.9?session=7", 50),
        ("erspan3://192.0.2.9?session=7", 54),
        ("rspan:999", 0),
    ],
)
def test_what_a_tunnel_puts_around_a_frame(target: str, bytes_around: int) -> None:
    assert overhead(parse(target)) == bytes_around


def test_large_copies_that_are_lost_are_told_with_three_ways_out() -> None:
    answer, text, advice = answers(mirror(), LOST)["size"]
    assert answer is Answer.WARN
    assert "more than 1464 bytes" in text
    assert "whose MTU is 1500: they are lost" in text
    assert advice.startswith("raise the MTU of the way to 1550, lower the vNIC's to 1450")
    assert judge(mirror(), LOST).largest == 1464


def test_a_tag_takes_four_bytes_more() -> None:
    facts = replace(LOST, tagged=True)
    _, text, advice = answers(mirror(), facts)["size"]
    assert "more than 1464 bytes" in text
    assert "to 1554, lower the vNIC's to 1446" in advice


def test_large_copies_that_the_kernel_sends_in_fragments() -> None:
    _, text, _ = answers(mirror(), replace(LOST, too_large=TooLarge.FRAGMENTS))["size"]
    assert "in IP fragments" in text


def test_frames_that_are_cut_fit() -> None:
    assert answers(mirror(snaplen=1464), LOST)["size"][0] is Answer.YES
    assert answers(mirror(snaplen=1465), LOST)["size"][0] is Answer.WARN


def test_what_nobody_knows_is_not_warned_of() -> None:
    for facts in (replace(LOST, vnic_mtu=0), replace(LOST, way=Way("br-phy"))):
        assert answers(mirror(), facts)["size"][0] is Answer.YES
        assert largest(mirror(), facts) == 0


def test_without_a_way_nothing_is_opened() -> None:
    answer, text, advice = answers(mirror(), replace(FACTS, way=Way()))["way"]
    assert (answer, text) == (Answer.REFUSE, "no route to the collector 192.0.2.9")
    assert advice
    answer, text, _ = answers(mirror(), replace(FACTS, way=Way("eth0", usable=False)))["way"]
    assert answer is Answer.REFUSE
    assert "no bridge of this Open vSwitch" in text
    answer, text, _ = answers(mirror(), replace(FACTS, way=Way("eth0", everybody=True)))["way"]
    assert (answer, "broadcast address" in text) == (Answer.REFUSE, True)


@pytest.mark.parametrize(
    ("asked", "facts", "why"),
    [
        (mirror("vxlan://10.0.0.5?vni=7"), FACTS, "10.0.0.5 is the mirrored VM itself"),
        (mirror("vxlan://[fd00:0::5]?vni=7"), FACTS, "fd00::5 is the mirrored VM itself"),
        (mirror(), replace(FACTS, way=Way("vnet1")), "leads through vnet1"),
        (mirror(), replace(FACTS, way=Way("br-phy", "10.0.0.5")), "leads through 10.0.0.5"),
        (mirror("vm:x/eth0", Place(port="vnet1")), FACTS, "into vnet1 itself"),
        (mirror("nic:y", Place(DeviceKey(1, 5), "y")), FACTS, "into the mirrored device"),
    ],
)
def test_loops_are_refused(asked: Mirror, facts: Facts, why: str) -> None:
    answer, text, _ = answers(asked, facts)["loop"]
    assert answer is Answer.REFUSE
    assert why in text
    assert judge(asked, facts).refusal


def test_a_bridge_takes_32_mirrors() -> None:
    assert answers(mirror(), replace(FACTS, mirrors=31))["room"][0] is Answer.YES
    assert answers(mirror(), replace(FACTS, mirrors=32))["room"][0] is Answer.REFUSE


def test_a_device_that_takes_less_than_the_vnic_sends() -> None:
    to = mirror("nic:snf0", Place(device_name="snf0"))
    answer, text, advice = answers(to, replace(LOST, taker_mtu=1000))["size"]
    assert answer is Answer.WARN
    assert "snf0 takes frames up to 1014 bytes" in text
    assert advice == "raise its MTU to 1500"
    assert answers(to, replace(LOST, taker_mtu=1500))["size"][0] is Answer.YES
    assert "size" not in answers(to, LOST)


def test_a_vlan_that_nobody_carries_or_that_vms_hear() -> None:
    to = mirror("rspan:999")
    assert answers(to, replace(FACTS, vlan=Vlan()))["vlan"][0] is Answer.REFUSE
    assert answers(to, replace(FACTS, vlan=Vlan(("trunk0",))))["vlan"][0] is Answer.YES
    answer, text, advice = answers(to, replace(FACTS, vlan=Vlan(("trunk0", "vnet1"), ("vnet1",))))["vlan"]
    assert answer is Answer.WARN
    assert "the VMs behind vnet1" in text
    assert "set port vnet1 tag=N" in advice
    assert "vlan" not in answers(mirror(), FACTS)
    assert answers(to, replace(FACTS, vlan=Vlan(("trunk0",), own=True)))["vlan"][0] is Answer.REFUSE
    answer, text, advice = answers(to, replace(FACTS, vlan=Vlan(("trunk0",), besides="br0 has STP on")))["vlan"]
    assert answer is Answer.REFUSE
    assert "br0 has STP on: it might pass for the VM's own" in text
    assert "erspan2://" in advice
