"""The interpreter and the kernel take the same programs, and say the same of the same packet."""

import errno
import random
import struct

import pytest

from support.bpf import kernel_deliveries
from support.frames import cut_frames
from support.judges import pcap_verdicts
from support.random_programs import random_program
from tapwright._core import Bpf, run_bpf

PACKETS = cut_frames(4, 40)
CODES = [
    *(0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0C, 0x14, 0x15, 0x16, 0x1C, 0x1D, 0x20, 0x24, 0x25, 0x28),
    *(0x2C, 0x2D, 0x30, 0x34, 0x35, 0x3C, 0x3D, 0x40, 0x44, 0x45, 0x48, 0x4C, 0x4D, 0x50, 0x54, 0x5C, 0x60, 0x61),
    *(0x64, 0x6C, 0x74, 0x7C, 0x80, 0x81, 0x84, 0x87, 0x94, 0x9C, 0xA4, 0xAC, 0xB1),
]
ANCILLARY = [0xFFFFF000 + n for n in (0, 4, 40, 44, 48, 60)]
"""Not the device: asked for that of a packet that has none, the kernel ends with whatever A is; we refuse it."""
NUMBERS = [0, 1, 2, 3, 5, 12, 14, 15, 16, 23, 31, 32, 33, 64, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
FROM_A_HEADER = [0xFFF00000, 0xFFF00005, 0xFFF00020]


def hostile_program(rng: random.Random) -> bytes:
    """Anything: most are refused."""
    size = rng.randrange(1, 9)
    program = []
    for _ in range(size):
        code = rng.choice(CODES) if rng.random() < 0.98 else rng.randrange(0x100)
        special = code in (0x20, 0x28, 0x30) and rng.random() < 0.3
        k = rng.choice(ANCILLARY + FROM_A_HEADER if special else NUMBERS)
        if code in (0x02, 0x03, 0x60, 0x61, 0x05) and rng.random() < 0.9:
            k = rng.randrange(3)
        program.append((code, rng.choice([0, 0, 1, 2]), rng.choice([0, 0, 1, 2]), k))
    program.append(rng.choice([(0x16, 0, 0, 0), (0x16, 0, 0, 0), (0x06, 0, 0, 7)]))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def ours(code: bytes) -> list[int] | None:
    try:
        # A unix socket's packet came from no device and begins where its network header does.
        program = Bpf(code)
    except ValueError:
        return None
    return [min(program.run(packet, network=0), len(packet)) for packet in PACKETS]


def kernels(code: bytes) -> list[int] | None:
    try:
        return [size or 0 for size in kernel_deliveries(code, PACKETS)]
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return None


def test_hostile_programs():
    taken = 0
    for seed in range(6000):
        code = hostile_program(random.Random(seed))
        verdicts = ours(code)
        assert verdicts == kernels(code), code.hex()
        taken += verdicts is not None
    assert taken > 400


@pytest.mark.parametrize("size", [4, 12, 40])
def test_random_programs(size):
    for seed in range(150):
        code = random_program(random.Random(f"{size} {seed}"), size)
        assert ours(code) == kernels(code), seed


def test_long_programs_are_for_us_alone():
    code = struct.pack("=HBBI", 0x30, 0, 0, 0) * 5000 + struct.pack("=HBBI", 0x16, 0, 0, 0)
    assert kernels(code) is None
    assert run_bpf(code, [b"\x07abc", b"\x01", b""]) == [7, 1, 0]
    assert len(Bpf(code)) == 5001


def test_the_length_on_the_wire_is_told_beside_the_bytes():
    code = struct.pack("=HBBIHBBI", 0x80, 0, 0, 0, 0x16, 0, 0, 0)
    assert Bpf(code).run(b"abc", 1514) == 1514 == pcap_verdicts(code, [(b"abc", 1514)])[0]
    assert Bpf(code).run(b"abc") == 3


def test_what_a_kernel_knows_beside_the_bytes():
    load = lambda k: struct.pack("=HBBIHBBI", 0x28, 0, 0, 0xFFFFF000 + k, 0x16, 0, 0, 0)  # noqa: E731
    known = {"protocol": 0x0800, "kind": 4, "device": 3, "vlan": (0x88A8, 0x2005)}
    assert [Bpf(load(k)).run(b"", **known) for k in (0, 4, 8, 44, 48, 60)] == [0x0800, 4, 3, 0x2005, 1, 0x88A8]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (b"", "0 bytes"),
        (b"1234567", "7 bytes"),
        (struct.pack("=HBBI", 0x30, 0, 0, 0), "no return"),
        (struct.pack("=HBBIHBBI", 0x30, 0, 0, 0xFFFFF024, 6, 0, 0, 0), "known outside the kernel"),
        (struct.pack("=HBBIHBBI", 0x60, 0, 0, 1, 6, 0, 0, 0), r"instruction 0: M\[1\]"),
    ],
)
def test_a_refusal_says_where_and_why(code, words):
    with pytest.raises(ValueError, match=words):
        Bpf(code)
