"""Network namespaces, the ways into them and who lives there."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.netns import inode, ip, namespace
from tapwright.adapters.namespaces import NAMED, census
from tapwright.adapters.process import Process, arguments
from tapwright.model import Netns

pytestmark = pytest.mark.root


@pytest.fixture
def netns() -> Iterator[str]:
    with namespace() as name:
        yield name


def test_our_own_comes_first_and_needs_no_path() -> None:
    found = census()
    assert found.namespaces[0].inode == found.own == Path("/proc/self/ns/net").stat().st_ino
    assert found.namespaces[0].path == ""
    assert [n.path for n in found.namespaces].count("") == 1


def test_a_name_is_found_once_though_processes_live_in_it(netns: str) -> None:
    with subprocess.Popen(["ip", "netns", "exec", netns, "sleep", "1000"]) as process:
        try:
            found = census()
        finally:
            process.kill()
    mine = [n for n in found.namespaces if n.inode == inode(netns)]
    assert mine == [Netns(inode(netns), f"/run/netns/{netns}", netns)]


def test_only_what_was_asked_for(netns: str) -> None:
    with namespace() as other:
        assert [n.name for n in census((netns,)).namespaces[1:]] == [netns]
        both = {n.name for n in census((f"twt-{os.getpid()}-*", "nothing")).namespaces[1:]}
    assert both >= {netns, other}


def test_what_is_left_of_a_namespace_is_none() -> None:
    leftover = Path(NAMED) / f"twt-{os.getpid()}-leftover"
    leftover.touch()
    try:
        assert leftover.name not in {n.name for n in census().namespaces}
    finally:
        leftover.unlink()


def test_a_name_that_is_no_text_is_no_name() -> None:
    name = f"twt-{os.getpid()}-".encode() + b"\xff"
    subprocess.run([b"ip", b"netns", b"add", name], check=True)
    try:
        assert [n for n in census().namespaces if "\udcff" in n.path + n.name] == []
    finally:
        subprocess.run([b"ip", b"netns", b"del", name], check=True)


def test_a_namespace_with_two_names_is_one(netns: str) -> None:
    alias = f"{netns}-again"
    with subprocess.Popen(["ip", "netns", "exec", netns, "sleep", "1000"]) as process:
        try:
            while inode(netns) != os.stat(f"/proc/{process.pid}/ns/net").st_ino:  # noqa: PTH116
                assert process.poll() is None
            ip("netns", "attach", alias, str(process.pid))
            assert [n.name for n in census().namespaces if n.inode == inode(netns)] == [netns]
        finally:
            process.kill()
            ip("netns", "del", alias)


def test_processes_with_their_arguments() -> None:
    script = "echo; read line"
    pipe = subprocess.PIPE
    with subprocess.Popen(["sh", "-c", script, "gr\u00fcn", b"\xff"], stdin=pipe, stdout=pipe) as process:
        try:
            assert process.stdout
            process.stdout.readline()  # the kernel shows the arguments a moment after exec
            found = census()
            assert Process(process.pid, found.own, ("sh", "-c", script, "gr\u00fcn", "\ufffd")) in found.processes
            assert process.pid in [p.pid for p in found.residents()[found.own]]
        finally:
            process.kill()
    assert arguments(process.pid) == ()


def test_what_is_hidden_from_an_ordinary_user_is_counted() -> None:
    code = "from tapwright.adapters.namespaces import census; print(census().hidden)"
    argv = ["setpriv", "--reuid", "65534", "--clear-groups", sys.executable, "-c", code]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, cwd="/")
    assert int(done.stdout) > 0
