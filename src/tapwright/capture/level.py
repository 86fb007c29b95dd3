"""What a level of the governor means for the sources of a capture: a filter for each.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tapwright.capture.governor import Level
from tapwright.capture.request import Source
from tapwright.filter.lowered import cut, sampled
from tapwright.filter.program import Program

_WRAPPING = 80
"""Bytes that are kept in front of an inner frame: outer Ethernet with a tag, IPv6, UDP and VXLAN or Geneve."""


def filters(sources: Sequence[Source], level: Level, snaplen: int) -> list[tuple[bytes, int]]:
    """(program, one packet in so many) for each source; a program of b"" leaves the source as it is."""
    return [_filter(source, level, snaplen) for source in sources]


def _filter(source: Source, level: Level, snaplen: int) -> tuple[bytes, int]:
    if source.role == "strange":  # counted and not kept
        return b"", 1
    program = Program(source.program) if source.program else Program.keep_all(snaplen)
    if level.most and not source.judge:  # which looks into all of a packet
        program = cut(program, level.most + (_WRAPPING if source.unwrap else 0))
    chosen = sampled(program, level.one_in)
    return (chosen.code, level.one_in) if chosen else (program.code, 1)
