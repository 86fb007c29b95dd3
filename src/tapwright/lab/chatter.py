"""Starting the talks of a topology between its nodes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tapwright.adapters import command
from tapwright.lab import traffic
from tapwright.lab.plan import MachineNode, Plan
from tapwright.lab.topology import Talk

PROGRAM = (sys.executable, "-I", "-S", str(Path(traffic.__file__)))
"""The traffic program (`tapwright.lab.traffic`), as nodes run it."""


def addresses(plan: Plan) -> dict[str, str]:
    """Pure: the first address of every node that has one, without its prefix length."""
    return {node.name: node.addresses[0].partition("/")[0] for node in plan.machines if node.addresses}


def start(plan: Plan, folder: Path, env: Mapping[str, str]) -> None:
    """Start answering, then asking, in every namespace that has a part; guests do it by themselves."""
    where = addresses(plan)
    for machine in plan.machines:
        _run(machine, folder, env, "serve", _services(machine, plan.topology.talks))
    for machine in plan.machines:
        _run(machine, folder, env, "talk", _targets(machine, plan.topology.talks, where))


def _services(machine: MachineNode, talks: Iterable[Talk]) -> Iterator[str]:
    return (f"{talk.protocol}:{talk.port}" for talk in talks if talk.to == machine.name)


def _targets(machine: MachineNode, talks: Iterable[Talk], where: Mapping[str, str]) -> Iterator[str]:
    return (f"{talk.protocol}:{where[talk.to]}:{talk.port}" for talk in talks if talk.source == machine.name)


def _run(machine: MachineNode, folder: Path, env: Mapping[str, str], verb: str, words: Iterable[str]) -> None:
    distinct = sorted(set(words))
    if distinct and machine.netns:
        argv = ["ip", "netns", "exec", machine.netns, *PROGRAM, verb, *distinct]
        command.detach(argv, log=folder / f"{machine.name}-{verb}.log", env=env)
