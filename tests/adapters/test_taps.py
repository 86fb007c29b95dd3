"""Taps that a process holds open."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.netns import ip, namespace
from support.qemu import halted_qemu
from tapwright.adapters.taps import open_taps

pytestmark = pytest.mark.root


@pytest.fixture
def netns() -> Iterator[str]:
    with namespace() as name:
        yield name


def test_a_tap_has_its_present_name(netns: str) -> None:
    nic = ("-netdev", "tap,id=n,fd=@FD", "-device", "e1000,netdev=n,romfile=")
    with halted_qemu(netns, *nic, tap="twtap9") as pid:
        (tap,) = open_taps(pid)
        assert (tap.name, tap.index) == ("twtap9", 0)
        assert str(Path(f"/proc/{pid}/fd/{tap.fd}").readlink()) == "/dev/net/tun"
        ip("link", "set", "twtap9", "name", "renamed", netns=netns)
        assert [tap.name for tap in open_taps(pid)] == ["renamed"]


def test_a_descriptor_that_was_never_attached_is_none() -> None:
    fd = os.open("/dev/net/tun", os.O_RDWR)
    try:
        assert open_taps(os.getpid()) == ()
    finally:
        os.close(fd)


def test_a_process_that_is_gone_holds_nothing() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert open_taps(process.pid) == ()
