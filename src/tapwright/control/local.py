"""One request on this host, from names to a running capture."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from tapwright import config as configuration
from tapwright import providers
from tapwright.adapters.process import netns_of
from tapwright.config import Config
from tapwright.errors import TapwrightError
from tapwright.find.topology import Topology, join
from tapwright.model import Answer, Host, Snapshot, Vm, VmKind
from tapwright.plan.points import Point
from tapwright.providers.base import Provider

HOSTS_PACKETS = "`tcpdump -i any`"
"""What shows the packets of a host's own network, which belong to no VM."""


def look(config: Config | None = None, known: Sequence[Provider] = ()) -> Topology:
    """Ask every provider that has something to say, side by side, and join their answers.

    `known` are those to ask, made already; by default they are made anew.  A provider that fails
    becomes a warning of the topology: the others still count.  Raises UsageError on a wrong
    configuration.
    """
    asked = known or providers.load_all(config or configuration.load())
    return join(this_host(), _snapshots([p for p in asked if p.probe().answer is not Answer.NO]))


def points(topology: Topology, config: Config | None = None, known: Sequence[Provider] = ()) -> tuple[Point, ...]:
    """Every point any provider offers for the vNICs of `topology`; `known` as of `look`."""
    asked = known or providers.load_all(config or configuration.load())
    return tuple(point for provider in asked for point in provider.points(topology))


def on_hosts_network(vm: Vm) -> str:
    """A sentence about a container without a network of its own, and what shows its packets; "" for any other."""
    if vm.vnics or vm.kind is not VmKind.CONTAINER or not vm.pid:
        return ""
    netns = netns_of(vm.pid)
    if netns is None or netns.path:
        return ""
    return f"it uses the host's own network and has no vNIC of its own; {HOSTS_PACKETS} reads the host's"


def _snapshots(present: Sequence[Provider]) -> list[Snapshot]:
    if len(present) < 2:  # a plain hypervisor: no threads, and no time to import them
        return [_ask(provider) for provider in present]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=len(present)) as pool:
        return list(pool.map(_ask, present))


def _ask(provider: Provider) -> Snapshot:
    try:
        return provider.snapshot()
    except TapwrightError as error:
        return Snapshot(provider.name, warnings=(f"{provider.name}: {error.line}",))


def this_host() -> Host:
    """Name, operating system, kernel and processor of the machine we run on."""
    return Host(
        name=platform.node(),
        os=_os_name(),
        kernel=os.uname().release,
        hardware=_processor(),
    )


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return model or platform.machine()
