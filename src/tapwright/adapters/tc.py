"""The one place that speaks `tc` and `ip`: hooks, filters and tunnel devices, inside any network namespace.

Programs of iproute2 get argument lists only; a device's name comes from the kernel and is checked
before it stands on one.  Whoever asks for a device that is gone gets `Gone`.

A filter here is a classic BPF program (8 bytes an instruction) with one action, a copy to another
device (`mirred`).  It ends with the verdict *continue*: filters of others on the same hook see the
frame as if ours were not there.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from tapwright.adapters import command
from tapwright.adapters.tc_long import NewFilter, add_long
from tapwright.errors import PrivilegeError, ProviderError
from tapwright.model import Netns

BY_HANDLE = "ffff:"
"""What an `ingress` qdisc may be called as well as `ingress`."""
HOOKS = ("ingress", "egress")
"""``ingress``: what the device hands to the host; ``egress``: what the host gives the device."""
MAX_INSTRUCTIONS = 4000
"""A longer filter can be made, but the kernel's listings have 32 KiB for one and then break off for everybody."""
_MOST = 64 << 20
"""Bytes of an answer."""
_SHORT = 1500
"""Instructions that `tc` itself can send; its own message has room for some 2,000."""
_NAME = re.compile(r"[A-Za-z0-9_.+~-]{1,15}")
_INSTRUCTION = struct.Struct("=HBBI")
_REFUSED = re.compile(r"Operation not permitted|Permission denied")
_GONE = re.compile(r"Cannot find device|does not exist|No such device|cannot open .*: No such file or directory")
_UNKNOWN_KIND = re.compile(r"Unknown device type|Operation not supported|not supported", re.IGNORECASE)
T = TypeVar("T")


class Gone(ProviderError):
    """The device or its namespace is not there any more."""


class Unsupported(ProviderError):
    """This kernel, or this iproute2, has no such thing."""


class Statistics(msgspec.Struct, frozen=True):
    """What went through an action since it was made."""

    packets: int = 0
    overlimits: int = 0
    """Frames that could not be copied: the target was down or refused them."""


class Control(msgspec.Struct, frozen=True):
    """What happens to a frame after an action."""

    type: str = ""


class Action(msgspec.Struct, frozen=True):
    """What a filter does with a frame that it matches."""

    kind: str = ""
    mirred_action: str = ""
    direction: str = ""
    to_dev: str = ""
    """``*`` once the device is gone."""
    control_action: Control = Control()
    cookie: str = ""
    stats: Statistics = Statistics()


class Instruction(msgspec.Struct, frozen=True):
    """One ``struct sock_filter``."""

    code: int
    jt: int
    jf: int
    k: int


class Bytecode(msgspec.Struct, frozen=True):
    """A classic BPF program."""

    insns: tuple[Instruction, ...] = ()


class Options(msgspec.Struct, frozen=True):
    """What is particular to one filter."""

    handle: str | int = ""
    fh: str = ""
    """What a u32 filter has instead: ``800::801``."""
    bytecode: Bytecode = Bytecode()
    actions: tuple[Action, ...] = ()


class Filter(msgspec.Struct, frozen=True):
    """One filter of a hook, whoever made it; also the line that `tc` prints for its priority alone."""

    parent: str = ""
    protocol: str = ""
    pref: int = 0
    kind: str = ""
    chain: int = 0
    options: Options | None = None

    @property
    def handle(self) -> int:
        """Its number within its priority; 0 where it has none of the sort that ours have."""
        text = str(self.options.handle) if self.options else ""
        return int(text, 16) if re.fullmatch(r"0x[0-9a-f]{1,8}", text) else 0

    @property
    def name(self) -> str:
        """Its handle as tc takes it, whoever made it; "" where the whole priority is one filter."""
        return str(self.options.handle or self.options.fh) if self.options else ""

    @property
    def actions(self) -> tuple[Action, ...]:
        """What it does."""
        return self.options.actions if self.options else ()

    @property
    def program(self) -> bytes:
        """Its classic BPF program, b"" for other kinds."""
        insns = self.options.bytecode.insns if self.options else ()
        return b"".join(_INSTRUCTION.pack(i.code, i.jt, i.jf, i.k) for i in insns)


class Qdisc(msgspec.Struct, frozen=True):
    """A queueing discipline; ``clsact`` and ``ingress`` are those that hold hooks."""

    kind: str = ""
    dev: str = ""


class LinkInfo(msgspec.Struct, frozen=True):
    """What sort of virtual device it is, and how it was made."""

    info_kind: str = ""
    info_data: Mapping[str, Any] = {}


class Link(msgspec.Struct, frozen=True):
    """A device, as `ip` shows it."""

    ifindex: int
    ifname: str
    flags: tuple[str, ...] = ()
    ifalias: str = ""
    mtu: int = 0
    linkinfo: LinkInfo = LinkInfo()

    @property
    def up(self) -> bool:
        """Whether it takes frames."""
        return "UP" in self.flags


class Metric(msgspec.Struct, frozen=True):
    """What a route knows beyond its device."""

    mtu: int = 0


class Route(msgspec.Struct, frozen=True):
    """Where packets to an address leave."""

    dev: str = ""
    gateway: str = ""
    prefsrc: str = ""
    """The address of ours that they leave with."""
    metrics: tuple[Metric, ...] = ()

    @property
    def mtu(self) -> int:
        """What the route allows, 0 where that is its device's business."""
        return next((metric.mtu for metric in self.metrics if metric.mtu), 0)


def safe(device: str) -> str:
    """`device`, which may stand on a command line.  Raises ProviderError for a name that should not."""
    if not _NAME.fullmatch(device) or device.startswith("-"):
        raise ProviderError(f"device {device!r} has a name that tc cannot be trusted with", "rename it: ip link set")
    return device


def links(netns: Netns) -> tuple[Link, ...]:
    """All devices of a namespace.  Raises Gone, ProviderError, PrivilegeError."""
    return _decoded(_run(netns, ["ip", "-j", "-d", "link", "show"]), tuple[Link, ...])


def way(netns: Netns, remote: str) -> Route:
    """The kernel's route to an address; one without a device where there is none.  Raises as `links`."""
    try:
        found = _decoded(_run(netns, ["ip", "-j", "route", "get", remote]), tuple[Route, ...])
    except (Gone, PrivilegeError):
        raise
    except ProviderError:
        return Route()
    return found[0] if found else Route()


def hooked(netns: Netns) -> dict[str, str]:
    """By device ``clsact`` or ``ingress``, for those of a namespace that have hooks.  Raises as `links`."""
    found = _decoded(_run(netns, ["tc", "-j", "qdisc", "show"]), tuple[Qdisc, ...])
    return {qdisc.dev: qdisc.kind for qdisc in found if qdisc.kind in ("clsact", "ingress")}


def filters(netns: Netns, device: str, hook: str) -> tuple[Filter, ...]:
    """All that is on a hook, empty priorities included, with what went through.  Raises as `links`."""
    return _decoded(_run(netns, ["tc", "-s", "-j", "filter", "show", "dev", safe(device), hook]), tuple[Filter, ...])


def add_hooks(netns: Netns, device: str) -> None:
    """Give a device both hooks.  Raises as `links`."""
    _run(netns, ["tc", "qdisc", "add", "dev", safe(device), "clsact"])


def delete_hooks(netns: Netns, device: str) -> None:
    """Take both hooks from a device, with all filters on them.  Raises as `links`."""
    _run(netns, ["tc", "qdisc", "del", "dev", safe(device), "clsact"])


def add_filter(netns: Netns, device: Link, to: Link, wanted: NewFilter) -> None:
    """Copy what a program matches from one device to another of the same namespace.

    Raises as `links`; ProviderError also when the kernel refuses the program.
    """
    size = len(wanted.program) // _INSTRUCTION.size
    if size > MAX_INSTRUCTIONS:
        raise ProviderError(
            f"the filter needs {size:,} instructions, and {MAX_INSTRUCTIONS:,} fit into a mirror by tc",
            "filter on a network (`net 10.0.0.0/24`) or a range (`portrange 1-99`) instead of a long list",
        )
    if size > _SHORT:
        add_long(netns, device.ifindex, to.ifindex, wanted)
        return
    which = ["protocol", "all", "pref", str(wanted.pref), "handle", hex(wanted.handle)]
    action = ["action", "mirred", "egress", "mirror", "dev", safe(to.ifname), "continue", "cookie", wanted.cookie]
    where = ["dev", safe(device.ifname), *(["parent", BY_HANDLE] if wanted.by_handle else [wanted.hook])]
    _run(netns, ["tc", "filter", "add", *where, *which, "bpf", "bytecode", _text(wanted.program), *action])


def delete_filter(netns: Netns, device: str, hook: str, found: Filter) -> None:
    """Remove one filter and no other.  Raises as `links`."""
    which = ["protocol", found.protocol, "pref", str(found.pref), "handle", hex(found.handle), found.kind]
    chain = ["chain", str(found.chain)] if found.chain else []
    _run(netns, ["tc", "filter", "del", "dev", safe(device), hook, *chain, *which])


def add_link(netns: Netns, name: str, mtu: int, details: Sequence[str]) -> None:
    """Make a device; `details` are what stands behind ``type``.  Raises Unsupported, and as `links`."""
    _run(netns, ["ip", "link", "add", "name", safe(name), "mtu", str(mtu), "type", *details])


def makes(netns: Netns, name: str, details: Sequence[str]) -> bool:
    """Whether this kernel has such devices: it is asked for one of an MTU that no device may have.

    Nothing is made.  Raises Gone, PrivilegeError.
    """
    try:
        _run(netns, ["ip", "link", "add", "name", safe(name), "mtu", "1", "type", *details])
    except Unsupported:
        return False
    except (Gone, PrivilegeError):
        raise
    except ProviderError:
        return True
    delete_link(netns, name)
    return True


def describe_link(netns: Netns, name: str, alias: str) -> None:
    """Set a device's alias.  Raises as `links`."""
    _run(netns, ["ip", "link", "set", "dev", safe(name), "alias", alias])


def start_link(netns: Netns, name: str) -> None:
    """Set a device up that never says anything of its own accord.  Raises as `links`."""
    # A kernel without IPv6 has nothing to turn off there.
    command.run(_argv(netns, ["ip", "link", "set", "dev", safe(name), "addrgenmode", "none"]), check=False)
    _run(netns, ["ip", "link", "set", "dev", safe(name), "arp", "off", "multicast", "off"])
    _run(netns, ["ip", "link", "set", "dev", safe(name), "up"])


def delete_link(netns: Netns, name: str) -> None:
    """Remove a device.  Raises as `links`."""
    _run(netns, ["ip", "link", "del", "dev", safe(name)])


def _text(program: bytes) -> str:
    lines = [" ".join(map(str, fields)) for fields in _INSTRUCTION.iter_unpack(program)]
    return ",".join([str(len(lines)), *lines])


def _argv(netns: Netns, argv: Sequence[str]) -> list[str]:
    return [*(["nsenter", f"--net={netns.path}"] if netns.path else []), *argv]


def _run(netns: Netns, argv: Sequence[str]) -> str:
    done = command.run(_argv(netns, argv), check=False)
    if done.ok and len(done.stdout) <= _MOST:
        return done.stdout
    said = " ".join(done.stderr.split()) or f"exit status {done.code}"
    what = " ".join(argv[: 5 if argv[0] == "tc" else 4])
    if done.ok:
        raise ProviderError(f"{what}: an answer of {len(done.stdout):,} characters is not read")
    if _REFUSED.search(said):
        raise PrivilegeError("tc mirrors need CAP_NET_ADMIN, and CAP_SYS_ADMIN in other namespaces", "run it with sudo")
    kind = Gone if _GONE.search(said) else Unsupported if _UNKNOWN_KIND.search(said) else ProviderError
    raise kind(f"{what}: {said}")


def _decoded(text: str, kind: type[T]) -> T:
    try:
        # Some answers are nothing at all where others are an empty list.
        return msgspec.json.decode(text.strip() or "[]", type=kind)
    except msgspec.DecodeError as error:
        raise ProviderError(f"iproute2 gave an answer that is none: {error}") from None
