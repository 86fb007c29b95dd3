"""How soon a capture begins, how quick the help is, what a filter costs, and whether memory stays bounded.

One veth pair between two namespaces; the tools take turns, figures are medians.

    first packet   from spawning `tapwright capture VM -w FILE` on a wire of 1,000 packets/s until the
                   file holds a whole packet, looked at every half millisecond; with `-w -` until the
                   pipe does. Beside tcpdump (-U) and dumpcap as they are typed, and tcpdump at its
                   quickest (--immediate-mode), once with a ring as large as ours: clearing its
                   memory is part of the wait. All rest before a large ring, because a virtual
                   machine gives what was free for two seconds back to its hypervisor, and who
                   starts a capture has to wait until it is there again
    --help         from spawning it to its end, beside a Python that does nothing
    a filter       CPU time of the process, as a share of one core, while the sender offers all it can
                   of 64 B frames of which the kernel's filter keeps one in a hundred; and the share
                   of these that is in the file
    peak memory    the kernel's high-water mark of the process (rings included) after 5 and after 30 s
                   of all the sender can offer of 1500 B frames, into a ring of files on tmpfs

The executable is the one pip installed, and may keep its byte code.  Needs root.
Options: --runs N (default 9; a third of it for the filter).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rig import Rig, Run, Tool, rig, silent, undo_when_terminated

TAPWRIGHT = str(Path(sys.executable).with_name("tapwright"))
RATE = 1000
MARKED = 100
"""One frame in so many matches `FILTER`."""
FILTER = "udp dst port 5002"
_LOOK = 0.0005
"""Seconds between two looks at a file."""
_PATIENCE = 20.0
_REST = 3.0
"""Seconds before a tool with a large ring."""
FLOOD_SECONDS = 2.0


def tcpdump(*options: str) -> Callable[[str, str], list[str]]:
    return lambda _, file: ["tcpdump", "-Z", "root", "-U", *options, "-ni", "vnet0", "-w", file]


US = Tool("tapwright", lambda vm, file: [TAPWRIGHT, "capture", vm, "-w", file])
LARGE = Tool("tcpdump --immediate-mode -B 48M", tcpdump("--immediate-mode", "-B", "49152"))
STARTERS = (
    US,
    Tool("tcpdump", tcpdump()),
    Tool("tcpdump --immediate-mode", tcpdump("--immediate-mode")),
    LARGE,
    Tool("dumpcap", lambda _, file: ["dumpcap", "-q", "-i", "vnet0", "-w", file]),
)
FILTERERS = (
    Tool("tapwright", lambda _, file: [TAPWRIGHT, "capture", "twb-*", "-f", FILTER, "-w", file], pcap=False),
    Tool("tcpdump", lambda device, file: ["tcpdump", "-Z", "root", "-B", "65536", "-ni", device, "-w", file, FILTER]),
)


def holds_packet(data: bytes) -> bool:
    """Whether the beginning of a pcap or pcapng file has a whole packet in it."""
    if data[:4] != b"\x0a\x0d\x0d\x0a":
        return len(data) >= 40 and len(data) >= 40 + int.from_bytes(data[32:36], sys.byteorder)
    at = 0
    while at + 12 <= len(data):
        kind, length = struct.unpack_from("=II", data, at)
        at += length
        if kind == 6:
            return at <= len(data)
    return False


def until_in_file(process: subprocess.Popen[bytes], path: Path) -> None:
    """Look at the file until it holds a packet."""
    deadline = time.monotonic() + _PATIENCE
    size = 0
    while time.monotonic() < deadline and process.poll() is None:
        now = path.stat().st_size if path.exists() else 0
        if now != size and holds_packet(path.read_bytes()):
            return
        size = now
        time.sleep(_LOOK)
    raise SystemExit(f"{process.args}: no packet in the file")


def until_in_pipe(process: subprocess.Popen[bytes], _path: Path) -> None:
    """Read the pipe until it has brought a packet."""
    assert process.stdout
    data = b""
    while not holds_packet(data):
        more = os.read(process.stdout.fileno(), 1 << 16)
        if not more:
            raise SystemExit(f"{process.args}: no packet in the pipe")
        data += more


WAYS = {"-w FILE": until_in_file, "-w -": until_in_pipe}


@contextmanager
def spawned(argv: Sequence[str], env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process with its output in a pipe, ended by SIGINT."""
    process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        yield process
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()


def first_packet(bench: Rig, tool: Tool, way: str) -> float:
    """Seconds from spawning `tool` to its first packet."""
    path = bench.folder / "first.out"
    file = "-" if way == "-w -" else str(path)
    argv = bench.inside(bench.host, *tool.command(bench.vm, file))
    time.sleep(_REST if tool in (US, LARGE) else 0)
    began = time.perf_counter()
    with spawned(argv, bench.env) as process:
        WAYS[way](process, path)
        took = time.perf_counter() - began
    path.unlink(missing_ok=True)
    return took


def bench_first_packet(bench: Rig, runs: int) -> None:
    print(f"\nfirst packet of {RATE:,}/s, median of {runs}")
    pairs = [(tool, way) for way in WAYS for tool in STARTERS]
    seconds: dict[tuple[Tool, str], list[float]] = {pair: [] for pair in pairs}
    with bench.flooded(64, RATE):
        first_packet(bench, US, "-w FILE")  # writes byte code
        for _ in range(runs):
            for pair in pairs:
                seconds[pair].append(first_packet(bench, *pair))
    for (tool, way), taken in seconds.items():
        report(f"{tool.name} {way}", taken)
    for way in WAYS:
        verdict(f"capture {way}, ms to the first packet", 1000 * statistics.median(seconds[US, way]), 300)


def bench_help(env: Mapping[str, str], runs: int) -> None:
    print(f"\nhelp, median of {runs}")
    commands = {"tapwright --help": [TAPWRIGHT, "--help"], "python -I -c pass": [sys.executable, "-I", "-c", "pass"]}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, argv in commands.items():
            began = time.perf_counter()
            subprocess.run(argv, env=env, check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - began)
    for name, taken in seconds.items():
        report(name, taken)
    verdict("--help, ms", 1000 * statistics.median(seconds["tapwright --help"]), 150)


def bench_filter(bench: Rig, rounds: int) -> None:
    print(f"\nfilter that keeps 1 % of 64 B frames at full rate, median of {rounds}")
    done: dict[str, list[Run]] = {tool.name: [] for tool in FILTERERS}
    for _ in range(rounds):
        for tool in FILTERERS:
            done[tool.name].append(bench.run(tool, 64, 0, FLOOD_SECONDS, MARKED))
    cpu = {name: statistics.median(100 * run.cpu / FLOOD_SECONDS for run in runs) for name, runs in done.items()}
    for name, runs in done.items():
        offered = statistics.median(run.offered for run in runs)
        kept = statistics.median(run.kept / (run.sent / MARKED) for run in runs)
        print(f"  {name:<40} {cpu[name]:6.2f} % of a core at {offered / 1e3:,.0f} k/s; {kept:.2%} of what matches kept")
    verdict("CPU with a filter, % of a core", cpu["tapwright"], 2)


def bench_memory(bench: Rig) -> None:
    print("\nmemory under 1500 B frames at full rate, --ring 64Mx2")
    argv = [
        TAPWRIGHT,
        "capture",
        bench.vm,
        "--governor",
        "off",
        "--ring",
        "64Mx2",
        "-w",
        str(bench.folder / "ring.pcapng"),
    ]
    with silent(bench.inside(bench.host, *argv), bench.env) as process:
        bench.await_socket(process)
        with bench.flooded(1500, 0):
            for after, wait in ((5, 5), (30, 25)):
                time.sleep(wait)
                verdict(f"peak memory in MB after {after} s", peak(process.pid) / 1e6, 100)
    for path in bench.folder.glob("ring*"):
        path.unlink()


def peak(pid: int) -> int:
    """Bytes of the process' high-water mark, as the kernel has it."""
    found = re.search(r"^VmHWM:\s*(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if not found:
        raise SystemExit(f"process {pid} is gone")
    return int(found[1]) * 1024


def report(name: str, seconds: Sequence[float]) -> None:
    middle, least, most = (1000 * how(seconds) for how in (statistics.median, min, max))
    print(f"  {name:<40} {middle:6.0f} ms  ({least:.0f} to {most:.0f})")


def verdict(text: str, value: float, limit: float) -> None:
    print(f"  {text}: {value:.3g} (goal: at most {limit:g}) {'yes' if value <= limit else 'NO'}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    if absent := [name for name in ("tcpdump", "dumpcap", "capinfos") if not shutil.which(name)]:
        print(f"not installed: {', '.join(absent)}", file=sys.stderr)
        return 1
    with rig() as bench:
        bench.env.pop("PYTHONDONTWRITEBYTECODE", None)
        bench_first_packet(bench, runs)
        bench_help(bench.env, runs)
        bench_filter(bench, max(1, runs // 3))
        bench_memory(bench)
    return 0


if __name__ == "__main__":
    undo_when_terminated()
    sys.exit(main())
