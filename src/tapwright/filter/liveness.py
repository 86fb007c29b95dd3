"""Which registers are still needed behind each instruction of a program."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Flag

from tapwright.filter.program import Instruction


class Needs(Flag):
    """What an instruction reads, or what is read later on some way to the end."""

    NOTHING = 0
    A = 1
    VALUE = 2
    """X as a number: an operand, or to be copied."""
    INDEX = 4
    """X as an offset into the packet."""
    X = VALUE | INDEX


_FROM_X = 0x08
_INDIRECT = 0x40
_LD, _LDX, _ST, _STX, _ALU, _JMP, _RET, _MISC = range(8)
_READS = {
    _LD: Needs.NOTHING,
    _LDX: Needs.NOTHING,
    _ST: Needs.A,
    _STX: Needs.VALUE,
    _ALU: Needs.A,
    _JMP: Needs.A,
    _RET: Needs.NOTHING,
}
_WRITES = {_LD: Needs.A, _LDX: Needs.X, _ALU: Needs.A}


def live(instructions: Sequence[Instruction]) -> list[Needs]:
    """For each instruction what is read behind it before it is written anew.

    All jumps go forward, so one look from the end is enough.
    """
    before = [Needs.NOTHING] * (len(instructions) + 1)
    after = [Needs.NOTHING] * len(instructions)
    for index in range(len(instructions) - 1, -1, -1):
        for successor in successors(instructions, index):
            after[index] |= before[successor]
        before[index] = (after[index] & ~_written(instructions[index])) | reads(instructions[index])
    return after


def successors(instructions: Sequence[Instruction], index: int) -> tuple[int, ...]:
    """Where control goes from the instruction at `index`."""
    instruction = instructions[index]
    if instruction.code & 7 == _RET:
        return ()
    if instruction.branches:
        return index + 1 + instruction.jt, index + 1 + instruction.jf
    return (index + 1 + instruction.reach,)


def reads(instruction: Instruction) -> Needs:
    """What an instruction reads."""
    code = instruction.code
    kind = code & 7
    if kind == _MISC:
        return Needs.VALUE if code & 0x80 else Needs.A
    if kind == _LD:
        return Needs.INDEX if code & 0xE0 == _INDIRECT else Needs.NOTHING
    if kind == _RET:
        return Needs.A if code & 0x18 == 0x10 else Needs.NOTHING
    if kind == _JMP and not instruction.branches:
        return Needs.NOTHING
    return _READS[kind] | (Needs.VALUE if kind in (_ALU, _JMP) and code & _FROM_X else Needs.NOTHING)


def _written(instruction: Instruction) -> Needs:
    if instruction.code & 7 == _MISC:
        return Needs.A if instruction.code & 0x80 else Needs.X
    return _WRITES.get(instruction.code & 7, Needs.NOTHING)
