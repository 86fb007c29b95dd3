"""Processes to be killed: each stops at its n-th point, says which one that is, and is killed there with SIGKILL."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, Self

from tap.world import World
from tapwright.plan.steps import Finding, Operation, Step
from tapwright.tap.journal import Journal
from tapwright.tap.session import Session

Tick = Callable[[str], None]
_SET_CHILD_SUBREAPER = 36


class Points:
    """Counts the points it is told of; at number `stop` it says so into `pipe` and waits until it is told to go on."""

    def __init__(self, stop: int = -1, pipe: int = -1, told: int = -1) -> None:
        self.names: list[str] = []
        self._stop, self._pipe, self._told = stop, pipe, told

    def __call__(self, name: str) -> None:
        if len(self.names) == self._stop:
            os.write(self._pipe, name.encode())
            os.read(self._told, 1)
        self.names.append(name)


class WatchedJournal(Journal):
    """With a point before and after each of its transactions."""

    def __init__(self, folder: Path, tick: Tick) -> None:
        super().__init__(folder)
        self._tick = tick

    def add(self, session: Session) -> None:
        self._around("add", lambda: Journal.add(self, session))

    def intend(self, session: Session, *numbers: int) -> None:
        self._around(f"intend {_listed(numbers)}", lambda: Journal.intend(self, session, *numbers))

    def put(self, session: Session, *numbers: int) -> None:
        name = f"{session.entries[numbers[0]].progress} {_listed(numbers)}"
        self._around(name, lambda: Journal.put(self, session, *numbers))

    def move(self, session: Session, *numbers: int) -> None:
        self._around(session.state, lambda: Journal.move(self, session, *numbers))

    def _around(self, name: str, write: Callable[[], None]) -> None:
        self._tick(f"before {name}")
        write()
        self._tick(f"after {name}")


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))


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
    with Victim(life, stop) as victim:
        return victim.name


def killed_after(life: Life, longest: float, chance: random.Random) -> None:
    """Kill a process that lives `life` at any instant, within `longest` seconds."""
    with Victim(life):
        time.sleep(chance.uniform(0.0, longest))


class Victim:
    """A process that lives `life` and stops at its point number `stop`; killed at the end of the block.

    What it had started ends by itself, and has ended as well by then.
    """

    _living = 0
    """As long as there are any, who loses its parent is ours to wait for; afterwards nobody would."""
    name: str
    """Of the point at which it stands; "" when it ended before."""

    def __init__(self, life: Life, stop: int = -1) -> None:
        _adopt(+1)
        ours, theirs = os.pipe()
        told, self._tell = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._tell)
            _live(life, Points(stop, theirs, told))
        for end in (theirs, told):
            os.close(end)
        self._stopping, self._pipe = stop >= 0, ours
        self._status: int | None = None

    def __enter__(self) -> Self:
        self.name = os.read(self._pipe, 1000).decode() if self._stopping else ""
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is None:
            os.kill(self._pid, signal.SIGKILL)
            self.end()
        os.close(self._pipe)
        assert self.name or not self._stopping or self._status == 0, "the victim failed before it was killed"

    def go_on(self) -> int:
        """Let it live on; its exit status, 0 unless its life failed."""
        os.write(self._tell, b"!")
        return self.end()

    def end(self) -> int:
        """Wait for the end of it and of what it started."""
        _, self._status = os.waitpid(self._pid, 0)
        os.close(self._tell)
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-self._pid, 0)
        _adopt(-1)
        return self._status


def _adopt(more: int) -> None:
    Victim._living += more
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, Victim._living)


def _live(life: Life, tick: Tick) -> NoReturn:
    try:
        os.setpgid(0, 0)
        life(tick)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
