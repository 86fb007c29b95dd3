"""Pure: the steps of a mirror by tc, from what was asked and what the kernel said beforehand.

A device has two hooks: *ingress* is what it hands to the host, so on a tap or a host-side veth end
what the VM sends; *egress* is what the VM gets.  A mirror is one filter for each direction, in
front of all others (`adapters.tc`); the first one brings the hooks where the device had none, the last one takes them.

How what we made is told from what others made, without the journal:

    cookie      the session
    handle      from session, target and hook; its lowest bit says that tapwright made the hooks,
                and so whoever removes the last filter removes them too
    program     behind its last return, where control never gets, stands the whole mark
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tapwright.adapters.tc import MAX_INSTRUCTIONS
from tapwright.errors import ProviderError, UsageError
from tapwright.filter.lowered import sampled as lowered
from tapwright.filter.program import Program
from tapwright.model import Device, DeviceKey, Netns
from tapwright.plan.mirrors import Direction, Mirror, Place, TargetKind
from tapwright.plan.points import PointKind
from tapwright.plan.steps import Mark, Operation, Step
from tapwright.providers.linux_programs import asks_direction, at_hook, marked, without_own
from tapwright.providers.linux_vlan_programs import Tags
from tapwright.providers.linux_ways import loop

HERE = "nic:, vm: and vxlan:// work here"
_MODULES = {"gretap": "ip_gre", "ip6gretap": "ip6_gre", "erspan": "ip_gre", "ip6erspan": "ip6_gre"}
_TUNNEL = re.compile(r"twm[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the kernel said before the steps were made."""

    devices: Mapping[DeviceKey, Device] = field(default_factory=dict)
    hooks: str = ""
    """What holds the mirrored device's hooks: "", ``clsact`` or ``ingress``."""
    ours: bool = False
    """Whether tapwright made them, for a mirror that is open now."""
    route: str = ""
    """The device by which packets to the collector leave, "" when none."""
    local: str = ""
    """The address of ours that they leave with."""
    missing: str = ""
    """The kind of tunnel device that the target needs and this kernel does not have."""
    tags: Tags = field(default_factory=Tags)
    """Of the bridge, where VLANs of one are mirrored."""
    passes: tuple[tuple[str, int | None], ...] = ()
    """Bridges of the same namespace that the tunnel's packets pass, and with which tag: 0 none, None unknown."""
    beside: tuple[bytes, ...] = ()
    """The programs of our mirrors there that copy by a tunnel, too, and do not leave out such packets for their tag."""


def steps(mirror: Mirror, facts: Facts) -> Sequence[Step]:
    """The changes that open `mirror`, in order.  Raises UsageError, ProviderError where it cannot be.

    Equal steps of several mirrors of one session (a tunnel that they share) are one step.
    """
    check(mirror, facts)
    return tuple(_steps(mirror, facts))


def _steps(mirror: Mirror, facts: Facts) -> Iterator[Step]:
    to, made_first = taker(mirror, facts)
    yield from made_first
    made = not facts.hooks or facts.ours
    for direction, hook in _hooks(mirror):
        yield _copy(mirror, direction, hook, to, made=made)


def taker(mirror: Mirror, facts: Facts) -> tuple[str, tuple[Step, ...]]:
    """The device that copies are handed to, and the step that makes it where it is a tunnel's."""
    if not mirror.target.tunnel:
        return mirror.place.device_name, ()
    name = tunnel_name(mirror)
    return name, (tunnel_step(mirror, name, facts.local),)


def _hooks(mirror: Mirror) -> list[tuple[Direction, str]]:
    sent, got = ("ingress", "egress") if mirror.point.outgoing_is_to_vm else ("egress", "ingress")
    both = [(Direction.OUT, sent), (Direction.IN, got)]
    return [(direction, hook) for direction, hook in both if mirror.direction in (direction, Direction.BOTH)]


def mirrored_at(mirror: Mirror) -> dict[str, str | int]:
    """The arguments of an operation on the mirrored device."""
    point = mirror.point
    assert point.device is not None
    return {
        "netns": point.netns.path,
        "inode": point.netns.inode,
        "index": point.device.index,
        "device": point.device_name,
        "session": mirror.mark.session,
    }


def _copy(mirror: Mirror, direction: Direction, hook: str, to: str, *, made: bool) -> Step:
    program = at_hook(mirror.program, outgoing=hook == "egress")
    if mirror.target.tunnel:
        program = without_own(program, mirror.target)
    why = f"what {mirror.point.device_name}'s VM {'gets' if direction is Direction.IN else 'sends'} is copied to {to}"
    return copying(mirror, hook, program, to, direction, why, made=made)


def copying(
    mirror: Mirror, hook: str, program: bytes, to: str, direction: Direction, why: str, *, made: bool, **more: str
) -> Step:
    """The step that copies to the device `to` what `program` matches at a hook of the mirrored device."""
    at = {**mirrored_at(mirror), "hook": hook, "handle": handle(mirror, hook, made=made)}
    index = 0 if mirror.target.tunnel or mirror.place.device is None else mirror.place.device.index
    do = Operation.of(
        "linux",
        "copy",
        **at,
        direction=str(direction),
        to=to,
        to_index=index,
        program=marked(program, mirror.mark).hex(),
        **more,
    )
    return Step(do, Operation.of("linux", "uncopy", **at), why)


def relayed(name: str, netns: Netns, mark: Mark, program: bytes, to: Place, direction: str = "") -> Step:
    """What comes in by a device of tapwright's own, known by its name, copied to another one.

    For providers whose switch cannot filter: it hands the frames to such a device, and tc does the rest.
    `direction` is the VM's (`Direction`), "" where the copies were counted before.
    """
    at: dict[str, str | int] = {
        "netns": netns.path, "inode": netns.inode, "index": 0, "device": name, "session": mark.session,
    }  # fmt: skip
    filtered = {**at, "hook": "ingress", "handle": _even(f"{mark.session} {name} ingress") | 1}
    do = Operation.of(
        "linux",
        "copy",
        **filtered,
        **({"direction": direction} if direction else {}),
        to=to.device_name,
        to_index=to.device.index if to.device else 0,
        program=marked(program, mark).hex(),
    )
    undo = Operation.of("linux", "uncopy", **filtered)
    return Step(do, undo, f"what {name} gets goes to {to.device_name}, where the filter matches")


def sampled(step: Step, before: Step, one_in: int) -> Step | None:
    """What copies one frame in `one_in` of those that `step` copies, in the place of `before`, which is there now.

    Chance comes before the filter.  None for steps that have no filter, or one too long for anything in front of it.
    """
    if step.do.verb != "copy":
        return None
    program = lowered(Program(bytes.fromhex(step.do.text("program"))), one_in)
    if program is None or len(program) > MAX_INSTRUCTIONS:
        return None
    do = step.do.changed(program=program.code.hex(), was=before.do.text("program"))
    return Step(do, step.undo, step.why if one_in == 1 else f"{step.why}; one frame in {one_in}")


def tunnel_step(mirror: Mirror, name: str, local: str = "") -> Step:
    """The step that makes the device which wraps; `local` is the address that its packets come from."""
    target, netns = mirror.target, mirror.point.netns
    at: dict[str, str | int] = {
        "netns": netns.path,
        "inode": netns.inode,
        "device": name,
        "session": mirror.mark.session,
    }
    do = Operation.of(
        "linux",
        "tunnel",
        **at,
        kind=str(target.kind),
        remote=target.remote,
        number=target.number,
        extra=target.index,
        port=target.udp_port,
        local=local,
        mark=mirror.mark.text,
    )
    undo = Operation.of("linux", "untunnel", **at)
    return Step(do, undo, f"copies go to {target.remote} by {target.kind}")


def tunnel_name(mirror: Mirror) -> str:
    """The device that wraps for this session and target: 11 characters."""
    return f"twm{zlib.crc32(f'{mirror.mark.session} {mirror.target.text}'.encode()):08x}"


def is_tunnel(name: str) -> bool:
    """Whether a device has such a name."""
    return _TUNNEL.fullmatch(name) is not None


def handle(mirror: Mirror, hook: str, *, made: bool) -> int:
    """The number of our filter: 2 to 2^31, odd where tapwright made the hooks."""
    return _even(f"{mirror.mark.session} {mirror.target.text} {hook}") | made


def _even(text: str) -> int:
    return zlib.crc32(text.encode()) & 0x7FFFFFFE or 2


def made_hooks(handle: int) -> bool:
    """Whether a filter of ours says that tapwright made the hooks."""
    return bool(handle & 1)


# What is refused


def check(mirror: Mirror, facts: Facts) -> None:
    """Raises UsageError, ProviderError with the reason where tc cannot serve the mirror."""
    _check_request(mirror)
    _check_hooks(mirror, facts)
    if mirror.target.tunnel:
        check_tunnel(mirror, facts)
        _check_route(mirror, facts)
    else:
        check_device(mirror, facts)
        _check_loop(mirror, facts)


def _check_request(mirror: Mirror) -> None:
    if mirror.point.kind is not PointKind.DEVICE or mirror.point.device is None:
        raise UsageError(
            f"{mirror.point.id} cannot be mirrored: tc does it at a vNIC's device on the host",
            "tapwright plan shows the points of a VM",
        )
    if mirror.vlans:
        raise UsageError(
            "tc copies at a device, where a frame tells its VLAN by its tag alone",
            f"filter by the tag: -f 'vlan {mirror.vlans[0]}'",
        )
    check_copies(mirror)


def check_copies(mirror: Mirror) -> None:
    """Raises UsageError, ProviderError where tc makes no such copies, or cannot hand them on."""
    if mirror.snaplen:
        raise UsageError(
            "a mirror by tc copies whole frames: mirred cannot cut them",
            "leave the snap length out, copy less with a filter, or cut at the collector",
        )
    if mirror.target.kind is TargetKind.RSPAN:
        raise ProviderError("a Linux bridge has no RSPAN VLAN that copies could be put into", HERE)
    if mirror.target.kind is TargetKind.NIC and not mirror.target.name:
        raise UsageError("a device of Linux is read as it is; a mirror to tapwright itself adds nothing", HERE)


def refuse_direction(mirror: Mirror) -> None:
    """Raises UsageError where whole VLANs are asked for and one direction of them."""
    if mirror.direction is not Direction.BOTH or asks_direction(mirror.program):
        raise UsageError(
            f"frames of {mirror.source} have no direction: there is no VM that they come to or from",
            "leave the direction out, filter by addresses, or mirror a VM",
        )


def _check_hooks(mirror: Mirror, facts: Facts) -> None:
    if facts.hooks == "ingress" and any(hook == "egress" for _, hook in _hooks(mirror)):
        sent = "out" if mirror.point.outgoing_is_to_vm else "in"
        raise ProviderError(
            f"{mirror.point.device_name} has an `ingress` qdisc of somebody else's (rate limits of libvirt or "
            "Open vSwitch do that), beside which no egress hook can be",
            f"mirror one direction (--direction {sent}), or capture: the device can be read",
        )


def check_device(mirror: Mirror, facts: Facts) -> None:
    """Raises UsageError, ProviderError where the device that is to get the copies takes none."""
    place, source = mirror.place, mirror.point.device
    assert source is not None
    if place.device is None:
        where = mirror.point.netns.name or mirror.point.netns.path or "this host"
        raise ProviderError(f"{mirror.target.text}: no such device in {where}", "tapwright ls shows VMs, ip link NICs")
    if place.device.netns != source.netns:
        raise ProviderError(
            f"{place.device_name} is in another network namespace than {mirror.point.device_name}; "
            "tc copies within one",
            "use a tunnel (vxlan://ADDRESS) to a collector there",
        )
    if place.device == source:
        raise UsageError(f"{place.device_name} cannot be the target of its own mirror")
    device = facts.devices.get(place.device)
    if device is not None and not device.up:
        raise ProviderError(f"{device.name} is down, and copies to it are lost", f"ip link set {device.name} up")


def _check_loop(mirror: Mirror, facts: Facts) -> None:
    source, place = mirror.point.device, mirror.place
    assert source is not None
    assert place.device is not None
    if reason := loop(facts.devices, source, place.device, for_vm=mirror.target.kind is TargetKind.VM):
        raise UsageError(reason, "take a NIC that hangs on no switch of the VM, a collector VM, or a tunnel")


def check_tunnel(mirror: Mirror, facts: Facts) -> None:
    """Raises ProviderError where the kernel makes no such tunnel, or knows no way for its packets."""
    if facts.missing:
        raise no_such_tunnel(facts.missing)
    if not facts.route:
        remote = mirror.target.remote
        raise ProviderError(f"no route to the collector {remote}", f"ip route get {remote} must answer")


def _check_route(mirror: Mirror, facts: Facts) -> None:
    remote, source = mirror.target.remote, facts.devices.get(mirror.point.device) if mirror.point.device else None
    if source and facts.route == source.name:
        raise UsageError(f"packets to {remote} leave by {source.name} itself, which would be mirrored for ever")
    inside = facts.devices.get(source.peer) if source and source.peer else None
    if inside and remote in {address.partition("/")[0] for address in inside.addresses}:
        raise UsageError(f"the collector {remote} is the mirrored VM itself")


def no_such_tunnel(kind: str) -> ProviderError:
    """What to say where the kernel does not have a kind of device."""
    module = _MODULES.get(kind, kind)
    return ProviderError(f"this kernel makes no {kind} device", f"modprobe {module}; without it {HERE}")
