"""What /proc says of real processes, of what they may do, and whom of them to believe."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import short_folder
from support.netns import inode, namespace
from tapwright.adapters import ovsdb, process

pytestmark = pytest.mark.root

WITHOUT_POWER = ("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin")
IN_A_USER_NAMESPACE = ("unshare", "-Ur")
IN_ITS_OWN_FILE_SYSTEM = ("unshare", "-m", "--propagation", "private")


@contextmanager
def called(name: str, folder: Path, *arguments: str, wrapper: tuple[str, ...] = (), first: str = "") -> Iterator[int]:
    """A process of that name, with those arguments, that does nothing."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{first}\necho ready\nread forever\n")
    program.chmod(0o755)
    argv = [*wrapper, str(program), *arguments]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        try:
            assert running.stdout.readline() == b"ready\n"
            yield running.pid
        finally:
            running.kill()


@contextmanager
def listener(path: Path) -> Iterator[Path]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        yield path


def test_a_process_is_found_by_its_name() -> None:
    with short_folder() as folder, called("twt-named", folder) as pid:
        assert list(process.called("twt-named")) == [pid]
        assert process.command_name(pid) == "twt-named"
    assert list(process.called("twt-named")) == []


def test_its_namespace_and_the_way_into_it() -> None:
    with namespace() as netns, short_folder() as folder:
        with called("twt-inside", folder, wrapper=("ip", "netns", "exec", netns)) as pid:
            found = process.netns_of(pid)
        assert found is not None
        assert (found.inode, found.path) == (inode(netns), f"/proc/{pid}/ns/net")
    own = process.netns_of(os.getpid())
    assert own is not None
    assert (own.inode, own.path) == (process.own_netns(), "")


def test_a_process_that_is_gone() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert process.netns_of(gone.pid) is None
    assert process.command_name(gone.pid) == ""
    assert process.reach(gone.pid, "/run/x") == ""
    assert list(process.listening(gone.pid)) == []


@pytest.mark.parametrize("text", ["", "x", "12x", "\xff"])
def test_a_pid_file_with_nonsense(tmp_path: Path, text: str) -> None:
    (tmp_path / "pid").write_text(text, encoding="latin-1")
    assert process.pid_from_file(tmp_path / "pid") == 0
    assert process.pid_from_file(tmp_path / "none") == 0


def test_listening_sockets_are_listed() -> None:
    with short_folder() as folder, listener(folder / "a socket"):
        assert str(folder / "a socket") in process.listening(os.getpid())
    assert str(folder / "a socket") not in process.listening(os.getpid())


def test_a_path_means_the_same_to_a_neighbour() -> None:
    with short_folder() as folder, listener(folder / "s") as path, called("twt-neighbour", folder) as pid:
        assert process.reach(pid, str(path)) == str(path)
        assert process.reach(pid, "/nonexistent") == ""
        assert process.reach(pid, "/etc/passwd") == ""


def test_a_path_in_another_file_system_is_reached_through_its_process() -> None:
    with short_folder() as folder, short_folder() as real, listener(real / "s"):
        (folder / "run").mkdir()
        inside = f"mount --bind {real} {folder}/run"
        with called("twt-elsewhere", folder, wrapper=IN_ITS_OWN_FILE_SYSTEM, first=inside) as pid:
            assert process.reach(pid, f"{folder}/run/s") == f"/proc/{pid}/root{folder}/run/s"


@pytest.mark.parametrize(("wrapper", "believed"), [((), True), (WITHOUT_POWER, False), (IN_A_USER_NAMESPACE, False)])
def test_only_the_powerful_are_believed(wrapper: tuple[str, ...], believed: bool) -> None:
    """A tenant's process may be called ovs-vswitchd too; its database would be whatever the tenant likes."""
    with (
        short_folder() as folder,
        listener(folder / "db.sock") as path,
        called("ovs-vswitchd", folder, f"unix:{path}", wrapper=wrapper),
    ):
        assert (f"unix:{path}" in ovsdb.discover()) is believed


def test_a_command_line_without_end_is_cut() -> None:
    with subprocess.Popen(["sleep", "1000", *["x" * 100_000] * 4]) as running:
        try:
            found: tuple[str, ...] = ()
            while len(found) < 3:  # the kernel shows the arguments a moment after exec
                found = process.arguments(running.pid)
            assert found[:3] == ("sleep", "1000", "x" * 100_000)
            assert 200_000 < len("".join(found)) <= 256 << 10
        finally:
            running.kill()


def test_a_program_is_called_by_its_last_name() -> None:
    assert process.Process(1, 1, ("/usr/bin/qemu-system-x86_64", "-S")).program == "qemu-system-x86_64"


def test_capabilities_in_effect() -> None:
    assert {"CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"} <= process.capabilities()
    code = "from tapwright.adapters.process import capabilities; print(*capabilities())"
    argv = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin", sys.executable, "-c", code]
    held = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    assert {"CAP_NET_RAW", "CAP_NET_ADMIN"} <= set(held)
    assert "CAP_SYS_ADMIN" not in held
