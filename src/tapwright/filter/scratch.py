"""Scratch memory for a rewritten program, beside what the program itself uses."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from tapwright.errors import FilterError
from tapwright.filter.code import LD_SLOT, LDX_SLOT, ST, STX, Label, Line, Op
from tapwright.filter.program import Instruction

SLOTS = 16
"""BPF_MEMWORDS."""


class Slot(IntEnum):
    """A slot of our own, numbered beyond the real ones until it is known which of them are read at all."""

    BASE = SLOTS
    VALUE = SLOTS + 1
    INDEX = SLOTS + 2
    TEMPORARY = SLOTS + 3


def allotted(lines: Sequence[Line], program: Sequence[Instruction]) -> list[Line]:
    """Give our slots numbers that `program` leaves free; a store nobody reads is left out.  Raises FilterError."""
    taken = {instruction.k for instruction in program if instruction.code in (LD_SLOT, LDX_SLOT, ST, STX)}
    free = [slot for slot in range(SLOTS) if slot not in taken]
    read = sorted({line.k for line in lines if isinstance(line, Op) and line.code in (LD_SLOT, LDX_SLOT)} - taken)
    if len(read) > len(free):
        raise FilterError(
            "the filter leaves no scratch memory to find the inner frame with",
            hint="use fewer computed offsets, like tcp[tcp[12]]",
        )
    numbers = dict(zip(read, free, strict=False))
    return [line if isinstance(line, Label) else _numbered(line, numbers) for line in lines if not _idle(line, numbers)]


def _idle(line: Line, numbers: dict[int, int]) -> bool:
    return isinstance(line, Op) and line.code in (ST, STX) and line.k >= SLOTS and line.k not in numbers


def _numbered(op: Op, numbers: dict[int, int]) -> Op:
    return op._replace(k=numbers[op.k]) if op.code in (LD_SLOT, LDX_SLOT, ST, STX) and op.k in numbers else op
