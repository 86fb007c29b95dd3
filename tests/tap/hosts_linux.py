"""The host of a Linux bridge, on which mirrors are killed; others use its devices as well."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from support import copied
from support.mirrored import COLLECTOR
from support.netns import ip, veth
from support.traces import tc, traces
from tap.hosts import Case, Host, Vanishing
from tapwright.find.topology import join
from tapwright.model import Host as Machine
from tapwright.plan.mirrors import Direction, Mirror, Place, parse
from tapwright.plan.points import PointKind
from tapwright.providers.linux import Linux

FURNISHED = "vnet2"
"""Somebody else has filters on both its hooks."""
HALF = "vnet4"
"""Somebody else has an `ingress` qdisc there."""


@contextmanager
def linux(state: Path) -> Iterator[Host]:
    with copied.world() as world:
        _furnish(world)
        provider, bridges = world.provider, _Bridges(world)
        nic, vm, nowhere = world.place("snf0"), world.place("vnet3"), Place()
        cases = {
            f"{name}{beside}": bridges.case(device, target, place)
            for device, beside, vni in (("vnet1", "", 7007), (FURNISHED, ", beside others", 7008))
            for name, target, place in (
                ("nic", "nic:snf0", nic),
                ("vm", "vm:vm/eth0", vm),
                ("vxlan", f"vxlan://{COLLECTOR}?vni={vni}", nowhere),
            )
        }
        cases["nic, one way"] = bridges.case(HALF, "nic:snf0", nic, Direction.OUT)
        cases["a VLAN of the bridge"] = bridges.vlan(f"vxlan://{COLLECTOR}?vni=7010")
        yield Host(
            [provider],
            lambda: traces(world.host),
            cases,
            state,
            world.host,
            longest=("vxlan",),
            pair=("nic", "vxlan"),
            vanishing=(bridges.device_first, bridges.vm_first, bridges.target_first, bridges.host_first),
        )


def _furnish(world: copied.World) -> None:
    """Mirrors and a rule of theirs, one of them without a number of its own."""
    tc("qdisc", "add", "dev", FURNISHED, "clsact", netns=world.host)
    mirror = ["action", "mirred", "egress", "mirror", "dev", "vnet3"]
    never = "1,6 0 0 0"
    for hook in ("ingress", "egress"):
        on = ["filter", "add", "dev", FURNISHED, hook, "protocol"]
        every = ["match", "u32", "0x88b50000", "0xffff0000", "at", "12"]
        tc(*on, "all", "pref", "7", "u32", *every, *mirror, netns=world.host)
        tc(*on, "all", "pref", "9", "handle", "0x7", "bpf", "bytecode", never, *mirror, netns=world.host)
        tc(*on, "ip", "u32", "match", "ip", "dport", "9", "0xffff", *mirror, netns=world.host)
    veth(world.host, HALF, "eth1", world.db)
    ip("link", "set", HALF, "master", "br0", netns=world.host)
    tc("qdisc", "add", "dev", HALF, "ingress", netns=world.host)


class _Bridges:
    """Devices and namespaces that come and go."""

    def __init__(self, world: copied.World) -> None:
        self.world, self.provider = world, world.provider
        self._points = {point.device_name: point for point in world.points()}

    def case(self, device: str, target: str, place: Place, direction: Direction = Direction.BOTH) -> Case:
        point = self._points[device]
        return lambda mark: self.provider.steps(Mirror(point, parse(target), mark, place, direction))

    def vlan(self, target: str) -> Case:
        """Of the bridge itself."""
        point = self.world.whole()
        return lambda mark: self.provider.steps(Mirror(point, parse(target), mark, vlans=(10,)))

    def device_first(self) -> AbstractContextManager[Vanishing]:
        return self._mirrored(lambda: ip("link", "del", "gone0", netns=self.world.host))

    def vm_first(self) -> AbstractContextManager[Vanishing]:
        return self._mirrored(lambda: ip("netns", "del", self._guest))

    @property
    def _guest(self) -> str:
        return f"{self.world.host}-gone"

    @contextmanager
    def _mirrored(self, vanish: Callable[[], object]) -> Iterator[Vanishing]:
        """gone0, of a VM that is a namespace of its own."""
        with self._namespace():
            veth(self.world.host, "gone0", "eth0", self._guest)
            ip("link", "set", "gone0", "master", "br0", netns=self.world.host)
            yield self._case(self.world.host, f"vxlan://{COLLECTOR}?vni=7009", Place()), vanish

    @contextmanager
    def host_first(self) -> Iterator[Vanishing]:
        """All of it was in a namespace, as of a nested host."""
        with self._namespace() as nested:
            ip("link", "add", "br9", "type", "bridge", netns=nested)
            veth(nested, "gone0", "eth9", self.world.web)
            ip("link", "set", "gone0", "master", "br9", netns=nested)
            ip("link", "add", "snf9", "type", "veth", "peer", "name", "snf8", netns=nested)
            ip("link", "set", "snf9", "up", netns=nested)
            yield self._case(nested, "nic:snf9", self.world.place("snf9", nested)), lambda: ip("netns", "del", nested)

    @contextmanager
    def target_first(self) -> Iterator[Vanishing]:
        host = self.world.host
        veth(host, "gone0", "eth9", self.world.sniffer)
        try:
            case = self.case("vnet1", "nic:gone0", self.world.place("gone0"))
            yield case, lambda: ip("link", "del", "gone0", netns=host)
        finally:
            if "gone0" in ip("link", netns=host):
                ip("link", "del", "gone0", netns=host)

    def _case(self, host: str, target: str, place: Place) -> Case:
        provider = Linux((*self.world.namespaces, self._guest))
        points = provider.points(join(Machine("h"), [provider.snapshot()]))
        point = next(p for p in points if (p.device_name, p.netns.name, p.kind) == ("gone0", host, PointKind.DEVICE))
        return lambda mark: provider.steps(Mirror(point, parse(target), mark, place))

    @contextmanager
    def _namespace(self) -> Iterator[str]:
        """Which may be deleted meanwhile."""
        name = self._guest
        ip("netns", "add", name)
        try:
            yield name
        finally:
            if name in ip("netns", "list").split():
                ip("netns", "del", name)
            deadline = time.monotonic() + 30
            # A namespace takes its time to end, and what it held lives as long.
            while "gone0" in ip("link", netns=self.world.host) or "eth9" in ip("link", netns=self.world.web):
                assert time.monotonic() < deadline
                time.sleep(0.01)
