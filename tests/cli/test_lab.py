"""`tapwright lab` as a person types it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tapwright.cli.lab import lab as group
from tapwright.cli.main import tapwright
from tapwright.lab import shipped
from tapwright.lab.userns import privileged

root = pytest.mark.skipif(not privileged(), reason="a lab needs root or a user namespace")


def run(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "tapwright", "lab", *arguments]
    return subprocess.run(argv, check=check, capture_output=True, text=True, timeout=60)


def test_help_names_every_topology_and_shows_examples() -> None:
    text = CliRunner().invoke(tapwright, ["lab", "--help"]).output
    assert all(f"  {name} " in text for name in shipped())
    for name, command in group.commands.items():
        assert command.help, name
        assert "Examples:" in (command.epilog or "Examples:")


@pytest.fixture
def name() -> Iterator[str]:
    name = f"cli-{os.getpid()}"
    yield name
    run("down", name)


@pytest.mark.root
@root
def test_a_lab_from_up_to_down(name: str) -> None:
    up = run("up", "bridge", "--name", name)
    assert (up.stdout, up.stderr) == (f"{name}\n", ""), "quiet when piped"
    listed = {one["name"]: one for one in json.loads(run("ls", "--json").stdout)}
    assert listed[name]["state"] == "up"
    web = next(node for node in listed[name]["nodes"] if node["name"] == "web")
    assert web["nics"][0]["addresses"] == ["10.0.0.11/24"]
    assert f"{name}: up (bridge)" in run("ls").stdout
    assert "eth0 on s1/br0 (vnet0)" in run("ls").stdout
    done = run("exec", f"{name}/web", "--", "sh", "-c", "echo $0 -- --help; exit 4", "--json", check=False)
    assert (done.returncode, done.stdout) == (4, "--json -- --help\n")
    assert run("exec", f"{name}/web", "hostname").returncode == 0
    assert f"OVS_RUNDIR=/run/tapwright/lab/{name}/s1" in run("exec", f"{name}/s1", "env").stdout
    assert run("down", name).stdout == f"lab {name} is down\n"
    again = run("down", name)
    assert json.loads(run("down", name, "--json").stdout) == {"down": []}
    assert (again.returncode, "nothing to do" in again.stderr) == (0, True)


@pytest.mark.root
@root
def test_up_as_json_and_a_second_time(name: str) -> None:
    made = json.loads(run("up", "routed", "--name", name, "--json").stdout)
    assert (made["name"], made["state"], made["topology"]) == (name, "up", "routed")
    again = run("up", "routed", "--name", name, check=False)
    assert (again.returncode, "exists already" in again.stderr) == (2, True)


@pytest.mark.root
@root
def test_a_node_that_several_labs_have(name: str) -> None:
    other = f"{name}-b"
    run("up", "bridge", "--name", name)
    try:
        run("up", "bridge", "--name", other)
        done = run("exec", "web", "true", check=False)
        assert done.returncode == 3
        assert f"{name}/web" in done.stderr
        assert f"{other}/web" in done.stderr
        assert run("exec", f"{name}/nobody", "true", check=False).returncode == 3
        assert run("down", check=False).returncode == 2, "which one?"
    finally:
        run("down", other)


@pytest.mark.root
@root
def test_a_broken_lab_is_shown_with_the_way_out(name: str) -> None:
    folder = Path("/run/tapwright/lab", name)
    folder.mkdir(parents=True, mode=0o700)
    shown = run("ls").stdout
    assert f"{name}: broken" in shown
    assert f"clear it with: tapwright lab down {name}" in shown
    run("down", name)
    assert not folder.exists()


@pytest.mark.root
@root
def test_a_lab_file_of_ones_own(name: str, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('[servers.s1.switches.br0]\n[vms.one]\nnics = [{ on = "s1/br0" }]\n')
    assert run("up", str(file), "--name", name).returncode == 0
    file.write_text("[servers.s1.switches.br0]\ncolour = 1")
    done = run("up", str(file), check=False)
    assert (done.returncode, f"{file}: " in done.stderr, "colour" in done.stderr) == (2, True, True)


def test_an_unknown_topology() -> None:
    done = run("up", "brigde", check=False)
    assert done.returncode == 3
    assert "bridge, nat, overlay" in done.stderr


_STOPPED_WITH = """
import importlib, os, signal, sys
module, _, name = sys.argv.pop(1).rpartition(".")
module = importlib.import_module(module)
real = getattr(module, name)

def stopped(*arguments, **named):
    result = real(*arguments, **named)
    os.kill(os.getpid(), signal.SIGINT)
    return result

setattr(module, name, stopped)
from tapwright.cli.main import main
main()
"""
"""Ctrl-C comes when this function has just done its work."""

_INSTANTS = (
    "tapwright.lab.netns.settle",
    "tapwright.lab.openvswitch.await_server",
    "tapwright.lab.guests.await_ready",
    "tapwright.lab.store.finish",
    "tapwright.cli.lab._show_up",
)


@pytest.mark.root
@root
@pytest.mark.parametrize("instant", _INSTANTS)
def test_an_interrupted_up_undoes_everything_and_says_so(instant: str, name: str) -> None:
    """Also where the lab was ready, and nobody had heard of it."""
    argv = [sys.executable, "-c", _STOPPED_WITH, instant, "lab", "up", "ovs", "--name", name]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.strip()) == (130, "tapwright: stopped; everything was undone")
    assert not Path("/run/tapwright/lab", name).exists()


@pytest.mark.root
@root
def test_ctrl_c_at_any_instant_of_an_up(name: str) -> None:
    """Either the lab is up or nothing of it is there, and the exit status says which."""
    folder = Path("/run/tapwright/lab", name)
    with subprocess.Popen(
        [sys.executable, "-m", "tapwright", "lab", "up", "ovs", "--name", name], stderr=subprocess.PIPE, text=True
    ) as starting:
        while not (folder / "lab.json").exists():
            assert starting.poll() is None
        starting.send_signal(signal.SIGINT)
        said = starting.communicate(timeout=60)[1]
    undone = (130, "tapwright: stopped; everything was undone", False)
    assert (starting.returncode, said.strip(), folder.exists()) in (undone, (0, "", True))


def test_a_command_that_is_nearly_right() -> None:
    answer = CliRunner().invoke(tapwright, ["captur", "web"])
    assert answer.exit_code == 2
    assert "there is no command 'captur'; did you mean capture?" in answer.output
