"""Our interpreter and the kernel: they take the same programs, and give the same verdicts."""

import random
import struct
import time

from support.expressions import EXPRESSIONS
from support.inner import filters
from support.judges import compiled, kernel_verdicts
from support.random_programs import random_program
from support.wrap import wrapped_packets
from tapwright._core import Bpf
from tapwright.filter.relocate import relocate
from tapwright.filter.wrapping import Wrapping

ONE = Wrapping(("vxlan", "gre"), depth=1)
HEADERS = 0x8000_0000
"""From here on an offset counts from headers, of which a unix socket's packet has none."""
EDGES = (0, 1, 14, 15, 16, 31, 32, 255, 256, 0xFFFF, 0x7FFFFFFF)


def seed(rng: random.Random) -> bytes:
    text = rng.choice(EXPRESSIONS)
    match rng.randrange(3):
        case 0:
            return compiled(text, optimise=rng.random() < 0.5) or struct.pack("=HHI", 0x16, 0, 0)
        case 1:
            return relocate(filters(text), ONE).code
        case _:
            return random_program(rng, rng.randrange(3, 30))


def mutated(rng: random.Random, code: bytes) -> bytes:
    program = [list(found) for found in struct.iter_unpack("=HBBI", code)]
    for _ in range(rng.randrange(4)):
        instruction = rng.choice(program)
        match rng.randrange(5):
            case 0:
                instruction[0] = rng.choice([rng.choice(program)[0], rng.randrange(0xB2)])
            case 1 | 2:
                instruction[rng.randrange(1, 3)] = rng.randrange(min(len(program), 256))
            case 3:
                instruction[3] = rng.choice([*EDGES, rng.choice(program)[3]])
            case _:
                program.insert(rng.randrange(len(program)), list(rng.choice(program)))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def asks_headers(code: bytes) -> bool:
    """Whether offsets count from headers, or something beside the packet is asked for."""
    return any(op in (0x20, 0x28, 0x30, 0xB1) and k >= HEADERS for op, _, _, k in struct.iter_unpack("=HBBI", code))


def ours(code: bytes, packets: list[bytes]) -> list[int] | None:
    try:
        return [min(verdict, len(packet)) for verdict, packet in zip(Bpf(code).run_all(packets), packets, strict=True)]
    except ValueError:
        return None


def kernels(code: bytes, packets: list[bytes]) -> list[int] | None:
    try:
        return kernel_verdicts(code, packets)
    except OSError:
        return None


def test_the_kernel_says_the_same(fuzz_seconds: int) -> None:
    number = random.randrange(1 << 32)
    rng, until = random.Random(number), time.monotonic() + fuzz_seconds
    taken = refused = 0
    while time.monotonic() < until or not (taken and refused):
        packets = wrapped_packets(rng.randrange(1 << 16), 12)
        for _ in range(8):
            code = mutated(rng, seed(rng))
            if asks_headers(code):
                continue
            expected = kernels(code, packets)
            assert ours(code, packets) == expected, (number, code.hex())
            taken, refused = taken + (expected is not None), refused + (expected is None)
    print(f"{taken} programs taken, {refused} refused, by both")
