"""What tapwright knows of a host: frozen values, no behaviour that touches the world.

Every provider describes its part of the host in these words and every other room reads
them.  All classes are immutable and hashable, so they can be compared, stored in sets and
turned into JSON without copying.  MAC addresses are lower case with colons; IP addresses
carry their prefix length where it is known (``10.0.0.5/24``); sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Answer(StrEnum):
    """The three answers to "can this be done here?"."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Capability:
    """Whether something works here, why not, and what to do about it."""

    answer: Answer
    reason: str = ""
    fix: str = ""

    @classmethod
    def yes(cls, reason: str = "") -> Capability:
        """It works; `reason` may say how that is known."""
        return cls(Answer.YES, reason)

    @classmethod
    def no(cls, reason: str, fix: str = "") -> Capability:
        """It does not work, for `reason`; `fix` is the next step for a person."""
        return cls(Answer.NO, reason, fix)

    @classmethod
    def unknown(cls, reason: str, fix: str = "") -> Capability:
        """It could not be told, for `reason`."""
        return cls(Answer.UNKNOWN, reason, fix)


class DeviceKey(NamedTuple):
    """What identifies a network device on one machine: namespace inode and ifindex.

    Names repeat from namespace to namespace (every guest has an ``eth0``); this pair does not.
    """

    netns: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which means nothing here


@dataclass(frozen=True, slots=True)
class Netns:
    """A network namespace and the way into it."""

    inode: int
    path: str = ""
    """A path that `setns` accepts (``/run/netns/x``, ``/proc/4711/ns/net``); "" is tapwright's own."""
    name: str = ""
    """The name a person gave it (``ip netns``), or "" when it has none."""


@dataclass(frozen=True, slots=True)
class Counters:
    """A device's counters since it was made, seen from the device (rx = into the host's stack)."""

    rx_packets: int = 0
    rx_bytes: int = 0
    rx_dropped: int = 0
    rx_errors: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0
    tx_dropped: int = 0
    tx_errors: int = 0
    multicast: int = 0


@dataclass(frozen=True, slots=True)
class Device:
    """A network device as the kernel shows it, in whichever namespace it lives."""

    key: DeviceKey
    name: str
    kind: str = ""
    """The kernel's link kind: ``veth``, ``tun``, ``bridge``, ``vxlan``...; "" for physical ones."""
    mac: str = ""
    mtu: int = 0
    up: bool = True
    alias: str = ""
    """The administrator's description (``ip link set DEV alias TEXT``)."""
    master: int = 0
    """ifindex of the bridge or bond it is plugged into, 0 when none."""
    peer: DeviceKey | None = None
    """The other end of a veth pair, when it could be found."""
    addresses: tuple[str, ...] = ()
    counters: Counters = Counters()
    lower: DeviceKey | None = None
    """The device below a VLAN, macvlan or tunnel device, when it could be found."""
    vlan: int | None = None
    """Tag of a VLAN device."""


class VmKind(StrEnum):
    """What a Vm is made of."""

    VM = "vm"
    CONTAINER = "container"
    NAMESPACE = "namespace"


@dataclass(frozen=True, slots=True)
class Vnic:
    """A network interface of a VM."""

    name: str
    """As the VM's owner would call it: ``eth0`` in a namespace, ``net0`` for the first NIC of a guest."""
    mac: str = ""
    addresses: tuple[str, ...] = ()
    mtu: int = 0
    device: DeviceKey | None = None
    """The host's side: the tap or veth end that carries its frames; None when no device does."""
    inner: DeviceKey | None = None
    """The VM's side, when that is a device of this kernel too (containers, namespaces)."""
    iface_id: str = ""
    """The id a control plane gave its port (OVS ``external_ids:iface-id``, Neutron port id)."""


@dataclass(frozen=True, slots=True)
class Vm:
    """A virtual machine or container: a name, an id and its vNICs."""

    id: str
    """Unique on the host: the libvirt or Nova UUID, the container id, else the provider's own."""
    name: str
    kind: VmKind = VmKind.VM
    state: str = "running"
    aliases: tuple[str, ...] = ()
    """Further names and ids people use for it (short container id, ``instance-0000002a``...)."""
    vnics: tuple[Vnic, ...] = ()
    pid: int = 0
    """A process of this host that is or holds the VM (QEMU, a container's init); 0 when unknown."""
    providers: tuple[str, ...] = ()
    """Who said so; a single provider's snapshot names itself, the topology all of them."""


class Role(StrEnum):
    """What a switch port is for."""

    VNIC = "vnic"
    UPLINK = "uplink"
    TUNNEL = "tunnel"
    INTERNAL = "internal"
    PATCH = "patch"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Switch:
    """A virtual switch: a Linux bridge, an Open vSwitch bridge..."""

    id: str
    """Unique on the host and stable while it exists."""
    name: str
    kind: str
    """``bridge`` or ``ovs``; later providers add theirs."""
    netns: int = 0
    """Inode of the namespace it lives in."""
    device: DeviceKey | None = None
    """The device of the switch itself (a Linux bridge, OVS's internal port)."""
    datapath: str = ""
    """Where it forwards: ``kernel``, ``netdev``..."""
    providers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Port:
    """A place of a switch where something is plugged in."""

    switch: str
    """`Switch.id`"""
    name: str
    role: Role = Role.OTHER
    device: DeviceKey | None = None
    """None where no kernel device carries it (patch, DPDK and vhost-user ports, OVS tunnels)."""
    kind: str = ""
    """The switch's own type for it (OVS ``interface.type``), the kernel's link kind otherwise."""
    vlan: int | None = None
    """Access VLAN (OVS ``tag``, bridge PVID when not 1), None when untagged."""
    trunks: tuple[int, ...] = ()
    peer: str = ""
    """The port at the other end of a patch."""
    mac: str = ""
    """Attached MAC, where the switch was told (OVS ``external_ids:attached-mac``)."""
    iface_id: str = ""
    vm_id: str = ""
    """Owner's id, where the switch was told (OVS ``external_ids:vm-id``)."""
    counters: Counters | None = None
    """The switch's own statistics, where it keeps any."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """A tunnel: what it wraps frames in, and between which endpoints (VTEPs)."""

    kind: str
    """``vxlan``, ``geneve``, ``gre``..."""
    vni: int | None = None
    """VNI, key or session; None when it is set per flow."""
    local: str = ""
    remotes: tuple[str, ...] = ()
    port: int = 0
    """UDP destination port, 0 where there is none."""
    netns: int = 0
    switch_port: str = ""
    """Name of the switch port that leads into it."""
    device: DeviceKey | None = None
    """The tunnel's kernel device, where it has one."""
    uplink: DeviceKey | None = None
    """The device its outer packets leave by, where known."""


@dataclass(frozen=True, slots=True)
class Host:
    """The hypervisor or node itself."""

    name: str
    os: str = ""
    kernel: str = ""
    hardware: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One provider's view of the host at one moment."""

    provider: str
    netns: tuple[Netns, ...] = ()
    devices: tuple[Device, ...] = ()
    vms: tuple[Vm, ...] = ()
    switches: tuple[Switch, ...] = ()
    ports: tuple[Port, ...] = ()
    overlays: tuple[Overlay, ...] = ()
    warnings: tuple[str, ...] = ()
    """Sentences for a person: what could not be read and why."""
