"""Real hosts on which mirrors are killed: an Open vSwitch, and a Linux bridge whose devices others use as well."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import copied, mirrored
from support.netns import ip, veth
from support.openvswitch import OpenVSwitch
from support.traces import difference, tc, traces
from tap.calls import Watched
from tap.victims import Life, Tick, WatchedJournal
from tapwright.filter import compile_filter
from tapwright.find.topology import join
from tapwright.model import Host as Machine
from tapwright.plan.mirrors import Direction, Mirror, Place, Target, TargetKind, parse
from tapwright.plan.points import Point, PointKind
from tapwright.plan.steps import Found, Mark, Step
from tapwright.providers.base import Reducer, Tapper
from tapwright.providers.linux import Linux
from tapwright.tap import owner
from tapwright.tap.arm import arm, disarm, intended, redone
from tapwright.tap.journal import Journal
from tapwright.tap.session import Session, State
from tapwright.tap.sweep import Swept, sweep

NOW = 1_000_000.0
LEASE = 60.0
Case = Callable[[Mark], Sequence[Step]]
"""The steps of one mirror, for a session's mark."""
Vanishing = tuple[Case, Callable[[], object]]
"""A mirror, and what makes vanish what it depends on."""
COLLECTOR = mirrored.COLLECTOR


@dataclass(frozen=True)
class Host:
    """A host, what can be mirrored on it, and a folder for the journals of its victims."""

    tappers: Sequence[Tapper]
    """All whose steps a mirror may have."""
    look: Callable[[], str]
    """All that a mirror could leave, but for what changes by itself."""
    cases: Mapping[str, Case]
    state: Path
    netns: str
    longest: Sequence[str]
    """Those cases that together do all that there is to do."""
    pair: tuple[str, str]
    """Two of the same port or device."""
    vanishing: Sequence[Callable[[], AbstractContextManager[Vanishing]]]
    """Mirrors of what is gone before they are; by the end of the block the host is as before, but for the mirror."""
    rarer: int = 1
    """How many times fewer faults than elsewhere there are, where not every one is asked for."""
    few: Sequence[str] = ()
    """The cases that are enough then; empty is all."""

    def among(self, every: bool) -> Sequence[str]:
        """The cases to go through."""
        return tuple(self.cases) if every or not self.few else self.few

    def some(self, count: int, one_in: int, every: bool, first: int = 0) -> range:
        """The points of `count` at which to kill; `first` tells cases apart, that together they meet the more."""
        step = 1 if every else one_in * self.rarer
        return range(first * 7 % step, count, step)

    def often(self, times: int) -> int:
        """So often, or fewer."""
        return max(1, times // self.rarer)

    def tapper_of(self, name: str) -> Tapper:
        """As a session asks for it."""
        return next(tapper for tapper in self.tappers if tapper.name == name)

    def found(self, step: Step) -> Found:
        """What is left of a step."""
        return self.tapper_of(step.do.provider).found(step).found

    def session(self, case: str) -> Session:
        """One to be, owned by whoever asks."""
        return Session(os.urandom(4).hex(), owner.own(), case, NOW, LEASE, NOW + LEASE)

    def life(self, case: str | Case) -> Life:
        """Open that mirror and close it."""
        return lambda tick: self._live(tick, self.cases[case] if isinstance(case, str) else case)

    def _live(self, tick: Tick, case: Case) -> None:
        watched = self._watched(tick)
        session, journal = self.session("a mirror"), WatchedJournal(self.state, tick)
        running = arm(journal, session, tuple(case(session.mark)), watched.__getitem__)
        disarm(journal, running, watched.__getitem__)

    def stepping_life(self, case: str, *levels: tuple[int, int]) -> Life:
        """Open that mirror, copy so many bytes of one frame in so many, for each level in turn, and close it."""
        return lambda tick: self._live_stepping(tick, self.cases[case], levels)

    def _live_stepping(self, tick: Tick, case: Case, levels: Sequence[tuple[int, int]]) -> None:
        watched = self._watched(tick)
        session, journal = self.session("a mirror"), WatchedJournal(self.state, tick)
        steps = tuple(case(session.mark))
        running = arm(journal, session, steps, watched.__getitem__)
        for level in levels:
            present = [entry.step for entry in running.entries]
            changed = {n: other for n, step in enumerate(steps) if (other := self._reduced(step, present[n], level))}
            running = redone(
                journal, intended(journal, running, changed, watched.__getitem__), tuple(changed), watched.__getitem__
            )
        disarm(journal, running, watched.__getitem__)

    def _reduced(self, step: Step, before: Step, level: tuple[int, int]) -> Step | None:
        tapper = self.tapper_of(step.do.provider)
        assert isinstance(tapper, Reducer)
        return tapper.reduced(step, before, *level)

    def _watched(self, tick: Tick) -> dict[str, Watched]:
        return {tapper.name: Watched(tapper, tick) for tapper in self.tappers}

    def sweeper(self, tick: Tick) -> None:
        """Sweep once every lease is over."""
        watched = self._watched(tick)
        journal = WatchedJournal(self.state, tick)
        sweep(journal, tuple(watched.values()), watched.__getitem__, owner.fate, NOW + LEASE)

    def sweep(self, now: float = NOW + LEASE) -> Swept:
        return sweep(Journal(self.state), self.tappers, self.tapper_of, owner.fate, now)

    def fresh(self) -> None:
        """Forget what was."""
        shutil.rmtree(self.state, ignore_errors=True)

    def spared(self, where: str) -> None:
        """Nothing is undone while a lease lasts."""
        left = self.look()
        assert self.sweep(NOW + LEASE - 1).sentence == "", where
        assert not difference(left, self.look()), where

    def check(self, before: str, where: str) -> None:
        """A sweep leaves nothing and keeps nothing back, and a second one has nothing to do."""
        swept = self.sweep()
        assert (swept.failed, swept.kept) == ((), ()), where
        self.settled(before, where)
        assert all(session.state is State.CLOSED for session in Journal(self.state).sessions()), where
        assert self.sweep().sentence == "", where

    def settled(self, before: str, where: str) -> None:
        """The host is as before; Open vSwitch may publish a moment later what it did."""
        deadline = time.monotonic() + 20
        while (changed := difference(before, self.look())) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not changed, f"{where}\n{changed}"


# Open vSwitch

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


# Linux

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
