"""Inner filters where they are meant to run: on a device's packet socket, and in tc, which mirrors what matches."""

import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pytest

from support.bpf import attach
from support.entered import entered
from support.inner import Truth, whole
from support.netns import ip, namespace
from support.wrap import wrapped_packets
from tapwright.adapters import livepcap
from tapwright.filter import Program, compile_filter
from tapwright.filter.inner import compile_inner
from tapwright.filter.relocate import relocate
from tapwright.filter.wrapping import Wrapping

pytestmark = pytest.mark.root

SENDER = b"\x02\x77\x00\x00"
KERNELS_TAGS = (b"\x81\x00", b"\x88\xa8")
TEXTS = [
    "tcp",
    "not arp and not ip6",
    "host 10.0.0.1 and tcp port 80",
    "tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420 or udp[udp[4:2] - 9] & 1 = 1",
    "vlan",
    "vlan and ip",
    "vlan 10 or icmp",
    "len > 100",
    "ether multicast",
]
"""Every packet counts once for each."""


def numbered(packets: Sequence[bytes]) -> list[bytes]:
    """Frames a device takes, with their number in the source address to know them by."""
    fitting = [packet for packet in packets if 60 <= len(packet) <= 9000]
    return [packet[:6] + SENDER + n.to_bytes(2, "big") + packet[12:] for n, packet in enumerate(fitting)]


FRAMES = numbered(wrapped_packets(31, 1500))
SEEN = [frame[:12] + frame[16:] if frame[12:14] in KERNELS_TAGS else frame for frame in FRAMES]
"""The kernel takes the outermost tag out before anybody sees the frame."""


@contextmanager
def wires() -> Iterator[str]:
    """A namespace with two silent veth pairs, near-far and in-out."""
    with namespace() as netns:
        for one, other in (("near", "far"), ("in", "out")):
            ip("link", "add", one, "mtu", "9100", "type", "veth", "peer", "name", other, "mtu", "9100", netns=netns)
            for device in (one, other):
                ip("link", "set", device, "addrgenmode", "none", "up", netns=netns)
        yield netns


@pytest.fixture(scope="module")
def netns():
    with wires() as name:
        yield name


def listening(stack: ExitStack, device: str, program: Program) -> socket.socket:
    tap = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
    tap.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    attach(tap, program.code)
    tap.bind((device, 3))
    tap.settimeout(0)
    return tap


def numbers(tap: socket.socket) -> set[int]:
    """Which frames have arrived."""
    found = set()
    while True:
        try:
            frame = tap.recv(1 << 16)
        except BlockingIOError:
            return found
        if frame[6:10] == SENDER:
            found.add(int.from_bytes(frame[10:12], "big"))


def send(frames: Sequence[bytes]) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        out.bind(("near", 0))
        for frame in frames:
            out.send(frame)


def expected(text: str, wrapping: Wrapping, plain: set[int], seen: Sequence[bytes] = SEEN) -> set[int]:
    """Of what is wrapped the reference judges; of what is not, libpcap's own live program beside ours."""
    known = Truth(wrapping, whole(seen))
    verdicts = known.verdicts(text)
    not_wrapped = {n for n, data in enumerate(seen) if not known.unwrapper.innermost(data).layers}
    return {n for n, verdict in enumerate(verdicts) if verdict and n not in not_wrapped} | (plain & not_wrapped)


@pytest.mark.parametrize("text", TEXTS)
def test_on_a_packet_socket(netns, text):
    def work() -> tuple[set[int], set[int]]:
        program = relocate(compile_inner(text, live=livepcap.live), Wrapping())
        plain = compile_filter(text, live=livepcap.live).program
        with ExitStack() as stack:
            ours, libpcap = (listening(stack, "far", p) for p in (program, plain))
            send(FRAMES)
            return numbers(ours), numbers(libpcap)

    ours, libpcap = entered(netns, work)
    assert ours == expected(text, Wrapping(), libpcap)
    assert 0 < len(ours) < len(FRAMES)


@pytest.mark.parametrize("text", ["tcp", "host 10.0.0.1 and tcp port 80", "vlan and ip"])
@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_in_tc(netns, tmp_path, text, direction):
    wrapping = Wrapping(plain=False)
    device = {"ingress": "far", "egress": "near"}[direction]
    program = relocate(compile_inner(text), wrapping)
    listing = ",".join(" ".join(map(str, instruction)) for instruction in program.instructions)
    (tmp_path / "bytecode").write_text(f"{len(program)},{listing}")

    def tc(*arguments: str) -> None:
        subprocess.run(["ip", "netns", "exec", netns, "tc", *arguments], check=True, timeout=20)

    def work() -> set[int]:
        with ExitStack() as stack:
            mirror = listening(stack, "out", Program.keep_all())
            send(FRAMES)
            return numbers(mirror)

    tc("qdisc", "add", "dev", device, "clsact")
    try:
        what = ("bpf", "bytecode-file", str(tmp_path / "bytecode"), "action", "mirred", "egress", "mirror", "dev", "in")
        tc("filter", "add", "dev", device, direction, "protocol", "all", *what)
        mirrored = entered(netns, work)
    finally:
        tc("qdisc", "del", "dev", device, "clsact")
    # On its way out nobody has taken the tag yet.
    assert mirrored == expected(text, wrapping, set(), SEEN if direction == "ingress" else FRAMES)
    assert mirrored
