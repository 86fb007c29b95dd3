"""The lab's OVN cloud with two VMs of different servers that talk without a pause, and a collector between these."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.labs import config_of, running_lab
from support.mirrored import MARK, talk
from support.openvswitch import CHANGES_BY_ITSELF
from tapwright.adapters import command
from tapwright.adapters.process import pid_from_file
from tapwright.find.topology import join
from tapwright.lab import Lab
from tapwright.lab.openvswitch import await_server
from tapwright.model import Host
from tapwright.plan.mirrors import Mirror, parse
from tapwright.plan.points import Point
from tapwright.plan.steps import Finding, Found, Mark, Step
from tapwright.providers.ovn import Ovn

TABLES = ("Open_vSwitch", "Bridge", "Port", "Interface", "Mirror")
COLLECTOR = "172.31.0.9"
GRE, ERSPAN = f"gre://{COLLECTOR}?key=7", f"erspan2://{COLLECTOR}?session=12"
_COUNTED = re.compile(r"(?m)^(\w+_cfg|\w+_cfg_timestamp|ofport) .*$|ovn-(nb-cfg|nb-cfg-ts|startup-ts)=\"\d+\",? ?")
"""What other tools count up: ovs-vsctl and ovn-nbctl each time, and a switch the numbers of its ports."""


@dataclass(frozen=True)
class Cloud:
    """`web` and `cache` on s1, `db` on s2, which web talks with."""

    lab: Lab

    @property
    def remote(self) -> str:
        return f"unix:{self.lab.folder('central')}/ovnnb_db.sock"

    def provider(self, *servers: str) -> Ovn:
        """As it is on these servers (all of them: without a name)."""
        config = config_of(self.lab, *servers)
        return Ovn(config.ovn_nb, config.ovsdb)

    def nbctl(self, *arguments: str) -> str:
        return self.lab.exec("central", ["ovn-nbctl", "--timeout=20", *arguments]).stdout

    def row(self, name: str) -> str:
        """The id of a mirror: ovn-nbctl does not know them by their names."""
        return self.nbctl("--bare", "--columns=_uuid", "find", "Mirror", f"name={name}").strip()

    def vsctl(self, server: str, *arguments: str) -> str:
        return self.lab.exec(server, ["ovs-vsctl", "--timeout=20", *arguments]).stdout

    def port(self, vm: str) -> str:
        """The name of a VM's logical port."""
        return self.lab.node(vm).nics[0].iface_id

    def mac(self, vm: str) -> str:
        return self.lab.node(vm).nics[0].mac

    def point(self, vm: str = "web") -> Point:
        provider = self.provider()
        points = provider.points(join(Host("h"), [provider.snapshot()]))
        return next(point for point in points if point.port == self.port(vm))

    def step(self, target: str, vm: str = "web", mark: Mark = MARK, **more: object) -> Step:
        (step,) = self.provider().steps(Mirror(self.point(vm), parse(target), mark, **more))
        return step

    def dump(self) -> str:
        """All that `ovn-nbctl list` says of mirrors and ports, and `ovs-vsctl list` on both servers."""
        said = [self.nbctl(*_lists("NB_Global", "Mirror", "Logical_Switch_Port"))]
        said += [self.vsctl(server, *_lists(*TABLES)) for server in ("s1", "s2")]
        return _COUNTED.sub("", CHANGES_BY_ITSELF.sub("", "\n".join(said)))

    def copies(self, *fields: str, packets: int = 40) -> set[tuple[str, ...]]:
        """Who sent the frames whose copies come to the collector next, and `fields`, as tshark says it."""
        names = [word for field in ("eth.src", *fields) for word in ("-e", field)]
        argv = ["tshark", "-n", "-i", "eth0", "-f", "ip proto 47", "-c", str(packets), "-a", "duration:20"]
        said = self.lab.exec("collector", [*argv, "-T", "fields", *names], timeout=60).stdout
        named = {self.mac(vm): vm for vm in ("web", "cache", "db")}
        rows = [line.split("\t") for line in said.splitlines()]
        return {(named.get(row[0].split(",")[-1], row[0]), *row[1:]) for row in rows}

    def server(self, name: str) -> str:
        """What a server calls itself to OVN."""
        return self.vsctl(name, "get", "Open_vSwitch", ".", "external_ids:hostname").strip().strip('"')

    @contextmanager
    def narrow(self, server: str, mtu: int) -> Iterator[None]:
        """While this holds so large packets leave the server at most."""
        before = self.vsctl(server, "get", "Interface", "uplink0", "mtu").strip()
        try:
            self._mtu(server, str(mtu))
            yield
        finally:
            self._mtu(server, before)
            self.vsctl(server, "clear", "Interface", "uplink0", "mtu_request")

    def _mtu(self, server: str, mtu: str) -> None:
        self.vsctl(server, "set", "Interface", "uplink0", f"mtu_request={mtu}")
        self.vsctl(server, "wait-until", "Interface", "uplink0", f"mtu={mtu}")

    @contextmanager
    def without(self, node: str, daemon: str) -> Iterator[None]:
        """While this holds the daemon is killed; afterwards it runs again, as it was started before."""
        pid = pid_from_file(self.lab.folder(node) / f"{daemon}.pid")
        argv = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        try:
            yield
        finally:
            for socket in self.lab.folder(node).glob(f"{daemon}.sock"):
                socket.unlink()
            there = self.lab.node(node)
            log, env = self.lab.folder(node) / f"{daemon}.log", self.lab.process_environment(there)
            command.detach(self.lab.argv(there, argv), log=log, env=env)
            if daemon.endswith("_db"):
                await_server(self.lab.folder(node) / f"{daemon}.sock", log)
            self.nbctl("--wait=hv", "sync")


def _lists(*tables: str) -> list[str]:
    return [word for table in tables for word in ("--", "list", table)]


@contextmanager
def cloud() -> Iterator[Cloud]:
    with running_lab("ovn") as lab:
        made = Cloud(lab)
        with talking(made, "web", "db"):
            yield made


@contextmanager
def opened(lively: Cloud, target: str = GRE, **more: object) -> Iterator[Step]:
    """Done twice, undone twice; both databases are afterwards as they were before."""
    before = lively.dump()
    provider, step = lively.provider(), lively.step(target, **more)
    assert provider.found(step) == Finding(Found.ABSENT)
    try:
        provider.perform(step.do)
        once = lively.dump()
        provider.perform(step.do)
        assert lively.dump() == once != before
        assert provider.found(step) == Finding(Found.THERE)
        yield step
        assert provider.found(step).found is Found.THERE, provider.found(step)
    finally:
        provider.perform(step.undo)
        provider.perform(step.undo)
    assert provider.found(step) == Finding(Found.ABSENT)
    assert lively.dump() == before


def talking(made: Cloud, one: str, other: str) -> AbstractContextManager[None]:
    """Frames to and fro between two VMs, until the end of the block."""
    nodes = made.lab.node(one), made.lab.node(other)
    return talk(nodes[0].netns, nodes[1].netns, (made.mac(one), made.mac(other)))


def run(words: str, env: dict[str, str]) -> None:
    """What a person would type."""
    subprocess.run(words, shell=True, check=True, timeout=30, env={**os.environ, **env})
