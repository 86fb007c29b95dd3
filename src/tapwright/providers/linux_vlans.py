"""Pure: whole VLANs of a Linux bridge, copied at the bridge's own device.

A bridge whose device is promiscuous hands every frame that it takes in to that device as well, once, whatever ports
it leaves by: the device's ingress hook has them all, and its egress hook has what the host itself sends.  By then the
kernel has taken the outermost tag off and keeps it beside the frame; a copy has it again.

Where the bridge is VLAN-aware each frame is in a VLAN.  Those VLANs that are *untagged* at the bridge itself, mostly
one, come without a tag, so they are told by having none.  Elsewhere a VLAN is what has its tag, and 0 what has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tapwright.adapters.tc import HOOKS
from tapwright.errors import ProviderError, UsageError
from tapwright.model import DeviceKey
from tapwright.plan.mirrors import Direction, Mirror, Target
from tapwright.plan.steps import Operation, Step
from tapwright.providers.linux_mirror import (
    Facts,
    check_copies,
    check_device,
    check_tunnel,
    copying,
    mirrored_at,
    refuse_direction,
    taker,
)
from tapwright.providers.linux_programs import at_hook, without_echoes, without_own
from tapwright.providers.linux_vlan_programs import Tags, only_vlans, tags_at
from tapwright.providers.linux_ways import bridges_behind

_WRAPPING = frozenset({
    "wireguard", "tun", "vxlan", "geneve", "gre", "gretap", "ip6gre", "ip6gretap", "erspan", "ip6erspan", "ipip", "sit",
    "ip6tnl", "vti", "vti6", "xfrm", "ppp", "macsec",
})  # fmt: skip
"""Kinds of devices that put something around what they send: behind them nobody knows our own packets."""
_ELSEWHERE = "send the copies wrapped (--to vxlan://ADDRESS?vni=7), or to a device that hangs on no port of it"


def steps(mirror: Mirror, facts: Facts) -> Sequence[Step]:
    """The changes that open `mirror`, in order.  Raises UsageError, ProviderError where it cannot be."""
    _check(mirror, facts)
    return tuple(_steps(mirror, facts))


def _steps(mirror: Mirror, facts: Facts) -> Iterator[Step]:
    to, made_first = taker(mirror, facts)
    yield from made_first
    yield _overhearing(mirror)
    made = not facts.hooks or facts.ours
    passes = {"passes": passes_text(facts.passes), "target": mirror.target.text} if facts.passes else {}
    for hook in HOOKS:
        whose = "takes in" if hook == "ingress" else "gets from its host"
        yield copying(
            mirror,
            hook,
            _program(mirror, facts.tags, hook),
            to,
            Direction.BOTH,
            f"what {mirror.point.device_name} {whose} in {_named(mirror, facts.tags)} is copied to {to}",
            made=made,
            **passes,
        )


def _overhearing(mirror: Mirror) -> Step:
    at = mirrored_at(mirror)
    why = (
        f"{mirror.point.device_name} is promiscuous as long as this process lives: its device gets all that it takes in"
    )
    return Step(Operation.of("linux", "overhear", **at), Operation.of("linux", "unhear", **at), why)


def _named(mirror: Mirror, tags: Tags) -> str:
    vlans = ", ".join(map(str, mirror.vlans))
    return f"VLAN {vlans}" + (f" ({bare(mirror, tags)})" if bare(mirror, tags) else "")


def bare(mirror: Mirror, tags: Tags) -> str:
    """Which VLANs' frames are copied without their tag, in words; "" where none are."""
    found = [vlan for vlan in mirror.vlans if vlan and _is_bare(vlan, tags)]
    return f"VLAN {', '.join(map(str, found))} without a tag, as at {mirror.point.device_name} itself" if found else ""


def tagged(mirror: Mirror, tags: Tags) -> bool:
    """Whether any of its copies has a tag."""
    return not all(_is_bare(vlan, tags) for vlan in mirror.vlans)


def _is_bare(vlan: int, tags: Tags) -> bool:
    return not vlan or vlan in tags.untagged or vlan == tags.pvid


# What is refused


def _check(mirror: Mirror, facts: Facts) -> None:
    """Raises UsageError, ProviderError with the reason where tc cannot serve the mirror."""
    check_copies(mirror)
    refuse_direction(mirror)
    bridge = facts.devices.get(mirror.point.device) if mirror.point.device else None
    if bridge is not None and not bridge.up:
        raise ProviderError(f"{bridge.name} is down, and forwards nothing", f"ip link set {bridge.name} up")
    if facts.hooks == "ingress":
        raise ProviderError(
            f"{mirror.point.device_name} has an `ingress` qdisc of somebody else's, beside which no egress hook can be",
            f"mirror its VMs, or remove that: tc qdisc del dev {mirror.point.device_name} ingress",
        )
    _check_vlans(mirror, facts.tags)
    if mirror.target.tunnel:
        check_tunnel(mirror, facts)
        _check_way(mirror, facts)
    else:
        check_device(mirror, facts)
        _check_target(mirror, facts)


def _check_vlans(mirror: Mirror, tags: Tags) -> None:
    name, wanted = mirror.point.device_name, frozenset(mirror.vlans)
    if not wanted:
        raise UsageError(f"which frames of switch {name}?", "name the VLANs: --vlan 10")
    if not tags.protocol:
        return
    if 0 in wanted:
        own = f"--vlan {tags.pvid}" if tags.pvid else "bridge vlan show"
        raise UsageError(f"{name} is VLAN-aware: each of its frames is in a VLAN, none in VLAN 0", own)
    asked = wanted & frozenset(tags.untagged)
    if asked and asked != frozenset(tags.untagged):
        several = ", ".join(map(str, tags.untagged))
        raise UsageError(
            f"VLANs {several} are all untagged at {name} itself, where nothing tells a frame of VLAN {min(asked)} from "
            "those of the others",
            f"mirror all of them, or let it keep the tag there: bridge vlan add vid {min(asked)} dev {name} self",
        )


def _check_target(mirror: Mirror, facts: Facts) -> None:
    source, target = mirror.point.device, mirror.place.device
    assert source is not None
    assert target is not None
    device, name = facts.devices.get(target), mirror.place.device_name
    if device and DeviceKey(target.netns, device.master) == source:
        raise UsageError(f"{name} is a port of {mirror.point.device_name}, whose frames are copied", _ELSEWHERE)
    if source in bridges_behind(facts.devices, target):
        raise UsageError(
            f"copies sent to {name} would come to {mirror.point.device_name} again and be copied again", _ELSEWHERE
        )


def _check_way(mirror: Mirror, facts: Facts) -> None:
    """What the tunnel sends is left out where it is known: as long as nobody wraps it once more, or copies it too."""
    remote, name = mirror.target.remote, mirror.point.device_name
    route = next(
        (d for d in facts.devices.values() if (d.key.netns, d.name) == (mirror.point.netns.inode, facts.route)), None
    )
    if route and route.kind in _WRAPPING:
        raise UsageError(
            f"packets to {remote} leave by {route.name}, which wraps them once more: passing {name} then, they would "
            "be copied for ever",
            "name an address of the collector to which they go as they are, or mirror to a device: --to nic:DEV",
        )
    if why := circle(mirror.target, facts.beside):
        raise ProviderError(
            f"packets to {remote} pass {', '.join(name for name, _ in facts.passes)}, where {why}", CIRCLE_ADVICE
        )


CIRCLE_ADVICE = "take the collector, tunnel and port of that one, stop it (tapwright sessions), or mirror to a device"


def passes_text(passes: Sequence[tuple[str, int | None]]) -> str:
    """Bridges and tags as an operation carries them; a device's name has no slash."""
    return "//".join(f"{name}/{'' if tag is None else tag}" for name, tag in passes)


def passes_of(operation: Operation) -> tuple[tuple[str, int | None], ...]:
    """Those of an operation."""
    pairs = (text.split("/") for text in operation.text("passes").split("//") if text)
    return tuple((name, int(tag) if tag else None) for name, tag in pairs)


def circle(target: Target, beside: Sequence[bytes]) -> str:
    """Why what a tunnel to `target` sends would be copied by other mirrors of ours, "" where they leave it out.

    `beside` are the programs of those that copy by a tunnel where its packets pass.
    """
    if all(without_own(b"", target) in program for program in beside):
        return ""
    return "another session would copy them to another collector, by a tunnel that may come by again, and so for ever"


# Programs


def _program(mirror: Mirror, tags: Tags, hook: str) -> bytes:
    program = at_hook(mirror.program, outgoing=hook == "egress")
    if mirror.target.tunnel:
        program = without_echoes(without_own(program, mirror.target), mirror.target)
    return only_vlans(program, tags_at(hook, mirror.vlans, tags), tags.protocol)
