"""Devices that come and go under a running capture, and what cannot be opened at all."""

import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.entered import entered
from tests.support.netns import ip, veth
from tests.support.packets import sender
from tests.support.shark import capinfos, fields, packets
from tests.support.vnics import quiet_namespace
from tests.support.wires import OURS, Wire, adds_up, frame, frames, running, source, until, wire

from tapwright import _core
from tapwright.capture.request import Limits, Output, Section

pytestmark = pytest.mark.root


@pytest.fixture
def w() -> Iterator[Wire]:
    with wire() as made:
        yield made


def sleeps(times: int = 100) -> bool:
    """Whether the engine's thread was asleep most times one looked: one that spins never is, on a busy machine too."""
    (thread,) = (task for task in Path("/proc/self/task").iterdir() if (task / "comm").read_text() == "tapwright\n")
    asleep = 0
    for _ in range(times):
        asleep += (thread / "stat").read_text().rpartition(")")[2].split()[0] == "S"
        time.sleep(0.01)
    return asleep > times / 2


def up_again(w: Wire) -> None:
    """The device is up at both ends: before that the kernel drops what the VM sends."""
    ip("link", "set", "vnet0", "up", netns=w.host)
    for device, netns in (("vnet0", w.host), ("eth0", w.vm)):
        until(lambda device=device, netns=netns: "state UP" in ip("link", "show", device, netns=netns), "the link")


def test_a_device_that_goes_down_and_comes_back(w: Wire, tmp_path: Path) -> None:
    path = tmp_path / "d.pcapng"
    with running(w.source(), to=path) as engine:
        w.from_vm(frame(60))
        ip("link", "set", "vnet0", "down", netns=w.host)
        assert sleeps(), "the engine does not sleep while its device is down"
        up_again(w)
        w.from_vm(frame(61))
        until(lambda: engine.stats.sources[0].accepted == 2, "the frame after the device came back")
        (stats,) = engine.finished().sources
    assert [row[0] for row in fields(path, "frame.len", only=f"eth.type == 0x{OURS}")] == ["60", "61"]
    assert stats.ended == ""


def test_a_device_that_is_down_yet(w: Wire, tmp_path: Path) -> None:
    ip("link", "set", "vnet0", "down", netns=w.host)
    with running(w.source(), to=tmp_path / "d.pcapng") as engine:
        up_again(w)
        w.from_vm(frame())
        assert engine.finished().sources[0].written == 1


def test_one_device_goes_and_the_others_go_on(tmp_path: Path) -> None:
    path = tmp_path / "g.pcapng"
    with quiet_namespace() as vm, quiet_namespace() as host:
        for number in range(3):
            veth(host, f"vnet{number}", f"eth{number}", vm)
        vnics = [source(host, f"vnet{number}", name=f"vm/eth{number}") for number in range(3)]
        with running(*vnics, to=path) as engine:
            say(vm, "eth1", 60)
            ip("link", "del", "vnet1", netns=host)
            until(lambda: engine.stats.sources[1].ended, "the end of one")
            say(vm, "eth2", 61)
            ip("link", "del", "vnet0", netns=host)
            ip("link", "del", "vnet2", netns=host)
            stats = engine.ended()
    assert stats.ended == "all sources gone"
    assert [vnic.ended for vnic in stats.sources] == ["device gone"] * 3
    assert [vnic.written for vnic in stats.sources] == [0, 1, 1]
    assert [vnic.port_packets for vnic in stats.sources] == [None] * 3
    assert fields(path, "frame.interface_name", "frame.len") == [("vm/eth1", "60"), ("vm/eth2", "61")]
    capinfos(path)


def test_a_device_that_goes_right_before_the_end_is_told(w: Wire, tmp_path: Path) -> None:
    path = tmp_path / "e.pcapng"
    with running(w.source(), to=path) as engine:
        w.from_vm(frame())
        ip("link", "del", "vnet0", netns=w.host)
        (stats,) = engine.finished().sources
    assert (stats.ended, stats.written, stats.port_packets) == ("device gone", 1, None)


def say(netns: str, device: str, size: int) -> None:
    with sender(netns, device) as send:
        send(frame(size))


def test_a_device_of_the_same_name_is_another(w: Wire, tmp_path: Path) -> None:
    with running(w.source(), to=tmp_path / "a.pcapng") as engine:
        w.from_vm(frame())
        ip("link", "del", "vnet0", netns=w.host)
        veth(w.host, "vnet0", "eth0", w.vm)
        w.from_vm(frame())
        stats = engine.ended()
    assert (stats.ended, stats.sources[0].written) == ("all sources gone", 1)


def test_a_capture_does_not_keep_a_namespace_alive(tmp_path: Path) -> None:
    """Its owner deletes it, nobody else is in it: the source ends, and its devices go with it."""
    path = tmp_path / "n.pcapng"
    with quiet_namespace() as host, quiet_namespace() as vm:
        veth(host, "vnet0", "eth0", vm)
        with running(source(vm, "eth0", outgoing_is_to_vm=False), source(host, "vnet0"), to=path) as engine:
            Wire(host, vm).from_vm(frame())
            subprocess.run(["ip", "netns", "del", vm], check=True)
            until(lambda: "vnet0" not in ip("link", "show", netns=host), "the end of the pair")
            stats = engine.ended()
            subprocess.run(["ip", "netns", "add", vm], check=True)
    assert stats.ended == "all sources gone"
    assert [vnic.ended for vnic in stats.sources] == ["namespace gone", "device gone"]
    assert [vnic.written for vnic in stats.sources] == [1, 1]
    assert packets(path) == 2


def test_a_namespace_that_processes_live_in_is_kept(w: Wire, tmp_path: Path) -> None:
    """Only its name goes, as of a pod whose first process ends before the others."""
    argv = ["ip", "netns", "exec", w.host, "sleep", "60"]
    vnic = w.source()
    with subprocess.Popen(argv) as resident, running(vnic, to=tmp_path / "k.pcapng") as engine:
        own, its = Path("/proc/self/ns/net"), Path(f"/proc/{resident.pid}/ns/net")
        until(lambda: its.readlink() != own.readlink(), "its process in there")
        subprocess.run(["ip", "netns", "del", w.host], check=True)
        time.sleep(1.5)
        w.from_vm(frame())
        assert engine.finished().sources[0].written == 1
        resident.kill()
    subprocess.run(["ip", "netns", "add", w.host], check=True)


def test_two_captures_of_one_device(w: Wire, tmp_path: Path) -> None:
    with running(w.source(), to=tmp_path / "1") as one, running(w.source(), to=tmp_path / "2", snaplen=40) as other:
        w.from_vm(*frames(50))
        w.to_vm(*frames(50))
        for engine in (one, other):
            (stats,) = engine.finished().sources
            assert stats.written == 100
            assert adds_up(stats)
    assert packets(tmp_path / "1") == packets(tmp_path / "2") == 100


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_what_cannot_be_opened_leaves_nothing(w: Wire, tmp_path: Path) -> None:
    path, before = tmp_path / "x.pcapng", open_descriptors()

    def opened(*sources: object, to: Output | None = None, **limits: float) -> None:
        _core.Engine(sources, Section(), to or Output(path=str(path)), Limits(**limits))

    with pytest.raises(OSError, match="No such device") as caught:
        opened(w.source(), w.source(index=9999))
    assert caught.value.filename == "vnet0"
    with pytest.raises(FileNotFoundError) as caught:
        opened(w.source(), w.source(netns="/run/netns/nowhere", index=1))
    assert caught.value.filename == "vnet0"
    with pytest.raises(ValueError, match="8 byte"):
        opened(w.source(program=b"123"))
    with pytest.raises(OSError, match="Invalid argument"):
        opened(w.source(program=struct.pack("HBBI", 5, 0, 0, 0xFFFFFFFF)))
    with pytest.raises(OSError, match="Cannot allocate memory"):
        opened(w.source(program=struct.pack("HBBI", 0x30, 0, 0, 1) * 4095 + struct.pack("HBBI", 6, 0, 0, 1)))
    with pytest.raises(ValueError, match="exactly one"):
        opened(w.source(), to=Output())
    with pytest.raises(ValueError, match="no sources"):
        opened()
    for wrong in ({"seconds": -1}, {"seconds": float("nan")}, {"snaplen": 0}):
        with pytest.raises(ValueError, match="finite"):
            opened(w.source(), **wrong)
    with pytest.raises(OSError, match="Bad file descriptor"):
        opened(w.source(), to=Output(fd=987))
    with pytest.raises(FileNotFoundError) as caught:
        opened(w.source(), to=Output(path=str(tmp_path / "no" / "such")))
    assert caught.value.filename == str(tmp_path / "no" / "such")
    assert not list(tmp_path.iterdir())
    assert open_descriptors() == before


def test_an_ended_capture_holds_nothing_open(w: Wire, tmp_path: Path) -> None:
    before = open_descriptors()
    with running(*[w.source()] * 20, to=tmp_path / "a") as engine:
        w.from_vm(frame())
        engine.finished()
        assert open_descriptors() - before <= 1, "more than what wakes the engine"
        assert _sockets(w.host) == 0


def _sockets(netns: str) -> int:
    table = subprocess.run(
        ["ip", "netns", "exec", netns, "cat", "/proc/net/packet"], capture_output=True, text=True, check=True
    )
    return len(table.stdout.splitlines()) - 1


def test_three_hundred_sources(tmp_path: Path) -> None:
    """Each heard, in one order, within the memory of three small blocks each."""
    path, count = tmp_path / "many.pcapng", 300
    with quiet_namespace() as host:
        pairs = "\n".join(
            f"link add v{n} type veth peer name p{n}\nlink set v{n} up\nlink set p{n} up" for n in range(count)
        )
        subprocess.run(["ip", "-n", host, "-batch", "-"], input=pairs, text=True, check=True)
        shown = ip("-o", "link", "show", "type", "veth", netns=host).splitlines()
        indexes = {line.split()[1].split("@")[0]: int(line.split(":")[0]) for line in shown}
        vnics = [source(host, f"v{n}", name=f"vm{n}/eth0", index=indexes[f"v{n}"]) for n in range(count)]
        with running(*vnics, to=path) as engine:
            with entered(host, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)) as out:
                for size in (60, 1000, 300):
                    for number in range(count):
                        out.sendto(frame(size), (f"p{number}", 0))
            stats = engine.finished()
    assert [vnic.written for vnic in stats.sources] == [3] * count
    assert stats.reordered == 0
    assert "Strict time order:   True" in capinfos(path)
