"""From lines with labels to instructions with offsets, in passes.

    threaded       a jump to an unconditional jump goes where that one goes
    reachable      lines that nothing reaches are left out
    straightened   an unconditional jump to the next line is left out
    encoded        offsets; a conditional jump beyond what its one byte can say goes over an unconditional one

Each takes and returns lines of the same meaning.  All jumps go forward, so one look at the
lines in their order is enough for each of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from tapwright.filter.code import JA, Label, Line, Op
from tapwright.filter.program import Instruction

_FARTHEST = 254
"""Instructions a conditional jump can skip, less one for a bridge that its other way may need; `ja` has 32 bits."""


def assemble(lines: Sequence[Line]) -> list[Instruction]:
    """The instructions for `lines`; how many they are is not looked at."""
    return _encoded(_straightened(_reachable(_threaded(lines))))


def _threaded(lines: Sequence[Line]) -> list[Line]:
    goes: dict[Label, Label] = {}
    threaded: list[Line] = []
    onward: Label | None = None  # where control goes from here without doing anything, if it is said
    for line in reversed(lines):
        if isinstance(line, Label):
            goes[line] = onward or line
            threaded.append(line)
        else:
            threaded.append(_retargeted(line, goes, onward))
            onward = goes[line.then] if line.code == JA and line.then else None
    return threaded[::-1]


def _retargeted(op: Op, goes: dict[Label, Label], onward: Label | None) -> Op:
    if not op.jumps:
        return op
    then, otherwise = goes[op.then] if op.then else onward, goes[op.otherwise] if op.otherwise else onward
    return op._replace(then=then, otherwise=None if op.code == JA else otherwise)


def _reachable(lines: Sequence[Line]) -> list[Line]:
    kept: list[Line] = []
    wanted: set[Label] = set()
    flowing = True
    for line in lines:
        if isinstance(line, Label):
            flowing = flowing or line in wanted
        if not flowing:
            continue
        kept.append(line)
        if isinstance(line, Op):
            wanted |= {label for label in (line.then, line.otherwise) if label}
            flowing = not line.ends
    return kept


def _straightened(lines: Sequence[Line]) -> list[Line]:
    kept: list[Line] = []
    here: set[Label] = set()
    for line in reversed(lines):
        if isinstance(line, Label):
            here.add(line)
        elif line.code == JA and line.then in here:
            continue
        else:
            here.clear()
        kept.append(line)
    return kept[::-1]


def _encoded(lines: Sequence[Line]) -> list[Instruction]:
    layout = _Layout()
    for line in reversed(lines):
        layout.put(line)
    return layout.instructions[::-1]


class _Layout:
    """The program from its end to its beginning: what lies ahead of a jump is final when the jump is put.

    A place is the number of instructions from it to the end.
    """

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self._places: dict[Label, int] = {}
        self._bridges: dict[Label, int] = {}
        """For a label the nearest unconditional jump to it."""

    def put(self, line: Line) -> None:
        if isinstance(line, Label):
            self._places[line] = len(self.instructions)
        elif line.code == JA and line.then:
            self._bridge(line.then)
        elif line.jumps:
            self._branch(line)
        else:
            self.instructions.append(Instruction(line.code, 0, 0, line.k))

    def _branch(self, op: Op) -> None:
        following = len(self.instructions)
        targets = [following if label is None else self._within_reach(label) for label in (op.then, op.otherwise)]
        jt, jf = (len(self.instructions) - target for target in targets)
        self.instructions.append(Instruction(op.code, jt, jf, op.k))

    def _within_reach(self, label: Label) -> int:
        """The label, or a bridge to it: one that is there, or else a new one."""
        for place in (self._places[label], self._bridges.get(label)):
            if place is not None and len(self.instructions) - place <= _FARTHEST:
                return place
        return self._bridge(label)

    def _bridge(self, label: Label) -> int:
        self.instructions.append(Instruction(JA, 0, 0, len(self.instructions) - self._places[label]))
        self._bridges[label] = len(self.instructions)
        return self._bridges[label]
