"""Open vSwitch: bridges, ports, VLANs, tunnels, and whose vNIC each port is.

Reads each database once and changes nothing.  Kernel devices are named by the namespace of
ovs-vswitchd and the ``ifindex`` it publishes; everything else OVS carries (tunnels, patches,
DPDK, vhost-user) has no device that a packet socket could read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from tapwright.adapters import ovsdb
from tapwright.adapters.process import is_socket
from tapwright.errors import ProviderError
from tapwright.find.topology import Topology
from tapwright.model import Capability, DeviceKey, Netns, Port, Snapshot, Switch, Vm, Vnic
from tapwright.plan.mirrors import Mirror
from tapwright.plan.points import Point, PointKind
from tapwright.plan.steps import Operation, Step
from tapwright.providers.ovs_model import describe
from tapwright.providers.several import ask_all


class Ovs:
    """Every Open vSwitch of this host, also those that run in containers or namespaces."""

    name = "ovs"

    def __init__(self, remotes: Sequence[str] = ()) -> None:
        """`remotes` are ``unix:PATH`` of the databases to read, and no others; empty finds them."""
        self._told = tuple(remotes)

    def probe(self) -> Capability:
        """NO without a database, UNKNOWN when there is one that refuses us or nobody listens."""
        try:
            reasons = {remote: ovsdb.reachable(ovsdb.socket_path(remote)) for remote in self._remotes()}
        except ProviderError as error:
            return Capability.unknown(error.message, error.hint)
        if not reasons:
            return Capability.no(
                f"no Open vSwitch database at {' or '.join(self._told) or ovsdb.DEFAULT_REMOTE}",
                "if it is elsewhere: export TAPWRIGHT_OVSDB=unix:/path/to/db.sock",
            )
        if "" in reasons.values():
            return Capability.yes(f"database at {', '.join(reasons)}")
        return Capability.unknown("; ".join(f"{remote}: {reason}" for remote, reason in reasons.items()))

    def snapshot(self) -> Snapshot:
        """Read every instance; one that fails is a warning as long as another one answers."""
        databases, warnings = ask_all(self._remotes(), ovsdb.read)
        return describe(databases, warnings)

    def _remotes(self) -> tuple[str, ...]:
        if not self._told:
            return ovsdb.discover()
        paths = {os.path.realpath(path): path for remote in self._told if is_socket(path := ovsdb.socket_path(remote))}
        return tuple(f"unix:{path}" for path in paths.values())

    def points(self, topology: Topology) -> Sequence[Point]:
        """For a vNIC whose port has no device: the mirror it would take.

        A device that nobody else can show is offered too; those that the topology knows are
        offered by whoever read them.
        """
        return tuple(point for vm in topology.vms for vnic in vm.vnics for point in _points(topology, vm, vnic))

    def steps(self, mirror: Mirror) -> Sequence[Step]:
        """None for a device: it is read as it is.  Raises ProviderError for a mirror."""
        if mirror.point.kind is PointKind.DEVICE:
            return ()
        raise ProviderError(f"{mirror.point.port}: {mirror.point.readable.reason}")

    def perform(self, operation: Operation) -> None:
        """Nothing to perform in this version: every verb is unknown.  Raises ProviderError."""
        raise ProviderError(f"ovs cannot perform {operation.verb!r}")


def _points(topology: Topology, vm: Vm, vnic: Vnic) -> Iterator[Point]:
    port = topology.port_of(vnic)
    switch = topology.switch(port.switch) if port else None
    if port is None or switch is None or switch.kind != "ovs":
        return
    if port.device is None:
        yield _mirror(topology, vm, vnic, port, switch)
    elif topology.device(port.device) is None:
        yield _unseen_device(topology, vm, vnic, port, port.device)


def _mirror(topology: Topology, vm: Vm, vnic: Vnic, port: Port, switch: Switch) -> Point:
    return Point(
        kind=PointKind.MIRROR,
        vm=vm.id,
        vnic=vnic.name,
        provider="ovs",
        device=None,
        device_name=port.name,
        netns=topology.netns.get(switch.netns, Netns(switch.netns)),
        readable=Capability.no(
            f"port {port.name} has no device that can be read ({port.kind}); "
            "a mirror is needed, which this version cannot open yet"
        ),
        switch=switch.id,
        port=port.name,
        sees="both directions, as the switch forwards them",
        changes=(f"a mirror of port {port.name} and a port of its own on {switch.name}",),
    )


def _unseen_device(topology: Topology, vm: Vm, vnic: Vnic, port: Port, key: DeviceKey) -> Point:
    """A device that Open vSwitch names but nobody looked at: its namespace was left out, or closed to us."""
    return Point(
        kind=PointKind.DEVICE,
        vm=vm.id,
        vnic=vnic.name,
        provider="ovs",
        device=key,
        device_name=port.name,
        netns=topology.netns.get(key.netns, Netns(key.netns)),
        readable=Capability.unknown("only Open vSwitch says that this device is there; nobody else read it"),
        switch=port.switch,
        port=port.name,
        sees="both directions, before the switch adds its VLAN tag or tunnel header",
    )
