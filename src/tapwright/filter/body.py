"""A program for a frame that begins at byte 0, rewritten for one that begins at X.

X holds the frame's first byte (the base) on entry, and `ld [k]` becomes `ld [x + k]`.  The
program has uses of its own for X, so the one register must be three things by turns:

    BASE     where the frame begins
    VALUE    what the program believes X to be
    INDEX    VALUE + base, for the program's own `ld [x + k]`

The latter two are computed where the program sets X, as far as they are needed
(`liveness`); what X holds is followed from instruction to instruction, and what it does
not hold is fetched from scratch memory when it is needed.  Where two ways meet, X holds
what it holds on both.

The verdicts are those of libpcap's own interpreter on the frame alone.  The kernel differs
from it in two things, and the first would read outside the inner frame: an index below
zero (`ip[ip[8] - 70]`) and a shift by 32 or more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Flag

from tapwright.errors import FilterError
from tapwright.filter.code import (
    ADD_X,
    AND,
    JA,
    JGE,
    JGT,
    LD_IMMEDIATE,
    LD_LENGTH,
    LD_SLOT,
    LDX_IMMEDIATE,
    LDX_SLOT,
    LSH,
    RET,
    RET_A,
    ST,
    STX,
    SUB_X,
    TAX,
    TXA,
    Code,
    Label,
    Line,
)
from tapwright.filter.liveness import Needs, live, reads, successors
from tapwright.filter.program import Instruction
from tapwright.filter.scratch import Slot, allotted
from tapwright.filter.slots import packed

LONGEST = 0xFFFFFF
"""Bytes; no packet reaches this far, so an offset beyond it fails whatever is added to it."""
NOWHERE = 0x40000000
"""An offset outside every packet, which stays so when a base and a constant are added."""
_ANCILLARY = 0xFFFFF000
"""SKF_AD_OFF: what the kernel knows about the packet, not bytes of it; the same for inner and outer."""
_LDX_LENGTH, _LDX_HEADER = 0x81, 0xB1
_LSH_X, _RSH_X = 0x6C, 0x7C
_LD_BYTE = 0x30
_MODE, _ABSOLUTE, _INDIRECT = 0xE0, 0x20, 0x40
_LD, _LDX, _JMP = 0, 1, 5


class Held(Flag):
    """What X equals; more than one where they are the same."""

    UNKNOWN = 0
    BASE = 1
    VALUE = 2
    INDEX = 4


_SLOT = {Held.BASE: Slot.BASE, Held.VALUE: Slot.VALUE, Held.INDEX: Slot.INDEX}


def rewritten(program: Sequence[Instruction], *, moved: bool = True, snaplen: int | None = None) -> list[Line]:
    """The lines that give, for the frame at X, the verdict `program` gives for the frame alone.

    With `moved` false the frame begins at byte 0 and X may hold anything.  An accepting
    verdict counts bytes of the whole packet; with `snaplen` it is that many bytes of the
    frame and everything in front of it.  Raises FilterError when scratch memory does not suffice.
    """
    program = packed(_initialised(program))
    return allotted(_Body(program, moved=moved, snaplen=snaplen).lines(), program)


def _initialised(program: Sequence[Instruction]) -> list[Instruction]:
    """A and X set to 0, as they are where every program starts, if it relies on that."""
    entry = live([Instruction(JA, 0, 0, 0), *program])[0]
    zeros = [Instruction(LD_IMMEDIATE, 0, 0, 0)] if entry & Needs.A else []
    zeros += [Instruction(LDX_IMMEDIATE, 0, 0, 0)] if entry & Needs.X else []
    return [*zeros, *program]


def merged(before: Held | None, now: Held) -> Held:
    """What X holds where two ways meet; None is a way nobody has come yet."""
    return now if before is None else before & now


class _Body:
    """One rewriting under way; `_held` is what X holds at the line being written."""

    def __init__(self, program: Sequence[Instruction], *, moved: bool, snaplen: int | None) -> None:
        self._program = program
        self._moved = moved
        self._snaplen = snaplen
        self._live = live(program)
        self._labels = [Label(str(index)) for index in range(len(program))]
        self._arriving: dict[int, Held] = {0: Held.BASE}
        self._held = Held.BASE
        self._code = Code()

    def lines(self) -> list[Line]:
        self._code.op(STX, Slot.BASE)
        for index, instruction in enumerate(self._program):
            if index not in self._arriving:
                continue
            self._held = self._arriving[index]
            self._code.place(self._labels[index])
            self._write(index, instruction)
            for successor in successors(self._program, index):
                self._arriving[successor] = merged(self._arriving.get(successor), self._held)
        return self._code.lines

    def _write(self, index: int, instruction: Instruction) -> None:
        code, kind, mode = instruction.code, instruction.code & 7, instruction.code & _MODE
        if kind == _LD and mode in (_ABSOLUTE, _INDIRECT):
            self._load(instruction)
        elif kind == _LDX or code == TAX:
            self._set_x(instruction, self._live[index])
        elif kind == _JMP:
            self._jump(index, instruction)
        else:
            _WRITERS.get(code, _Body._same)(self, instruction)

    def _load(self, instruction: Instruction) -> None:
        code, k = instruction.code, instruction.k
        indirect = code & _MODE == _INDIRECT
        if k > LONGEST and (indirect or k < _ANCILLARY):
            self._code.ret(0)
        elif indirect:
            self._need(Held.INDEX)
            self._code.op(code, k)
        elif k > LONGEST or not self._moved:
            self._code.op(code, k)
        else:
            self._need(Held.BASE)
            self._code.op(code & ~_MODE | _INDIRECT, k)

    def _same(self, instruction: Instruction) -> None:
        """What need not change, once X is what the program believes it to be."""
        if reads(instruction) & Needs.VALUE:
            self._need(Held.VALUE)
        self._code.op(instruction.code, instruction.k)

    def _length(self, _instruction: Instruction) -> None:
        self._code.op(LD_LENGTH)
        if self._moved:
            self._need(Held.BASE)
            self._code.op(SUB_X)

    def _copy_x(self, _instruction: Instruction) -> None:
        if Held.VALUE in self._held:
            self._code.op(TXA)
        else:
            self._code.op(LD_SLOT, Slot.VALUE)

    def _shift(self, instruction: Instruction) -> None:
        """By X, which may be 32 or more: then nothing is left."""
        self._need(Held.VALUE)
        code, gone, end = self._code, Label("gone"), Label("shifted")
        code.op(ST, Slot.TEMPORARY)
        code.op(TXA)
        code.jump(JGE, 32, gone)
        code.op(LD_SLOT, Slot.TEMPORARY)
        code.op(instruction.code)
        code.ja(end)
        code.place(gone)
        code.op(LD_IMMEDIATE, 0)
        code.place(end)

    def _jump(self, index: int, instruction: Instruction) -> None:
        if reads(instruction) & Needs.VALUE:
            self._need(Held.VALUE)
        targets = (self._labels[successor] for successor in successors(self._program, index))
        self._code.jump(instruction.code, instruction.k, *targets)

    def _return(self, instruction: Instruction) -> None:
        if self._snaplen is None or (instruction.code == RET and not instruction.k):
            self._code.op(instruction.code, instruction.k)
        elif instruction.code == RET_A:
            raise FilterError("a program that computes how much to keep cannot be given a snap length")
        elif not self._moved:
            self._code.ret(min(instruction.k, self._snaplen))
        else:
            self._need(Held.BASE)
            self._code.op(LD_IMMEDIATE, min(instruction.k, self._snaplen))
            self._code.op(ADD_X)
            self._code.op(RET_A)

    def _set_x(self, instruction: Instruction, after: Needs) -> None:
        """X = something: as VALUE, as INDEX or as both, whichever is needed after it."""
        if instruction.code == TAX:
            self._define(after, restore=Slot.VALUE, bounded=False)
        elif self._keeps_its_form(instruction, after):
            self._code.op(instruction.code, instruction.k)
            self._code.op(STX, Slot.VALUE)
            self._held = Held.VALUE
            if instruction.code == _LDX_HEADER:
                self._code.op(STX, Slot.INDEX)
                self._held |= Held.INDEX
        else:
            if after & Needs.A:
                self._code.op(ST, Slot.TEMPORARY)
            self._read(instruction)
            constant = instruction.code == LDX_IMMEDIATE and instruction.k <= LONGEST
            self._define(after, restore=Slot.TEMPORARY, bounded=constant or instruction.code == _LDX_HEADER)

    def _keeps_its_form(self, instruction: Instruction, after: Needs) -> bool:
        """Whether the instruction, which leaves A alone, is right as it stands."""
        if instruction.code == _LDX_HEADER:
            return not self._moved and instruction.k <= LONGEST
        return instruction.code in (LDX_IMMEDIATE, LDX_SLOT) and not after & Needs.INDEX

    def _read(self, instruction: Instruction) -> None:
        """A = what the program loads into X."""
        code, k = instruction.code, instruction.k
        if code == _LDX_LENGTH:
            self._length(instruction)
        elif code == _LDX_HEADER:
            self._load(Instruction(_LD_BYTE, 0, 0, min(k, NOWHERE)))
            self._code.op(AND, 0x0F)
            self._code.op(LSH, 2)
        else:
            self._code.op(LD_SLOT if code == LDX_SLOT else LD_IMMEDIATE, k)

    def _define(self, after: Needs, *, restore: Slot, bounded: bool) -> None:
        """X = A, as far as it is needed; A is fetched again from `restore` if that is needed too."""
        self._code.op(ST, Slot.VALUE)
        self._held_for(after, bounded=bounded)
        self._code.op(TAX)
        self._held = Held.INDEX if after & Needs.INDEX else Held.VALUE
        if after & Needs.A and (after & Needs.INDEX or restore is Slot.TEMPORARY):
            self._code.op(LD_SLOT, restore)

    def _held_for(self, after: Needs, *, bounded: bool) -> None:
        """Make an INDEX of the VALUE in A, if one is needed."""
        if not after & Needs.INDEX:
            return
        if not bounded:
            self._guard()
        if self._moved:
            self._need(Held.BASE)
            self._code.op(ADD_X)
        self._code.op(ST, Slot.INDEX)

    def _guard(self) -> None:
        """An index no packet has becomes one that stays so: added to the base it must not wrap around."""
        far, near = Label("far"), Label("near")
        self._code.jump(JGT, LONGEST, far, near)
        self._code.place(far)
        self._code.op(LD_IMMEDIATE, NOWHERE)
        self._code.place(near)

    def _need(self, wanted: Held) -> None:
        if wanted not in self._held:
            self._code.op(LDX_SLOT, _SLOT[wanted])
            self._held = wanted


_WRITERS: dict[int, Callable[[_Body, Instruction], None]] = {
    LD_LENGTH: _Body._length,
    TXA: _Body._copy_x,
    _LSH_X: _Body._shift,
    _RSH_X: _Body._shift,
    RET: _Body._return,
    RET_A: _Body._return,
}
"""Instructions that change; the others are written as they are."""
