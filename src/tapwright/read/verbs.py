"""The offline verbs: each starts a `Job`, and imports its report while the native thread is at work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from tapwright import _core
from tapwright.read.job import Job
from tapwright.read.request import Part, Request, Unwrap

if TYPE_CHECKING:  # filters are compiled only where one is given
    from tapwright.read.programs import Programs
    from tapwright.read.report import Decapped, Filtered, Info, Sliced, Split

RawIp = Literal["raw", "ethernet"]
"""What a packet without a link layer becomes: raw IP, or Ethernet with addresses of zeros."""
By = Literal["vm", "vni", "flow", "time", "size"]

MOST_FILES = 1000
"""Files `split_file` makes unless told otherwise."""


def decap(request: Request, unwrap: Unwrap | None = None, raw_ip: RawIp | None = None) -> Job[Decapped]:
    """Write the innermost frame of every packet; what is in no tunnel stays as it is.

    `raw_ip` None chooses what the output can hold: pcapng keeps raw IP, pcap gets Ethernet.
    """
    started = _core.decap(request, unwrap or Unwrap(), raw_ip)
    from tapwright.read.report import Decapped

    return Job(started, Decapped)


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
    started = _core.filter_file(request, unwrap or Unwrap(), inner, outer, list(ids))
    from tapwright.read.report import Filtered

    return Job(started, Filtered)


def slice_file(request: Request, part: Part) -> Job[Sliced]:
    """Write a part of a capture."""
    started = _core.slice_file(request, part)
    from tapwright.read.report import Sliced

    return Job(started, Sliced)


def split_file(
    request: Request, by: By, *, amount: int = 0, most: int = MOST_FILES, unwrap: Unwrap | None = None
) -> Job[Split]:
    """Write one file for each VM, tunnel, flow, stretch of time (nanoseconds) or size (bytes).

    ``{}`` in `request.output` stands for what each file is of.  What would need more than
    `most` files goes into the one called ``rest``; files of a size are as many as it takes.
    """
    started = _core.split_file(request, unwrap or Unwrap(), by, amount, most)
    from tapwright.read.report import Split

    return Job(started, Split)


def info(path: str, unwrap: Unwrap | None = None) -> Job[Info]:
    """Look at one file."""
    started = _core.info(path, unwrap or Unwrap())
    from tapwright.read.report import Info

    return Job(started, Info)
