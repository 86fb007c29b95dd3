"""What is counted of a mirror by tc, and of the device that it copies."""

from __future__ import annotations

from collections.abc import Sequence

from tapwright.adapters import netlink, tc
from tapwright.adapters.tc_filters import Statistics
from tapwright.model import Counters, DeviceKey
from tapwright.plan.counts import Counts, Ways
from tapwright.plan.mirrors import Direction
from tapwright.plan.steps import Operation, Step
from tapwright.providers.linux_made import enter, filters_of, mirrored


def copied(step: Step) -> int | None:
    """Frames that a filter copied; None for other steps and what is gone.  Raises ProviderError, PrivilegeError."""
    found = _statistics(step) if step.do.verb == "copy" else None
    return found.packets - found.overlimits if found else None


def measured(steps: Sequence[Step]) -> Counts:
    """What is counted of one mirror; its copies before the frames of its device, so that they are never ahead.

    Raises ProviderError, PrivilegeError.
    """
    if any(step.do.text("direction") == Direction.BOTH for step in steps):
        return _of_vlans(steps)
    filters = {Direction(step.do.text("direction")): step for step in steps if step.do.verb == "copy"}
    stats = {direction: _statistics(step) for direction, step in filters.items()}
    # A filter that is gone copies nothing.
    packets = {direction: each.packets if each else 0 for direction, each in stats.items()}
    ways = Ways(packets.get(Direction.IN), packets.get(Direction.OUT))
    refused = sum(each.overlimits for each in stats.values() if each)
    lost = _lost(steps)
    first = next(iter(filters.items()), None)
    device = _counters(first[1].do) if first else None
    if first is None or device is None:
        return Counts(copied=ways, failed=refused + lost)
    outside = (first[0] is Direction.IN) == (first[1].do.text("hook") == "egress")
    seen = Ways(device.tx_packets, device.rx_packets) if outside else Ways(device.rx_packets, device.tx_packets)
    return Counts(seen, ways, None, device.tx_bytes + device.rx_bytes, refused + lost, lag=1.5)


def _of_vlans(steps: Sequence[Step]) -> Counts:
    """Of a bridge's VLANs: nobody counts their frames, so copies alone."""
    stats = [found for step in steps if step.do.verb == "copy" and (found := _statistics(step))]
    refused = sum(each.overlimits for each in stats)
    return Counts(total=sum(each.packets for each in stats), failed=refused + _lost(steps), lag=1.5)


def _lost(steps: Sequence[Step]) -> int:
    """Copies that a tunnel could not send."""
    tunnels = [counters for step in steps if step.do.verb == "tunnel" and (counters := _tunnel_counters(step.do))]
    return sum(counters.tx_errors + counters.tx_dropped for counters in tunnels)


def _statistics(step: Step) -> Statistics | None:
    netns = enter(step.do)
    try:
        there = tc.filters(netns, mirrored(netns, step.do), step.do.text("hook")) if netns else ()
    except tc.Gone:
        return None
    return next((action.stats for each in filters_of(step.do, there) for action in each.actions[:1]), None)


def _counters(operation: Operation) -> Counters | None:
    """Of the mirrored device."""
    netns, key = enter(operation), DeviceKey(operation.number("inode"), operation.number("index"))
    return netlink.read_counters([key], {key.netns: netns}).get(key) if netns else None


def _tunnel_counters(operation: Operation) -> Counters | None:
    netns = enter(operation)
    if netns is None:
        return None
    try:
        device = tc.link(netns, operation.text("device"))
    except tc.Gone:
        return None
    key = DeviceKey(netns.inode, device.ifindex)
    return netlink.read_counters([key], {netns.inode: netns}).get(key)
