"""From what a person types to a VM: names, ids, parts of ids, ``VM/nic`` and patterns.  Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tapwright.errors import Ambiguous, NotFound
from tapwright.find.topology import Topology
from tapwright.model import Switch, Vm, Vnic
from tapwright.units import format_things

_SHORTEST_ID = 4
"""Fewer characters of an id are taken for a typing error, not for an id."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A VM and those of its vNICs that were asked for."""

    vm: Vm
    vnics: tuple[Vnic, ...]


def resolve(topology: Topology, text: str) -> Vm:
    """The one VM called `text`: by name, id, alias, or the beginning of an id.

    Raises NotFound with near names, Ambiguous with what tells the candidates apart.
    """
    found = _called(topology.vms, text)
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFound(f"no VM is called {text!r}", _near(topology.vms, text))
    raise Ambiguous(
        f"{len(found)} VMs are called {text!r}",
        tuple(vm.id for vm in found),
        "say which by its id:\n" + "\n".join(_candidate(topology, vm) for vm in found),
    )


def resolve_vnic(topology: Topology, text: str) -> Selection:
    """``VM`` (all its vNICs) or ``VM/nic`` (one: by name or MAC).  Raises as `resolve`, or NotFound for the nic."""
    name, slash, nic = text.rpartition("/")
    if not slash or _called(topology.vms, text):
        vm = resolve(topology, text)
        return Selection(vm, vm.vnics)
    vm = resolve(topology, name)
    vnics = tuple(vnic for vnic in vm.vnics if nic in (vnic.name, vnic.mac))
    if not vnics:
        raise NotFound(f"{vm.name} has no vNIC {nic!r}", f"it has {_listed(vnic.name for vnic in vm.vnics)}")
    return Selection(vm, vnics)


def resolve_switch(topology: Topology, text: str) -> Switch:
    """The one switch called `text`, by name or id.  Raises NotFound, Ambiguous."""
    found = [switch for switch in topology.switches if text in (switch.name, switch.id)]
    if not found:
        known = ", ".join(sorted(switch.name for switch in topology.switches))
        raise NotFound(f"no switch is called {text!r}", f"there are {known}" if known else "tapwright ls")
    if len(found) > 1:
        ids = tuple(switch.id for switch in found)
        raise Ambiguous(f"{len(found)} switches are called {text!r}", ids, f"say which by its id: {', '.join(ids)}")
    return found[0]


def resolve_many(topology: Topology, texts: Iterable[str]) -> tuple[Selection, ...]:
    """All that `texts` name, each VM once, in the order asked for; shell patterns (``web-*``) are allowed.

    A pattern is held against names; where no name matches, against ids and other names of a VM, then against
    its vNICs as they are spelled (``web-*/eth1``).

    Raises as `resolve`, and NotFound for a pattern that matches nothing.
    """
    chosen: dict[str, Selection] = {}
    for text in texts:
        for selection in _matching(topology, text):
            before = chosen.get(selection.vm.id)
            vnics = (*before.vnics, *selection.vnics) if before else selection.vnics
            chosen[selection.vm.id] = Selection(selection.vm, tuple(dict.fromkeys(vnics)))
    return tuple(chosen.values())


def _matching(topology: Topology, text: str) -> tuple[Selection, ...]:
    if not any(c in text for c in "*?[") or _called(topology.vms, text):
        return (resolve_vnic(topology, text),)
    vms = topology.vms
    found = (
        [vm for vm in vms if fnmatchcase(vm.name, text)]
        or [vm for vm in vms if any(fnmatchcase(other, text) for other in _words(vm))]
    )  # fmt: skip
    selections = [Selection(vm, vm.vnics) for vm in found] or list(_matching_vnics(vms, text))
    if not selections:
        raise NotFound(f"no VM's name, id or vNIC matches {text!r}", _overview(vms))
    return tuple(selections)


def _matching_vnics(vms: Sequence[Vm], pattern: str) -> Iterator[Selection]:
    """Those vNICs that a pattern like ``web-*/eth1`` spells, by name or MAC, of the VM's name, id or alias."""
    if "/" not in pattern:
        return
    for vm in vms:
        spelled = ((vnic, f"{word}/{nic}") for vnic in vm.vnics for word in _words(vm) for nic in (vnic.name, vnic.mac))
        vnics = tuple(dict.fromkeys(vnic for vnic, spelling in spelled if fnmatchcase(spelling, pattern)))
        if vnics:
            yield Selection(vm, vnics)


def _words(vm: Vm) -> tuple[str, ...]:
    return (vm.name, vm.id, *vm.aliases)


def _called(vms: Sequence[Vm], text: str) -> list[Vm]:
    """Those with that name or id; only when there is none, those with that alias or beginning of an id."""
    if exact := [vm for vm in vms if text in (vm.name, vm.id)]:
        return exact
    if known := [vm for vm in vms if text in vm.aliases]:
        return known
    if len(text) < _SHORTEST_ID:
        return []
    return [vm for vm in vms if vm.id.startswith(text)]


def _near(vms: Sequence[Vm], text: str) -> str:
    names = list(dict.fromkeys(vm.name for vm in vms))
    folded = {name.casefold(): name for name in reversed(names)}
    near = [folded[match] for match in difflib.get_close_matches(text.casefold(), folded, n=3, cutoff=0.5)]
    inside = [name for name in names if len(text) > 1 and text.casefold() in name.casefold()]
    guesses = list(dict.fromkeys((*near, *inside)))[:4]
    return f"did you mean {_listed(guesses, last=' or ')}?" if guesses else _overview(vms)


def _overview(vms: Sequence[Vm]) -> str:
    if not vms:
        return "no VM was found on this host at all; `tapwright ls` says where it looked"
    return f"{format_things(len(vms), 'VM')} can be seen here: tapwright ls"


def _listed(names: Iterable[str], last: str = " and ") -> str:
    *head, tail = list(names) or ["none"]
    return f"{', '.join(head)}{last}{tail}" if head else tail


def _candidate(topology: Topology, vm: Vm) -> str:
    """One line that tells a VM from its namesakes: id, kind, switches."""
    ports = (topology.port_of(vnic) for vnic in vm.vnics)
    switches = (topology.switch(port.switch) for port in ports if port)
    where = _listed(dict.fromkeys(switch.name for switch in switches if switch)) if vm.vnics else "no vNIC"
    return f"{vm.id}  ({vm.kind}, on {where})"
