"""Mirrors as a person types them, on a real bridge and a real Open vSwitch, judged by what the collector gets."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.labs import running_lab
from tests.support.mirrored import seen
from tests.support.netns import ip
from tests.support.tapwright import Answer, running_command, tapwright
from tests.support.traces import traces

from tapwright.lab import Lab

pytestmark = pytest.mark.root

_BY_ITSELF = re.compile(r"^(statistics|status|link_resets|db_version) .*$| state [A-Z]+", re.MULTILINE)


@pytest.fixture(scope="module")
def ovs() -> Iterator[Lab]:
    with running_lab("ovs", traffic=True) as lab:
        yield lab


@pytest.fixture(params=["bridge", "ovs"])
def some(request: pytest.FixtureRequest) -> Lab:
    """Each kind of switch in turn."""
    return request.getfixturevalue({"bridge": "lab", "ovs": "ovs"}[request.param])


@pytest.fixture
def state(tmp_path: Path) -> Mapping[str, str]:
    """A journal of our own."""
    return {"TAPWRIGHT_STATE": str(tmp_path / "state")}


def world(lab: Lab) -> str:
    """All of the server that a mirror could leave something in, but what changes by itself."""
    netns = lab.node("s1").netns
    said = [traces(netns), ip("-o", "addr", netns=netns)]
    if any(switch.kind == "ovs" for switch in lab.node("s1").spec.switches.values()):
        tables = ("Open_vSwitch", "Bridge", "Port", "Interface", "Mirror")
        listed = (word for table in tables for word in ("--", "list", table))
        said.append(lab.exec("s1", ["ovs-vsctl", *listed]).stdout)
    return _BY_ITSELF.sub("", "\n".join(said))


@contextmanager
def mirroring(*arguments: str, env: Mapping[str, str]) -> Iterator[tuple[subprocess.Popen, dict]]:
    """A running ``tapwright mirror``, and what it said when it was open."""
    with running_command("mirror", *arguments, "--json", env=env) as running:
        assert running.stdout
        assert running.stderr
        line = running.stdout.readline()
        assert line, running.stderr.read().decode()
        yield running, json.loads(line)


def ended(running: subprocess.Popen, number: signal.Signals = signal.SIGINT) -> Answer:
    """End it; its summary, behind what it said of delivery meanwhile."""
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    *_, last = out.decode().splitlines() or [""]
    return Answer(running.returncode, last, err.decode())


def swept(env: Mapping[str, str]) -> Answer:
    """Wait until the lease of the one session is over, and sweep."""
    end = time.monotonic() + 60
    while True:
        (session,) = tapwright("sessions", "--json", env=env).data
        if not session["lease_left"]:
            return tapwright("sweep", env=env)
        assert time.monotonic() < end
        time.sleep(0.1)


COLLECTOR = {"bridge": "cache", "ovs": "queue"}


def collector(lab: Lab) -> str:
    return COLLECTOR[lab.plan.topology.name]


def test_both_directions_reach_a_collector_vm(some: Lab, state: Mapping[str, str]) -> None:
    before = world(some)
    env = {**some.environment(), **state}
    taker = collector(some)
    with mirroring("web", "--to", f"vm:{taker}/eth0", "-f", "tcp port 5432", env=env) as (running, told):
        assert [(m["vm"], m["vnic"]) for m in told["mirrors"]] == [("web", "eth0")]
        rows = seen(some.node(taker).netns, "eth0", "ip.src", "tcp.port", only="tcp port 5432")
        answer = ended(running)
    assert answer.code == 0, answer.err
    assert {row[1] for row in rows} == {"10.0.0.11", "10.0.0.12"}
    counts = {count["direction"]: count["frames"] for count in answer.data["copied"]}
    assert counts["in"] > 0
    assert counts["out"] > 0
    assert world(some) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing(some: Lab, state: Mapping[str, str], number: signal.Signals) -> None:
    before = world(some)
    env = {**some.environment(), **state}
    with mirroring("web", "--to", f"vm:{collector(some)}", env=env) as (running, _):
        assert world(some) != before
        answer = ended(running, number)
    assert (answer.code, answer.err) == (0, "")
    assert world(some) == before


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_mirrors_of_one_vm_end_in_either_order(some: Lab, state: Mapping[str, str], order: tuple[int, int]) -> None:
    before = world(some)
    env = {**some.environment(), **state}
    taker = collector(some)
    with (
        mirroring("web", "--to", f"vm:{taker}", env=env) as (one, _),
        mirroring("web", "--to", f"vm:{taker}", "-f", "tcp", env=env) as (other, _),
    ):
        seen(some.node(taker).netns, "eth0", only="tcp port 5432", packets=80)
        running = [one, other]
        answers = [ended(running[number]) for number in order]
    assert [(answer.code, answer.err) for answer in answers] == [(0, ""), (0, "")]
    assert all(count["frames"] for answer in answers for count in answer.data["copied"])
    assert world(some) == before


def test_too_much_is_stopped_and_undone(some: Lab, state: Mapping[str, str]) -> None:
    """The lab's own traffic is more than the one bit a second that is allowed."""
    before = world(some)
    env = {**some.environment(), **state}
    with mirroring("web", "--to", f"vm:{collector(some)}/eth0", "--governor", "rate=1", env=env) as (running, _):
        out, err = running.communicate(timeout=120)
    assert running.returncode == 7
    assert "stopped: copying" in err.decode()
    assert "--governor" in err.decode()
    *_, last = out.decode().splitlines()
    *before_that, said = json.loads(last)["governor"]
    assert said.startswith("stopped: ")
    assert said.endswith("(limit 1 bit/s)")
    # What tc copies can be sampled first.
    assert [text.partition(":")[0] for text in before_that] in (
        [], ["stepped down from full to sampled (one packet in 16)"]
    )  # fmt: skip
    assert world(some) == before


def test_a_whole_port_of_the_switch_is_cut_before_it_is_stopped(ovs: Lab, state: Mapping[str, str]) -> None:
    before = world(ovs)
    env = {**ovs.environment(), **state}
    asked = ("web", "--to", "vm:queue/eth0", "--by", "ovs", "--governor", "rate=1")
    planned = tapwright("mirror", *asked, "--dry-run", env=env)
    ladder = "full, sliced (256 bytes of each packet), headers (96 bytes of each packet), stopped"
    assert f"it steps down: {ladder}\n" in planned.out
    with mirroring(*asked, env=env) as (running, _):
        out, err = running.communicate(timeout=120)
    assert running.returncode == 7, err
    *_, last = out.decode().splitlines()
    said = [text.partition(":")[0] for text in json.loads(last)["governor"]]
    # Nobody tells how long the frames of that port are, so each level is expected to help.
    assert said == [
        "stepped down from full to sliced (256 bytes of each packet)",
        "stepped down from sliced to headers (96 bytes of each packet)",
        "stopped",
    ]
    assert world(ovs) == before


@pytest.mark.parametrize("by", ["linux", "ovs"])
def test_killed_it_is_swept_once_its_lease_is_over(ovs: Lab, state: Mapping[str, str], by: str) -> None:
    before = world(ovs)
    env = {**ovs.environment(), **state}
    with mirroring("web", "db", "--to", "vm:queue/eth0", "--by", by, "--lease", "1s", env=env) as (running, told):
        ended(running, signal.SIGKILL)
    assert world(ovs) != before
    answer = swept(env)
    assert answer.code == 0, answer.err
    assert told["session"] in answer.out
    assert world(ovs) == before
    assert tapwright("sessions", "--json", env=env).data == []
    (closed,) = tapwright("sessions", "--all", "--json", env=env).data
    assert (closed["id"], closed["state"], closed["kept"]) == (told["session"], "closed", [])


def test_a_dry_run_changes_nothing_and_says_what_it_would(some: Lab, state: Mapping[str, str]) -> None:
    before = world(some)
    answer = tapwright(
        "mirror", "web", "--to", f"vm:{collector(some)}", "--dry-run", env={**some.environment(), **state}
    )
    assert answer.code == 0, answer.err
    assert "web/eth0: mirrored by linux" in answer.out
    assert "is copied to" in answer.out
    assert world(some) == before
    assert not Path(state["TAPWRIGHT_STATE"]).exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("nobody", "--to", "nic:eth1"), 3, "tapwright ls"),
        (("web", "--to", "nic:nowhere"), 3, "no device 'nowhere'"),
        (("web", "--to", "vm:nobody"), 3, "no VM is called 'nobody'"),
        (("web", "--to", "vm:web/eth0"), 2, "cannot be mirrored to itself"),
        (("web", "--to", "elsewhere"), 2, "nic:DEV"),
        (("web", "--to", "vxlan://10.0.0.11?vni=7"), 2, "is the mirrored VM itself"),
        (("web", "--to", "nic:vnet1"), 2, "--to vm:NAME/NIC"),
        (("web", "--to", "nic:br-int"), 8, "the switch needs it"),
        (("web", "--to", "vm:db", "--by", "nobody"), 2, "no provider 'nobody'"),
        (("web", "--to", "vm:db", "-f", "tcp prt 80"), 6, "prt"),
        (("web", "--to", "vm:db", "--lease", "2d"), 2, "lease"),
    ],
)
def test_what_cannot_be_is_refused_with_a_next_step(
    ovs: Lab, state: Mapping[str, str], arguments: tuple[str, ...], code: int, says: str
) -> None:
    before = world(ovs)
    answer = tapwright("mirror", *arguments, env={**ovs.environment(), **state})
    assert answer.code == code, answer.err
    assert says in answer.err
    assert "Traceback" not in answer.err
    assert world(ovs) == before


def delivered(running: subprocess.Popen) -> dict:
    """What it says of delivery first: where there is traffic, that it is well, or that it is not."""
    assert running.stdout
    while line := running.stdout.readline():
        said = json.loads(line)
        if said["event"] == "delivery" and said["outcome"] != "idle":
            return said
    raise AssertionError("it ended")


def test_delivery_is_told_while_it_runs_and_in_the_summary(some: Lab, state: Mapping[str, str]) -> None:
    env = {**some.environment(), **state}
    with mirroring("web", "--to", f"vm:{collector(some)}/eth0", env=env) as (running, told):
        assert {verdict["answer"] for mirror in told["mirrors"] for verdict in mirror["preflight"]} == {"yes"}
        said = delivered(running)
        assert (said["vnic"], said["outcome"], said["revalidated"]) == ("web/eth0", "ok", False)
        answer = ended(running)
    assert answer.code == 0, answer.err
    assert answer.data["delivery"][0]["outcome"] == "ok"


def test_what_will_not_arrive_whole_is_told_before(lab: Lab, state: Mapping[str, str]) -> None:
    """The way to the collector is a veth pair of the usual MTU, and VXLAN adds 50 bytes."""
    env = {**lab.environment(), **state}
    server = lab.node("s1").netns
    ip("link", "add", "way0", "type", "veth", "peer", "name", "way1", netns=server)
    try:
        ip("addr", "add", "192.0.2.1/24", "dev", "way0", netns=server)
        ip("link", "set", "way0", "up", netns=server)
        said = tapwright("mirror", "web", "--to", "vxlan://192.0.2.9?vni=7", "--dry-run", env=env)
        assert said.code == 0, said.err
        assert "copies of frames with more than 1464 bytes do not fit the way to 192.0.2.9" in said.err
        assert "-> raise the MTU of the way to 1550, lower the vNIC's to 1450" in said.err
        assert "warn  copies of frames" in said.out
    finally:
        ip("link", "del", "way0", netns=server)


def test_where_nothing_could_arrive_nothing_is_opened(ovs: Lab, state: Mapping[str, str]) -> None:
    """The kernel knows the way, by a device that is no bridge of the switch."""
    before = world(ovs)
    env = {**ovs.environment(), **state}
    server = ovs.node("s1").netns
    ip("link", "add", "way0", "type", "veth", "peer", "name", "way1", netns=server)
    try:
        ip("addr", "add", "192.0.2.1/24", "dev", "way0", netns=server)
        ip("link", "set", "way0", "up", netns=server)
        said = tapwright("mirror", "web", "--by", "ovs", "--to", "vxlan://192.0.2.9?vni=7", "--for", "9", env=env)
        assert said.code == 8, said.err
        assert "leave by way0, which is no bridge of this Open vSwitch" in said.err
    finally:
        ip("link", "del", "way0", netns=server)
    assert world(ovs) == before


def test_a_capture_by_a_mirror_says_that_it_was_delivered(ovs: Lab, state: Mapping[str, str], tmp_path: Path) -> None:
    env = {**ovs.environment(), **state}
    argv = ("web", "--point", "mirror", "-d", "25", "-w", str(tmp_path / "web.pcapng"), "--json")
    said = tapwright("capture", *argv, env=env)
    assert said.code == 0, said.err
    (delivery,) = said.data["delivery"]
    assert (delivery["vnic"], delivery["outcome"]) == ("web/eth0", "ok"), delivery
    session = tapwright("sessions", "--all", "--json", env=env).data[-1]
    assert (session["state"], [each["outcome"] for each in session["delivery"]]) == ("closed", ["ok"])
