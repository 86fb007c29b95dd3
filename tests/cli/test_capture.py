"""The main job as a person types it, judged by tshark and capinfos."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.support.labs import running_lab
from tests.support.netns import ip
from tests.support.packets import send
from tests.support.shark import capinfos, fields, packets
from tests.support.tapwright import capturing, grown, running_command, tapwright
from tests.support.vnics import quiet_bridge

from tapwright.lab import Lab

pytestmark = pytest.mark.root


def test_one_vm_into_a_file_that_names_everything(env: Mapping[str, str], lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "web.pcapng"
    answer = tapwright("capture", "web", "-c", "40", "-w", str(path), env=env)
    assert answer.code == 0, answer.err
    assert "40 packets" in answer.out
    assert "complete" in answer.out
    assert f"Next: wireshark {path}" in answer.out
    report = capinfos(path)
    assert "Strict time order:   True" in report
    assert "nanoseconds" in report
    assert re.search(r"Name = web/eth0", report)
    assert re.search(rf"Description = .*web.*host {os.uname().nodename}.*vnet0.*br0.*point device", report)
    assert "tapwright 0." in report
    assert "Linux" in report
    rows = fields(path, "frame.interface_name", "frame.packet_flags_direction", "eth.src", "eth.dst")
    mac = lab.node("web").nics[0].mac
    for name, direction, source, target in rows:
        assert name == "web/eth0"
        # 1 is towards the VM, 2 from it
        assert mac in (source if int(direction, 0) == 2 else target) or target == "ff:ff:ff:ff:ff:ff"


def test_names_of_vms_stand_in_for_their_addresses(env: Mapping[str, str], tmp_path: Path) -> None:
    path = tmp_path / "web.pcapng"
    assert tapwright("capture", "web", "-c", "20", "-w", str(path), env=env).code == 0
    argv = ["tshark", "-r", path, "-N", "nN", "-T", "fields", "-e", "ip.src_host", "-e", "ip.dst_host"]
    out = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert "web" in out
    assert "db" in out


def test_two_tenants_with_one_address_get_no_name_for_it(tmp_path: Path) -> None:
    with running_lab("overlay", traffic=True) as lab:
        path = tmp_path / "a.pcapng"
        vms = [node.name for node in lab.nodes if node.name.startswith(("red", "blue"))]
        assert len(vms) >= 4, [node.name for node in lab.nodes]
        answer = tapwright("capture", *vms, "-d", "2", "-w", str(path), env=lab.environment())
        assert answer.code == 0, answer.err
        assert "resolved IPv4" not in capinfos(path)
        assert {row[0].split("/")[0] for row in fields(path, "frame.interface_name")} <= set(vms)


def test_several_vms_one_file_in_order_of_time(env: Mapping[str, str], tmp_path: Path) -> None:
    path = tmp_path / "all.pcapng"
    answer = tapwright("capture", "web", "db", "cache", "-d", "2", "-w", str(path), "--json", env=env)
    assert answer.code == 0, answer.err
    assert "Strict time order:   True" in capinfos(path)
    assert answer.data["reordered"] == 0
    assert {row[0] for row in fields(path, "frame.interface_name")} == {"web/eth0", "db/eth0", "cache/eth0"}
    total = answer.data["ledger"]["total"]
    assert total["written"] == packets(path)
    assert total["seen"] == total["filtered"] + total["written"] + total["beyond_limit"] + total["unaccounted"]


def test_a_filter_with_a_vm_and_a_snap_length(env: Mapping[str, str], tmp_path: Path) -> None:
    path = tmp_path / "f.pcapng"
    answer = tapwright(
        "capture", "web", "-f", "vm db and tcp port 5432", "-s", "60", "-d", "2", "-w", str(path), "--json", env=env
    )
    assert answer.code == 0, answer.err
    rows = fields(path, "ip.addr", "tcp.port", "frame.cap_len", "frame.len")
    assert rows
    assert all("10.0.0.12" in address and "5432" in port for address, port, _, _ in rows)
    assert all(int(kept) <= 60 for _, _, kept, _ in rows)
    assert any(int(whole) > 60 for _, _, _, whole in rows)
    entry = answer.data["ledger"]["entries"][0]
    assert entry["filtered"] > 0
    assert answer.data["ledger"]["filtered_by"] == "kernel"
    assert "vm db and tcp port 5432" in capinfos(path)


def test_live_into_a_reader(env: Mapping[str, str]) -> None:
    with capturing("web", "-c", "30", "-w", "-", env=env) as capture:
        argv = ["tshark", "-l", "-n", "-r", "-", "-T", "fields", "-e", "frame.interface_name"]
        shark = subprocess.run(argv, stdin=capture.stdout, capture_output=True, text=True, timeout=60, check=False)
        _, err = capture.communicate(timeout=30)
        assert capture.returncode == 0, err
        assert shark.stdout.splitlines() == ["web/eth0"] * 30
        assert b"adds up" in err or b"off by" in err


def test_a_fifo(env: Mapping[str, str], tmp_path: Path) -> None:
    fifo = tmp_path / "live"
    os.mkfifo(fifo)
    with capturing("web", "-c", "10", "-w", str(fifo), env=env) as capture:
        assert packets(fifo) == 10
        capture.communicate(timeout=30)
        assert capture.returncode == 0


def test_a_ring_of_files_keeps_the_newest(env: Mapping[str, str], tmp_path: Path) -> None:
    answer = tapwright(
        *("capture", "web", "db", "-s", "200", "--ring", "8Kx3", "-d", "4"),
        *("-w", str(tmp_path / "r.pcapng"), "--json"),
        env=env,
    )
    assert answer.code == 0, answer.err
    files = sorted(tmp_path.iterdir())
    assert [str(file) for file in files] == answer.data["files"]
    assert len(files) == 3
    assert int(files[-1].name.split("_")[1]) > 3
    for file in files:
        assert file.stat().st_size <= 8192
        assert "web/eth0" in capinfos(file)


def test_limits(env: Mapping[str, str], tmp_path: Path) -> None:
    path = tmp_path / "small.pcapng"
    answer = tapwright("capture", "web", "--max-size", "64K", "-w", str(path), "--json", env=env)
    assert (answer.code, answer.data["ended"]) == (0, "size")
    assert 48_000 < path.stat().st_size <= 65_536
    capinfos(path)


def test_a_file_without_packets_says_what_to_check(env: Mapping[str, str], tmp_path: Path) -> None:
    path = str(tmp_path / "none.pcapng")
    answer = tapwright("capture", "web", "-f", "udp port 9", "-d", "1", "-w", path, env=env)
    assert answer.code == 0, answer.err
    assert "packets passed the filter; what it means: tapwright plan web -f FILTER" in answer.out
    assert "wireshark" not in answer.out


def test_nor_does_one_that_nothing_came_for_or_nothing_fitted_into(tmp_path: Path) -> None:
    path = tmp_path / "none.pcapng"
    frame = bytes.fromhex("ffffffffffff0200000000ff88b5") + bytes(8500)
    with quiet_bridge() as bridge:
        vm = bridge.guests[0]
        answer = tapwright("capture", vm, "-d", "1", "-w", str(path), env=bridge.environment)
        assert f"Next: nothing came; is there traffic? tapwright watch {vm} " in answer.out
        for netns, device in ((bridge.host, "vnet1"), (vm, "eth0")):
            ip("link", "set", device, "mtu", "9000", netns=netns)
        path = tmp_path / "small.pcapng"
        asked = (vm, "--max-size", "8K", "-w", str(path))
        with capturing(*asked, env=bridge.environment) as running:
            grown(path, 0)
            send(vm, "eth0", [frame])
            out, _ = running.communicate(timeout=20)
    assert b"nothing fitted into --max-size" in out
    assert b"Next: a larger --max-size" in out


def test_the_default_name_says_vm_and_time(env: Mapping[str, str], tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "tapwright", "capture", "web", "-c", "1"]
    subprocess.run(argv, cwd=tmp_path, env={**os.environ, **env}, check=True, capture_output=True, timeout=60)
    (made,) = tmp_path.iterdir()
    assert re.fullmatch(r"web-\d{8}-\d{6}\.pcapng", made.name)
    assert made.stat().st_mode & 0o777 == 0o600


def test_the_person_behind_sudo_can_open_the_file(env: Mapping[str, str], tmp_path: Path) -> None:
    path = tmp_path / "mine.pcapng"
    answer = tapwright("capture", "web", "-c", "1", "-w", str(path), env={**env, "SUDO_UID": "1234", "SUDO_GID": "56"})
    assert answer.code == 0, answer.err
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 56)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_completes_the_file(env: Mapping[str, str], tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "s.pcapng"
    heard = ("env", "--default-signal")  # also where the suite runs under nohup
    with running_command("capture", "web", "-w", str(path), "--json", env=env, wrapper=heard) as capture:
        grown(path)
        capture.send_signal(number)
        out, err = capture.communicate(timeout=20)
        assert capture.returncode == 0, err
        summary = json.loads(out)
        assert summary["ended"] == "stopped"
        assert packets(path) == summary["ledger"]["total"]["written"] > 0
        assert "Number of stat entries = 1" in capinfos(path)


def test_nohup_keeps_it_going_until_it_is_told_to_stop(env: Mapping[str, str], tmp_path: Path) -> None:
    path = tmp_path / "n.pcapng"
    with running_command("capture", "web", "-w", str(path), env=env, wrapper=("nohup",)) as capture:
        grown(path)
        capture.send_signal(signal.SIGHUP)
        grown(path, path.stat().st_size + 4000)
        capture.send_signal(signal.SIGINT)
        out, err = capture.communicate(timeout=20)
    assert (capture.returncode, b"complete" in out) == (0, True), err


def test_killed_it_leaves_a_readable_file_and_nothing_else(env: Mapping[str, str], tmp_path: Path) -> None:
    path = tmp_path / "k.pcapng"
    with capturing("web", "-w", str(path), env=env, stderr=subprocess.DEVNULL) as capture:
        grown(path)
        capture.kill()
        capture.wait()
        assert packets(path) > 0


def test_two_captures_of_one_vm_at_once(env: Mapping[str, str], tmp_path: Path) -> None:
    paths = [tmp_path / "one.pcapng", tmp_path / "two.pcapng"]
    with (
        capturing("web", "-d", "2", "-w", str(paths[0]), env=env) as one,
        capturing("web", "-d", "2", "-w", str(paths[1]), env=env) as two,
    ):
        assert [one.wait(30), two.wait(30)] == [0, 0]
    assert all(packets(path) > 10 for path in paths)


def test_a_terminal_gets_a_progress_line_and_a_pipe_does_not(env: Mapping[str, str], tmp_path: Path) -> None:
    master, slave = pty.openpty()
    path = tmp_path / "t.pcapng"
    with capturing("web", "-d", "1.5", "-w", str(path), env=env, stdout=subprocess.PIPE, stderr=slave) as capture:
        os.close(slave)
        shown = b""
        try:
            while chunk := os.read(master, 4096):
                shown += chunk
        except OSError:  # the other end of a pty is closed
            pass
        os.close(master)
        capture.communicate()
        assert b"capturing web/eth0" in shown
        assert re.search(rb"0:0\d  [\d,]+ packets  .*pps  .*bit/s  0 lost  .*KiB  0:0\d left", shown)
        quiet = tapwright("capture", "web", "-d", "1", "-w", str(tmp_path / "q.pcapng"), env=env)
        assert quiet.err == ""
