"""Two VMs on a Linux bridge, and places on their host to which tc can copy their frames."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from support.mirrored import COLLECTOR, COLLECTOR6, DB, MARK, WEB
from support.netns import ifindex, inode, ip, veth
from support.traces import difference, tc, traces
from support.vnics import allow_ip6, plug, quiet_namespace
from tapwright.find.names import resolve_switch
from tapwright.find.topology import join
from tapwright.model import DeviceKey, Host, Netns
from tapwright.plan.mirroring import whole
from tapwright.plan.mirrors import Mirror, Place, Target, parse
from tapwright.plan.points import Point, PointKind
from tapwright.plan.steps import Finding, Found, Step
from tapwright.providers.linux import Linux


@dataclass(frozen=True)
class World:
    """`web` (vnet1), `db` (vnet2) and the collector VM `vm` (vnet3) on the bridge br0 of `host`; `sniffer` behind
    the free device snf0, `collector` behind up0, which has the host's address."""

    host: str
    web: str
    db: str
    vm: str
    sniffer: str
    collector: str

    @property
    def namespaces(self) -> tuple[str, ...]:
        return (self.host, self.web, self.db, self.vm, self.sniffer, self.collector)

    @property
    def provider(self) -> Linux:
        return Linux(self.namespaces)

    def look(self) -> str:
        return traces(*self.namespaces)

    def points(self, kind: PointKind = PointKind.DEVICE) -> list[Point]:
        provider = self.provider
        return [p for p in provider.points(join(Host("h"), [provider.snapshot()])) if p.kind is kind]

    def point(self, device: str = "vnet1") -> Point:
        return next(point for point in self.points() if point.device_name == device)

    def whole(self) -> Point:
        """The bridge itself."""
        topology = join(Host("h"), [self.provider.snapshot()])
        return whole(resolve_switch(topology, "br0"), topology)

    def place(self, device: str, netns: str = "") -> Place:
        home = netns or self.host
        where = Netns(inode(home), f"/run/netns/{home}", home)
        return Place(DeviceKey(where.inode, ifindex(home, device)), device, where)

    def mirror(self, target: str | Target, place: Place | None = None, device: str = "vnet1", **more: object) -> Mirror:
        goal = parse(target) if isinstance(target, str) else target
        return replace(Mirror(self.point(device), goal, MARK, place or Place()), **more)

    def steps(self, target: str | Target, place: Place | None = None, **more: object) -> tuple[Linux, Sequence[Step]]:
        provider = self.provider
        return provider, provider.steps(self.mirror(target, place, **more))


@contextmanager
def opened(world: World, target: str | Target, place: Place | None = None, **more: object) -> Iterator[Sequence[Step]]:
    """Each step done twice and found, undone twice and gone; and the world is as before."""
    before = world.look()
    provider, steps = world.steps(target, place, **more)
    try:
        for step in steps:
            assert provider.found(step).found is Found.ABSENT
            provider.perform(step.do)
            provider.perform(step.do)
            assert provider.found(step) == Finding(Found.THERE)
        yield steps
        assert [provider.found(step) for step in steps] == [Finding(Found.THERE)] * len(steps)
    finally:
        for step in reversed(steps):
            provider.perform(step.undo)
            provider.perform(step.undo)
    assert {provider.found(step).found for step in steps} == {Found.ABSENT}
    changed = difference(before, world.look())
    assert not changed, changed


def do(provider: Linux, steps: Sequence[Step]) -> None:
    for step in steps:
        provider.perform(step.do)


def undo(provider: Linux, steps: Sequence[Step]) -> None:
    for step in reversed(steps):
        provider.perform(step.undo)


def findings(provider: Linux, steps: Sequence[Step]) -> list[Found]:
    return [provider.found(step).found for step in steps]


def their_filter(world: World, hook: str = "ingress", pref: str = "1", device: str = "vnet1") -> None:
    """All of web's frames to vnet3, by somebody else."""
    what = ["u32", "match", "u32", "0", "0", "action", "mirred", "egress", "mirror", "dev", "vnet3"]
    tc("filter", "add", "dev", device, hook, "protocol", "all", "pref", pref, *what, netns=world.host)


@contextmanager
def world() -> Iterator[World]:
    with ExitStack() as stack:
        world = World(*(stack.enter_context(quiet_namespace()) for _ in range(6)))
        host = world.host
        ip("link", "add", "br0", "type", "bridge", "mcast_snooping", "0", netns=host)
        ip("link", "set", "br0", "up", netns=host)
        for number, guest in enumerate((world.web, world.db, world.vm), start=1):
            plug(host, guest, f"vnet{number}")
        for netns, mac in ((world.web, WEB), (world.db, DB)):
            ip("link", "set", "eth0", "address", mac, netns=netns)
        veth(host, "snf0", "eth0", world.sniffer)
        _wire(host, world.collector)
        yield world


def _wire(host: str, collector: str) -> None:
    veth(host, "up0", "eth0", collector)
    for netns, device, address, address6 in (
        (host, "up0", "172.31.0.1", "fd00::1"),
        (collector, "eth0", COLLECTOR, COLLECTOR6),
    ):
        allow_ip6(netns, device)
        ip("addr", "add", f"{address}/24", "dev", device, netns=netns)
        ip("addr", "add", f"{address6}/64", "dev", device, "nodad", netns=netns)
