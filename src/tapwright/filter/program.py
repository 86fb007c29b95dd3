"""Classic BPF programs as values: checked once, then handed to the kernel as they are.

A program is a sequence of ``struct sock_filter`` (linux/filter.h): code, jump offsets for
true and false, and a constant.  Its return value is the number of bytes of the packet the
kernel copies, which is how a snap length works without copying more than is kept.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from tapwright.errors import FilterError

MAX_INSTRUCTIONS = 4096
"""BPF_MAXINSNS: no kernel takes a longer program."""
MAX_SNAPLEN = 262_144
"""Bytes; what libpcap lets a program return for "everything"."""

_FORMAT = struct.Struct("=HBBI")
_CLASS, _OPERATION = 0x07, 0xF0
_JUMP, _RETURN, _ALWAYS = 0x05, 0x06, 0x00
_RETURN_CONSTANT = 0x06


class Instruction(NamedTuple):
    """One ``struct sock_filter``."""

    code: int
    jt: int
    jf: int
    k: int

    @property
    def branches(self) -> bool:
        """Whether it is a conditional jump."""
        return self.code & _CLASS == _JUMP and self.code & _OPERATION != _ALWAYS

    @property
    def reach(self) -> int:
        """How many instructions it can jump over at most."""
        if self.code & _CLASS != _JUMP:
            return 0
        return max(self.jt, self.jf) if self.branches else self.k


@dataclass(frozen=True, slots=True)
class Program:
    """A program the kernel can take: not too long, no loops, no jump out of it, a return at its end."""

    code: bytes
    """Packed instructions, 8 bytes each, native byte order."""

    def __post_init__(self) -> None:
        """Refuse what the kernel would.  Raises FilterError."""
        size, rest = divmod(len(self.code), _FORMAT.size)
        if rest or not size:
            raise FilterError("this is not a BPF program: its length is no multiple of 8 bytes")
        if size > MAX_INSTRUCTIONS:
            raise FilterError(
                f"the filter needs {size:,} instructions, and the kernel takes {MAX_INSTRUCTIONS:,}",
                hint="filter on a network (`net 10.0.0.0/24`) or a range (`portrange 1-99`) instead of a long list",
            )
        _check(self.instructions)

    def __len__(self) -> int:
        """Number of instructions."""
        return len(self.code) // _FORMAT.size

    def __str__(self) -> str:
        """The disassembly, as ``tcpdump -d`` prints it."""
        from tapwright.filter.disassembly import disassemble

        return disassemble(self.instructions)

    @classmethod
    def of(cls, instructions: list[Instruction]) -> Program:
        """Pack instructions.  Raises FilterError when the kernel would refuse them."""
        return cls(pack(instructions))

    @classmethod
    def keep_all(cls, snaplen: int = MAX_SNAPLEN) -> Program:
        """Every packet, cut to `snaplen` bytes."""
        return cls.of([Instruction(_RETURN_CONSTANT, 0, 0, snaplen)])

    @classmethod
    def drop_all(cls) -> Program:
        """No packet."""
        return cls.of([Instruction(_RETURN_CONSTANT, 0, 0, 0)])

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """The instructions, unpacked."""
        return tuple(Instruction(*fields) for fields in _FORMAT.iter_unpack(self.code))

    def with_snaplen(self, snaplen: int) -> Program:
        """The same verdicts, but the kernel copies at most `snaplen` bytes of an accepted packet.

        Raises ValueError when `snaplen` is not positive, since that would drop everything.
        """
        if snaplen < 1:
            raise ValueError("a snap length is at least 1 byte")
        return Program.of([_capped(instruction, snaplen) for instruction in self.instructions])


def pack(instructions: Iterable[Instruction]) -> bytes:
    """Instructions as ``struct sock_filter``, 8 bytes each, native byte order; any number of them."""
    return b"".join(_FORMAT.pack(*instruction) for instruction in instructions)


def _capped(instruction: Instruction, snaplen: int) -> Instruction:
    if instruction.code != _RETURN_CONSTANT:
        return instruction
    return instruction._replace(k=min(instruction.k, snaplen))


def _check(instructions: tuple[Instruction, ...]) -> None:
    """Only jumps forward and inside, and a return at the end: so every run ends."""
    last = len(instructions) - 1
    for index, instruction in enumerate(instructions):
        # A jump backward has a negative offset, which is a huge one in this unsigned field.
        if instruction.reach > 0x7FFFFFFF:
            raise FilterError(
                "the filter loops, and no kernel takes a loop",
                hint="`protochain` follows a chain of headers of any length; use `proto` instead",
            )
        if index + 1 + instruction.reach > last and instruction.code & _CLASS == _JUMP:
            raise FilterError(f"instruction {index} jumps out of the program")
    if instructions[last].code & _CLASS != _RETURN:
        raise FilterError("the program does not end with a return")
