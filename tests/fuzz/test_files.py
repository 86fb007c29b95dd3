"""Files with wounds: whatever is wrong with one, a verb ends, says what it found and keeps what it had."""

import random
import time
from pathlib import Path

import pytest

from support.captures import Packet, Pcap, every_block, tcp_frames, vxlan
from tapwright import read
from tapwright.errors import TapwrightError
from tapwright.read.programs import programs

FRAMES = list(vxlan(tcp_frames(30), 7))
WHOLE = [
    *(bytes(every_block(order)) for order in "<>"),
    *(bytes(Pcap([Packet(frame) for frame in FRAMES], order, nano=nano)) for order in "<>" for nano in (False, True)),
]


def wounded(rng: random.Random) -> bytes:
    data = bytearray(rng.choice(WHOLE))
    for _ in range(rng.randrange(8)):
        at = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", bytes(4), b"\x00\x00\x00\x80", b"\x0c\0\0\0"])
            case 2:
                del data[at : at + rng.randrange(40)]
            case _:
                data[at:at] = data[at : at + rng.randrange(40)]
    return bytes(data[: rng.randrange(len(data))] if rng.random() < 0.3 else data)


def test_files_with_wounds(tmp_path: Path, fuzz_seconds: int) -> None:
    seed = random.randrange(1 << 32)
    rng, until = random.Random(seed), time.monotonic() + fuzz_seconds
    source, folder = tmp_path / "in", tmp_path / "parts"
    folder.mkdir()
    expression, asked = programs("tcp port 443"), read.Request((str(source),), str(tmp_path / "out.pcapng"), force=True)
    parts = read.Request((str(source),), f"{folder}/{{}}.pcapng", force=True)
    rounds = 0
    while time.monotonic() < until or not rounds:
        rounds += 1
        source.write_bytes(data := wounded(rng))
        jobs = (
            lambda: read.info(str(source)),
            lambda: read.decap(asked),
            lambda: read.filter_file(asked, expression),
            lambda: read.slice_file(asked, read.Part(snaplen=40)),
            lambda: read.split_file(parts, rng.choice(["vm", "vni", "flow"]), most=20),
        )
        for job in jobs:
            try:
                job().result()
            except TapwrightError as error:
                assert error.message, (seed, data.hex())  # noqa: PT017
            except Exception as error:
                pytest.fail(f"{error!r} with seed {seed} on {data.hex()}")
    assert not list(tmp_path.glob(".*"))
