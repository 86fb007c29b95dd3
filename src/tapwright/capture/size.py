"""How small a file can be and still hold a packet.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tapwright.capture.request import Limits, Output, Section, Source
from tapwright.errors import UsageError
from tapwright.units import format_size

_STATISTICS = 512
"""Bytes that the engine keeps free for what it says of each interface at the end of a file (`trailer_room`)."""
_BLOCK = 64
"""More than the fixed fields of any block."""
_OPTION = 12
"""More than an option needs beside its text: code, length, padding."""
_RECORD = 16
"""More than a name needs beside what any text does: its address."""
_PACKET = 1_518
"""An ordinary Ethernet frame with a VLAN tag."""


def smallest(sources: Sequence[Source], section: Section, snaplen: int) -> int:
    """Bytes that hold the descriptions, one packet and the statistics; never too few for these, and little more."""
    words = (section.hardware, section.os, section.application, section.comment)
    names = sum(_RECORD + _text(name) for _, name in section.names)
    packet = _BLOCK + min(snaplen, _PACKET)
    return 2 * _BLOCK + sum(map(_text, words)) + names + sum(map(_interface, sources)) + packet


def check(sources: Sequence[Source], section: Section, output: Output, limits: Limits) -> None:
    """Refuse a limit of size that leaves no room for a packet.  Raises UsageError with one that does."""
    for size, option in ((limits.bytes, "--max-size"), (output.ring_bytes, "--ring")):
        least = smallest(sources, section, limits.snaplen)
        if 0 < size < least:
            kib = -(-least // 1024)
            raise UsageError(
                f"a file of {format_size(size)} has no room for a packet: its own descriptions and statistics "
                f"and one packet take {format_size(least)}",
                f"the smallest that makes sense here is {option} {kib}K" + ("xFILES" if option == "--ring" else ""),
            )


def _interface(source: Source) -> int:
    return _BLOCK + sum(map(_text, _words(source))) + len(source.addresses) * 2 * _OPTION + _STATISTICS


def _words(source: Source) -> Iterator[str]:
    yield from (source.name, source.description, source.filter, source.mac)


def _text(text: str) -> int:
    return _OPTION + len(text.encode("utf-8", "replace"))
