"""Mirrors by tc in the real kernel: each target gets what the filter matches at the VM's own port, and nothing else."""

from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from support.copied import World, opened, world
from support.frames import whole_frames
from support.mirrored import COLLECTOR, COLLECTOR6, DB, WEB, seen, speakers, talk
from support.netns import ip
from support.tapes import MARKERS, Speaker, Unwrap, behind, recorded, tapes
from support.traces import tc
from tapwright.adapters import livepcap
from tapwright.filter import compile_filter
from tapwright.model import Vnic
from tapwright.plan.mirrors import Direction

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def quiet() -> Iterator[World]:
    with world() as quiet:
        yield quiet


@pytest.fixture
def lively(quiet: World) -> Iterator[World]:
    with talk(quiet.web, quiet.db):
        yield quiet


# Directions

DIRECTIONS = {Direction.BOTH: {WEB, DB}, Direction.IN: {DB}, Direction.OUT: {WEB}}


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_nic(lively: World, direction: Direction) -> None:
    """In is what comes to web, out what it sends."""
    with opened(lively, "nic:snf0", lively.place("snf0"), direction=direction):
        assert speakers(seen(lively.sniffer, "eth0")) == DIRECTIONS[direction]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_collectors_vnic(lively: World, direction: Direction) -> None:
    with opened(lively, "vm:vm/eth0", lively.place("vnet3"), direction=direction):
        assert speakers(seen(lively.vm, "eth0")) == DIRECTIONS[direction]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("remote", [COLLECTOR, f"[{COLLECTOR6}]"])
def test_a_collector_behind_vxlan(lively: World, remote: str, direction: Direction) -> None:
    with opened(lively, f"vxlan://{remote}?vni=7007", direction=direction):
        rows = seen(lively.collector, "eth0", "vxlan.vni", "udp.dstport", only="udp")
    assert speakers(rows) == DIRECTIONS[direction]
    assert {row[1:] for row in rows} == {("7007", "4789")}


def test_a_port_for_vxlan_of_its_own(lively: World) -> None:
    with opened(lively, f"vxlan://{COLLECTOR}?vni=5&port=8472"):
        assert seen(lively.collector, "eth0", only="udp dst port 8472", packets=4)


# Filters

SENT, GOT = whole_frames(61, 300), whole_frames(62, 300)
BIG = [b"\xff" * 6 + bytes.fromhex("02000000000a88b5") + bytes([n]) * 1486 for n in range(3)]
WEBS = Vnic("eth0", mac="02:00:00:00:00:01", addresses=("10.0.0.1/24",))
LONG = " or ".join(f"host 10.{n // 200}.{n % 200}.9" for n in range(230)) + " or tcp port 80"
"""More than `tc` itself can send."""
FILTERS = [
    "",
    "ip",
    "tcp port 80 or arp",
    "inbound",
    "outbound and not ip6",
    "(inbound and tcp) or (outbound and udp)",
    "vm web",
    "src vm web or (inbound and ether multicast)",
    "vlan",
    "vlan 10 and ip",
    "not ip and len > 60",
    "ip[6:2] & 0x1fff != 0",
    LONG,
]


def compiled(text: str, vnic: Vnic = WEBS) -> tuple[bytes, str]:
    """The program of a filter that lets markers through, and its text for tcpdump at the host's side of the port."""
    whole = f"{MARKERS} or ({text})" if text else ""
    found = compile_filter(whole, lambda _: [vnic], live=livepcap.live, outgoing_is_to_vm=True)
    return (found.program.code if text else b""), found.pcap_text


def judged(
    world: World, text: str, netns: str, unwrapped: Unwrap = bytes, only: str = ""
) -> tuple[Counter[bytes], ...]:
    """What tcpdump's own filter took at the VM's port, what came to the target, and all that passed at the port."""
    asked = (("vnet1", text), ("vnet1", ""))
    at_port = [(world.host, device, filter_text, bytes) for device, filter_text in asked]
    with tapes(at_port[0], (netns, "eth0", only, unwrapped), at_port[1]) as running:
        said = [Speaker(world.web, [*SENT, *BIG]), Speaker(world.db, GOT)]
        return tuple(recorded(running, said))


@pytest.mark.parametrize("text", FILTERS, ids=lambda text: text[:40] or "everything")
def test_what_a_filter_matches_at_the_port_and_nothing_else(quiet: World, text: str) -> None:
    program, judge = compiled(text)
    with opened(quiet, "nic:snf0", quiet.place("snf0"), program=program):
        at_port, copied, everything = judged(quiet, judge, quiet.sniffer)
    assert copied == at_port
    assert copied
    assert (copied == everything) == (not text)


def test_a_collector_gets_exactly_that(quiet: World) -> None:
    """Whole frames of 1,500 bytes too, whose copies do not fit into one packet."""
    program, judge = compiled("inbound or (outbound and tcp)")
    with opened(quiet, f"vxlan://{COLLECTOR}?vni=7007", program=program):
        at_port, copied, _ = judged(quiet, judge, quiet.collector, behind(50), "udp port 4789")
    assert copied == at_port
    assert copied


@pytest.mark.parametrize("direction", [Direction.IN, Direction.OUT])
def test_a_filter_and_one_direction(quiet: World, direction: Direction) -> None:
    program, _ = compiled("ip")
    word = {Direction.IN: "inbound", Direction.OUT: "outbound"}[direction]
    _, judge = compiled(f"{word} and ip")
    markers = [Speaker(quiet.web, SENT)] if direction is Direction.OUT else [Speaker(quiet.db, GOT)]
    with opened(quiet, "nic:snf0", quiet.place("snf0"), program=program, direction=direction):
        asked = [(quiet.host, "vnet1", judge, bytes), (quiet.sniffer, "eth0", "", bytes)]
        with tapes(*asked) as running:
            at_port, copied = recorded(running, markers)
    assert copied == at_port
    assert copied


def test_copies_are_counted(lively: World) -> None:
    with opened(lively, "nic:snf0", lively.place("snf0")) as steps:
        copies = [step for step in steps if step.do.verb == "copy"]
        seen(lively.sniffer, "eth0", packets=20)
        counted = [lively.provider.copied(step) for step in copies]
        kernel = tc("-s", "filter", "show", "dev", "vnet1", "ingress", netns=lively.host)
    assert all(count and count >= 9 for count in counted)
    assert "Sent" in kernel
    assert [lively.provider.copied(step) for step in copies] == [None, None]


def test_frames_are_not_held_up(quiet: World) -> None:
    """What the VM sends arrives as before while it is mirrored, and once it is not."""
    frames = [bytes.fromhex("ffffffffffff02000000000a88b5") + bytes([n]) * 60 for n in range(50)]
    with opened(quiet, "nic:snf0", quiet.place("snf0")):
        assert arrived(quiet, frames) == Counter(frames)
    assert arrived(quiet, frames) == Counter(frames)


def arrived(world: World, frames: Sequence[bytes]) -> Counter[bytes]:
    """What came to db of what web sends."""
    with tapes((world.db, "eth0", "", bytes)) as running:
        return recorded(running, [Speaker(world.web, frames)])[0]


# Own traffic


def outer(inner: bytes, fragment: int = 0, protocol: int = 17, port: int = 4789) -> bytes:
    """A packet to the collector as a tunnel would send it."""
    datagram = b"\x12\x34" + port.to_bytes(2, "big") + (8 + len(inner)).to_bytes(2, "big") + bytes(2) + inner
    head = bytes.fromhex("4500") + (20 + len(datagram)).to_bytes(2, "big") + bytes(2) + fragment.to_bytes(2, "big")
    head += bytes((64, protocol)) + bytes(2) + bytes((172, 31, 0, 1, 172, 31, 0, 9))
    return bytes.fromhex("ffffffffffff02000000000a0800") + head + datagram


def test_what_the_tunnel_itself_sends_is_never_copied(quiet: World) -> None:
    """A VM that routes, or is an overlay's gateway, has copies pass by on their way to the collector."""
    own = [outer(bytes(60)), outer(bytes(60), fragment=185), outer(bytes(60), fragment=0x2000)]
    others = [outer(bytes(60), port=4790), outer(bytes(60), protocol=6), outer(bytes(64))[:26] + bytes(60)]
    with (
        opened(quiet, f"vxlan://{COLLECTOR}?vni=5"),
        tapes((quiet.host, "vnet1", "", bytes), (quiet.collector, "eth0", "udp port 4789", behind(50))) as running,
    ):
        at_port, copied = recorded(running, [Speaker(quiet.web, [*own, *others])])
    assert sorted(at_port.elements()) == sorted(own + others)
    assert sorted(copied.elements()) == sorted(others)


def test_the_tunnel_says_nothing_of_its_own_accord(quiet: World) -> None:
    with opened(quiet, f"vxlan://{COLLECTOR}?vni=5") as steps:
        device = steps[0].do.text("device")
        shown = ip("-d", "link", "show", "dev", device, netns=quiet.host)
        assert {"NOARP", "UP"} <= set(shown.split("<")[1].split(">")[0].split(","))
        assert "MULTICAST" not in shown
        assert "nolearning" in shown
        assert ip("-s", "-j", "link", "show", "dev", device, netns=quiet.host).count('"packets":0') == 2
