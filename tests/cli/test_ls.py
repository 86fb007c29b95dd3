"""`tapwright ls` and `tapwright where`, as a person types them."""

import os
import pty
import subprocess
import sys
from collections.abc import Mapping

import pytest
from tests.support.labs import running_lab

from support.tapwright import tapwright

pytestmark = pytest.mark.root


def test_everybody_with_everything(env: Mapping[str, str]) -> None:
    answer = tapwright("ls", env=env)
    header, *lines = answer.out.splitlines()
    assert (answer.code, answer.err) == (0, "")
    assert header.split() == ["VM", "KIND", "VNIC", "MAC", "IP", "MTU", "DEVICE", "SWITCH", "PORT", "KNOWN", "BY"]
    assert [line.split()[0] for line in lines] == ["cache", "db", "web"]
    assert "10.0.0.11  1500  vnet0@" in lines[2]


def test_only_those_asked_for(env: Mapping[str, str]) -> None:
    _, *lines = tapwright("ls", "c*", "web/eth0", env=env).out.splitlines()
    assert [line.split()[0] for line in lines] == ["cache", "web"]
    assert len(tapwright("ls", "--switch", "br*", env=env).out.splitlines()) == 4
    nobody = tapwright("ls", "--switch", "nothing", env=env)
    assert (nobody.code, nobody.out) == (0, "")
    assert "none of the 3 VMs is plugged into a switch called 'nothing'" in nobody.err


def test_somebody_who_is_not_here(env: Mapping[str, str]) -> None:
    answer = tapwright("ls", "wep", env=env)
    assert answer.code == 3
    assert "did you mean web" in answer.err


def test_as_data(env: Mapping[str, str]) -> None:
    data = tapwright("ls", "--json", "web", env=env).data
    (row,) = data["vnics"]
    assert row["vm"]["name"] == "web"
    assert row["vm"]["providers"] == ["linux"]
    assert row["vnic"]["addresses"][0] == "10.0.0.11/24"
    assert (row["device"]["name"], row["device"]["kind"], row["switch"]["kind"]) == ("vnet0", "veth", "bridge")
    assert row["inner"]["netns"]["path"].startswith("/run/netns/")
    assert (row["port"]["role"], row["overlays"], data["warnings"]) == ("vnic", [], [])


def test_all_addresses_when_there_is_room(env: Mapping[str, str]) -> None:
    assert "10.0.0.11/24" in tapwright("ls", "web", "--wide", env=env).out


def _on_terminal(columns: int, *arguments: str, env: Mapping[str, str]) -> list[str]:
    """What a terminal of so many columns shows."""
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "tapwright", *arguments]
    try:
        subprocess.run(argv, env={**os.environ, **env, "COLUMNS": str(columns)}, stdout=theirs, check=True, timeout=60)
        return os.read(ours, 65536).decode().splitlines()
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_narrow_terminal_leaves_out_what_tells_least(env: Mapping[str, str]) -> None:
    lines = _on_terminal(80, "ls", env=env)
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].split()[:2] == ["VM", "VNIC"]
    assert "10.0.0.11" in lines[3]
    assert "KNOWN BY" in _on_terminal(300, "ls", env=env)[0]


def test_nobody_at_all_says_where_it_looked(env: Mapping[str, str]) -> None:
    answer = tapwright("ls", env={**env, "TAPWRIGHT_NETNS": "no-such-namespace"})
    assert (answer.code, answer.out) == (0, "")
    assert "no VM or container was found on this host" in answer.err
    assert "linux: knows of none; asked rtnetlink" in answer.err
    assert "containers: no container engine" in answer.err


def test_the_way_of_a_vnic(env: Mapping[str, str]) -> None:
    answer = tapwright("where", "web", env=env)
    assert answer.code == 0
    title, blank, *drawing = answer.out.splitlines()
    assert title.startswith("web: namespace, id twlab-")
    assert blank == ""
    assert [line.split()[0] for line in drawing] == ["vnic", "│", "device", "▼", "switch"]
    assert all(len(line) <= 80 for line in drawing)


def test_a_terminal_that_knows_only_ascii(env: Mapping[str, str]) -> None:
    answer = tapwright("where", "web", env={**env, "PYTHONIOENCODING": "ascii"})
    assert answer.code == 0
    assert answer.out.isascii()
    assert "  v port vnet0" in answer.out


def test_several_with_their_hops_as_data() -> None:
    with running_lab("overlay") as lab:
        data = tapwright("where", "--json", "red-*", env=lab.environment()).data
        table = tapwright("ls", env=lab.environment()).out
    assert [vm["name"] for vm in data] == ["red-db", "red-web"]
    (vnic,) = data[1]["vnics"]
    assert [hop["kind"] for hop in vnic["hops"]] == ["vnic", "device", "switch", "overlay", "uplink"]
    assert "VNI 100" in vnic["hops"][3]["details"]
    assert table.count("vxlan 100") == table.count("vxlan 200") == 2


def test_a_vm_needs_a_name() -> None:
    assert tapwright("where", env={}).code == 2
