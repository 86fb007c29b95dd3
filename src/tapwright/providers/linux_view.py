"""Pure: what was read of the host's kernel and processes, with the look-ups the deductions need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from tapwright.adapters.namespaces import Census
from tapwright.adapters.netlink import Survey
from tapwright.adapters.process import Process
from tapwright.adapters.taps import OpenTap
from tapwright.model import Device, DeviceKey
from tapwright.providers.qemu_arguments import is_qemu

VSWITCHD = "ovs-vswitchd"
PAIRS = ("veth", "netkit")
"""Link kinds that come in pairs."""


def holds_taps(process: Process) -> bool:
    """Whether it is worth asking which taps this process holds open."""
    return process.program == VSWITCHD or is_qemu(process.program)


@dataclass(frozen=True)
class View:
    """All that was read of the host, with the look-ups the deductions below need."""

    census: Census
    survey: Survey
    held: Mapping[int, tuple[OpenTap, ...]]
    """The taps that processes hold open, by pid."""

    @property
    def devices(self) -> Mapping[DeviceKey, Device]:
        """Every device that could be read."""
        return self.survey.devices

    @cached_property
    def by_netns(self) -> Mapping[int, list[Device]]:
        """The devices of each namespace."""
        return self.survey.by_netns()

    @cached_property
    def residents(self) -> Mapping[int, list[Process]]:
        """The processes of each namespace."""
        return self.census.residents()

    @cached_property
    def taps(self) -> Mapping[str, list[Device]]:
        """Taps and macvtaps by name, all namespaces together."""
        found: dict[str, list[Device]] = {}
        for device in self.devices.values():
            if device.kind in ("tun", "macvtap"):
                found.setdefault(device.name, []).append(device)
        return found

    def bridge_of(self, device: Device) -> Device | None:
        """The Linux bridge that `device` is plugged into."""
        master = self.devices.get(DeviceKey(device.key.netns, device.master)) if device.master else None
        return master if master and master.kind == "bridge" else None
