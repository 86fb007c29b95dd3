"""How long `tapwright ls` takes on a host with many vNICs, from Enter to the prompt.

    python bench/ls_scale.py [--vnics 1000] [--runs 5] [--json]

Builds one server namespace with ten bridges and a namespace with a veth for every vNIC, lists
them, and takes everything away again; beside a look by hand, `ip -br address` in each namespace,
which still does not say what is plugged in where.  Needs root.  All providers are asked, as usual; only
namespaces of the bench are looked at, so that others on the machine do not count.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rig import undo_when_terminated

BRIDGES = 10
GOAL = 1.0
"""Seconds for `ls`."""


def ip_batch(lines: list[str], netns: str = "", force: bool = False) -> None:
    """Run many `ip` commands in one process."""
    prefix = ["ip", *(["-n", netns] if netns else []), *(["-force"] if force else []), "-batch", "-"]
    subprocess.run(prefix, input="\n".join(lines), text=True, check=not force, capture_output=True)


@contextmanager
def host(vnics: int) -> Iterator[str]:
    """A host with that many vNICs; the common beginning of its namespaces' names."""
    prefix = f"twbench{os.getpid()}"
    guests = [f"{prefix}-g{n}" for n in range(vnics)]
    server = f"{prefix}-server"
    try:
        ip_batch([f"netns add {name}" for name in (server, *guests)])
        ip_batch([f"link add br{n} up type bridge" for n in range(BRIDGES)], server)
        ip_batch(
            [f"link add vnet{n} up type veth peer name eth0 netns {name}" for n, name in enumerate(guests)], server
        )
        ip_batch([f"link set vnet{n} master br{n % BRIDGES}" for n in range(vnics)], server)
        for n, name in enumerate(guests):
            ip_batch([f"addr add 10.{n >> 8}.{n & 255}.1/8 dev eth0", "link set eth0 up"], name)
        yield prefix
    finally:
        ip_batch([f"netns del {name}" for name in (*guests, server)], force=True)


def timed(prefix: str, *arguments: str) -> tuple[float, float, float, int]:
    """(seconds, CPU seconds, peak memory in MiB, lines) of one run of tapwright."""
    env = {**os.environ, "TAPWRIGHT_NETNS": f"{prefix}-*"}
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "tapwright", *arguments], env=env, stdout=subprocess.PIPE)
    assert process.stdout is not None
    lines = process.stdout.read().count(b"\n")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{arguments}: {process.returncode}"
    cpu = usage.ru_utime + usage.ru_stime
    return time.perf_counter() - begin, cpu, usage.ru_maxrss / 1024, lines


def by_hand(prefix: str, vnics: int) -> float:
    """Seconds of one `ip` for each namespace."""
    names = [f"{prefix}-server", *(f"{prefix}-g{n}" for n in range(vnics))]
    begin = time.perf_counter()
    for name in names:
        subprocess.run(["ip", "-n", name, "-br", "address"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def measure(vnics: int, runs: int) -> dict[str, object]:
    with host(vnics) as prefix:
        timed(prefix, "ls")  # the first run writes byte code and warms the disk cache
        results = {}
        for arguments in (("ls",), ("ls", "--json"), ("where", f"{prefix}-g0")):
            taken = [timed(prefix, *arguments) for _ in range(runs)]
            if arguments == ("ls",):
                assert taken[0][3] > vnics, f"only {taken[0][3]} lines"
            seconds = [seconds for seconds, *_ in taken]
            name = "where VM" if arguments[0] == "where" else " ".join(arguments)
            results[name] = {
                "best_s": round(min(seconds), 3),
                "median_s": round(statistics.median(seconds), 3),
                "cpu_s": round(min(cpu for _, cpu, _, _ in taken), 3),
                "peak_mib": round(max(memory for _, _, memory, _ in taken), 1),
            }
        hand = min(by_hand(prefix, vnics) for _ in range(runs))
    return {"vnics": vnics, "runs": runs, "results": results, "by_hand_s": round(hand, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vnics", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    measured = measure(options.vnics, options.runs)
    if options.json:
        print(json.dumps(measured))
        return
    print(f"{options.vnics} vNICs, {options.runs} runs each: best and median seconds, CPU seconds, peak memory")
    for name, values in measured["results"].items():
        times = f"{values['best_s']:.3f}  {values['median_s']:.3f}  {values['cpu_s']:.3f}"
        print(f"  tapwright {name:<10} {times}  {values['peak_mib']} MiB")
    took = measured["results"]["ls"]["median_s"]
    hand = measured["by_hand_s"]
    print(f"  `ip` in each namespace, by hand: {hand:.3f}; ls takes {took / hand:.2f} x the time")
    print(f"  seconds for ls: {took:.3g} (goal: at most {GOAL:g}) {'yes' if took <= GOAL else 'NO'}")


if __name__ == "__main__":
    undo_when_terminated()
    main()
