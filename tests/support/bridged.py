"""The Linux bridge of `support.copied` as a switch whose VLANs are mirrored, and frames in and out of VLANs."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.copied import World as Copied
from support.copied import world as copied_world
from support.frames import whole_frames
from support.mirrored import MARK
from support.netns import ip
from support.vnics import allow_ip6
from tapwright.plan.mirrors import Mirror, Place, Target, parse
from tapwright.plan.steps import Mark

HOST, INSIDE = "172.30.0.1", "172.30.0.9"
HOST6, INSIDE6 = "fd01::1", "fd01::9"
"""Of the host on its bridge, and of a collector behind a port of it."""


class World(Copied):
    """Whose mirrors are of the switch br0."""

    def mirror(
        self, target: str | Target, place: Place | None = None, device: str = "br0", mark: Mark = MARK, **more: object
    ) -> Mirror:
        goal = parse(target) if isinstance(target, str) else target
        return Mirror(self.whole(), goal, mark, place or Place(), **more)

    def promiscuity(self) -> int:
        """How many want it of br0."""
        (link,) = json.loads(ip("-j", "-d", "link", "show", "dev", "br0", netns=self.host))
        return int(link["promiscuity"])


@contextmanager
def world() -> Iterator[World]:
    with copied_world() as made:
        _let_through(made.host)
        yield World(*(getattr(made, field) for field in Copied.__dataclass_fields__))


def _let_through(netns: str) -> None:
    """A firewall of IP, where there is one for bridges, takes frames of noise for what they are and drops them."""
    for family in ("iptables", "ip6tables", "arptables"):
        if Path(f"/proc/sys/net/bridge/bridge-nf-call-{family}").exists():
            setting = f"net.bridge.bridge-nf-call-{family}=0"
            subprocess.run(["ip", "netns", "exec", netns, "sysctl", "-q", "-w", setting], check=True, timeout=20)


def settle(world: World) -> None:
    """Give the host addresses on br0, and db, behind a port of it, those of a collector."""
    for netns, device, address, address6 in ((world.host, "br0", HOST, HOST6), (world.db, "eth0", INSIDE, INSIDE6)):
        allow_ip6(netns, device)
        ip("addr", "add", f"{address}/24", "dev", device, netns=netns)
        ip("addr", "add", f"{address6}/64", "dev", device, "nodad", netns=netns)


def frames(seed: int, count: int = 150) -> list[bytes]:
    """Frames that have no tag; behind one the kernel wants two bytes of whatever that is at least."""
    return [frame for frame in whole_frames(seed, count) if frame[12:14] != b"\x81\0" and len(frame) >= 16]


def told(frame: bytes) -> bytes:
    """The frame with its outermost tag at the end, where it is in nobody's way."""
    return frame[:12] + frame[16:] + frame[12:16] if frame[12:14] in (b"\x81\0", b"\x88\xa8") else frame
