"""A real Open vSwitch: ovsdb-server and ovs-vswitchd of its own, userspace datapath."""

import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
CHANGES_BY_ITSELF = re.compile(r"^(statistics|status|db_version|link_resets) .*$", re.MULTILINE)


@dataclass(frozen=True)
class OpenVSwitch:
    folder: Path
    netns: str

    @property
    def remote(self) -> str:
        return f"unix:{self.folder}/db.sock"

    def vsctl(self, *arguments: str, check: bool = True) -> str:
        argv = ["ovs-vsctl", "--timeout=20", *arguments]
        done = subprocess.run(argv, env=self.environment, check=False, capture_output=True, text=True, timeout=30)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def appctl(self, *arguments: str) -> str:
        argv = ["ovs-appctl", "-T", "10", *arguments]
        done = subprocess.run(argv, env=self.environment, check=False, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def environment(self) -> Mapping[str, str]:
        folders = ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR")
        return {**os.environ, **{name: str(self.folder) for name in folders}}

    def dump(self) -> str:
        """All that `ovs-vsctl list` says, but for what changes by itself."""
        tables = ("Open_vSwitch", "Bridge", "Port", "Interface", "Mirror")
        return CHANGES_BY_ITSELF.sub("", "\n".join(self.vsctl("list", table) for table in tables))

    def wait_for(self, table: str, record: str, column: str, value: str) -> None:
        """Until ovs-vswitchd has published a value; `ovs-vsctl wait-until` fails after its timeout."""
        self.vsctl("wait-until", table, record, f"{column}={value}")

    def wait_for_statistics(self, interface: str, at_least: int) -> None:
        """Until that many packets are counted as received; ovs-vswitchd publishes every 5 s and no sooner."""
        deadline = time.monotonic() + 30
        while int(self.vsctl("get", "interface", interface, "statistics:rx_packets")) < at_least:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@contextmanager
def openvswitch(folder: Path, netns: str) -> Iterator[OpenVSwitch]:
    """Both daemons, in the namespace, with everything they write in `folder` (a short path)."""
    switch = OpenVSwitch(folder, netns)
    env = dict(switch.environment)
    subprocess.run(["ovsdb-tool", "create", f"{folder}/conf.db", SCHEMA], env=env, check=True)
    daemons = []
    try:
        daemons.append(_start(switch, "ovsdb-server", f"{folder}/conf.db", f"--remote=punix:{folder}/db.sock"))
        _wait_for(folder / "db.sock", daemons[0])
        switch.vsctl("--no-wait", "init")
        daemons.append(_start(switch, "ovs-vswitchd", switch.remote))
        _wait_for(folder / "ovs-vswitchd.pid", daemons[1])
        yield switch
    finally:
        for daemon in reversed(daemons):
            _end(daemon)


def _start(switch: OpenVSwitch, program: str, *arguments: str) -> subprocess.Popen:
    argv = ["ip", "netns", "exec", switch.netns, program, *arguments, "--pidfile", "-vconsole:off", "-vsyslog:off"]
    with (switch.folder / f"{program}.out").open("wb") as output:
        return subprocess.Popen(
            argv, env=dict(switch.environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )


def _end(daemon: subprocess.Popen) -> None:
    daemon.terminate()
    try:
        daemon.wait(timeout=10)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _wait_for(path: Path, daemon: subprocess.Popen) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert daemon.poll() is None, f"{daemon.args} ended with {daemon.returncode}"
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.01)
