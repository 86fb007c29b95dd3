"""Pure: mirrors on Open vSwitch as steps, and what each writes into its database.

A mirror is one step and one transaction: a row of Mirror, and where its target needs one a port
with its interface.  Each carries the session's mark and the step's name in its external ids, and
by these alone it is found again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tapwright.adapters.ovsdb_transact import a_map
from tapwright.errors import ProviderError, UsageError
from tapwright.plan.mirrors import Direction, Mirror, Target, TargetKind, parse, vlans_of
from tapwright.plan.preflight import loop
from tapwright.plan.steps import Argument, Mark, Operation, Step
from tapwright.providers.linux_mirror import refuse_direction

MARK = "tapwright-mark"
"""External id with `Mark.text` on every row of ours."""
STEP = "tapwright-step"
"""External id with the name of the step that made the row."""
FLOODED = "tapwright-flooded"
"""External id of a port by which frames enter a VLAN: whether the switch learned addresses of that VLAN before."""
DO, UNDO = "mirror", "unmirror"

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_LEAST_SNAPLEN, _MOST_SNAPLEN = 14, 65535


def steps(mirror: Mirror, remote: str = "") -> Sequence[Step]:
    """The one step that opens `mirror` on the switch whose database is `remote` ("": the one that has its bridge).

    Raises UsageError, ProviderError with the reason where Open vSwitch cannot serve it.
    """
    refuse(mirror)
    name = name_of(mirror)
    return (made(mirror, remote, name, _why(mirror), direction=str(mirror.direction), outlet=_outlet(mirror, name)),)


def made(mirror: Mirror, remote: str, name: str, why: str, **more: Argument) -> Step:
    """The step of a mirror whose rows are called `name`.

    `more` has its ``direction`` where its copies are the ones that count; ``selects`` where it copies
    another direction of its port than that; ``alike`` where its own device is to be in the port's VLAN;
    ``relay``, a name, where it copies what comes in by a bridge of our own, which is made with it; and ``way``,
    what that is of the VM's.
    """
    identity = {"name": name, "mark": mirror.mark.text, "port": mirror.point.port, "remote": remote}
    do = Operation.of(
        "ovs",
        DO,
        **identity,
        bridge=mirror.point.switch,
        target=mirror.target.text,
        place=mirror.place.port or mirror.place.device_name,
        existing=bool(mirror.place.port),
        snaplen=mirror.snaplen if mirror.snaplen < _MOST_SNAPLEN else 0,
        device=name if own(mirror.target) else "",
        **({"vlans": ",".join(map(str, mirror.vlans))} if mirror.vlans else {}),
        **({"whole": mirror.point.device_name} if mirror.point.whole and "relay" not in more else {}),
        **more,
    )
    return Step(do, Operation.of("ovs", UNDO, **identity), why)


def cut(step: Step, before: Step, most: int) -> Step | None:
    """What copies `most` bytes of a frame, 0 for as many as `step`, in the place of `before`, which is there now.

    None for steps that only feed or carry other copies, and for tunnels: the userspace datapath cuts what it wrapped.
    """
    do = step.do
    if do.verb != DO or not do.text("direction") or 0 < most < _LEAST_SNAPLEN or wanted(do).tunnel:
        return None
    snaplen = min(filter(None, (most, do.number("snaplen"))), default=0)
    why = f"{step.why}; {snaplen} bytes of a frame" if most else step.why
    return Step(do.changed(snaplen=snaplen, was=before.do.number("snaplen")), step.undo, why)


def replaces(do: Operation) -> bool:
    """Whether `do` changes a mirror that is there, rather than making it."""
    return do.text("was") != ""


def entrance(mirror: Mirror, remote: str, name: str, why: str) -> Step:
    """The step of a port of our own by which frames enter the VLAN of `mirror`'s target."""
    identity = {"name": name, "mark": mirror.mark.text, "port": mirror.point.port, "remote": remote}
    vlan = mirror.target.vlan
    do = Operation.of(
        "ovs", DO, **identity, bridge=mirror.point.switch, target=f"rspan:{vlan}", device=name, entry=vlan
    )
    return Step(do, Operation.of("ovs", UNDO, **identity), why)


def name_of(mirror: Mirror, role: str = "") -> str:
    """What rows of `mirror` are called, devices too: the session and five characters of what is asked, and for what."""
    what = (mirror.point.switch, mirror.point.port, mirror.target.text, mirror.place.port, mirror.place.device_name)
    return label(mirror.mark, *what, mirror.direction, str(mirror.snaplen), *_particular(mirror), role)


def _particular(mirror: Mirror) -> tuple[str, str]:
    """What else tells two mirrors of one port apart."""
    return mirror.program.hex(), str(mirror.vlans)


def label(mark: Mark, *what: str) -> str:
    """A name of 15 characters, as many as a device may have: the session's and five made of `what`."""
    number = int.from_bytes(hashlib.blake2b("\0".join(what).encode(), digest_size=8).digest(), "big")
    return f"tw{mark.session[:8]}" + "".join(_ALPHABET[number // 36**place % 36] for place in range(5))


def _outlet(mirror: Mirror, name: str) -> str:
    """The port that the step makes for the copies, which other mirrors of its session may use too; "" for none."""
    if mirror.place.port or own(mirror.target):
        return ""
    if mirror.target.tunnel:
        return name
    return mirror.place.device_name if mirror.target.kind is TargetKind.NIC else ""


def own(target: Target) -> bool:
    """Whether the copies go to a device that we make, for our engine to read."""
    return target.kind is TargetKind.NIC and not target.name


def refuse(mirror: Mirror) -> None:
    """Raises UsageError, ProviderError where no way leads to such a mirror."""
    if mirror.program and own(mirror.target):
        raise UsageError(
            f"what is read of {mirror.source} is filtered where it is read",
            "leave the filter out of the mirror: capture --point mirror -f FILTER",
        )
    if 0 < mirror.snaplen < _LEAST_SNAPLEN:
        raise UsageError(f"Open vSwitch copies {_LEAST_SNAPLEN} bytes of a frame at least, not {mirror.snaplen}")
    if mirror.target.kind is TargetKind.VM and not mirror.place.port:
        raise ProviderError(
            f"{mirror.target.name} is not on the switch of {mirror.source}, and a mirror does not leave its bridge",
            "send the copies to the collector's address: --to vxlan://ADDRESS?vni=7",
        )
    if mirror.target.kind is TargetKind.NIC and mirror.target.name:
        _refuse_device(mirror)
    if mirror.point.whole:
        _refuse_whole(mirror)
    if why := loop(mirror):
        raise ProviderError(f"this mirror would be a loop: {why}", "choose another target")


def _refuse_whole(mirror: Mirror) -> None:
    """Of a switch's VLANs."""
    if not mirror.vlans:
        raise UsageError(f"which frames of switch {mirror.point.device_name}?", "name the VLANs: --vlan 10")
    refuse_direction(mirror)
    if mirror.target.vlan and mirror.target.vlan in mirror.vlans:
        raise UsageError(f"copies of {mirror.source} cannot go into the same VLAN", "take another VLAN")


def _refuse_device(mirror: Mirror) -> None:
    name, place = mirror.target.name, mirror.place
    if not place.port and not place.device_name:
        raise ProviderError(f"{name} is not a device of this host", "list those of the switch's namespace: ip link")
    home = place.netns.inode if place.netns else place.device.netns if place.device else 0
    if not place.port and home not in (0, mirror.point.netns.inode):
        raise ProviderError(
            f"{name} is in another network namespace than the switch of {mirror.source}",
            f"move it there: ip link set {name} netns ...",
        )


def _why(mirror: Mirror) -> str:
    source, place = mirror.source, mirror.place
    if own(mirror.target):
        return f"{source} is copied to a device of our own"
    if place.port and mirror.target.tunnel:
        return f"{source} is copied to {mirror.target.text} as well"
    if place.port:
        return f"{source} is copied to port {place.port}, which carries nothing else as long as that lasts"
    if mirror.target.kind is TargetKind.NIC:
        return f"{source} is copied to {place.device_name}, which becomes a port of the switch and carries nothing else"
    return f"{source} is copied to {mirror.target.text}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a step writes."""

    ids: Mapping[str, str]
    port: str
    """Name of the port that is made, "" when none is."""
    kind: str
    """Type of its interface."""
    options: Mapping[str, str] = field(default_factory=dict)
    existing: str = ""
    """Name of the port that takes the copies and was there before."""
    vlan: int = 0
    to_vm: bool = True
    from_vm: bool = True
    snaplen: int = 0
    tunnel: bool = False
    vlans: tuple[int, ...] = ()
    alike: bool = False
    """Whether the new port shows frames as the mirrored one does, without the tag of its VLAN."""
    relay: str = ""
    """Name of a bridge of our own that is made too; its local port of that name is what is mirrored."""
    mirrored: str = ""
    """Name of the port that is mirrored."""
    whole: bool = False
    """Whether all ports are mirrored."""
    entry: int = 0
    """VLAN that the new port leads into; then nothing is mirrored."""


def wanted(do: Operation) -> Wanted:
    """What `do` writes.  Raises ProviderError when it is no mirror of this provider."""
    if do.verb != DO:
        raise ProviderError(f"ovs cannot perform {do.verb!r}")
    target = Target(TargetKind.NIC) if do.text("device") else parse(do.text("target"))
    port, kind = _port_of(do, target)
    relay, way = do.text("relay"), do.text("direction") or do.text("way") or Direction.BOTH
    selects = str(Direction.OUT) if relay else do.text("selects") or do.text("direction")
    return Wanted(
        ids=identity(do),
        port=port,
        kind=kind,
        options=_options(target, Direction(way)) if target.tunnel else {},
        existing=do.text("place") if do.number("existing") else "",
        vlan=0 if do.number("entry") else target.vlan,
        # From the switch: what a VM sends enters at its port, what comes to it leaves there.
        from_vm=selects != Direction.IN,
        to_vm=selects != Direction.OUT,
        snaplen=do.number("snaplen"),
        tunnel=target.tunnel,
        vlans=tuple(map(int, filter(None, do.text("vlans").split(",")))),
        alike=bool(do.number("alike")),
        relay=relay,
        mirrored=relay or do.text("port"),
        whole=bool(do.text("whole")),
        entry=do.number("entry"),
    )


def source(do: Operation) -> str:
    """What `do` copies, as a person would call it."""
    vlans = tuple(map(int, filter(None, do.text("vlans").split(","))))
    return vlans_of(do.text("whole"), vlans) if do.text("whole") else f"port {do.text('port')}"


def identity(operation: Operation) -> Mapping[str, str]:
    """The external ids of the rows that belong to `operation`.

    Raises ProviderError where it has no mark: without one they would be those of every row.
    """
    if not operation.text("mark"):
        raise ProviderError(f"{operation.verb!r} has no mark, by which alone what is ours is known")
    ids = {MARK: operation.text("mark"), STEP: operation.text("name")}
    return {key: value for key, value in ids.items() if value}


def carries(ids: Mapping[str, str]) -> list[object]:
    """The condition of a row that carries these external ids."""
    return ["external_ids", "includes", a_map(ids)]


def _port_of(do: Operation, target: Target) -> tuple[str, str]:
    """Name of the port to make and type of its interface."""
    if do.text("device"):
        return do.text("device"), "internal"
    if target.tunnel and not do.number("existing"):
        return do.text("name"), "erspan" if target.kind in (TargetKind.ERSPAN2, TargetKind.ERSPAN3) else str(
            target.kind
        )
    if target.kind is TargetKind.NIC and not do.number("existing"):
        return do.text("place"), ""
    return "", ""


def _options(target: Target, direction: Direction) -> dict[str, str]:
    options = {"remote_ip": target.remote}
    if target.number or target.kind is not TargetKind.GRE:
        options["key"] = str(target.number)
    if target.port:
        options["dst_port"] = str(target.port)
    if target.kind is TargetKind.ERSPAN2:
        # ovs-vswitchd reads these two in base 16, whatever they look like.
        options |= {"erspan_ver": "1", "erspan_idx": f"{target.index:#x}"}
    if target.kind is TargetKind.ERSPAN3:
        # One tunnel has one direction bit: 1 is "leaves the switch", 0 "enters it", and what both ways share.
        options |= {"erspan_ver": "2", "erspan_dir": str(int(direction is Direction.IN)), "erspan_hwid": "0x0"}
    return options
