"""What the steps of a mirror by tc depend on, and what is known of its copies' way; read from the kernel beforehand."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tapwright.adapters import namespaces, netlink, tc
from tapwright.adapters.namespace_lock import alone
from tapwright.errors import ProviderError
from tapwright.model import Device, DeviceKey, Netns
from tapwright.plan import preflight
from tapwright.plan.mirroring import UPPER
from tapwright.plan.mirrors import Mirror
from tapwright.providers import linux_tunnel
from tapwright.providers.linux_made import brought_hooks, tunnelled
from tapwright.providers.linux_mirror import Facts, tunnel_name, tunnel_step
from tapwright.providers.linux_vlan_programs import Tags, lets_through
from tapwright.providers.linux_vlans import bare, tagged
from tapwright.providers.linux_ways import bridges_behind

_FRESH = 0.5
"""Seconds."""


class Devices:
    """What the kernel says of the namespaces that we look at, some moments old: many mirrors are planned in one go."""

    def __init__(self, globs: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._globs = globs
        self._clock = clock
        self._looked = float("-inf")
        self._seen = netlink.Survey()

    def __call__(self) -> Mapping[DeviceKey, Device]:
        """The devices that there are.  Raises ProviderError."""
        return self.survey().devices

    def survey(self) -> netlink.Survey:
        """All of it.  Raises ProviderError."""
        if self._clock() > self._looked + _FRESH:
            try:
                self._seen = netlink.survey(namespaces.census(self._globs).namespaces)
            except OSError as error:
                raise ProviderError(f"rtnetlink: {error.strerror or error}") from None
            self._looked = self._clock()
        return self._seen


def read(mirror: Mirror, seen: Devices) -> Facts:
    """What the steps depend on.  Raises ProviderError, PrivilegeError."""
    point = mirror.point
    if point.device is None:
        return Facts()
    devices = seen()
    # Hooks that another tapwright just made, or is about to take, have no filter of its yet or any more.
    with alone(point.netns):
        hooks = tc.hooked(point.netns).get(point.device.index, "")
        ours = bool(hooks) and _brought(point.netns, tc.link(point.netns, point.device.index))
    way = tc.way(point.netns, mirror.target.remote) if mirror.target.remote else tc.Route()
    missing = _missing(mirror) if mirror.target.tunnel else ""
    facts = Facts(devices, hooks, ours, way.dev, way.prefsrc, missing)
    return _of_bridge(mirror, seen.survey(), facts) if point.whole else facts


def _brought(netns: Netns, device: tc.Link) -> bool:
    """Whether mirrors of ours brought a device's hooks."""
    return any(brought_hooks(found) for hook in tc.HOOKS for found in tc.filters(netns, device, hook))


def _of_bridge(mirror: Mirror, survey: netlink.Survey, facts: Facts) -> Facts:
    """With what a mirror of a bridge's VLANs depends on besides."""
    point = mirror.point
    passes = passed(survey.devices, point.netns.inode, facts.route)
    beside = tuple(
        program for bridge, tag in passes for program in tunnelled(point.netns, bridge) if lets_through(program, tag)
    )
    return replace(facts, tags=tags_of(mirror, survey), passes=passes, beside=beside)


def tags_of(mirror: Mirror, survey: netlink.Survey) -> Tags:
    """How the mirrored bridge tells VLANs at its own device; pure."""
    protocol = survey.vlan_aware.get(mirror.point.device, 0) if mirror.point.device else 0
    vlans = survey.vlans.get(mirror.point.device) if mirror.point.device else None
    return Tags(protocol, vlans.pvid, vlans.untagged) if protocol and vlans else Tags(protocol)


def passed(devices: Mapping[DeviceKey, Device], netns: int, route: str) -> tuple[tuple[str, int | None], ...]:
    """The bridges of a namespace that packets pass which leave by the device `route` of it, and with which tag; pure.

    A tag of 0 is none; None is not known: they come in by a port.
    """
    start = next((device for device in devices.values() if (device.key.netns, device.name) == (netns, route)), None)
    if start is None:
        return ()
    found = [devices[key] for key in bridges_behind(devices, start.key) if key in devices and key.netns == netns]
    tag = 0
    while start.kind in UPPER and start.lower and start.lower in devices:
        tag = start.vlan or tag
        start = devices[start.lower]
    return tuple(sorted((bridge.name, tag if bridge is start else None) for bridge in found))


def _missing(mirror: Mirror) -> str:
    """The kind of device that the mirror's tunnel needs, where the kernel does not have it."""
    details = linux_tunnel.details_of(tunnel_step(mirror, tunnel_name(mirror)).do)
    return "" if tc.makes(mirror.point.netns, tunnel_name(mirror), details) else details[0]


def scout(mirror: Mirror, seen: Devices) -> preflight.Facts:
    """What is known of the copies' way.  Raises ProviderError, PrivilegeError."""
    point, devices = mirror.point, seen()
    mirrored = devices.get(point.device) if point.device else None
    known = preflight.Facts(vnic_mtu=mirrored.mtu if mirrored else 0)
    if point.whole:
        tags = tags_of(mirror, seen.survey())
        known = replace(known, tagged=tagged(mirror, tags), left_out=True, bare=bare(mirror, tags))
    if not mirror.target.tunnel:
        taker = devices.get(mirror.place.device) if mirror.place.device else None
        beyond = devices.get(taker.peer) if taker and taker.peer else None
        return replace(known, taker_mtu=_takes(taker, beyond))
    route = tc.way(point.netns, mirror.target.remote)
    device = next((d for d in devices.values() if (d.key.netns, d.name) == (point.netns.inode, route.dev)), None)
    mtu = route.mtu or (device.mtu if device else 0)
    way = preflight.Way(route.dev, route.gateway, mtu, everybody=route.type == "broadcast")
    # None of the tunnels that are made here says that its packets must not be fragmented; IPv6 does by itself.
    six = ":" in mirror.target.remote
    return replace(known, way=way, too_large=preflight.TooLarge.REFUSED if six else preflight.TooLarge.FRAGMENTS)


def _takes(taker: Device | None, beyond: Device | None) -> int:
    """The MTU that a target enforces: a veth's is that of its other end, its own says nothing about copies."""
    if beyond:
        return beyond.mtu
    return taker.mtu if taker and taker.kind not in ("veth", "tun") else 0
