"""Two judges of a filter that know nothing of tapwright: the kernel, and libpcap in user space."""

import ctypes
import socket
import struct

SO_ATTACH_FILTER = 26
_pcap = ctypes.CDLL("libpcap.so.0.8")


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.c_void_p))


class _Header(ctypes.Structure):
    _fields_ = (
        ("seconds", ctypes.c_long),
        ("micros", ctypes.c_long),
        ("captured", ctypes.c_uint),
        ("length", ctypes.c_uint),
    )


_pcap.pcap_open_dead.restype = ctypes.c_void_p
_pcap.pcap_compile.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint32]
_pcap.pcap_offline_filter.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p]
_pcap.pcap_close.argtypes = [ctypes.c_void_p]
_pcap.pcap_freecode.argtypes = [ctypes.c_void_p]


def libpcap_verdicts(text: str, frames: list[bytes], *, optimise: bool = True) -> list[bool]:
    """What libpcap's own interpreter says of its own program."""
    handle, program = _pcap.pcap_open_dead(1, 262144), _Program()
    assert _pcap.pcap_compile(handle, ctypes.byref(program), text.encode(), optimise, 0xFFFFFFFF) == 0
    headers = (_Header(0, 0, len(frame), len(frame)) for frame in frames)
    found = [
        bool(_pcap.pcap_offline_filter(ctypes.byref(program), ctypes.byref(h), f))
        for h, f in zip(headers, frames, strict=True)
    ]
    _pcap.pcap_freecode(ctypes.byref(program))
    _pcap.pcap_close(handle)
    return found


def attach(sock: socket.socket, code: bytes) -> None:
    """SO_ATTACH_FILTER on any socket."""
    memory = ctypes.create_string_buffer(code)
    sock.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(memory))
    )


def kernel_deliveries(code: bytes, frames: list[bytes]) -> list[int | None]:
    """How many bytes of each frame the kernel delivers through the program; None when it drops the frame.

    A pair of unix datagram sockets runs the program on what is sent, without a privilege.
    """
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with near, far:
        attach(far, code)
        far.setblocking(False)
        return [_deliver(near, far, frame) for frame in frames]


def _deliver(near: socket.socket, far: socket.socket, frame: bytes) -> int | None:
    near.send(frame)
    try:
        data = far.recv(65536)
    except BlockingIOError:
        return None
    assert frame.startswith(data)
    return len(data)
