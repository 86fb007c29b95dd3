"""A small real world for each provider: something it has to find, and the provider looking at it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from support import short_folder
from support.cloud import COLLECTOR, Cloud
from support.labs import running_lab
from support.libvirt import domain, libvirtd
from support.netns import ifindex, inode, ip, namespace, veth
from support.openvswitch import openvswitch
from support.podman import podman
from support.traces import traces
from support.zoo import furnish
from tapwright.model import DeviceKey, Netns
from tapwright.plan.mirrors import Place
from tapwright.providers.base import Provider
from tapwright.providers.containers import Containers
from tapwright.providers.fake import Fake
from tapwright.providers.libvirt import Libvirt
from tapwright.providers.linux import Linux
from tapwright.providers.ovs import Ovs


@dataclass(frozen=True)
class World:
    """A provider, and what else is there."""

    provider: Provider
    free: Place = field(default_factory=Place)
    """A device that nobody uses, for mirrors; empty where no mirror is offered."""
    look: Callable[[], str] = str
    """All that a mirror could change, as other tools print it."""
    target: str = ""
    """Where mirrors go instead, where the provider has no use for a device."""


def free_device(netns: str) -> Place:
    """One end of a veth pair, up."""
    veth(netns, "snf0", "snf1")
    home = Netns(inode(netns), f"/run/netns/{netns}", netns)
    return Place(DeviceKey(home.inode, ifindex(netns, "snf0")), "snf0", home)


@contextmanager
def fake() -> Iterator[World]:
    """The world of one that has none, with a port only a mirror can show."""
    nics = [
        {"mac": "02:00:00:00:00:11", "device": "vnet0", "switch": "br0"},
        {"mac": "02:00:00:00:00:12", "switch": "br0"},
    ]
    provider = Fake.described({"switches": {"br0": {"uplink": "eth0"}}, "vms": {"web": {"nics": nics}}})
    yield World(provider, Place(device_name="snf0"), lambda: str(sorted(provider.mirrors)))


@contextmanager
def linux() -> Iterator[World]:
    """A bridge with two namespaces plugged in."""
    with namespace() as host, namespace() as one, namespace() as two:
        ip("link", "add", "br0", "type", "bridge", netns=host)
        ip("link", "set", "br0", "up", netns=host)
        for number, guest in enumerate((one, two), start=1):
            veth(host, f"vnet{number}", "eth0", guest)
            ip("link", "set", f"vnet{number}", "master", "br0", netns=host)
        free = free_device(host)
        yield World(Linux((host, one, two)), free, lambda: traces(host, one, two))


@contextmanager
def ovs() -> Iterator[World]:
    with namespace() as netns, namespace() as guest, short_folder() as folder, openvswitch(folder, netns) as switch:
        furnish(switch, guest)
        free = free_device(netns)
        yield World(Ovs([switch.remote]), free, lambda: switch.dump() + traces(netns, guest))


@contextmanager
def ovn() -> Iterator[World]:
    with running_lab("ovn") as lab:
        made = Cloud(lab)
        yield World(made.provider(), target=f"gre://{COLLECTOR}?key=7", look=made.dump)


@contextmanager
def libvirt() -> Iterator[World]:
    with namespace() as netns, short_folder() as folder, libvirtd(folder, netns) as daemon:
        ip("link", "add", "br9", "type", "bridge", netns=netns)
        nic = "<interface type='bridge'><source bridge='br9'/><mac address='52:54:00:cc:00:01'/></interface>"
        daemon.create(domain("runs", "22222222-2222-3333-4444-555555555501", nic))
        daemon.define(domain("rests", "22222222-2222-3333-4444-555555555502", nic.replace(":01'", ":02'")))
        yield World(Libvirt(daemon.uri))


@contextmanager
def containers() -> Iterator[World]:
    with namespace() as netns, short_folder() as folder, podman(folder, netns) as engine:
        engine.run("one")
        engine.run("two", "--network", "none")
        yield World(Containers([engine.socket]))


WORLDS: dict[str, Callable[[], AbstractContextManager[World]]] = {
    "fake": fake,
    "linux": linux,
    "ovs": ovs,
    "ovn": ovn,
    "libvirt": libvirt,
    "containers": containers,
}
