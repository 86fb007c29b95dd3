"""Programs judged on many packets at once, by those who know nothing of tapwright."""

import ctypes
import errno
import socket
import struct
from collections.abc import Sequence
from functools import cache

from support.bpf import attach

ETHERNET_LINK, RAW_LINK = 1, 12
_pcap = ctypes.CDLL("libpcap.so.0.8")
_HEADER = struct.Struct("@llII")


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.c_void_p))


_pcap.pcap_open_dead.restype = ctypes.c_void_p
_pcap.pcap_geterr.restype = ctypes.c_char_p
_pcap.pcap_geterr.argtypes = [ctypes.c_void_p]
_pcap.pcap_compile.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint32]
_pcap.pcap_offline_filter.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]


@cache
def _handle(link: int) -> int:
    return _pcap.pcap_open_dead(link, 262144)


@cache
def compiled(text: str, link: int = ETHERNET_LINK, *, optimise: bool = True) -> bytes | None:
    """libpcap's program; None where the link type cannot match it, or where it sees a division by 0 beforehand."""
    program = _Program()
    if _pcap.pcap_compile(_handle(link), ctypes.byref(program), text.encode(), optimise, 0xFFFFFFFF):
        error = _pcap.pcap_geterr(_handle(link)).decode()
        assert link == RAW_LINK or "rejects all" in error or "division by zero" in error, (text, error)
        return None
    code = ctypes.string_at(program.instructions, program.length * 8)
    _pcap.pcap_freecode(ctypes.byref(program))
    return code


def pcap_verdicts(code: bytes, packets: Sequence[tuple[bytes, int]]) -> list[int]:
    """libpcap's interpreter, on (captured bytes, length on the wire)."""
    memory = ctypes.create_string_buffer(code)
    program = _Program(len(code) // 8, ctypes.cast(memory, ctypes.c_void_p))
    judge, at = _pcap.pcap_offline_filter, ctypes.byref(program)
    return [judge(at, _HEADER.pack(0, 0, len(data), length), data) for data, length in packets]


def kernel_verdicts(code: bytes, packets: Sequence[bytes]) -> list[int] | None:
    """The kernel, by how much of each packet a unix datagram socket delivers through the program.

    None where the program is too large for `net.core.optmem_max`, which is small on older kernels.
    """
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with near, far:
        try:
            attach(far, code)
        except OSError as error:
            if error.errno != errno.ENOMEM:
                raise
            return None
        send, receive, found = near.send, far.recv, []
        for packet in packets:
            send(packet)
            try:
                found.append(len(receive(1 << 18, socket.MSG_DONTWAIT)))
            except BlockingIOError:
                found.append(0)
    return found
