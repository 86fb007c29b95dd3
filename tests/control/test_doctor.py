"""`tapwright doctor` on a real Open vSwitch and real tc: what it finds, and that its commands remove just that."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.mirrored import World, world
from support.netns import ip, namespace, veth
from support.tapwright import Answer, tapwright
from tapwright.control import doctor
from tapwright.control.checks import Check
from tapwright.model import Capability
from tapwright.providers.ovs import Ovs

pytestmark = pytest.mark.root

_OWNER = """
import sys
from tapwright.control.sessions import Sessions
from tapwright.find.topology import join
from tapwright.model import Host
from tapwright.plan.mirrors import Mirror, Target, TargetKind
from tapwright.plan.points import PointKind
from tapwright.providers.ovs import Ovs

provider = Ovs([sys.argv[1]])
sessions = Sessions(load=lambda name, config: provider)
points = provider.points(join(Host("h"), [provider.snapshot()]))
point = next(point for point in points if point.port == "vnet1" and point.kind is PointKind.MIRROR)
with sessions.open("mirror of web", lambda mark: [Mirror(point, Target(TargetKind.NIC), mark)], lease=1.0) as running:
    print(running.session.id, flush=True)
    running.wait()
"""
"""Opens a session and keeps it."""


@pytest.fixture
def lively() -> Iterator[World]:
    with world() as lively:
        yield lively


def environment(world: World, state: Path) -> Mapping[str, str]:
    """In which tapwright sees this switch and its namespace, and nothing else."""
    return {
        **{key: value for key, value in world.switch.environment.items() if key.startswith("OVS_")},
        "TAPWRIGHT_STATE": str(state),
        "TAPWRIGHT_OVSDB": world.switch.remote,
        "TAPWRIGHT_PROVIDERS": "linux,ovs",
        "TAPWRIGHT_NETNS": world.switch.netns,
    }


@contextmanager
def owner(world: World, env: Mapping[str, str]) -> Iterator[tuple[subprocess.Popen, str]]:
    argv = [sys.executable, "-c", _OWNER, world.switch.remote]
    with subprocess.Popen(argv, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout
            yield running, running.stdout.readline().strip()
        finally:
            running.kill()


def diagnosed(env: Mapping[str, str]) -> tuple[Answer, list[dict]]:
    answer = tapwright("doctor", "--json", env=env)
    assert answer.code in (0, 9), answer.err
    return answer, answer.data["leftovers"]


def execute(command: str, env: Mapping[str, str]) -> None:
    """As a person would who copies the line."""
    tool = f"{shlex.quote(sys.executable)} -m tapwright "
    line = tool + command.removeprefix("tapwright ") if command.startswith("tapwright ") else command
    done = subprocess.run(
        line, shell=True, check=False, env={**os.environ, **env}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)


def test_a_session_whose_owner_was_killed_is_found_and_its_command_removes_just_that(
    lively: World, tmp_path: Path
) -> None:
    env = environment(lively, tmp_path / "state")
    with owner(lively, env) as (alive, _):
        after_one = lively.dump()
        with owner(lively, env) as (killed, session):
            assert diagnosed(env)[1] == [], "those that live are nobody's leftovers"
            killed.send_signal(signal.SIGKILL)
            killed.wait()
            found = awaited(env, session)
        assert [(one["whose"], one["command"]) for one in found] == [("ours", f"tapwright stop {session}")]
        assert found[0]["attention"]
        assert tapwright("doctor", env=env).code == 9
        execute(found[0]["command"], env)
        assert diagnosed(env)[1] == []
        assert lively.dump() == after_one
        assert alive.poll() is None


def awaited(env: Mapping[str, str], session: str) -> list[dict]:
    """What is found of that session once its lease is over; before that, it is said that it will be."""
    deadline = time.monotonic() + 60
    while True:
        _, found = diagnosed(env)
        mine = [one for one in found if session in one["what"]]
        assert mine, found
        if mine[0]["attention"]:
            return found
        assert "its lease ends in" in mine[0]["state"]
        assert time.monotonic() < deadline


def test_what_is_ours_by_its_mark_alone_is_found_without_a_journal(lively: World, tmp_path: Path) -> None:
    env = environment(lively, tmp_path / "state")
    before = lively.dump()
    with owner(lively, env) as (killed, _):
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    (tmp_path / "state" / "journal.db").unlink()
    (found,) = diagnosed(env)[1]
    assert found["whose"] == "ours"
    execute(found["command"], env)
    assert diagnosed(env)[1] == []
    assert configured(lively.dump()) == configured(before)


def configured(dump: str) -> list[str]:
    """Without the numbers that ovs-vsctl itself counts up."""
    return [line for line in dump.splitlines() if not line.startswith(("next_cfg", "cur_cfg"))]


def test_strangers_mirrors_on_open_vswitch_are_told_with_a_command_for_each(lively: World, tmp_path: Path) -> None:
    env = environment(lively, tmp_path / "state")
    add_mirror(lively, "fine", "trunk0")
    before = lively.dump()
    add_mirror(lively, "blind", "")
    lively.switch.vsctl("--", "add-port", "br0", "mivnet2", "--", "set", "interface", "mivnet2", "type=internal")
    add_mirror(lively, "m_vnet2", "mivnet2")
    answer, found = diagnosed(env)
    assert answer.code == 9
    assert sorted(one["what"] for one in found) == [
        "mirror blind of bridge br0, which has no output",
        "port mivnet2 of an ovs-tcpdump that is gone",
    ]
    for left, one in enumerate(sorted(found, key=lambda one: one["what"], reverse=True), start=1):
        assert one["whose"] == "stranger"
        execute(one["command"], env)
        assert len(diagnosed(env)[1]) == len(found) - left
    assert configured(lively.dump()) == configured(before)


def add_mirror(world: World, name: str, output: str) -> None:
    out = ["--", "--id=@out", "get", "port", output] if output else []
    world.switch.vsctl(
        *out, "--", "--id=@p", "get", "port", "vnet2", "--", "--id=@m", "create", "mirror", f"name={name}",
        "select_src_port=@p", "select_dst_port=@p", *(["output_port=@out"] if output else []),
        "--", "add", "bridge", "br0", "mirrors", "@m",
    )  # fmt: skip


def test_a_strangers_tc_mirror_to_a_device_that_is_gone(tmp_path: Path) -> None:
    with namespace() as host:
        env = {"TAPWRIGHT_STATE": str(tmp_path), "TAPWRIGHT_PROVIDERS": "linux", "TAPWRIGHT_NETNS": host}
        veth(host, "vnet1", "eth0")
        veth(host, "mon0", "mon1")
        tc(host, "qdisc", "add", "dev", "vnet1", "clsact")
        copy(host, "ingress", "1", "eth0")
        copy(host, "ingress", "2", "eth0", "ip src 10.0.0.1")
        before = goals(host)
        copy(host, "ingress", "2", "mon0")
        copy(host, "egress", "1", "mon0")
        assert diagnosed(env)[1] == []
        ip("link", "del", "mon0", netns=host)
        _, found = diagnosed(env)
        assert {one["what"].rpartition(", to ")[2] for one in found} == {"a device that is gone"}
        assert len(found) == 2
        for one in found:
            execute(one["command"], env)
        assert diagnosed(env)[1] == []
        assert goals(host) == before


def goals(netns: str) -> set[tuple[str, str]]:
    """Every filter of the device and where it copies to; tc lists some of u32 at both hooks."""
    said = [tc(netns, "filter", "show", "dev", "vnet1", hook) for hook in ("ingress", "egress")]
    return set(re.findall(r"fh (\S+::\S+) .*?Mirror to device (\S+)\)", "".join(said), re.DOTALL))


def tc(netns: str, *arguments: str) -> str:
    return subprocess.run(
        ["tc", "-n", netns, *arguments], check=True, capture_output=True, text=True, timeout=20
    ).stdout


def copy(netns: str, hook: str, pref: str, to: str, match: str = "u32 0 0") -> None:
    """As a stranger would."""
    tc(netns, "filter", "add", "dev", "vnet1", hook, "protocol", "all", "pref", pref, "u32", "match", *match.split(),
       "action", "mirred", "egress", "mirror", "dev", to)  # fmt: skip


def test_it_changes_nothing(tmp_path: Path) -> None:
    with namespace() as host:
        veth(host, "vnet1", "eth0")
        state = tmp_path / "state"
        before = everything(host)
        env = {"TAPWRIGHT_STATE": str(state), "TAPWRIGHT_PROVIDERS": "linux", "TAPWRIGHT_NETNS": host}
        answer = tapwright("doctor", env=env)
        assert answer.code in (0, 9), answer.err
        assert everything(host) == before
        assert not state.exists()


def everything(netns: str) -> tuple[str, ...]:
    modules = Path("/proc/modules")
    here = [ip("-o", "link"), ip("-o", "link", netns=netns), tc(netns, "qdisc", "show")]
    return (*here, modules.read_text() if modules.exists() else "")


def test_what_it_says_to_people_and_programs(tmp_path: Path) -> None:
    with namespace() as host:
        env = {"TAPWRIGHT_STATE": str(tmp_path), "TAPWRIGHT_PROVIDERS": "linux", "TAPWRIGHT_NETNS": host}
        said, data = tapwright("doctor", env=env), tapwright("doctor", "--json", env=env)
    assert said.code == data.code == (9 if data.data["attention"] else 0)
    for check in data.data["checks"]:
        assert check["answer"] in ("yes", "no", "unknown")
        assert check["reason"] or check["answer"] == "yes"
        assert check["name"] in said.out
    areas = {check["area"] for check in data.data["checks"]}
    assert areas == {"privileges", "kernel", "memory", "software", "providers", "journal", "clock"}
    assert json.dumps(data.data)


def test_an_ordinary_user_is_told_which_verbs_need_what(tmp_path: Path) -> None:
    bare = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all")
    env = {"TAPWRIGHT_STATE": str(tmp_path), "TAPWRIGHT_PROVIDERS": "linux", "TAPWRIGHT_NETNS": "nothing-like-it"}
    said = tapwright("doctor", "--json", env=env, wrapper=bare)
    assert said.code == 9, said.err
    checks = {check["name"]: check for check in said.data["checks"]}
    for name in ("CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"):
        assert (checks[name]["answer"], checks[name]["attention"]) == ("no", True)
        assert checks[name]["fix"]
    assert checks["AF_PACKET with TPACKET_V3"]["answer"] == "unknown"


def test_a_journal_that_others_can_write_is_no_place(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert "only we can write" in doctor.place(tmp_path).problem
    assert doctor.place(tmp_path / "a" / "b").path.endswith("/a/b")
    assert not doctor.place(tmp_path / "a" / "b").there


def test_a_journal_where_we_may_not_look_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    state = tmp_path / "state"
    env = {"TAPWRIGHT_STATE": str(state), "TAPWRIGHT_PROVIDERS": "linux", "HOME": "/nonexistent"}
    said = tapwright("doctor", "--json", env=env, wrapper=("setpriv", "--reuid", "65534", "--clear-groups"))
    assert said.code == 9, said.err
    (check,) = [check for check in said.data["checks"] if check["area"] == "journal"]
    assert (check["answer"], check["reason"]) == ("no", f"not allowed to look at {state}")
    assert said.data["notes"] == [f"not allowed to look at {state}: use sudo, or say where with TAPWRIGHT_STATE"]


def test_a_database_that_does_not_answer_wants_attention() -> None:
    unknown = Check("providers", "ovs", Capability.unknown("refused"), needed=True)
    assert doctor.Diagnosis((), (unknown,)).attention == 1
    assert Ovs(["unix:/nonexistent/db.sock"]).probe().answer == "no"
