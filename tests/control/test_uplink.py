"""At the server's uplink: the VM's frames and no others, unwrapped, as at its own device; judged by tshark."""

import json
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.labs import config_of, running_lab
from tests.support.shark import capinfos, fields
from tests.support.tapwright import capturing, grown, tapwright

from tapwright.control.local import look, points
from tapwright.lab import Lab
from tapwright.lab.chatter import PROGRAM
from tapwright.plan.points import PointKind

pytestmark = pytest.mark.root

_SENDS_A_LOT = """
import socket
with socket.create_connection(("10.0.0.12", 5432)) as s:
    s.sendall(b"x" * 600_000)
    s.shutdown(socket.SHUT_WR)
    while s.recv(65536):
        pass
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Two tenants of equal addresses on two servers; silent until a test lets them talk."""
    with running_lab("overlay") as lab:
        for name in ("red-db", "blue-db"):
            lab.start(name, [*PROGRAM, "serve", "tcp:5432"])
        yield lab


def talk(lab: Lab) -> None:
    """Both tenants at once: connections of many frames, super-frames of tens of KiB, broadcasts."""
    for tenant in ("red", "blue"):
        lab.exec(f"{tenant}-web", ["ip", "neigh", "flush", "dev", "eth0"])
        lab.exec(f"{tenant}-web", [*PROGRAM, "talk", "tcp:10.0.0.12:5432", "--count", "3", "--every", "0.01"])
        lab.exec(f"{tenant}-web", ["python3", "-I", "-S", "-c", _SENDS_A_LOT], check=False)


def captured(lab: Lab, folder: Path, wanted: dict[str, tuple[str, ...]]) -> dict[str, Path]:
    """Capture all at once while the tenants talk; file by name."""
    files = {name: folder / f"{name}.pcapng" for name in wanted}
    with ExitStack() as stack:
        running = []
        for name, arguments in wanted.items():
            argv = (*arguments, "-w", str(files[name]), "--json")
            running.append(stack.enter_context(capturing(*argv, env=lab.environment())))
        for file in files.values():
            grown(file, 200)
        talk(lab)
        for process in running:
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
            assert process.returncode == 0, err
            assert json.loads(out)["complete"]
    return files


def mac(lab: Lab, vm: str) -> str:
    return lab.node(vm).nics[0].mac


_FRAME = ("eth.src", "eth.dst", "frame.len", "ip.src", "ip.id", "tcp.seq_raw", "tcp.ack_raw", "tcp.flags", "tcp.len",
          "frame.packet_flags_direction", "arp.opcode", "tcp.payload")  # fmt: skip


def test_the_uplink_shows_what_the_vms_own_device_shows(lab: Lab, tmp_path: Path) -> None:
    vms = [f"{tenant}-{what}" for tenant in ("red", "blue") for what in ("web", "db")]
    wanted: dict[str, tuple[str, ...]] = {}
    for vm in vms:
        wanted[f"{vm}-device"] = (vm, "-f", "ip or arp")
        wanted[f"{vm}-uplink"] = (vm, "-f", "ip or arp", "--point", "uplink")
    files = captured(lab, tmp_path, wanted)
    for vm in vms:
        device, uplink = (Counter(fields(files[f"{vm}-{where}"], *_FRAME)) for where in ("device", "uplink"))
        assert uplink == device
        assert sum(uplink.values()) > 20
        mine = mac(lab, vm)
        assert all(mine in frame[:2] or frame[1] == "ff:ff:ff:ff:ff:ff" for frame in uplink)
        assert any(int(frame[2]) > 9000 for frame in uplink), "no super-frame was seen"
        assert {frame[9] for frame in uplink} == {"0x00000001", "0x00000002"}
        assert any(frame[10] for frame in uplink)
        report = capinfos(files[f"{vm}-uplink"])
        vni = 100 if vm.startswith("red") else 200
        ends = ("172.31.0.11", "172.31.0.12") if vm.endswith("web") else ("172.31.0.12", "172.31.0.11")
        expected = rf"point uplink, vxlan {vni}, VTEP {ends[0]}, remote VTEPs {ends[1]}"
        assert re.search(expected, report), report


def test_kept_wrapped_it_is_the_same_with_the_overlay_around_it(lab: Lab, tmp_path: Path) -> None:
    base = ("red-web", "--point", "uplink", "-f", "tcp port 5432")
    files = captured(lab, tmp_path, {"inner": base, "outer": (*base, "--keep-outer")})
    inner = fields(files["inner"], "frame.len", "ip.src", "tcp.seq_raw")
    outer = fields(files["outer"], "frame.len", "ip.src", "tcp.seq_raw", "vxlan.vni")
    assert {row[3] for row in outer} == {"100"}
    unwrapped = [(str(int(a) - 50), b.split(",")[1], c) for a, b, c, _ in outer]
    # Two sockets may get packets of two processors in either order.
    assert Counter(inner) == Counter(unwrapped)


def test_a_snap_length_is_the_inner_frames(lab: Lab, tmp_path: Path) -> None:
    arguments = ("red-web", "--point", "uplink", "-s", "60", "-f", "tcp")
    (file,) = captured(lab, tmp_path, {"short": arguments}).values()
    rows = fields(file, "frame.cap_len", "frame.len", "eth.src", "eth.dst")
    assert all(int(kept) == min(60, int(whole)) and mac(lab, "red-web") in ends for kept, whole, *ends in rows)
    assert any(int(whole) > 9000 for _, whole, *_ in rows)


def test_an_outer_filter_and_a_vni(lab: Lab, tmp_path: Path) -> None:
    base = ("red-web", "--point", "uplink", "-f", "tcp")
    files = captured(
        lab,
        tmp_path,
        {
            "out": (*base, "--outer-filter", "src host 172.31.0.11"),
            "none": (*base, "--outer-filter", "host 172.31.0.99"),
            "vni": (*base, "--vni", "100"),
        },
    )
    assert {row[0] for row in fields(files["out"], "eth.src")} == {mac(lab, "red-web")}
    assert fields(files["none"], "eth.src") == []
    assert {row[0] for row in fields(files["vni"], "eth.src")} == {mac(lab, "red-web"), mac(lab, "red-db")}


def test_options_for_the_uplink_mean_nothing_at_a_device(lab: Lab) -> None:
    for option in (("--vni", "100"), ("--outer-filter", "ip"), ("--keep-outer",)):
        answer = tapwright("capture", "red-web", *option, "-w", "/nowhere.pcapng", env=lab.environment())
        assert answer.code == 2
        assert "--point uplink" in answer.err
    answer = tapwright("capture", "red-web", "--point", "uplink", "--vni", "5", env=lab.environment())
    assert answer.code == 7
    assert "its VNI is 100, not 5" in answer.err


def test_a_plan_shows_what_the_kernel_will_run(lab: Lab) -> None:
    arguments = ("plan", "red-web", "--point", "uplink", "-f", "icmp", "--interval", "0")
    answer = tapwright(*arguments, env=lab.environment("s1"))
    assert answer.code == 0, answer.err
    own = f"(ether host {mac(lab, 'red-web')} or (inbound and ether multicast)) and (icmp)"
    assert f"/vxlan-100: {own}" in answer.out
    assert re.search(r"\d+ instructions, run by the kernel", answer.out)


def test_a_mistake_in_the_outer_filter_is_shown_there(lab: Lab) -> None:
    answer = tapwright("capture", "red-web", "--point", "uplink", "--outer-filter", "hots 1", env=lab.environment())
    assert answer.code == 6
    assert "hots 1\n  ^" in answer.err


def test_a_filter_too_long_is_finished_in_the_engine_when_that_is_wanted(lab: Lab, tmp_path: Path) -> None:
    macs = " or ".join(f"02:00:00:00:{n >> 8:02x}:{n & 255:02x}" for n in range(408))  # too much memory
    arguments = ("red-web", "--point", "uplink", "-f", f"ether host {macs} or tcp dst port 5432")
    refused = tapwright("capture", *arguments, "-w", str(tmp_path / "no.pcapng"), env=lab.environment())
    assert refused.code == 6
    assert "--filter-in-engine" in refused.err
    assert "there is room for" in refused.err
    path = tmp_path / "yes.pcapng"
    with capturing(*arguments, "--filter-in-engine", "-w", str(path), "--json", env=lab.environment()) as running:
        grown(path, 200)
        talk(lab)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
        assert running.returncode == 0, err
    book = json.loads(out)["ledger"]
    assert book["filtered_by"] == "kernel and engine"
    assert book["total"]["unaccounted"] == 0
    rows = fields(path, "eth.src", "tcp.dstport")
    assert len(rows) == book["total"]["written"] > 10
    assert set(rows) == {(mac(lab, "red-web"), "5432")}


def test_a_port_that_the_kernel_never_shows_is_seen_at_the_uplink(lab: Lab) -> None:
    """Planned, not captured: this machine has no DPDK."""
    config = config_of(lab, "s1")
    topology = look(config)
    offered = [p for p in points(topology, config) if p.kind is PointKind.UPLINK]
    assert {(p.device_name, p.overlay.kind, p.overlay.vni, p.overlay.port) for p in offered if p.overlay} == {
        ("uplink0", "vxlan", 100, 4789),
        ("uplink0", "vxlan", 200, 4789),
    }
    assert not any(p.outgoing_is_to_vm for p in offered)


def test_a_plain_uplink_carries_the_frames_as_they_are(tmp_path: Path) -> None:
    with running_lab("routed") as lab:
        lab.start("db", [*PROGRAM, "serve", "tcp:5432"])
        files = {kind: tmp_path / f"{kind}.pcapng" for kind in ("device", "uplink")}
        with ExitStack() as stack:
            running = [
                stack.enter_context(
                    capturing("web", "--point", kind, "-f", "ip or arp", "-w", str(file), env=lab.environment())
                )
                for kind, file in files.items()
            ]
            for file in files.values():
                grown(file, 200)
            lab.exec("web", [*PROGRAM, "talk", "tcp:10.0.2.12:5432", "--count", "3", "--every", "0.01"])
            for process in running:
                process.send_signal(signal.SIGINT)
                assert process.wait(30) == 0
        device, uplink = (Counter(fields(file, *_FRAME)) for file in files.values())
        assert uplink == device
        assert sum(uplink.values()) > 20
        assert "point uplink" in capinfos(files["uplink"])


def test_live_into_a_reader(lab: Lab) -> None:
    argv = ("red-web", "--point", "uplink", "-c", "5", "-w", "-")
    with capturing(*argv, env=lab.environment()) as running:
        talker = lab.start("red-web", [*PROGRAM, "talk", "tcp:10.0.0.12:5432"])
        shark = subprocess.run(["tshark", "-n", "-r", "-", "-T", "fields", "-e", "eth.addr"], stdin=running.stdout,
                               capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
        running.communicate(timeout=30)
        talker.terminate()
    assert len(shark.stdout.splitlines()) == 5
