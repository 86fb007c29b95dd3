"""Feeds: the mirrors that are received, as a person names them: ``KIND[:NUMBER][@DEVICE|@ADDRESS]``.  Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from tapwright.errors import NotFound, UsageError
from tapwright.model import Device

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_SHAPE = re.compile(r"(?P<kind>[a-z-]+)(?::(?P<number>\d{1,5}))?(?:@(?P<at>\S+))?", re.ASCII)
_MOST_EXPORTERS = 256


class FeedKind(StrEnum):
    """How mirrors arrive."""

    ERSPAN = "erspan"
    """Types I, II and III."""
    GRE = "gre"
    VXLAN = "vxlan"
    VXLAN_GPE = "vxlan-gpe"
    GENEVE = "geneve"
    TZSP = "tzsp"
    AWS = "aws"
    """VXLAN from an ENI or a network load balancer, or the same inside Geneve from a gateway load balancer."""
    RSPAN = "rspan"
    """A VLAN that carries nothing but copies."""


UDP_PORTS: Mapping[FeedKind, tuple[int, ...]] = {
    FeedKind.VXLAN: (4789, 8472),
    FeedKind.VXLAN_GPE: (4790,),
    FeedKind.GENEVE: (6081,),
    FeedKind.TZSP: (37008,),
    FeedKind.AWS: (4789, 6081),
}
"""Those a kind has when none is named."""
_WITH_PORT = frozenset(UDP_PORTS) - {FeedKind.AWS}


@dataclass(frozen=True, slots=True)
class Feed:
    """One kind of mirror, and where it arrives."""

    kind: FeedKind
    number: int = 0
    """UDP port, or the VLAN of RSPAN; 0 is the usual port."""
    at: str = ""
    """A device of this host or an address of it; "" is every device that has an address."""

    @property
    def ports(self) -> tuple[int, ...]:
        """UDP ports it arrives at; none for GRE and VLANs."""
        if self.kind in _WITH_PORT and self.number:
            return (self.number,)
        return UDP_PORTS.get(self.kind, ())

    @property
    def address(self) -> Address | None:
        """The address it is sent to, where that is named."""
        try:
            return ipaddress.ip_address(self.at)
        except ValueError:
            return None


def feed(text: str) -> Feed:
    """One SOURCE of the command line.  Raises UsageError."""
    found = _SHAPE.fullmatch(text)
    kind = found["kind"] if found else ""
    if found is None or kind not in set(FeedKind):
        known = ", ".join(FeedKind)
        raise UsageError(f"{text!r} is not a source of mirrors", f"KIND[:NUMBER][@DEVICE|@ADDRESS]; kinds: {known}")
    made = Feed(FeedKind(kind), int(found["number"] or 0), found["at"] or "")
    _check(made, text, numbered=found["number"] is not None)
    return made


def _check(made: Feed, text: str, *, numbered: bool) -> None:
    if made.kind is FeedKind.RSPAN:
        if not 1 <= made.number <= 4094 or not made.at or made.address:
            raise UsageError(f"{text!r}: RSPAN needs its VLAN and a device", "for example rspan:999@eth1")
    elif numbered and made.kind not in _WITH_PORT:
        raise UsageError(f"{text!r}: {made.kind} has no port")
    elif numbered and not 0 < made.number < 1 << 16:
        raise UsageError(f"{text!r}: {made.number} is not a UDP port")


def exporters(text: str) -> tuple[Network, ...] | None:
    """Those of ``--from``: addresses and networks, or None for ``any``.  Raises UsageError."""
    if text == "any":
        return None
    try:
        found = tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise UsageError(f"--from: {error}", "addresses and networks with commas between, or `any`") from None
    if len(found) > _MOST_EXPORTERS:
        raise UsageError(f"--from names {len(found)}, {_MOST_EXPORTERS} are the limit", "name their networks instead")
    return found


def by_address(feeds: Sequence[Feed]) -> list[list[Feed]]:
    """Feeds of one device apart by the address they are sent to; a kind that may go to any address takes all of its."""
    anywhere = {one.kind for one in feeds if not one.address}
    groups: dict[Address | None, list[Feed]] = {}
    for one in feeds:
        found = replace(one, at="") if one.address and one.kind in anywhere else one
        groups.setdefault(found.address, []).append(found)
    return [list(dict.fromkeys(group)) for group in groups.values()]


def compatible(feeds: Sequence[Feed]) -> None:
    """What arrives at one device is taken by one of them alone.  Raises UsageError.

    The AWS form may be two wrappings deep at ports where others are one.
    """
    ports = {port for one in feeds if one.kind is FeedKind.AWS for port in one.ports}
    for other in feeds:
        if other.kind is not FeedKind.AWS and (both := sorted(ports & set(other.ports))):
            raise UsageError(
                f"{other.kind} and aws both take UDP port {both[0]}: its packets would be written twice",
                f"aws receives {other.kind} there too; leave {other.kind} out, or give it another port or device",
            )


def devices_of(wanted: Feed, devices: Sequence[Device]) -> tuple[Device, ...]:
    """Where it arrives, among the devices of our namespace.  Raises NotFound, UsageError."""
    if not wanted.at:
        found = tuple(device for device in devices if device.up and any(map(_usable, device.addresses)))
        if not found:
            raise UsageError("no device of this host has an address that a mirror could be sent to")
        return found
    if address := wanted.address:
        owner = [d for d in devices if any(_interface(text).ip == address for text in d.addresses)]
        if not owner:
            raise NotFound(f"no device of this host has the address {address}")
        return (owner[0],)
    named = tuple(device for device in devices if device.name == wanted.at)
    if not named:
        raise NotFound(f"this host has no device {wanted.at!r}", f"there are {', '.join(_names(devices))}")
    return named


def _names(devices: Iterable[Device]) -> list[str]:
    return sorted(device.name for device in devices)


def _interface(text: str) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    return ipaddress.ip_interface(text)


def _usable(text: str) -> bool:
    ip = _interface(text).ip
    return not (ip.is_loopback or ip.is_link_local)
