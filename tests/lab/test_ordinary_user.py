"""Labs of somebody who is not root."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tapwright.lab import processes

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")]

SOURCE = Path(__file__).parents[2] / "src"
SYSTEM_PYTHON = "/usr/bin/python3"

User = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def uid() -> int:
    """A user whom nobody else is."""
    return 61000 + os.getpid() % 4000


@pytest.fixture
def user(tmp_path: Path, uid: int) -> Iterator[User]:
    """Run Python as that user; at the end nothing of theirs may be left."""
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, uid, uid)
    for parent in tmp_path.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    tmp_path.chmod(0o711)
    become = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups"]
    env = {"PATH": "/usr/bin:/bin", "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    # setpriv itself may still go everywhere, so the question is whether the user's Python can be run by that user
    probe = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', 'import tapwright']))"
    asked = subprocess.run([*become, sys.executable, "-c", probe], env=env, check=False, capture_output=True)
    python = sys.executable
    if asked.returncode:  # this interpreter lives in root's home
        python = SYSTEM_PYTHON
        env["PYTHONPATH"] = f"{SOURCE}:{sysconfig.get_path('purelib')}"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [*become, python, *arguments]
        return subprocess.run(argv, env=env, cwd="/", check=False, capture_output=True, text=True, timeout=60)

    yield run
    down = run("-m", "tapwright", "lab", "down", "--all")
    assert down.returncode == 0, down.stderr
    assert of_user(uid) == []
    assert not list(Path("/tmp").glob(f"tapwright*{uid}*"))


def of_user(uid: int) -> list[int]:
    """The processes of that user that have not ended."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            try:
                running = (path / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
                if running and path.stat().st_uid == uid:
                    found.append(int(path.name))
            except OSError:
                continue
    return found


def lab(user: User, *arguments: str) -> subprocess.CompletedProcess[str]:
    return user("-m", "tapwright", "lab", *arguments)


def test_up_exec_ls_down(user: User, uid: int) -> None:
    outside = set(Path("/run/netns").iterdir())
    assert lab(user, "up", "bridge", "--traffic").stdout == "bridge\n"
    assert lab(user, "up", "overlay").stdout == "overlay\n"
    assert "10.0.0.11/24" in lab(user, "exec", "web", "--", "ip", "-br", "address").stdout
    assert lab(user, "exec", "red-web", "--", "sh", "-c", "exit 6").returncode == 6
    listed = lab(user, "ls").stdout
    assert "bridge: up" in listed
    assert "overlay: up" in listed
    assert not [path for path in set(Path("/run/netns").iterdir()) - outside if "overlay-red" in path.name]
    lab(user, "down", "bridge")
    assert "bridge" not in lab(user, "ls").stdout
    assert of_user(uid), "the other lab is still held"
    assert lab(user, "down").stdout == "lab overlay is down\n"
    assert of_user(uid) == []


def test_killed_in_the_middle(user: User, uid: int) -> None:
    user("-c", KILLED)
    assert "bridge: broken" in lab(user, "ls").stdout
    assert "tapwright lab down bridge" in lab(user, "ls").stdout
    assert lab(user, "down", "bridge").returncode == 0
    assert of_user(uid) == []


KILLED = """
import os, signal, sys
from tapwright.lab import links
links.late_lines = links.flood_lines = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
sys.argv = ["tapwright", "lab", "up", "bridge"]
from tapwright.cli.main import main
main()
"""


def test_a_failed_up_leaves_no_holder(user: User, uid: int) -> None:
    done = lab(user, "up", "bridge", "--name", "NOT-A-NAME")
    assert done.returncode == 2
    assert of_user(uid) == []


@pytest.mark.parametrize("topology", ["ovs", "ovn"])
def test_open_vswitch_needs_taps(user: User, topology: str) -> None:
    done = lab(user, "up", topology)
    if Path("/dev/net/tun").stat().st_mode & 0o006 == 0o006:
        assert done.stdout == f"{topology}\n"
    else:
        assert done.returncode == 4
        assert "not allowed to open /dev/net/tun" in done.stderr
        assert "sudo chmod 0666 /dev/net/tun" in done.stderr


def test_a_whole_lab_within_one_process(user: User) -> None:
    code = """
from tapwright.lab import Lab, enter_userns
from tapwright.lab.chatter import PROGRAM
from tapwright.lab.userns import privileged
assert not privileged()
enter_userns()
assert privileged()
with Lab.up("nat") as lab:
    print(lab.exec("web", [*PROGRAM, "ping", "198.51.100.80"]).code)
"""
    done = user("-c", code)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_two_ups_at_once_share_one_holder(user: User, uid: int) -> None:
    code = """
import subprocess, sys
argv = [sys.executable, "-m", "tapwright", "lab", "up", "bridge", "--name"]
ups = [subprocess.Popen([*argv, f"lab{n}"]) for n in range(3)]
print([up.wait() for up in ups])
"""
    assert "[0, 0, 0]" in user("-c", code).stdout
    assert len(processes.find(f"holder-{uid}")) == 1
    assert lab(user, "ls").stdout.count(": up") == 3
    down = lab(user, "down", "--all")
    assert down.returncode == 0, down.stderr


def test_without_labs_there_is_nothing_to_see(user: User, uid: int) -> None:
    assert lab(user, "ls").stdout == ""
    done = lab(user, "exec", "web", "--", "true")
    assert (done.returncode, "no lab is up" in done.stderr) == (3, True)
    assert lab(user, "down").returncode == 0
    assert of_user(uid) == []


REFUSED = """
from pathlib import Path
from tapwright.errors import PrivilegeError
from tapwright.lab import enter_userns
enter_userns()
Path("/proc/sys/user/max_user_namespaces").write_text("0")
try:
    enter_userns()
except PrivilegeError as error:
    print(error.message, error.hint, sep="\\n")
"""


def test_where_user_namespaces_are_forbidden_it_says_which_setting(user: User) -> None:
    said = user("-c", f"import sys{REFUSED}").stdout
    assert "user.max_user_namespaces is 0" in said
    assert "sudo sysctl user.max_user_namespaces=15000" in said


def test_where_all_allowed_user_namespaces_are_in_use_it_says_so(user: User) -> None:
    said = user(
        "-c",
        REFUSED.replace('write_text("0")', 'write_text("1")').replace(
            "enter_userns()\nexcept", "enter_userns()\n    enter_userns()\nexcept"
        ),
    ).stdout
    assert "as many as user.max_user_namespaces allows are in use" in said


def test_threads_must_come_later() -> None:
    code = """
import threading, time
from tapwright.lab import enter_userns
threading.Thread(target=time.sleep, args=[2], daemon=True).start()
enter_userns()
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "PrivilegeError: user namespaces must be entered before any thread is started" in done.stderr


def test_the_lock_of_a_user_is_waited_for(user: User, uid: int, tmp_path: Path) -> None:
    released = tmp_path / "released"
    code = f"""
import socket, pathlib, time
lock = socket.socket(socket.AF_UNIX)
lock.bind("\\0tapwright-lab-{uid}")
print("held", flush=True)
time.sleep(0.7)
pathlib.Path("{released}").touch()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as held:
        assert held.stdout
        assert held.stdout.readline() == b"held\n"
        assert lab(user, "down").returncode == 0
        assert released.exists()
