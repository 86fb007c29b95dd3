"""VMs that the kernel sees nothing of: QEMU guests on vhost-user ports of an Open vSwitch with DPDK."""

import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support import short_folder
from support.netns import ip, namespace, veth
from support.openvswitch import OpenVSwitch, openvswitch
from support.shark import capinfos, fields
from support.tapwright import Answer, tapwright
from tapwright.lab import image

pytestmark = [pytest.mark.root, pytest.mark.guest]

_WITH_DPDK = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
_SETTINGS = (
    "other_config:dpdk-init=true",
    # Without huge pages, which not every machine can have; then the memory has to be of the older kind.
    'other_config:dpdk-extra="--legacy-mem --no-huge -m 1200 --no-pci"',
    "other_config:dpdk-lcore-mask=1",
)
_TALKS = "lab.talk=tcp:10.7.0.2:80"
_BOOT = 120.0
"""Seconds a guest may take to start where no processor helps it."""


@dataclass(frozen=True)
class Cloud:
    """`web` talks to `db` all the time; `sniffer` is a namespace at a port that the kernel has."""

    netns: str
    switch: OpenVSwitch
    folder: Path

    def tapwright(self, *arguments: str) -> Answer:
        environment = {
            **self.switch.environment,
            "TAPWRIGHT_OVSDB": self.switch.remote,
            "TAPWRIGHT_NETNS": f"{self.netns},{self.sniffer}",
            "TAPWRIGHT_STATE": str(self.folder / "state"),
            "TAPWRIGHT_DOCKER": str(self.folder / "none"),
            "TAPWRIGHT_PROVIDERS": "linux,ovs",
        }
        return tapwright(*arguments, env=environment, wrapper=("ip", "netns", "exec", self.netns))

    @property
    def sniffer(self) -> str:
        return f"{self.netns}-sniffer"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    image.ensure(lambda _: None)
    with namespace() as netns, short_folder() as folder:
        # Its name is what its pid file and socket are called after.
        (folder / "ovs-vswitchd").symlink_to(_WITH_DPDK)
        (folder / "initramfs").write_bytes(image.initramfs())
        programs = {"ovs-vswitchd": str(folder / "ovs-vswitchd")}
        with openvswitch(folder, netns, *_SETTINGS, programs=programs) as switch:
            assert switch.vsctl("get", "Open_vSwitch", ".", "dpdk_initialized").strip() == "true"
            switch.vsctl("add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev")
            made = Cloud(netns, switch, folder)
            with _sniffer(made), _guest(made, 1, "web", _TALKS), _guest(made, 2, "db"):
                _await(made, "web", "db")
                yield made


@contextmanager
def _sniffer(cloud: Cloud) -> Iterator[None]:
    ip("netns", "add", cloud.sniffer)
    try:
        veth(cloud.netns, "tosniffer", "eth0", cloud.sniffer)
        cloud.switch.vsctl("add-port", "br0", "tosniffer")
        yield
    finally:
        ip("netns", "del", cloud.sniffer)


@contextmanager
def _guest(cloud: Cloud, number: int, name: str, words: str = "") -> Iterator[None]:
    """A guest whose memory the switch shares; QEMU listens, the switch comes and goes."""
    folder, mac = cloud.folder, f"02:de:ad:00:00:0{number}"
    append = f"console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off lab.name={name} lab.eth0=10.7.0.{number}/24"
    argv = [
        *("qemu-system-x86_64", "-name", f"guest={name}", "-uuid", f"00000000-0000-4000-8000-00000000000{number}"),
        *("-machine", "q35,usb=off,memory-backend=mem", "-accel", "tcg,tb-size=64", "-cpu", "max", "-m", "192"),
        *("-object", "memory-backend-memfd,id=mem,size=192M,share=on"),
        *("-kernel", str(image.kernel()), "-initrd", str(folder / "initramfs")),
        *("-append", f"{append} lab.serve=tcp:80 {words}", "-nodefaults", "-display", "none", "-no-reboot"),
        *("-serial", f"file:{folder / name}.console"),
        *("-chardev", f"socket,id=switch,path={folder / name}.vhost,server=on"),
        *("-netdev", "vhost-user,id=net0,chardev=switch"),
        # Without KVM, QEMU 7.2 does not survive a vhost device that signals by MSI-X.
        *("-device", f"virtio-net-pci,netdev=net0,mac={mac},romfile=,vectors=0"),
        *("-device", "virtio-serial-pci", "-chardev", f"socket,id=exec,path={folder / name}.exec,server=on,wait=off"),
        *("-device", "virtserialport,chardev=exec,name=org.tapwright.lab.0"),
    ]
    cloud.switch.vsctl(
        "add-port", "br0", f"vhu{number}", "--", "set", "Interface", f"vhu{number}", "type=dpdkvhostuserclient",
        f"options:vhost-server-path={folder / name}.vhost", f'external_ids:attached-mac="{mac}"',
    )  # fmt: skip
    with (folder / f"{name}.log").open("wb") as log:
        qemu = subprocess.Popen(["ip", "netns", "exec", cloud.netns, *argv], stdout=log, stderr=log)
    try:
        yield
    finally:
        qemu.kill()
        qemu.wait()


def _await(cloud: Cloud, *names: str) -> None:
    """Until the guests have started, and talk."""
    deadline = time.monotonic() + _BOOT
    for name in names:
        console = cloud.folder / f"{name}.console"
        while not (console.exists() and b"READY" in console.read_bytes()):
            assert time.monotonic() < deadline, (cloud.folder / f"{name}.log").read_text()
            time.sleep(0.1)
    counter = ("--if-exists", "get", "Interface", "vhu1", "statistics:rx_packets")
    while int(cloud.switch.vsctl(*counter).strip() or 0) < 40:
        assert time.monotonic() < deadline, "the guests do not talk"
        time.sleep(0.2)


def test_they_are_found_and_a_mirror_is_what_is_planned(cloud: Cloud) -> None:
    (found,) = (row for row in cloud.tapwright("ls", "--json").data["vnics"] if row["vm"]["name"] == "web")
    assert (found["vnic"]["mac"], found["device"], found["port"]["name"]) == ("02:de:ad:00:00:01", None, "vhu1")
    plan = cloud.tapwright("plan", "web")
    assert plan.code == 0, plan.err
    assert "read a mirror of port vhu1, on Open vSwitch br0" in plan.out


def test_a_capture_has_both_ways_and_leaves_nothing(cloud: Cloud, tmp_path: Path) -> None:
    before, path = cloud.switch.dump(), tmp_path / "web.pcapng"
    done = cloud.tapwright("capture", "web", "-d", "20", "-w", str(path), "--json")
    assert done.code == 0, done.err
    assert "Number of packets" in capinfos(path)
    # A dial-up is complete: what the guest sent and what it got, each once, and told apart.
    flags = "0x0012", "0x0002"
    rows = Counter(fields(path, "tcp.flags", "ip.src", "frame.packet_flags_direction", only="tcp.flags.syn == 1"))
    answered, asked = (sum(count for (flag, *_), count in rows.items() if flag == wanted) for wanted in flags)
    assert asked >= 10
    assert abs(asked - answered) <= 1
    assert set(rows) == {("0x0002", "10.7.0.1", "0x00000002"), ("0x0012", "10.7.0.2", "0x00000001")}
    assert not fields(path, "frame.number", only="tcp.analysis.retransmission || tcp.analysis.lost_segment")
    assert cloud.switch.dump() == before


def test_the_copies_are_proven(cloud: Cloud, tmp_path: Path) -> None:
    """DPDK's own counters are what the copies are compared with."""
    done = cloud.tapwright("capture", "web", "-d", "20", "-w", str(tmp_path / "web.pcapng"))
    assert "mirror ok: " in done.err + done.out


def test_a_filtered_mirror_has_what_matches_alone(cloud: Cloud, tmp_path: Path) -> None:
    before, path = cloud.switch.dump(), tmp_path / "sniffed.pcap"
    argv = ["ip", "netns", "exec", cloud.sniffer, "tcpdump", "-U", "-i", "eth0", "-Q", "in", "-w", str(path)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as sniffing:
        try:
            while b"listening" not in (line := sniffing.stderr.readline()):
                assert line, "tcpdump has ended"
            done = cloud.tapwright(
                "mirror", "web", "--to", f"vm:{cloud.sniffer}/eth0", "-f", "tcp dst port 80", "--for", "18s"
            )
        finally:
            sniffing.terminate()
    assert done.code == 0, done.err
    rows = Counter(fields(path, "ip.src", "tcp.dstport", only="ip"))
    assert set(rows) == {("10.7.0.1", "80")}
    assert rows["10.7.0.1", "80"] > 100
    assert cloud.switch.dump() == before
