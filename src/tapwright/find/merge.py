"""Merging: one Vm out of what several providers say of it.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from tapwright.model import Device, DeviceKey, Vm, VmKind, Vnic

Sighting = tuple[str, Vm]
"""(provider, what it said)"""


def is_mere_port(vm: Vm) -> bool:
    """Whether its provider knows a port and not whose it is: the id is the port's own."""
    return any(vm.id == vnic.iface_id for vnic in vm.vnics)


def completed(vnic: Vnic, devices: Mapping[DeviceKey, Device]) -> Vnic:
    """What the kernel's devices add to a vNIC: the other end of its pair, MAC, MTU and addresses."""
    outer = devices.get(vnic.device) if vnic.device else None
    inner_key = vnic.inner or (outer.peer if outer else None)
    inner = devices.get(inner_key) if inner_key else None
    outer_key = vnic.device or (inner.peer if inner else None)
    outer = outer or (devices.get(outer_key) if outer_key else None)
    return replace(
        vnic,
        mac=vnic.mac or (inner.mac if inner else ""),
        addresses=_addresses((*vnic.addresses, *(inner.addresses if inner else ()))),
        mtu=vnic.mtu or (inner.mtu if inner else outer.mtu if outer else 0),
        device=outer_key,
        inner=inner_key,
    )


def merge(group: Sequence[Sighting]) -> Vm:
    """One Vm out of sightings of it; the first one gives id, name and state."""
    best = group[0][1]
    others = [vm for _, vm in group[1:]]
    called = [text for vm in (best, *others) for text in (vm.name, vm.id, *vm.aliases) if text]
    return Vm(
        id=best.id,
        name=best.name,
        kind=_kind(group),
        state=best.state,
        aliases=tuple(text for text in dict.fromkeys(called) if text not in (best.name, best.id)),
        vnics=_merge_vnics(vnic for _, vm in group for vnic in vm.vnics),
        pid=next((vm.pid for _, vm in group if vm.pid), 0),
        providers=tuple(dict.fromkeys(provider for provider, _ in group)),
    )


def _kind(group: Sequence[Sighting]) -> VmKind:
    """The most telling kind anybody saw.

    A container is a namespace too, so that word says least; who knows no more than a port
    cannot tell at all.
    """
    kinds = [vm.kind for _, vm in group if not is_mere_port(vm)] or [group[0][1].kind]
    return next((kind for kind in kinds if kind is not VmKind.NAMESPACE), kinds[0])


def _merge_vnics(vnics: Iterable[Vnic]) -> tuple[Vnic, ...]:
    merged: list[Vnic] = []
    for vnic in vnics:
        place = next((i for i, known in enumerate(merged) if _same(known, vnic)), None)
        if place is None:
            merged.append(vnic)
        else:
            merged[place] = _combined(merged[place], vnic)
    return tuple(_told_apart(merged))


def _same(one: Vnic, other: Vnic) -> bool:
    """Within one VM: a common device or port id decides; a MAC does where no device contradicts."""
    for a, b in ((one.device, other.device), (one.inner, other.inner), (one.iface_id, other.iface_id)):
        if a and b:
            return a == b
    return bool(one.mac) and one.mac == other.mac


def _combined(one: Vnic, other: Vnic) -> Vnic:
    return replace(
        one,
        mac=one.mac or other.mac,
        addresses=_addresses((*one.addresses, *other.addresses)),
        mtu=one.mtu or other.mtu,
        device=one.device or other.device,
        inner=one.inner or other.inner,
        iface_id=one.iface_id or other.iface_id,
    )


def _told_apart(vnics: Sequence[Vnic]) -> Iterator[Vnic]:
    """VNICs with names of their own: ``VM/nic`` must mean one."""
    used: set[str] = set()
    for vnic in vnics:
        names = (vnic.name, *(f"{vnic.name}-{n}" for n in range(2, len(vnics) + 2)))
        name = next(name for name in names if name not in used)
        used.add(name)
        yield vnic if name == vnic.name else replace(vnic, name=name)


def _addresses(addresses: Iterable[str]) -> tuple[str, ...]:
    """Each address once, in the form that carries its prefix length where anybody knew it."""
    found: dict[str, str] = {}
    for text in addresses:
        address = text.partition("/")[0]
        if "/" in text or address not in found:
            found[address] = text
    return tuple(found.values())
