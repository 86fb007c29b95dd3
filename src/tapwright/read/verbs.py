"""The offline verbs: each starts a `Job`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from tapwright import _core
from tapwright.read.job import Job
from tapwright.read.report import Decapped, Filtered, Info, Sliced, Split
from tapwright.read.request import Part, Request, Unwrap

if TYPE_CHECKING:  # filters are compiled only where one is given
    from tapwright.read.programs import Programs

RawIp = Literal["raw", "ethernet"]
"""What a packet without a link layer becomes: raw IP, or Ethernet with addresses of zeros."""
By = Literal["vm", "vni", "flow", "time", "size"]

MOST_FILES = 1000
"""Files `split_file` makes unless told otherwise."""


def decap(request: Request, unwrap: Unwrap | None = None, raw_ip: RawIp | None = None) -> Job[Decapped]:
    """Write the innermost frame of every packet; what is in no tunnel stays as it is.

    `raw_ip` None chooses what the output can hold: pcapng keeps raw IP, pcap gets Ethernet.
    """
    return Job(_core.decap(request, unwrap or Unwrap(), raw_ip), Decapped)


def filter_file(
    request: Request,
    inner: Programs | None = None,
    *,
    outer: Programs | None = None,
    ids: Sequence[int] = (),
    unwrap: Unwrap | None = None,
) -> Job[Filtered]:
    """Write the packets, wrapped as they are, whose innermost frame `inner` matches.

    `outer` must match the packet as it was captured; `ids` are VNIs, keys or sessions of
    which the innermost tunnel that has one must have one.
    """
    return Job(_core.filter_file(request, unwrap or Unwrap(), inner, outer, list(ids)), Filtered)


def slice_file(request: Request, part: Part) -> Job[Sliced]:
    """Write a part of a capture."""
    return Job(_core.slice_file(request, part), Sliced)


def split_file(
    request: Request, by: By, *, amount: int = 0, most: int = MOST_FILES, unwrap: Unwrap | None = None
) -> Job[Split]:
    """Write one file for each VM, tunnel, flow, stretch of time (nanoseconds) or size (bytes).

    ``{}`` in `request.output` stands for what each file is of.  What would need more than
    `most` files goes into the one called ``rest``; files of a size are as many as it takes.
    """
    return Job(_core.split_file(request, unwrap or Unwrap(), by, amount, most), Split)


def info(path: str, unwrap: Unwrap | None = None) -> Job[Info]:
    """Look at one file."""
    return Job(_core.info(path, unwrap or Unwrap()), Info)
