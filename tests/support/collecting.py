"""A collector on a wire, a switch that mirrors to it, and a sender of mirrored frames written by hand."""

import json
import signal
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.labs import running_lab
from tests.support.netns import inode
from tests.support.shark import fields
from tests.support.tapwright import running_command

from tapwright.lab import Lab
from tapwright.lab.chatter import PROGRAM

_LAB = """
about = "A server whose switch mirrors to a collector on the wire"
[fabrics.wire]
mtu = 1700
[servers.s1]
uplink = { fabric = "wire", switch = "br-phy", address = "172.31.0.11/24" }
[servers.s1.switches]
br-int = { kind = "ovs" }
br-phy = { kind = "ovs" }
[vms.web]
nics = [{ on = "s1/br-int", addresses = ["10.0.0.11/24"] }]
[vms.db]
nics = [{ on = "s1/br-int", addresses = ["10.0.0.12/24"] }]
[machines.collector]
nics = [{ on = "wire", addresses = ["172.31.0.99/24"], mtu = 1700 }]
[machines.sender]
nics = [{ on = "wire", addresses = ["172.31.0.50/24", "172.31.0.51/24"], mtu = 1700 }]
"""
_TUNNELS = {
    "er2": ("erspan", "erspan_ver=1", "key=101", "erspan_idx=11"),
    "er3": ("erspan", "erspan_ver=2", "key=102", "erspan_dir=1", "erspan_hwid=4"),
    "gre1": ("gre", "key=7", "seq=true"),
    "vx1": ("vxlan", "key=7007"),
    "gnv1": ("geneve", "key=7008"),
}
SEND = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
    s.bind(("eth0", 0))
    for line in sys.stdin:
        s.send(bytes.fromhex(line))
"""
ARRIVED = "172.31.0.50"


@contextmanager
def collectors_lab(folder: Path) -> Iterator[Lab]:
    path = folder / "mirrors.toml"
    path.write_text(_LAB)
    with running_lab(str(path)) as lab:
        lab.start("db", [*PROGRAM, "serve", "tcp:5432"])
        yield lab


@contextmanager
def all_mirrored(lab: Lab) -> Iterator[None]:
    """Each kind of tunnel gets a mirror of web's port."""
    source = lab.node("web").nics[0].device
    for name, (kind, *options) in _TUNNELS.items():
        settings = (f"type={kind}", "options:remote_ip=172.31.0.99", *(f"options:{option}" for option in options))
        vsctl(
            lab, "add-port", "br-int", name, "--", "set", "interface", name, *settings,
            "--", "--id=@src", "get", "port", source, "--", "--id=@out", "get", "port", name,
            "--", "--id=@m", "create", "mirror", f"name={name}", "select_src_port=@src", "select_dst_port=@src",
            "output_port=@out", "--", "add", "bridge", "br-int", "mirrors", "@m",
        )  # fmt: skip
    lab.exec("s1", ["ovs-appctl", "revalidator/purge"])
    try:
        talk(lab, 1)  # resolves the collector's address
        yield
    finally:
        vsctl(lab, "clear", "bridge", "br-int", "mirrors")
        for name in _TUNNELS:
            vsctl(lab, "del-port", "br-int", name)


def vsctl(lab: Lab, *arguments: str) -> None:
    lab.exec("s1", ["ovs-vsctl", "--timeout=20", *arguments])


def talk(lab: Lab, count: int = 4) -> None:
    lab.exec("web", [*PROGRAM, "talk", "tcp:10.0.0.12:5432", "--count", str(count), "--every", "0.01"])


@contextmanager
def collecting(lab: Lab, *arguments: str, result: dict[str, Any], device: str = "eth0") -> Iterator[None]:
    """A running ``tapwright collect`` at the collector; `result` gets its summary."""
    wrapper = ("ip", "netns", "exec", lab.node("collector").netns)
    with running_command("collect", *arguments, "--json", env=lab.environment(), wrapper=wrapper) as process:
        listening(lab, process)
        yield
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        assert err == b""
        result.update(json.loads(out))


def listening(lab: Lab, process: subprocess.Popen) -> None:
    """Until it has its packet sockets and hears everything."""
    there, table = inode(lab.node("collector").netns), Path(f"/proc/{process.pid}/net/packet")
    for _ in range(2000):
        assert process.poll() is None, process.communicate()
        inside = Path(f"/proc/{process.pid}/ns/net").stat().st_ino == there
        sockets = table.read_text().splitlines()[1:] if inside else []
        if sockets and all(line.split()[4] != "0" for line in sockets):  # they are opened first, and then bound
            lab.exec("collector", ["sleep", "0.1"])
            return
        lab.exec("collector", ["sleep", "0.01"])
    raise AssertionError("it never listened")


def send(lab: Lab, frames: Sequence[bytes]) -> None:
    lab.exec("sender", [sys.executable, "-I", "-S", "-c", SEND], stdin="\n".join(frame.hex() for frame in frames))


def sessions(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {session["name"]: session for session in result["sessions"]}


def outer(lab: Lab, protocol: int, payload: bytes, source: str = ARRIVED, target: str = "172.31.0.99") -> bytes:
    """An Ethernet frame to the collector with IPv4 and this in it."""
    ends = b"".join(bytes(map(int, end.split("."))) for end in (source, target))
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0) + ends
    total = sum(struct.unpack("!10H", head))
    check = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    ether = bytes.fromhex(lab.node("collector").nics[0].mac.replace(":", "")) + b"\x02\0\0\0\0\x50\x08\0"
    return ether + head[:10] + struct.pack("!H", check) + head[12:] + payload


def outer6(lab: Lab, protocol: int, payload: bytes) -> bytes:
    """The same in IPv6, from fd00::50, behind a destination options header as tunnels of Linux have it."""
    ends = bytes.fromhex("fd" + "00" * 14 + "50" + "fd" + "00" * 14 + "99")
    options = struct.pack("!BB6B", protocol, 0, 4, 1, 4, 1, 1, 0)
    head = struct.pack("!IHBB", 6 << 28, len(options) + len(payload), 60, 64)
    ether = bytes.fromhex(lab.node("collector").nics[0].mac.replace(":", "")) + b"\x02\0\0\0\0\x50\x86\xdd"
    return ether + head + ends + options + payload


def udp(lab: Lab, port: int, payload: bytes, source: str = ARRIVED, target: str = "172.31.0.99") -> bytes:
    return outer(lab, 17, struct.pack("!HHHH", 50_000, port, 8 + len(payload), 0) + payload, source, target)


def erspan2(lab: Lab, sequence: int, frame: bytes, session: int = 5, source: str = ARRIVED) -> bytes:
    header = struct.pack("!HHIHHI", 0x1000, 0x88BE, sequence, 0x1000, 0x1800 | session, 0x11)
    return outer(lab, 47, header + frame, source)


def inner(number: int = 0) -> bytes:
    """A frame a VM could have sent: UDP to port 7000 + `number`."""
    payload = struct.pack("!HHHH", 6000, 7000 + number, 8 + 30, 0) + bytes(30)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), number, 0, 64, 17, 0) + bytes(
        (10, 9, 9, 1, 10, 9, 9, 2)
    )
    return b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\0" + head + payload


def ports(path: Path) -> Counter[str]:
    return Counter(row[0] for row in fields(path, "udp.dstport"))
