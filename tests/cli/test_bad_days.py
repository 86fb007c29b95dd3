"""What goes wrong at 2 am: each day ends with a clear sentence, an exit code, and nothing lost or left behind."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.labs import running_lab
from tests.support.netns import ip
from tests.support.packets import send
from tests.support.shark import capinfos, fields, packets
from tests.support.tapwright import capturing, grown, tapwright

from tapwright.lab import Lab

pytestmark = pytest.mark.root

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all")


def test_no_privilege_names_the_capability(env: Mapping[str, str]) -> None:
    answer = tapwright("capture", "web", "-w", "-", env=env, wrapper=NOBODY)
    assert answer.code == 4
    assert "CAP_NET_RAW" in answer.err
    assert "sudo" in answer.err
    assert answer.out == ""


def test_no_packet_socket_names_the_capability(env: Mapping[str, str], tmp_path: Path) -> None:
    """Everything can be seen, only the socket is refused."""
    path = tmp_path / "x.pcapng"
    only = ("setpriv", "--inh-caps=-net_raw", "--bounding-set=-net_raw")
    answer = tapwright("capture", "web", "-w", str(path), env=env, wrapper=only)
    assert answer.code == 4
    assert "CAP_NET_RAW" in answer.err
    assert not path.exists()


def test_no_libpcap_names_the_package(env: Mapping[str, str], tmp_path: Path) -> None:
    hide = 'for f in /usr/lib/*/libpcap.so*; do mount --bind /dev/null "$f" || exit; done; exec "$@"'
    hidden = ("unshare", "-m", "sh", "-c", hide, "sh")
    answer = tapwright("capture", "web", "-f", "tcp", "-w", str(tmp_path / "x"), env=env, wrapper=hidden)
    assert answer.code == 5, answer.err
    assert "libpcap0.8" in answer.err
    without = tapwright("capture", "web", "-c", "1", "-w", str(tmp_path / "y"), env=env, wrapper=hidden)
    assert without.code == 0, without.err


@pytest.mark.parametrize(
    ("name", "hint"), [("wbe", "did you mean web"), ("web/eth9", "it has eth0"), ("x*", "tapwright ls")]
)
def test_an_unknown_vm_suggests_near_ones(env: Mapping[str, str], tmp_path: Path, name: str, hint: str) -> None:
    answer = tapwright("capture", name, "-w", str(tmp_path / "x"), env=env)
    assert answer.code == 3
    assert hint in answer.err
    assert not list(tmp_path.iterdir())


def test_a_name_of_two_asks_which(tmp_path: Path) -> None:
    with running_lab("bridge") as one, running_lab("bridge") as other:
        env = {"TAPWRIGHT_NETNS": f"twlab-{one.name}-*,twlab-{other.name}-*"}
        answer = tapwright("where", "web", env=env)
        assert answer.code == 3
        for lab in (one, other):
            netns = lab.node("web").netns
            assert netns in answer.err
            assert tapwright("where", netns, env=env).code == 0


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("tcp prot 80", "    ^"),
        ("host 10.0.0.300", "     ^"),
        ("tcp and vm nobody", "           ^"),
        ("ip protochain 6", ""),
        ("(tcp", "^"),
        ("$(reboot)", "^"),
        ("`id`; rm -rf /", "^"),
    ],
)
def test_a_filter_that_cannot_be_is_refused_with_its_position(
    env: Mapping[str, str], tmp_path: Path, text: str, mark: str
) -> None:
    answer = tapwright("capture", "web", "-f", text, "-w", str(tmp_path / "x"), env=env)
    assert answer.code == 6, answer.err
    assert any(line.removeprefix("  ").startswith(mark.rstrip("^")) for line in answer.err.splitlines())
    assert "^" in answer.err or not mark
    assert not list(tmp_path.iterdir())


def test_an_existing_file_stays(env: Mapping[str, str], tmp_path: Path) -> None:
    path = tmp_path / "precious.pcapng"
    path.write_text("precious")
    answer = tapwright("capture", "web", "-c", "1", "-w", str(path), env=env)
    assert answer.code == 2
    assert "--force" in answer.err
    assert path.read_text() == "precious"
    assert tapwright("capture", "web", "-c", "1", "-w", str(path), "--force", env=env).code == 0
    assert packets(path) == 1
    link = tmp_path / "link"
    link.symlink_to(path)
    assert tapwright("capture", "web", "-c", "1", "-w", str(link), "--force", env=env).code != 0


@pytest.mark.parametrize("command", ["capture", "plan"])
def test_a_folder_that_is_not_there_is_named(env: Mapping[str, str], tmp_path: Path, command: str) -> None:
    answer = tapwright(command, "web", "-w", str(tmp_path / "no where" / "x.pcapng"), env=env)
    assert answer.code == 2, answer.err
    assert f"there is no folder {tmp_path}/no where" in answer.err
    assert f"mkdir -p '{tmp_path}/no where'" in answer.err
    assert "VM" not in answer.err


def test_the_api_names_the_folder_too(env: Mapping[str, str], tmp_path: Path) -> None:
    code = f"import tapwright; tapwright.open_capture(['web'], path='{tmp_path}/gone/x.pcapng')"
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    assert f"CaptureError: cannot write {tmp_path}/gone/x.pcapng: there is no folder {tmp_path}/gone" in done.stderr


@pytest.mark.parametrize(("option", "named"), [(("--max-size", "100"), "--max-size"), (("--ring", "1Kx3"), "--ring")])
def test_a_size_without_room_for_a_packet_is_refused(
    env: Mapping[str, str], tmp_path: Path, option: tuple[str, str], named: str
) -> None:
    argv = ("capture", "web", "db", "-w", str(tmp_path / "x"), "-d", "5")
    answer = tapwright(*argv, *option, env=env)
    assert answer.code == 2
    assert not list(tmp_path.iterdir())
    found = re.search(rf"smallest that makes sense here is {named} (\d+K)", answer.err)
    assert found, answer.err
    size = found[1] + "x2" * (named == "--ring")
    enough = tapwright(*argv[:-1], "2", named, size, "--json", env=env)
    assert enough.code == 0, enough.err
    assert enough.data["ledger"]["total"]["written"] > 0


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tapwright-test", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_ends_the_capture_with_a_valid_file(env: Mapping[str, str], lab: Lab, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "256k") as disk:
        path = disk / "full.pcapng"
        with capturing("web", "-w", str(path), "--json", env=env) as capture:
            grown(path, 1000)
            frame = bytes.fromhex("ffffffffffff0200000000ff88b5") + bytes(1400)
            send(lab.node("web").netns, "eth0", [frame] * 400)
            out, err = capture.communicate(timeout=30)
            assert capture.returncode == 7, err
            assert b"disk is full" in err
            assert b"->" in err
            total = json.loads(out)["ledger"]["total"]
            assert total["engine_dropped"] > 0
            assert packets(path) == total["written"] > 50
            report = capinfos(path)
            assert "Number of stat entries = 1" in report
            assert (
                total["seen"] - total["unaccounted"]
                == total["written"] + total["engine_dropped"] + total["kernel_dropped"]
            )


def test_a_reader_that_goes_away_ends_the_capture(env: Mapping[str, str]) -> None:
    with capturing("web", "-w", "-", env=env) as capture:
        assert capture.stdout is not None
        assert capture.stdout.read(100)
        capture.stdout.close()
        assert capture.wait(20) == 0
        assert capture.stderr is not None
        assert b"reader went away" in capture.stderr.read()
        capture.stderr.close()


def test_a_reader_that_hangs_does_not_hold_the_end(env: Mapping[str, str], lab: Lab) -> None:
    with capturing("web", "-w", "-", env=env) as capture:
        assert capture.stdout is not None
        assert capture.stdout.read(10)
        frame = bytes.fromhex("ffffffffffff0200000000ff88b5") + bytes(1400)
        send(lab.node("web").netns, "eth0", [frame] * 2000)
        time.sleep(0.5)
        capture.terminate()
        assert capture.wait(10) == 0
        capture.stdout.close()
        assert capture.stderr is not None
        capture.stderr.close()


def test_a_vm_that_stops_ends_its_own_point_only(tmp_path: Path) -> None:
    with running_lab("bridge", traffic=True) as lab:
        path = tmp_path / "both.pcapng"
        with capturing("web", "db", "-w", str(path), "--json", env=lab.environment()) as capture:
            grown(path, 6000)
            ip("link", "del", "vnet0", netns=lab.node("s1").netns)
            before = path.stat().st_size
            lab.exec("cache", ["ping", "-c", "3", "-i", "0.2", "10.0.0.12"], check=False)
            grown(path, before + 200)
            assert capture.poll() is None
            capture.terminate()
            out, err = capture.communicate(timeout=20)
            assert capture.returncode == 0, err
            ledger = json.loads(out)["ledger"]
            ended = {entry["name"]: entry["ended"] for entry in ledger["entries"]}
            assert ended == {"web/eth0": "device gone", "db/eth0": ""}
            assert "device gone" in " ".join(row[0] for row in fields(path, "frame.interface_name")) or packets(path)
            assert not json.loads(out)["complete"]
            gone, there = ledger["entries"]
            assert gone["at_least"]
            assert gone["seen"] >= gone["written"] > 0
            assert not there["at_least"]
            assert ledger["total"]["seen"] == gone["seen"] + there["seen"]


def test_when_all_are_gone_the_capture_ends(tmp_path: Path) -> None:
    with running_lab("bridge", traffic=True) as lab:
        path = tmp_path / "gone.pcapng"
        with capturing("web", "-w", str(path), env=lab.environment()) as capture:
            grown(path)
            ip("link", "del", "vnet0", netns=lab.node("s1").netns)
            _, err = capture.communicate(timeout=20)
            assert capture.returncode == 7
            assert b"gone" in err
            capinfos(path)


def test_nothing_stays_on_the_host(env: Mapping[str, str], lab: Lab, tmp_path: Path) -> None:
    spaces = [lab.node("s1").netns, lab.node("web").netns]

    def inside(*argv: str) -> list[str]:
        runs = (["ip", "netns", "exec", netns, *argv] for netns in spaces)
        return [subprocess.run(run, capture_output=True, text=True, check=True).stdout for run in runs]

    def devices() -> list[tuple[object, ...]]:
        kept = ("ifname", "flags", "mtu", "promiscuity", "qdisc", "master", "address", "ifalias")
        return [
            tuple(str(d.get(k)) for k in kept) for text in inside("ip", "-d", "-j", "link") for d in json.loads(text)
        ]

    def sockets() -> set[str]:
        return {line.split()[-1] for text in inside("cat", "/proc/net/packet") for line in text.splitlines()[1:]}

    before, heard, rules = devices(), sockets(), inside("tc", "qdisc")
    for how in ("terminate", "kill"):
        path = tmp_path / how
        with capturing("web", "-w", str(path), env=env, stdout=subprocess.DEVNULL) as capture:
            grown(path)
            getattr(capture, how)()
            capture.wait(20)
    end = time.monotonic() + 5  # the kernel closes the sockets of a killed process in its own time
    while sockets() - heard and time.monotonic() < end:
        time.sleep(0.1)
    assert not sockets() - heard
    assert devices() == before
    assert inside("tc", "qdisc") == rules


def test_three_hundred_vnics_at_once(tmp_path: Path) -> None:
    count = 300
    prefix = f"t{os.getpid()}m"
    with many_vms(prefix, count):
        path = tmp_path / "many.pcapng"
        with capturing(f"{prefix}-*", "-w", str(path), "--json", env={"TAPWRIGHT_NETNS": f"{prefix}*"}) as capture:
            grown(path, 0)
            time.sleep(1)
            frame = bytes.fromhex("ffffffffffff0200000000ff88b5") + bytes(50)
            send(f"{prefix}-7", "eth0", [frame] * 3)
            time.sleep(1)
            peak = int(
                next(x for x in Path(f"/proc/{capture.pid}/status").read_text().splitlines() if "VmHWM" in x).split()[1]
            )
            capture.terminate()
            out, err = capture.communicate(timeout=60)
            assert capture.returncode == 0, err
            summary = json.loads(out)
            assert len(summary["ledger"]["entries"]) == count
            rows = fields(path, "frame.interface_name", only="eth.type == 0x88b5")
            assert len({row[0] for row in rows}) == count
            assert len(rows) == 3 * count
            assert peak < 150_000, f"{peak} KiB"


@contextmanager
def many_vms(prefix: str, count: int) -> Iterator[None]:
    names = [f"{prefix}sw", *(f"{prefix}-{i}" for i in range(count))]
    batch = ["link add br0 type bridge", "link set br0 up"]
    for i in range(count):
        batch += [
            f"link add v{i} type veth peer name eth0 netns {prefix}-{i}",
            f"link set v{i} master br0 up",
        ]
    # Without IPv6: 300 VMs that greet each other are a storm of 90,000 copies.
    off = "sh -c 'for f in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 >$f; done'"
    ups = "".join(f"ip netns exec {n} {off}\n" for n in names)
    ups += "".join(f"ip -n {prefix}-{i} link set eth0 up\n" for i in range(count))
    try:
        subprocess.run(["ip", "-batch", "-"], input="\n".join(f"netns add {n}" for n in names), text=True, check=True)
        subprocess.run(["ip", "-n", names[0], "-batch", "-"], input="\n".join(batch), text=True, check=True)
        subprocess.run(["sh"], input=ups, text=True, check=True)
        yield
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def test_a_terminal_is_no_output(env: Mapping[str, str]) -> None:
    script = ["script", "-qec", f"{sys.executable} -m tapwright capture web -w -", "/dev/null"]
    done = subprocess.run(script, env={**os.environ, **env}, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "terminal" in done.stdout


def test_output_that_cannot_be_written_is_one_line(env: Mapping[str, str]) -> None:
    for arguments in (["ls", "--json"], ["plan", "web", "--interval", "0"], ["--help"]):
        with Path("/dev/full").open("w") as full:
            argv = [sys.executable, "-m", "tapwright", *arguments]
            done = subprocess.run(argv, env={**os.environ, **env}, stdout=full, stderr=subprocess.PIPE, check=False)
        assert (done.returncode, done.stderr) == (1, b"tapwright: cannot write the output: No space left on device\n")
