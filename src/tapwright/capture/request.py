"""What the native engine is asked to do, as plain frozen data.

The engine (`tapwright._core.Engine`) reads these attributes by name; nothing here touches
the world.  All times are nanoseconds unless a name says otherwise, all sizes bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_SNAPLEN = 262_144
"""Bytes kept of each packet; as tcpdump and Wireshark have it."""


@dataclass(frozen=True, slots=True)
class Unwrap:
    """That what is inside of the packets is written, and the numbers by which their wrapping is known."""

    depth: int = 1
    """How many layers are taken off."""
    vxlan: tuple[int, ...] = (4789, 8472)
    """UDP ports, as are the others."""
    vxlan_gpe: tuple[int, ...] = (4790,)
    geneve: tuple[int, ...] = (6081,)


@dataclass(frozen=True, slots=True)
class Source:
    """One device to read, which becomes one interface block of the file."""

    name: str
    """``VM/nic``: the interface block's if_name."""
    description: str
    device: str
    """Device name, for messages."""
    index: int
    """ifindex inside its namespace."""
    netns: str = ""
    """Path of the namespace (`Netns.path`), "" for our own."""
    outgoing_is_to_vm: bool = True
    mac: str = ""
    addresses: tuple[str, ...] = ()
    """With prefix length."""
    filter: str = ""
    """The expression, for the file."""
    program: bytes = b""
    """Classic BPF, packed ``struct sock_filter`` (8 bytes an instruction, native order); b"" keeps everything.
    It already returns the snap length, so that the kernel copies no more than is kept."""
    judge: bytes = b""
    """What the kernel let pass is judged by this program too, where the whole filter is too long for it."""
    judge_inside: bool = False
    """`judge` is for the frame inside, where one can be unwrapped."""
    unwrap: Unwrap | None = None
    """Write what is inside of the packets; None writes them as they come."""
    role: str = "seen"
    """``seen``: a VM's packets.  ``copied``: a VM's, as its switch copies them to a device of ours, so that `mac`
    tells the direction; ``copied tagged``: in the VLAN of its port, whose tag is taken off.  ``mirrored``: each
    session in them becomes an interface.  ``tagged``: a mirror's in a VLAN whose tag is taken off.  ``strange``:
    counted by sender and not kept."""
    gaps: bool = True
    """Whether all packets of a session are here, so that its sequence numbers tell what is missing."""

    @property
    def is_a_vms(self) -> bool:
        """Whether all of its packets are one VM's."""
        return self.role == "seen" or self.role.startswith("copied")


@dataclass(frozen=True, slots=True)
class Section:
    """What the section header and name resolution blocks say."""

    hardware: str = ""
    os: str = ""
    application: str = ""
    comment: str = ""
    names: tuple[tuple[str, str], ...] = ()
    """(address without prefix length, name), only where unambiguous."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where the file goes.  Exactly one of `path`, `fd` and `batches` is set."""

    path: str = ""
    fd: int = -1
    """An open descriptor (standard output, a FIFO); the engine writes to it and leaves closing to the caller."""
    batches: bool = False
    """No file: packets are handed out as columns by `Engine.next_batch`."""
    overwrite: bool = False
    ring_bytes: int = 0
    """Size of one file of a ring; 0 writes a single file."""
    ring_files: int = 0
    """How many files a ring keeps; the oldest is deleted. 0 keeps all."""
    utc_offset: int = 0
    """Seconds east of UTC, for the time in the names of a ring's files."""
    owner: tuple[int, int] | None = None
    """uid and gid to give the files to (the caller behind sudo)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop by itself, and how much memory to hold.  0 means no limit."""

    snaplen: int = DEFAULT_SNAPLEN
    packets: int = 0
    seconds: float = 0.0
    bytes: int = 0
    buffer: int = 48 << 20
    """Ring memory for all sources together."""
