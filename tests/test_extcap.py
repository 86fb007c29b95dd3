"""The extcap program, called as Wireshark calls it, and Wireshark itself (tshark)."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.tapwright import tapwright
from tapwright import extcap
from tapwright.control.wireshark import sentence
from tapwright.lab import Lab
from tapwright.model import Vm, Vnic

pytestmark = pytest.mark.root
needs_tshark = pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")


@pytest.fixture(scope="module")
def lab():
    with Lab.up("bridge", f"xc{os.getpid()}", traffic=True) as running:
        yield running


@pytest.fixture(scope="module")
def home(lab, tmp_path_factory):
    """An environment in which Wireshark knows tapwright, and tapwright the lab alone."""
    folder = tmp_path_factory.mktemp("home")
    env = {**lab.environment(), "HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config")}
    assert tapwright("extcap", "install", env=env).code == 0
    return env


def call(lab, *arguments, timeout=30):
    argv = [sys.executable, "-m", "tapwright.extcap", *arguments]
    env = {**os.environ, **lab.environment()}
    return subprocess.run(argv, env=env, check=False, capture_output=True, text=True, timeout=timeout)


def web(lab):
    return f"tapwright:{lab.node('web').netns}/eth0"


def test_vms_are_interfaces(lab):
    said = call(lab, "--extcap-interfaces", "--extcap-version=4.4")
    assert (said.returncode, said.stderr) == (0, "")
    first, *others = said.stdout.splitlines()
    assert re.fullmatch(r"extcap \{version=[^}]+\}\{display=[^}]+\}", first)
    assert f"interface {{value={web(lab)}}}{{display=web/eth0 on br0 (tapwright)}}" in others
    assert len(others) == 3


def test_it_answers_for_an_interface(lab):
    assert call(lab, "--extcap-dlts", "--extcap-interface", web(lab)).stdout == (
        "dlt {number=1}{name=EN10MB}{display=Ethernet}\n"
    )
    options = call(lab, "--extcap-config", "--extcap-interface", web(lab)).stdout.splitlines()
    assert [re.search(r"\{call=(--\w+)\}", line)[1] for line in options] == ["--snaplen", "--filter"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tcp port 80", ""),
        ("vm db and icmp", ""),
        ("tcp prot 80", "`prot` cannot follow `tcp` (character 5 of the filter); did you mean `port`?"),
        ("vm bd", "no VM is called 'bd' (character 4 of the filter); did you mean db?"),
    ],
)
def test_a_capture_filter_is_judged_on_standard_output(lab, text, said):
    answer = call(lab, "--extcap-interface", web(lab), "--extcap-capture-filter", text)
    assert answer.stdout == (f"tapwright: {said}\n" if said else "")
    assert answer.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--capture", "--extcap-interface=eth0", "--fifo=/nonexistent"], "is not an interface of tapwright"),
        (["--capture", "--extcap-interface=tapwright:nobody/eth0", "--fifo=/nonexistent"], "no VM is called 'nobody'"),
        (["--extcap-interface=x"], "run by Wireshark"),
    ],
)
def test_an_error_is_one_line(lab, arguments, words):
    said = call(lab, *arguments)
    assert said.returncode != 0
    assert said.stdout == ""
    assert words in said.stderr
    assert len(said.stderr.splitlines()) == 1


def test_a_name_cannot_forge_a_sentence():
    vm = Vm("id}{value=x/1", "a}{value=b\n\x1b[2J", vnics=(Vnic("eth}0"),))
    value = extcap.interface(vm, vm.vnics[0])
    assert value == "tapwright:id%7D%7Bvalue%3Dx%2F1/eth%7D0"
    assert extcap._named(value) == "id}{value=x/1/eth}0"
    assert (
        sentence("interface", value=value, display=vm.name)
        == f"interface {{value={value}}}{{display=a)(value=b\\x0a\\x1b[2J}}"
    )


class Captured:
    """A capture into a FIFO, of which somebody reads."""

    def __init__(self, lab, folder, *options):
        self.fifo = folder / "fifo"
        os.mkfifo(self.fifo)
        argv = [sys.executable, "-m", "tapwright.extcap", "--capture", f"--extcap-interface={web(lab)}"]
        self.process = subprocess.Popen(
            [*argv, f"--fifo={self.fifo}", *options],
            env={**os.environ, **lab.environment()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.reader = self.fifo.open("rb", buffering=0)

    def end(self):
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@needs_tshark
def test_sigterm_completes_the_file(lab, tmp_path):
    captured = Captured(lab, tmp_path, "--filter=tcp port 5432", "--extcap-capture-filter=vm db", "--snaplen=80")
    with captured.reader as reader:
        data = reader.read(4096)
        while len(data) < 4096:
            data += reader.read(4096)
        captured.process.send_signal(signal.SIGTERM)
        while more := reader.read(65536):
            data += more
    assert captured.end() == (0, "", "")
    file = tmp_path / "out.pcapng"
    file.write_bytes(data)
    fields = ["-T", "fields", "-e", "tcp.port", "-e", "frame.cap_len", "-e", "frame.interface_name"]
    read = subprocess.run(["tshark", "-r", file, *fields], check=True, capture_output=True, text=True)
    rows = [line.split("\t") for line in read.stdout.splitlines()]
    assert rows
    assert all("5432" in ports and int(size) <= 80 and name == "web/eth0" for ports, size, name in rows)
    info = subprocess.run(["capinfos", file], check=True, capture_output=True, text=True)
    assert "(vm db) and (tcp port 5432)" in info.stdout


def test_it_ends_when_wireshark_is_gone_although_nothing_comes(lab, tmp_path):
    captured = Captured(lab, tmp_path, "--filter=ether proto 0x88b5")
    with captured.reader as reader:
        assert reader.read(4) == b"\x0a\x0d\x0d\x0a"
    assert captured.end() == (0, "", "")


def test_sigterm_before_anybody_reads(lab, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    argv = [sys.executable, "-m", "tapwright.extcap", "--capture", f"--extcap-interface={web(lab)}", f"--fifo={fifo}"]
    process = subprocess.Popen(argv, env={**os.environ, **lab.environment()})
    # wait_for_partner is where the kernel keeps who opens a FIFO without another end.
    while not {"fifo_open", "wait_for_partner"} & {Path(f"/proc/{process.pid}/wchan").read_text()}:
        assert process.poll() is None
        time.sleep(0.05)
    process.terminate()
    assert process.wait(30) == 0


@needs_tshark
def test_tshark_lists_the_vms(lab, home):
    listed = subprocess.run(["tshark", "-D"], env={**os.environ, **home}, check=True, capture_output=True, text=True)
    for vm in ("web", "db", "cache"):
        assert f"tapwright:{lab.node(vm).netns}/eth0 ({vm}/eth0 on br0 (tapwright))" in listed.stdout
    status = tapwright("extcap", "status", "--json", env=home)
    personal, system = status.data["launchers"]
    assert (personal["installed"], personal["current"], personal["known"]) == (True, True, True)
    assert system["path"].startswith("/usr/")
    assert len(status.data["interfaces"]) == 3
    assert "installed\n" in tapwright("extcap", "status", env=home).out


@needs_tshark
@pytest.mark.parametrize("name", [web, lambda _lab: "web/eth0"], ids=["id", "name"])
def test_tshark_captures_a_vm(lab, home, tmp_path, name):
    file = tmp_path / "out.pcapng"
    argv = ["tshark", "-i", name(lab), "-f", "vm db and tcp", "-c", "8", "-w", file]
    done = subprocess.run(argv, env={**os.environ, **home}, check=True, capture_output=True, text=True, timeout=60)
    assert "8 packets captured" in done.stderr
    rows = subprocess.run(
        ["tshark", "-r", file, "-T", "fields", "-e", "ip.addr", "-e", "frame.interface_name"],
        check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    assert len(rows) == 8
    assert all("10.0.0.12" in row and row.endswith("web/eth0") for row in rows)


@needs_tshark
def test_tshark_shows_what_is_wrong_and_does_not_hang(lab, home):
    argv = ["tshark", "-i", web(lab), "-f", "tcp prot 80", "-c", "1"]
    done = subprocess.run(argv, env={**os.environ, **home}, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "`prot` cannot follow `tcp` (character 5 of the filter)" in done.stderr
