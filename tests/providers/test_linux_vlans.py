"""Whole VLANs of a real Linux bridge mirrored by tc: each of their frames once, with its tag, and no other."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from support.bridged import INSIDE, INSIDE6, World, frames, settle, told, world
from support.copied import opened
from support.entered import entered
from support.mirrored import COLLECTOR, MARK
from support.netns import ip, veth
from support.packets import send
from support.tapes import Speaker, Unwrap, behind, recorded, tagged, tapes
from support.traces import difference, tc
from support.vnics import quiet_namespace
from tapwright.adapters import livepcap
from tapwright.errors import ProviderError, UsageError
from tapwright.filter import compile_filter
from tapwright.plan.mirrors import Direction, Place, Target, TargetKind
from tapwright.plan.steps import Found, Mark, Step
from tapwright.providers.linux import Linux

pytestmark = pytest.mark.root

NIC, VXLAN = "nic:snf0", f"vxlan://{COLLECTOR}?vni=7"
TARGETS: dict[str, tuple[str, str, Unwrap]] = {
    NIC: ("sniffer", "", bytes),
    VXLAN: ("collector", "udp port 4789", behind(50)),
}
"""Who gets the copies, what of the rest there is none, and what the copy is in what comes."""
ANOTHER = Mark("9f8e7d6c", "4712.98.b00t", 1_800_000_000)


@pytest.fixture(scope="module")
def quiet() -> Iterator[World]:
    with world() as quiet:
        yield quiet


@pytest.fixture
def homed() -> Iterator[World]:
    """The host's own address is on br0, and the collector is behind a port of it."""
    with world() as homed:
        settle(homed)
        yield homed


def doubly(frame: bytes) -> bytes:
    return tagged(10)(tagged(20)(frame))


def carrier(frame: bytes) -> bytes:
    """Of VLAN 20, with the tag that IEEE 802.1ad has for it."""
    return frame[:12] + b"\x88\xa8\0\x14" + frame[12:]


def urgent(frame: bytes) -> bytes:
    """Of no VLAN: its tag says how urgent it is."""
    return frame[:12] + b"\x81\0\xa0\0" + frame[12:]


SAID: Sequence[tuple[str, str, int, Unwrap]] = (
    ("web", "eth0", 0, bytes),
    ("db", "eth0", 10, tagged(10)),
    ("vm", "eth0", 20, tagged(20)),
    ("web", "eth0", 10, doubly),
    ("db", "eth0", 20, carrier),
    ("vm", "eth0", 0, urgent),
    ("host", "br0", 0, bytes),
    ("host", "br0", 20, tagged(20)),
)
"""Who speaks by which device in which VLAN, and how that looks."""


def speakers(world: World) -> list[tuple[int, Speaker]]:
    return [
        (vlan, Speaker(getattr(world, who), [dressed(f) for f in frames(n)], device, tagged(vlan) if vlan else bytes))
        for n, (who, device, vlan, dressed) in enumerate(SAID)
    ]


def said(
    world: World, vlans: Sequence[int], taker: str, only: str = "", unwrapped: Unwrap = bytes
) -> tuple[Counter[bytes], Counter[bytes]]:
    """What came to the target, and what was said in those VLANs; first all others speak."""
    chosen = [speaker for vlan, speaker in speakers(world) if vlan in vlans]
    with tapes((getattr(world, taker), "eth0", only, lambda packet: told(unwrapped(packet)))) as running:
        for vlan, speaker in speakers(world):
            if vlan not in vlans:
                say(speaker)
        (found,) = recorded(running, chosen)
    return found, Counter(told(frame) for speaker in chosen for frame in speaker.frames)


def say(speaker: Speaker) -> None:
    """Without anybody who writes it down."""
    for at in range(0, len(speaker.frames), 60):
        send(speaker.netns, speaker.device, speaker.frames[at : at + 60])


def place(world: World, target: str) -> Place:
    return world.place("snf0") if target == NIC else Place()


@pytest.mark.parametrize("vlans", [(10,), (20,), (0,), (10, 20), (0, 20)])
@pytest.mark.parametrize("target", TARGETS)
def test_each_frame_of_a_vlan_once_and_with_its_tag(quiet: World, target: str, vlans: tuple[int, ...]) -> None:
    with opened(quiet, target, place(quiet, target), vlans=vlans) as steps:
        assert quiet.promiscuity() == 1
        found, expected = said(quiet, vlans, *TARGETS[target])
        copies = [quiet.provider.copied(step) for step in steps if step.do.verb == "copy"]
    assert found == expected
    assert found
    assert sum(count or 0 for count in copies) >= sum(expected.values())


@pytest.mark.parametrize("target", TARGETS)
def test_a_vlan_filtered(quiet: World, target: str) -> None:
    """As a VM's own frames are: the kernel has taken the tag off before."""
    program = compile_filter("ether proto 0x88b6 or greater 90", live=livepcap.live).program.code
    with opened(quiet, target, place(quiet, target), vlans=(0, 10), program=program):
        found, expected = said(quiet, (0, 10), *TARGETS[target])
    # `told` left a tag at the end.
    lengths = {
        told(frame): len(frame) - 4 * (frame != told(frame)) for _, each in speakers(quiet) for frame in each.frames
    }
    assert found == Counter(frame for frame in expected.elements() if lengths[frame] >= 90)
    assert found != expected


def test_a_port_that_joins_later_is_heard(quiet: World) -> None:
    with quiet_namespace() as late, opened(quiet, NIC, quiet.place("snf0"), vlans=(10,)):
        veth(quiet.host, "vnet9", "eth0", late)
        ip("link", "set", "vnet9", "master", "br0", netns=quiet.host)
        speaker = Speaker(late, [tagged(10)(frame) for frame in frames(7)], dressed=tagged(10))
        with tapes((quiet.sniffer, "eth0", "", told)) as running:
            (found,) = recorded(running, [speaker])
        ip("link", "del", "vnet9", netns=quiet.host)
    assert found == Counter(map(told, speaker.frames))


def both(world: World) -> tuple[Linux, list[Sequence[Step]]]:
    """Two mirrors of the same bridge, open."""
    provider = world.provider
    opened = []
    for mark, vlan in ((MARK, 10), (ANOTHER, 20)):
        steps = provider.steps(world.mirror(NIC, world.place("snf0"), vlans=(vlan,), mark=mark))
        for step in steps:
            provider.perform(step.do)
        opened.append(steps)
    return provider, opened


@pytest.mark.parametrize("first", [0, 1])
def test_one_that_ends_takes_nothing_from_another(quiet: World, first: int) -> None:
    before = quiet.look()
    provider, mirrors = both(quiet)
    assert quiet.promiscuity() == 2
    found, expected = said(quiet, (10, 20), "sniffer")
    assert found == expected
    for step in reversed(mirrors[first]):
        provider.perform(step.undo)
    assert quiet.promiscuity() == 1
    assert {provider.found(step).found for step in mirrors[1 - first]} == {Found.THERE}
    found, expected = said(quiet, ((20, 10)[first],), "sniffer")
    assert found == expected
    for step in reversed(mirrors[1 - first]):
        provider.perform(step.undo)
    assert not difference(before, quiet.look())


def test_a_bridge_that_goes_takes_all_of_it_along(quiet: World) -> None:
    ip("link", "add", "br9", "type", "bridge", netns=quiet.host)
    ip("link", "set", "br9", "up", netns=quiet.host)
    before = quiet.look()
    provider, point = quiet.provider, replace(quiet.whole(), device=quiet.place("br9").device, device_name="br9")
    steps = provider.steps(replace(quiet.mirror(NIC, quiet.place("snf0"), vlans=(10,)), point=point))
    for step in steps:
        provider.perform(step.do)
    ip("link", "del", "br9", netns=quiet.host)
    assert {provider.found(step).found for step in steps} == {Found.ABSENT}
    for step in reversed(steps):
        provider.perform(step.undo)
    assert "br9" in difference(before, quiet.look())


# Tunnels whose packets pass the bridge themselves

ROUND = (f"vxlan://{INSIDE}?vni=7", f"vxlan://[{INSIDE6}]?vni=7")
SMALL = [b"\xff" * 6 + bytes.fromhex(f"02000000000a{kind}") + bytes([0, 0]) for kind in ("0800", "86dd")]
SMALL += [
    b"\xff" * 6 + bytes.fromhex("02000000000a080045000020000100004001000001020304010203050800") + bytes(10),
    b"\xff" * 6 + bytes.fromhex("02000000000a86dd6000000000083a40") + bytes(32) + b"\x80" + bytes(7),
]
"""Shorter than what is looked for in them."""
BIG = [b"\xff" * 6 + bytes.fromhex("02000000000a88b5") + bytes([n]) * 1486 for n in range(20)]


def copied(world: World, steps: Sequence[Step]) -> int:
    provider = world.provider
    return sum(provider.copied(step) or 0 for step in steps if step.do.verb == "copy")


def calm(world: World, steps: Sequence[Step]) -> int:
    """How many were copied by the time that nothing more is."""
    deadline, before = time.monotonic() + 20, -1
    while (now := copied(world, steps)) != before:
        assert time.monotonic() < deadline, f"it goes on for ever: {now} copies"
        before = now
        time.sleep(1.5)
    return now


@pytest.mark.parametrize("target", ROUND)
def test_what_a_tunnel_sends_by_the_bridge_is_left_out(homed: World, target: str) -> None:
    """And what a collector answers on which nobody listens: or each copy would have a copy for ever."""
    for limit in ("ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"):
        entered(homed.db, lambda limit=limit: Path("/proc/sys/net", limit).write_text("0"))
    with opened(homed, target, vlans=(0,)) as steps:
        send(homed.web, "eth0", [*SMALL, *frames(1), *BIG])
        total = calm(homed, steps)
    said = len(SMALL) + len(frames(1)) + len(BIG)
    assert said <= total < said + 60, "neighbours are asked for, too"


def test_two_tunnels_by_the_bridge_that_copy_each_other_are_refused(homed: World) -> None:
    """Also where both were planned before either was made."""
    before = homed.look()
    provider = homed.provider
    asked = homed.mirror(ROUND[0], vlans=(0,))
    other = homed.mirror("vxlan://172.30.0.8?vni=8", vlans=(0, 10), mark=ANOTHER)
    first, second = provider.steps(asked), provider.steps(other)
    for step in first:
        provider.perform(step.do)
    with pytest.raises(ProviderError, match="for ever") as refused:
        provider.steps(other)
    assert "br0" in refused.value.message
    *harmless, last = second
    for step in harmless:
        provider.perform(step.do)
    with pytest.raises(ProviderError, match="for ever"):
        provider.perform(last.do)
    for step in reversed([*first, *second]):
        provider.perform(step.undo)
    assert not difference(before, homed.look())


@pytest.mark.parametrize(
    "more", [{"target": f"vxlan://{INSIDE}?vni=8"}, {"target": "vxlan://172.30.0.8?vni=8", "first": (10,)}]
)
def test_two_tunnels_that_leave_each_other_out_are_not(homed: World, more: dict) -> None:
    """To the same collector, or of a VLAN in which no tunnel sends."""
    before = homed.look()
    provider, made = homed.provider, []
    for mark, target, vlans in ((MARK, ROUND[0], more.get("first", (0,))), (ANOTHER, more["target"], (0,))):
        steps = provider.steps(homed.mirror(target, vlans=vlans, mark=mark))
        for step in steps:
            provider.perform(step.do)
        made += steps
    send(homed.web, "eth0", frames(1))
    assert calm(homed, made) < 4 * len(frames(1))
    for step in reversed(made):
        provider.perform(step.undo)
    assert not difference(before, homed.look())


# What is refused


def test_what_makes_no_sense_is_refused(quiet: World) -> None:
    here = quiet.place("snf0")

    def steps(target: str | Target = NIC, place: Place = here, **more: object) -> None:
        quiet.provider.steps(quiet.mirror(target, place, **{"vlans": (10,), **more}))

    with pytest.raises(UsageError, match="which frames"):
        steps(vlans=())
    with pytest.raises(UsageError, match="no direction"):
        steps(direction=Direction.OUT)
    with pytest.raises(UsageError, match="no direction"):
        steps(program=compile_filter("inbound", live=livepcap.live).program.code)
    with pytest.raises(UsageError, match="whole frames"):
        steps(snaplen=80)
    with pytest.raises(ProviderError, match="no RSPAN VLAN"):
        steps("rspan:999", Place())
    with pytest.raises(UsageError, match="adds nothing"):
        steps(Target(TargetKind.NIC), Place())
    with pytest.raises(UsageError, match="cannot be the target"):
        steps("nic:br0", quiet.place("br0"))
    with pytest.raises(UsageError, match="is a port of br0"):
        steps("nic:vnet1", quiet.place("vnet1"))
    with pytest.raises(UsageError, match="is a port of br0"):
        steps("vm:vm/eth0", quiet.place("vnet3"))
    with pytest.raises(ProviderError, match="another network namespace"):
        steps("nic:eth0", quiet.place("eth0", quiet.sniffer))
    with pytest.raises(ProviderError, match="no route"):
        steps("vxlan://198.51.100.9?vni=7", Place())


def test_a_device_that_leads_into_the_bridge_is_no_target(quiet: World) -> None:
    veth(quiet.host, "loop0", "loop1")
    ip("link", "set", "loop1", "master", "br0", netns=quiet.host)
    try:
        with pytest.raises(UsageError, match="copied again"):
            quiet.provider.steps(quiet.mirror("nic:loop0", quiet.place("loop0"), vlans=(10,)))
    finally:
        ip("link", "del", "loop0", netns=quiet.host)


def test_a_way_that_wraps_once_more_is_refused(homed: World) -> None:
    """Behind it nobody knows what our tunnel sends."""
    ip("link", "add", "wrap0", "type", "vxlan", "id", "9", "remote", INSIDE, "dstport", "4799", netns=homed.host)
    ip("addr", "add", "10.77.0.1/24", "dev", "wrap0", netns=homed.host)
    ip("link", "set", "wrap0", "up", netns=homed.host)
    with pytest.raises(UsageError, match="wrap0, which wraps them once more"):
        homed.provider.steps(homed.mirror("vxlan://10.77.0.9?vni=7", vlans=(0,)))


def test_a_bridge_that_is_down_forwards_nothing(homed: World) -> None:
    ip("link", "set", "br0", "down", netns=homed.host)
    with pytest.raises(ProviderError, match="br0 is down"):
        homed.provider.steps(homed.mirror(NIC, homed.place("snf0"), vlans=(0,)))


def test_an_ingress_qdisc_of_others_has_no_hook_for_the_host(homed: World) -> None:
    tc("qdisc", "add", "dev", "br0", "ingress", netns=homed.host)
    with pytest.raises(ProviderError, match="`ingress` qdisc"):
        homed.provider.steps(homed.mirror(NIC, homed.place("snf0"), vlans=(0,)))
