"""``decap`` and ``filter`` on files, beside editcap, tcpdump, cp and a bare walk over the records.

One input, warm cache, tools taking turns, the best of several runs each; ratios count, not seconds.

    decap    the innermost frames of a file in VXLAN        editcap -C 50 chops the same bytes; cp moves as many
    filter   an expression on the inner frames              tcpdump with the offsets of the commonest wrapping, which
                                                            misses what is wrapped otherwise; walk.c only passes over
                                                            the records

Options: --size BYTES of each input (default 2G), --runs N, --folder where files go (default /dev/shm).
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rig import undo_when_terminated

from tapwright.units import parse_size

TAPWRIGHT = [sys.executable, "-m", "tapwright"]
INNER = "tcp port 5432"
FIXED = "udp port 4789 and udp[28:2] = 0x0800 and udp[39] = 6 and (udp[50:2] = 5432 or udp[52:2] = 5432)"
"""The same on the inner frame, where the wrapping is Ethernet, IPv4 without options, UDP, VXLAN."""


def frame(rng: random.Random, small: bool) -> bytes:
    """What a VM sends: TCP to some port, or DNS."""
    ends = bytes([10, rng.randrange(4), 0, rng.randrange(1, 250), 10, rng.randrange(4), 1, rng.randrange(1, 250)])
    size = rng.choice([0, 6, 20, 60]) if small else rng.choice([0, 0, 100, 700, 1380, 1380])
    if rng.random() < 0.1:
        segment, protocol = struct.pack("!HHHH", 40000, 53, 8 + size, 0), 17
    else:
        port = rng.choice([443, 443, 80, 5432, 8080])
        segment = struct.pack("!HHIIBBHHH", rng.randrange(32768, 61000), port, 1, 1, 0x50, 0x10, 512, 0, 0)
        protocol = 6
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment) + size, rng.randrange(65536), 0, 64, protocol, 0)
    return rng.randbytes(12) + b"\x08\x00" + head + ends + segment + rng.randbytes(size)


def wrapped(rng: random.Random, inner: bytes, *, mixed: bool) -> bytes:
    """In VXLAN; with `mixed`, one in five behind a VLAN tag, in IPv6 or in Geneve."""
    vni, kind = rng.randrange(5000, 5064) << 8, rng.random() if mixed else 1.0
    tunnel, port = (
        (struct.pack("!HHI", 0, 0x6558, vni), 6081) if kind < 0.07 else (struct.pack("!II", 8 << 24, vni), 4789)
    )
    inside = tunnel + inner
    datagram = struct.pack("!HHHH", rng.randrange(49152, 65536), port, 8 + len(inside), 0) + inside
    if kind < 0.14:
        head = struct.pack("!IHBB", 6 << 28, len(datagram), 17, 64) + bytes.fromhex("fd00000000000000000000000000") * 2
        return bytes(12) + b"\x86\xdd" + head + bytes([0, rng.randrange(4), 0, 9]) + datagram
    ends = bytes([172, 16, 0, rng.randrange(1, 5), 172, 16, 1, rng.randrange(1, 5)])
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 1, 0x4000, 64, 17, 0) + ends
    tag = struct.pack("!HH", 0x8100, 20) if kind < 0.2 else b""
    return bytes(12) + tag + b"\x08\x00" + head + datagram


def generate(path: Path, size: int, *, mixed: bool, small: bool = False) -> int:
    """A pcap file of about `size` bytes; the number of its packets."""
    rng, records, chunk, at = random.Random(7), 0, bytearray(), 0
    while len(chunk) < min(size, 24 << 20):
        data = wrapped(rng, frame(rng, small), mixed=mixed)
        at += rng.randrange(1, 9)
        chunk += struct.pack("=IIII", 1_795_426_215 + at // 1_000_000, at % 1_000_000, len(data), len(data)) + data
        records += 1
    times = max(1, size // len(chunk))
    with path.open("wb") as out:
        out.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1))
        for _ in range(times):
            out.write(chunk)
    return records * times


@dataclass
class Tool:
    """A command line, and what its runs took."""

    name: str
    argv: Sequence[str]
    seconds: list[float] = field(default_factory=list)
    cpu: float = math.inf
    peak: int = 0
    """Kilobytes."""

    @property
    def best(self) -> float:
        return min(self.seconds)

    def run(self) -> None:
        began = time.perf_counter()
        argv = [str(word) for word in self.argv]
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        sampler = threading.Thread(target=self._watch, args=(process.pid,))
        sampler.start()
        _, status, usage = os.wait4(process.pid, 0)
        self.seconds.append(time.perf_counter() - began)
        sampler.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(argv)} failed")
        self.cpu = min(self.cpu, usage.ru_utime + usage.ru_stime)

    def _watch(self, pid: int) -> None:
        """The kernel's own high-water mark, looked at until the end: `ru_maxrss` would begin with ours."""
        status = Path(f"/proc/{pid}/status")
        while True:
            try:
                _, found, rest = status.read_text().partition("VmHWM:")
            except OSError:
                return
            if not found:
                return
            self.peak = max(self.peak, int(rest.split()[0]))
            time.sleep(0.01)


def compare(tools: Sequence[Tool], runs: int, outputs: Path) -> None:
    """Let the tools take turns."""
    for _ in range(runs):
        for tool in tools:
            tool.run()
            for path in outputs.iterdir():
                path.unlink()


def report(title: str, tools: Sequence[Tool], packets: int) -> None:
    print(f"\n{title}")
    for tool in tools:
        rate = f"{packets / tool.best / 1e6:6.2f} Mpps"
        print(f"  {tool.name:<34} {tool.best:6.2f} s  {rate}  CPU {tool.cpu:5.2f} s  peak {tool.peak / 1024:4.0f} MB")


def verdict(text: str, ratio: float, limit: float, *, at_least: bool) -> None:
    kept = ratio >= limit if at_least else ratio <= limit
    print(f"  {text}: {ratio:.2f} (goal: at {'least' if at_least else 'most'} {limit:g}) {'yes' if kept else 'NO'}")


def bench_decap(folder: Path, size: int, runs: int, *, small: bool) -> None:
    source, outputs = folder / "vxlan.pcap", folder / "out"
    packets = generate(source, size, mixed=False, small=small)
    ours = Tool("tapwright decap (pcap)", [*TAPWRIGHT, "decap", source, "-o", outputs / "o.pcap"])
    ours_ng = Tool("tapwright decap (pcapng)", [*TAPWRIGHT, "decap", source, "-o", outputs / "o.pcapng"])
    editcap = Tool("editcap -C 50 (pcap)", ["editcap", "-F", "pcap", "-C", "50", "-L", source, outputs / "o"])
    editcap_ng = Tool("editcap -C 50 (pcapng)", ["editcap", "-C", "50", "-L", source, outputs / "o"])
    copy = Tool("cp", ["cp", source, outputs / "o"])
    tools = [ours, ours_ng, editcap, editcap_ng, copy]
    compare(tools, runs, outputs)
    report(
        f"decap of {packets:,} {'small ' if small else ''}packets in VXLAN, {source.stat().st_size / 1e6:.0f} MB",
        tools,
        packets,
    )
    verdict("rate beside editcap, pcap", editcap.best / ours.best, 2, at_least=True)
    verdict("rate beside editcap, pcapng", editcap_ng.best / ours_ng.best, 2, at_least=True)
    verdict("time beside a copy of the same bytes", ours.best / copy.best, 1.5, at_least=False)
    verdict("peak memory in MB", max(ours.peak, ours_ng.peak) / 1024, 100, at_least=False)
    source.unlink()


def bench_filter(folder: Path, size: int, runs: int, walk: Path) -> None:
    source, outputs = folder / "mixed.pcap", folder / "out"
    packets = generate(source, size, mixed=True)
    ours = Tool("tapwright filter -f", [*TAPWRIGHT, "filter", source, "-f", INNER, "-o", outputs / "o.pcap"])
    tcpdump = Tool("tcpdump with fixed offsets", ["tcpdump", "-r", source, "-w", outputs / "o", FIXED])
    bare = Tool("bare walk over the records", [walk, source])
    compare([ours, tcpdump, bare], runs, outputs)
    report(
        f"filter of {packets:,} packets in several wrappings, {source.stat().st_size / 1e6:.0f} MB",
        [ours, tcpdump, bare],
        packets,
    )
    found = [count(folder, tool) for tool in (ours, tcpdump)]
    print(f"  found: {found[0]:,} by tapwright, {found[1]:,} by tcpdump")
    verdict("rate beside tcpdump", tcpdump.best / ours.best, 1, at_least=True)
    verdict("time beside a bare walk", ours.best / bare.best, 2, at_least=False)
    verdict("peak memory in MB", ours.peak / 1024, 100, at_least=False)
    source.unlink()


def count(folder: Path, tool: Tool) -> int:
    tool.run()
    output = next((folder / "out").iterdir())
    said = subprocess.run(["capinfos", "-TMrc", output], capture_output=True, text=True, check=True).stdout
    output.unlink()
    return int(said.split("\t")[1])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=parse_size, default=parse_size("2G"))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    return parser.parse_args()


def missing() -> Iterator[str]:
    yield from (name for name in ("editcap", "tcpdump", "capinfos", "cc") if not shutil.which(name))


def main() -> int:
    if absent := list(missing()):
        print(f"not installed: {', '.join(absent)}", file=sys.stderr)
        return 1
    asked = arguments()
    # Input and output at once, and as much again left to others.
    size = min(asked.size, shutil.disk_usage(asked.folder).free // 4)
    with tempfile.TemporaryDirectory(prefix="tapwright-bench-", dir=asked.folder) as name:
        folder = Path(name)
        (folder / "out").mkdir()
        walk = folder / "walk"
        subprocess.run(["cc", "-O2", "-o", walk, Path(__file__).with_name("walk.c")], check=True)
        bench_decap(folder, size, asked.runs, small=False)
        bench_decap(folder, size // 4, asked.runs, small=True)
        bench_filter(folder, size, asked.runs, walk)
    return 0


if __name__ == "__main__":
    undo_when_terminated()
    sys.exit(main())
