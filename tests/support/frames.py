"""Frames of many kinds, from a seed."""

import random
import struct

MACS = [bytes.fromhex(f"0200000000{n:02x}") for n in range(1, 5)] + [b"\xff" * 6, bytes.fromhex("01005e000005")]
HOSTS4 = [bytes((10, 0, 0, n)) for n in range(1, 5)] + [bytes((192, 168, 7, 9)), bytes((224, 0, 0, 5))]
HOSTS6 = [
    bytes.fromhex(h)
    for h in ("fe80" + "0" * 27 + "1", "fe80" + "0" * 27 + "2", "20010db8" + "0" * 24, "ff02" + "0" * 27 + "1")
]
PORTS = [22, 53, 80, 443, 5432, 8080, 40000]


def whole_frames(seed: int, count: int) -> list[bytes]:
    """`count` frames: ARP, IPv4, IPv6, tagged or not, TCP, UDP, ICMP, fragments, noise."""
    rng = random.Random(seed)
    return [_frame(rng) for _ in range(count)]


def cut_frames(seed: int, count: int) -> list[bytes]:
    """Frames of which a tail is missing."""
    rng = random.Random(seed)
    return [frame[: rng.randrange(14, len(frame) + 1)] for frame in whole_frames(seed, count)]


def _frame(rng: random.Random) -> bytes:
    kind, payload = rng.choice([_arp, _ip4, _ip4, _ip4, _ip6, _ip6, _noise])(rng)
    tags = b"".join(
        struct.pack("!HH", 0x8100, rng.choice([10, 20, 0x6000 + 10])) for _ in range(rng.choice([0, 0, 0, 1, 2]))
    )
    return rng.choice(MACS) + rng.choice(MACS[:4]) + tags + struct.pack("!H", kind) + payload


def _arp(rng: random.Random) -> tuple[int, bytes]:
    ends = rng.choice(MACS) + rng.choice(HOSTS4) + rng.choice(MACS) + rng.choice(HOSTS4)
    return 0x0806, struct.pack("!HHBBH", 1, 0x0800, 6, 4, rng.choice([1, 2])) + ends


def _ip4(rng: random.Random) -> tuple[int, bytes]:
    protocol, payload = rng.choice([_tcp, _tcp, _udp, _icmp])(rng)
    options = rng.randbytes(rng.choice([0, 0, 4]))
    fragment = rng.choice([0, 0, 0, 0x2000, 185])
    length = 20 + len(options) + len(payload)
    head = struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, 0, length, 7, fragment, 64, protocol, 0)
    return 0x0800, head + rng.choice(HOSTS4) + rng.choice(HOSTS4) + options + payload


def _ip6(rng: random.Random) -> tuple[int, bytes]:
    protocol, payload = rng.choice([_tcp, _udp, _icmp])(rng)
    head = struct.pack("!IHBB", 6 << 28, len(payload), 58 if protocol == 1 else protocol, 64)
    return 0x86DD, head + rng.choice(HOSTS6) + rng.choice(HOSTS6) + payload


def _tcp(rng: random.Random) -> tuple[int, bytes]:
    data = rng.choice([b"", b"GET / HTTP/1.1\r\n", rng.randbytes(40)])
    head = struct.pack(
        "!HHIIBBHHH", rng.choice(PORTS), rng.choice(PORTS), 1, 2, 0x50, rng.choice([2, 18, 16, 24]), 9, 0, 0
    )
    return 6, head + data


def _udp(rng: random.Random) -> tuple[int, bytes]:
    data = rng.randbytes(rng.choice([0, 12, 300]))
    return 17, struct.pack("!HHHH", rng.choice(PORTS), rng.choice(PORTS), 8 + len(data), 0) + data


def _icmp(rng: random.Random) -> tuple[int, bytes]:
    return 1, struct.pack("!BBHHH", rng.choice([0, 3, 8]), rng.choice([0, 1]), 0, 5, 6) + rng.randbytes(20)


def _noise(rng: random.Random) -> tuple[int, bytes]:
    return rng.choice([0x88CC, 0x8847, 0x0026, 0x9000]), rng.randbytes(rng.randrange(0, 60))
