"""A real Open vSwitch: ovsdb-server and ovs-vswitchd of its own, userspace datapath."""

import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
CHANGES_BY_ITSELF = re.compile(r"^(statistics|status|db_version|link_resets) .*$", re.MULTILINE)


@dataclass(frozen=True)
class OpenVSwitch:
    folder: Path
    netns: str
    programs: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Where a daemon is that is not the usual one; by a name that ends like the usual one's."""
    daemons: dict[str, subprocess.Popen] = field(default_factory=dict, compare=False)
    """Those that run."""

    @property
    def remote(self) -> str:
        return f"unix:{self.folder}/db.sock"

    def vsctl(self, *arguments: str, check: bool = True) -> str:
        return self._run("ovs-vsctl", "--timeout=20", *arguments, check=check)

    def appctl(self, *arguments: str) -> str:
        return self._run("ovs-appctl", "-T", "10", *arguments)

    def ofctl(self, *arguments: str) -> str:
        return self._run("ovs-ofctl", "--timeout=20", *arguments)

    def _run(self, *argv: str, check: bool = True) -> str:
        done = subprocess.run(argv, env=self.environment, check=False, capture_output=True, text=True, timeout=30)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    @property
    def environment(self) -> Mapping[str, str]:
        folders = ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR")
        return {**os.environ, **{name: str(self.folder) for name in folders}}

    def dump(self) -> str:
        """All that `ovs-vsctl list` says, but for what changes by itself."""
        tables = ("Open_vSwitch", "Bridge", "Port", "Interface", "Mirror")
        asked = (word for table in tables for word in ("--", "list", table))
        return CHANGES_BY_ITSELF.sub("", self.vsctl(*asked))

    def wait_for(self, table: str, record: str, column: str, value: str) -> None:
        """Until ovs-vswitchd has published a value; `ovs-vsctl wait-until` fails after its timeout."""
        self.vsctl("wait-until", table, record, f"{column}={value}")

    def wait_for_statistics(self, interface: str, at_least: int) -> None:
        """Until that many packets are counted as received; ovs-vswitchd publishes every 5 s and no sooner."""
        deadline = time.monotonic() + 30
        while int(self.vsctl("get", "interface", interface, "statistics:rx_packets")) < at_least:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def start(self, program: str) -> None:
        """Start ``ovsdb-server`` or ``ovs-vswitchd`` and wait until it answers."""
        arguments = [f"{self.folder}/conf.db", f"--remote=punix:{self.folder}/db.sock"]
        arguments = arguments if program == "ovsdb-server" else [self.remote]
        path = self.programs.get(program, program)
        argv = ["ip", "netns", "exec", self.netns, path, *arguments, "--pidfile", "-vconsole:off", "-vsyslog:off"]
        with (self.folder / f"{program}.out").open("ab") as output:
            daemon = subprocess.Popen(
                argv, env=dict(self.environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self.daemons[program] = daemon
        deadline = time.monotonic() + 60
        while not self._answers(daemon.pid, program):
            assert daemon.poll() is None, f"{argv} ended with {daemon.returncode}"
            assert time.monotonic() < deadline, f"{program} does not answer"
            time.sleep(0.01)

    def _answers(self, pid: int, program: str) -> bool:
        argv = ["ovs-appctl", "-T", "10", "-t", f"{self.folder}/{program}.{pid}.ctl", "version"]
        return subprocess.run(argv, check=False, capture_output=True, timeout=30).returncode == 0

    def stop(self, program: str, *, kill: bool = False) -> None:
        """End a daemon, asked or with SIGKILL; one that does not run stays so."""
        daemon = self.daemons.pop(program, None)
        if daemon is None:
            return
        if kill:
            daemon.kill()
        else:
            daemon.terminate()
        try:
            daemon.wait(timeout=30)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


@contextmanager
def openvswitch(
    folder: Path, netns: str, *settings: str, programs: Mapping[str, str] | None = None
) -> Iterator[OpenVSwitch]:
    """Both daemons, in the namespace, with everything they write in `folder` (a short path).

    `settings` are of the row of Open_vSwitch, there before ovs-vswitchd starts.
    """
    switch = OpenVSwitch(folder, netns, programs or {})
    env = dict(switch.environment)
    subprocess.run(["ovsdb-tool", "create", f"{folder}/conf.db", SCHEMA], env=env, check=True)
    try:
        switch.start("ovsdb-server")
        switch.vsctl("--no-wait", "init", *(("--", "set", "Open_vSwitch", ".", *settings) if settings else ()))
        switch.start("ovs-vswitchd")
        yield switch
    finally:
        for program in ("ovs-vswitchd", "ovsdb-server"):
            switch.stop(program)
