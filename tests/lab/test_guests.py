"""Real guests: a Debian kernel under QEMU, started by libvirt and by QEMU alone."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.support.mirrored import seen
from tests.support.netns import ip
from tests.support.repeating import repeating
from tests.support.tapwright import running_command

from tapwright.adapters import command
from tapwright.errors import MissingDependency, ProviderError, UsageError
from tapwright.lab import Lab, image, libvirtd, load, plan, processes, status
from tapwright.lab.guests import cmdline

pytestmark = [pytest.mark.root, pytest.mark.guest]


@pytest.fixture(scope="module", params=["qemu", "libvirt"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with Lab.up("qemu", hypervisor=request.param, traffic=True) as lab:
        yield lab


def test_guests_reach_each_other_over_both_switches(lab: Lab) -> None:
    for address in ("10.0.0.12", "10.0.1.12"):
        assert "1 packets received" in lab.exec("alpha", ["ping", "-c", "1", address]).stdout
        page = lab.exec("alpha", ["wget", "-q", "-O", "-", f"http://{address}/"])
        assert page.stdout == "hello from beta\n", "TCP works, so checksums are complete where they must be"


def test_the_guest_has_the_macs_of_the_plan(lab: Lab) -> None:
    macs = lab.exec("beta", ["cat", "/sys/class/net/eth0/address", "/sys/class/net/eth1/address"]).stdout.split()
    assert macs == [nic.mac for nic in lab.node("beta").nics]


def test_taps_are_where_the_plan_says(lab: Lab) -> None:
    bridged = lab.exec("s1", ["ip", "-br", "link", "show", "master", "br0"]).stdout
    plugged = lab.exec("s1", ["ovs-vsctl", "list-ports", "br-int"]).stdout.split()
    for nic in (nic for node in lab.nodes for nic in node.nics):
        assert (nic.device in plugged) if nic.ovs else (nic.device in bridged)
    rows = lab.exec("s1", ["ovs-vsctl", "--bare", "--columns=external_ids", "find", "Interface", "name=tap1"]).stdout
    alpha = lab.node("alpha")
    assert {f"vm-id={alpha.id}", f"attached-mac={alpha.nics[1].mac}"} <= set(rows.split())


def test_exec_passes_status_output_and_arguments(lab: Lab) -> None:
    assert lab.exec("alpha", ["sh", "-c", "exit 7"], check=False).code == 7
    with pytest.raises(ProviderError, match="failed in guest alpha: no way"):
        lab.exec("alpha", ["sh", "-c", "echo no way; exit 1"])
    odd = ["$(reboot)", "a b", "'", '"', "*", "", "\\", "ü"]
    assert lab.exec("alpha", ["printf", "<%s>", *odd]).stdout == "".join(f"<{word}>" for word in odd)
    assert lab.exec("alpha", ["printf", r"a\000b\000"]).stdout == "a\0b\0"
    many = lab.exec("alpha", ["seq", "20000"]).stdout
    assert many == "".join(f"{n}\n" for n in range(1, 20001))


def test_two_commands_take_turns(lab: Lab) -> None:
    said: list[str] = []
    threads = [
        threading.Thread(
            target=lambda w=word: said.append(lab.exec("alpha", ["sh", "-c", f"sleep 0.3; echo {w}"]).stdout)
        )
        for word in ("one", "two", "three")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["one\n", "three\n", "two\n"]


def test_a_command_ends_when_nobody_waits_for_it(lab: Lab) -> None:
    with pytest.raises(ProviderError, match="no answer in time"):
        lab.exec("alpha", ["sleep", "4711"], timeout=0.5)
    deadline = time.monotonic() + 60
    while "4711" in lab.exec("alpha", ["ps"]).stdout:
        assert time.monotonic() < deadline


def test_exec_of_the_command_line_streams(lab: Lab) -> None:
    argv = [sys.executable, "-m", "tapwright", "lab", "exec", f"{lab.name}/beta", "--"]
    with subprocess.Popen([*argv, "sh", "-c", "echo now; sleep 600"], stdout=subprocess.PIPE) as running:
        line = running.stdout.readline() if running.stdout else b""
        running.terminate()
    assert line == b"now\n"
    done = subprocess.run([*argv, "sh", "-c", "echo bye; exit 9"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (9, "bye\n")


def test_alpha_talks_to_beta(lab: Lab) -> None:
    before = received(lab)
    deadline = time.monotonic() + 20
    while received(lab) < before + 10:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def received(lab: Lab) -> int:
    return int(lab.exec("beta", ["cat", "/sys/class/net/eth0/statistics/rx_packets"]).stdout)


def test_nothing_of_this_machine_runs_in_a_guest(lab: Lab) -> None:
    with pytest.raises(UsageError, match="is a QEMU guest"):
        lab.start("alpha", ["sleep", "1"])


def test_libvirt_knows_its_guests_and_nobody_else_s(lab: Lab) -> None:
    listed = lab.exec("s1", ["virsh", "list", "--name"], check=False)
    if lab.plan.servers[0].spec.hypervisor == "qemu":
        assert "Failed to connect socket" in listed.stderr, "the machine's own libvirt is not asked instead"
        return
    assert listed.stdout.split() == ["alpha", "beta"]
    assert lab.exec("s1", ["virsh", "domuuid", "alpha"]).stdout.strip() == lab.node("alpha").id
    answer = lab.exec("s1", ["virsh", "domifaddr", "alpha", "--source", "agent"]).stdout
    assert "10.0.0.11" in answer, "QEMU's guest agent runs"
    assert "10.0.1.11" in answer


def pings(lab: Lab, address: str) -> AbstractContextManager[None]:
    """A guest pings `address` until the end of the block."""
    return repeating(lambda: lab.exec("alpha", ["ping", "-c", "2", address], check=False))


@pytest.mark.parametrize(
    ("nic", "by", "address"), [(0, "linux", "10.0.0.12"), (1, "linux", "10.0.1.12"), (1, "ovs", "10.0.1.12")]
)
def test_a_guest_is_mirrored_both_ways(lab: Lab, tmp_path: Path, nic: int, by: str, address: str) -> None:
    """Its tap, on the bridge by tc; on Open vSwitch by tc with a filter, and by the switch with all."""
    vnic, server = f"alpha/net{nic}", lab.node("s1").netns
    macs = {lab.node(name).nics[nic].mac for name in ("alpha", "beta")}
    env = {**lab.environment("s1"), "TAPWRIGHT_STATE": str(tmp_path / "state")}
    argv = [vnic, "--to", "nic:snf0", "--by", by, *(("-f", "icmp") if by == "linux" else ()), "--json"]
    ip("link", "add", "snf0", "type", "veth", "peer", "name", "snf1", netns=server)
    try:
        for end in ("snf0", "snf1"):
            ip("link", "set", end, "up", netns=server)
        with pings(lab, address), running_command("mirror", *argv, env=env) as running:
            assert running.stdout
            assert running.stderr
            assert (line := running.stdout.readline()), running.stderr.read().decode()
            assert [m["by"] for m in json.loads(line)["mirrors"]] == [by]
            rows = seen(server, "snf1", only="icmp", packets=8)
            running.terminate()
            _, err = running.communicate(timeout=60)
        assert running.returncode == 0, err.decode()
        assert {row[0] for row in rows} == macs
    finally:
        ip("link", "del", "snf0", netns=server)


def test_status_misses_a_guest_that_ended(lab: Lab) -> None:
    """The last one with this lab: beta stays dead."""
    assert status.status(lab.name).faults == ()
    uuid = lab.node("beta").id.encode()
    for pid in processes.find("", [lab.node("s1").netns]):
        if b"\0-uuid\0" + uuid + b"\0" in processes.arguments(pid):
            os.kill(pid, signal.SIGKILL)
    # A look in the very moment of its end may find its devices gone and the process not yet.
    while "guest beta is not running" not in status.status(lab.name).faults:
        time.sleep(0.01)
    assert status.status(lab.name).faults == ("guest beta is not running",)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    there = command.find

    def find(program: str) -> str:
        if program == "qemu-system-x86_64":
            raise MissingDependency("qemu-system-x86_64 is not installed", "apt install qemu-system-x86")
        return there(program)

    monkeypatch.setattr(command, "find", find)
    with pytest.raises(MissingDependency) as caught:
        Lab.up("qemu")
    assert caught.value.hint == "apt install qemu-system-x86"
    monkeypatch.setattr(libvirtd, "PLACES", {"etc": Path("/nonexistent")})
    assert not libvirtd.available()


def test_words_of_the_kernel_command_line() -> None:
    made = plan(load("qemu"), "x")
    words = cmdline(made.guests[0], made.topology.talks, {"beta": "10.0.0.12"}).split()
    assert {"lab.name=alpha", "lab.eth0=10.0.0.11/24", "lab.talk=tcp:10.0.0.12:80"} <= set(words)
    assert not any(word.startswith("lab.gateway") for word in words)


def test_a_fetch_that_was_killed_is_cleaned_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    partial = tmp_path / "tapwright" / "guest-1.partial"
    partial.mkdir(parents=True)
    (partial / "half.deb").write_bytes(b"")
    image.tidy()
    assert not partial.exists()
