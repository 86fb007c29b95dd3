"""Pure: what the facts that `doctor` gathered mean for tapwright, each with the next step."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from tapwright.adapters.clock import Clock
from tapwright.adapters.kernel import Kernel, Trial
from tapwright.model import Answer, Capability
from tapwright.units import format_size

_SUDO = "run it with sudo"
_NEEDS = {
    "CAP_NET_RAW": ("capture, collect, VLAN filters: packet sockets", True),
    "CAP_SYS_ADMIN": ("every verb, for VMs in other network namespaces", True),
    "CAP_NET_ADMIN": ("mirror, stop, sweep: tc filters and devices", True),
    "CAP_SYS_PTRACE": ("ls, where, plan: namespaces and taps that processes of other users hold", False),
    "CAP_BPF": ("nothing: all filters here are classic BPF", False),
}
"""capability -> which verbs need it and for what, and whether they cannot do without"""
_STEP = 0.005
"""Seconds that a clock may move against the one nobody sets while `doctor` looks: more is a step, not steering."""
_FINE = 1e-6
_SLOW_SOURCES = frozenset({"hpet", "acpi_pm", "jiffies", "pit"})
_LEAST_ROOM = 16 << 20
"""Bytes on the journal's disk."""
_FEW_INSTRUCTIONS = 1024


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    area: str
    name: str
    capability: Capability
    needed: bool = False
    """Whether a *no* or *unknown* here wants somebody's attention; the others say what this host has and has not."""

    @property
    def attention(self) -> bool:
        """Whether somebody should do something about it."""
        return self.needed and self.capability.answer is not Answer.YES


@dataclass(frozen=True, slots=True)
class Feature:
    """Something of the kernel that a verb uses."""

    name: str
    option: str
    """Of the kernel's configuration, without ``CONFIG_``."""
    module: str
    purpose: str
    trial: Trial


def _feature(name: str, option: str, module: str, purpose: str, program: str, line: str) -> Feature:
    return Feature(name, option, module, purpose, Trial(name, program, line))


_ALL = '"1,6 0 0 0"'
"""A classic BPF program of one instruction."""
FEATURES = (
    _feature("clsact", "NET_SCH_INGRESS", "sch_ingress", "mirrors of Linux devices", "tc", "qdisc add dev lo clsact"),
    _feature(
        "cls_bpf", "NET_CLS_BPF", "cls_bpf", "mirrors of Linux devices", "tc",
        f"filter add dev lo ingress protocol all pref 1 handle 1 bpf bytecode {_ALL}",
    ),
    _feature(
        "mirred", "NET_ACT_MIRRED", "act_mirred", "mirrors of Linux devices", "tc",
        f"filter add dev lo egress protocol all pref 1 handle 1 bpf bytecode {_ALL} "
        "action mirred egress mirror dev lo continue",
    ),
    _feature(
        "vxlan", "VXLAN", "vxlan", "vxlan:// from Linux devices", "ip",
        "link add twprobe1 type vxlan id 1 dstport 4789",
    ),
    _feature(
        "geneve", "GENEVE", "geneve", "geneve:// from Linux devices", "ip",
        "link add twprobe2 type geneve id 1 remote 192.0.2.1",
    ),
    _feature(
        "gretap", "NET_IPGRE", "ip_gre", "gre:// from Linux devices", "ip",
        "link add twprobe3 type gretap remote 192.0.2.1",
    ),
    _feature(
        "erspan", "NET_IPGRE", "ip_gre", "erspan2:// and erspan3:// from Linux devices", "ip",
        "link add twprobe4 type erspan remote 192.0.2.1 seq key 1 erspan_ver 1 erspan 1",
    ),
)  # fmt: skip
"""Those beyond packet sockets."""


def to_try(kernel: Kernel) -> tuple[Trial, ...]:
    """What may be tried: nothing for which the kernel would load a module."""
    return tuple(feature.trial for feature in FEATURES if not kernel.loads or _here(kernel, feature))


def _here(kernel: Kernel, feature: Feature) -> bool:
    return feature.module in kernel.present or (kernel.config or {}).get(feature.option) == "y"


def features(kernel: Kernel, tried: Mapping[str, str]) -> Iterator[Check]:
    """What the kernel has for mirrors of its own devices; other targets and Open vSwitch do without."""
    for feature in FEATURES:
        yield Check("kernel", feature.name, _capability(kernel, feature, tried.get(feature.name)))


def _capability(kernel: Kernel, feature: Feature, said: str | None) -> Capability:
    if said == "":
        return Capability.yes(f"{feature.purpose}; tried in a namespace of its own")
    if _here(kernel, feature):
        if said:
            return Capability.no(f"no {feature.purpose}: {said}")
        return Capability.yes(f"{feature.purpose}; it is in the kernel or loaded, and was not tried")
    if feature.module in kernel.installed and kernel.loads:
        return Capability.yes(f"{feature.purpose}; the kernel loads module {feature.module} when it is asked for")
    return _without(kernel, feature, said)


def _without(kernel: Kernel, feature: Feature, said: str | None) -> Capability:
    """Why it is not here, as far as anybody says."""
    if kernel.config is None and said:
        return Capability.no(f"no {feature.purpose}: {said}")
    if kernel.config is None:
        return Capability.unknown(
            f"the kernel does not show its configuration, and trying could load module {feature.module}",
            f"see: modprobe -n {feature.module}",
        )
    if kernel.config.get(feature.option) == "m":
        return Capability.no(
            f"no {feature.purpose}: module {feature.module} cannot be loaded",
            f"install the modules of kernel {kernel.release}",
        )
    return Capability.no(f"no {feature.purpose}: this kernel was built without CONFIG_{feature.option}")


def privileges(held: Collection[str]) -> Iterator[Check]:
    """What this process may do, and which verb needs it."""
    for name, (purpose, needed) in _NEEDS.items():
        if name in held:
            capability = Capability.yes(purpose)
        elif name == "CAP_BPF":
            capability = Capability.no(f"not here; needed for {purpose}")
        else:
            capability = Capability.no(f"needed for {purpose}", _SUDO)
        yield Check("privileges", name, capability, needed)


def ring(said: str | None) -> Check:
    """Whether a packet socket takes a ring; `said` is None where we may not ask."""
    if said is None:
        capability = Capability.unknown("a packet socket needs CAP_NET_RAW", _SUDO)
    elif said:
        capability = Capability.no(f"no capture: {said}", "a kernel with CONFIG_PACKET, from 3.2 on")
    else:
        capability = Capability.yes("capture, collect")
    return Check("kernel", "AF_PACKET with TPACKET_V3", capability, needed=True)


def pressure(said: str) -> Check:
    """Whether the host tells how hard pressed it is."""
    no = Capability.no(
        f"/proc/pressure: {said}; how hard pressed the host is cannot be watched", "boot the kernel with psi=1"
    )
    return Check("kernel", "PSI", no if said else Capability.yes("how hard pressed the host is"))


def filter_memory(instructions: int) -> Check:
    """Whether a socket has the memory for filters of the usual length."""
    if instructions >= _FEW_INSTRUCTIONS:
        capability = Capability.yes(f"room for a filter of some {instructions:,} instructions")
    else:
        capability = Capability.no(
            f"room for a filter of some {instructions:,} instructions only: filters on many VMs or on inner frames "
            "may be refused",
            "sysctl net.core.optmem_max=131072",
        )
    return Check("memory", "optmem_max", capability)


def ring_memory(wanted: int, free: int | None) -> Check:
    """Whether the rings of a capture find room in memory."""
    if free is None:
        capability = Capability.unknown("the kernel does not say how much memory can be spared")
    elif free < 2 * wanted:
        capability = Capability.no(
            f"the ring of a capture takes {format_size(wanted)}, and {format_size(free)} can be spared",
            "a smaller one: --buffer 8M, or TAPWRIGHT_BUFFER",
        )
    else:
        capability = Capability.yes(f"{format_size(wanted)} for the ring of a capture, {format_size(free)} to spare")
    return Check("memory", "ring", capability, needed=True)


def libpcap(version: str, missing: str = "") -> Check:
    """Whether filters can be compiled."""
    if version:
        return Check("software", "libpcap", Capability.yes(version))
    fix = "apt install libpcap0.8 (Fedora: libpcap)"
    return Check("software", "libpcap", Capability.no(f"no filter can be compiled: {missing}", fix), needed=True)


@dataclass(frozen=True, slots=True)
class Place:
    """The journal's folder, or where it would be made."""

    path: str
    there: bool
    writable: bool
    free: int
    problem: str = ""
    """Why the journal cannot be used as it is."""


def journal(place: Place) -> Check:
    """Whether a mirror could be written down before it is opened."""
    hint = "say where with TAPWRIGHT_STATE"
    if place.problem:
        capability = Capability.no(place.problem, hint)
    elif not place.writable:
        capability = Capability.no(f"{place.path} cannot be written", f"{_SUDO}, or {hint}")
    elif place.free < _LEAST_ROOM:
        capability = Capability.no(
            f"{format_size(place.free)} free for {place.path}: no mirror is opened that cannot be written down", hint
        )
    else:
        made = "" if place.there else ", made with the first mirror"
        capability = Capability.yes(f"{place.path}{made}, {format_size(place.free)} free")
    return Check("journal", "folder", capability, needed=True)


def clock(found: Clock, moved: float) -> Iterator[Check]:
    """Whether times of packets mean something; `moved` is how far it was set while we looked, in seconds."""
    yield Check("clock", "synchronised", _synchronised(found))
    if abs(moved) > _STEP:
        steady = Capability.no(f"it was set by {moved:+.3f} s while doctor looked", "see who does it: chronyc tracking")
    else:
        steady = Capability.yes("nobody set it while doctor looked")
    yield Check("clock", "steady", steady, needed=True)
    yield Check("clock", "resolution", _resolution(found))


def _synchronised(found: Clock) -> Capability:
    if found.synchronised is None:
        return Capability.unknown("the kernel does not say")
    if found.synchronised:
        return Capability.yes(f"within {found.error * 1000:.3g} ms, says who keeps it")
    return Capability.no(
        "the kernel knows of nobody who keeps it: packets of several hosts cannot be put into order",
        "timedatectl set-ntp true, or start chronyd",
    )


def _resolution(found: Clock) -> Capability:
    if found.resolution > _FINE:
        return Capability.no(f"times are {found.resolution * 1e6:g} us apart at best")
    if found.source in _SLOW_SOURCES:
        return Capability.no(
            f"read from {found.source}, which takes about a microsecond for every packet", "boot with tsc=reliable"
        )
    return Capability.yes(f"{found.resolution * 1e9:g} ns" + (f", from {found.source}" if found.source else ""))
