"""Taps that a process holds open, from what the kernel says of its descriptors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OpenTap:
    """A descriptor of a tap or macvtap device."""

    fd: int
    name: str = ""
    """The tap's present name."""
    index: int = 0
    """ifindex of a macvtap, which the kernel names by number instead."""


def open_taps(pid: int) -> tuple[OpenTap, ...]:
    """The taps process `pid` holds, in order of descriptor; empty when it is gone or hidden from us."""
    try:
        descriptors = sorted(int(fd) for fd in os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
    except OSError:
        return ()
    return tuple(_taps(pid, descriptors))


def _taps(pid: int, descriptors: list[int]) -> Iterator[OpenTap]:
    for fd in descriptors:
        target = _read_link(f"/proc/{pid}/fd/{fd}")
        if target == "/dev/net/tun":
            if name := _interface(f"/proc/{pid}/fdinfo/{fd}"):
                yield OpenTap(fd, name)
        elif (number := target.removeprefix("/dev/tap")).isdecimal():
            yield OpenTap(fd, index=int(number))


def _read_link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115
    except OSError:
        return ""


def _interface(path: str) -> str:
    """The ``iff:`` line; a descriptor that was opened and never attached has none."""
    try:
        with open(path, errors="replace") as info:  # noqa: PTH123
            return next((line[4:].strip() for line in info if line.startswith("iff:")), "")
    except OSError:
        return ""
