"""What the native core is asked to do with files, as plain frozen data.

It reads these attributes by name.  Times are nanoseconds, sizes bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_DEPTH = 16
"""Wrappings that can be taken off one packet."""


@dataclass(frozen=True, slots=True)
class Request:
    """Files in, file out."""

    inputs: tuple[str, ...]
    """Paths; ``-`` is standard input.  Several are merged in order of time."""
    output: str
    """A path, whose suffix chooses pcap or pcapng and the compression; ``-`` is standard output."""
    force: bool = False
    """Replace an existing file."""
    owner: tuple[int, int] | None = None
    """uid and gid to give the output to."""
    application: str = ""
    """Who writes it, for the section header."""
    comment: str = ""
    """What was done, for the section header."""


@dataclass(frozen=True, slots=True)
class Unwrap:
    """How the innermost frame is found."""

    depth: int = 8
    """Most wrappings that are taken off one packet."""
    vxlan: tuple[int, ...] = (4789, 8472)
    """UDP ports."""
    vxlan_gpe: tuple[int, ...] = (4790,)
    geneve: tuple[int, ...] = (6081,)


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a capture; everything that is given must hold."""

    start: tuple[bool, int] | None = None
    """(counted from the first packet, not from the epoch; nanoseconds): packets from then on."""
    end: tuple[bool, int] | None = None
    """Packets before then."""
    range: tuple[int, int] | None = None
    """Numbers of packets, from 1, both included."""
    first: int = 0
    """So many packets and no more; 0 means all."""
    snaplen: int = 0
    """So many bytes of each; 0 means all."""
