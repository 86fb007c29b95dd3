"""The Python API's verbs: the same as the command line's, typed."""

from __future__ import annotations

import os
from collections.abc import Sequence

from tapwright import config as configuration
from tapwright.capture.policy import parse_policy
from tapwright.capture.request import DEFAULT_SNAPLEN
from tapwright.config import Config
from tapwright.control.capture import Capture
from tapwright.control.plan import Planned, plan
from tapwright.control.prepare import prepare, start
from tapwright.control.wish import Wish
from tapwright.errors import UsageError
from tapwright.find.topology import Topology
from tapwright.plan.points import PointKind


def open_capture(
    vms: Sequence[str],
    *,
    filter: str = "",  # noqa: A002 - the word everybody looks for
    path: str | os.PathLike[str] = "",
    fd: int = -1,
    snaplen: int = DEFAULT_SNAPLEN,
    packets: int = 0,
    seconds: float = 0.0,
    max_bytes: int = 0,
    ring: tuple[int, int] | None = None,
    buffer: int = 0,
    overwrite: bool = False,
    point: str = "",
    vni: int | None = None,
    outer_filter: str = "",
    keep_outer: bool = False,
    filter_in_engine: bool = False,
    governor: str = "",
    topology: Topology | None = None,
    config: Config | None = None,
) -> Capture:
    """Start to capture `vms` (names, ids, ``VM/nic``, patterns); use it as a context manager.

    With `path` the packets go to that pcapng file, with `fd` to that descriptor, with neither
    they are handed out as columns by `Capture.batches`.  `ring` is (bytes a file, files kept);
    limits of 0 are none; `buffer` is the kernel ring memory in bytes, 0 for the configured one.
    `point` is ``device``, ``uplink``, ``mirror`` or ``guest``, "" the best that can be read; what follows it is for
    the uplink (docs/points.md).  A mirror is closed when the capture has ended.
    `governor` is what the capture may take of the host before it steps down (docs/governor.md): ``default``, ``off``
    or ``rate=2G,cpu=50%``, "" the configured one; `Capture.steps` tells what it did.

    Raises NotFound, FilterError (with the position), PrivilegeError, MissingDependency,
    UsageError when the file exists and `overwrite` is not set or the request cannot mean anything,
    CaptureError when a device cannot be opened, ProviderError when a switch cannot mirror.  When it
    raises, nothing is left behind.
    """
    if path and fd >= 0:
        raise UsageError("packets go to a path or to a descriptor, not to both")
    config = config or configuration.load()
    wish = Wish(
        vms=_names(vms),
        filter=filter,
        snaplen=_snaplen(snaplen),
        packets=packets,
        seconds=seconds,
        bytes=max_bytes,
        ring=ring,
        buffer=buffer,
        overwrite=overwrite,
        point=PointKind(point) if point else None,
        vni=vni,
        outer_filter=outer_filter,
        keep_outer=keep_outer,
        filter_in_engine=filter_in_engine,
        governor=parse_policy(governor or config.governor),
    )
    return start(prepare(wish, config, topology), path=os.fspath(path), fd=fd)


def plan_capture(
    vms: Sequence[str],
    *,
    filter: str = "",  # noqa: A002 - as in `open_capture`
    snaplen: int = DEFAULT_SNAPLEN,
    seconds: float = 0.0,
    interval: float = 1.0,
    config: Config | None = None,
) -> Planned:
    """What a capture of `vms` would read, why, and what it would take; changes nothing.

    The load is measured over `interval` seconds, 0 does not measure it.  Raises as `open_capture`.
    """
    wish = Wish(_names(vms), filter=filter, snaplen=_snaplen(snaplen), seconds=seconds)
    return plan(wish, interval=interval, config=config)


def _names(vms: Sequence[str]) -> tuple[str, ...]:
    """A single name is a sequence of letters, which nobody means."""
    names = (vms,) if isinstance(vms, str) else tuple(vms)
    if not names:
        raise UsageError("no VM was named", "name at least one, or '*' for all")
    return names


def _snaplen(snaplen: int) -> int:
    if not 1 <= snaplen <= DEFAULT_SNAPLEN:
        raise UsageError(f"a snaplen of {snaplen} bytes is not possible", f"from 1 to {DEFAULT_SNAPLEN}")
    return snaplen
