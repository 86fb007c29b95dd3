"""What a person asks of a capture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tapwright.capture.policy import DEFAULT, Policy
from tapwright.capture.request import DEFAULT_SNAPLEN
from tapwright.plan.points import PointKind


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asks of a capture, in their own words.  0 means no limit."""

    vms: Sequence[str]
    """Names, ids, ``VM/nic`` or shell patterns."""
    filter: str = ""
    snaplen: int = DEFAULT_SNAPLEN
    packets: int = 0
    seconds: float = 0.0
    bytes: int = 0
    ring: tuple[int, int] | None = None
    """(bytes a file, files kept)"""
    buffer: int = 0
    """Ring memory in bytes; 0 takes the configured one."""
    overwrite: bool = False
    point: PointKind | None = None
    """Read only at points of this kind."""
    vni: int | None = None
    """At an uplink: the overlay's VNI or key, where it has several or does not tell."""
    outer_filter: str = ""
    """At an uplink: what the whole packet must match too."""
    keep_outer: bool = False
    """At an uplink: write the packets wrapped."""
    filter_in_engine: bool = False
    """At an uplink: a filter too long for the kernel may be finished by the engine."""
    governor: Policy | None = DEFAULT
    """What it may take of the host before it steps down; None is no limit."""
