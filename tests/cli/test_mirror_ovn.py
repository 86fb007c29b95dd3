"""Mirrors in an OVN cloud as a person types them on one of its servers, judged by what the collector gets."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.cloud import COLLECTOR, Cloud, cloud
from support.tapwright import running_command, tapwright
from tapwright.plan.steps import Mark

pytestmark = pytest.mark.root

TO = ("--to", f"gre://{COLLECTOR}?key=7")


@pytest.fixture(scope="module")
def lively() -> Iterator[Cloud]:
    with cloud() as lively:
        yield lively


@pytest.fixture
def env(lively: Cloud, tmp_path: Path) -> dict[str, str]:
    """On s1, with a journal of our own."""
    return {**lively.lab.environment("s1"), "TAPWRIGHT_STATE": str(tmp_path / "state"), "HOME": "/nonexistent"}


@pytest.mark.parametrize(("vm", "by"), [("web", "ovs"), ("db", "ovn")])
def test_the_switch_is_asked_where_the_port_is_and_ovn_where_it_is_not(env: dict[str, str], vm: str, by: str) -> None:
    (mirror,) = tapwright("mirror", vm, *TO, "--dry-run", "--json", env=env).data["mirrors"]
    assert (mirror["vm"], mirror["by"]) == (vm, by)


def test_a_vm_of_another_server_is_mirrored_from_here(lively: Cloud, env: dict[str, str]) -> None:
    before = lively.dump()
    with running_command("mirror", "db", *TO, "--json", env=env) as running:
        assert running.stdout
        assert json.loads(running.stdout.readline())
        assert lively.copies("gre.key") == {("db", "0x00000007"), ("web", "0x00000008")}
        running.terminate()
        running.communicate(timeout=60)
    lively.nbctl("--wait=hv", "sync")
    assert lively.dump() == before


def test_delivery_is_proven_where_the_port_is_and_said_not_to_be_where_it_is_not(
    lively: Cloud, env: dict[str, str]
) -> None:
    before = lively.dump()
    wanted = {"web": "ok", "cache": "idle", "db": "unknown"}
    to = {vm: f"gre://{COLLECTOR}?key={number}" for number, vm in ((20, "web"), (30, "cache"), (40, "db"))}
    with ExitStack() as stack:
        every = [
            stack.enter_context(running_command("mirror", vm, "--to", to[vm], "--by", "ovn", "--json", env=env))
            for vm in wanted
        ]
        deadline = time.monotonic() + 120
        while delivered(env) != wanted:
            assert time.monotonic() < deadline, delivered(env)
            time.sleep(0.5)
        listed = tapwright("sessions", env=env)
        why = f"not provable here: {lively.server('s2')} has the logical port"
        assert f"db/net0: delivery unknown: {why}" in listed.err
        for running in every:
            running.terminate()
        lines = [running.communicate(timeout=60)[0].splitlines() for running in every]
        closed = [json.loads(each[-1]) for each in lines]
        assert [(each["event"], each["delivery"][0]["outcome"]) for each in closed] == [
            ("closed", outcome) for outcome in wanted.values()
        ]
    lively.nbctl("--wait=hv", "sync")
    assert lively.dump() == before


def delivered(env: dict[str, str]) -> dict[str, str]:
    """What `sessions` says of each VM's mirror."""
    found = [session["delivery"] for session in tapwright("sessions", "--json", env=env).data]
    return {each["vnic"].partition("/")[0]: each["outcome"] for mirrors in found for each in mirrors}


def test_killed_it_is_undone_by_the_next_one(lively: Cloud, env: dict[str, str]) -> None:
    before = lively.dump()
    with running_command("mirror", "web", "db", *TO, "--by", "ovn", "--lease", "1s", "--json", env=env) as running:
        assert running.stdout
        running.stdout.readline()
        assert lively.dump() != before
        running.kill()
        running.wait()
    (found,) = tapwright("sessions", "--json", env=env).data
    assert "db" in found["what"]
    while tapwright("sessions", "--json", env=env).data[0]["lease_left"]:
        pass
    assert tapwright("sweep", env=env).code == 0
    lively.nbctl("--wait=hv", "sync")
    assert lively.dump() == before


def test_what_another_host_made_is_left_to_it_and_told(lively: Cloud, env: dict[str, str]) -> None:
    before, provider = lively.dump(), lively.provider()
    step = lively.step(TO[1], mark=Mark("5e551043", "4242.99.deadbeef.feedface.1", 1000))
    provider.perform(step.do)
    try:
        whole = lively.dump()
        swept = tapwright("sweep", "--json", env=env)
        assert (swept.code, swept.data["leftovers"], len(swept.data["waiting"])) == (0, [], 1)
        said = tapwright("sweep", env=env)
        assert (said.code, said.err) == (0, "")
        assert said.out.startswith(f"left to its owner: mirror {step.do.text('name')}-")
        assert "is undone here once that is 1:00:00" in said.out
        assert lively.dump() == whole
    finally:
        provider.perform(step.undo)
    assert lively.dump() == before


def test_what_ovn_cannot_send_to_is_told_with_the_next_step(env: dict[str, str]) -> None:
    said = tapwright("mirror", "db", "--to", "nic:eth3", env=env)
    assert said.code != 0
    assert "by GRE or ERSPAN II only" in said.err
    assert "run tapwright on the VM's server" in said.err


def test_leftovers_are_told_by_doctor(lively: Cloud, env: dict[str, str]) -> None:
    lively.nbctl("mirror-add", "spare", "gre", "70", "to-lport", COLLECTOR)
    try:
        said = tapwright("doctor", env=env).out
        assert "mirror spare of OVN, which is attached to no port" in said
        assert "mirror-del spare" in said
    finally:
        lively.nbctl("mirror-del", "spare")
