"""Kill -9 at any instant of `up` or `down`, then `down`: the machine is as it was."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root, pytest.mark.long]

TAPWRIGHT = [sys.executable, "-m", "tapwright"]
_DRIVER = Path(__file__).with_name("crash.py")


@pytest.mark.parametrize(
    ("arguments", "least"),
    [
        (["bridge", "every"], 40),
        (["ovs", "every"], 60),
        (["nat", "every"], 50),
        (["ovn", "every"], 100),
        (["bridge", "down"], 10),
        (["ovs", "down"], 10),
        (["overlay", "random", str(random.randrange(1 << 30)), "20"], 20),
        (["ovs", "random", str(random.randrange(1 << 30)), "20"], 20),
        (["ovn", "random", str(random.randrange(1 << 30)), "10"], 10),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, list) else "",
)
def test_nothing_stays_behind(arguments: list[str], least: int) -> None:
    argv = [sys.executable, _DRIVER, *arguments]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["faults"] == [], arguments
    assert result["count"] >= least, "the driver did not reach the effects"


def traces(name: str) -> list[str]:
    """What there is of a lab on the machine itself."""
    netns = [str(path) for path in Path("/run/netns").glob(f"twlab-{name}-*")]
    folder = Path("/run/tapwright/lab", name)
    processes = [str(path) for path in Path("/proc").glob("[0-9]*") if str(folder).encode() in words(path)]
    return netns + processes + ([str(folder)] if folder.exists() else [])


def words(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.guest
@pytest.mark.parametrize("hypervisor", ["qemu", "libvirt"])
def test_guests_and_their_daemons_do_not_survive_either(hypervisor: str) -> None:
    choice = random.Random(seed := random.randrange(1 << 30))
    name = f"kill-{hypervisor}-{os.getpid()}"
    for _ in range(4):
        delay = choice.uniform(0.2, 3.0)
        arguments = ["lab", "up", "qemu", "--name", name, "--hypervisor", hypervisor, "--traffic"]
        up = subprocess.Popen([*TAPWRIGHT, *arguments], stdout=subprocess.DEVNULL)
        time.sleep(delay)
        up.kill()
        up.wait()
        subprocess.run([*TAPWRIGHT, "lab", "down", name], check=True, capture_output=True)
        assert traces(name) == [], f"seed {seed}, killed after {delay:.3f} s"


def test_a_polite_signal_undoes_at_once() -> None:
    name = f"term-{os.getpid()}"
    up = subprocess.Popen([*TAPWRIGHT, "lab", "up", "ovs", "--name", name], stdout=subprocess.DEVNULL)
    while not Path("/run/tapwright/lab", name, "s1").exists():
        assert up.poll() is None
        time.sleep(0.002)
    up.send_signal(signal.SIGTERM)
    assert up.wait(timeout=20) == 128 + signal.SIGTERM
    assert traces(name) == []
