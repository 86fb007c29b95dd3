"""A program's scratch memory, packed: libpcap takes slots by turns and soon has all 16, but few are in use at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import count

from tapwright.filter.code import LD_SLOT, LDX_SLOT, ST, STX
from tapwright.filter.liveness import successors
from tapwright.filter.program import Instruction

_READS, _WRITES = (LD_SLOT, LDX_SLOT), (ST, STX)


def packed(program: Sequence[Instruction]) -> list[Instruction]:
    """The same program; slots that are never in use at the same time become one."""
    numbers = _numbers(_clashes(program))
    return [
        instruction._replace(k=numbers[instruction.k]) if instruction.code in _READS + _WRITES else instruction
        for instruction in program
    ]


def _clashes(program: Sequence[Instruction]) -> dict[int, set[int]]:
    """For each slot those that hold something still needed when it is written."""
    clashes: dict[int, set[int]] = defaultdict(set)
    needed: list[frozenset[int]] = [frozenset()] * (len(program) + 1)
    for index in range(len(program) - 1, -1, -1):
        instruction = program[index]
        after = frozenset[int]().union(*(needed[successor] for successor in successors(program, index)))
        needed[index] = after
        if instruction.code in _WRITES:
            needed[index] = after - {instruction.k}
            clashes[instruction.k] |= needed[index]
            for other in needed[index]:
                clashes[other].add(instruction.k)
        elif instruction.code in _READS:
            needed[index] = after | {instruction.k}
            clashes[instruction.k] |= set()
    return clashes


def _numbers(clashes: dict[int, set[int]]) -> dict[int, int]:
    """The lowest number for each that none of those it clashes with has."""
    numbers: dict[int, int] = {}
    for slot in sorted(clashes, key=lambda slot: len(clashes[slot]), reverse=True):
        taken = {numbers[other] for other in clashes[slot] if other in numbers}
        numbers[slot] = next(number for number in count() if number not in taken)
    return numbers
