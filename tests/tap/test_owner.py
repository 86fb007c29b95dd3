"""Who we are, and whether somebody else still is: real processes."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tapwright.plan.steps import Leftover, Mark
from tapwright.tap import owner
from tapwright.tap.session import Fate
from tapwright.tap.sweep import fates


def asked(*wrapper: str) -> str:
    """Who another process says it is; it has ended then."""
    program = "from tapwright.tap import owner; print(owner.own())"
    argv = [*wrapper, sys.executable, "-c", program]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def test_we_live() -> None:
    me = owner.own()
    assert re.fullmatch(r"\d+\.\d+\.[0-9a-f]{8}\.[0-9a-f]{8}\.\d+", me)
    assert owner.alive(me)
    assert owner.pid(me) == os.getpid()
    mark = Mark("1a2b3c4d", me, 1)
    assert Mark.parse(mark.text) == mark


def test_somebody_who_ended() -> None:
    assert owner.fate(asked()) is Fate.DEAD


def test_dead_though_its_parent_has_not_noticed() -> None:
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    child = ".".join((str(pid), str(owner._started(pid)), *owner.own().split(".")[2:]))
    assert owner.fate(child) is Fate.ALIVE
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert owner.fate(child) is Fate.DEAD
    os.waitpid(pid, 0)
    assert owner.fate(child) is Fate.DEAD


def changed(place: int, text: str) -> str:
    parts = owner.own().split(".")
    return ".".join((*parts[:place], text, *parts[place + 1 :]))


def test_a_pid_that_is_used_again() -> None:
    assert owner.fate(changed(1, "1")) is Fate.DEAD


def test_an_earlier_boot() -> None:
    assert owner.fate(changed(2, "00000000")) is Fate.REBOOTED


def test_another_host_may_well_live() -> None:
    other = ".".join((*changed(3, "00000000").split(".")[:2], "00000000.00000000.4026531836"))
    assert owner.fate(other) is Fate.UNKNOWN
    assert owner.fate(changed(4, "1")) is Fate.UNKNOWN


@pytest.mark.parametrize(
    "text", ["", "1.2.3", "a.b.c.d.e", "0.1.2.3.4", "٣.1.2.3.4", f"{'9' * 30}.1.2.3.4", "1.2.3.4.5.6"]
)
def test_none_of_ours(text: str) -> None:
    assert owner.fate(text) is Fate.UNKNOWN
    assert owner.pid(text) == 0


def test_a_pid_no_kernel_has() -> None:
    assert owner.fate(changed(0, "9" * 18)) is Fate.DEAD


@pytest.mark.root
def test_another_pid_namespace() -> None:
    assert owner.fate(asked("unshare", "--fork", "--pid", "--mount-proc")) is Fate.UNKNOWN


@contextmanager
def container() -> Iterator[str]:
    """A process with a host name and pids of its own, for as long as this holds; who it says it is."""
    program = "import sys; from tapwright.tap import owner; print(owner.own(), flush=True); sys.stdin.read()"
    script = f"hostname other && exec {shlex.quote(sys.executable)} -c {shlex.quote(program)}"
    argv = ["unshare", "--fork", "--kill-child", "--pid", "--uts", "--mount-proc", "sh", "-c", script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield running.stdout.readline().strip()
        finally:
            running.communicate(timeout=20)


@pytest.mark.root
def test_what_a_container_left_here_is_known_by_who_sees_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(who: str, *, here: bool = True) -> list[Fate]:
        return fates([Leftover("linux", "a mirror", Mark("1a2b3c4d", who, 1), None, "", here=here)], owner.fate)

    monkeypatch.setattr(owner, "_sees_all", lambda: True)
    with container() as one, container() as other:
        assert told(one) == told(other) == [Fate.UNKNOWN]
        dead_there = ".".join(("99999", *one.split(".")[1:]))
        assert told(dead_there) == [Fate.DEAD]
    assert told(one) == told(other) == [Fate.DEAD]
    assert told(one, here=False) == [Fate.UNKNOWN], "it may be of another host"
    assert told(one.replace(one.split(".")[2], "00000000")) == [Fate.UNKNOWN]
    monkeypatch.undo()
    monkeypatch.setattr(owner, "_INITIAL", {"pid": 1})
    assert told(one) == [Fate.UNKNOWN], "it is not seen from a container"
