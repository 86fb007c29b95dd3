"""What capturing costs the VMs: throughput and latency of two VMs that talk while something listens.

    python bench/cost_for_vms.py [--rounds 3] [--seconds 10] [--lab bridge] [--only "governor on"]

Two namespaces on a Linux bridge, two QEMU guests on one (`guests`), and two namespaces on Open vSwitch (userspace
datapath), where these are installed. What a guest sends comes from one thread, through a queue that tells when it is
full. What a namespace sends comes from whatever processor it is on, and through none: its stream is ten times as fast
and varies more, from second to second as well.

In every round each way of listening has its turn, in an order that changes from round to round, with a turn of nobody
before and after it; figures are ratios to the mean of these two, and medians over the rounds. How far such ratios can
be trusted tells the line of nobody: what its turns are to the mean of the two beside them. A twentieth of a stream
is less than two turns of nobody differ by, so what the governor keeps is given as a mean with its standard error: three
rounds tell little of that, `--only "governor on" --rounds 12` more, in nine minutes.

    throughput   one iperf3 TCP stream for --seconds (10, as iperf3 itself has it), as fast as it goes: on two cores
                 the VMs and whoever captures want more than there is, which is the overload the governor is for. The
                 whole stream counts, its first moments, before the governor has stepped down, as well; the next
                 column is without them
    latency      round trips of ping, 500 of them, one every 2 ms, with nothing else going on: median and 99th of 100

Captures go into a ring of two files of 256 MB on tmpfs. What the governor did is shown below. All run in a session
with the highest ordinary priority, so that others on the machine disturb less. Needs root, iperf3 and ping.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rig import undo_when_terminated
from vms import LABS, NEEDS, Lab, built, round_trips, until

TAPWRIGHT = [sys.executable, "-m", "tapwright"]
PINGS = 500
_FIRST = 2
"""Seconds in which the governor has looked and stepped down."""
_SETTLE = 0.7
GOAL = 0.95


@dataclass(frozen=True)
class Way:
    """One way to listen: its command in the host's namespace; None is nobody."""

    name: str
    command: Callable[[Lab], Sequence[str]] | None
    kinds: tuple[str, ...] = ("bridge", "guests", "ovs")
    governed: bool = False
    ready: Callable[[Lab, subprocess.Popen[str]], None] | None = None
    """Waits until it listens; by default, until a packet socket does."""


def capture(*options: str) -> Callable[[Lab], Sequence[str]]:
    def argv(lab: Lab) -> Sequence[str]:
        out = str(lab.folder / "us.pcapng")
        return [*TAPWRIGHT, "capture", lab.vms[0], "--ring", "256Mx2", "-w", out, "--json", *options]

    return argv


def mirror(*options: str) -> Callable[[Lab], Sequence[str]]:
    """Copies to a device that leads to a sniffer somewhere else."""
    return lambda lab: [
        *TAPWRIGHT, "mirror", lab.vms[0], "--to", "nic:mon0", "--by", "linux", "--json", "--governor", "off", *options
    ]  # fmt: skip


def says_so(_: Lab, process: subprocess.Popen[str]) -> None:
    assert process.stdout
    if not process.stdout.readline():
        raise SystemExit(f"{process.args} did not begin")


def tcpdump(lab: Lab) -> Sequence[str]:
    out = str(lab.folder / "tcpdump.pcap")
    return ["tcpdump", "-Z", "root", "-B", "65536", "-C", "256", "-W", "2", "-ni", "vnet1", "-w", out]


def ovs_tcpdump(lab: Lab) -> Sequence[str]:
    out = str(lab.folder / "ovs-tcpdump.pcap")
    socket = f"unix:{lab.folder}/db.sock"
    rest = ["-B", "65536", "-C", "256", "-W", "2", "-n", "-w", out]
    return ["ovs-tcpdump", "--db-sock", socket, "-i", "vnet1", "-Z", "root", *rest]


WAYS = (
    Way("nobody", None),
    Way("tapwright, governor off", capture("--governor", "off")),
    Way("tapwright (governor on)", capture(), governed=True),
    Way("tapwright -s 96", capture("-s", "96", "--governor", "off")),
    Way("tapwright -f, no match", capture("-f", "udp port 9", "--governor", "off")),
    Way("tapwright mirror", mirror(), ready=says_so),
    Way("tapwright mirror -f, no match", mirror("-f", "udp port 9"), ready=says_so),
    Way("tcpdump", tcpdump),
    Way("ovs-tcpdump", ovs_tcpdump, ("ovs",)),
)


@dataclass
class Result:
    """What one way cost, turn by turn, as ratios to nobody before and after."""

    throughput: list[float] = field(default_factory=list)
    settled: list[float] = field(default_factory=list)
    median: list[float] = field(default_factory=list)
    slowest: list[float] = field(default_factory=list)
    bits: list[float] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    def add(self, turn: Turn, before: Turn, after: Turn) -> None:
        def ratio(value: float, *beside: float) -> float:
            return value / statistics.mean(beside)

        self.bits.append(turn.bits)
        self.throughput.append(ratio(turn.bits, before.bits, after.bits))
        self.settled.append(ratio(turn.later, before.later, after.later))
        self.median.append(ratio(turn.median, before.median, after.median))
        self.slowest.append(ratio(turn.slowest, before.slowest, after.slowest))
        if turn.steps:
            self.steps.append(turn.steps)


@contextmanager
def listening(lab: Lab, way: Way) -> Iterator[Callable[[], str]]:
    """While it listens; what it printed can be had afterwards."""
    said: list[str] = []
    if way.command is None:
        yield lambda: ""
        return
    process = subprocess.Popen(
        lab.inside(lab.host, *way.command(lab)),
        env=lab.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        if way.ready:
            way.ready(lab, process)
        else:
            until(lambda: process.poll() is not None or _listens(lab))
        time.sleep(_SETTLE)
        if process.poll() is not None:
            raise SystemExit(f"{way.name} ended with {process.returncode}")
        yield lambda: said[0]
        process.send_signal(signal.SIGINT)
        said.append(process.communicate(timeout=60)[0])
    finally:
        process.kill()
        process.wait()
        for path in lab.folder.glob("*.pcap*"):
            path.unlink()


def _listens(lab: Lab) -> bool:
    """Whether a packet socket of the host's namespace is bound (its process' namespace, so ask from inside)."""
    done = subprocess.run(["ip", "netns", "exec", lab.host, "cat", "/proc/net/packet"], capture_output=True, check=True)
    rows = done.stdout.decode().splitlines()[1:]
    return any(row.split()[5] == "1" and int(row.split()[4]) > 0 for row in rows)


def throughput(lab: Lab, seconds: float) -> tuple[float, float]:
    """Bits a second of one TCP stream: as its receiver has them, and as its sender had them from second 2 on."""
    argv = ("iperf3", "-c", "10.0.0.2", "-t", str(seconds), "-J")
    for _ in range(5):  # seen once in some hundred turns: neither end says anything any more
        found = json.loads(lab.ask(lab.vms[0], *argv, timeout=seconds + 20) or "{}")
        if "end" in found and "sum_received" in found["end"]:
            later = [each["sum"]["bits_per_second"] for each in found["intervals"] if each["sum"]["start"] >= _FIRST]
            return float(found["end"]["sum_received"]["bits_per_second"]), statistics.mean(later)
        time.sleep(0.5)
    raise SystemExit("iperf3 gave no result in five attempts")


def latency(lab: Lab) -> tuple[float, float]:
    """Median and 99th of 100 of the round trips, in microseconds."""
    times = sorted(round_trips(lab, PINGS))
    return statistics.median(times), times[int(len(times) * 0.99) - 1]


@dataclass(frozen=True)
class Turn:
    """What one turn reached: bits a second, those from second 2 on, and round trips, median and 99th of 100, in us."""

    bits: float
    later: float
    median: float
    slowest: float
    steps: str = ""

    @classmethod
    def of(cls, lab: Lab, way: Way, seconds: float) -> Turn:
        with listening(lab, way) as said:
            trips = latency(lab)
            bits = throughput(lab, seconds)
        return cls(*bits, *trips, steps=_steps(said()) if way.governed else "")


def measure(lab: Lab, rounds: int, seconds: float, only: str = "") -> dict[str, Result]:
    nobody, *others = (way for way in WAYS if lab.kind in way.kinds and (way.command is None or only in way.name))
    found = {way.name: Result() for way in (nobody, *others)}
    calm = [Turn.of(lab, nobody, seconds)]
    for number in range(rounds):
        at = number * len(others) // rounds
        for way in others[at:] + others[:at]:
            turn = Turn.of(lab, way, seconds)
            calm.append(Turn.of(lab, nobody, seconds))
            found[way.name].add(turn, calm[-2], calm[-1])
    for before, turn, after in zip(calm, calm[1:], calm[2:], strict=False):
        found[nobody.name].add(turn, before, after)
    return found


def _steps(said: str) -> str:
    governor = json.loads(said)["governor"]
    return "; ".join(f"{s['from']} -> {s['to']}: {s['reason']}" for s in governor["steps"]) or "no step"


def show(lab: Lab, found: dict[str, Result]) -> bool:
    print(f"{lab.kind}: two VMs, one TCP stream; ratios to nobody listening, medians (least to most)")
    print(f"  {'who listens':<30}{'Gbit/s':>8}{'throughput':>24}{'from 2 s on':>13}{'RTT median':>12}{'RTT p99':>10}")
    for name, result in found.items():
        if not result.throughput:  # one round of one way leaves nobody without a turn between two of its own
            continue
        ratio = (
            f"{statistics.median(result.throughput):.2f} ({min(result.throughput):.2f} to {max(result.throughput):.2f})"
        )
        trips = [f"{statistics.median(each):.2f}" for each in (result.median, result.slowest)]
        bits = statistics.median(result.bits) / 1e9
        settled = f"{statistics.median(result.settled):.2f}"
        print(f"  {name:<30}{bits:>8.2f}{ratio:>24}{settled:>13}{trips[0]:>12}{trips[1]:>10}")
    kept = True
    for way in WAYS:
        if way.governed and way.name in found:
            whole, error = _mean(found[way.name].throughput)
            kept = whole >= GOAL
            print(f"  VMs keep with the governor on, mean and standard error: {whole:.1%} +- {error:.1%}")
            print(f"    goal: {GOAL:.0%} {'yes' if kept else 'NO'}")
            settled, error = _mean(found[way.name].settled)
            print(f"    without the first {_FIRST} s, in which it looks and steps down: {settled:.1%} +- {error:.1%}")
            for number, text in enumerate(found[way.name].steps, start=1):
                print(f"    round {number}: {text}")
    return kept


def _mean(turns: Sequence[float]) -> tuple[float, float]:
    """With its standard error, by what the turns differ from each other."""
    spread = statistics.stdev(turns) if len(turns) > 1 else 0.0
    return statistics.mean(turns), spread / len(turns) ** 0.5


def in_a_session_of_its_own() -> int:
    """Linux shares the processors among sessions first: this one gets more of them than others on the machine."""
    with subprocess.Popen([sys.executable, *sys.argv, "--alone"], start_new_session=True) as inside:
        with suppress(OSError):
            Path(f"/proc/{inside.pid}/autogroup").write_text("-20")
        try:
            return inside.wait()
        except KeyboardInterrupt:
            inside.send_signal(signal.SIGINT)
            raise


def _absent(*names: str) -> str:
    return ", ".join(name for name in names if not shutil.which(name))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--only", default="", metavar="TEXT", help="only ways whose name has this in it, beside nobody")
    parser.add_argument("--lab", choices=list(LABS), action="append")
    parser.add_argument(
        "--kvm", action="store_true", help="guests run on the processor, not in QEMU's emulation of one"
    )
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.alone:
        return in_a_session_of_its_own()
    if absent := _absent("iperf3", "ping", "tcpdump", "ethtool"):
        print(f"not installed: {absent}", file=sys.stderr)
        return 1
    good = True
    for kind in options.lab or LABS:
        if absent := _absent(*NEEDS.get(kind, ())):
            print(f"{kind}: left out, not installed: {absent}", file=sys.stderr)
            continue
        with built(kind, "kvm" if options.kvm else "tcg") as lab:
            good &= show(lab, measure(lab, options.rounds, options.seconds, options.only))
    return not good


if __name__ == "__main__":
    undo_when_terminated()
    sys.exit(main())
