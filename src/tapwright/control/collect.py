"""Receiving mirrors: from what a person asks to a running capture of what others send us."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from tapwright import config as configuration
from tapwright._core import __version__
from tapwright.adapters import attach, livepcap
from tapwright.adapters.quiet import silence
from tapwright.capture import describe
from tapwright.capture.files import output
from tapwright.capture.request import DEFAULT_SNAPLEN, Limits, Source, Unwrap
from tapwright.config import Config
from tapwright.control import local
from tapwright.control.capture import Capture
from tapwright.control.prepare import resolver
from tapwright.errors import UsageError
from tapwright.filter import mirror
from tapwright.filter.compile import Compiled, compile_filter
from tapwright.filter.fit import Fit
from tapwright.filter.mirror import Mirrors
from tapwright.find.topology import Topology
from tapwright.model import Device
from tapwright.plan.feeds import Feed, FeedKind, Network, by_address, compatible, devices_of

_GRE_KINDS = frozenset({FeedKind.GRE, FeedKind.ERSPAN})
_ENCAPSULATIONS = {
    FeedKind.ERSPAN: ("erspan", "erspan-3"),
    FeedKind.GRE: ("gre",),
    FeedKind.VXLAN: ("vxlan",),
    FeedKind.VXLAN_GPE: ("vxlan-gpe",),
    FeedKind.GENEVE: ("geneve",),
    FeedKind.AWS: ("vxlan", "geneve"),
}
"""What is opened, in the filter's words."""
_PORT_OF = {"vxlan": 4789, "geneve": 6081}
"""Of the AWS form."""


@dataclass(frozen=True, slots=True)
class Collection:
    """What is to be received.  0 means no limit."""

    feeds: Sequence[Feed]
    exporters: tuple[Network, ...] | None
    """None takes everybody's."""
    filter: str = ""
    vni: int | None = None
    filter_in_engine: bool = False
    snaplen: int = DEFAULT_SNAPLEN
    packets: int = 0
    seconds: float = 0.0
    bytes: int = 0
    ring: tuple[int, int] | None = None
    buffer: int = 0
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """Everything compiled; nothing is open yet."""

    collection: Collection
    topology: Topology
    sources: tuple[Source, ...]
    limits: Limits
    filtered_by: str


def prepare(collection: Collection, config: Config | None = None) -> Ready:
    """Find the devices and compile the filters.

    Raises UsageError, NotFound, FilterError (with the position), MissingDependency, PrivilegeError.
    """
    config = config or configuration.load()
    topology = local.look(config)
    own = {inode for inode, netns in topology.netns.items() if not netns.path}
    devices = [device for device in topology.devices.values() if device.key.netns in own]
    user = compile_filter(collection.filter, resolver(topology), outgoing_is_to_vm=False)
    sources = tuple(_sources(collection, user, devices))
    limits = Limits(
        collection.snaplen,
        collection.packets,
        collection.seconds,
        collection.bytes,
        collection.buffer or config.buffer_bytes,
    )
    in_engine = bool(user.text) and any(source.judge for source in sources)
    return Ready(collection, topology, sources, limits, "kernel and engine" if in_engine else "kernel")


@contextmanager
def receiving(ready: Ready, *, path: str = "", fd: int = -1) -> Iterator[tuple[Capture, tuple[str, ...]]]:
    """The running capture, and notes for a person; exporters get no answer while it runs.

    Raises PrivilegeError, CaptureError, UsageError; nothing is left behind then.
    """
    feeds = ready.collection.feeds
    ports = {port for feed in feeds for port in feed.ports}
    into = output(path, fd, overwrite=ready.collection.overwrite, ring=ready.collection.ring)
    about = describe.section(ready.topology, f"tapwright {__version__}", ready.topology.vms, "mirrors received")
    with silence(ports, gre=any(feed.kind in _GRE_KINDS for feed in feeds)) as notes:
        capture = Capture(ready.sources, about, into, ready.limits, filtered_by=ready.filtered_by)
        with capture:
            yield capture, notes


def _sources(collection: Collection, user: Compiled, devices: Sequence[Device]) -> Iterator[Source]:
    """For each device and address one that takes all mirrors that are opened alike, and one that counts strangers."""
    arriving: dict[Device, list[Feed]] = {}
    for feed in dict.fromkeys(collection.feeds):
        for device in devices_of(feed, devices):
            arriving.setdefault(device, []).append(feed)
    for device, feeds in arriving.items():
        compatible(feeds)
        for alike in by_address(feeds):
            yield from _sources_of(collection, user, device, alike)


def _sources_of(collection: Collection, user: Compiled, device: Device, feeds: Sequence[Feed]) -> Iterator[Source]:
    for depth, kinds in ((1, frozenset(_ENCAPSULATIONS) - {FeedKind.AWS}), (2, frozenset({FeedKind.AWS}))):
        if alike := [feed for feed in feeds if feed.kind in kinds]:
            yield from _wrapped(collection, user, device, alike, depth)
    for feed in feeds:
        if feed.kind is FeedKind.TZSP:
            yield from _tzsp(collection, user, device, feed)
        elif feed.kind is FeedKind.RSPAN:
            yield _rspan(collection, user, device, feed.number)


def _wrapped(
    collection: Collection, user: Compiled, device: Device, feeds: Sequence[Feed], depth: int
) -> Iterator[Source]:
    mirrors = _mirrors(collection, feeds, depth)
    fitted = _fitted(mirrors, user, collection)
    ports = {name.replace("-", "_"): numbers for name, numbers in mirrors.ports.items()}
    closed: dict[str, tuple[int, ...]] = {"vxlan": (), "vxlan_gpe": (), "geneve": ()}
    source = _source(device, feeds, user, fitted.kernel.code)
    whole = not user.text and collection.vni is None
    opened = Unwrap(depth, **{**closed, **ports})
    yield replace(source, role="mirrored", unwrap=opened, judge=fitted.engine, gaps=whole)
    if mirrors.exporters is not None:
        yield _strange(source, mirror.strange(mirrors).code)


def _fitted(mirrors: Mirrors, user: Compiled, collection: Collection) -> Fit:
    wanted = partial(mirror.wanted, mirrors, user, collection.snaplen, finish_in_engine=collection.filter_in_engine)
    fitted = wanted()
    if attach.has_room(fitted.kernel.code):
        return fitted
    return wanted(limit=min(attach.room(), len(fitted.kernel) - 1))


def _mirrors(collection: Collection, feeds: Sequence[Feed], depth: int) -> Mirrors:
    names: dict[str, tuple[int, ...]] = {}
    for feed in feeds:
        for name in _ENCAPSULATIONS[feed.kind]:
            ports = (_PORT_OF[name],) if feed.kind is FeedKind.AWS else feed.ports
            names[name] = tuple(dict.fromkeys((*names.get(name, ()), *ports)))
    to = (str(feeds[0].address),) if feeds[0].address else ()
    ids = () if collection.vni is None else (collection.vni,)
    udp = {name: ports for name, ports in names.items() if ports}
    return Mirrors(tuple(names), udp, depth, collection.exporters, to, ids)


def _tzsp(collection: Collection, user: Compiled, device: Device, feed: Feed) -> Iterator[Source]:
    """Its header has fields without end, so what is inside is judged by the engine."""
    if collection.vni is not None:
        raise UsageError("TZSP has no VNI", "leave --vni out, or receive it in a run of its own")
    if feed.ports != (37008,):
        raise UsageError("TZSP is known by its port, 37008")
    mirrors = Mirrors((), {}, 1, collection.exporters, (str(feed.address),) if feed.address else ())
    source = _source(device, [feed], user, mirror.udp(feed.ports[0], mirrors).code)
    judge = user.program.code if user.text else b""
    yield replace(source, role="mirrored", unwrap=Unwrap(1, (), (), ()), judge=judge, judge_inside=True)
    if mirrors.exporters is not None:
        yield _strange(source, mirror.udp(feed.ports[0], mirrors, strangers=True).code)


def _rspan(collection: Collection, user: Compiled, device: Device, vlan: int) -> Source:
    program = mirror.tagged(vlan, user, collection.snaplen, livepcap.live)
    source = _source(device, [], user, program.code)
    return replace(source, name=f"rspan {vlan} {device.name}", description=f"RSPAN VLAN {vlan}", role="tagged")


def _source(device: Device, feeds: Sequence[Feed], user: Compiled, program: bytes) -> Source:
    """What cannot be unwrapped, or is too much to be told apart, is written as this interface's."""
    kinds = ", ".join(dict.fromkeys(feed.kind for feed in feeds))
    return Source(
        name=device.name,
        description=f"{kinds} received on {device.name}: what belongs to no session of its own",
        device=device.name,
        index=device.key.index,
        outgoing_is_to_vm=False,
        mac=device.mac,
        addresses=device.addresses,
        filter=user.pcap_text,
        program=program,
    )


def _strange(source: Source, program: bytes) -> Source:
    return replace(
        source, name=f"strangers on {source.device}", description="senders nobody named: counted, not stored",
        program=program, role="strange", unwrap=None, judge=b"",
    )  # fmt: skip
