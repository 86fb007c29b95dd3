"""What the kernel can do, asked and tried, and that trying leaves nothing."""

import gzip
import os
from pathlib import Path

import pytest

from support.netns import ip
from tapwright.adapters import clock, kernel
from tapwright.adapters.kernel import Kernel, Trial

_VXLAN = Trial("vxlan", "ip", "link add twprobe1 type vxlan id 1 dstport 4789")
_NONSENSE = Trial("nonsense", "ip", "link add twprobe2 type nosuchkind")


def test_what_files_say(tmp_path: Path) -> None:
    release = os.uname().release
    modules = tmp_path / "lib/modules" / release
    modules.mkdir(parents=True)
    (modules / "modules.builtin").write_text("kernel/net/sched/cls_bpf.ko\n")
    (modules / "modules.dep").write_text("kernel/drivers/net/vxlan/vxlan.ko.xz: kernel/net/ipv4/udp-tunnel.ko.xz\n")
    (tmp_path / "sys/module/act_mirred").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/modules").write_text("")
    (tmp_path / "proc/config.gz").write_bytes(gzip.compress(b"CONFIG_VXLAN=m\n# CONFIG_GENEVE is not set\n"))
    found = kernel.read(str(tmp_path))
    assert found == Kernel(
        release, {"VXLAN": "m"}, frozenset({"cls_bpf", "act_mirred"}), frozenset({"vxlan"}), loads=True
    )
    (tmp_path / "proc/sys/kernel/modules_disabled").write_text("1\n")
    assert not kernel.read(str(tmp_path)).loads


def test_what_no_file_says_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/config.gz").write_bytes(b"not compressed")
    found = kernel.read(str(tmp_path))
    assert found.config is None
    assert not found.present
    (tmp_path / "boot").mkdir()
    (tmp_path / f"boot/config-{os.uname().release}").write_text("CONFIG_VXLAN=y\n")
    assert kernel.read(str(tmp_path)).config == {"VXLAN": "y"}


@pytest.mark.root
def test_trying_tells_what_works_and_leaves_nothing() -> None:
    before = ip("-o", "link")
    tried = kernel.tried([_NONSENSE, _VXLAN], privileged=True)
    assert tried["vxlan"] == ""
    assert "Unknown device type" in tried["nonsense"]
    assert ip("-o", "link") == before


def test_what_cannot_be_tried_is_left_out() -> None:
    assert kernel.tried([Trial("x", "nosuchprogram", "x")], privileged=True) == {}


def test_a_packet_ring_and_pressure_are_asked_of_the_kernel() -> None:
    try:
        assert kernel.packet_ring() == ""
    except PermissionError:
        assert os.geteuid() != 0
    assert (kernel.pressure() == "") == Path("/proc/pressure/cpu").exists()


def test_the_clock() -> None:
    found = clock.read()
    assert found.synchronised in (True, False)
    assert 0 < found.resolution < 1
    assert abs(clock.ahead() - clock.ahead()) < 1000
