"""What came of it: the summaries of the offline verbs, as the core counts them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Input:
    """One file that was read."""

    path: str
    format: str
    """``pcapng``, ``pcap (nanoseconds) gzip``..."""
    packets: int
    damage: str | None
    """What is wrong with it and at which byte; None when it was read to its end."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What every verb that writes tells."""

    inputs: tuple[Input, ...]
    packets: int
    """Read."""
    written: int
    bytes: int
    """Written, before compression."""
    left_out: tuple[tuple[int, int], ...]
    """(type number, count) of pcapng blocks that could not be taken over."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """Packets with a layer that could not be taken off and so stays, for one reason."""

    layer: str
    reason: str
    """``cut`` (by the capture's snap length), ``short``, ``length``, ``version``, ``flags``, ``protocol``,
    ``fragment``, ``encrypted``, ``too-many`` or ``depth``."""
    packets: int
    first: int
    """Number of the first of them, from 1."""
    offset: int
    """Where in that packet the layer begins."""
    detail: str
    """The reason with that packet's numbers."""


@dataclass(frozen=True, slots=True)
class Decapped:
    """What unwrapping found."""

    totals: Totals
    unwrapped: int
    """Packets that had something taken off."""
    layers: tuple[tuple[str, int], ...]
    """(encapsulation, how often it was taken off)"""
    stuck: tuple[Stuck, ...]
    wrappings: int | None
    """Interfaces of distinct wrappings; None when there were too many to tell apart."""


@dataclass(frozen=True, slots=True)
class Filtered:
    """What matched."""

    totals: Totals
    no_program: tuple[tuple[int, int], ...]
    """(link type, packets) of link types the expression cannot be compiled for; they do not match."""


@dataclass(frozen=True, slots=True)
class Sliced:
    """What was kept."""

    totals: Totals


@dataclass(frozen=True, slots=True)
class Split:
    """What was written where."""

    totals: Totals
    parts: tuple[tuple[str, int, int], ...]
    """(path, packets, bytes before compression)"""


@dataclass(frozen=True, slots=True)
class Amount:
    """Packets of a file or an interface."""

    packets: int
    captured: int
    """Bytes kept."""
    wire: int
    """Bytes on the wire."""
    cut: int
    """Packets that were not kept whole."""
    first: int | None
    """Nanoseconds since the epoch; None without a packet that has a time."""
    last: int | None

    @property
    def seconds(self) -> float:
        """Between the first packet and the last."""
        return (self.last - self.first) / 1e9 if self.first is not None and self.last is not None else 0.0


@dataclass(frozen=True, slots=True)
class Section:
    """Who captured."""

    hardware: str
    os: str
    application: str
    comment: str


@dataclass(frozen=True, slots=True)
class Interface:
    """Where packets were captured."""

    name: str
    description: str
    link: int
    snaplen: int
    filter: str
    amount: Amount
    dropped: int
    """Packets lost, as the packets themselves tell (epb_dropcount)."""
    statistics: tuple[tuple[str, int], ...]
    """(name, packets) of the last statistics block."""
    comment: str
    """The statistics in words: the ledger, in our own captures."""


@dataclass(frozen=True, slots=True)
class Info:
    """What is in a file, and what is missing from it."""

    input: Input
    size: int | None
    """Of the file; None for a pipe."""
    amount: Amount
    backwards: int
    """Packets earlier than the one before them."""
    timeless: int
    """Packets without a time."""
    sections: tuple[Section, ...]
    interfaces: tuple[Interface, ...]
    wrappings: tuple[tuple[str, int], ...]
    """(readable name, packets), the most frequent first."""
    more_wrappings: int
    """Packets of wrappings that were too many to tell apart."""
    stuck: tuple[Stuck, ...]
    blocks: tuple[tuple[int, int], ...]
    """(type number, count) of other pcapng blocks."""
