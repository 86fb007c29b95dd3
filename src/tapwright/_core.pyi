"""The native core: everything per packet.  No Python object is made for a packet."""

from collections.abc import Sequence
from typing import Literal, Self, final

from tapwright.capture.request import Limits, Output, Section, Source
from tapwright.read.request import Part, Request, Unwrap

__all__ = [
    "Batch",
    "Bpf",
    "Engine",
    "EngineStats",
    "Link",
    "Namespace",
    "OfflineJob",
    "SessionStats",
    "SourceStats",
    "Tunnel",
    "__version__",
    "decap",
    "filter_file",
    "info",
    "link_counters",
    "netlink_message",
    "run_bpf",
    "scan_links",
    "slice_file",
    "split_file",
]

__version__: str

@final
class SourceStats:
    """The engine's account of one source.  All counts since the capture began."""

    @property
    def name(self) -> str: ...
    @property
    def port_packets(self) -> int | None:
        """Packets the device itself counted (received + sent + dropped at its queue) while we were attached;
        None when its counters could not be read (device gone)."""
    @property
    def port_bytes(self) -> int | None: ...
    @property
    def accepted(self) -> int:
        """Packets the kernel's filter accepted (written + still in the ring + dropped by the kernel)."""
    @property
    def kernel_dropped(self) -> int:
        """Of those, lost because the ring was full."""
    @property
    def engine_dropped(self) -> int:
        """Read from the ring and then lost by us: disk full, output gone, consumer of batches too slow."""
    @property
    def beyond_limit(self) -> int:
        """Read from the ring after a count, size or time limit was reached, and so not kept."""
    @property
    def refused(self) -> int:
        """Read from the ring and then refused by the part of the filter that was too long for the kernel."""
    @property
    def wrapped(self) -> int:
        """Of those written, packets that should have been unwrapped and could not be."""
    @property
    def governed(self) -> int:
        """Left out by the kernel because the capture had stepped down to a sample."""
    @property
    def governed_estimated(self) -> bool:
        """Nobody counted them (there is a filter, or the device is gone): computed from those that were kept."""
    @property
    def cut(self) -> int:
        """Of those written, cut shorter than the snap length asked for, because the capture had stepped down."""
    @property
    def written(self) -> int: ...
    @property
    def written_bytes(self) -> int:
        """Bytes of packet data kept (captured lengths)."""
    @property
    def whole_bytes(self) -> int:
        """What `written_bytes` would be had nothing been cut but by the snap length asked for."""
    @property
    def wire_bytes(self) -> int:
        """Original lengths of the written packets."""
    @property
    def first_ns(self) -> int:
        """Time of the first written packet, nanoseconds since the epoch; 0 when none."""
    @property
    def last_ns(self) -> int: ...
    @property
    def ended(self) -> str:
        """Empty while it runs; else why this source alone ended: ``device gone``, ``device down``..."""

@final
class SessionStats:
    """A mirror that was received: one exporter, one number."""

    @property
    def name(self) -> str: ...
    @property
    def packets(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def first_ns(self) -> int: ...
    @property
    def last_ns(self) -> int: ...
    @property
    def shared(self) -> bool:
        """The numbers go through all sessions of the exporter, and so does what `sequence` tells."""
    @property
    def sequence(self) -> tuple[int, int, int, int] | None:
        """Missing, reordered, repeated, restarts; None without sequence numbers, or when a filter leaves some out."""

@final
class EngineStats:
    """A consistent copy of the engine's counters."""

    @property
    def sources(self) -> list[SourceStats]: ...
    @property
    def sessions(self) -> list[SessionStats]:
        """Mirrors that were received, in the order they came; at most a second old while it runs."""
    @property
    def strangers(self) -> tuple[int, list[tuple[str, int]]]:
        """Packets of senders nobody named: all of them, and by address (the first 64 addresses)."""
    @property
    def file_bytes(self) -> int:
        """Bytes written to the output so far, all files of a ring together."""
    @property
    def files(self) -> list[str]:
        """Files on disk now, oldest first; empty for a descriptor or batches."""
    @property
    def reordered(self) -> int:
        """Packets that had to be written out of time order because holding them longer would have lost some."""
    @property
    def cpu(self) -> float:
        """Seconds of a processor that the engine's thread has had, while packets come."""
    @property
    def stuck(self) -> int:
        """How often a device's filter could not be changed for a step."""
    @property
    def running(self) -> bool: ...
    @property
    def ended(self) -> str:
        """Why the capture ended: ``stopped``, ``count``, ``size``, ``time``, ``disk full``, ``output gone``,
        ``all sources gone``, ``governor``, ``error: ...``; "" while it runs."""
    @property
    def elapsed(self) -> float:
        """Seconds since the start."""

@final
class Batch:
    """Packets as columns; every column is a read-only memoryview over native memory.

    Packet i of n is ``data[offset[i]:offset[i] + captured[i]]``.
    """

    def __len__(self) -> int: ...
    @property
    def time(self) -> memoryview:
        """int64 ('q'), nanoseconds since the epoch, shape (n,)."""
    @property
    def source(self) -> memoryview:
        """uint32 ('I'), index of the source, shape (n,)."""
    @property
    def direction(self) -> memoryview:
        """uint8 ('B'): 0 unknown, 1 to the VM, 2 from the VM, shape (n,)."""
    @property
    def length(self) -> memoryview:
        """uint32, bytes on the wire, shape (n,)."""
    @property
    def captured(self) -> memoryview:
        """uint32, bytes kept, shape (n,)."""
    @property
    def offset(self) -> memoryview:
        """uint64 ('Q'), start of the packet in `data`, shape (n,)."""
    @property
    def data(self) -> memoryview:
        """uint8, all packets one after another."""

@final
class Engine:
    """One running capture: sockets, rings, filter, merge, file.  A thread of its own; never holds the GIL.

    Raises PermissionError when a packet socket is refused, OSError (with the device's name in
    `filename`) when a device or namespace is gone, FileExistsError when the output exists and
    may not be overwritten, ValueError on arguments that make no sense.  A constructor that
    raises has left nothing behind, not even an empty file.
    """

    def __new__(cls, sources: Sequence[Source], section: Section, output: Output, limits: Limits) -> Self:
        """Open everything: sockets, filters, rings, the file with its header blocks.  Packets count from here."""
    def start(self) -> None:
        """Start the engine's thread."""
    def stop(self, reason: str = "") -> None:
        """Ask it to end: what the rings hold is drained and written, then the file is completed.
        Returns at once; safe from a signal handler; idempotent.  The first `reason` given is what `ended` will say."""
    def step(self, filters: Sequence[tuple[bytes, int]], lowered: bool, remark: str) -> None:
        """From a moment from now on, run these filters, in the order of the sources; returns at once.

        Each is (program, keeps one packet in so many by chance); a program of b"" leaves the source's as it is, and
        so does an empty list.  `remark` is written beside the first packet behind the step.  `lowered` tells that less
        is kept than was asked for; then each new file of a ring says so too."""
    def wait(self, timeout: float | None = None) -> bool:
        """Wait up to `timeout` seconds without the GIL; True when it has ended."""
    def stats(self) -> EngineStats: ...
    def next_batch(self, timeout: float) -> Batch | None:
        """With `Output.batches`: the next packets, or None after `timeout` seconds or at the end."""

_Counters = tuple[int, int, int, int, int, int, int, int, int]
"""The fields of `tapwright.model.Counters`, in its order."""

@final
class Link:
    """A network device as its own namespace shows it."""

    @property
    def index(self) -> int: ...
    @property
    def name(self) -> str:
        """Whatever its owner called it; bytes that are not UTF-8 are replaced."""
    @property
    def kind(self) -> str: ...
    @property
    def mac(self) -> str: ...
    @property
    def mtu(self) -> int: ...
    @property
    def up(self) -> bool: ...
    @property
    def loopback(self) -> bool: ...
    @property
    def alias(self) -> str: ...
    @property
    def master(self) -> int: ...
    @property
    def elsewhere(self) -> bool:
        """Its other end or the device below is in another namespace, whether that was found or not."""
    @property
    def peer(self) -> tuple[int, int] | None:
        """The other end of a pair, or the device below: position of its namespace in the scan, and ifindex."""
    @property
    def addresses(self) -> list[str]: ...
    @property
    def counters(self) -> _Counters: ...
    @property
    def vlan(self) -> int | None:
        """Tag of a VLAN device."""
    @property
    def vlan_protocol(self) -> int | None:
        """EtherType of the tags by which a VLAN-aware bridge keeps VLANs apart; None where it does not."""
    @property
    def pvid(self) -> int | None:
        """Of a port of a VLAN-aware bridge, or such a bridge itself: where its untagged frames go."""
    @property
    def tagged(self) -> list[int]:
        """Those VLANs whose frames leave by it with their tag."""
    @property
    def untagged(self) -> list[int]: ...
    @property
    def tunnel(self) -> Tunnel | None: ...

@final
class Tunnel:
    """What a VXLAN, Geneve or GRE device wraps frames in."""

    @property
    def vni(self) -> int | None: ...
    @property
    def local(self) -> str: ...
    @property
    def remotes(self) -> list[str]:
        """The configured peer or group, then those in the forwarding table."""
    @property
    def port(self) -> int: ...
    @property
    def external(self) -> bool: ...

@final
class Namespace:
    """What one network namespace holds, or why it could not be read."""

    @property
    def inode(self) -> int: ...
    @property
    def error(self) -> OSError | None: ...
    @property
    def links(self) -> list[Link]: ...
    @property
    def neighbours(self) -> list[tuple[int, str, str]]:
        """(ifindex, MAC, IP) of who answered; read only where a tap hangs."""

def scan_links(paths: Sequence[str]) -> list[Namespace]:
    """Read whole network namespaces in one go; "" is our own.  One that is gone is a result with an error."""

def link_counters(wanted: Sequence[tuple[str, Sequence[int]]]) -> list[list[_Counters | None]]:
    """Counters of (namespace path, ifindexes); None for a device or namespace that is gone."""

def netlink_message(path: str, kind: int, flags: int, body: bytes) -> list[bytes]:
    """What the kernel answers to one rtnetlink message in the namespace at `path`: payloads, none for an order it took.

    `flags` are those of struct nlmsghdr without request and acknowledgement.  Raises OSError with the kernel's own
    words; its `filename` is the namespace when that is what cannot be entered.
    """

@final
class Bpf:
    """A classic BPF program, checked by the kernel's rules; it may be longer than a kernel takes.

    Raises ValueError, with the number of the instruction, when the kernel would refuse it.
    """

    def __new__(cls, program: bytes) -> Self:
        """`program` is packed ``struct sock_filter``, native byte order."""
    def __len__(self) -> int:
        """Number of instructions."""
    def run(
        self,
        packet: bytes,
        length: int | None = None,
        *,
        protocol: int = 0,
        kind: int = 0,
        device: int = 0,
        vlan: tuple[int, int] | None = None,
        network: int = 14,
    ) -> int:
        """How many bytes to keep; 0 refuses the packet.

        `packet` is what was captured, `length` what was on the wire (None: all was captured).
        The others are what a kernel knows beside the bytes: EtherType, packet type, ifindex,
        the outermost VLAN tag that is not in the frame as (EtherType, TCI), and where the
        network header begins.
        """
    def run_all(self, packets: Sequence[bytes]) -> list[int]:
        """The verdicts on whole packets of which nothing else is known."""

def run_bpf(program: bytes, packets: Sequence[bytes]) -> list[int]:
    """The verdicts of `program` on `packets`.  Raises ValueError as `Bpf` does."""

# Offline verbs (requests: tapwright.read.request; results: tapwright.read.report, as dictionaries)

@final
class OfflineJob:
    """A verb at work on files, in a thread of its own that never holds the GIL."""

    @property
    def read(self) -> int:
        """Bytes of the input files read so far."""
    @property
    def total(self) -> int:
        """Bytes there are to read; 0 when an input is a pipe."""
    @property
    def packets(self) -> int:
        """Packets read so far; told every 1,024."""
    def stop(self) -> None:
        """Ask it to end without a result; returns at once, idempotent."""
    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds without the GIL; True when it has ended."""
    def result(self) -> dict[str, object]:
        """Wait for the end; to be taken once.

        Raises OSError with the file in `filename` (FileExistsError, BrokenPipeError...), ValueError on what is
        no capture file or cannot be held by the output, InterruptedError after `stop`.
        """

def decap(request: Request, unwrap: Unwrap, raw_ip: Literal["raw", "ethernet"] | None) -> OfflineJob: ...
def filter_file(
    request: Request,
    unwrap: Unwrap,
    inner: Sequence[tuple[int, bytes]] | None,
    outer: Sequence[tuple[int, bytes]] | None,
    ids: Sequence[int],
) -> OfflineJob:
    """Programs are (link type, packed ``struct sock_filter``).  Raises ValueError on one that cannot run."""

def slice_file(request: Request, part: Part) -> OfflineJob: ...
def split_file(
    request: Request, unwrap: Unwrap, by: Literal["vm", "vni", "flow", "time", "size"], amount: int, most: int
) -> OfflineJob: ...
def info(input: str, unwrap: Unwrap) -> OfflineJob: ...
