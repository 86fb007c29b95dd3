"""Two VMs that talk without a pause on a real Open vSwitch, and places to which their frames can be copied."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from support import short_folder
from support.netns import ifindex, inode, ip, veth
from support.openvswitch import OpenVSwitch, openvswitch
from support.packets import sender
from support.repeating import repeating
from support.vnics import allow_ip6, quiet_namespace
from tapwright.find.names import resolve_switch
from tapwright.find.topology import join
from tapwright.model import DeviceKey, Host, Netns
from tapwright.plan.mirroring import whole
from tapwright.plan.mirrors import Direction, Mirror, Place, Target, parse
from tapwright.plan.points import Point, PointKind
from tapwright.plan.steps import Mark, Step
from tapwright.providers.ovs import Ovs

WEB, DB = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
MARK = Mark("1a2b3c4d", "4711.99.b00t", 1_800_000_000)
COLLECTOR, COLLECTOR6 = "172.31.0.9", "fd00::9"
_TALK = bytes.fromhex("88b5") + bytes(200)


@dataclass(frozen=True)
class World:
    """`web` (vnet1) and `db` (vnet2) on br0; `sniffer` behind the free device snf0, `vm` behind port vnet3 of br0,
    `trunk` behind port trunk0, and `collector` on the wire behind br-phy."""

    switch: OpenVSwitch
    web: str
    db: str
    sniffer: str
    vm: str
    trunk: str
    collector: str

    @property
    def provider(self) -> Ovs:
        return Ovs([self.switch.remote])

    def dump(self) -> str:
        return self.switch.dump()

    def point(self, port: str = "vnet1") -> Point:
        points = points_of(self.provider)
        return next(point for point in points if point.port == port and point.kind is PointKind.MIRROR)

    def whole(self) -> Point:
        """The switch itself."""
        topology = join(Host("h"), [self.provider.snapshot()])
        return whole(resolve_switch(topology, "br0"), topology)

    def mirror(self, target: str | Target, place: Place | None = None, port: str = "vnet1", **more: object) -> Mirror:
        goal = parse(target) if isinstance(target, str) else target
        return Mirror(self.point(port), goal, MARK, place or Place(), **more)

    def step(self, target: str | Target, place: Place | None = None, **more: object) -> tuple[Ovs, Step]:
        """The step, and a provider that has seen this switch."""
        provider = self.provider
        points_of(provider)
        (step,) = provider.steps(self.mirror(target, place, **more))
        return provider, step

    def place(self, device: str, port: str = "") -> Place:
        """A device beside the switch, with the port of br0 that it carries."""
        netns = self.switch.netns
        home = Netns(inode(netns), f"/run/netns/{netns}", netns)
        return Place(DeviceKey(home.inode, ifindex(netns, device)), device, home, port)

    def free_device(self, name: str = "snf0") -> Place:
        return Place(device_name=name, netns=Netns(inode(self.switch.netns)))


def points_of(provider: Ovs) -> Sequence[Point]:
    return provider.points(join(Host("h"), [provider.snapshot()]))


@contextmanager
def world(*, talking: bool = True) -> Iterator[World]:
    with ExitStack() as stack:
        host, web, db, sniffer, vm, trunk, collector = (stack.enter_context(quiet_namespace()) for _ in range(7))
        folder = stack.enter_context(short_folder())
        switch = stack.enter_context(openvswitch(folder, host))
        _furnish(switch, web, db, sniffer, vm, trunk, collector)
        if talking:
            stack.enter_context(talk(web, db))
        yield World(switch, web, db, sniffer, vm, trunk, collector)


def _furnish(switch: OpenVSwitch, web: str, db: str, sniffer: str, vm: str, trunk: str, collector: str) -> None:
    host = switch.netns
    for device, peer in (("vnet1", web), ("vnet2", db), ("vnet3", vm), ("trunk0", trunk), ("snf0", sniffer)):
        veth(host, device, "eth0", peer)
    veth(host, "up0", "eth0", collector)
    for netns, mac in ((web, WEB), (db, DB)):
        ip("link", "set", "eth0", "address", mac, netns=netns)
    commands = ["add-br br0", "set bridge br0 datapath_type=netdev", "add-br br-phy"]
    commands += ["set bridge br-phy datapath_type=netdev", "add-port br-phy up0"]
    commands += [f"add-port br0 {port}" for port in ("vnet1", "vnet2", "vnet3", "trunk0")]
    commands += [f"set interface vnet{n} external_ids:vm-id=vm{n}" for n in (1, 2, 3)]
    switch.vsctl(*(word for command in commands for word in ("--", *command.split())))
    allow_ip6(collector, "eth0")
    allow_ip6(host, "br-phy")
    ip("addr", "add", "172.31.0.1/24", "dev", "br-phy", netns=host)
    ip("addr", "add", "fd00::1/64", "dev", "br-phy", "nodad", netns=host)
    ip("link", "set", "br-phy", "up", netns=host)
    ip("addr", "add", f"{COLLECTOR}/24", "dev", "eth0", netns=collector)
    ip("addr", "add", f"{COLLECTOR6}/64", "dev", "eth0", "nodad", netns=collector)


@contextmanager
def talk(one: str, other: str, macs: tuple[str, str] = (WEB, DB), said: bytes = _TALK) -> Iterator[None]:
    """Frames to and fro between eth0 of two namespaces, some hundred a second, until the end of the block.

    `said` is what follows their addresses.
    """
    there, back = _frame(macs[1], macs[0], said), _frame(macs[0], macs[1], said)
    with (
        sender(one, "eth0") as ones,
        sender(other, "eth0") as others,
        repeating(lambda: (ones(there), others(back)), pause=0.005),
    ):
        yield


def _frame(to: str, by: str, said: bytes) -> bytes:
    return bytes.fromhex((to + by).replace(":", "")) + said


def seen(netns: str, device: str, *fields: str, only: str = "", packets: int = 40) -> list[tuple[str, ...]]:
    """What tshark says of the next packets at a device: sources of all Ethernet headers, and `fields`."""
    names = [word for field in ("eth.src", *fields) for word in ("-e", field)]
    argv = ["tshark", "-n", "-l", "-i", device, "-c", str(packets), "-a", "duration:20", "-T", "fields", *names]
    done = subprocess.run(
        ["ip", "netns", "exec", netns, *argv, *(["-f", only] if only else [])],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [tuple(line.split("\t")) for line in done.stdout.splitlines()]


def speakers(rows: Sequence[tuple[str, ...]]) -> set[str]:
    """Which of the two VMs sent the innermost frames."""
    return {row[0].split(",")[-1] for row in rows} & {WEB, DB}


def only(mirror: Mirror, direction: Direction) -> Mirror:
    return replace(mirror, direction=direction)
