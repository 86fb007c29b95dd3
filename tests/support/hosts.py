"""Hosts for the tests of `find`: recorded from real labs, or made of a few words."""

from pathlib import Path

import msgspec

from tapwright.find.topology import Topology, join
from tapwright.model import Device, DeviceKey, Host, Netns, Snapshot

RECORDED = Path(__file__).parent.parent / "recorded" / "snapshots"
HERE = Host("h1")


def recorded(name: str) -> list[Snapshot]:
    """What the providers said of a lab (see recorded/snapshot.py)."""
    return msgspec.json.decode((RECORDED / f"{name}.json").read_bytes(), type=list[Snapshot])


def topology(name: str) -> Topology:
    return join(HERE, recorded(name))


def joined(*snapshots: Snapshot) -> Topology:
    return join(HERE, snapshots)


def pair(server: int, outer: int, guest: int, inner: int = 2, **more: object) -> tuple[Device, Device]:
    """A veth pair from a server into a guest's namespace."""
    a, b = DeviceKey(server, outer), DeviceKey(guest, inner)
    return (
        Device(a, f"vnet{outer}", "veth", mtu=1500, peer=b),
        Device(b, "eth0", "veth", mac=f"02:00:00:00:{guest:02x}:{inner:02x}", mtu=1400, peer=a, **more),
    )


def spaces(*inodes: int) -> tuple[Netns, ...]:
    """Namespaces; the first is our own."""
    return tuple(Netns(n, "" if place == 0 else f"/run/netns/n{n}", f"n{n}") for place, n in enumerate(inodes))
