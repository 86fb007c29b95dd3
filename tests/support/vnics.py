"""VMs that are namespaces, on a bridge where nobody speaks unless a test does."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from support.netns import ip, namespace, veth
from support.packets import send

FRAME = bytes.fromhex("ffffffffffff02000000000188b5") + bytes(86)
"""100 bytes of an ethertype for local experiments, to everybody."""


@dataclass(frozen=True)
class Bridge:
    """A bridge ``br0`` and the namespaces plugged into it as ``vnet1``, ``vnet2``..., ``eth0`` inside."""

    host: str
    guests: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        """In which tapwright sees this and nothing else."""
        return {"TAPWRIGHT_NETNS": ",".join((self.host, *self.guests)), "TAPWRIGHT_PROVIDERS": "linux"}

    def says(self, guest: str, times: int) -> None:
        """A guest sends so many frames."""
        send(guest, "eth0", [FRAME] * times)


@contextmanager
def quiet_namespace() -> Iterator[str]:
    """One whose devices say nothing of their own accord."""
    with namespace() as name:
        for scope in ("all", "default"):
            _set(name, f"net.ipv6.conf.{scope}.disable_ipv6=1")
        yield name


def allow_ip6(netns: str, device: str) -> None:
    """Let one device of a quiet namespace have addresses of IPv6 after all."""
    _set(netns, f"net.ipv6.conf.{device}.disable_ipv6=0")


def _set(netns: str, setting: str) -> None:
    subprocess.run(["ip", "netns", "exec", netns, "sysctl", "-q", "-w", setting], check=True, timeout=20)


@contextmanager
def quiet_bridge(guests: int = 2) -> Iterator[Bridge]:
    with ExitStack() as stack:
        host, *inside = (stack.enter_context(quiet_namespace()) for _ in range(guests + 1))
        ip("link", "add", "br0", "type", "bridge", "mcast_snooping", "0", netns=host)
        ip("link", "set", "br0", "up", netns=host)
        for number, guest in enumerate(inside, start=1):
            plug(host, guest, f"vnet{number}")
        yield Bridge(host, tuple(inside))


def plug(host: str, guest: str, device: str) -> None:
    """Plug a guest's ``eth0`` into the host's bridge."""
    veth(host, device, "eth0", guest)
    ip("link", "set", device, "master", "br0", netns=host)
