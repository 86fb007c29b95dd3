"""What a shell is offered, asked the way bash asks."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.support.labs import running_lab

pytestmark = pytest.mark.root


def offered(*words: str, env: Mapping[str, str] | None = None) -> list[str]:
    asked = {"_TAPWRIGHT_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    program = str(Path(sys.executable).with_name("tapwright"))
    done = subprocess.run(
        [program], env={**os.environ, **(env or {}), **asked}, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_topologies() -> None:
    assert offered("tapwright", "lab", "up", "o") == ["overlay", "ovn", "ovs"]


def test_vms_labs_and_nodes() -> None:
    with running_lab("bridge") as lab:
        assert offered("tapwright", "capture", "w", env=lab.environment()) == ["web"]
        assert offered("tapwright", "lab", "down", lab.name) == [lab.name]
        assert f"{lab.name}/web" in offered("tapwright", "lab", "exec", f"{lab.name}/")


def test_switches() -> None:
    with running_lab("ovs") as lab:
        known = set(lab.exec("s1", ["ovs-vsctl", "list-br"]).stdout.split())
        assert known
        assert set(offered("tapwright", "mirror", "--switch", "", env=lab.environment())) == known


def test_ids_where_a_name_is_not_enough() -> None:
    with running_lab("bridge") as one, running_lab("bridge") as two:
        ids = [offered("tapwright", "where", f"twlab-{lab.name}-w") for lab in (one, two)]
        assert ids == [[f"twlab-{one.name}-web"], [f"twlab-{two.name}-web"]]
        assert offered("tapwright", "where", "web").count("web") == 1
