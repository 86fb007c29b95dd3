"""A network namespace of a test's own, and devices in it."""

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_number = itertools.count()


def ip(*arguments: str, netns: str = "") -> str:
    """Run `ip`, in a namespace; its output."""
    prefix = ["ip", "-n", netns] if netns else ["ip"]
    done = subprocess.run([*prefix, *arguments], check=False, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
    return done.stdout


@contextmanager
def namespace() -> Iterator[str]:
    """A fresh namespace, named after this process, with its loopback up; deleted at the end."""
    name = f"twt-{os.getpid()}-{next(_number)}"
    ip("netns", "add", name)
    try:
        ip("link", "set", "lo", "up", netns=name)
        yield name
    finally:
        ip("netns", "del", name)


def inode(netns: str) -> int:
    """What the kernel calls the namespace."""
    return Path(f"/run/netns/{netns}").stat().st_ino


def ifindex(netns: str, device: str) -> int:
    return int(ip("-o", "link", "show", "dev", device, netns=netns).split(":")[0])


def veth(netns: str, device: str, peer: str, peer_netns: str = "") -> None:
    """A veth pair, both ends up; the peer in a namespace of its own where one is named."""
    ip("link", "add", device, "type", "veth", "peer", "name", peer, netns=netns)
    if peer_netns:
        ip("link", "set", peer, "netns", peer_netns, netns=netns)
    ip("link", "set", device, "up", netns=netns)
    ip("link", "set", peer, "up", netns=peer_netns or netns)
