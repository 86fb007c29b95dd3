"""A veth pair between two namespaces, capture tools on one end, a sender on the other, CPU time by the scheduler."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_FLOOD = str(Path(__file__).with_name("flood.py"))
_SENDER_CPU, _CAPTURE_CPU = 0, 1
_SETTLE = 1.3
"""Seconds after the last packet: longer than any tool's ring holds one back."""


def undo_when_terminated() -> None:
    """SIGTERM ends a bench as Ctrl-C does, so that its namespaces and files go too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@dataclass(frozen=True)
class Tool:
    """A capture tool: its command line for (device, file), and how to count the packets of its file."""

    name: str
    command: Callable[[str, str], list[str]]
    pcap: bool = True


@dataclass(frozen=True)
class Run:
    """What became of one flood."""

    offered: float
    """Packets per second."""
    sent: int
    kept: int
    cpu: float
    """Seconds of the capturing process, user and system, while the flood lasted."""
    user: float

    @property
    def loss(self) -> float:
        return max(0.0, 1 - self.kept / self.sent)

    @property
    def cpu_per_packet(self) -> float:
        """Microseconds."""
        return self.cpu / max(self.kept, 1) * 1e6

    @property
    def user_per_packet(self) -> float:
        """Microseconds."""
        return self.user / max(self.kept, 1) * 1e6


class Rig:
    """Namespace `vm` with device `eth0`, namespace `host` with its peer `vnet0`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vm, self.host = (f"twb-{os.getpid()}-{end}" for end in ("vm", "host"))
        self.env = {**os.environ, "TAPWRIGHT_NETNS": f"twb-{os.getpid()}-*"}

    def inside(self, netns: str, *argv: str, cpu: int | None = None) -> list[str]:
        """`argv` inside a namespace, on one core where that is given; the process is the program itself."""
        pinned = ["taskset", "-c", str(cpu)] if cpu is not None else []
        return ["ip", "netns", "exec", netns, *pinned, *argv]

    def flood(self, size: int, rate: float, seconds: float, every: int = 0) -> int:
        """Send at `rate` (0: all that goes) for `seconds`, one frame in `every` to another port; the number sent."""
        argv = self._sender(size, rate, seconds, every)
        return int(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)

    @contextmanager
    def flooded(self, size: int, rate: float) -> Iterator[None]:
        """Send for as long as this holds."""
        process = subprocess.Popen(self._sender(size, rate, 3600.0, 0), stdout=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.kill()
            process.wait()

    def _sender(self, size: int, rate: float, seconds: float, every: int) -> list[str]:
        numbers = (size, rate, seconds, _SENDER_CPU, *([every] if every else []))
        return self.inside(self.vm, sys.executable, "-I", "-S", _FLOOD, "eth0", *map(str, numbers))

    def run(self, tool: Tool, size: int, rate: float, seconds: float, every: int = 0) -> Run:
        """Capture one flood into a file on tmpfs."""
        path = self.folder / f"{tool.name}.out"
        path.unlink(missing_ok=True)
        argv = self.inside(self.host, *tool.command("vnet0", str(path)), cpu=_CAPTURE_CPU)
        with silent(argv, self.env) as process:
            self.await_socket(process)
            before = cpu_time(process.pid)
            sent = self.flood(size, rate, seconds, every)
            time.sleep(_SETTLE)
            after = cpu_time(process.pid)
        kept = packets(path, tool, size)
        path.unlink()
        return Run(sent / seconds, sent, kept, after[0] - before[0], after[1] - before[1])

    def await_socket(self, process: subprocess.Popen[bytes]) -> None:
        """Until the tool listens to its device."""
        table = Path(f"/proc/{process.pid}/net/packet")
        for _ in range(1000):
            if any(line.split()[5] == "1" for line in table.read_text().splitlines()[1:]):
                time.sleep(0.3)
                return
            if process.poll() is not None:
                raise RuntimeError(f"{process.args} ended with {process.returncode}")
            time.sleep(0.01)
        raise RuntimeError(f"{process.args} opened no packet socket")


@contextmanager
def rig() -> Iterator[Rig]:
    """The namespaces, gone at the end; files go to tmpfs."""
    made = Rig(Path(tempfile.mkdtemp(prefix="twb-", dir="/dev/shm")))
    try:
        for netns in (made.vm, made.host):
            _ip("netns", "add", netns)
            quiet = "sysctl -qw net.ipv6.conf.default.disable_ipv6=1"
            subprocess.run(made.inside(netns, *quiet.split()), check=True)
        _ip("-n", made.vm, "link", "add", "eth0", "type", "veth", "peer", "name", "vnet0", "netns", made.host)
        for netns, device in ((made.vm, "eth0"), (made.host, "vnet0")):
            _ip("-n", netns, "link", "set", device, "up")
        yield made
    finally:
        for netns in (made.vm, made.host):
            subprocess.run(["ip", "netns", "del", netns], check=False, capture_output=True)
        shutil.rmtree(made.folder)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


@contextmanager
def silent(argv: list[str], env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose output nobody reads, ended by SIGINT."""
    process = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
    finally:
        process.kill()
        process.wait()


def cpu_time(pid: int) -> tuple[float, float]:
    """Seconds (user and system, user alone) of all threads of a process.

    The sum is the scheduler's own, exact to the nanosecond; user time is that sum split by ticks.
    """
    total = sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    user = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])
    return total / 1e9, user / os.sysconf("SC_CLK_TCK")


def packets(path: Path, tool: Tool, size: int) -> int:
    """Packets of `size` in a file that holds no others."""
    if tool.pcap:
        return (path.stat().st_size - 24) // (16 + size - 4)
    done = subprocess.run(["capinfos", "-cM", path], check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1])
