"""Whole VLANs of a real Open vSwitch mirrored: each of their frames once, by whatever ports it goes, and no other."""

from collections import Counter
from collections.abc import Iterator

import pytest

from providers.test_ovs_filtered import compiled, opened, steps_of
from support.frames import whole_frames
from support.mirrored import COLLECTOR, MARK, World, world
from support.tapes import Speaker, Unwrap, behind, recorded, tagged, tapes, untagged
from tapwright.errors import ProviderError, UsageError
from tapwright.plan.mirrors import Direction, Mirror, Place, parse

pytestmark = pytest.mark.root

WEB, DB, VM, TRUNK = (
    # Behind a tag the kernel wants two bytes of whatever that is at least.
    [frame for frame in whole_frames(seed, 200) if frame[12:14] != b"\x81\0" and len(frame) >= 16]
    for seed in (81, 82, 83, 84)
)
GRE = f"gre://{COLLECTOR}?key=3"


class Whole(World):
    """Whose mirrors are of the switch br0."""

    def mirror(self, target: str, place: Place | None = None, port: str = "", **more: object) -> Mirror:
        return Mirror(self.whole(), parse(target), MARK, place or Place(), **more)


@pytest.fixture(scope="module")
def quiet() -> Iterator[Whole]:
    """web, db and trunk are in VLAN 10, trunk and vm in VLAN 20."""
    with world(talking=False) as quiet:
        for port, tag in (("vnet1", 10), ("vnet2", 10), ("vnet3", 20)):
            quiet.switch.vsctl("set", "port", port, f"tag={tag}")
        yield Whole(*(getattr(quiet, field) for field in World.__dataclass_fields__))


def told(frame: bytes) -> bytes:
    """The frame with its tag at the end, where it is in nobody's way."""
    return frame[:12] + frame[16:] + frame[12:16]


def said(world: World, vlans: tuple[int, ...], netns: str, only: str, unwrapped: Unwrap) -> list[Counter[bytes]]:
    """What came to the target, and what all said in those VLANs; everybody speaks, and each VLAN's last of all."""
    speakers = [
        Speaker(world.web, WEB),
        Speaker(world.db, DB),
        Speaker(world.vm, VM),
        Speaker(world.trunk, [tagged(10)(frame) for frame in TRUNK], dressed=tagged(10)),
        Speaker(world.trunk, [tagged(20)(frame) for frame in TRUNK], dressed=tagged(20)),
    ]
    of = (10, 10, 20, 10, 20)
    chosen = [number for number, vlan in enumerate(of) if vlan in vlans]
    others = [number for number, vlan in enumerate(of) if vlan not in vlans]
    unwrap = lambda packet: told(unwrapped(packet))  # noqa: E731
    with tapes((netns, "eth0", only, unwrap)) as (copied,), tapes((world.trunk, "eth0", "", untagged)) as (passed,):
        recorded([passed], [speakers[number] for number in others])
        (found,) = recorded([copied], [speakers[number] for number in chosen])
    expected = Counter(
        told(tagged(of[number])(untagged(frame) if speakers[number].netns == world.trunk else frame))
        for number in chosen
        for frame in speakers[number].frames
    )
    return [found, expected]


TARGETS = {"nic:snf0": ("sniffer", "", bytes), GRE: ("collector", "proto 47", behind(42))}


@pytest.mark.parametrize("vlans", [(10,), (20,), (10, 20)])
@pytest.mark.parametrize("target", TARGETS)
def test_each_frame_of_a_vlan_once_and_with_its_tag(quiet: Whole, target: str, vlans: tuple[int, ...]) -> None:
    taker, only, unwrapped = TARGETS[target]
    with opened(quiet, target, place(quiet, target), vlans=vlans):
        found, expected = said(quiet, vlans, getattr(quiet, taker), only, unwrapped)
    assert found == expected


def place(world: World, target: str) -> Place:
    return world.place("snf0") if target.startswith("nic") else Place()


@pytest.mark.parametrize("text", ["", "greater 0"])
def test_a_vlan_copied_into_another_one(quiet: Whole, text: str) -> None:
    """By the switch alone in place of its tag, filtered around it."""
    more = {"program": compiled(text)} if text else {}
    with opened(quiet, "rspan:999", vlans=(10,), **more):
        found, expected = said(quiet, (10,), quiet.trunk, "vlan 999", untagged if text else bytes)
    if not text:
        expected = Counter(frame[:-4] + tagged(999)(frame)[12:16] for frame in expected.elements())
    assert found == expected


@pytest.mark.parametrize("target", TARGETS)
def test_a_vlan_filtered_and_cut(quiet: Whole, target: str) -> None:
    taker, only, unwrapped = TARGETS[target]
    with opened(quiet, target, place(quiet, target), vlans=(10,), program=compiled("greater 90"), snaplen=64):
        found, expected = said(quiet, (10,), getattr(quiet, taker), only, unwrapped)
    assert found == Counter(frame[:60] + frame[-4:] for frame in expected.elements() if len(frame) - 4 >= 90)


def test_what_makes_no_sense_is_refused(quiet: Whole) -> None:
    with pytest.raises(UsageError, match="no direction"):
        steps_of(quiet, GRE, vlans=(10,), direction=Direction.OUT)
    with pytest.raises(UsageError, match="no direction"):
        steps_of(quiet, GRE, vlans=(10,), program=compiled("inbound"))
    with pytest.raises(UsageError, match="the same VLAN"):
        steps_of(quiet, "rspan:10", vlans=(10, 20))
    with pytest.raises(UsageError, match="which frames"):
        steps_of(quiet, GRE)
    with pytest.raises(ProviderError, match="br0 itself"):
        steps_of(quiet, "nic:br0", quiet.place("br0", "br0"), vlans=(10,))
