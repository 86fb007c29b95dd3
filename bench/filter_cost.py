"""What an inner filter costs, in the kernel beside libpcap's own program, in user space beside libpcap's interpreter.

In the kernel fifty packet sockets on one veth run the same program on each packet sent; what
they take above fifty that refuse everything at once, divided by fifty, is the program.  Runs
are short and alternate; the least of each side is taken, since others on the machine only add.

    python bench/filter_cost.py          needs root, or user namespaces
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from rig import undo_when_terminated

from tapwright._core import Bpf
from tapwright.filter.inner import compile_inner
from tapwright.filter.libpcap import library, offline
from tapwright.filter.program import Program
from tapwright.filter.relocate import relocate
from tapwright.filter.wrapping import Wrapping

SOCKETS, SENDS, ROUNDS = 50, 400, 40
FILTERS = {
    "tcp": "tcp",
    "tcp port and host": "tcp port 443 and host 10.0.0.3",
    'tcp payload "GET "': "tcp[((tcp[12:1]&0xf0)>>2):4] = 0x47455420",
    "50 hosts": " or ".join(f"host 10.9.0.{n}" for n in range(50)),
}
FORMS = {
    "vxlan alone": Wrapping(("vxlan",), depth=1, plain=False),
    "all, one deep": Wrapping(depth=1),
    "all, two deep": Wrapping(),
}
"""Forms of the inner filter: only one encapsulation, all of them, and all of them one inside another."""
REFUSE = Program.drop_all()


def tcp_frame() -> bytes:
    """An ordinary segment, 200 bytes."""
    tcp = struct.pack("!HHIIBBHHH", 40000, 80, 1, 2, 0x50, 16, 9, 0, 0) + bytes(146)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 7, 0, 64, 6, 0) + bytes([10, 0, 0, 1, 10, 0, 0, 2])
    return bytes.fromhex("0200000000020200000000010800") + head + tcp


def wrapped() -> dict[str, bytes]:
    """The segment in what is met most, and as it is."""
    frame = tcp_frame()
    vxlan = _udp(4789, struct.pack("!B3xI", 8, 100 << 8) + frame)
    geneve = _udp(6081, struct.pack("!BBHI", 2, 0, 0x6558, 100 << 8) + bytes(8) + frame)
    gre = _ip(47, struct.pack("!HHI", 0x2000, 0x6558, 100) + frame)
    return {"vxlan": vxlan, "geneve": geneve, "gre": gre, "plain": frame}


def _ip(protocol: int, payload: bytes) -> bytes:
    ends = bytes([172, 16, 0, 1, 172, 16, 0, 2])
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 7, 0, 64, protocol, 0)
    return bytes.fromhex("0200000000fe0200000000fd0800") + head + ends + payload


def _udp(port: int, payload: bytes) -> bytes:
    return _ip(17, struct.pack("!HHHH", 50000, port, 8 + len(payload), 0) + payload)


class Taps:
    """Fifty packet sockets on one end of a veth pair, and one that sends on the other."""

    def __init__(self, stack: ExitStack) -> None:
        self._sender = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        self._sender.bind(("tw0", 0))
        self._taps = [stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)) for _ in range(SOCKETS)]
        self.attach(REFUSE)
        for tap in self._taps:
            tap.bind(("tw1", 3))  # ETH_P_ALL

    def attach(self, program: Program) -> None:
        memory = ctypes.create_string_buffer(program.code)
        packed = struct.pack("HxxxxxxP", len(program), ctypes.addressof(memory))
        for tap in self._taps:
            tap.setsockopt(socket.SOL_SOCKET, 26, packed)

    def seconds(self, packet: bytes) -> float:
        send = self._sender.send
        begin = time.perf_counter()
        for _ in range(SENDS):
            send(packet)
        return time.perf_counter() - begin

    def nanoseconds(self, program: Program, packet: bytes) -> float:
        """Per packet and socket, above a program that refuses at once; every packet is refused."""
        refusing = _refusing(program)
        return _more(lambda: self._measure(refusing, packet), lambda: self._measure(REFUSE, packet)) / SENDS / SOCKETS

    def _measure(self, program: Program, packet: bytes) -> float:
        self.attach(program)
        return self.seconds(packet)


def _refusing(program: Program) -> Program:
    """The same work, but nothing is delivered."""
    return Program.of([i._replace(k=0) if i.code == 0x06 else i for i in program.instructions])


def _more(one: Callable[[], float], other: Callable[[], float]) -> float:
    """How much more the one takes, in units of 1e-9."""
    taken = [(one(), other()) for _ in range(ROUNDS)]
    return (min(a for a, _ in taken) - min(b for _, b in taken)) * 1e9


def kernel_table() -> Iterator[str]:
    packets = wrapped()
    yield "kernel, ns per packet above `ret 0`, and beside libpcap's own program (native) on the plain segment"
    yield f"{'filter':<20}{'form':<15}{'instructions':>12}" + "".join(f"{kind:>13}" for kind in packets)
    with ExitStack() as stack:
        taps = Taps(stack)
        for name, text in FILTERS.items():
            programs = {"native": Program(offline(text))}
            programs |= {form: relocate(compile_inner(text), wrapping) for form, wrapping in FORMS.items()}
            native = max(taps.nanoseconds(programs["native"], packets["plain"]), 0.1)
            yield _row(name, "native", programs["native"], {"plain": native}, native)
            for form in FORMS:
                costs = {kind: taps.nanoseconds(programs[form], packet) for kind, packet in packets.items()}
                yield _row(name, form, programs[form], costs, native)


def _row(name: str, form: str, program: Program, costs: dict[str, float], native: float) -> str:
    cells = (f"{costs[kind]:6.0f} {costs[kind] / native:4.1f} x" if kind in costs else "" for kind in wrapped())
    return f"{name:<20}{form:<15}{len(program):>12}" + "".join(f"{cell:>13}" for cell in cells)


class Offline:
    """A file of one packet again and again, for libpcap; the same packets in memory, for us."""

    def __init__(self, packet: bytes, count: int = 20_000) -> None:
        self._packets = [packet] * count
        self._count = count
        self._file = tempfile.NamedTemporaryFile(dir="/dev/shm", suffix=".pcap")  # noqa: SIM115
        self._file.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        self._file.write((struct.pack("=IIII", 0, 0, len(packet), len(packet)) + packet) * count)
        self._file.flush()

    def compared(self, program: Program) -> tuple[float, float]:
        """libpcap's and ours."""
        return self.libpcap(program), max(self.ours(program), 0.1)

    def ours(self, program: Program) -> float:
        judge, refuse = Bpf(_refusing(program).code), Bpf(REFUSE.code)
        return _more(lambda: self._run(judge), lambda: self._run(refuse)) / self._count

    def _run(self, judge: Bpf) -> float:
        begin = time.perf_counter()
        judge.run_all(self._packets)
        return time.perf_counter() - begin

    def libpcap(self, program: Program) -> float:
        refusing = _refusing(program)
        return _more(lambda: self._dispatch(refusing), lambda: self._dispatch(REFUSE)) / self._count

    def _dispatch(self, program: Program) -> float:
        pcap = library()
        pcap.pcap_open_offline.restype = ctypes.c_void_p
        handle = ctypes.c_void_p(pcap.pcap_open_offline(self._file.name.encode(), ctypes.create_string_buffer(256)))
        memory = ctypes.create_string_buffer(program.code)
        packed = struct.pack("@IxxxxP", len(program), ctypes.addressof(memory))
        pcap.pcap_setfilter(handle, packed)
        begin = time.perf_counter()
        pcap.pcap_loop(handle, -1, None, None)
        taken = time.perf_counter() - begin
        pcap.pcap_close(handle)
        return taken


def user_table() -> Iterator[str]:
    packets = wrapped()
    yield "user space, ns per packet above `ret 0`: libpcap's interpreter, ours, and how much faster ours is"
    yield f"{'filter':<20}{'native on plain':>24}{'all, two deep, on vxlan':>28}"
    plain, vxlan = Offline(packets["plain"]), Offline(packets["vxlan"])
    for name, text in FILTERS.items():
        native, inner = Program(offline(text)), relocate(compile_inner(text), Wrapping())
        cells = [f"{a:.0f} {b:.0f} {a / b:.1f}x" for a, b in (plain.compared(native), vxlan.compared(inner))]
        yield f"{name:<20}{cells[0]:>24}{cells[1]:>28}"


def inside(*argv: str) -> None:
    """This file again, in a network namespace of its own."""
    how = ["--net"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--net"]
    subprocess.run(["unshare", *how, sys.executable, __file__, *argv], check=True)


def main() -> None:
    if "--kernel" not in sys.argv:
        for line in user_table():
            print(line, flush=True)
        print()
        inside("--kernel")
        return
    Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
    for command in ("link add tw0 type veth peer name tw1", "link set tw0 up", "link set tw1 up"):
        subprocess.run(["ip", *command.split()], check=True)
    for line in kernel_table():
        print(line, flush=True)


if __name__ == "__main__":
    undo_when_terminated()
    main()
