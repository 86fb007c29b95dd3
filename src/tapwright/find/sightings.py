"""Sightings: what several providers say of VMs, and which of them are the same VM.  Pure.

A sighting is one `Vm` in one provider's snapshot.  Two are the same VM when they share a
*mark*, and marks are trusted in this order: the id; a host or guest device or a control-plane
port id; a MAC.  Two tenants may use one MAC, so that joins only where nobody saw it twice.

A provider tells its own VMs apart, so no mark ever joins two of them: containers of one pod
share their vNIC and stay two.  The exception is a sighting that knows no more than a port (its
id is the port's): two such may well be the two vNICs of one VM.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from tapwright.find.merge import Sighting, completed, is_mere_port, merge
from tapwright.model import Device, DeviceKey, Vm, VmKind

_Group = list[Sighting]
_Agree = Callable[[Sequence[_Group]], bool]


def merge_vms(sightings: Iterable[Sighting], devices: Mapping[DeviceKey, Device]) -> tuple[Vm, ...]:
    """One Vm for each group of equal sightings, sorted by name.

    `sightings` come in the order of preference: the first of a group gives id, name and kind.
    """
    rank: dict[int, int] = {}
    groups: list[_Group] = []
    for provider, vm in sightings:
        complete = replace(vm, vnics=tuple(completed(vnic, devices) for vnic in vm.vnics))
        rank[id(complete)] = len(groups)
        groups.append([(provider, complete)])
    groups = _united(groups, _ids, _any)
    groups = _united(groups, _devices_and_ports, _each_once)
    groups = _united(groups, _macs, _seen_once)
    for group in groups:
        group.sort(key=lambda sighting: rank[id(sighting[1])])
    return tuple(sorted(map(merge, _absorbed(groups)), key=lambda vm: (vm.name, vm.id)))


def _ids(group: _Group) -> set[Hashable]:
    return {vm.id for _, vm in group}


def _devices_and_ports(group: _Group) -> set[Hashable]:
    vnics = [vnic for _, vm in group for vnic in vm.vnics]
    return {mark for vnic in vnics for mark in (vnic.device, vnic.inner, vnic.iface_id) if mark}


def _macs(group: _Group) -> set[Hashable]:
    return {vnic.mac for _, vm in group for vnic in vm.vnics if vnic.mac not in ("", "00:00:00:00:00:00")}


def _any(_groups: Sequence[_Group]) -> bool:
    return True


def _each_once(groups: Sequence[_Group]) -> bool:
    """No provider that says "this is a VM of its own", not merely a port, says so twice."""
    return _unique(provider for group in groups for provider in {p for p, vm in group if not is_mere_port(vm)})


def _seen_once(groups: Sequence[_Group]) -> bool:
    """No provider saw it twice, and nobody names another device for it."""
    if not _unique(provider for group in groups for provider in {p for p, _ in group}):
        return False
    devices: defaultdict[str, set[DeviceKey]] = defaultdict(set)
    for vnic in (vnic for group in groups for _, vm in group for vnic in vm.vnics):
        if vnic.device and vnic.mac:
            devices[vnic.mac].add(vnic.device)
    return all(len(keys) == 1 for keys in devices.values())


def _unique(providers: Iterable[str]) -> bool:
    return max(Counter(providers).values(), default=1) == 1


def _united(groups: list[_Group], marks: Callable[[_Group], set[Hashable]], agree: _Agree) -> list[_Group]:
    """Unite groups that share a mark, as far as those brought together that way `agree`."""
    marked: defaultdict[Hashable, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        for mark in marks(group):
            marked[mark].append(i)
    shared = (indexes for indexes in marked.values() if len(indexes) > 1)
    edges = (indexes for indexes in shared if agree([groups[i] for i in indexes]))
    united: list[_Group] = []
    for component in _components(len(groups), edges):
        members = [groups[i] for i in component]
        together = len(members) > 1 and agree(members)
        united += [[sighting for group in members for sighting in group]] if together else members
    return united


def _components(size: int, edges: Iterable[Sequence[int]]) -> list[list[int]]:
    """Connected components of 0..size-1 (union-find)."""
    parent = list(range(size))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for first, *others in edges:
        for other in others:
            low, high = sorted((root(first), root(other)))
            parent[high] = low
    found: defaultdict[int, list[int]] = defaultdict(list)
    for i in range(size):
        found[root(i)].append(i)
    return list(found.values())


def _absorbed(groups: Sequence[_Group]) -> Iterator[_Group]:
    """A namespace that others know to be theirs (two containers of a pod) is no VM beside them."""
    owners: defaultdict[DeviceKey, list[_Group]] = defaultdict(list)
    spaces = [group for group in groups if _is_mere_namespace(group)]
    known = [group for group in groups if not _is_mere_namespace(group)]
    for group in known:
        for key in {vnic.inner for _, vm in group for vnic in vm.vnics if vnic.inner}:
            owners[key].append(group)
    for space in spaces:
        keys = [vnic.inner for _, vm in space for vnic in vm.vnics if vnic.inner]
        near = {id(group): group for key in keys for group in owners.get(key, ())}
        takers = {number: group for number, group in near.items() if _each_once([group, space])}
        for group in takers.values():
            group.extend(space)
        if not takers:
            yield space
    yield from known


def _is_mere_namespace(group: _Group) -> bool:
    return all(vm.kind is VmKind.NAMESPACE for _, vm in group)
