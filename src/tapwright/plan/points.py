"""Points: the places where a vNIC's packets can be seen, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tapwright.model import Capability, DeviceKey, Netns, Overlay


class PointKind(StrEnum):
    """How the packets are reached, from the least change of the host to the most."""

    DEVICE = "device"
    """The tap or veth that carries the vNIC: read by a packet socket, nothing changes."""
    UPLINK = "uplink"
    """The server's uplink, behind a filter on the inner frame: nothing changes."""
    MIRROR = "mirror"
    """A mirror of the switch port to a device of our own: a leased, reversible change."""
    GUEST = "guest"
    """Inside the VM itself (a container's own namespace)."""


@dataclass(frozen=True, slots=True)
class Point:
    """One place where one vNIC's packets can be seen."""

    kind: PointKind
    vm: str
    """`Vm.id`, "" where it is a whole switch."""
    vnic: str
    """`Vnic.name`"""
    provider: str
    device: DeviceKey | None
    device_name: str
    netns: Netns
    readable: Capability
    """Whether it can be opened here and now, and why not."""
    switch: str = ""
    """`Switch.id` it hangs on, "" when none."""
    port: str = ""
    outgoing_is_to_vm: bool = True
    """True where a frame that *leaves* the device goes *to* the VM (a host-side tap or veth end);
    False on the VM's own side."""
    sees: str = ""
    """One sentence: directions, encapsulation, side of NAT."""
    changes: tuple[str, ...] = ()
    """What opening it changes on the host, in words; empty for a device."""

    overlay: Overlay | None = None
    """What the vNIC's frames are wrapped in there; None where they pass as they are."""
    vlan: int | None = None
    """The VLAN whose tag they carry there."""
    copies: bool = False
    """Whether a device's provider can also copy what passes there to another place; of a mirror that is true anyway."""

    elsewhere: bool = False
    """Whether a controller is asked to have the port copied, by a server that may be another one."""

    @property
    def mirrors(self) -> bool:
        """Whether its provider can copy what passes there to another place."""
        return self.copies or self.kind is PointKind.MIRROR

    @property
    def whole(self) -> bool:
        """Whether it is a switch and not one port of it."""
        return not self.vm

    @property
    def shared(self) -> bool:
        """Whether frames of others pass there too, so that a filter has to find the vNIC's own."""
        return self.kind is PointKind.UPLINK

    @property
    def id(self) -> str:
        """A readable name: ``device:vnet1@twlab-bridge-s1``, ``uplink:eth0/vxlan-100``."""
        where = f"@{self.netns.name or self.netns.inode}" if self.netns.path else ""
        return f"{self.kind}:{self.device_name}{where}{self._within()}"

    def _within(self) -> str:
        if self.overlay is None:
            return "" if self.vlan is None else f"/vlan-{self.vlan}"
        return f"/{self.overlay.kind}" + ("" if self.overlay.vni is None else f"-{self.overlay.vni}")
