"""The one place that knows the kernel's traffic control: hooks, filters, tunnel devices, inside any network namespace.

Hooks, filters and devices are asked for and made over rtnetlink; tunnel devices by `ip`, which knows their many
settings.  Programs of iproute2 get argument lists only; a device's name comes from the kernel and is checked before it
stands on one.  Whoever asks for a device that is gone gets `Gone`.

A filter here is a classic BPF program (8 bytes an instruction) with one action, a copy to another
device (`mirred`).  It ends with the verdict *continue*: filters of others on the same hook see the
frame as if ours were not there.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, TypeVar

import msgspec

from tapwright.adapters import command, rtnetlink, tc_filters
from tapwright.adapters.tc_filters import Action, Filter, NewFilter
from tapwright.errors import PrivilegeError, ProviderError
from tapwright.model import Netns

HOOKS = ("ingress", "egress")
"""``ingress``: what the device hands to the host; ``egress``: what the host gives the device."""
MAX_INSTRUCTIONS = 4000
"""A longer filter can be made, but the kernel's listings have 32 KiB for one and then break off for everybody."""
_MOST = 64 << 20
"""Bytes of an answer."""
_NAME = re.compile(r"[A-Za-z0-9_.+~-]{1,15}")
_INSTRUCTION = 8
"""Bytes."""
_REFUSED = re.compile(r"Operation not permitted|Permission denied")
_GONE = re.compile(r"Cannot find device|does not exist|No such device|cannot open .*: No such file or directory")
_NOT_THERE = (errno.ENODEV, errno.ENXIO)
_UNKNOWN_KIND = re.compile(r"Unknown device type|Operation not supported|not supported", re.IGNORECASE)
T = TypeVar("T")


class Gone(ProviderError):
    """The device or its namespace is not there any more."""


class Unsupported(ProviderError):
    """This kernel, or this iproute2, has no such thing."""


class LinkInfo(msgspec.Struct, frozen=True):
    """What sort of virtual device it is, and how it was made."""

    info_kind: str = ""
    info_data: Mapping[str, Any] = {}


class Link(msgspec.Struct, frozen=True):
    """A device, in the words of `ip`."""

    ifindex: int
    ifname: str
    flags: tuple[str, ...] = ()
    ifalias: str = ""
    mtu: int = 0
    linkinfo: LinkInfo = LinkInfo()
    """How it was made only `described` tells."""

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
    type: str = ""
    """As iproute2 calls it: "unicast" or "" as a rule, "broadcast" where everybody on the link is meant."""

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
    with _explained("listing devices"):
        return tuple(map(_link, rtnetlink.devices(netns)))


def described(netns: Netns, name: str) -> Link:
    """The device of that name, with the particulars of its kind.  Raises as `links`."""
    shown = _decoded(_run(netns, ["ip", "-j", "-d", "link", "show", "dev", safe(name)]), tuple[Link, ...])
    found = next((each for each in shown if each.ifname == name), None)  # it takes alternative names, too
    if found is None:
        raise Gone(f"device {name} does not exist")
    return found


def way(netns: Netns, remote: str) -> Route:
    """The kernel's route to an address; one without a device where there is none.  Raises as `links`."""
    try:
        found = _decoded(_run(netns, ["ip", "-j", "route", "get", remote]), tuple[Route, ...])
    except (Gone, PrivilegeError):
        raise
    except ProviderError:
        return Route()
    return found[0] if found else Route()


def link(netns: Netns, which: int | str) -> Link:
    """The device of that ifindex or name.  Raises as `links`."""
    with _explained(f"device {which}"):
        return _link(rtnetlink.device(netns, which))


def _link(found: rtnetlink.Device) -> Link:
    return Link(found.index, found.name, ("UP",) if found.up else (), found.alias, found.mtu, LinkInfo(found.kind))


def hooked(netns: Netns) -> dict[int, str]:
    """By ifindex ``clsact`` or ``ingress``, for those of a namespace that have hooks.  Raises as `links`."""
    with _explained("listing queueing disciplines"):
        answers = rtnetlink.ask(netns, rtnetlink.GET_QDISC, rtnetlink.DUMP, tc_filters.EVERYTHING)
    return {index: kind for index, kind in map(tc_filters.qdisc, answers) if kind in ("clsact", "ingress")}


def filters(netns: Netns, device: Link, hook: str) -> tuple[Filter, ...]:
    """All that is on a hook, empty priorities included, with what went through.  Raises as `links`."""
    with _explained(f"listing filters of {device.ifname}, {hook}"):
        body = tc_filters.listing(device.ifindex, hook)
        answers = rtnetlink.ask(netns, rtnetlink.GET_FILTER, rtnetlink.DUMP, body)
    # Each is asked for once: whoever lives in a namespace can have a hundred thousand actions there.
    name_of = cache(partial(_name_of, netns))
    return tuple(tc_filters.read(answer, name_of) for answer in answers)


def _name_of(netns: Netns, index: int) -> str:
    try:
        return link(netns, index).ifname if index else "*"
    except Gone:
        return "*"


def add_hooks(netns: Netns, device: Link) -> None:
    """Give a device both hooks.  Raises as `links`."""
    with _explained(f"adding hooks to {device.ifname}"):
        body = tc_filters.clsact(device.ifindex)
        rtnetlink.ask(netns, rtnetlink.NEW_QDISC, rtnetlink.CREATE | rtnetlink.EXCLUSIVE, body)


def delete_hooks(netns: Netns, device: Link) -> None:
    """Take both hooks from a device, with all filters on them.  Raises as `links`."""
    with _explained(f"removing the hooks of {device.ifname}"):
        body = tc_filters.clsact(device.ifindex)
        rtnetlink.ask(netns, rtnetlink.DELETE_QDISC, 0, body)


def add_filter(netns: Netns, device: Link, to: Link, wanted: NewFilter) -> None:
    """Copy what a program matches from one device to another of the same namespace.

    Raises as `links`; ProviderError also when the kernel refuses the program.
    """
    size = len(wanted.program) // _INSTRUCTION
    if size > MAX_INSTRUCTIONS:
        raise ProviderError(
            f"the filter needs {size:,} instructions, and {MAX_INSTRUCTIONS:,} fit into a mirror by tc",
            "filter on a network (`net 10.0.0.0/24`) or a range (`portrange 1-99`) instead of a long list",
        )
    with _explained(f"adding a filter of {size:,} instructions to {device.ifname}"):
        body = tc_filters.made(device.ifindex, to.ifindex, wanted)
        rtnetlink.ask(netns, rtnetlink.NEW_FILTER, rtnetlink.CREATE | rtnetlink.EXCLUSIVE, body)


def replace_filter(netns: Netns, device: Link, wanted: NewFilter, action: Action) -> None:
    """Give a filter that is there another program, in one go; its `action` stays, with what it counted.

    Raises as `add_filter`.
    """
    with _explained(f"replacing a filter of {device.ifname}"):
        body = tc_filters.made(device.ifindex, 0, wanted, action.index)
        rtnetlink.ask(netns, rtnetlink.NEW_FILTER, rtnetlink.REPLACE, body)


def delete_filter(netns: Netns, device: Link, hook: str, found: Filter) -> None:
    """Remove one filter and no other.  Raises as `links`."""
    with _explained(f"removing a filter of {device.ifname}"):
        body = tc_filters.deleted(device.ifindex, hook, found)
        rtnetlink.ask(netns, rtnetlink.DELETE_FILTER, 0, body)


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


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """The kernel's refusals in our words."""
    try:
        yield
    except PermissionError:
        raise _refused() from None
    except OSError as error:
        kind = (
            Gone
            if error.errno in _NOT_THERE or (isinstance(error, FileNotFoundError) and error.filename)
            else ProviderError
        )
        raise kind(f"{what}: {error.strerror or error}") from None


def _refused() -> PrivilegeError:
    return PrivilegeError("tc mirrors need CAP_NET_ADMIN, and CAP_SYS_ADMIN in other namespaces", "run it with sudo")


def _argv(netns: Netns, argv: Sequence[str]) -> list[str]:
    return [*(["nsenter", f"--net={netns.path}"] if netns.path else []), *argv]


def _run(netns: Netns, argv: Sequence[str]) -> str:
    done = command.run(_argv(netns, argv), check=False)
    if done.ok and len(done.stdout) <= _MOST:
        return done.stdout
    said = " ".join(done.stderr.split()) or f"exit status {done.code}"
    what = " ".join(argv[:4])
    if done.ok:
        raise ProviderError(f"{what}: an answer of {len(done.stdout):,} characters is not read")
    if _REFUSED.search(said):
        raise _refused()
    kind = Gone if _GONE.search(said) else Unsupported if _UNKNOWN_KIND.search(said) else ProviderError
    raise kind(f"{what}: {said}")


def _decoded(text: str, kind: type[T]) -> T:
    try:
        # Some answers are nothing at all where others are an empty list.
        return msgspec.json.decode(text.strip() or "[]", type=kind)
    except msgspec.DecodeError as error:
        raise ProviderError(f"iproute2 gave an answer that is none: {error}") from None
