"""Send frames of one size at one rate: `flood.py DEVICE SIZE RATE SECONDS CPU`; prints how many went out.

SIZE is that of an Ethernet frame with its FCS (which no device of a virtual network carries); RATE
is in packets per second, 0 is as fast as it goes. About a million a second on one core.
"""

import ctypes
import os
import socket
import struct
import sys
import time

_BURST = 64
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


def flood(device: str, size: int, rate: float, seconds: float) -> int:
    """Send; the number of packets that went out."""
    data = ctypes.create_string_buffer(frame(size), size - 4)
    vector = _Vector(ctypes.addressof(data), size - 4)
    messages = (_Message * _BURST)(*(_Message(vectors=ctypes.pointer(vector), vector_count=1) for _ in range(_BURST)))
    send = ctypes.CDLL(None).sendmmsg
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.setsockopt(263, _QDISC_BYPASS, 1)
        out.bind((device, 0))
        start, sent = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - start) < seconds:
            due = int(elapsed * rate) - sent if rate else _BURST
            if due > 0:
                sent += max(0, send(out.fileno(), messages, min(due, _BURST), 0))
    return sent


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[5])})
    print(flood(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])), flush=True)
