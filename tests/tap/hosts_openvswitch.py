"""Hosts of an Open vSwitch on which mirrors are killed: its own, and those for which the kernel filters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from support import mirrored
from support.mirrored import COLLECTOR
from support.netns import ip, veth
from support.openvswitch import OpenVSwitch
from support.traces import traces
from tap.hosts import Case, Host, Vanishing
from tapwright.filter import compile_filter
from tapwright.plan.mirrors import Mirror, Place, Target, TargetKind, parse
from tapwright.plan.points import Point
from tapwright.providers.linux import Linux

_OWN = Target(TargetKind.NIC)
TARGETS: dict[str, tuple[Target, str, str]] = {
    "a device of our own": (_OWN, "", ""),
    "nic, a free device": (parse("nic:snf0"), "snf0", ""),
    "nic, a port": (parse("nic:trunk0"), "trunk0", "trunk0"),
    "vm": (parse("vm:vm3/eth0"), "vnet3", "vnet3"),
    "rspan": (parse("rspan:999"), "", ""),
    "erspan2": (parse(f"erspan2://{COLLECTOR}?session=7&index=19"), "", ""),
    "erspan3": (parse(f"erspan3://{COLLECTOR}?session=8"), "", ""),
    "gre": (parse(f"gre://{COLLECTOR}?key=4242"), "", ""),
    "vxlan": (parse(f"vxlan://{COLLECTOR}?vni=7007"), "", ""),
    "geneve": (parse(f"geneve://{COLLECTOR}?vni=7008"), "", ""),
}
"""Each with the device and the port of br0 that take the copies."""
FILTERED = [name for name in TARGETS if name != "a device of our own"]
_LONG = ("gre", "nic, a free device", "rspan")


def _matching(text: str) -> bytes:
    return compile_filter(text, outgoing_is_to_vm=True).program.code


_MORE = {"program": _matching("(inbound and tcp) or (outbound and udp)"), "snaplen": 80}
"""The longest way: each direction by itself, and cut."""


@contextmanager
def switch_host(state: Path) -> Iterator[tuple[Host, OpenVSwitch]]:
    """The host of an Open vSwitch, and the switch."""
    with mirrored.world(talking=False) as world:
        switches = _Switches(world)
        yield (
            Host(
                [switches.provider],
                switches.look,
                {name: switches.case(world.point(), *asked) for name, asked in TARGETS.items()}
                | {"a VLAN of the switch": switches.case(world.whole(), *TARGETS["gre"], vlans=(10,))},
                state,
                world.switch.netns,
                longest=("a device of our own", "gre"),
                pair=("gre", "a device of our own"),
                vanishing=switches.vanishing,
            ),
            world.switch,
        )


@contextmanager
def open_vswitch(state: Path) -> Iterator[Host]:
    with switch_host(state) as (host, _):
        yield host


@contextmanager
def filtering_open_vswitch(state: Path) -> Iterator[Host]:
    """What the switch copies the kernel filters: steps of both."""
    with mirrored.world(talking=False) as world:
        switches, point = _Switches(world, program=_matching("tcp or arp")), world.point()
        cases = {name: switches.case(point, *TARGETS[name]) for name in FILTERED}
        each_way = {f"{name}, each way": switches.case(point, *TARGETS[name], **_MORE) for name in _LONG}
        yield Host(
            [switches.provider, Linux([world.switch.netns])],
            switches.look,
            cases | each_way | {"a VLAN of the switch": switches.case(world.whole(), *TARGETS["rspan"], vlans=(10,))},
            state,
            world.switch.netns,
            longest=tuple(each_way),
            pair=("nic, a free device", "gre, each way"),
            vanishing=switches.vanishing,
            rarer=12,
            few=("rspan", "gre, each way"),
        )


class _Switches:
    """Ports and bridges that come and go; the number of configurations (``next_cfg``) stays."""

    def __init__(self, world: mirrored.World, **asked: Any) -> None:
        """`asked` is what else is wanted of every mirror."""
        self.world, self.provider, self._asked = world, world.provider, asked
        self.provider.snapshot()

    @property
    def vanishing(self) -> tuple[Any, ...]:
        """What may go first, each by itself."""
        return self.port_first, self.device_first, self.bridge_first, self.output_first, self.free_device_first

    def look(self) -> str:
        return f"{self.world.dump()}\n{traces(self.world.switch.netns)}"

    def case(self, point: Point, target: Target, device: str = "", port: str = "", **more: Any) -> Case:
        place = self.world.place(device, port) if device else Place()
        return lambda mark: self.provider.steps(Mirror(point, target, mark, place, **(self._asked | more)))

    def vsctl(self, *arguments: str) -> None:
        self.world.switch.vsctl("--no-wait", *arguments)

    def port_first(self) -> AbstractContextManager[Vanishing]:
        return self._mirrored("br0", lambda: self.vsctl("del-port", "gone0"))

    def device_first(self) -> AbstractContextManager[Vanishing]:
        """As when a VM's namespace or its QEMU ends, and the database still has the port."""
        return self._mirrored("br0", lambda: ip("link", "del", "gone0", netns=self.world.switch.netns))

    def bridge_first(self) -> AbstractContextManager[Vanishing]:
        return self._mirrored("br9", lambda: self.vsctl("del-br", "br9"))

    @contextmanager
    def _mirrored(self, bridge: str, vanish: Callable[[], object]) -> Iterator[Vanishing]:
        """Port gone0 of a bridge of its own, or of br0."""
        with self._veth("gone0"):
            try:
                if bridge != "br0":
                    self.vsctl("add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev")
                self.vsctl("add-port", bridge, "gone0", "--", "set", "interface", "gone0", "external_ids:vm-id=vm9")
                self.vsctl("wait-until", "interface", "gone0", "ofport>0")
                target = _OWN if bridge != "br0" and not self._asked else TARGETS["gre"][0]
                yield self.case(self.world.point("gone0"), target), vanish
            finally:
                self.vsctl("--if-exists", "del-port", "gone0")
                if bridge != "br0":
                    self.vsctl("--if-exists", "del-br", bridge)

    @contextmanager
    def output_first(self) -> Iterator[Vanishing]:
        """The port that takes the copies."""
        with self._veth("gone0"):
            try:
                self.vsctl("add-port", "br0", "gone0")
                case = self.case(self.world.point(), parse("nic:gone0"), "gone0", "gone0")
                yield case, lambda: self.vsctl("del-port", "gone0")
            finally:
                self.vsctl("--if-exists", "del-port", "gone0")

    @contextmanager
    def free_device_first(self) -> Iterator[Vanishing]:
        with self._veth("gone0"):
            case = self.case(self.world.point(), parse("nic:gone0"), "gone0")
            yield case, lambda: ip("link", "del", "gone0", netns=self.world.switch.netns)

    @contextmanager
    def _veth(self, device: str) -> Iterator[None]:
        host = self.world.switch.netns
        veth(host, device, "eth9", self.world.web)
        try:
            yield
        finally:
            if device in ip("link", netns=host):
                ip("link", "del", device, netns=host)
