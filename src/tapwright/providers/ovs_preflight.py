"""Pure: what can be known of a mirror before it is opened: room for it, loops, and whether copies fit the way."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address

from tapwright.plan.mirrors import Mirror, Target, TargetKind

MOST_MIRRORS = 32
"""Mirrors of one bridge: MAX_MIRRORS of Open vSwitch's ofproto-dpif-mirror.h; the next one is not made, silently."""
ETHERNET = 14
"""Bytes of the frame's own header, which an MTU does not count and a copy carries."""
_IP4 = 20
_IP6_MORE = 20
_GRE, _GRE_KEY, _GRE_SEQUENCE, _UDP = 4, 4, 4, 8
_HEADERS = {
    TargetKind.ERSPAN2: _GRE + _GRE_SEQUENCE + 8,
    TargetKind.ERSPAN3: _GRE + _GRE_SEQUENCE + 12,
    TargetKind.GRE: _GRE,
    TargetKind.VXLAN: _UDP + 8,
    TargetKind.GENEVE: _UDP + 8,
}
"""Bytes between the outer IP header and the copied frame: draft-foschiano-erspan-03, RFC 2784, 7348, 8926."""


def overhead(target: Target) -> int:
    """Bytes that `target`'s tunnel puts around a frame, outer Ethernet header included; 0 where it is no tunnel."""
    if not target.tunnel:
        return 0
    key = _GRE_KEY if target.kind is TargetKind.GRE and target.number else 0
    more = _IP6_MORE if ip_address(target.remote).version == 6 else 0
    return ETHERNET + _IP4 + more + _HEADERS[target.kind] + key


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether the largest frames of a vNIC still pass once they are wrapped."""

    fits: bool
    outer: int
    """MTU that the way to the collector needs for them, in bytes."""
    text: str
    """What will happen to them, "" where they fit."""
    advice: str = ""


def fit(target: Target, vnic_mtu: int, path_mtu: int, tagged: bool = False) -> Fit:
    """Whether copies of a vNIC of `vnic_mtu` pass a way of `path_mtu` bytes; an MTU of 0 is unknown and passes.

    A frame `tagged` with a VLAN is copied with its tag, 4 bytes more.
    """
    inner = vnic_mtu + ETHERNET + (4 if tagged else 0)
    outer = inner + overhead(target) - ETHERNET
    if not target.tunnel or not vnic_mtu or not path_mtu or outer <= path_mtu:
        return Fit(True, outer if target.tunnel else vnic_mtu, "")
    most = path_mtu - (outer - vnic_mtu)
    return Fit(
        False,
        outer,
        f"copies of frames with more than {max(most, 0)} bytes behind their Ethernet header do not fit the way to "
        f"{target.remote}, whose MTU is {path_mtu}: they are lost, neither cut nor in fragments",
        f"raise the MTU of the way to {outer}, lower the vNIC's to {most}, or mirror to a device of this host",
    )


def loop(mirror: Mirror, addresses: Collection[str] = (), way: Collection[str] = ()) -> str:
    """Why copies would be copied again, "" where they would not.

    `addresses` are the mirrored vNIC's own; `way` names the switch ports and devices through which
    the target is reached.
    """
    mirrored = {mirror.point.port, mirror.point.device_name} - {""}
    if mirrored & {mirror.place.port, mirror.place.device_name}:
        return f"the copies of {mirror.point.port} would go into {mirror.point.port} itself"
    if mirror.place.device and mirror.place.device == mirror.point.device:
        return f"the copies would go into the mirrored device {mirror.point.device_name} itself"
    if mirror.target.remote and ip_address(mirror.target.remote) in {
        ip_address(a.partition("/")[0]) for a in addresses
    }:
        return f"{mirror.target.remote} is the mirrored VM itself, which would get copies of its copies"
    if through := sorted(mirrored & set(way)):
        return f"the way to {mirror.target.remote or mirror.target.text} leads through {through[0]}, which is mirrored"
    return ""


def room(mirrors: int) -> str:
    """Why a bridge that has so many mirrors takes no more, "" where it does."""
    if mirrors < MOST_MIRRORS:
        return ""
    return f"it has {mirrors} mirrors already, and Open vSwitch serves {MOST_MIRRORS} a bridge at most"
