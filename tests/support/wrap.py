"""Frames wrapped in every encapsulation, from a seed; written from the standards, without a look at the product."""

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass

from support.frames import HOSTS4, HOSTS6, MACS, whole_frames

ETHERNET, IP = "ethernet", "ip"
UDP_PORTS = {"vxlan": (4789, 8472), "geneve": (6081,), "vxlan-gpe": (4790,), "gtp-u": (2152,)}


@dataclass(frozen=True)
class Inner:
    """What is to be wrapped, and the number its wrapping shall have."""

    kind: str
    data: bytes
    number: int

    @property
    def ethertype(self) -> int:
        return 0x6558 if self.kind == ETHERNET else 0x0800 if self.data[0] >> 4 == 4 else 0x86DD


Wrapper = Callable[[random.Random, Inner], tuple[str, bytes]]
"""Gives the frame, and what it begins with: ETHERNET or IP."""


def ethernet(rng: random.Random, ethertype: int, payload: bytes) -> bytes:
    tags = b"".join(
        struct.pack("!HH", rng.choice([0x8100, 0x88A8, 0x9100]), rng.randrange(1 << 16))
        for _ in range(rng.choice([0, 0, 0, 0, 1, 1, 2, 3]))
    )
    return rng.choice(MACS) + rng.choice(MACS[:4]) + tags + struct.pack("!H", ethertype) + payload


def ip(rng: random.Random, protocol: int, payload: bytes) -> bytes:
    if rng.random() < 0.7:
        options = rng.randbytes(4 * rng.choice([0, 0, 0, 1, 10]))
        fragment = rng.choice([0, 0, 0, 0, 0, 0, 0x4000, 0x2000, 0x2005, 185])
        size = min(20 + len(options) + len(payload), 0xFFFF)
        head = struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, 0, size, 7, fragment, 64, protocol, 0)
        return head + rng.choice(HOSTS4) + rng.choice(HOSTS4) + options + payload
    for _ in range(rng.choice([0, 0, 0, 0, 1, 1, 2, 2, 3])):
        protocol, payload = _extension(rng, protocol, payload)
    head = struct.pack("!IHBB", 6 << 28, min(len(payload), 0xFFFF), protocol, 64)
    return head + rng.choice(HOSTS6) + rng.choice(HOSTS6) + payload


def _extension(rng: random.Random, following: int, payload: bytes) -> tuple[int, bytes]:
    kind = rng.choice([0, 43, 60, 135, 44, 51])
    if kind == 44:
        return kind, struct.pack("!BBHI", following, 0, rng.choice([0, 0, 1, 8]), 9) + payload
    words = rng.choice([0, 0, 1, 2])
    size = words * 8 + 8 if kind != 51 else words * 4 + 8
    return kind, (struct.pack("!BB", following, words) + bytes(size - 2)) + payload


def _outermost(rng: random.Random, protocol: int, payload: bytes) -> tuple[str, bytes]:
    packet = ip(rng, protocol, payload)
    if rng.random() < 0.15:
        return IP, packet
    return ETHERNET, ethernet(rng, 0x0800 if packet[0] >> 4 == 4 else 0x86DD, packet)


def _udp(rng: random.Random, name: str, payload: bytes) -> tuple[str, bytes]:
    head = struct.pack("!HHHH", rng.randrange(1 << 16), rng.choice(UDP_PORTS[name]), (8 + len(payload)) & 0xFFFF, 0)
    return _outermost(rng, 17, head + payload)


def _gre(rng: random.Random, protocol: int, payload: bytes, number: int | None, flags: int = 0) -> tuple[str, bytes]:
    flags |= rng.choice([0, 0x8000]) | rng.choice([0, 0, 0x4000, 1, 0x0100]) * (rng.random() < 0.1)
    head = struct.pack("!HH", flags | (0x2000 if number is not None else 0), protocol)
    head += bytes(4) if flags & 0x8000 else b""
    head += struct.pack("!I", number) if number is not None else b""
    head += struct.pack("!I", rng.randrange(1 << 32)) if flags & 0x1000 else b""
    return _outermost(rng, 47, head + payload)


def vxlan(rng: random.Random, inner: Inner) -> tuple[str, bytes]:
    flags = rng.choice([0x08, 0x08, 0x08, 0x88, 0x00])
    return _udp(rng, "vxlan", struct.pack("!B3xI", flags, inner.number % (1 << 24) << 8) + inner.data)


def geneve(rng: random.Random, inner: Inner) -> tuple[str, bytes]:
    words = rng.choice([0, 0, 1, 2, 8, 63])
    version = rng.choice([0] * 9 + [0x40])
    head = struct.pack("!BBHI", version | words, 0, inner.ethertype, inner.number % (1 << 24) << 8)
    return _udp(rng, "geneve", head + rng.randbytes(words * 4) + inner.data)


def vxlan_gpe(rng: random.Random, inner: Inner) -> tuple[str, bytes]:
    following = {0x6558: 3, 0x0800: 1, 0x86DD: 2}[inner.ethertype]
    flags = rng.choice([0x0C, 0x0C, 0x04, 0x1C]) if inner.kind == IP else rng.choice([0x0C, 0x08, 0x00])
    number = inner.number % (1 << 24) << 8
    return _udp(rng, "vxlan-gpe", struct.pack("!BHBI", flags, 0, following if flags & 4 else 7, number) + inner.data)


def gtpu(rng: random.Random, inner: Inner) -> tuple[str, bytes]:
    flags = rng.choice([0x30, 0x30, 0x32, 0x34, 0x36, 0x20])
    kind = rng.choice([255] * 9 + [1])
    extensions = b""
    following = 0
    if flags & 4:
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            words = rng.choice([1, 1, 2, 0]) if rng.random() < 0.2 else 1
            extensions = bytes([words]) + bytes(max(0, words * 4 - 2)) + bytes([following]) + extensions
            following = 0x85
    optional = struct.pack("!HBB", 1, 0, following) if flags & 7 else b""
    size = (len(optional) + len(extensions) + len(inner.data)) & 0xFFFF
    return _udp(
        rng, "gtp-u", struct.pack("!BBHI", flags, kind, size, inner.number) + optional + extensions + inner.data
    )


def gre(rng: random.Random, inner: Inner) -> tuple[str, bytes]:
    number = rng.choice([None, inner.number, inner.number % (1 << 24) << 8 | 5])
    return _gre(rng, inner.ethertype, inner.data, number, rng.choice([0, 0x1000]))


def erspan(rng: random.Random, inner: Inner) -> tuple[str, bytes]:
    if rng.random() < 0.3:
        return _gre(rng, 0x88BE, inner.data, None)
    version = rng.choice([1] * 9 + [2])
    head = struct.pack("!HHI", version << 12 | 7, 0xA400 | inner.number % 1024, rng.randrange(1 << 20))
    return _gre(rng, 0x88BE, head + inner.data, None, 0x1000)


def erspan_3(rng: random.Random, inner: Inner) -> tuple[str, bytes]:
    subheader = rng.choice([0, 1])
    frame_type = (0 if inner.kind == ETHERNET else 2) if rng.random() < 0.9 else 7
    last = frame_type << 10 | rng.randrange(64) << 4 | rng.randrange(8) << 1 | subheader
    head = struct.pack("!HHIHH", 0x2000 | 7, 0xA400 | inner.number % 1024, rng.randrange(1 << 32), 9, last)
    return _gre(rng, 0x22EB, head + bytes(8 * subheader) + inner.data, None, 0x1000)


def ipip(rng: random.Random, inner: Inner) -> tuple[str, bytes]:
    return _outermost(rng, 4 if inner.data[0] >> 4 == 4 else 41, inner.data)


def mpls(rng: random.Random, inner: Inner) -> tuple[str, bytes]:
    labels = [rng.randrange(1 << 20) for _ in range(rng.choice([0, 0, 1, 2, 3, 4]))] + [inner.number % (1 << 20)]
    stack = b"".join(struct.pack("!I", label << 12 | 64) for label in labels[:-1])
    stack += struct.pack("!I", labels[-1] << 12 | 0x100 | 64)
    word = rng.choice([b"", bytes(4)]) if inner.kind == ETHERNET else b""
    if rng.random() < 0.2:
        return _gre(rng, 0x8847, stack + word + inner.data, None)
    return ETHERNET, ethernet(rng, rng.choice([0x8847, 0x8848]), stack + word + inner.data)


WRAPPERS: dict[str, tuple[Wrapper, tuple[str, ...]]] = {
    "vxlan": (vxlan, (ETHERNET,)),
    "geneve": (geneve, (ETHERNET, IP)),
    "gre": (gre, (ETHERNET, IP)),
    "erspan": (erspan, (ETHERNET,)),
    "erspan-3": (erspan_3, (ETHERNET, IP)),
    "vxlan-gpe": (vxlan_gpe, (ETHERNET, IP)),
    "gtp-u": (gtpu, (IP,)),
    "ipip": (ipip, (IP,)),
    "mpls": (mpls, (ETHERNET, IP)),
}
"""What each takes: Ethernet frames, IP packets or both."""


def wrapped_packets(seed: int, count: int, names: tuple[str, ...] = tuple(WRAPPERS)) -> list[bytes]:
    """`count` Ethernet frames: plain, wrapped once or more, some cut short, some with wrong bytes."""
    rng = random.Random(seed)
    return [_spoiled(rng, _packet(rng, frame, names)) for frame in whole_frames(seed, count)]


def wrapped(seed: int, frame: bytes, names: tuple[str, ...]) -> bytes:
    """`frame` in the wrappings `names`, the innermost first."""
    rng = random.Random(seed)
    kind = ETHERNET
    for name in names:
        kind, frame = _once(rng, name, kind, frame)
    return frame if kind == ETHERNET else ethernet(rng, Inner(IP, frame, 0).ethertype, frame)


def _packet(rng: random.Random, frame: bytes, names: tuple[str, ...]) -> bytes:
    kind = ETHERNET
    for _ in range(rng.choice([0, 1, 1, 1, 1, 1, 2, 2, 2, 3])):
        kind, frame = _once(rng, rng.choice(names), kind, frame)
    return frame if kind == ETHERNET else ethernet(rng, Inner(IP, frame, 0).ethertype, frame)


def _once(rng: random.Random, name: str, kind: str, frame: bytes) -> tuple[str, bytes]:
    """`frame` wrapped; turned into what the wrapping takes where it takes the other kind alone."""
    wrapper, takes = WRAPPERS[name]
    wanted = kind if kind in takes and rng.random() < 0.8 else rng.choice(takes)
    if kind == ETHERNET and wanted == IP:
        frame = frame[14:] if len(frame) > 14 and frame[12:14] in (b"\x08\x00", b"\x86\xdd") else ip(rng, 6, frame)
    elif kind == IP and wanted == ETHERNET:
        frame = ethernet(rng, Inner(IP, frame, 0).ethertype, frame)
    return wrapper(rng, Inner(wanted, frame, rng.choice([5, 100, 1280, 25600, rng.randrange(1 << 32)])))


def _spoiled(rng: random.Random, packet: bytes) -> bytes:
    chance = rng.random()
    if chance < 0.15:
        return packet[: rng.randrange(1, len(packet) + 1)]
    if chance < 0.25:
        spoiled = bytearray(packet)
        for _ in range(rng.choice([1, 1, 2, 5])):
            spoiled[rng.randrange(min(len(spoiled), 120))] = rng.randrange(256)
        return bytes(spoiled)
    if chance < 0.30:
        return packet + bytes(rng.choice([1, 4, 18]))
    return packet
