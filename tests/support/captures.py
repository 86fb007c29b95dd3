"""Capture files from scratch, in either byte order, and a reader that shares no code with the product."""

import gzip
import struct
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Packet:
    """One packet as a file has it."""

    data: bytes
    time: int = 1_795_426_215_000_000_000
    wire: int = 0
    link: int = 1
    interface: int = 0
    flags: int = 0

    @property
    def length(self) -> int:
        return max(self.wire, len(self.data))


@dataclass(frozen=True)
class Pcap:
    """A pcap file; `nano` and `order` ('<' or '>') as one likes."""

    packets: Sequence[Packet]
    order: str = "<"
    nano: bool = False
    extended: bool = False
    snaplen: int = 262_144

    def __bytes__(self) -> bytes:
        magic = 0xA1B2CD34 if self.extended else 0xA1B23C4D if self.nano else 0xA1B2C3D4
        link = self.packets[0].link if self.packets else 1
        head = struct.pack(self.order + "IHHiIII", magic, 2, 4, 0, 0, self.snaplen, link)
        return head + b"".join(map(self._record, self.packets))

    def _record(self, packet: Packet) -> bytes:
        seconds, rest = divmod(packet.time, 1_000_000_000)
        fraction = rest if self.nano and not self.extended else rest // 1000
        head = struct.pack(self.order + "IIII", seconds, fraction, len(packet.data), packet.length)
        return head + (bytes(8) if self.extended else b"") + packet.data


@dataclass
class Pcapng:
    """A pcapng file being built, block by block."""

    order: str = "<"
    blocks: list[bytes] = field(default_factory=list)

    def __bytes__(self) -> bytes:
        return b"".join(self.blocks)

    def block(self, kind: int, body: bytes) -> "Pcapng":
        body += bytes(-len(body) % 4)
        length = len(body) + 12
        self.blocks.append(struct.pack(self.order + "II", kind, length) + body + struct.pack(self.order + "I", length))
        return self

    def options(self, *options: tuple[int, bytes]) -> bytes:
        made = b"".join(struct.pack(self.order + "HH", code, len(v)) + v + bytes(-len(v) % 4) for code, v in options)
        return made + bytes(4) if made else b""

    def section(self, *options: tuple[int, bytes]) -> "Pcapng":
        return self.block(0x0A0D0D0A, struct.pack(self.order + "IHHq", 0x1A2B3C4D, 1, 0, -1) + self.options(*options))

    def interface(self, link: int = 1, *options: tuple[int, bytes], snaplen: int = 0) -> "Pcapng":
        return self.block(1, struct.pack(self.order + "HHI", link, 0, snaplen) + self.options(*options))

    def packet(self, packet: Packet, *options: tuple[int, bytes], units: int | None = None) -> "Pcapng":
        """An Enhanced Packet Block; `units` is the time in the interface's own units (default: microseconds)."""
        at = packet.time // 1000 if units is None else units
        head = (packet.interface, at >> 32, at & 0xFFFFFFFF, len(packet.data), packet.length)
        data = packet.data + bytes(-len(packet.data) % 4)
        return self.block(6, struct.pack(self.order + "IIIII", *head) + data + self.options(*options))


def every_block(order: str) -> Pcapng:
    """A file with a block of each sort, two sections, and times of four resolutions."""
    number = lambda size, value: struct.pack(order + size, value)  # noqa: E731
    made = Pcapng(order).section((2, b"craft"), (3, b"Linux"), (4, b"by hand"), (1, b"a comment"))
    made.interface(
        1, (2, b"eth0"), (3, b"the first"), (11, b"\0tcp"), (8, number("Q", 10**9)), (9, b"\x09"), snaplen=96
    )
    made.interface(101, (2, b"tun0"), (9, b"\x94"))
    made.block(4, struct.pack(order + "HH4s", 1, 9, bytes([10, 0, 0, 5])) + b"db-3\0\0\0\0" + bytes(4))
    made.block(10, struct.pack(order + "II", 0x544C534B, 6) + b"SECRET\0\0")
    made.packet(Packet(b"\xff" * 60, wire=70), (2, number("I", 1)), (1, b"hey"), (4, number("Q", 7)), units=5)
    made.packet(Packet(bytes.fromhex("4500001400000000400b00000a0000010a000002"), interface=1), units=3 << 19)
    made.block(3, struct.pack(order + "I", 61) + b"\xfe" * 61)
    made.block(2, struct.pack(order + "HHIIII", 0, 3, 0, 9, 60, 60) + b"\xfd" * 60)
    made.block(
        5,
        struct.pack(order + "III", 0, 0, 11) + made.options((4, number("Q", 99)), (5, number("Q", 2)), (1, b"adds up")),
    )
    made.block(0x0BAD, struct.pack(order + "I", 32473) + b"any")
    made.block(0x40000BAD, struct.pack(order + "I", 32473) + b"stay")
    made.block(0x80000001, b"unknown")
    made.section()
    made.interface(113, (2, b"any"), (14, number("q", 1000)))
    return made.packet(Packet(struct.pack("!HHHQH", 0, 1, 6, 0, 0x0806) + bytes(28)), units=4_000_000)


@dataclass(frozen=True)
class Read:
    """What the independent reader found of a packet."""

    link: int
    time: int
    wire: int
    data: bytes
    interface: str = ""
    flags: int = 0


def read(path: Path | str) -> list[Read]:
    """Every packet of a file in this machine's byte order, also compressed."""
    data = plain(Path(path))
    if data[:4] == b"\n\r\r\n":
        return list(_pcapng(data))
    return list(_pcap(data))


def plain(path: Path) -> bytes:
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    for tool, magic in (("zstd", b"\x28\xb5\x2f\xfd"), ("lz4", b"\x04\x22\x4d\x18")):
        if data.startswith(magic):
            return subprocess.run([tool, "-dc"], input=data, capture_output=True, check=True).stdout
    return data


def _pcap(data: bytes) -> Iterator[Read]:
    magic, *_, link = struct.unpack_from("=IHHiIII", data)
    unit, at = (1 if magic == 0xA1B23C4D else 1000), 24
    while at < len(data):
        seconds, fraction, captured, wire = struct.unpack_from("=IIII", data, at)
        yield Read(link, seconds * 10**9 + fraction * unit, wire, data[at + 16 : at + 16 + captured])
        at += 16 + captured


def _pcapng(data: bytes) -> Iterator[Read]:
    at, interfaces = 0, []
    while at < len(data):
        kind, length = struct.unpack_from("=II", data, at)
        body = data[at + 8 : at + length - 4]
        if kind == 1:
            link = struct.unpack_from("=H", body)[0]
            found = dict(_options(body[8:]))
            assert found[9] == b"\x09", "we write nanoseconds"
            interfaces.append((link, found.get(2, b"").decode()))
        elif kind == 6:
            number, high, low, captured, wire = struct.unpack_from("=IIIII", body)
            found = dict(_options(body[20 + captured + -captured % 4 :]))
            flags = struct.unpack("=I", found[2])[0] if 2 in found else 0
            link, name = interfaces[number]
            yield Read(link, high << 32 | low, wire, body[20 : 20 + captured], name, flags)
        at += length


def _options(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        code, length = struct.unpack_from("=HH", data, at)
        if code == 0:
            return
        yield code, data[at + 4 : at + 4 + length]
        at += 4 + length + -length % 4


def vxlan(frames: Iterable[bytes], vni: int = 5001, port: int = 4789) -> Iterator[bytes]:
    """Each frame in VXLAN, UDP, IPv4 and Ethernet."""
    for frame in frames:
        inside = struct.pack("!BxxxI", 8, vni << 8) + frame
        datagram = struct.pack("!HHHH", 50000, port, len(inside) + 8, 0) + inside
        ends = bytes([172, 16, 0, 1, 172, 16, 0, 2])
        head = struct.pack("!BBHHHBBH", 0x45, 0, len(datagram) + 20, 1, 0, 64, 17, 0)
        yield bytes.fromhex("020000000002020000000001") + b"\x08\x00" + head + ends + datagram


def tcp_frames(count: int, size: int = 200) -> list[bytes]:
    """Ethernet frames of several TCP flows."""
    made = []
    for number in range(count):
        payload = bytes([number & 255]) * size
        tcp = struct.pack(
            "!HHIIBBHHH", 40000 + number % 7, 443 if number % 3 else 5432, number, 0, 0x50, 0x18, 1000, 0, 0
        )
        head = struct.pack("!BBHHHBBH", 0x45, 0, 40 + size, number & 0xFFFF, 0, 64, 6, 0)
        ends = bytes([10, 0, 0, 5 + number % 2, 10, 0, 0, 9])
        made.append(bytes.fromhex("525400000009525400000005") + b"\x08\x00" + head + ends + tcp + payload)
    return made
