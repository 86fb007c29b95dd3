"""Send frames of one size at one rate: `flood.py DEVICE SIZE RATE SECONDS CPU [EVERY]`; prints how many went out.

SIZE is that of an Ethernet frame with its FCS (which no device of a virtual network carries); RATE
is in packets per second, 0 is as fast as it goes. About a million a second on one core. With EVERY,
one frame in so many goes to port 5002, the others to 5001.
"""

import ctypes
import os
import socket
import struct
import sys
import time

_BURST = 64
_NAP = 0.0002
"""Seconds to the next packet from which on we sleep: a slow sender must not take a core from those it is for."""
_QDISC_BYPASS = 20  # PACKET_QDISC_BYPASS


class _Vector(ctypes.Structure):
    """struct iovec"""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct mmsghdr"""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("padding", ctypes.c_int),
        ("sent", ctypes.c_uint),
    )


def frame(size: int) -> bytes:
    """A UDP datagram from 10.0.0.1:5000 to 10.0.0.2:5001 in a frame of `size` bytes, its FCS counted."""
    udp = struct.pack("!HHHH", 5000, 5001, size - 38, 0)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, size - 18, 1, 0, 64, 17, 0, bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)))
    return (bytes.fromhex("0200000000020200000000010800") + ip + udp).ljust(size - 4, b"\x55")


def to_port(data: bytes, port: int) -> bytes:
    """The same frame for another port."""
    return data[:36] + struct.pack("!H", port) + data[38:]


def burst(size: int, every: int) -> ctypes.Array[_Message]:
    """Messages to send `_BURST` of from any of the first `every`, so that every burst is one call."""
    plain = frame(size)
    vectors = []
    for data in (plain, to_port(plain, 5002)):
        memory = ctypes.create_string_buffer(data, size - 4)
        vectors.append(_Vector(ctypes.addressof(memory), size - 4))
        vectors[-1].memory = memory  # keeps the bytes alive
    chosen = (vectors[every > 0 and n % every == 0] for n in range(every + _BURST))
    return (_Message * (every + _BURST))(*(_Message(vectors=ctypes.pointer(v), vector_count=1) for v in chosen))


def flood(device: str, size: int, rate: float, seconds: float, every: int = 0) -> int:
    """Send; the number of packets that went out."""
    messages = burst(size, every)
    places = [ctypes.byref(messages, n * ctypes.sizeof(_Message)) for n in range(every or 1)]
    send = ctypes.CDLL(None).sendmmsg
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.setsockopt(263, _QDISC_BYPASS, 1)
        out.bind((device, 0))
        start, sent = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - start) < seconds:
            due = int(elapsed * rate) - sent if rate else _BURST
            if due > 0:
                sent += max(0, send(out.fileno(), places[sent % len(places)], min(due, _BURST), 0))
            elif (wait := (sent + 1) / rate - elapsed) > _NAP:
                time.sleep(wait)
    return sent


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[5])})
    every = int(sys.argv[6]) if len(sys.argv) > 6 else 0
    print(flood(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]), every), flush=True)
