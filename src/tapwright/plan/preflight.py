"""Pure: what can be known of a mirror before it is opened: room for it, loops, and whether copies fit the way.

What happens to copies that are too large differs, and was measured (docs/delivery.md): the kernel's
tunnels send them in fragments; Open vSwitch's userspace datapath loses them, and counts them as sent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address

from tapwright.plan.mirrors import Mirror, Target, TargetKind

MOST_MIRRORS = 32
"""Mirrors of one bridge: MAX_MIRRORS of Open vSwitch's ofproto-dpif-mirror.h; the next one is not made, silently."""
ETHERNET = 14
"""Bytes of the frame's own header, which an MTU does not count and a copy carries."""
_TAG = 4
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


class TooLarge(StrEnum):
    """What becomes of a copy that is larger than the way allows."""

    LOST = "lost"
    REFUSED = "refused"
    FRAGMENTS = "fragments"
    UNKNOWN = "unknown"


_BEYOND = {
    TooLarge.LOST: "they are lost, neither cut nor in fragments, and no counter of the host tells",
    TooLarge.REFUSED: "they are lost, and the tunnel's device counts them as errors",
    TooLarge.FRAGMENTS: "they are sent in IP fragments, which a collector has to put together: `tapwright collect` "
    "keeps the first one, cut",
    TooLarge.UNKNOWN: "they may be lost or cut",
}


@dataclass(frozen=True, slots=True)
class Way:
    """The way by which wrapped copies leave for the collector."""

    device: str = ""
    """By which they leave; "" where there is no route."""
    gateway: str = ""
    """Address of the first router, "" where the collector is on the link."""
    mtu: int = 0
    """Of that device and what it leaves by; 0 where nobody knows."""
    usable: bool = True
    """Whether whoever makes the copies can send by it."""
    everybody: bool = False
    """The address is a network's broadcast address."""


@dataclass(frozen=True, slots=True)
class Vlan:
    """The ports of the switch that carry the VLAN of the copies."""

    ports: tuple[str, ...] = ()
    vms: tuple[str, ...] = ()
    """Those of them that are VMs'."""
    own: bool = False
    """Whether the mirrored port is in it and nowhere else."""
    besides: str = ""
    """What the switch may do besides with copies that come in like other frames; "" where nothing, or none do."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found before the mirror is opened; what is 0, "" or None nobody knows."""

    vnic_mtu: int = 0
    addresses: tuple[str, ...] = ()
    """The mirrored vNIC's."""
    tagged: bool = False
    """Whether its frames are copied with a VLAN tag."""
    way: Way | None = None
    """Of a tunnel."""
    taker_mtu: int = 0
    """Largest MTU that the device or vNIC takes which gets the copies."""
    mirrors: int | None = None
    """Mirrors that the bridge has, where there is a limit to them."""
    more: int = 1
    """How many this one adds."""
    devices: tuple[str, ...] = ()
    """What the mirrored port is called on its server, where the point has another name."""
    behind: tuple[str, ...] = ()
    """Addresses that packets to the collector's are translated to on their way."""
    numbers: str = ""
    """With what numbers the copies come, where these are not simply those that were asked for."""
    unseen: str = ""
    """Why the rest cannot be known here, nor whether copies arrive."""
    too_large: TooLarge = TooLarge.UNKNOWN
    vlan: Vlan | None = None
    """Of ``rspan:``."""
    left_out: bool = False
    """Whether the tunnel's own packets are known where they pass what is mirrored, and left out."""
    bare: str = ""
    """Which VLANs' frames are copied without their tag, in words."""


class Answer(StrEnum):
    """Whether a mirror may be opened, as far as one question goes."""

    YES = "yes"
    WARN = "warn"
    """It delivers, but not all."""
    REFUSE = "refuse"
    """Nothing could arrive, or harm would be done."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one question."""

    question: str
    answer: Answer
    text: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Preflight:
    """Everything that can be said of a mirror before it is opened."""

    verdicts: tuple[Verdict, ...] = ()
    largest: int = 0
    """Bytes of the largest frame whose copy arrives whole; 0 where all do or nobody knows."""
    beyond: str = ""
    """What becomes of copies of larger ones, as a clause."""

    @property
    def refusal(self) -> Verdict | None:
        """Why it must not be opened."""
        return next((verdict for verdict in self.verdicts if verdict.answer is Answer.REFUSE), None)

    @property
    def warnings(self) -> tuple[Verdict, ...]:
        """What a person should know before."""
        return tuple(verdict for verdict in self.verdicts if verdict.answer is Answer.WARN)


NOTHING_KNOWN = Preflight()


def judge(mirror: Mirror, facts: Facts) -> Preflight:
    """From facts to everything that can be said."""
    return Preflight(tuple(_verdicts(mirror, facts)), largest(mirror, facts), beyond(facts))


def _verdicts(mirror: Mirror, facts: Facts) -> Iterator[Verdict]:
    target = mirror.target
    if facts.unseen:
        yield _unseen(facts.unseen)
    if facts.mirrors is not None:
        yield _room(facts.mirrors, facts.more)
    yield _no_loop(mirror, facts)
    if target.tunnel:
        yield _reachable(target, facts)
        yield _fits(mirror, facts)
    elif facts.taker_mtu and facts.vnic_mtu:
        yield _taken(mirror, facts)
    if facts.vlan is not None:
        yield _carried(mirror, facts.vlan)
    if facts.bare:
        yield Verdict("tag", Answer.YES, f"copied is {facts.bare}")
    if facts.numbers:
        yield Verdict("numbers", Answer.YES, f"numbers of the copies: {facts.numbers}")


def _unseen(why: str) -> Verdict:
    return Verdict(
        "server", Answer.WARN, f"whether copies fit their way and arrive is not provable here: {why}",
        "run tapwright on the VM's server, or see them arrive: tapwright collect",
    )  # fmt: skip


def _room(mirrors: int, more: int) -> Verdict:
    if full := room(mirrors, more):
        return Verdict("room", Answer.REFUSE, full, "see them: ovs-vsctl list Mirror")
    return Verdict(
        "room", Answer.YES, f"there is room for {'one more mirror' if more == 1 else f'{more} more mirrors'}"
    )


def room(mirrors: int, more: int = 1) -> str:
    """Why a bridge that has so many mirrors does not take `more`, "" where it does."""
    if mirrors + more <= MOST_MIRRORS:
        return ""
    return f"it has {mirrors} mirrors already, and Open vSwitch serves {MOST_MIRRORS} a bridge at most"


def _no_loop(mirror: Mirror, facts: Facts) -> Verdict:
    way = (facts.way.device, facts.way.gateway) if facts.way and not facts.left_out else ()
    if why := loop(mirror, facts.addresses, way, facts.devices, facts.behind):
        return Verdict("loop", Answer.REFUSE, f"this mirror would be a loop: {why}", "choose another target")
    if facts.left_out and facts.way:
        return Verdict("loop", Answer.YES, f"where copies pass {mirror.point.device_name} they are left out")
    return Verdict("loop", Answer.YES, "copies do not pass what is mirrored again")


def loop(
    mirror: Mirror,
    addresses: Collection[str] = (),
    way: Collection[str] = (),
    devices: Collection[str] = (),
    behind: Collection[str] = (),
) -> str:
    """Why copies would be copied again, "" where they would not.

    `addresses` are the mirrored vNIC's own, and `devices` further names of its port; `way` names the switch
    ports, devices and routers through which the target is reached, `behind` whom its address stands for.
    """
    mirrored = {mirror.point.port, mirror.point.device_name, *devices} - {""}
    if mirrored & {mirror.place.port, mirror.place.device_name}:
        name = mirror.point.port or mirror.point.device_name
        return f"the copies of {name} would go into {name} itself"
    if mirror.place.device and mirror.place.device == mirror.point.device:
        return f"the copies would go into the mirrored device {mirror.point.device_name} itself"
    own = {str(ip_address(address.partition("/")[0])) for address in addresses}
    if mirror.target.remote and str(ip_address(mirror.target.remote)) in own:
        return f"{mirror.target.remote} is the mirrored VM itself, which would get copies of its copies"
    if own & set(behind):
        return (
            f"packets to {mirror.target.remote} are passed on to the mirrored VM, which would get copies of its copies"
        )
    if through := sorted((mirrored | own) & set(way)):
        return f"the way to {mirror.target.remote or mirror.target.text} leads through {through[0]}, which is mirrored"
    return ""


def _reachable(target: Target, facts: Facts) -> Verdict:
    way = facts.way
    if way is None:
        return Verdict("way", Answer.YES, f"the way to {target.remote} is not known")
    if not way.device:
        return Verdict(
            "way", Answer.REFUSE, f"no route to the collector {target.remote}",
            f"ip route get {target.remote} must answer",
        )  # fmt: skip
    if way.everybody:
        return Verdict(
            "way", Answer.REFUSE, f"{target.remote} is a broadcast address: every host behind {way.device} would get "
            "the copies", "name the collector's own address",
        )  # fmt: skip
    if not way.usable:
        return Verdict(
            "way", Answer.REFUSE,
            f"packets to {target.remote} leave by {way.device}, which is no bridge of this Open vSwitch: its userspace "
            "datapath sends copies by its own bridges only, and would make none",
            f"put {way.device} and its address on a bridge of it, or mirror to a device: --to nic:DEV",
        )  # fmt: skip
    return Verdict("way", Answer.YES, f"copies leave by {way.device}" + (f" and {way.gateway}" if way.gateway else ""))


def overhead(target: Target) -> int:
    """Bytes that `target`'s tunnel puts around a frame, outer Ethernet header included; 0 where it is no tunnel."""
    if not target.tunnel:
        return 0
    key = _GRE_KEY if target.kind is TargetKind.GRE and target.number else 0
    more = _IP6_MORE if ip_address(target.remote).version == 6 else 0
    return ETHERNET + _IP4 + more + _HEADERS[target.kind] + key


def largest(mirror: Mirror, facts: Facts) -> int:
    """Bytes of the largest frame whose copy passes whole, 0 where all of the vNIC's do or nobody knows.

    With its Ethernet header and tag, as counters of bytes have it.
    """
    target = mirror.target
    if not facts.vnic_mtu:
        return 0
    most = facts.vnic_mtu + ETHERNET + (_TAG if facts.tagged else 0)
    if not target.tunnel:
        allowed = facts.taker_mtu + ETHERNET if facts.taker_mtu else most
    elif facts.way and facts.way.mtu:
        allowed = facts.way.mtu + ETHERNET - overhead(target)
    else:
        return 0
    return max(allowed, 1) if allowed < min(most, mirror.snaplen or most) else 0


def beyond(facts: Facts) -> str:
    """What becomes of copies of larger frames, as a clause."""
    return _BEYOND[facts.too_large]


def _whose(mirror: Mirror) -> str:
    return "the switch's" if mirror.point.whole else "the vNIC's"


def _fits(mirror: Mirror, facts: Facts) -> Verdict:
    target, most = mirror.target, largest(mirror, facts)
    mtu = facts.way.mtu if facts.way else 0
    if not most:
        known = mtu and facts.vnic_mtu
        return Verdict(
            "size", Answer.YES, f"{_whose(mirror)} largest frames pass the MTU of {mtu}" if known else "not known"
        )
    needed = mtu + facts.vnic_mtu + ETHERNET + (_TAG if facts.tagged else 0) - most
    vnic = most - ETHERNET - (_TAG if facts.tagged else 0)
    return Verdict(
        "size", Answer.WARN,
        f"copies of frames with more than {most} bytes do not fit the way to {target.remote}, whose MTU is {mtu}: "
        f"{beyond(facts)}",
        f"raise the MTU of the way to {needed}, lower {_whose(mirror)} to {vnic}, or mirror to a device of this host",
    )  # fmt: skip


def _carried(mirror: Mirror, vlan: Vlan) -> Verdict:
    target = mirror.target
    if vlan.own:
        return Verdict(
            "vlan", Answer.REFUSE,
            f"{mirror.source} is in VLAN {target.vlan} itself: its copies would come back",
            "take another VLAN",
        )  # fmt: skip
    if vlan.besides:
        return Verdict(
            "vlan", Answer.REFUSE,
            f"what is filtered comes in by a port of VLAN {target.vlan} like other frames, and {vlan.besides}: "
            "it might pass for the VM's own",
            "leave the filter out, or send the copies to a collector: --to erspan2://ADDRESS?session=7",
        )  # fmt: skip
    if not vlan.ports:
        return Verdict(
            "vlan", Answer.REFUSE, f"no port of the switch carries VLAN {target.vlan}: the copies would go nowhere",
            f"let a trunk carry it: ovs-vsctl add port PORT trunks {target.vlan}",
        )  # fmt: skip
    if vlan.vms:
        shown = ", ".join(vlan.vms[:4]) + (f" and {len(vlan.vms) - 4} more" if len(vlan.vms) > 4 else "")
        return Verdict(
            "vlan", Answer.WARN,
            f"VLAN {target.vlan} also reaches the VMs behind {shown}, which would get the copies",
            f"give these ports a VLAN: ovs-vsctl set port {vlan.vms[0]} tag=N; unless it is the collector's",
        )  # fmt: skip
    return Verdict("vlan", Answer.YES, f"VLAN {target.vlan} is carried by {', '.join(vlan.ports[:4])}")


def _taken(mirror: Mirror, facts: Facts) -> Verdict:
    most = largest(mirror, facts)
    name = mirror.place.port or mirror.place.device_name or mirror.target.text
    if not most:
        return Verdict("size", Answer.YES, f"{name} takes {_whose(mirror)} largest frames")
    return Verdict(
        "size", Answer.WARN,
        f"{name} takes frames up to {most} bytes, and {_whose(mirror)} may be larger: {beyond(facts)}",
        f"raise its MTU to {facts.vnic_mtu + (_TAG if facts.tagged else 0)}",
    )  # fmt: skip
