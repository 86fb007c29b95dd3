"""Filtered mirrors on a real Open vSwitch: each target gets what the filter matches at the VM's own port, no more."""

import struct
from collections import Counter
from collections.abc import Iterator

import pytest

from support.filtered import GRE, RSPAN, TEXTS, Changers, compiled, look, opened, steps_of
from support.frames import whole_frames
from support.mirrored import COLLECTOR, COLLECTOR6, World, world
from support.packets import send
from support.tapes import MARKERS, Joined, Speaker, Unwrap, behind, recorded, tapes, untagged
from support.tapes import tagged as tagged_with
from support.traces import difference
from tapwright.errors import ProviderError
from tapwright.filter import compile_filter
from tapwright.plan.mirrors import Direction, Place
from tapwright.plan.steps import Found
from tapwright.providers.linux import Linux

pytestmark = pytest.mark.root

SENT, GOT = whole_frames(71, 250), whole_frames(72, 250)


@pytest.fixture(scope="module")
def quiet() -> Iterator[World]:
    with world(talking=False) as quiet:
        yield quiet


def judge(text: str, *, outside: bool) -> str:
    """The filter for tcpdump on one side of the VM's wire, of what comes in there."""
    return "inbound and (" + compile_filter(f"{MARKERS} or ({text})", outgoing_is_to_vm=outside).pcap_text + ")"


def judged(world: World, text: str, netns: str, only: str, unwrapped: Unwrap) -> list[Counter[bytes]]:
    """What tcpdump's own filter took at the VM's port, what came to the target, and all that passed at the port.

    Each direction is judged where it comes in: on their way out frames of a userspace datapath have
    their VLAN tags where no filter of libpcap's looks for them.
    """
    host = world.switch.netns
    with tapes(
        (host, "vnet1", judge(text, outside=True), bytes),
        (world.web, "eth0", judge(text, outside=False), bytes),
        (netns, "eth0", only, unwrapped),
        (host, "vnet1", "", bytes),
    ) as (sent, got, copied, everything):
        return recorded([Joined((sent, got)), copied, everything], [Speaker(world.web, SENT), Speaker(world.db, GOT)])


def nothing(world: World) -> Place:
    return Place()


TARGETS = {
    "nic:snf0": (lambda w: w.place("snf0"), "sniffer", "", bytes),
    "nic:trunk0": (lambda w: w.place("trunk0", "trunk0"), "trunk", "", bytes),
    "vm:vm3/eth0": (lambda w: w.place("vnet3", "vnet3"), "vm", "", bytes),
    f"erspan2://{COLLECTOR}?session=7&index=19": (nothing, "collector", "ip proto 47", behind(50)),
    f"erspan3://{COLLECTOR}?session=8": (nothing, "collector", "ip proto 47", behind(54)),
    f"gre://{COLLECTOR}?key=4242": (nothing, "collector", "ip proto 47", behind(42)),
    f"vxlan://{COLLECTOR}?vni=7007": (nothing, "collector", "udp dst port 4789", behind(50)),
    f"vxlan://[{COLLECTOR6}]?vni=7007": (nothing, "collector", "udp dst port 4789", behind(70)),
    f"geneve://{COLLECTOR}?vni=7008": (nothing, "collector", "udp dst port 6081", behind(50)),
}
ON_THE_SWITCH = ("nic:trunk0", "vm:vm3/eth0")
"""Ports that go on with traffic of their own, what is flooded too."""


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("target", TARGETS)
def test_what_a_filter_matches_at_the_port_and_nothing_else(quiet: World, target: str, text: str) -> None:
    place, taker, only, unwrapped = TARGETS[target]
    with opened(quiet, target, place(quiet), program=compiled(TEXTS[text])):
        at_port, copied, everything = judged(quiet, TEXTS[text], getattr(quiet, taker), only, unwrapped)
    if target in ON_THE_SWITCH:
        copied &= at_port
    assert copied == at_port
    assert 0 < copied.total() < everything.total()


@pytest.mark.parametrize("direction", [Direction.IN, Direction.OUT])
@pytest.mark.parametrize("target", ["nic:snf0", GRE])
def test_a_filter_and_one_direction(quiet: World, target: str, direction: Direction) -> None:
    place, taker, only = (quiet.place("snf0"), "sniffer", "") if target != GRE else (Place(), "collector", "proto 47")
    speaker = Speaker(quiet.web, SENT) if direction is Direction.OUT else Speaker(quiet.db, GOT)
    side = (quiet.switch.netns, "vnet1", judge("ip", outside=True), bytes)
    if direction is Direction.IN:
        side = (quiet.web, "eth0", judge("ip", outside=False), bytes)
    unwrapped = bytes if target != GRE else behind(42)
    with opened(quiet, target, place, program=compiled("ip"), direction=direction):
        other = quiet.web if direction is Direction.IN else quiet.db
        with tapes(side, (getattr(quiet, taker), "eth0", only, unwrapped)) as running:
            send(other, "eth0", [bytes.fromhex("ffffffffffff0200000000770800") + bytes(60)])
            at_port, copied = recorded(running, [speaker])
    assert copied == at_port
    assert copied


CUT = {GRE: ("collector", "proto 47", behind(42)), "nic:snf0": ("sniffer", "", bytes)}


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("target", CUT)
def test_frames_are_cut_behind_the_filter_and_before_they_are_wrapped(
    quiet: World, target: str, filtered: bool
) -> None:
    """Open vSwitch's own way into a tunnel delivers nothing; and a filter may ask for what is cut off."""
    text = "greater 90 and ip" if filtered else "greater 0"
    taker, only, unwrapped = CUT[target]
    more = {"program": compiled(text)} if filtered else {}
    place = quiet.place("snf0") if target != GRE else Place()
    with opened(quiet, target, place, snaplen=64, **more):
        at_port, copied, _ = judged(quiet, text, getattr(quiet, taker), only, unwrapped)
    assert copied == shortened(at_port, 64)
    assert max(map(len, copied)) == 64


@pytest.fixture
def tagged(quiet: World) -> Iterator[World]:
    """web and db in VLAN 10, and a VM of VLAN 20 that nobody asked for."""
    for port, tag in (("vnet1", 10), ("vnet2", 10), ("vnet3", 20)):
        quiet.switch.vsctl("set", "port", port, f"tag={tag}")
    yield quiet
    for port in ("vnet1", "vnet2", "vnet3"):
        quiet.switch.vsctl("clear", "port", port, "tag")


@pytest.mark.parametrize("target", CUT)
def test_frames_are_filtered_and_copied_as_the_vm_has_them_in_a_vlan_too(tagged: World, target: str) -> None:
    """Without the tag that the switch puts on them."""
    taker, only, unwrapped = CUT[target]
    place = tagged.place("snf0") if target != GRE else Place()
    with opened(tagged, target, place, program=compiled("tcp and not vlan")):
        at_port, copied, _ = judged(tagged, "tcp and not vlan", getattr(tagged, taker), only, unwrapped)
    assert copied == at_port
    assert copied


@pytest.mark.parametrize("target", [*CUT, "rspan:999"])
def test_the_switch_notices_nothing(tagged: World, target: str) -> None:
    """Every frame arrives once, and none of the copies comes back into the network."""
    place = tagged.place("snf0") if target.startswith("nic") else Place()
    with (
        opened(tagged, target, place, program=compiled("ip or arp")),
        tapes((tagged.switch.netns, "vnet1", "inbound", bytes), (tagged.db, "eth0", "inbound", bytes)) as running,
    ):
        at_port, at_db = recorded(running, [Speaker(tagged.web, SENT)])
    assert at_db <= at_port
    assert at_db


def test_what_is_filtered_does_not_fit_everywhere(quiet: World) -> None:
    with pytest.raises(ProviderError, match="no device of that name") as refused:
        steps_of(quiet, "vm:vm3/eth0", Place(port="vhost1"), program=compiled("ip"))
    assert "vxlan://" in refused.value.hint


@pytest.mark.parametrize("snaplen", [0, 64])
@pytest.mark.parametrize("text", TEXTS)
def test_what_a_filter_matches_in_a_vlan_of_copies(tagged: World, text: str, snaplen: int) -> None:
    """And nothing of it at the VM, nor does the switch learn where it came in."""
    text = f"({TEXTS[text]}) and not vlan"
    with opened(tagged, RSPAN, program=compiled(text), snaplen=snaplen):
        at_port, copied, everything = judged(tagged, text, tagged.trunk, "vlan 999", untagged)
        assert "  999  " not in tagged.switch.appctl("fdb/show", "br0")
    assert copied == shortened(at_port, snaplen)
    assert copied
    assert not of_vlan(999, everything)


@pytest.mark.parametrize("text", TEXTS)
def test_a_vm_that_hears_the_vlan_of_copies_is_not_copied_in_circles(quiet: World, text: str) -> None:
    """Its port carries all VLANs; copies have that of the target around their own."""
    with opened(quiet, RSPAN, program=compiled(TEXTS[text])):
        at_port, copied, _ = judged(quiet, TEXTS[text], quiet.trunk, "vlan 999", untagged)
        assert "  999  " not in quiet.switch.appctl("fdb/show", "br0")
    assert of_vlan(999, at_port)
    assert copied == at_port - of_vlan(999, at_port)


def of_vlan(vlan: int, frames: Counter[bytes]) -> Counter[bytes]:
    """Those with its tag."""
    return Counter(
        {frame: count for frame, count in frames.items() if frame[12:16] == struct.pack("!HH", 0x8100, vlan)}
    )


def shortened(frames: Counter[bytes], snaplen: int) -> Counter[bytes]:
    """Cut at so many bytes, 0 for whole."""
    cut: Counter[bytes] = Counter()
    for frame, count in frames.items():
        cut[frame[: snaplen or None]] += count
    return cut


@pytest.mark.parametrize("text", ["", "tcp"])
def test_only_frames_of_a_vlan(quiet: World, text: str) -> None:
    """Of a port that carries several: those of the VLAN that was asked for, filtered too."""
    plain = [frame for frame in SENT if frame[12:14] != b"\x81\0"]
    said = [*map(tagged_with(10), plain), *map(tagged_with(20), plain), *plain]
    more = {"program": compiled(text)} if text else {}
    judge_text = f"vlan 10 and ({MARKERS} or ({text}))" if text else "vlan 10"
    with (
        opened(quiet, "nic:snf0", quiet.place("snf0"), vlans=(10,), **more),
        tapes((quiet.sniffer, "eth0", "", untagged), (quiet.switch.netns, "vnet1", judge_text, untagged)) as running,
    ):
        speaker = Speaker(quiet.web, said, dressed=tagged_with(10))
        copied, at_port = recorded(running, [speaker])
    assert copied == at_port
    assert copied


def test_two_vms_share_the_way_to_a_collector(quiet: World) -> None:
    before = look(quiet)
    changers, first = steps_of(quiet, GRE, program=compiled("ip"))
    _, second = steps_of(quiet, GRE, program=compiled("ip"), port="vnet2")
    assert [step for step in first if step in second] == [first[0]]
    steps = tuple(dict.fromkeys([*first, *second]))
    for step in steps:
        changers.perform(step.do)
    with tapes((quiet.collector, "eth0", "proto 47", behind(42))) as running:
        (copied,) = recorded(running, [Speaker(quiet.web, SENT)])
    assert max(copied.values()) == 2, "a frame from one to the other is copied at both ports"
    for step in reversed(steps):
        changers.perform(step.undo)
    changed = difference(before, look(quiet))
    assert not changed, changed


def test_copies_are_counted_for_each_direction(quiet: World) -> None:
    for target in (GRE, "nic:snf0"):
        place = quiet.place("snf0") if target != GRE else Place()
        with opened(quiet, target, place, program=compiled(TEXTS["directions"])) as steps:
            counted = [step for step in steps if step.do.text("direction")]
            changers, _ = steps_of(quiet, target, place)
            _, copied, _ = judged(quiet, TEXTS["directions"], getattr(quiet, CUT[target][0]), *CUT[target][1:])
            counts = {step.do.text("direction"): changers.copied(step) or 0 for step in counted}
            markers = sum(counts.values()) - copied.total()
        assert counts.keys() == {"in", "out"}
        assert 0 < markers < sum(counts.values())


@pytest.mark.parametrize("target", ["nic:snf0", f"vxlan://{COLLECTOR}?vni=7"])
def test_what_a_filter_copies_can_be_sampled(quiet: World, target: str) -> None:
    """By the filter at the device of ours, once for all; what the switch does is left as it is."""
    changers, linux = Changers(quiet.provider), Linux()
    place = quiet.place("snf0") if target.startswith("nic") else None
    with opened(quiet, target, place, program=compiled("udp")) as steps:
        sampled = {step: linux.reduced(step, step, 0, 16) for step in steps if step.do.text("direction")}
        assert {step.do.provider for step in sampled} == {"linux"}
        assert not any(quiet.provider.reduced(step, step, 256, 1) for step in steps)
        for step, some in sampled.items():
            assert some is not None
            changers.perform(some.do)
            changers.perform(some.do)
            assert (changers.found(some), changers.found(step)) == (Found.THERE, Found.CHANGED)
            again = linux.reduced(step, some, 0, 1)
            assert again is not None
            changers.perform(again.do)
            assert {changers.found(each) for each in (again, step)} == {Found.THERE}
