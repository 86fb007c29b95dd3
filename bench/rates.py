"""Highest rate without loss and CPU time per packet, beside tcpdump, dumpcap and netsniff-ng.

    python bench/rates.py [--rounds 3] [--seconds 1.5] [--json]

One veth pair, the sender on core 0, the capturing process on core 1, files on tmpfs. All tools take
turns in every round, so that a noisy minute hits them alike; figures are medians, and tapwright's
are shown as a ratio to the best of the others. "no loss up to" is a ladder of offered rates, the
same for all: its top is what the sender reaches whoever captures, each step below is a tenth less,
and a tool stands on the highest step where most of its runs lose nothing; ">=" says that this was
the top, so that the sender was the limit.
Sizes are those of frames with their FCS.  Needs root.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from rig import Rig, Run, Tool, rig, undo_when_terminated

SIZES = (64, 512, 1500)
_US = [sys.executable, "-m", "tapwright", "capture", "--governor", "off"]
"""The others do not spare their host either; what the governor keeps for the VMs is `cost_for_vms.py`'s subject."""

TOOLS = (
    Tool("tapwright", lambda _, file: [*_US, "twb-*", "-w", file], pcap=False),
    Tool("tcpdump", lambda device, file: ["tcpdump", "-Z", "root", "-B", "65536", "-ni", device, "-w", file]),
    Tool("dumpcap", lambda device, file: ["dumpcap", "-q", "-P", "-B", "64", "-i", device, "-w", file]),
    Tool(
        "netsniff-ng",
        lambda device, file: ["netsniff-ng", "-s", "-S", "64MiB", "--in", device, "--out", file, "-T", "0xa1b2c3d4"],
    ),
)
OTHERS = TOOLS[1:]


@dataclass
class Figures:
    """What one tool reached at one size."""

    tool: str
    size: int
    without_loss: float = 0.0
    """Packets per second; 0 until a step is found, and where there is none."""
    sender_was_limit: bool = False
    offered: float = 0.0
    loss: float = 0.0
    """At what the sender reaches."""
    cpu: float = 0.0
    """Microseconds a packet, user and system."""
    user: float = 0.0
    runs: list[Run] = field(default_factory=list, repr=False)

    def settle(self) -> None:
        self.offered = statistics.median(run.offered for run in self.runs)
        self.loss = statistics.median(run.loss for run in self.runs)
        self.cpu = statistics.median(run.cpu_per_packet for run in self.runs)
        self.user = statistics.median(run.user_per_packet for run in self.runs)


def measure(bench: Rig, size: int, rounds: int, seconds: float) -> list[Figures]:
    """All tools at one size, in turns."""
    found = {tool.name: Figures(tool.name, size) for tool in TOOLS}
    for _ in range(rounds):
        for tool in TOOLS:
            found[tool.name].runs.append(bench.run(tool, size, 0, seconds))
    for figures in found.values():
        figures.settle()
    climb_down(bench, size, found, rounds, seconds)
    return list(found.values())


def climb_down(bench: Rig, size: int, found: Mapping[str, Figures], rounds: int, seconds: float) -> None:
    """Find each tool's step of the ladder; on one step the tools take turns."""
    top = min(figures.offered for figures in found.values())
    for tenths in range(10, 0, -1):
        tried = [tool for tool in TOOLS if not found[tool.name].without_loss]
        clean = Counter[str]()
        for _ in range(rounds):
            for tool in tried:
                clean[tool.name] += not bench.run(tool, size, top * tenths / 10, seconds).loss
        for tool in tried:
            if clean[tool.name] > rounds / 2:
                found[tool.name].without_loss = top * tenths / 10
                found[tool.name].sender_was_limit = tenths == 10


def show(figures: Sequence[Figures]) -> None:
    print(f"{'size':>5} {'tool':<12} {'no loss up to':>14} {'loss at full rate':>18} {'CPU us/packet':>14} {'user':>6}")
    for size in SIZES:
        mine = [f for f in figures if f.size == size]
        for f in mine:
            rate = f"{'>= ' if f.sender_was_limit else ''}{f.without_loss / 1e3:,.0f} k/s"
            print(f"{size:>5} {f.tool:<12} {rate:>14} {f.loss:>18.2%} {f.cpu:>14.3f} {f.user:>6.3f}")
        if mine:
            us, others = mine[0], mine[1:]
            rate = us.without_loss / max(f.without_loss for f in others)
            cpu = us.cpu / min(f.cpu for f in others)
            print(f"{'':>5} tapwright against the best: {rate:.2f} x the rate, {cpu:.2f} x the CPU time per packet")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    figures = []
    with rig() as bench:
        for size in SIZES:
            figures += measure(bench, size, options.rounds, options.seconds)
    if options.json:
        print(json.dumps([{k: v for k, v in asdict(f).items() if k != "runs"} for f in figures]))
    else:
        show(figures)


if __name__ == "__main__":
    undo_when_terminated()
    main()
