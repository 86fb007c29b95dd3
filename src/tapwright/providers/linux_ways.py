"""Pure: where a frame gets that is given to a device, over the veth pairs and bridges of this host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tapwright.model import Device, DeviceKey
from tapwright.plan.mirroring import UPPER


def loop(devices: Mapping[DeviceKey, Device], source: DeviceKey, target: DeviceKey, *, for_vm: bool) -> str:
    """How copies sent to `target` would come by `source` again, "" when they would not."""
    name = devices[target].name if target in devices else "the target"
    if leads_back(devices, source, target):
        return f"copies sent to {name} would come back to the VM and be copied again"
    ours, theirs = devices.get(source), devices.get(target)
    if not for_vm and ours and theirs and ours.master and ours.master == theirs.master:
        return f"{name} is a port of the VM's own bridge, where copies would pass for the VM's own frames"
    return ""


def leads_back(devices: Mapping[DeviceKey, Device], source: DeviceKey, target: DeviceKey) -> bool:
    """Whether a frame that leaves by `target` can get to `source` over bridges and veth pairs of this host."""
    return any(source in (device.key, device.peer) for device in _reached(devices, target))


def bridges_behind(devices: Mapping[DeviceKey, Device], start: DeviceKey) -> frozenset[DeviceKey]:
    """The bridges of this host that a frame gets into which is given to the device `start`."""
    entered = (_entered(devices, device)[1] for device in _reached(devices, start))
    return frozenset(bridge for bridge in entered if bridge)


def _reached(devices: Mapping[DeviceKey, Device], start: DeviceKey) -> Iterator[Device]:
    """All devices that a frame is given to, one after the other, which is given to `start`."""
    seen: set[DeviceKey] = set()
    todo = [start]
    while todo:
        key = todo.pop()
        if key in seen or key not in devices:
            continue
        seen.add(key)
        yield devices[key]
        todo.extend(_onward(devices, devices[key]))


def _onward(devices: Mapping[DeviceKey, Device], device: Device) -> Iterator[DeviceKey]:
    """The devices by which a frame leaves that was given to `device`."""
    if device.kind in UPPER and device.lower:
        yield device.lower
    entry, bridge = _entered(devices, device)
    if bridge is None:
        return
    for port in devices.values():
        if port.key.netns == bridge.netns and port.master == bridge.index and port.key != entry.key:
            yield port.key


def _entered(devices: Mapping[DeviceKey, Device], device: Device) -> tuple[Device, DeviceKey | None]:
    """By which device a frame that is given to `device` gets into which bridge; None where it does not."""
    if device.peer:
        entry = devices.get(device.peer, device)
        return entry, DeviceKey(entry.key.netns, entry.master) if entry.master else None
    return device, device.key if device.kind == "bridge" else None
