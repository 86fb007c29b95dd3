"""Kill `up` with SIGKILL at one instant after another, take the lab down, and compare the machine.

A program of its own: it enters fresh namespaces, so that what it compares (links, namespaces,
mounts, files, processes) is nobody else's, and it forks, which a test runner should not.

    crash.py TOPOLOGY every          at every step of `up`, before and after each effect
    crash.py TOPOLOGY random SEED N  after N random times
    crash.py TOPOLOGY down           at every step of `down`, which is then repeated
"""

import itertools
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tapwright import lab
from tapwright.adapters import command
from tapwright.lab import Lab, enter_userns, netns, processes, store
from tapwright.lab.userns import cover

NAME = "crash"
_TEMPORARY = Path("/tmp")
_CHECKOUT = Path(__file__).resolve().parents[2]
KEPT = _CHECKOUT if _CHECKOUT.is_relative_to(_TEMPORARY) else None
"""Ourselves, when we lie below the folder that is covered."""


def mounts() -> frozenset[tuple[str, ...]]:
    """Id, parent and place of every mount."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return frozenset((line.split()[0], line.split()[1], line.split()[4]) for line in lines)


def machine(known: frozenset[tuple[str, ...]]) -> dict[str, object]:
    """Everything a lab could leave behind; of the mounts, those that are not `known`.

    (Mounts that we only see a copy of, of other programs' namespaces, come and go.)
    """
    ours = Path("/proc/self/ns/user").stat().st_ino
    return {
        "devices": Path("/proc/net/dev").read_text().count(":"),
        "mounts": sorted(mounts() - known),
        "files": sorted(path for place in ("/run", str(_TEMPORARY)) for path in files(place)),
        "processes": [path.name for path in Path("/proc").iterdir() if path.name.isdecimal() and lives(path, ours)],
    }


def files(place: str) -> Iterator[str]:
    """Everything below a folder but ourselves."""
    for folder, folders, names in os.walk(place):
        folders[:] = [name for name in folders if Path(folder, name) != KEPT]
        yield from (str(Path(folder, name)) for name in (*folders, *names))


def lives(process: Path, userns: int) -> bool:
    """Whether a process is in our user namespace, is not us and has not ended."""
    try:
        ended = (process / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        return int(process.name) != os.getpid() and not ended and (process / "ns/user").stat().st_ino == userns
    except OSError:
        return False


class Steps:
    """Counts the effects of a child, and ends it at one of them."""

    def __init__(self, fatal: int) -> None:
        self.count = 0
        self.fatal = fatal

    def step(self) -> None:
        self.count += 1
        if self.count == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: object, name: str) -> None:
        effect = getattr(owner, name)

        def wrapped(*args: object, **kwargs: object) -> object:
            self.step()
            result = effect(*args, **kwargs)
            self.step()
            return result

        setattr(owner, name, wrapped)


def in_child(work: Callable[[], None]) -> int:
    """Run `work` in a forked child; its wait status."""
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return os.waitpid(pid, 0)[1]


EFFECTS = [
    *((command, name) for name in ("run", "start", "detach")),
    *((store, name) for name in ("write", "remove", "plan")),
    *((netns, name) for name in ("ip", "settle", "complete_checksums", "delete")),
    *((processes, name) for name in ("stop", "find")),
    *((Path, name) for name in ("mkdir", "rename", "unlink", "rmdir", "write_bytes")),
]


def counted(work: Callable[[], None], fatal: int) -> int:
    """How `work` ended when it was killed at effect number `fatal`; 0 when it has fewer."""

    def child() -> None:
        steps = Steps(fatal)
        for owner, name in EFFECTS:
            steps.around(owner, name)
        work()

    return in_child(child)


def check(known: frozenset[tuple[str, ...]], before: dict[str, object], what: str) -> list[str]:
    """Take the lab down twice; what is different from before."""
    for _ in range(2):
        lab.down(NAME)
    after = machine(known)
    return [f"{what}: {key}: {before[key]} -> {after[key]}" for key in before if before[key] != after[key]]


def killed_ups(topology: str) -> Iterator[str]:
    """Kill `up` at every effect; yields what was done each time."""
    for fatal in itertools.count(1):
        if not counted(lambda: void(Lab.up(topology, NAME)), fatal):
            break
        yield f"up killed at {fatal}"
    yield "up, not killed"


def killed_downs(topology: str) -> Iterator[str]:
    """Kill `down` at every effect."""
    for fatal in itertools.count(1):
        Lab.up(topology, NAME)
        if not counted(lambda: lab.down(NAME), fatal):
            break
        yield f"down killed at {fatal}"
    yield "down, not killed"


def killed_at_random(topology: str, seed: str, times: str) -> Iterator[str]:
    """Kill `up` at random times, as long as it takes."""
    choice = random.Random(int(seed))
    start = time.monotonic()
    Lab.up(topology, NAME)
    longest = time.monotonic() - start
    yield "not killed"
    for _ in range(int(times)):
        delay = choice.uniform(0, longest)
        pid = os.fork()
        if pid == 0:
            Lab.up(topology, NAME)
            os._exit(0)
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        yield f"killed after {delay:.4f} s"


def void(_: object) -> None:
    """An `up` that nobody takes down."""


MODES = {"every": killed_ups, "down": killed_downs, "random": killed_at_random}


def main() -> None:
    topology, mode, *rest = sys.argv[1:]
    enter_userns()
    cover(_TEMPORARY, KEPT)
    known = mounts()
    before = machine(known)
    count, faults = 0, []
    for what in MODES[mode](topology, *rest):
        count += 1
        faults += check(known, before, what)
    print(json.dumps({"count": count, "faults": faults}))


if __name__ == "__main__":
    main()
