"""A provider whose world is a directory, so that it outlives a kill and can be compared byte for byte.

A mirror is two steps: a *thing* of several files in a folder of its own, and a line in a file
that belongs to somebody else.  Both are made of several writes, so that there is a middle to die in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from tapwright.errors import ProviderError, UsageError
from tapwright.find.topology import Topology
from tapwright.model import Capability, Netns, Snapshot
from tapwright.plan.mirrors import Mirror, parse
from tapwright.plan.points import Point, PointKind
from tapwright.plan.steps import Finding, Found, Leftover, Mark, Operation, Step

NAME = "world"
PARTS = ("config", "filter", "output")


def nothing() -> None:
    """No point of interest."""


class World:
    """Keeps the contract of a Tapper; `tick` is called between any two changes."""

    name = NAME

    def __init__(self, folder: Path | None = None, tick: Callable[[], None] = nothing) -> None:
        self.folder = folder or Path(os.environ["WORLD"])
        self.tick = tick
        self.silent = False
        """Whether it does not answer."""
        self.broken: set[str] = set()
        """Verbs that fail."""

    def probe(self) -> Capability:
        return Capability.yes("it is a directory")

    def snapshot(self) -> Snapshot:
        return Snapshot(NAME)

    def points(self, topology: Topology) -> Sequence[Point]:
        return ()

    def steps(self, mirror: Mirror) -> Sequence[Step]:
        return steps(mirror.mark, mirror.point.port)

    def perform(self, operation: Operation) -> None:
        if operation.verb in self.broken:
            raise ProviderError(f"the world refuses to {operation.verb}")
        session, port, mark = (operation.text(name) for name in ("session", "port", "mark"))
        match operation.verb:
            case "make":
                self._make(session, port, mark)
            case "unmake":
                self._unmake(session, port, mark)
            case "attach":
                self._rewrite(f"{self._lines()}{port} {mark}\n" if self._line(port, mark) not in self._all() else "")
            case "detach":
                self._rewrite("".join(line for line in self._all() if line != self._line(port, mark)) or "\0")
            case _:
                raise UsageError(operation.verb)

    def found(self, step: Step) -> Finding:
        if self.silent:
            return Finding(Found.UNKNOWN, "the world does not answer")
        session, port, mark = (step.do.text(name) for name in ("session", "port", "mark"))
        if step.do.verb == "attach":
            return Finding(Found.THERE if self._line(port, mark) in self._all() else Found.ABSENT)
        thing = self._thing(session, port)
        if not thing.exists():
            return Finding(Found.ABSENT)
        if contents(thing) == {"mark": mark.encode(), **{part: f"{part} of {port}".encode() for part in PARTS}}:
            return Finding(Found.THERE)
        return Finding(Found.CHANGED, f"{thing.name} is not as it was made")

    def leftovers(self) -> Sequence[Leftover]:
        if self.silent:
            raise ProviderError("the world does not answer")
        things = [self._leftover(thing) for thing in sorted(self.folder.glob("*.thing"))]
        lines = [line.split() for line in self._all() if "tapwright:" in line]
        return (
            *things,
            *(
                Leftover(NAME, f"line {port}", Mark.parse(mark), Operation.of(NAME, "detach", port=port, mark=mark), "")
                for port, mark in lines
            ),
        )

    def copied(self, step: Step) -> int | None:
        return None

    def _leftover(self, thing: Path) -> Leftover:
        text = (thing / "mark").read_text() if (thing / "mark").exists() else ""
        mark = Mark.parse(text)
        session, _, port = thing.stem.partition("-")
        undo = Operation.of(NAME, "unmake", session=session, port=port, mark=text) if mark else None
        return Leftover(NAME, f"thing {thing.stem}", mark, undo, f"rm -r {thing}")

    def _make(self, session: str, port: str, mark: str) -> None:
        thing = self._thing(session, port)
        if not thing.exists():  # with its mark, or not at all
            new = self.folder / ".new"
            new.mkdir(exist_ok=True)
            (new / "mark").write_text(mark)
            new.rename(thing)
        for part in PARTS:
            self.tick()
            (thing / part).write_text(f"{part} of {port}")

    def _unmake(self, session: str, port: str, mark: str) -> None:
        thing = self._thing(session, port)
        if not thing.exists() or (thing / "mark").read_text() != mark:
            return
        for file in sorted(thing.iterdir()):
            if file.name != "mark":
                file.unlink()
                self.tick()
        gone = thing.rename(self.folder / ".gone")
        (gone / "mark").unlink()
        gone.rmdir()

    def _rewrite(self, text: str) -> None:
        """All at once, as a database does it."""
        if text:
            new = self.folder / ".lines"
            new.write_text(text.strip("\0"))
            self.tick()
            new.rename(self.folder / "bridge")
        self.tick()

    def _thing(self, session: str, port: str) -> Path:
        return self.folder / f"{session}-{port}.thing"

    def _lines(self) -> str:
        return (self.folder / "bridge").read_text()

    def _all(self) -> list[str]:
        return self._lines().splitlines(keepends=True)

    def _line(self, port: str, mark: str) -> str:
        return f"{port} {mark}\n"


def steps(mark: Mark, *ports: str) -> tuple[Step, ...]:
    """A thing and a line for each port."""
    return tuple(step for port in ports for step in _steps(mark, port))


def _steps(mark: Mark, port: str) -> tuple[Step, ...]:
    about = {"session": mark.session, "port": port, "mark": mark.text}
    return (
        Step(Operation.of(NAME, "make", **about), Operation.of(NAME, "unmake", **about), f"a thing for {port}"),
        Step(Operation.of(NAME, "attach", **about), Operation.of(NAME, "detach", **about), f"{port} is attached"),
    )


def mirror(mark: Mark, port: str) -> Mirror:
    """A mirror of that port."""
    point = Point(PointKind.MIRROR, "web", "eth0", NAME, None, "", Netns(1, ""), Capability.yes(), port=port)
    return Mirror(point, parse("rspan:999"), mark)


def strangers(folder: Path) -> Path:
    """A world in which other people have things."""
    folder.mkdir(parents=True)
    (folder / "bridge").write_text("uplink eth0\nvm7 somebody else's mirror\n")
    (folder / "other.thing").mkdir()
    (folder / "other.thing" / "config").write_text("not ours\n")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below it; what a write in the middle left under a name of its own does not count as the world's."""
    files = (path for path in folder.rglob("*") if not path.relative_to(folder).parts[0].startswith("."))
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in files}
