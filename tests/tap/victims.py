"""Processes to be killed: each stops at its n-th point, says which one that is, and is killed there with SIGKILL."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tap.world import World
from tapwright.plan.steps import Finding, Operation, Step
from tapwright.tap.journal import Journal
from tapwright.tap.session import Session

Tick = Callable[[str], None]


class Points:
    """Counts the points it is told of; at number `stop` it says so into `pipe` and waits for its end."""

    def __init__(self, stop: int = -1, pipe: int = -1) -> None:
        self.names: list[str] = []
        self._stop, self._pipe = stop, pipe

    def __call__(self, name: str) -> None:
        if len(self.names) == self._stop:
            os.write(self._pipe, name.encode())
            while True:
                signal.pause()
        self.names.append(name)


class WatchedJournal(Journal):
    """With a point before and after each of its transactions."""

    def __init__(self, folder: Path, tick: Tick) -> None:
        super().__init__(folder)
        self._tick = tick

    def add(self, session: Session) -> None:
        self._around("add", lambda: Journal.add(self, session))

    def intend(self, session: Session, number: int) -> None:
        self._around(f"intend {number}", lambda: Journal.intend(self, session, number))

    def put(self, session: Session, number: int) -> None:
        name = f"{session.entries[number].progress} {number}"
        self._around(name, lambda: Journal.put(self, session, number))

    def move(self, session: Session) -> None:
        self._around(session.state, lambda: Journal.move(self, session))

    def _around(self, name: str, write: Callable[[], None]) -> None:
        self._tick(f"before {name}")
        write()
        self._tick(f"after {name}")


class WatchedWorld(World):
    """With a point before, in the middle of and after each change, and after each look."""

    def __init__(self, folder: Path, tick: Tick) -> None:
        super().__init__(folder, lambda: tick("middle"))
        self._tick = tick

    def perform(self, operation: Operation) -> None:
        self._tick(f"before {operation.verb}")
        super().perform(operation)
        self._tick(f"after {operation.verb}")

    def found(self, step: Step) -> Finding:
        finding = super().found(step)
        self._tick(f"found {finding.found}")
        return finding


Life = Callable[[Tick], None]
"""What a victim does; it tells the points it passes."""


def points_of(life: Life) -> list[str]:
    """The points of a life that nobody ends."""
    points = Points()
    life(points)
    return points.names


def killed_at(life: Life, stop: int) -> str:
    """Kill a process that lives `life` at its point number `stop`; the point's name, "" if it ended before."""
    ours, theirs = os.pipe()
    pid = _born(life, Points(stop, theirs))
    os.close(theirs)
    try:
        name = os.read(ours, 100).decode()
        os.kill(pid, signal.SIGKILL)
    finally:
        os.close(ours)
        _, status = os.waitpid(pid, 0)
    assert name or status == 0, "the victim failed before it was killed"
    return name


def killed_after(life: Life, longest: float, chance: random.Random) -> None:
    """Kill a process that lives `life` at any instant, within `longest` seconds."""
    pid = _born(life, lambda _name: None)
    time.sleep(chance.uniform(0.0, longest))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _born(life: Life, tick: Tick) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            life(tick)
            os._exit(0)
        except BaseException:
            os._exit(1)
    return pid
