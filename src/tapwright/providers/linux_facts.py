"""What the steps of a mirror by tc depend on, and what is known of its copies' way; read from the kernel beforehand."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from tapwright.adapters import namespaces, netlink, tc
from tapwright.errors import ProviderError
from tapwright.model import Device, DeviceKey
from tapwright.plan import preflight
from tapwright.plan.mirrors import Mirror
from tapwright.providers import linux_tunnel
from tapwright.providers.linux_made import brought_hooks
from tapwright.providers.linux_mirror import Facts, tunnel_name, tunnel_step

_FRESH = 0.5
"""Seconds."""


class Devices:
    """All devices of the namespaces that we look at, some moments old: many mirrors are planned in one go."""

    def __init__(self, globs: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._globs = globs
        self._clock = clock
        self._looked = float("-inf")
        self._seen: Mapping[DeviceKey, Device] = {}

    def __call__(self) -> Mapping[DeviceKey, Device]:
        """Those there are.  Raises ProviderError."""
        if self._clock() > self._looked + _FRESH:
            try:
                self._seen = netlink.survey(namespaces.census(self._globs).namespaces).devices
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
    device = devices.get(point.device)
    name = device.name if device else point.device_name
    # Hooks that another tapwright just made, or is about to take, have no filter of its yet or any more.
    with namespaces.alone(point.netns):
        hooks = tc.hooked(point.netns).get(point.device.index, "")
        ours = bool(hooks) and any(
            brought_hooks(found) for hook in tc.HOOKS for found in tc.filters(point.netns, name, hook)
        )
    way = tc.way(point.netns, mirror.target.remote) if mirror.target.remote else tc.Route()
    missing = _missing(mirror) if mirror.target.tunnel else ""
    return Facts(devices, hooks, ours, way.dev, way.prefsrc, missing)


def _missing(mirror: Mirror) -> str:
    """The kind of device that the mirror's tunnel needs, where the kernel does not have it."""
    details = linux_tunnel.details_of(tunnel_step(mirror, tunnel_name(mirror)).do)
    return "" if tc.makes(mirror.point.netns, tunnel_name(mirror), details) else details[0]


def scout(mirror: Mirror, seen: Devices) -> preflight.Facts:
    """What is known of the copies' way.  Raises ProviderError, PrivilegeError."""
    point, devices = mirror.point, seen()
    mirrored = devices.get(point.device) if point.device else None
    mtu = mirrored.mtu if mirrored else 0
    if not mirror.target.tunnel:
        taker = devices.get(mirror.place.device) if mirror.place.device else None
        beyond = devices.get(taker.peer) if taker and taker.peer else None
        return preflight.Facts(vnic_mtu=mtu, taker_mtu=_takes(taker, beyond))
    route = tc.way(point.netns, mirror.target.remote)
    device = next((d for d in devices.values() if (d.key.netns, d.name) == (point.netns.inode, route.dev)), None)
    way = preflight.Way(route.dev, route.gateway, route.mtu or (device.mtu if device else 0))
    # None of the tunnels that are made here says that its packets must not be fragmented.
    return preflight.Facts(vnic_mtu=mtu, way=way, too_large=preflight.TooLarge.FRAGMENTS)


def _takes(taker: Device | None, beyond: Device | None) -> int:
    """The MTU that a target enforces: a veth's is that of its other end, its own says nothing about copies."""
    if beyond:
        return beyond.mtu
    return taker.mtu if taker and taker.kind not in ("veth", "tun") else 0
