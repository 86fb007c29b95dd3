"""A plan for people, as lines of text, and for programs, as plain data.  Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tapwright.find.topology import Topology
from tapwright.model import Vm, Vnic
from tapwright.plan.cost import Cost
from tapwright.plan.planner import Choice, Plan, Rejected, Unseen
from tapwright.plan.points import Point, PointKind
from tapwright.units import format_duration, format_rate, format_size

_SWITCHES = {"ovs": "Open vSwitch"}
"""Kind of a switch -> what people call it, where that is something else."""


def as_text(plan: Plan, topology: Topology) -> list[str]:
    """The plan as a person reads it; foreign names are as given, so make the lines printable before showing them."""
    lines = [line for choice in plan.chosen for line in _chosen(choice, plan, topology)]
    lines += [line for unseen in plan.unseen for line in _unseen(unseen, plan)]
    lines += [line for rejected in plan.rejected if _alone(rejected, plan) for line in _left_out(rejected)]
    return [*lines, "", *_changes(plan), *_costs(plan.cost)]


def _chosen(choice: Choice, plan: Plan, topology: Topology) -> Iterator[str]:
    what = "read a mirror of port" if choice.point.kind is PointKind.MIRROR else "read"
    yield f"{_name(choice.vm, choice.vnic)}: {what} {_place(choice.point, topology)}"
    yield f"    why   {choice.reason}"
    if choice.point.sees:
        yield f"    sees  {choice.point.sees}"
    yield from _others(choice.vm, choice.vnic, plan)


def _unseen(unseen: Unseen, plan: Plan) -> Iterator[str]:
    yield f"{_name(unseen.vm, unseen.vnic)}: cannot be seen: {unseen.reason}"
    if unseen.fix:
        yield f"    fix   {unseen.fix}"
    if unseen.vnic:
        yield from _others(unseen.vm, unseen.vnic, plan)


def _left_out(rejected: Rejected) -> Iterator[str]:
    yield f"{_name(rejected.vm, rejected.vnic)}: left out: {rejected.reason}"


def _alone(rejected: Rejected, plan: Plan) -> bool:
    """Whether nothing else in the plan speaks of its vNIC."""
    spoken_of = {(c.vm, c.vnic) for c in plan.chosen} | {(u.vm, u.vnic) for u in plan.unseen}
    return (rejected.vm, rejected.vnic) not in spoken_of


def _others(vm: Vm, vnic: Vnic, plan: Plan) -> Iterator[str]:
    for rejected in plan.rejected:
        if rejected.vm == vm and rejected.vnic == vnic:
            yield f"    not   {rejected.point.id}: {rejected.reason}"


def _place(point: Point, topology: Topology) -> str:
    switch = topology.switch(point.switch)
    within = f" in namespace {point.netns.name or point.netns.path}" if point.netns.path else ""
    on = f", on {_SWITCHES.get(switch.kind, switch.kind)} {switch.name}" if switch else ""
    return f"{point.device_name}{within}{on}"


def _name(vm: Vm, vnic: Vnic | None) -> str:
    return f"{vm.name}/{vnic.name}" if vnic else vm.name


def _changes(plan: Plan) -> Iterator[str]:
    changes = [change for choice in plan.chosen for change in choice.point.changes]
    yield "Changes on this host: " + ("; ".join(changes) if changes else "none")
    for step in plan.steps:
        yield f"    {step.do.provider}: {step.why}; undone at the end"


def _costs(cost: Cost | None) -> Iterator[str]:
    if cost is None:
        return
    yield f"Load now, before the filter: {format_rate(cost.packets, 'pps')}, {format_rate(cost.bits, 'bit/s')}"
    yield f"File: at most {format_size(cost.disk)} per second{_outlook(cost)}"
    yield f"Memory: {format_size(cost.memory)} of kernel ring"


def _outlook(cost: Cost) -> str:
    parts = [f", {format_size(cost.total)} altogether"] if cost.total is not None else []
    if cost.free is not None:
        full = f", full after {format_duration(cost.until_full)}" if cost.until_full is not None else ""
        parts.append(f"; {format_size(cost.free)} free on the disk{full}")
    return "".join(parts)


def as_data(plan: Plan) -> dict[str, Any]:
    """The plan as JSON-able values (the schema of ``plan --json``); rates are per second, sizes bytes."""
    return {
        "chosen": [_entry(choice.vm, choice.vnic, choice.point, choice.reason) for choice in plan.chosen],
        "rejected": [_entry(r.vm, r.vnic, r.point, r.reason) for r in plan.rejected],
        "unseen": [_unseen_entry(unseen) for unseen in plan.unseen],
        "changes": [change for choice in plan.chosen for change in choice.point.changes],
        "steps": list(plan.steps),
        "cost": plan.cost,
        "warnings": list(plan.warnings),
    }


def _unseen_entry(unseen: Unseen) -> dict[str, Any]:
    vnic = unseen.vnic.name if unseen.vnic else None
    return {"vm": unseen.vm.name, "vnic": vnic, "reason": unseen.reason, "fix": unseen.fix}


def _entry(vm: Vm, vnic: Vnic, point: Point, reason: str) -> dict[str, Any]:
    return {
        "vm": vm.name,
        "vm_id": vm.id,
        "vnic": vnic.name,
        "point": point.id,
        "kind": point.kind,
        "provider": point.provider,
        "device": point.device_name,
        "ifindex": point.device.index if point.device else None,
        "netns": point.netns.name or point.netns.path,
        "switch": point.switch,
        "port": point.port,
        "overlay": point.overlay,
        "vlan": point.vlan,
        "sees": point.sees,
        "reason": reason,
    }
