"""VLANs of a VLAN-aware bridge, which a guest's kernel has, copied by our programs: each frame once, and no other."""

import re
import struct
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from support.mirrored import MARK
from support.netns import ip
from support.tapes import tape
from support.tunnelling import FAILED, guest
from support.vnics import quiet_namespace
from tapwright.adapters.tc import HOOKS
from tapwright.providers.linux_programs import at_hook, marked
from tapwright.providers.linux_vlan_programs import Tags, only_vlans, tags_at

pytestmark = [pytest.mark.root, pytest.mark.guest]

SPEAKERS = {"access10": 10, "access1": 1, "trunk.10": 10, "trunk.20": 20, "br0": 1, "br0.10": 10}
"""Device -> the VLAN of what is sent by it; the last two are the host itself."""
PINGS = 3
DOT1Q = 0x8100
USUAL, ALL_TAGGED = Tags(DOT1Q, 1, (1,)), Tags(DOT1Q, 1, ())
PHASES: Sequence[tuple[Tags, tuple[int, ...]]] = (
    (USUAL, (10,)),
    (USUAL, (1,)),
    (USUAL, (1, 20)),
    (ALL_TAGGED, (1,)),
)
"""How the bridge itself has its VLANs, and which are mirrored, one after another."""


def _lines() -> Iterator[str]:
    yield "ip link set lo up"
    yield "ip link set eth0 up"
    yield "ip addr add 192.0.2.1/24 dev eth0"
    yield "ip link add br0 type bridge vlan_filtering 1 mcast_snooping 0"
    yield "ip link set br0 up"
    for name in ("access10", "access1", "trunk"):
        yield f"ip link add {name} type veth peer name p{name}"
        yield f"ip link set p{name} master br0"
        yield f"ip link set p{name} up"
        yield f"ip link set {name} up"
    yield "bridge vlan add vid 10 dev paccess10 pvid untagged"
    yield "bridge vlan del vid 1 dev paccess10"
    yield "bridge vlan add vid 10 dev ptrunk"
    yield "bridge vlan add vid 20 dev ptrunk"
    yield "bridge vlan add vid 10 dev br0 self"
    for lower, vlan in (("trunk", 10), ("trunk", 20), ("br0", 10)):
        yield f"ip link add link {lower} name {lower}.{vlan} type vlan id {vlan}"
        yield f"ip link set {lower}.{vlan} up"
    # Nothing but that there is somebody who wants it, as of our packet socket.
    yield "ip link set br0 promisc on"
    yield "tc qdisc add dev br0 clsact"
    yield "bridge -compressvlans vlan show dev br0"


def _phase(number: int, tags: Tags, vlans: Sequence[int]) -> Iterator[str]:
    yield f"bridge vlan add vid 1 dev br0 self pvid {'untagged' if tags.untagged else ''}"
    for hook in HOOKS:
        program = marked(only_vlans(at_hook(b"", outgoing=False), tags_at(hook, vlans, tags), tags.protocol), MARK)
        lines = [" ".join(map(str, fields)) for fields in struct.iter_unpack("=HBBI", program)]
        yield f"tc filter add dev br0 {hook} protocol all pref 47 handle 8 bpf bytecode"
        yield ",".join([str(len(lines)), *lines])
        yield "action mirred egress mirror dev eth0 continue"
    for speaker, device in enumerate(SPEAKERS):
        yield f"ip route add 10.{number}.{speaker}.0/24 dev {device}"
        yield f"ip neigh add 10.{number}.{speaker}.1 lladdr 02:00:00:00:00:77 dev {device}"
        yield f"ping -c {PINGS} -i 0.1 -W 1 -w 4 -I {device} 10.{number}.{speaker}.1"
    for hook in HOOKS:
        yield f"tc filter del dev br0 {hook} pref 47"


def _commands() -> list[list[str]]:
    found: list[list[str]] = []
    for line in (*_lines(), *(line for n, phase in enumerate(PHASES) for line in _phase(n, *phase))):
        words = [line] if line[0].isdigit() else line.split()
        if found and (line[0].isdigit() or words[0] == "action"):
            found[-1] += words
        else:
            found.append(words)
    return found


def _told(frame: bytes) -> tuple[int, int, int] | None:
    """Phase, speaker, and the tag that the copy has; None of anything else."""
    tag, rest = (
        (int.from_bytes(frame[14:16], "big") & 0xFFF, frame[16:]) if frame[12:14] == b"\x81\0" else (0, frame[12:])
    )
    return (rest[19], rest[20], tag) if rest[:2] == b"\x08\0" and rest[11] == 1 and rest[18] == 10 else None


def _expected() -> Counter[tuple[int, int, int]]:
    """With its tag, unless the VLAN has none at the bridge itself; what the host sends comes as it sends it."""
    found: Counter[tuple[int, int, int]] = Counter()
    for phase, (tags, vlans) in enumerate(PHASES):
        for speaker, (device, vlan) in enumerate(SPEAKERS.items()):
            if vlan in vlans:
                bare = vlan == tags.pvid if device == "br0" else vlan in tags.untagged
                found[phase, speaker, 0 if bare else vlan] = PINGS
    return found


def test_each_frame_once_with_the_tag_it_has_at_the_bridge() -> None:
    with quiet_namespace() as netns:
        ip("tuntap", "add", "dev", "tap0", "mode", "tap", netns=netns)
        ip("link", "set", "tap0", "up", netns=netns)
        with tape(netns, "tap0") as copies, guest(netns, "tap0", _commands()) as said:
            failed = [line for line in said.splitlines() if FAILED in line and "ping" not in line]
            assert not failed, said[-3000:]
            # As our survey is told: the bridge itself stands among its ports.
            assert re.search(r"^br0 +1 PVID Egress Untagged", said, re.MULTILINE), said[-3000:]
            found = Counter(key for frame in copies.frames() if (key := _told(frame)))
    assert found == _expected()
