"""Mirrors: what is copied, and where the copies go, as plain data.

Targets as a person writes them (RFC numbers are of what goes over the wire):

    nic:eth3                      a network card (or virtual device) of this host, for an external sniffer
    vm:sniffer/eth1               a collector VM's vNIC
    rspan:999                     VLAN 999 of the switch: every trunk that carries it
    erspan2://192.0.2.9?session=7&index=3     ERSPAN type II (draft-foschiano-erspan-03)
    erspan3://192.0.2.9?session=7             ERSPAN type III
    gre://192.0.2.9?key=7         Ethernet in GRE (RFC 2784, 2890)
    vxlan://192.0.2.9?vni=7007    VXLAN (RFC 7348)
    geneve://192.0.2.9?vni=7007   Geneve (RFC 8926)
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl, urlsplit

from tapwright.errors import UsageError
from tapwright.model import DeviceKey, Netns
from tapwright.plan.points import Point
from tapwright.plan.steps import Mark
from tapwright.text import printable


class Direction(StrEnum):
    """Which of the vNIC's frames are copied, from the VM's side."""

    IN = "in"
    """What comes to the VM."""
    OUT = "out"
    """What it sends."""
    BOTH = "both"


class TargetKind(StrEnum):
    """Where copies go."""

    NIC = "nic"
    VM = "vm"
    RSPAN = "rspan"
    ERSPAN2 = "erspan2"
    ERSPAN3 = "erspan3"
    GRE = "gre"
    VXLAN = "vxlan"
    GENEVE = "geneve"


@dataclass(frozen=True, slots=True)
class Target:
    """Where copies go, as it was asked for."""

    kind: TargetKind
    name: str = ""
    """The device of ``nic:``, the ``VM/NIC`` of ``vm:``."""
    vlan: int = 0
    remote: str = ""
    """IP address of the collector, for tunnels."""
    number: int = 0
    """Session (10 bits), GRE key (32 bits) or VNI (24 bits)."""
    index: int = 0
    """ERSPAN II's index (20 bits)."""
    port: int = 0
    """UDP port of VXLAN and Geneve; 0 is the standard one."""

    @property
    def tunnel(self) -> bool:
        """Whether copies are wrapped and leave by an IP route."""
        return bool(self.remote)

    @property
    def udp_port(self) -> int:
        """Where a tunnel's packets go to; 0 for those that are not UDP."""
        return self.port or _UDP_PORTS.get(self.kind, 0)

    @property
    def text(self) -> str:
        """As `parse` reads it."""
        if self.kind in (TargetKind.NIC, TargetKind.VM):
            return f"{self.kind}:{self.name}"
        if self.kind is TargetKind.RSPAN:
            return f"rspan:{self.vlan}"
        number = _TUNNELS[self.kind][0]
        given = {number: self.number, "index": self.index, "port": self.port}
        query = "&".join(f"{key}={value}" for key, value in given.items() if value)
        host = f"[{self.remote}]" if ":" in self.remote else self.remote
        return f"{self.kind}://{host}" + (f"?{query}" if query else "")


@dataclass(frozen=True, slots=True)
class Place:
    """A target found on this host: the device or switch port that takes the copies."""

    device: DeviceKey | None = None
    device_name: str = ""
    netns: Netns | None = None
    port: str = ""
    """Name of the switch port, where it is one of the mirrored switch."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """One vNIC's frames, or those of a switch's VLANs, copied to one target: all that the steps need."""

    point: Point
    target: Target
    mark: Mark
    place: Place = Place()
    """Where ``nic:`` and ``vm:`` targets are on this host; empty for the others."""
    direction: Direction = Direction.BOTH
    program: bytes = b""
    """Classic BPF over the vNIC's frames (8 bytes an instruction, native order); b"" copies all."""
    snaplen: int = 0
    """Bytes copied of each frame, 0 for whole ones."""
    vlans: tuple[int, ...] = ()
    """Only frames of these VLANs of the switch; () is all."""

    @property
    def source(self) -> str:
        """What is copied, as a person would call it."""
        return vlans_of(self.point.device_name, self.vlans) if self.point.whole else f"port {self.point.port}"


def vlans_of(switch: str, vlans: Sequence[int]) -> str:
    """What a mirror of a whole switch copies, in words."""
    return f"VLAN {', '.join(map(str, vlans))} of switch {switch}"


_TUNNELS: dict[TargetKind, tuple[str, int, tuple[str, ...]]] = {
    TargetKind.ERSPAN2: ("session", 0x3FF, ("index",)),
    TargetKind.ERSPAN3: ("session", 0x3FF, ()),
    TargetKind.GRE: ("key", 0xFFFF_FFFF, ()),
    TargetKind.VXLAN: ("vni", 0xFF_FFFF, ("port",)),
    TargetKind.GENEVE: ("vni", 0xFF_FFFF, ("port",)),
}
"""kind -> what its number is called, the highest one, and what else may be said"""
_UDP_PORTS = {TargetKind.VXLAN: 4789, TargetKind.GENEVE: 6081}
"""Where RFC 7348 and RFC 8926 want them."""
_HIGHEST = {"index": 0xF_FFFF, "port": 0xFFFF}
_HINT = "write it as nic:DEV, vm:NAME/NIC, rspan:VLAN, or erspan2://, erspan3://, gre://, vxlan://, geneve://ADDRESS"


def parse(text: str) -> Target:
    """The target that `text` names.  Raises UsageError with what is wrong with it."""
    kind, colon, rest = text.partition(":")
    if not colon or kind not in set(TargetKind):
        raise UsageError(f"{printable(text)!r} is no target for a mirror", _HINT)
    if kind == TargetKind.RSPAN:
        return Target(TargetKind.RSPAN, vlan=_number("VLAN", rest, 4094, least=1))
    if kind in (TargetKind.NIC, TargetKind.VM):
        if not rest:
            raise UsageError(f"{kind}: needs a name", _HINT)
        return Target(TargetKind(kind), name=rest)
    return _tunnel(TargetKind(kind), text)


def _tunnel(kind: TargetKind, text: str) -> Target:
    number, most, others = _TUNNELS[kind]
    try:
        parts = urlsplit(text)
        address = ipaddress.ip_address(parts.hostname or "")
        given = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        port = parts.port
    except ValueError:
        raise UsageError(
            f"{printable(text)!r} names no collector", f"write it as {kind}://192.0.2.9?{number}=7"
        ) from None
    remote = str(address)
    if address.is_unspecified or remote == "255.255.255.255":
        raise UsageError(f"{remote} is no host's address", "name the collector's own address")
    if unknown := sorted(given.keys() - {number, *others}):
        known = ", ".join((number, *others))
        raise UsageError(f"{kind}: there is no {printable(unknown[0])!r}; there is {known}")
    if parts.path.strip("/") or parts.fragment or parts.username or (port is not None and "port" not in others):
        raise UsageError(f"{printable(text)!r} says too much", f"write it as {kind}://192.0.2.9?{number}=7")
    values = {key: _number(key, value, _HIGHEST.get(key, most)) for key, value in given.items()}
    return Target(
        kind,
        remote=remote,
        number=values.get(number, 0),
        index=values.get("index", 0),
        port=values.get("port", port or 0),
    )


def _number(name: str, text: str, most: int, least: int = 0) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 12 and least <= int(text) <= most):
        raise UsageError(f"{name} {printable(text)!r} is not a number from {least} to {most}")
    return int(text)
