"""Two VMs that reach each other over one host's switch, for the benches: namespaces or QEMU guests.

A host's namespace with the devices ``vnet1`` and ``vnet2`` of the VMs 10.0.0.1 and 10.0.0.2 on a Linux bridge or on
Open vSwitch, an iperf3 server in the second VM, and ``mon0``, a device whose other end is a sniffer's.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from guests import PROGRAM, Guest, boot, prepare, serve


@dataclass(frozen=True)
class Lab:
    """Two VMs that reach each other, with devices ``vnet1`` and ``vnet2`` in the namespace `host`."""

    kind: str
    host: str
    vms: tuple[str, str]
    folder: Path
    env: dict[str, str]

    accelerator: str = "tcg"
    """Of guests."""
    guests: dict[str, Guest] = field(default_factory=dict)
    """By name, where the VMs are guests and not namespaces."""

    def inside(self, netns: str, *argv: str) -> list[str]:
        return ["nice", "-n", "-20", "ip", "netns", "exec", netns, *argv]

    def ask(self, vm: str, *argv: str, timeout: float) -> str:
        """What a command inside a VM says; "" where that takes too long."""
        if vm in self.guests:
            return self.guests[vm].ask(*argv, timeout=timeout)
        with suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                self.inside(vm, *argv), capture_output=True, text=True, check=False, timeout=timeout, env=self.env
            )
            return done.stdout
        return ""


def bridge(stack: ExitStack, lab: Lab) -> None:
    _bridge(lab)
    for number in (1, 2):
        _plug(lab, number)
        _run("ip", "-n", lab.host, "link", "set", f"vnet{number}", "master", "br0")
    _serve(stack, lab)


def guests(stack: ExitStack, lab: Lab) -> None:
    """QEMU guests, with their taps on a bridge."""
    _bridge(lab)
    prepare(lab.folder)
    for number, name in enumerate(lab.vms, start=1):
        _run("ip", "-n", lab.host, "tuntap", "add", "dev", f"vnet{number}", "mode", "tap")
        _run("ip", "-n", lab.host, "link", "set", f"vnet{number}", "master", "br0", "up")
        lab.guests[name] = Guest(name, number, lab.folder, lab.accelerator)
    boot(stack, tuple(lab.guests.values()), lambda qemu: lab.inside(lab.host, *qemu))
    serve(lab.guests[lab.vms[1]])


def _bridge(lab: Lab) -> None:
    _run("ip", "-n", lab.host, "link", "add", "br0", "type", "bridge")
    _run("ip", "-n", lab.host, "link", "set", "br0", "up")


def _serve(stack: ExitStack, lab: Lab) -> None:
    stack.enter_context(background(lab.inside(lab.vms[1], "iperf3", "-s", "-B", "10.0.0.2"), lab.env))


def ovs(stack: ExitStack, lab: Lab) -> None:
    folder = str(lab.folder)
    lab.env.update(dict.fromkeys(("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR"), folder))
    lab.env["TAPWRIGHT_OVSDB"] = f"unix:{folder}/db.sock"
    schema = "/usr/share/openvswitch/vswitch.ovsschema"
    _run("ovsdb-tool", "create", f"{folder}/conf.db", schema, env=lab.env)
    daemons = (
        ["ovsdb-server", f"{folder}/conf.db", f"--remote=punix:{folder}/db.sock"],
        ["ovs-vswitchd", f"unix:{folder}/db.sock"],
    )
    for argv in daemons:
        inside = lab.inside(lab.host, *argv, "-vconsole:off", f"--pidfile={folder}/{argv[0]}.pid")
        stack.enter_context(background(inside, lab.env))
        until(lambda name=argv[0]: (lab.folder / f"{name}.pid").exists())
        if argv[0] == "ovsdb-server":
            _vsctl(lab, "--no-wait", "init")
    _vsctl(lab, "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
    for number in (1, 2):
        _plug(lab, number)
        for netns, device in ((lab.host, f"vnet{number}"), (lab.vms[number - 1], "eth0")):
            _run("ip", "netns", "exec", netns, "ethtool", "-K", device, "tx", "off")
        _vsctl(lab, "add-port", "br0", f"vnet{number}")
    _serve(stack, lab)


def _vsctl(lab: Lab, *words: str) -> None:
    _run("ip", "netns", "exec", lab.host, "ovs-vsctl", f"--db=unix:{lab.folder}/db.sock", *words, env=lab.env)


def _plug(lab: Lab, number: int) -> None:
    vm, device = lab.vms[number - 1], f"vnet{number}"
    _run("ip", "-n", vm, "link", "add", "eth0", "type", "veth", "peer", "name", device, "netns", lab.host)
    _run("ip", "-n", vm, "addr", "add", f"10.0.0.{number}/24", "dev", "eth0")
    _run("ip", "-n", vm, "link", "set", "eth0", "up")
    _run("ip", "-n", lab.host, "link", "set", device, "up")


LABS: dict[str, Callable[[ExitStack, Lab], None]] = {"bridge": bridge, "guests": guests, "ovs": ovs}
NEEDS = {"guests": (PROGRAM, "ldd"), "ovs": ("ovs-vswitchd", "ovsdb-server")}


@contextmanager
def built(kind: str, accelerator: str = "tcg") -> Iterator[Lab]:
    """The lab, gone at the end."""
    stem = f"twc-{os.getpid()}"
    folder = Path(tempfile.mkdtemp(prefix="twc-", dir="/dev/shm"))
    names = [f"{stem}-{end}" for end in ("host", "a", "b")]
    env = {**os.environ, "TAPWRIGHT_NETNS": f"{stem}-*", "TAPWRIGHT_STATE": str(folder / "state")}
    lab = Lab(kind, names[0], (names[1], names[2]), folder, env, accelerator)
    try:
        with ExitStack() as stack:
            for netns in names:
                _run("ip", "netns", "add", netns)
            _run("ip", "-n", lab.host, "link", "add", "mon0", "type", "veth", "peer", "name", "mon1")
            for device in ("mon0", "mon1"):
                _run("ip", "-n", lab.host, "link", "set", device, "up")
            LABS[kind](stack, lab)
            until(lambda: round_trips(lab, 1))
            yield lab
    finally:
        for netns in names:
            subprocess.run(["ip", "netns", "del", netns], check=False, capture_output=True)
        shutil.rmtree(folder)


def _run(*argv: str, env: dict[str, str] | None = None) -> None:
    subprocess.run(argv, check=True, capture_output=True, env=env)


def until(condition: Callable[[], object]) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.02)
    raise SystemExit("the lab does not come up")


@contextmanager
def background(argv: Sequence[str], env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


def round_trips(lab: Lab, count: int) -> list[float]:
    """Round trips in microseconds."""
    said = lab.ask(lab.vms[0], "ping", "-n", "-i", "0.002", "-c", str(count), "10.0.0.2", timeout=30)
    return [1000 * float(found) for found in re.findall(r"time=([\d.]+)", said)]
