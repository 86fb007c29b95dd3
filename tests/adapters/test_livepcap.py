"""Filters on VLANs where they run: on a packet socket of a real device."""

import ctypes
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.bpf import attach, libpcap_verdicts
from support.frames import whole_frames
from support.netns import ip, namespace
from tapwright.adapters import livepcap
from tapwright.errors import FilterError
from tapwright.filter import Program, compile_filter
from tapwright.filter.libpcap import PcapError

pytestmark = pytest.mark.root

CLONE_NEWNET = 0x40000000
SENDER = b"\x02\x77\x00\x00"


def inside(netns, work):
    """What `work()` returns in a thread that has entered the namespace."""
    results = []

    def enter():
        with Path(f"/run/netns/{netns}").open() as place:
            assert ctypes.CDLL(None, use_errno=True).setns(place.fileno(), CLONE_NEWNET) == 0
        try:
            results.append(work())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if isinstance(results[0], Exception):
        raise results[0]
    return results[0]


@contextmanager
def pair(*, loopback=True):
    """A namespace with a veth pair near-far that is up and otherwise silent."""
    with namespace() as netns:
        ip("link", "add", "near", "type", "veth", "peer", "name", "far", netns=netns)
        for device in ("near", "far"):
            ip("link", "set", device, "addrgenmode", "none", netns=netns)
            ip("link", "set", device, "up", netns=netns)
        ip("link", "set", "lo", "up" if loopback else "down", netns=netns)
        yield netns


@pytest.fixture(scope="module")
def netns():
    with pair() as name:
        yield name


def numbered(frames):
    """Frames of Ethernet's least length, with their number in the source address to know them by without a tag."""
    return [(frame[:6] + SENDER + n.to_bytes(2, "big") + frame[12:]).ljust(60, b"\0") for n, frame in enumerate(frames)]


def received(code, frames):
    """Numbers of the frames that a socket on the far end gets through the program when the near one sends them."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender, packet_socket(code) as receiver:
        sender.bind(("near", 0))
        for frame in frames:
            sender.send(frame)
        got = set()
        while True:
            try:
                data = receiver.recv(65536)
            except BlockingIOError:
                return got
            if data[6:10] == SENDER:
                got.add(int.from_bytes(data[10:12], "big"))


def packet_socket(code):
    receiver = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    attach(receiver, code)
    receiver.bind(("far", 3))
    receiver.setblocking(False)
    return receiver


FRAMES = numbered(whole_frames(5, 300))


@pytest.mark.parametrize(
    "text",
    [
        "vlan",
        "vlan 10",
        "vlan 20",
        "vlan 10 and ip",
        "vlan and tcp port 80",
        "vlan 10 and host 10.0.0.1",
        "vlan and vlan",
        "vlan 10 and vlan 20 and udp",
        "not vlan",
        "ether src 02:77:00:00:00:05 or vlan 10",
    ],
)
def test_on_a_device_a_vlan_filter_sees_the_tag_the_kernel_took_away(netns, text):
    code = inside(netns, lambda: compile_filter(text, live=livepcap.live).program.code)
    verdicts = libpcap_verdicts(text, FRAMES)
    assert any(verdicts)
    assert inside(netns, lambda: received(code, FRAMES)) == {n for n, yes in enumerate(verdicts) if yes}


def test_the_same_filter_compiled_for_a_file_would_miss_them(netns):
    code = compile_filter("vlan 10 and ip").program.code
    once_tagged = [frame for frame in FRAMES if frame[12:14] == b"\x81\x00" and frame[16:18] != b"\x81\x00"]
    assert once_tagged
    assert inside(netns, lambda: received(code, once_tagged)) == set()


def test_any_ethernet_device_does_where_the_loopback_is_down():
    with pair(loopback=False) as netns:
        on_device = inside(netns, lambda: livepcap.live("vlan 10"))
    assert Program(on_device) == Program(livepcap.live("vlan 10"))


def test_where_nothing_is_up_the_next_step_is_named():
    with namespace() as netns:
        ip("link", "set", "lo", "down", netns=netns)
        with pytest.raises(FilterError) as caught:
            inside(netns, lambda: livepcap.live("vlan 10"))
    assert caught.value.hint == "ip link set lo up"


def test_libpcap_still_tells_what_is_wrong(netns):
    with pytest.raises(PcapError, match="syntax error"):
        livepcap.live("vlan 10 and and")


def test_without_the_capability_it_is_named():
    script = "from tapwright.adapters.livepcap import live; live('vlan 10')"
    argv = ["setpriv", "--bounding-set", "-net_raw", sys.executable, "-c", script]
    plain = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert "PrivilegeError: compiling a filter on VLANs needs a packet socket" in plain.stderr
