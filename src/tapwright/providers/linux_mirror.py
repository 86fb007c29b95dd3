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

import ipaddress
import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tapwright.adapters.tc import MAX_INSTRUCTIONS
from tapwright.errors import ProviderError, UsageError
from tapwright.filter import code as bpf
from tapwright.filter.assemble import assemble
from tapwright.filter.code import Code, Label
from tapwright.filter.lowered import sampled as lowered
from tapwright.filter.program import Instruction, Program, pack
from tapwright.model import Device, DeviceKey, Netns
from tapwright.plan.mirrors import Direction, Mirror, Place, Target, TargetKind
from tapwright.plan.points import PointKind
from tapwright.plan.steps import Mark, Operation, Step
from tapwright.providers.linux_ways import loop

HERE = "nic:, vm: and vxlan:// work here"
PORTS = {TargetKind.VXLAN: 4789, TargetKind.GENEVE: 6081}
"""Where RFC 7348 and RFC 8926 want them."""
_PACKET_TYPE = 0xFFFFF004
"""SKF_AD_OFF + SKF_AD_PKTTYPE, as an offset"""
VLAN_TAG, VLAN_TAG_PRESENT = 0xFFFFF02C, 0xFFFFF030
"""SKF_AD_OFF + SKF_AD_VLAN_TAG and SKF_AD_VLAN_TAG_PRESENT: the kernel takes a tag off before a filter runs"""
_OUTGOING, _TO_US = 4, 0
"""PACKET_OUTGOING, PACKET_HOST"""
_TAIL = 0x7477
_IP4, _IP6, _UDP, _GRE, _IP6_FRAGMENT = 0x0800, 0x86DD, 17, 47, 44
_MODULES = {"gretap": "ip_gre", "ip6gretap": "ip6_gre", "erspan": "ip_gre", "ip6erspan": "ip6_gre"}
_TUNNEL = re.compile(r"twm[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Tags:
    """How VLANs are told at the device of a bridge itself; of one that is not VLAN-aware there is nothing to say."""

    protocol: int = 0
    """EtherType of the tags by which it keeps VLANs apart, 0 where it does not."""
    pvid: int | None = None
    """The VLAN of what the host sends without a tag."""
    untagged: tuple[int, ...] = ()
    """Those whose frames come to the host without one."""


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
    tags: Tags = Tags()
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


def asks_direction(program: bytes) -> bool:
    """Whether a program tells what comes in from what goes out."""
    instructions = Program(program).instructions if program else ()
    return any(_is_direction(instruction) for instruction in instructions)


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
        port=target.port or PORTS.get(target.kind, 0),
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


# Programs


def at_hook(program: bytes, *, outgoing: bool) -> bytes:
    """`program` (b"" copies all) for one hook, where packets have no type that tells the direction.

    What it asks for as `inbound` and `outbound` is answered here, once and for all.
    """
    instructions = Program(program).instructions if program else (Instruction(bpf.RET, 0, 0, 0xFFFFFFFF),)
    return pack(_settled(instruction, outgoing=outgoing) for instruction in instructions)


def _is_direction(instruction: Instruction) -> bool:
    loads = (bpf.LD_BYTE_AT, bpf.LD_HALF_AT, bpf.LD_WORD_AT)
    return instruction.code in loads and instruction.k == _PACKET_TYPE


def _settled(instruction: Instruction, *, outgoing: bool) -> Instruction:
    if not _is_direction(instruction):
        return instruction
    return Instruction(bpf.LD_IMMEDIATE, 0, 0, _OUTGOING if outgoing else _TO_US)


def without_own(program: bytes, target: Target) -> bytes:
    """`program`, refusing first of all what a tunnel to `target` itself sends.

    Such packets leave by an uplink and not by a vNIC, unless the VM is on the way to the collector
    (a router, an overlay's gateway): then each copy would be copied for ever.
    """
    code, own, other = Code(), Label("own"), Label("other")
    address = ipaddress.ip_address(target.remote)
    code.set_x(0)
    code.ldh(12)
    code.jeq(_IP4 if address.version == 4 else _IP6, None, other)
    compare(code, 30 if address.version == 4 else 38, address.packed, other)
    code.ldb(23 if address.version == 4 else 20)
    if address.version == 6:
        code.jeq(_IP6_FRAGMENT, own, None)
    code.jeq(_UDP if target.kind in PORTS else _GRE, None, other)
    _own_port(code, target, address.version, own, other)
    code.place(own)
    code.ret(0)
    return in_front(code, other, program)


def compare(code: Code, at: int, wanted: bytes, other: Label) -> None:
    """Go on where the frame has those words at `at`, else to `other`; so do frames that are shorter."""
    code.op(bpf.LD_LENGTH)
    code.jge(at + len(wanted), None, other)
    for number, word in enumerate(struct.unpack(f"!{len(wanted) // 4}I", wanted)):
        code.ld(at + 4 * number)
        code.jeq(word, None, other)


def without_vlan(program: bytes, vlan: int) -> bytes:
    """`program`, refusing first of all what has the tag of that VLAN."""
    code, other = Code(), Label("other")
    code.op(bpf.LD_BYTE_AT, VLAN_TAG_PRESENT)
    code.jeq(0, other, None)
    code.op(bpf.LD_HALF_AT, VLAN_TAG)
    code.op(bpf.AND, 0xFFF)
    code.jeq(vlan, None, other)
    code.ret(0)
    return in_front(code, other, program)


def in_front(code: Code, other: Label, program: bytes) -> bytes:
    """`program` behind what ends at `other`."""
    code.place(other)
    # A program may expect both to be 0.
    code.op(bpf.LDX_IMMEDIATE, 0)
    code.op(bpf.LD_IMMEDIATE, 0)
    code.ret(0)
    return pack(assemble(code.lines)[:-1]) + program


def _own_port(code: Code, target: Target, version: int, own: Label, other: Label) -> None:
    if target.kind not in PORTS:
        return
    if version == 4:
        code.ldh(20)
        code.jump(bpf.JSET, 0x1FFF, own)  # a later fragment, which has no port
        code.op(0xB1, 14)  # ldxb 4*([14]&0xf)
        code.op(bpf.LD_HALF, 16)
    else:
        code.ldh(56)
    code.jeq(target.port or PORTS[target.kind], None, other)


def marked(program: bytes, mark: Mark) -> bytes:
    """`program` with the mark behind it, where control never gets."""
    text = mark.text.encode()
    words = struct.unpack(f"!{-(-len(text) // 4)}I", text + bytes(-len(text) % 4))
    tail = [Instruction(bpf.LD_IMMEDIATE, 0, 0, word) for word in words]
    return program + pack([*tail, Instruction(bpf.RET, 0, 0, _TAIL << 16 | len(words))])


def mark_of(program: bytes) -> Mark | None:
    """The mark behind a program; None when that is not one of ours."""
    fields = list(struct.iter_unpack("=HBBI", program)) if len(program) % 8 == 0 else []
    if not fields or fields[-1][0] != bpf.RET or fields[-1][3] >> 16 != _TAIL:
        return None
    words = fields[-1 - (fields[-1][3] & 0xFFFF) : -1]
    if any(code != bpf.LD_IMMEDIATE for code, *_ in words):
        return None
    text = struct.pack(f"!{len(words)}I", *(word for *_, word in words)).rstrip(b"\0")
    return Mark.parse(text.decode("ascii", errors="replace"))
