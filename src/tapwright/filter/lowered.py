"""A filter that keeps less: of each packet, or only some of the packets.  Pure.

cut        its verdict is how many bytes the kernel copies, so a smaller one costs the host less
sampled    chance is asked before the filter, so that what is left out costs next to nothing
"""

from __future__ import annotations

from tapwright.filter.program import MAX_INSTRUCTIONS, Instruction, Program

_RANDOM = 0xFFFFF000 + 56
"""Where a load finds a random word: SKF_AD_OFF + SKF_AD_RANDOM of linux/filter.h."""
_LD_WORD_AT, _LD_IMMEDIATE, _ADD_X, _JGE, _RETURN, _RETURN_A = 0x20, 0x00, 0x0C, 0x35, 0x06, 0x16
_WORD = 1 << 32


def cut(program: Program, most: int) -> Program:
    """The same verdicts, but of an accepted packet the kernel copies at most `most` bytes.

    Where a program gives so many bytes of an inner frame and all that is in front of it, it is `most` of the frame.
    Raises ValueError for `most` below 1, and for a program that computes its verdict in another way.
    """
    if most < 1:
        raise ValueError("a packet of no bytes is a packet that is refused")
    given = program.instructions
    made = list(given)
    for index, instruction in enumerate(given):
        if instruction.code == _RETURN:
            made[index] = instruction._replace(k=min(instruction.k, most))
        elif instruction.code == _RETURN_A:
            at = _inner_length(given, index)
            made[at] = given[at]._replace(k=min(given[at].k, most))
    return Program.of(made)


def _inner_length(given: tuple[Instruction, ...], index: int) -> int:
    """Where the number of bytes stands that is returned behind the offset of an inner frame."""
    if index < 2 or given[index - 1].code != _ADD_X or given[index - 2].code != _LD_IMMEDIATE:
        raise ValueError("the filter computes how much it keeps")
    return index - 2


def sampled(program: Program, one_in: int) -> Program | None:
    """The same verdicts on one packet in `one_in`, by chance; the others are refused.

    None where the program is too long to have anything in front of it.  Raises ValueError for `one_in` below 1.
    """
    if one_in < 1:
        raise ValueError("one packet in less than one")
    if one_in == 1:
        return program
    chance = [
        Instruction(_LD_WORD_AT, 0, 0, _RANDOM),
        Instruction(_JGE, 0, 1, _WORD // one_in),
        Instruction(_RETURN, 0, 0, 0),
        Instruction(_LD_IMMEDIATE, 0, 0, 0),  # as every program may rely on
    ]
    if len(chance) + len(program) > MAX_INSTRUCTIONS:
        return None
    return Program.of([*chance, *program.instructions])
