"""Blocks of a pcapng file, read by somebody who knows nothing of tapwright's own reader."""

import struct
from collections.abc import Iterator
from pathlib import Path

SECTION, INTERFACE, STATISTICS, PACKET = 0x0A0D0D0A, 1, 5, 6
_FIXED = {SECTION: 16, INTERFACE: 8, STATISTICS: 12}


def blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, body) of every complete block."""
    at = 0
    while at + 12 <= len(data):
        kind, length = struct.unpack_from("=II", data, at)
        if at + length > len(data):
            return
        assert struct.unpack_from("=I", data, at + length - 4)[0] == length
        yield kind, data[at + 8 : at + length - 4]
        at += length


def options(kind: int, body: bytes) -> dict[int, bytes]:
    """code -> value; of one that comes twice, the last."""
    at, found = _FIXED.get(kind, 0), {}
    if kind == PACKET:
        at = 20 + (struct.unpack_from("=I", body, 12)[0] + 3) // 4 * 4
    while at + 4 <= len(body):
        code, length = struct.unpack_from("=HH", body, at)
        if code == 0:
            break
        found[code] = body[at + 4 : at + 4 + length]
        at += 4 + (length + 3) // 4 * 4
    return found


def drop_counts(path: Path) -> list[int]:
    """epb_dropcount of every packet; 0 where there is none."""
    found = [options(kind, body) for kind, body in blocks(path.read_bytes()) if kind == PACKET]
    return [int.from_bytes(each.get(4, b""), "little") for each in found]


def statistics(path: Path) -> list[dict[int, bytes]]:
    """The options of every statistics block."""
    return [options(kind, body) for kind, body in blocks(path.read_bytes()) if kind == STATISTICS]
