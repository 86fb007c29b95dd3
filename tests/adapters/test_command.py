import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tapwright.adapters import command
from tapwright.errors import MissingDependency, PrivilegeError, ProviderError


def test_output_and_status_come_back() -> None:
    result = command.run(["sh", "-c", "cat; echo bad >&2; exit 3"], stdin="in", check=False)
    assert (result.stdout, result.stderr, result.code, result.ok) == ("in", "bad\n", 3, False)


def test_a_failure_carries_what_the_program_said() -> None:
    with pytest.raises(ProviderError, match="sh failed: no such switch") as caught:
        command.run(["sh", "-c", "echo no such switch >&2; exit 1"])
    assert "echo no such switch" in caught.value.hint


@pytest.mark.parametrize(("script", "said"), [("exit 4", "exit status 4"), ("kill -9 $$", "ended by signal 9")])
def test_a_silent_failure_says_how_it_ended(script: str, said: str) -> None:
    with pytest.raises(ProviderError, match=said):
        command.run(["sh", "-c", script])


def test_a_missing_program_names_its_debian_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "_EXTRA_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependency, match="nft is not installed") as caught:
        command.run(["nft", "list", "ruleset"])
    assert caught.value.hint == "apt install nftables"


def test_a_missing_path_is_no_package() -> None:
    with pytest.raises(MissingDependency, match="/no/such cannot be run") as caught:
        command.run(["/no/such"])
    assert caught.value.hint == "is it there, and may this user run it? ls -lL /no/such"


def test_system_directories_are_searched_for_an_ordinary_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "switchctl"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(command, "_EXTRA_PATH", str(tmp_path))
    assert command.find("switchctl") == str(program)
    assert command.installed("switchctl")
    assert not command.installed("switchctl-of-nobody")


def test_a_program_that_hangs_is_ended() -> None:
    marker = f"{os.getpid()}.25"
    with pytest.raises(ProviderError, match=r"no answer within 0\.2 s"):
        command.run(["sleep", marker], timeout=0.2)
    assert subprocess.run(["pgrep", "-f", f"^sleep {marker}$"], check=False).returncode == 1


def test_a_program_that_may_not_be_run(tmp_path: Path) -> None:
    program = tmp_path / "text"
    program.write_text("not a program")
    program.chmod(0o755)
    with pytest.raises(ProviderError, match="could not be run"):
        command.run([str(program)])
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises((PrivilegeError, ProviderError, MissingDependency)):
        command.run([str(folder)])


def test_no_shell_ever_sees_an_argument() -> None:
    hostile = "$(touch /tmp/owned); `id` | cat > x && y"
    assert command.run(["printf", "%s", hostile]).stdout == hostile


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert command.run(["printf", r"\377ok"]).stdout == "�ok"


def test_a_started_program_has_a_session_of_its_own_and_logs(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = command.start(["sh", "-c", "echo out; echo err >&2; exec sleep 60"], log=log)
    try:
        while log.read_text() != "out\nerr\n":
            assert child.poll() is None
            time.sleep(0.01)
        assert os.getsid(child.pid) == child.pid
        assert Path(f"/proc/{child.pid}/cwd").resolve() == Path("/")
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


def test_a_detached_program_is_nobodys_child(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command.detach(["sh", "-c", "echo $$; exec sleep 60"], log=log)
    while not log.read_text().endswith("\n"):
        time.sleep(0.01)
    pid = int(log.read_text())
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        assert int(stat[1]) != os.getpid()
        assert int(stat[3]) == os.getsid(pid) != os.getsid(0)
    finally:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(MissingDependency):
        command.detach(["no-such-program"], log=log)


def test_become_keeps_the_pid() -> None:
    code = (
        "import os; from tapwright.adapters.command import become; print(os.getpid(), flush=True);"
        "become(['sh', '-c', 'echo $$ $WORD; exit 5'], {'WORD': 'w'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    first, second = done.stdout.splitlines()
    assert second == f"{first} w"
    assert done.returncode == 5
