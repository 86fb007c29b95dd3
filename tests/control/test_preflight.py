"""What is said before a mirror is opened, and that it is what happens: on a real Open vSwitch and the real kernel."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from support.entered import entered
from support.mirrored import COLLECTOR, COLLECTOR6, DB, WEB, World, points_of, world
from support.netns import ip, veth
from support.packets import speaking
from support.vnics import allow_ip6, quiet_namespace
from tapwright.filter import compile_filter
from tapwright.find.topology import join
from tapwright.model import Host
from tapwright.plan.mirrors import Mirror, Place, parse
from tapwright.plan.points import PointKind
from tapwright.plan.preflight import Answer, Preflight, TooLarge, judge
from tapwright.plan.steps import Mark
from tapwright.providers.linux import Linux
from tapwright.providers.ovs import Ovs
from tapwright.providers.ovs_scout import lookup

pytestmark = pytest.mark.root

MARK = Mark("1a2b3c4d", "1.1.b", 9)
VXLAN = f"vxlan://{COLLECTOR}?vni=8"


@pytest.fixture(scope="module")
def lively() -> Iterator[World]:
    with world() as lively:
        yield lively


def before(lively: World, target: str, place: Place | None = None, port: str = "vnet1", **more) -> Preflight:
    provider = lively.provider
    points_of(provider)
    mirror = lively.mirror(target, place, port=port, **more)
    return judge(mirror, provider.scouted(mirror))


def answer(found: Preflight, question: str) -> Answer:
    return next(verdict.answer for verdict in found.verdicts if verdict.question == question)


def test_the_way_is_the_switchs_own(lively: World) -> None:
    assert lookup(lively.switch.remote, COLLECTOR)["dev"] == "br-phy"
    assert lookup(lively.switch.remote, "203.0.113.9") == {}
    for target in (VXLAN, f"gre://[{COLLECTOR6}]?key=5"):
        assert answer(before(lively, target), "way") is Answer.YES
    refusal = before(lively, "vxlan://203.0.113.9?vni=8").refusal
    assert refusal
    assert refusal.text == "no route to the collector 203.0.113.9"


def test_everybody_is_no_collector(lively: World, tmp_path: Path) -> None:
    """A network's broadcast address, which both the userspace datapath and the kernel have a way to."""
    refusal = before(lively, "gre://172.31.0.255?key=5").refusal
    assert refusal
    assert "broadcast address: every host behind br-phy would get the copies" in refusal.text
    with bridge(tmp_path) as (host, web, _):
        provider, mirror = linux(host, [web], "vxlan://172.31.0.255?vni=8")
        refusal = judge(mirror, provider.scouted(mirror)).refusal
        assert refusal
        assert "every host behind up0" in refusal.text


def test_a_way_by_a_device_that_is_no_bridge_would_carry_no_copy(lively: World) -> None:
    """The kernel has a route there, and the userspace datapath makes no copy for it: its flows say so."""
    host = lively.switch.netns
    veth(host, "elsewhere0", "elsewhere1")
    ip("addr", "add", "172.30.0.1/24", "dev", "elsewhere0", netns=host)
    try:
        refusal = before(lively, "vxlan://172.30.0.9?vni=8").refusal
        assert refusal
        assert "leave by elsewhere0, which is no bridge of this Open vSwitch" in refusal.text
        provider, step = lively.step("vxlan://172.30.0.9?vni=8")
        provider.perform(step.do)
        try:
            flows = lively.switch.appctl("dpctl/dump-flows")
            assert "tnl_push" not in flows
        finally:
            provider.perform(step.undo)
    finally:
        ip("link", "del", "elsewhere0", netns=host)


def test_what_is_said_to_be_lost_is_lost_and_what_fits_arrives(lively: World) -> None:
    found = before(lively, VXLAN)
    (warning,) = found.warnings
    assert "they are lost" in warning.text
    provider, step = lively.step(VXLAN)
    provider.perform(step.do)
    try:
        sizes = [found.largest - 1, found.largest, found.largest + 1, 1514]
        arrived = heard(lively.collector, "eth0", lively.web, sizes)
    finally:
        provider.perform(step.undo)
    assert arrived == {found.largest - 1, found.largest}


def heard(netns: str, device: str, sender: str, sizes: list[int]) -> set[int]:
    """Which of these frames, sent by the VM again and again, arrive wrapped in VXLAN and whole, by their own length."""
    end, listener = speaking(sender, "eth0"), listening(netns, device)
    found: set[int] = set()
    deadline = time.monotonic() + 60
    rounds = 0
    try:
        # The smallest one is certain to arrive; once it did, the others get twenty more chances.
        while rounds < 20:
            assert time.monotonic() < deadline, "not even the smallest arrived"
            for size in sizes:
                end.send(frame(size))
            rounds += bool(found)
            # What is late is there in the next round, but for the last one.
            for packet in received(listener, 0.05 if rounds < 20 else 0.5):
                inner = packet[50:]
                if packet[12:14] == b"\x08\x00" and inner[12:14] == b"\x88\xb6":
                    found.add(len(inner))
    finally:
        end.close()
        listener.close()
    return found


def listening(netns: str, device: str) -> socket.socket:
    opened = entered(netns, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))
    opened.bind((device, 3))
    opened.settimeout(0.1)
    return opened


def frame(size: int) -> bytes:
    """Of an ethertype that nobody else uses here."""
    return bytes.fromhex((DB + WEB).replace(":", "") + "88b6") + bytes(size - 14)


def received(listener: socket.socket, seconds: float = 0.5) -> Iterator[bytes]:
    """For so long, or until nothing has come for a tenth of a second: others talk all the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            yield listener.recv(65535)
        except TimeoutError:
            return


def test_a_device_with_a_smaller_mtu_is_told(lively: World) -> None:
    """A port of the switch that takes less: what is said is lost."""
    lively.switch.vsctl("add-port", "br0", "snf0")
    try:
        ip("link", "set", "snf0", "mtu", "1000", netns=lively.switch.netns)
        lively.switch.vsctl("wait-until", "interface", "snf0", "mtu=1000")
        found = before(lively, "nic:snf0", Place(device_name="snf0", port="snf0"))
        (warning,) = found.warnings
        assert "snf0 takes frames up to 1014 bytes" in warning.text
        assert found.largest == 1014
    finally:
        lively.switch.vsctl("del-port", "snf0")
        ip("link", "set", "snf0", "mtu", "1500", netns=lively.switch.netns)


def test_a_tag_of_the_port_is_counted(lively: World) -> None:
    lively.switch.vsctl("set", "port", "vnet2", "tag=10")
    try:
        assert "1446" in before(lively, VXLAN, port="vnet2").warnings[0].advice
    finally:
        lively.switch.vsctl("clear", "port", "vnet2", "tag")


def test_who_hears_a_vlan_of_copies(lively: World) -> None:
    """A port without a tag carries every VLAN: its VM hears the copies, and that is what happens."""
    switch = lively.switch
    (warning,) = before(lively, "rspan:999").warnings
    assert "reaches the VMs behind vnet1, vnet2, vnet3" in warning.text
    provider, step = lively.step("rspan:999")
    provider.perform(step.do)
    try:
        listener = listening(lively.vm, "eth0")
        heard_by_vm = next(iter(received(listener)), None)
        listener.close()
    finally:
        provider.perform(step.undo)
    assert heard_by_vm
    ports = ("vnet1", "vnet2", "vnet3")
    try:
        switch.vsctl(*(word for port in ports for word in ("--", "set", "port", port, "tag=10")))
        assert not before(lively, "rspan:999").warnings
        switch.vsctl("set", "port", "trunk0", "trunks=10")
        refusal = before(lively, "rspan:999").refusal
        assert refusal
        assert "no port of the switch carries VLAN 999" in refusal.text
    finally:
        switch.vsctl(*(word for port in ports for word in ("--", "clear", "port", port, "tag")))
        switch.vsctl("clear", "port", "trunk0", "trunks")


def test_a_port_in_the_vlan_of_the_copies(lively: World) -> None:
    lively.switch.vsctl("set", "port", "vnet1", "tag=999")
    try:
        refusal = before(lively, "rspan:999").refusal
    finally:
        lively.switch.vsctl("clear", "port", "vnet1", "tag")
    assert refusal
    assert "vnet1 is in VLAN 999 itself" in refusal.text


FILTERED = {"program": bytes.fromhex("0600000000000400")}


@pytest.mark.parametrize("setting", ["mcast_snooping_enable", "stp_enable", "rstp_enable"])
def test_a_switch_that_listens_to_what_comes_in(lively: World, setting: str) -> None:
    """What is filtered comes into the VLAN by a port; a mirror by itself does not."""
    lively.switch.vsctl("set", "bridge", "br0", f"{setting}=true")
    try:
        refusal = before(lively, "rspan:999", **FILTERED).refusal
        assert before(lively, "rspan:999").refusal is None
    finally:
        lively.switch.vsctl("set", "bridge", "br0", f"{setting}=false")
    assert refusal
    assert "it might pass for the VM's own" in refusal.text


def test_each_direction_that_is_filtered_by_itself_takes_a_mirror(lively: World) -> None:
    both = {"program": compile_filter("(inbound and tcp) or (outbound and udp)").program.code}
    for more, words in (({}, "one more mirror"), (FILTERED, "one more mirror"), (both, "2 more mirrors")):
        verdict = next(v for v in before(lively, VXLAN, **more).verdicts if v.question == "room")
        assert verdict.text == f"there is room for {words}"


@pytest.mark.parametrize(
    ("flow", "harmless"),
    [
        ("priority=9,arp,actions=FLOOD", False),
        ("priority=9,dl_vlan=999,actions=strip_vlan,output:vnet2", False),
        ("priority=9,udp,actions=drop", True),
        ("priority=9,ip,actions=resubmit(,60)", True),
        ("priority=9,in_port=vnet2,actions=output:vnet1", True),
    ],
)
def test_flows_that_forward_by_themselves(lively: World, flow: str, harmless: bool) -> None:
    bridge = f"unix:{lively.switch.folder}/br0.mgmt"
    lively.switch.ofctl("add-flow", bridge, flow)
    try:
        assert (before(lively, "rspan:999", **FILTERED).refusal is None) is harmless
    finally:
        lively.switch.ofctl("--strict", "del-flows", bridge, flow.partition(",actions")[0])


def test_frames_that_are_cut_before_they_are_wrapped_fit(lively: World) -> None:
    assert before(lively, VXLAN).warnings
    assert not before(lively, VXLAN, snaplen=64).warnings


def test_the_mirrored_vms_own_address_is_a_loop(lively: World) -> None:
    provider = lively.provider
    points_of(provider)
    mirror = lively.mirror(VXLAN)
    facts = replace(provider.scouted(mirror), addresses=(f"{COLLECTOR}/24",))
    assert judge(mirror, facts).refusal


def test_a_switch_that_is_not_known_is_an_error() -> None:
    from tapwright.errors import ProviderError

    with world() as lively, pytest.raises(ProviderError):
        Ovs(["unix:/run/nowhere/db.sock"]).scouted(lively.mirror(VXLAN))


# The kernel


@contextmanager
def bridge(tmp: Path) -> Iterator[tuple[str, str, str]]:
    with ExitStack() as stack:
        host, web, collector = (stack.enter_context(quiet_namespace()) for _ in range(3))
        veth(host, "vnet1", "eth0", web)
        veth(host, "up0", "eth0", collector)
        ip("addr", "add", "172.31.0.1/24", "dev", "up0", netns=host)
        ip("addr", "add", f"{COLLECTOR}/24", "dev", "eth0", netns=collector)
        for netns, device, address in ((host, "up0", "fd00::1"), (collector, "eth0", "fd00::9")):
            allow_ip6(netns, device)
            ip("addr", "add", f"{address}/64", "dev", device, "nodad", netns=netns)
        yield host, web, collector


def linux(host: str, guests: list[str], target: str, to: str = "") -> tuple[Linux, Mirror]:
    provider = Linux([host, *guests])
    snapshot = provider.snapshot()
    points = provider.points(join(Host("h"), [snapshot]))
    point = next(p for p in points if p.device_name == "vnet1" and p.netns.name == host and p.kind is PointKind.DEVICE)
    device = next((d for d in snapshot.devices if d.name == to and d.key.netns == point.netns.inode), None)
    place = Place(device.key, device.name, point.netns) if device else Place()
    return provider, Mirror(point, parse(target), MARK, place)


def test_the_kernels_tunnel_sends_large_copies_in_fragments(tmp_path: Path) -> None:
    with bridge(tmp_path) as (host, web, collector):
        provider, mirror = linux(host, [web], VXLAN)
        facts = provider.scouted(mirror)
        assert (facts.way.device, facts.way.mtu, facts.too_large) == ("up0", 1500, TooLarge.FRAGMENTS)
        found = judge(mirror, facts)
        assert "in IP fragments" in found.warnings[0].text
        assert fragments(provider, mirror, web, collector, found.largest) == (0, 0)
        first, later = fragments(provider, mirror, web, collector, found.largest + 1)
        assert first
        assert later


def test_the_kernels_tunnel_over_ipv6_loses_large_copies(tmp_path: Path) -> None:
    with bridge(tmp_path) as (host, web, collector), ExitStack() as undoing:
        provider, mirror = linux(host, [web], "vxlan://[fd00::9]?vni=8")
        found = judge(mirror, provider.scouted(mirror))
        assert "counts them as errors" in found.warnings[0].text
        steps = provider.steps(mirror)
        for step in steps:
            undoing.callback(provider.perform, step.undo)
            provider.perform(step.do)
        listener, end = listening(collector, "eth0"), speaking(web, "eth0")
        undoing.callback(listener.close)
        undoing.callback(end.close)
        # The first ones wait for the neighbour, or are given up with it.
        until(lambda: end.send(frame(found.largest)) and wrapped(listener))
        before = refused(host, steps[0].do.text("device"))
        until(lambda: end.send(frame(found.largest + 1)) and refused(host, steps[0].do.text("device")) > before + 3)
        assert set(wrapped(listener)) <= {1500 + 14}


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline


def wrapped(listener: socket.socket) -> list[int]:
    """Lengths of the tunnel's packets that arrive."""
    arrived = (packet for packet in received(listener, 0.1) if packet[12:14] == b"\x86\xdd")
    return [len(packet) for packet in arrived if packet[20] in (17, 44)]


def refused(netns: str, device: str) -> int:
    """Errors of sending that the device has counted."""
    return int(json.loads(ip("-s", "-j", "link", "show", device, netns=netns))[0]["stats64"]["tx"]["errors"])


def fragments(provider: Linux, mirror: Mirror, web: str, collector: str, size: int) -> tuple[int, int]:
    """How many first and later fragments arrive of copies of frames of that size."""
    steps = provider.steps(mirror)
    listener, end = listening(collector, "eth0"), speaking(web, "eth0")
    counts = [0, 0, 0]
    deadline = time.monotonic() + 60
    try:
        for step in steps:
            provider.perform(step.do)
        while not counts[0]:
            assert time.monotonic() < deadline
            end.send(frame(size))
            for packet in received(listener):
                if packet[12:14] == b"\x08\x00" and packet[23] == 17:
                    word = int.from_bytes(packet[20:22], "big")
                    counts[0] += 1
                    counts[1] += bool(word & 0x2000)
                    counts[2] += bool(word & 0x1FFF)
    finally:
        for step in reversed(steps):
            provider.perform(step.undo)
        listener.close()
        end.close()
    return counts[1], counts[2]


def test_a_route_with_an_mtu_of_its_own_counts(tmp_path: Path) -> None:
    with bridge(tmp_path) as (host, web, _):
        ip("route", "add", "203.0.113.0/24", "via", COLLECTOR, "mtu", "1400", netns=host)
        provider, mirror = linux(host, [web], "vxlan://203.0.113.9?vni=8")
        facts = provider.scouted(mirror)
        assert (facts.way.gateway, facts.way.mtu) == (COLLECTOR, 1400)
        provider, mirror = linux(host, [web], "vxlan://198.51.100.1?vni=8")
        assert judge(mirror, provider.scouted(mirror)).refusal


def test_a_veth_takes_what_its_other_end_takes(tmp_path: Path) -> None:
    with bridge(tmp_path) as (host, web, collector):
        ip("link", "set", "eth0", "mtu", "1000", netns=collector)
        provider, mirror = linux(host, [web, collector], "nic:up0", "up0")
        found = judge(mirror, provider.scouted(mirror))
        assert "up0 takes frames up to 1014 bytes" in found.warnings[0].text
