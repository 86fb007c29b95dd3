"""Programs no compiler writes: every instruction, in any order, that a kernel takes."""

import random
import struct

LOADS = [(0x20, 60), (0x28, 60), (0x30, 60), (0x40, 30), (0x48, 30), (0x50, 30)]
ALU = [0x04, 0x14, 0x24, 0x44, 0x54, 0xA4, 0x0C, 0x1C, 0x2C, 0x4C, 0x5C, 0x6C, 0x7C, 0x3C, 0x9C, 0xAC]
SHIFTS = [0x64, 0x74]
JUMPS = [0x15, 0x25, 0x35, 0x45, 0x1D, 0x2D, 0x3D, 0x4D]
SLOTS = 4


def random_program(rng: random.Random, size: int) -> bytes:
    """Packed; about half of all packets pass."""
    program = [instruction for slot in range(SLOTS) for instruction in ((0x00, 0, 0, _number(rng)), (0x02, 0, 0, slot))]
    program += [_instruction(rng, left) for left in range(size, 0, -1)]
    program += [(0x54, 0, 0, 0xFF), (0x45, 0, 1, rng.choice([1, 3, 0x10])), (0x06, 0, 0, 0x40000), (0x06, 0, 0, 0)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _number(rng: random.Random) -> int:
    return rng.choice([0, 1, 4, 14, 20, 31, 32, 64, 0xFFFF, 0xFFFFFF, 0xFFFFFFF0, rng.randrange(1 << 32)])


def _instruction(rng: random.Random, left: int) -> tuple[int, int, int, int]:
    kind = rng.randrange(10)
    if kind < 3:
        code, reach = rng.choice(LOADS)
        return code, 0, 0, rng.randrange(reach)
    if kind == 3:
        return rng.choice([0xB1, 0xB1, 0x81, 0x01]), 0, 0, rng.randrange(40)
    if kind == 4:
        return rng.choice([0x07, 0x87]), 0, 0, 0
    if kind == 5:
        return rng.choice([0x02, 0x03, 0x60, 0x61]), 0, 0, rng.randrange(SLOTS)
    if kind == 6:
        return rng.choice(JUMPS), rng.randrange(min(left, 8)), rng.randrange(min(left, 8)), _number(rng)
    if kind == 7:
        return rng.choice(SHIFTS), 0, 0, rng.randrange(32)
    if kind == 8:
        return rng.choice(ALU), 0, 0, rng.randrange(1, 1 << 8)
    return rng.choice(
        [(0x80, 0, 0, 0), (0x00, 0, 0, _number(rng)), (0x84, 0, 0, 0), (0x05, 0, 0, rng.randrange(min(left, 4)))]
    )
