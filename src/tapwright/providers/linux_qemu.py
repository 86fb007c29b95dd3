"""Pure: guests that nobody else may know of, from the QEMU processes that hold their taps open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tapwright.adapters.process import Process
from tapwright.adapters.taps import OpenTap
from tapwright.model import Device, DeviceKey, Vm, Vnic
from tapwright.providers.linux_view import View
from tapwright.providers.qemu_arguments import Nic, is_qemu, parse


def guests(view: View) -> tuple[Vm, ...]:
    """The guest of every QEMU process, with the IP addresses that the host's neighbour tables know."""
    found = [_guest(view, process) for process in view.census.processes if is_qemu(process.program)]
    return tuple(_with_addresses(view, found))


def _guest(view: View, process: Process) -> Vm:
    said = parse(process.argv)
    devices = _tap_devices(view, process, said.nics)
    return Vm(
        id=said.uuid or f"qemu:{process.pid}",
        name=said.name or f"qemu-{process.pid}",
        vnics=tuple(
            Vnic(f"net{i}", nic.mac, mtu=device.mtu if device else 0, device=device.key if device else None)
            for i, (nic, device) in enumerate(zip(said.nics, devices, strict=True))
        ),
        pid=process.pid,
        providers=("linux",),
    )


def _tap_devices(view: View, process: Process, nics: Sequence[Nic]) -> list[Device | None]:
    """The tap of each card: by name or descriptor; what is left over by MAC, then by order."""
    held = view.held.get(process.pid, ())
    by_fd = {tap.fd: device for tap in held if (device := _held(view, process, tap))}
    found = [_named(view, process, nic, by_fd) for nic in nics]
    taken = {device.key for device in found if device}
    left = list({device.key: device for device in by_fd.values() if device.key not in taken}.values())
    return [device or _left_over(nic, left) for nic, device in zip(nics, found, strict=True)]


def _held(view: View, process: Process, tap: OpenTap) -> Device | None:
    if tap.index:
        return view.devices.get(DeviceKey(process.netns or view.census.own, tap.index))
    return _tap(view, process, tap.name)


def _tap(view: View, process: Process, name: str) -> Device | None:
    """The tap of that name: in the process's namespace, else wherever there is only one."""
    found = view.taps.get(name, ())
    here = [device for device in found if device.key.netns == (process.netns or view.census.own)]
    return here[0] if here else found[0] if len(found) == 1 else None


def _named(view: View, process: Process, nic: Nic, by_fd: Mapping[int, Device]) -> Device | None:
    if device := next((by_fd[fd] for fd in nic.fds if fd in by_fd), None):
        return device
    return _tap(view, process, nic.ifname) if nic.ifname else None


def _left_over(nic: Nic, left: list[Device]) -> Device | None:
    """Taps made by a helper or by libvirt often carry the guest's MAC with another first byte."""
    if nic.backend not in ("tap", "bridge", "") or not left:
        return None
    alike = (device for device in left if device.mac[2:] == nic.mac[2:])
    chosen = next(alike, left[0])
    left.remove(chosen)
    return chosen


def _with_addresses(view: View, guests: Sequence[Vm]) -> Iterator[Vm]:
    """Guests with the IP addresses that the host's own neighbour tables know."""
    macs = Counter((vnic.device.netns, vnic.mac) for vm in guests for vnic in vm.vnics if vnic.device)
    for vm in guests:
        yield replace(vm, vnics=tuple(_with_neighbours(view, vnic, macs) for vnic in vm.vnics))


def _with_neighbours(view: View, vnic: Vnic, macs: Mapping[tuple[int, str], int]) -> Vnic:
    """What the bridge itself talked to; behind another switch anybody in that namespace, if the MAC is unique."""
    tap = view.devices.get(vnic.device) if vnic.device else None
    if tap is None or not vnic.mac:
        return vnic
    bridge = view.bridge_of(tap)
    unique = macs[tap.key.netns, vnic.mac] == 1
    places = {bridge.key} if bridge else {d.key for d in view.by_netns[tap.key.netns] if unique}
    known = (n.address for n in view.survey.neighbours if n.mac == vnic.mac and n.device in places)
    return replace(vnic, addresses=tuple(dict.fromkeys(known)))
