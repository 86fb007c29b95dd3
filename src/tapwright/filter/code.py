"""Classic BPF while it is being written: instructions whose jumps go to labels.

The names of the methods are the mnemonics of ``tcpdump -d``.  Loads from the packet are
meant relative to X, because that is how the headers of a wrapped frame are walked.
"""

from __future__ import annotations

from typing import NamedTuple

LD_WORD, LD_HALF, LD_BYTE = 0x40, 0x48, 0x50
"""[x + k]"""
LD_WORD_AT, LD_HALF_AT, LD_BYTE_AT = 0x20, 0x28, 0x30
"""[k]"""
LD_IMMEDIATE, LD_SLOT, LD_LENGTH = 0x00, 0x60, 0x80
LDX_IMMEDIATE, LDX_SLOT = 0x01, 0x61
ST, STX = 0x02, 0x03
ADD, SUB, AND, LSH, RSH = 0x04, 0x14, 0x54, 0x64, 0x74
ADD_X, SUB_X = 0x0C, 0x1C
JA, JEQ, JGT, JGE, JSET = 0x05, 0x15, 0x25, 0x35, 0x45
JGE_X = 0x3D
RET, RET_A = 0x06, 0x16
TAX, TXA = 0x07, 0x87
_SET_X = (LDX_IMMEDIATE, LDX_SLOT, 0x81, 0xB1, TAX)


class Label:
    """A place to jump to, told apart by identity."""

    __slots__ = ("name",)

    def __init__(self, name: str = "") -> None:
        self.name = name


class Op(NamedTuple):
    """One instruction; a jump of None goes to the next one."""

    code: int
    k: int = 0
    then: Label | None = None
    otherwise: Label | None = None

    @property
    def jumps(self) -> bool:
        """Whether it is a jump, conditional or not."""
        return self.code & 0x07 == 0x05

    @property
    def ends(self) -> bool:
        """Whether control never reaches what stands behind it."""
        return self.code == JA or self.code & 0x07 == 0x06 or bool(self.then and self.otherwise)


Line = Op | Label


class Code:
    """Lines in the order they were written, and what X is known to be where the next one is written.

    The kernel runs a load at an offset it knows several times as fast as one relative to X,
    so where X is known that is what is written.  X is known behind `set_x`, and where all
    ways to a label agree.
    """

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.x: int | None = None
        self._goes_on = True
        self._x_at: dict[Label, int | None] = {}

    def place(self, label: Label) -> None:
        """`label` is here; all jumps to it have been written."""
        if self._goes_on:
            self._meet(label)
        self.x, self._goes_on = self._x_at.get(label), True
        self.lines.append(label)

    def op(self, code: int, k: int = 0) -> None:
        """Any instruction that does not jump."""
        self._write(Op(code, k))
        if code in _SET_X:
            self.x = None

    def jump(self, code: int, k: int, then: Label | None = None, otherwise: Label | None = None) -> None:
        """Any conditional jump."""
        self._write(Op(code, k, then, otherwise))

    def ja(self, label: Label) -> None:
        """Go to `label`."""
        self._write(Op(JA, 0, label))

    def _write(self, op: Op) -> None:
        self.lines.append(op)
        for label in (op.then, op.otherwise):
            if label:
                self._meet(label)
        self._goes_on = not op.ends

    def _meet(self, label: Label) -> None:
        agreed = self._x_at.get(label, self.x) == self.x
        self._x_at[label] = self.x if agreed else None

    def jeq(self, k: int, then: Label | None = None, otherwise: Label | None = None) -> None:
        """Whether A is `k`."""
        self.jump(JEQ, k, then, otherwise)

    def jset(self, k: int, then: Label | None = None, otherwise: Label | None = None) -> None:
        """Whether A has any bit of `k`."""
        self.jump(JSET, k, then, otherwise)

    def jge(self, k: int, then: Label | None = None, otherwise: Label | None = None) -> None:
        """Whether A is `k` or more."""
        self.jump(JGE, k, then, otherwise)

    def ld(self, k: int) -> None:
        """A = the word at X + `k`."""
        self._load(LD_WORD, LD_WORD_AT, k)

    def ldh(self, k: int) -> None:
        """A = the half word at X + `k`."""
        self._load(LD_HALF, LD_HALF_AT, k)

    def ldb(self, k: int) -> None:
        """A = the byte at X + `k`."""
        self._load(LD_BYTE, LD_BYTE_AT, k)

    def _load(self, relative: int, absolute: int, k: int) -> None:
        if self.x is None:
            self.op(relative, k)
        else:
            self.op(absolute, self.x + k)

    def recall(self, slot: int) -> None:
        """A = M[`slot`]."""
        self.op(LD_SLOT, slot)

    def st(self, slot: int) -> None:
        """M[`slot`] = A."""
        self.op(ST, slot)

    def add_to_x(self) -> None:
        """X += A; A is the new X too."""
        self.op(ADD_X)
        self.op(TAX)

    def set_x(self, value: int) -> None:
        """X = `value`."""
        self.op(LDX_IMMEDIATE, value)
        self.x = value

    def advance(self, count: int) -> None:
        """X += `count`; A is lost."""
        if self.x is not None:
            self.set_x(self.x + count)
        else:
            self.op(TXA)
            self.op(ADD, count)
            self.op(TAX)

    def ret(self, k: int) -> None:
        """End with verdict `k`."""
        self.op(RET, k)
