"""Tunnel devices that this kernel may not have, made as our steps make them, in a guest whose kernel has them."""

import struct
from collections.abc import Sequence
from dataclasses import replace

import pytest

from support.copied import world
from support.netns import ip
from support.shark import fields
from support.tapes import tape
from support.tunnelling import FAILED, guest
from support.vnics import allow_ip6, quiet_namespace
from tapwright.adapters import command, tc
from tapwright.model import Netns
from tapwright.plan.mirrors import Mirror, parse
from tapwright.providers import linux_tunnel
from tapwright.providers.linux_mirror import tunnel_name, tunnel_step
from tapwright.providers.linux_programs import at_hook, marked

pytestmark = [pytest.mark.root, pytest.mark.guest]

VM, PEER = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
HERE = Netns(0)
TARGETS = {
    "gre://192.0.2.9?key=4242": ("gre.key", "0x00001092"),
    "erspan2://192.0.2.9?session=7&index=19": ("erspan.index", "19"),
    "erspan3://192.0.2.9?session=8": ("erspan.version", "2"),
    "geneve://192.0.2.9?vni=7008": ("geneve.vni", "0x001b60"),
    "vxlan://192.0.2.9?vni=7007": ("vxlan.vni", "7007"),
    "gre://[fd00::9]?key=17": ("gre.key", "0x00000011"),
    "erspan2://[fd00::9]?session=9": ("erspan.spanid", "9"),
    "geneve://[fd00::9]?vni=7009": ("geneve.vni", "0x001b61"),
}
"""Target -> what tshark says of its copies, and of no other's."""


_TALK = (("inside", "10.9.8.1"), ("vnet1", "10.9.7.1"))


def _before() -> list[list[str]]:
    """The guest is a host with a VM: a veth pair, whose ends talk to each other's MAC."""
    lines = [
        "ip link set lo up", "ip link set eth0 up", "ip addr add 192.0.2.1/24 dev eth0",
        "ip addr add fd00::1/64 dev eth0 nodad",
        f"ip link add vnet1 address {PEER} type veth peer name inside address {VM}",
        "ip link set vnet1 up", "ip link set inside up",
        "ip addr add 10.9.9.1/32 dev inside", "ip addr add 10.9.9.2/32 dev vnet1",
        "ip route add 10.9.8.0/24 dev inside", "ip route add 10.9.7.0/24 dev vnet1",
        f"ip neigh add 10.9.8.1 lladdr {PEER} dev inside", f"ip neigh add 10.9.7.1 lladdr {VM} dev vnet1",
    ]  # fmt: skip
    return [line.split() for line in lines]


def _filter(hook: str, pref: int, program: bytes, to: str) -> list[str]:
    """As tc makes what is made over rtnetlink outside of a guest."""
    lines = [" ".join(map(str, fields)) for fields in struct.iter_unpack("=HBBI", program)]
    words = f"tc filter add dev vnet1 {hook} protocol all pref {pref} handle 8 bpf bytecode".split()
    action = f"action mirred egress mirror dev {to} continue".split()
    return [*words, ",".join([str(len(lines)), *lines]), *action]


def _local(mirror: Mirror) -> str:
    """As the guest's own routes say."""
    return "fd00::1" if ":" in mirror.target.remote else "192.0.2.1"


def test_each_delivers_both_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = [*_before()]
    with world() as shown:
        mirrors = [replace(shown.mirror("vxlan://172.31.0.9"), target=parse(target)) for target in TARGETS]
    ours: list[Sequence[str]] = []
    with monkeypatch.context() as patched:
        patched.setattr(tc.command, "run", lambda argv, **_: ours.append(argv) or command.Result(argv, 0, "", ""))
        ours.append(["tc", "qdisc", "add", "dev", "vnet1", "clsact"])
        for number, mirror in enumerate(mirrors):
            name = tunnel_name(mirror)
            tc.add_link(
                HERE, name, linux_tunnel.MTU, linux_tunnel.details_of(tunnel_step(mirror, name, _local(mirror)).do)
            )
            tc.describe_link(HERE, name, mirror.mark.text)
            tc.start_link(HERE, name)
            for hook in tc.HOOKS:
                program = marked(at_hook(b"", outgoing=hook == "egress"), mirror.mark)
                ours.append(_filter(hook, 47 - number, program, name))
    commands += ours
    commands += [["ping", "-c", "3", "-i", "0.2", "-w", "5", "-I", end, address] for end, address in _TALK]
    with quiet_namespace() as netns:
        ip("tuntap", "add", "dev", "tap0", "mode", "tap", netns=netns)
        allow_ip6(netns, "tap0")
        ip("addr", "add", "192.0.2.9/24", "dev", "tap0", netns=netns)
        ip("addr", "add", "fd00::9/64", "dev", "tap0", "nodad", netns=netns)
        ip("link", "set", "tap0", "up", netns=netns)
        with tape(netns, "tap0") as copies, guest(netns, "tap0", commands) as said:
            # Nobody answers a ping.
            failed = [line for line in said.splitlines() if FAILED in line and "ping" not in line]
            assert not failed, said[-3000:]
            for field, value in TARGETS.values():
                rows = fields(copies.path, "eth.src", only=f"{field} == {value}")
                speakers = {row[0].split(",")[-1] for row in rows}
                assert speakers >= {VM, PEER}, (field, value, rows)
