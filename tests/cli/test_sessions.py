"""What is open, who keeps it, how it ends: as a person types it, on a real bridge."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.tapwright import running_command, tapwright

from tapwright.cli import sessions as sessions_of
from tapwright.cli.table import render
from tapwright.lab import Lab
from tapwright.tap.delivery import News, Outcome, Verdict
from tapwright.tap.session import Fate, Session, State

pytestmark = pytest.mark.root

UNITS = Path(__file__).parents[2] / "packaging" / "systemd"


@pytest.fixture
def env(lab: Lab, tmp_path: Path) -> Mapping[str, str]:
    """The lab, and a journal of our own."""
    return {**lab.environment(), "TAPWRIGHT_STATE": str(tmp_path / "state")}


@contextmanager
def mirror(env: Mapping[str, str], *arguments: str, vm: str = "web") -> Iterator[tuple[subprocess.Popen, str]]:
    """A running mirror to cache, and the id of its session."""
    with running_command("mirror", vm, "--to", "vm:cache", "--json", *arguments, env=env) as running:
        assert running.stdout
        assert running.stderr
        line = running.stdout.readline()
        assert line, running.stderr.read().decode()
        yield running, json.loads(line)["session"]


def mirrors(lab: Lab) -> str:
    return lab.exec("s1", ["sh", "-c", "for d in $(ls /sys/class/net); do tc qdisc show dev $d clsact; done"]).stdout


def delivered(env: Mapping[str, str], outcome: str) -> dict[str, Any]:
    """The session, once its owner says that of its mirror."""
    deadline = time.monotonic() + 60
    while True:
        (told,) = tapwright("sessions", "--json", env=env).data
        if [(each["vnic"], each["outcome"]) for each in told["delivery"]] == [("web/eth0", outcome)]:
            return told
        assert time.monotonic() < deadline, told


def test_none_is_open(env: Mapping[str, str]) -> None:
    assert tapwright("sessions", "--json", env=env).data == []
    assert "no session is open" in tapwright("sessions", env=env).err
    assert "nothing was left behind" in tapwright("sweep", env=env).out
    assert not Path(env["TAPWRIGHT_STATE"]).exists(), "looking leaves no trace"


def test_one_that_is_open_is_listed_and_stopped_by_the_beginning_of_its_id(lab: Lab, env: Mapping[str, str]) -> None:
    with mirror(env) as (running, session):
        (told,) = tapwright("sessions", "--json", env=env).data
        assert (told["id"], told["what"], told["state"]) == (session, "mirror of web to vm:cache", "running")
        assert (told["owner"]["pid"], told["owner"]["fate"]) == (running.pid, "alive")
        assert 0 < told["lease_left"] <= 60
        assert {step["progress"] for step in told["steps"]} == {"done"}
        table = tapwright("sessions", env=env).out.splitlines()
        assert table[0].split() == ["ID", "WHAT", "STATE", "OWNER", "DELIVERY", "AGE", "LEASE", "LEFT", "STEPS"]
        assert f"{running.pid} alive" in table[1]
        assert delivered(env, "ok")["delivery_age"] < 60
        assert re.search(r"alive  +ok 0:\d\d ago  ", tapwright("sessions", env=env).out)
        stopped = tapwright("stop", session[:5], env=env)
        assert stopped.code == 0, stopped.err
        assert f"session {session} stopped" in stopped.out
        out, err = running.communicate(timeout=60)
        assert running.returncode == 0, err
        assert json.loads(out.splitlines()[-1])["event"] == "closed"
    assert mirrors(lab) == ""


def test_what_is_worst_of_a_sessions_mirrors_fits_into_eighty_columns() -> None:
    ok, stale = Verdict(Outcome.OK, "9 copies"), Verdict(Outcome.STALE, "copies stopped")
    what = "mirror of web-1, web-2, web-3 to erspan2://192.0.2.9?session=7"
    one = Session("1a2b3c4d", "4194303.1.a.b.2", what, 0.0, 60.0, 60.0, State.RUNNING)
    several = replace(one, news=News(3.0, (("web-1/eth0", ok), ("web-2/eth0", stale), ("web-3/eth0", ok))))
    rows = [list(sessions_of._cells(session, Fate.ALIVE, 10.0)) for session in (one, several)]
    lines = list(render(sessions_of._HEADER, rows, 80, sessions_of._DISPENSABLE, sessions_of._ELASTIC))
    assert max(map(len, lines)) <= 80
    assert [line.partition("alive  ")[2].split("  ")[0] for line in lines[1:]] == [
        "not known yet",
        "1 of 3 stale 0:07 ago",
    ]
    assert list(sessions_of._doubts(several)) == ["session 1a2b3c4d: web-2/eth0: delivery stale: copies stopped"]
    everywhere = replace(one, news=News(3.0, tuple((f"web-{n}/eth0", stale) for n in range(9))))
    assert list(sessions_of._doubts(everywhere))[-1] == "session 1a2b3c4d: and 5 more mirrors"


def test_two_are_told_apart_and_stopped_together(lab: Lab, env: Mapping[str, str]) -> None:
    with mirror(env) as (one, _), mirror(env, vm="db") as (other, _):
        refused = tapwright("stop", "nothing", env=env)
        assert refused.code == 3
        assert "there are " in refused.err
        unsaid = tapwright("stop", env=env)
        assert unsaid.code == 2
        assert "--all" in unsaid.err
        answer = tapwright("stop", "--all", "--json", env=env)
        assert answer.code == 0, answer.err
        assert len(answer.data["stopped"]) == 2
        assert answer.data["failed"] == {}
        assert (one.wait(60), other.wait(60)) == (0, 0)
    assert mirrors(lab) == ""


def test_one_whose_owner_is_dead_waits_for_its_lease_and_says_so(lab: Lab, env: Mapping[str, str]) -> None:
    with mirror(env, "--lease", "1h") as (running, session):
        running.kill()
        running.wait()
    (told,) = tapwright("sessions", "--json", env=env).data
    assert told["owner"]["fate"] == "dead"
    dry = tapwright("sweep", "--dry-run", env=env).out
    assert dry.startswith(f"session {session}: owner dead, lease ends in 59:")
    swept = tapwright("sweep", "--json", env=env)
    assert (swept.code, swept.data["sessions"]) == (0, [])
    assert mirrors(lab) != ""
    assert tapwright("stop", session, env=env).code == 0
    assert mirrors(lab) == ""


def test_the_next_mirror_sweeps_first_and_says_what(lab: Lab, env: Mapping[str, str]) -> None:
    with mirror(env, "--lease", "1s") as (running, session):
        running.kill()
        running.wait()
    deadline = time.monotonic() + 60
    while tapwright("sessions", "--json", env=env).data[0]["lease_left"]:
        assert time.monotonic() < deadline
    with mirror(env, vm="db") as (running, _):
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    assert f"undid what was left behind: session {session} (mirror of web to vm:cache)" in err.decode()
    assert mirrors(lab) == ""


def test_what_somebody_changed_is_left_and_told(lab: Lab, env: Mapping[str, str]) -> None:
    with mirror(env) as (running, session):
        device = lab.node("web").nics[0].device
        lab.exec("s1", ["tc", "filter", "del", "dev", device, "ingress"])
        add = ["tc", "filter", "add", "dev", device, "ingress", "protocol", "all", "u32", "match", "u32", "0", "0"]
        lab.exec("s1", [*add, "action", "mirred", "egress", "mirror", "dev", "lo"])
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 0
    left = lab.exec("s1", ["tc", "filter", "show", "dev", device, "ingress"]).stdout
    assert "u32" in left, "what is not ours stays"
    lab.exec("s1", ["tc", "qdisc", "del", "dev", device, "clsact"])
    assert tapwright("sessions", "--json", env=env).data == [], session
    assert mirrors(lab) == ""


def test_ids_complete_in_the_shell(env: Mapping[str, str]) -> None:
    with mirror(env) as (running, session):
        asked = {
            "_TAPWRIGHT_COMPLETE": "bash_complete",
            "COMP_WORDS": f"tapwright stop {session[:2]}",
            "COMP_CWORD": "2",
        }
        program = str(Path(sys.executable).with_name("tapwright"))
        done = subprocess.run(
            [program], env={**os.environ, **env, **asked}, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.stdout.split() == [f"plain,{session}"]
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 0


def test_two_ends_of_a_pipe_may_leave(env: Mapping[str, str], lab: Lab) -> None:
    """A reader that goes away does not leave a mirror behind."""
    with mirror(env) as (running, _):
        assert running.stdout
        running.stdout.close()
        running.send_signal(signal.SIGINT)
        running.wait(60)
    assert mirrors(lab) == ""
    assert tapwright("sessions", "--json", env=env).data == []


def test_systemd_understands_what_we_ship(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("tapwright")
    for unit in UNITS.iterdir():
        text = unit.read_text().replace("ExecStart=tapwright ", f"ExecStart={program} ")
        (tmp_path / unit.name).write_text(text)
    units = [str(tmp_path / f"tapwright-sweep.{kind}") for kind in ("service", "timer")]
    done = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
