"""Receiving a mirror: `tapwright collect`, which unwraps, beside dumpcap, which writes the packets as they come.

    python bench/collect.py [--rounds 3] [--seconds 1.5] [--json]

VXLAN from one exporter, both tools with a filter for it, in turns in one run as in `rates.py`; the ratio is
that of the highest rates without loss.  Sizes are those of the outer frames with their FCS.  Needs root.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import flood
import rates
import rig
from rig import undo_when_terminated

SIZES = (128, 512, 1500)
_VXLAN = struct.pack("!II", 0x0800_0000, 7007 << 8)

TOOLS = (
    rig.Tool(
        "collect",
        lambda device, file: [
            *(sys.executable, "-m", "tapwright", "collect", f"vxlan@{device}"),
            *("--from", "10.0.0.1", "-w", file),
        ],
        pcap=False,
    ),
    rig.Tool(
        "dumpcap",
        lambda device, file: [
            *("dumpcap", "-q", "-P", "-B", "64", "-i", device, "-w", file),
            *("-f", "udp dst port 4789 and src host 10.0.0.1"),
        ],
    ),
)


def wrapped(size: int) -> bytes:
    """A frame of `size` bytes, its FCS counted, that holds a smaller one in VXLAN."""
    plain = flood.frame
    inner = plain(size - 50)
    outer = bytearray(plain(size))
    struct.pack_into("!H", outer, 36, 4789)
    outer[42:50] = _VXLAN
    outer[50:] = inner
    return bytes(outer)


def send(argv: list[str]) -> None:
    """What the rig runs in the sender's namespace instead of `flood.py`."""
    device, size, rate, seconds, cpu = argv
    data = wrapped(int(size))
    flood.os.sched_setaffinity(0, {int(cpu)})
    flood.frame = lambda _: data
    print(flood.flood(device, int(size), float(rate), float(seconds)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rig._FLOOD, rates.TOOLS = __file__, TOOLS
    results = []
    with rig.rig() as bench:
        for size in SIZES:
            ours, other = rates.measure(bench, size, options.rounds, options.seconds)
            results.append(
                {
                    "size": size,
                    "collect_pps": ours.without_loss,
                    "dumpcap_pps": other.without_loss,
                    "ratio": ours.without_loss / other.without_loss if other.without_loss else None,
                    "collect_cpu_us": ours.cpu,
                    "dumpcap_cpu_us": other.cpu,
                    "sender_was_limit": ours.sender_was_limit,
                }
            )
    if options.json:
        print(json.dumps(results))
        return
    for row in results:
        limit = ">= " if row["sender_was_limit"] else ""
        ours = f"collect {limit}{row['collect_pps'] / 1e3:,.0f} k/s, {row['collect_cpu_us']:.2f} us of CPU a packet"
        theirs = f"dumpcap {row['dumpcap_pps'] / 1e3:,.0f} k/s, {row['dumpcap_cpu_us']:.2f} us"
        print(f"{row['size']:>5} B  {ours}; {theirs}: {row['ratio'] or 0:.2f} x the rate")


if __name__ == "__main__":
    undo_when_terminated()
    if sys.argv[1:2] == ["eth0"]:
        send(sys.argv[1:])
    else:
        main()
