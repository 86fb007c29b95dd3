"""Attaching a filter to a socket, and whether this kernel has the memory to take one."""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from pathlib import Path

from tapwright.filter.program import MAX_INSTRUCTIONS

_ATTACH_FILTER = 26
"""SO_ATTACH_FILTER"""
_OPTMEM = Path("/proc/sys/net/core/optmem_max")
_BYTES = 40
"""Of a socket's option memory for one instruction, about: it becomes five of the kernel's own."""


def attach(to: socket.socket, program: bytes) -> None:
    """Attach packed instructions.  Raises OSError as the kernel refuses them."""
    held = ctypes.create_string_buffer(program, len(program))
    to.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("@HP", len(program) // 8, ctypes.addressof(held)))


def has_room(program: bytes) -> bool:
    """Whether a socket of this namespace has the memory for it; needs no privilege."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as tried:
        try:
            attach(tried, program)
        except OSError as error:
            return error.errno != errno.ENOMEM
    return True


def room() -> int:
    """How many instructions fit, about."""
    try:
        return min(MAX_INSTRUCTIONS, int(_OPTMEM.read_text()) // _BYTES)
    except (OSError, ValueError):
        return MAX_INSTRUCTIONS
