"""Planning with a look at the world: what would be captured, where, and what it would take.

Changes nothing and opens nothing but netlink sockets.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from tapwright import config as configuration
from tapwright import providers
from tapwright.adapters import netlink
from tapwright.capture.files import free_bytes
from tapwright.config import Config
from tapwright.control import local, tapped
from tapwright.control.filters import Attached, Filters
from tapwright.control.prepare import planned, resolver
from tapwright.control.wish import Wish
from tapwright.filter.compile import Compiled, compile_filter
from tapwright.find.statistics import Rates, rates
from tapwright.find.topology import Topology
from tapwright.model import DeviceKey
from tapwright.plan.planner import Plan, loaded, with_cost


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, the topology it was made from, and the filter."""

    plan: Plan
    topology: Topology
    compiled: Compiled
    attached: tuple[Attached, ...]
    """The filter at each chosen point."""


def plan(wish: Wish, *, interval: float = 1.0, path: str = "", config: Config | None = None) -> Planned:
    """Plan `wish` for a file at `path`, with the load measured over `interval` seconds (0: not measured).

    Raises NotFound, Ambiguous, FilterError (with the position), MissingDependency, UsageError, and what a
    provider raises that cannot open the mirror it offered.
    """
    config = config or configuration.load()
    known = providers.load_all(config)
    topology = local.look(config, known)

    # Compiled as for a file, which needs no privilege; the words are judged all the same.
    compiled = compile_filter(wish.filter, resolver(topology), snaplen=wish.snaplen)
    made = planned(wish, topology, config, known)
    made = replace(made, steps=tapped.steps(made.chosen, config, known))
    if wish.ring:
        made = replace(made, request=replace(made.request, bytes=wish.ring[0] * wish.ring[1]))
    if interval and made.chosen:
        made = with_cost(made, _load(made, topology, interval), free_bytes(path or "."))
    filters = Filters(wish, resolver(topology), live=None)
    return Planned(made, topology, compiled, tuple(filters.at(choice) for choice in made.chosen))


def _load(made: Plan, topology: Topology, interval: float) -> dict[DeviceKey, Rates]:
    """What the chosen devices carry, from two readings of their counters; devices that vanish are left out."""
    sides = {device: c.point.outgoing_is_to_vm for c in made.chosen if (device := loaded(c))}
    before, start = netlink.read_counters(sides, topology.netns), time.monotonic()
    time.sleep(interval)
    after = netlink.read_counters(sides, topology.netns)
    seconds = time.monotonic() - start
    return {key: rates(before[key], after[key], seconds, outside=sides[key]) for key in before.keys() & after.keys()}
