"""Captures by a mirror to a device of our own, and mirrors of several VMs: real Open vSwitch, judged by tshark."""

import json
import re
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.labs import config_of, running_lab
from tests.support.mirrored import COLLECTOR, DB, WEB, World, seen, speakers, world
from tests.support.shark import capinfos, fields
from tests.support.tapwright import capturing, grown, running_command, tapwright
from tests.support.traces import difference, traces

import tapwright as api
from tapwright.lab import Lab
from tapwright.lab.chatter import PROGRAM

pytestmark = pytest.mark.root

_FRAME = ("eth.src", "eth.dst", "frame.len", "ip.src", "ip.id", "tcp.seq_raw", "tcp.flags", "vlan.id",
          "frame.packet_flags_direction", "arp.opcode", "tcp.payload")  # fmt: skip
_BY_ITSELF = re.compile(r"^(statistics|status|link_resets|db_version) .*$", re.MULTILINE)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Silent until a test lets web and app talk, the latter in a VLAN."""
    with running_lab("ovs") as lab:
        for name in ("db", "queue"):
            lab.start(name, [*PROGRAM, "serve", "tcp:5432"])
        yield lab


@pytest.fixture
def env(lab: Lab, tmp_path: Path) -> Mapping[str, str]:
    """The lab, and a journal of our own."""
    return {**lab.environment(), "TAPWRIGHT_STATE": str(tmp_path / "state")}


def talk(lab: Lab) -> None:
    for vm, peer in (("web", "10.0.0.12"), ("app", "10.0.10.12")):
        lab.exec(vm, ["ip", "neigh", "flush", "dev", "eth0"])
        lab.exec(vm, [*PROGRAM, "talk", f"tcp:{peer}:5432", "--count", "5", "--every", "0.01"])


def switch(lab: Lab) -> str:
    """All that the switch and the devices beside it say, but for what changes by itself."""
    tables = ("Open_vSwitch", "Bridge", "Port", "Interface", "Mirror")
    said = [lab.exec("s1", ["ovs-vsctl", "list", table]).stdout for table in tables]
    return _BY_ITSELF.sub("", "\n".join([*said, lab.exec("s1", ["ip", "-o", "link"]).stdout]))


@contextmanager
def untouched(lab: Lab) -> Iterator[str]:
    before = switch(lab)
    yield before
    assert switch(lab) == before


def mac(lab: Lab, vm: str) -> str:
    return lab.node(vm).nics[0].mac


def test_a_mirror_shows_what_the_vms_own_device_shows(lab: Lab, env: Mapping[str, str], tmp_path: Path) -> None:
    device, mirror = tmp_path / "device.pcapng", tmp_path / "mirror.pcapng"
    vms = ("web", "app", "-f", "ip or arp")
    with (
        untouched(lab),
        capturing(*vms, "-w", str(device), "--json", env=env) as one,
        capturing(*vms, "--point", "mirror", "-w", str(mirror), "--json", env=env) as other,
    ):
        for file in (device, mirror):
            grown(file, 200)
        talk(lab)
        for process in (one, other):
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
            told = json.loads(out)
            assert told["complete"]
            assert all(entry["unaccounted"] == 0 for entry in told["ledger"]["entries"])
    # web's port has no VLAN of its own, so broadcasts of VLAN 10 come to it with their tag, at the device inside the
    # frame, where `arp` does not see through it.
    rows = [[row for row in fields(file, "frame.interface_name", *_FRAME) if not row[8]] for file in (device, mirror)]
    frames = [Counter(rows[0]), Counter(rows[1])]
    assert frames[0] == frames[1]
    for vm in ("web", "app"):
        mine = [frame for frame in frames[1] if frame[0] == f"{vm}/eth0"]
        assert len(mine) > 20
        for _, source, *rest in mine:
            assert rest[7] == ("0x00000002" if source == mac(lab, vm) else "0x00000001")
    assert re.search(r"Description = vm web .*mirror of port vnet0, device tw\w+ .*point mirror", capinfos(mirror))


def test_directions_in_a_filter_are_the_vms(lab: Lab, env: Mapping[str, str], tmp_path: Path) -> None:
    for word in ("inbound", "outbound"):
        file = tmp_path / f"{word}.pcapng"
        with capturing("web", "--point", "mirror", "-f", f"tcp and {word}", "-w", str(file), env=env) as process:
            grown(file, 200)
            talk(lab)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        sources = {row[0] for row in fields(file, "eth.src")}
        assert sources == {mac(lab, "web" if word == "outbound" else "db")}


def test_where_the_kernel_shows_nothing_a_mirror_is_taken_unasked(
    lab: Lab, env: Mapping[str, str], tmp_path: Path
) -> None:
    """AF_XDP takes the frames before a packet socket could see them."""
    file = tmp_path / "web.pcapng"
    lab.exec("s1", ["ovs-vsctl", "set", "interface", "vnet0", "type=afxdp-nonpmd"])
    try:
        lab.exec("s1", ["ovs-vsctl", "--timeout=20", "wait-until", "interface", "vnet0", "ofport>0", "error=[]"])
        with untouched(lab):
            plan = tapwright("plan", "web", "--interval", "0", "--json", env=env)
            with capturing("web", "-w", str(file), env=env) as process:
                grown(file, 200)
                talk(lab)
                process.send_signal(signal.SIGINT)
                assert process.wait(60) == 0
    finally:
        lab.exec("s1", ["ovs-vsctl", "set", "interface", "vnet0", 'type=""'])
    assert [entry["kind"] for entry in plan.data["chosen"]] == ["mirror"]
    assert plan.data["changes"] == ["a mirror of port vnet0 and a port of its own on br-int"]
    assert [step["do"]["verb"] for step in plan.data["steps"]] == ["mirror"]
    assert {row[0] for row in fields(file, "eth.src")} >= {mac(lab, "web"), mac(lab, "db")}


def test_killed_it_is_swept_once_its_lease_is_over(lab: Lab, env: Mapping[str, str], tmp_path: Path) -> None:
    before = switch(lab)
    with capturing("web", "--point", "mirror", "-w", str(tmp_path / "web.pcapng"), env=env) as process:
        grown(tmp_path / "web.pcapng", 200)
        (session,) = tapwright("sessions", "--json", env=env).data
        assert session["what"] == "capture of web/eth0"
        process.kill()
        process.wait()
    assert switch(lab) != before
    assert tapwright("sweep", env=env).out.startswith(f"session {session['id']}: owner dead, lease ends in")
    assert switch(lab) != before, "its lease is not over"
    assert tapwright("stop", session["id"], env=env).code == 0
    assert switch(lab) == before


def test_stopped_by_another_its_file_is_whole(lab: Lab, env: Mapping[str, str], tmp_path: Path) -> None:
    file = tmp_path / "web.pcapng"
    with untouched(lab), capturing("web", "--point", "mirror", "-w", str(file), "--json", env=env) as process:
        grown(file, 200)
        talk(lab)
        assert tapwright("stop", "--all", env=env).code == 0
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert json.loads(out)["complete"]
    assert len(fields(file, "eth.src")) > 10


def test_without_the_privilege_nothing_is_written(lab: Lab, env: Mapping[str, str], tmp_path: Path) -> None:
    wrapper = ("setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin")
    file = str(tmp_path / "web.pcapng")
    with untouched(lab):
        answer = tapwright("capture", "web", "--point", "mirror", "-w", file, env=env, wrapper=wrapper)
    assert answer.code == 4
    assert "CAP_NET_ADMIN" in answer.err
    assert tapwright("sessions", "--json", env=env).data == []


def test_from_python(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPWRIGHT_STATE", str(tmp_path / "state"))
    with untouched(lab):
        with api.open_capture(["web"], point="mirror", packets=20, config=config_of(lab)) as capture:
            talk(lab)
            assert sum(len(batch) for batch in capture.batches()) == 20
        assert capture.left == ""


def test_a_bridge_has_no_mirror_to_read(env: Mapping[str, str], tmp_path: Path) -> None:
    with running_lab("bridge") as bridge:
        told = {**env, **bridge.environment()}
        answer = tapwright("capture", "web", "--point", "mirror", "-w", str(tmp_path / "w.pcapng"), env=told)
    assert answer.code == 7
    assert "no point of kind mirror" in answer.err
    assert "leave --point out" in answer.err


@pytest.fixture(scope="module")
def lively() -> Iterator[World]:
    with world() as lively:
        yield lively


def sight(lively: World, tmp_path: Path) -> Mapping[str, str]:
    """The variables with which tapwright sees that world and nothing else."""
    spaces = (lively.switch.netns, lively.web, lively.db, lively.vm)
    return {
        "TAPWRIGHT_OVSDB": lively.switch.remote,
        "TAPWRIGHT_NETNS": ",".join(spaces),
        "TAPWRIGHT_PROVIDERS": "linux,ovs",
        "TAPWRIGHT_STATE": str(tmp_path / "state"),
    }


@pytest.mark.parametrize(
    ("target", "only"),
    [
        (f"erspan2://{COLLECTOR}?session=7&index=3", "ip proto 47"),
        (f"vxlan://{COLLECTOR}?vni=7007", "udp port 4789"),
        (f"gre://{COLLECTOR}?key=7", "ip proto 47"),
    ],
)
def test_two_vms_share_one_tunnel(lively: World, tmp_path: Path, target: str, only: str) -> None:
    before = lively.dump()
    env = sight(lively, tmp_path)
    with running_command(
        "mirror", lively.web, lively.db, "--to", target, "--lease", "1s", "--json", env=env
    ) as running:
        assert running.stdout
        assert running.stderr
        line = running.stdout.readline()
        assert line, running.stderr.read().decode()
        assert len(json.loads(line)["steps"]) == 2
        assert speakers(seen(lively.collector, "eth0", only=only)) == {WEB, DB}
        running.kill()
        running.wait()
    assert lively.dump() != before
    while tapwright("sessions", "--json", env=env).data[0]["lease_left"]:
        pass
    assert tapwright("sweep", env=env).code == 0
    assert lively.dump() == before


@pytest.mark.parametrize(
    "more", [["-f", "ether proto 0x88b5 and outbound"], ["-s", "64"], ["-f", "inbound", "-s", "80"]]
)
def test_a_filtered_or_cut_mirror_into_a_tunnel_is_killed_and_swept(
    lively: World, tmp_path: Path, more: list[str]
) -> None:
    """The kernel has no such tunnel here, so the switch sends what the kernel filtered."""
    before = lively.dump() + traces(lively.switch.netns)
    env = sight(lively, tmp_path)
    argv = ("mirror", lively.web, "--to", f"gre://{COLLECTOR}?key=7", *more, "--lease", "1s", "--json")
    with running_command(*argv, env=env) as running:
        assert running.stdout
        assert running.stderr
        line = running.stdout.readline()
        assert line, running.stderr.read().decode()
        assert {step["do"]["provider"] for step in json.loads(line)["steps"]} == {"ovs", "linux"}
        rows = seen(lively.collector, "eth0", "frame.len", only="ip proto 47")
        running.kill()
        running.wait()
    heard = {WEB, DB} if "-f" not in more else {DB} if "inbound" in more else {WEB}
    assert speakers(rows) == heard
    assert {int(row[1]) - 42 for row in rows} == {int(more[-1]) if "-s" in more else 214}
    while tapwright("sessions", "--json", env=env).data[0]["lease_left"]:
        pass
    assert tapwright("sweep", env=env).code == 0
    changed = difference(before, lively.dump() + traces(lively.switch.netns))
    assert not changed, changed


def test_two_vms_filtered_into_a_vlan_are_killed_and_swept(lively: World, tmp_path: Path) -> None:
    """They share the way into it."""
    before = lively.dump() + traces(lively.switch.netns)
    env = sight(lively, tmp_path)
    argv = ("mirror", lively.web, lively.db, "--to", "rspan:999", "-f", "outbound", "--lease", "1s", "--json")
    with running_command(*argv, env=env) as running:
        assert running.stdout
        assert running.stderr
        line = running.stdout.readline()
        assert line, running.stderr.read().decode()
        assert len([step for step in json.loads(line)["steps"] if "VLAN 999" in step["why"]]) == 1
        rows = seen(lively.trunk, "eth0", "vlan.id", only="vlan 999")
        running.kill()
        running.wait()
    assert speakers(rows) == {WEB, DB}
    while tapwright("sessions", "--json", env=env).data[0]["lease_left"]:
        pass
    assert tapwright("sweep", env=env).code == 0
    changed = difference(before, lively.dump() + traces(lively.switch.netns))
    assert not changed, changed


def test_a_vlan_of_a_switch_is_killed_and_swept(lively: World, tmp_path: Path) -> None:
    """What has no tag is VLAN 0; nobody counts its frames, and that is said."""
    before = lively.dump() + traces(lively.switch.netns)
    env = sight(lively, tmp_path)
    argv = ("mirror", "--switch", "br0", "--vlan", "0", "--to", "nic:snf0", "--lease", "1s", "--json")
    with running_command(*argv, env=env) as running:
        assert running.stdout
        assert running.stderr
        line = running.stdout.readline()
        assert line, running.stderr.read().decode()
        (mirror,) = json.loads(line)["mirrors"]
        assert (mirror["name"], mirror["vm"], mirror["port"]) == ("VLAN 0 of switch br0", "", "")
        assert speakers(seen(lively.sniffer, "eth0")) == {WEB, DB}
        (session,) = tapwright("sessions", "--json", env=env).data
        assert session["what"] == "mirror of VLAN 0 of switch br0 to nic:snf0"
        running.kill()
        running.wait()
    while tapwright("sessions", "--json", env=env).data[0]["lease_left"]:
        pass
    assert tapwright("sweep", env=env).code == 0
    changed = difference(before, lively.dump() + traces(lively.switch.netns))
    assert not changed, changed


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--switch", "br0", "--to", "nic:snf0"], "name the VLANs: --vlan 10"),
        (["web", "--switch", "br0", "--vlan", "1", "--to", "nic:snf0"], "web or switch br0?"),
        (["--to", "nic:snf0"], "which VM's packets?"),
        (["--switch", "br7", "--vlan", "1", "--to", "nic:snf0"], "no switch is called 'br7'"),
        (["--switch", "br0", "--vlan", "1", "--to", "rspan:1"], "cannot go into the same VLAN"),
        (["--switch", "br0", "--vlan", "1", "--to", "nic:snf0", "--direction", "in"], "have no direction"),
        (["--switch", "br0", "--vlan", "1", "--to", "nic:snf0", "--by", "linux"], "cannot be mirrored by linux"),
        (["--switch", "br-phy", "--vlan", "0", "--to", f"gre://{COLLECTOR}"], "leads through br-phy"),
    ],
)
def test_what_is_asked_of_a_switch_and_cannot_be(
    lively: World, tmp_path: Path, arguments: list[str], says: str
) -> None:
    before = lively.dump()
    done = tapwright("mirror", *arguments, env=sight(lively, tmp_path))
    assert done.code != 0
    assert says in done.err
    assert lively.dump() == before


def test_a_free_nic_takes_copies_of_two_vms(lively: World, tmp_path: Path) -> None:
    before = lively.dump()
    env = sight(lively, tmp_path)
    with running_command("mirror", lively.web, lively.db, "--to", "nic:snf0", "--json", env=env) as running:
        assert running.stdout
        assert running.stdout.readline()
        assert speakers(seen(lively.sniffer, "eth0")) == {WEB, DB}
        running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    assert {count["direction"] for count in json.loads(out.splitlines()[-1])["copied"]} == {"both"}
    assert lively.dump() == before


@pytest.mark.parametrize(("device", "says"), [("br-phy", "has the address"), ("up0", "is a port of br-phy already")])
def test_a_nic_that_somebody_needs_is_refused(lively: World, tmp_path: Path, device: str, says: str) -> None:
    before = lively.dump()
    done = tapwright("mirror", lively.web, "--to", f"nic:{device}", "--by", "ovs", env=sight(lively, tmp_path))
    assert done.code == 2, done.err
    assert says in done.err
    assert lively.dump() == before
