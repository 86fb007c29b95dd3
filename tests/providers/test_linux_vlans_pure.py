"""By what frames of a bridge's VLANs are told at its own device, and what is refused; values in, values out."""

from dataclasses import replace

import pytest

from tapwright.adapters.netlink import PortVlans, Survey
from tapwright.errors import UsageError
from tapwright.model import Capability, Device, DeviceKey, Netns
from tapwright.plan.mirrors import Mirror, Place, parse
from tapwright.plan.points import Point, PointKind
from tapwright.plan.steps import NOBODY, Operation
from tapwright.providers.linux_facts import passed, tags_of
from tapwright.providers.linux_mirror import Facts, sampled
from tapwright.providers.linux_programs import at_hook, marked, without_own
from tapwright.providers.linux_vlan_programs import Tags, lets_through, only_vlans, tags_at
from tapwright.providers.linux_vlans import circle, passes_of, passes_text, steps

DOT1Q = 0x8100
PLAIN, USUAL = Tags(), Tags(DOT1Q, 1, (1,))
BRIDGE, SNIFFER = DeviceKey(1, 5), DeviceKey(1, 9)
POINT = Point(
    PointKind.DEVICE, "", "", "linux", BRIDGE, "vmbr0", Netns(1), Capability.yes(), switch="bridge:1:5", copies=True
)
TARGET = parse("vxlan://192.0.2.9?vni=7")


def device(key: DeviceKey, name: str, **more: object) -> Device:
    return replace(Device(key, name, "veth", up=True), **more)


DEVICES = {
    each.key: each
    for each in (
        device(BRIDGE, "vmbr0", kind="bridge"),
        device(SNIFFER, "snf0"),
        device(DeviceKey(1, 11), "vmbr0.10", kind="vlan", lower=BRIDGE, vlan=10),
        device(DeviceKey(1, 12), "ens1", kind=""),
        device(DeviceKey(1, 13), "veth0", peer=DeviceKey(1, 14)),
        device(DeviceKey(1, 14), "veth1", peer=DeviceKey(1, 13), master=5),
    )
}


def mirror(*vlans: int) -> Mirror:
    return Mirror(POINT, parse("nic:snf0"), NOBODY, Place(SNIFFER, "snf0", Netns(1)), vlans=vlans)


@pytest.mark.parametrize(
    ("tags", "vlans", "ingress", "egress"),
    [
        (PLAIN, (10,), {10}, {10}),
        (PLAIN, (0, 10), {0, 10}, {0, 10}),
        (USUAL, (10,), {10}, {10}),
        (USUAL, (1,), {0}, {0, 1}),
        (USUAL, (1, 20), {0, 20}, {0, 1, 20}),
        (Tags(DOT1Q, 1, ()), (1,), {1}, {0, 1}),
        (Tags(DOT1Q, None, ()), (1,), {1}, {1}),
        (Tags(DOT1Q, 1, (20,)), (20,), {0}, {20}),
        (Tags(DOT1Q, 1, (1, 20)), (1, 20), {0}, {0, 1, 20}),
        (Tags(DOT1Q, 1, (1, 20)), (10,), {10}, {10}),
    ],
)
def test_by_what_tags_a_vlan_is_told(tags: Tags, vlans: tuple[int, ...], ingress: set[int], egress: set[int]) -> None:
    """What the host sends without a tag is in the bridge's PVID; what comes to it without is of what is untagged."""
    assert set(tags_at("ingress", vlans, tags)) == ingress
    assert set(tags_at("egress", vlans, tags)) == egress


def test_how_a_bridge_has_its_vlans_is_read_with_everything_else() -> None:
    vlans = {BRIDGE: PortVlans(1, (10,), (1,))}
    assert tags_of(mirror(10), Survey(vlan_aware={BRIDGE: DOT1Q}, vlans=vlans)) == USUAL
    assert tags_of(mirror(10), Survey(vlans=vlans)) == PLAIN, "where it is not VLAN-aware they mean nothing"
    assert tags_of(mirror(10), Survey(vlan_aware={BRIDGE: DOT1Q})) == Tags(DOT1Q)


def test_a_vlan_aware_bridge_has_no_vlan_0() -> None:
    with pytest.raises(UsageError, match="VLAN-aware") as refused:
        steps(mirror(0), Facts(DEVICES, tags=USUAL))
    assert refused.value.hint == "--vlan 1"


def test_one_of_several_vlans_without_a_tag_is_refused() -> None:
    facts = Facts(DEVICES, tags=Tags(DOT1Q, 1, (1, 20)))
    for asked in ((1,), (20,), (20, 30)):
        with pytest.raises(UsageError, match="VLANs 1, 20 are all untagged at vmbr0 itself") as refused:
            steps(mirror(*asked), facts)
        assert f"bridge vlan add vid {min({1, 20} & set(asked))} dev vmbr0 self" in refused.value.hint
    assert steps(mirror(1, 20), facts)
    assert steps(mirror(30), facts)


def test_what_comes_without_its_tag_is_said() -> None:
    told = [step.why for step in steps(mirror(1, 20), Facts(DEVICES, tags=USUAL))]
    assert "promiscuous" in told[0]
    assert all("VLAN 1 without a tag" in why for why in told[1:])
    assert not any("without a tag" in step.why for step in steps(mirror(10), Facts(DEVICES, tags=USUAL)))


@pytest.mark.parametrize(
    ("route", "found"),
    [
        ("ens1", ()),
        ("vmbr0", (("vmbr0", 0),)),
        ("vmbr0.10", (("vmbr0", 10),)),
        ("veth0", (("vmbr0", None),)),
        ("nothing", ()),
    ],
)
def test_which_bridges_a_tunnels_packets_pass(route: str, found: tuple[tuple[str, int | None], ...]) -> None:
    assert passed(DEVICES, 1, route) == found
    assert passes_of(Operation.of("linux", "copy", passes=passes_text(found))) == found


def test_a_mirror_that_copies_what_a_tunnel_sends_closes_a_circle() -> None:
    others = marked(only_vlans(without_own(at_hook(b"", outgoing=True), TARGET), (10, 0), DOT1Q), NOBODY)
    assert [lets_through(others, tag) for tag in (0, 10, 20, None)] == [True, True, False, True]
    assert circle(parse("vxlan://192.0.2.9?vni=8"), [others]) == "", "its packets are left out"
    for target in ("vxlan://192.0.2.8?vni=7", "vxlan://192.0.2.9?vni=7&port=4790", "geneve://192.0.2.9?vni=7"):
        assert "for ever" in circle(parse(target), [others])
    assert circle(TARGET, []) == ""


def test_a_sample_still_says_what_it_lets_through() -> None:
    facts = Facts(DEVICES, tags=USUAL)
    *_, copy = steps(mirror(10), facts)
    reduced = sampled(copy, copy, 16)
    assert reduced
    program = bytes.fromhex(reduced.do.text("program"))
    assert [lets_through(program, tag) for tag in (10, 20)] == [True, False]
