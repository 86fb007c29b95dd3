"""A little traffic between nodes, in one file that needs nothing but Python itself.

It runs inside the nodes as a program of its own, without the rest of tapwright:

    traffic.py serve tcp:5432 udp:53            answer requests
    traffic.py talk tcp:10.0.0.12:5432 ...      ask every 0.2 s, until stopped
    traffic.py ping 10.0.0.12 --count 3         ICMP echo; exit status 1 when an answer is missing
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import socket
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

_PATIENCE = 2.0
"""Seconds to wait for an answer."""


class _Tcp(socketserver.BaseRequestHandler):
    """Answers one request with a page of 1 to 8 kB."""

    def handle(self) -> None:
        with suppress(OSError):
            self.request.settimeout(_PATIENCE)
            self.request.recv(4096)
            body = os.urandom(random.randint(500, 4000)).hex()  # noqa: S311 - sizes, not secrets
            self.request.sendall(f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())


class _Udp(socketserver.BaseRequestHandler):
    """Sends each datagram back."""

    def handle(self) -> None:
        data, sock = self.request
        sock.sendto(data, self.client_address)


_FAMILY = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET


class _TcpServer(socketserver.ThreadingTCPServer):
    address_family = _FAMILY
    allow_reuse_address = True
    daemon_threads = True


class _UdpServer(socketserver.UDPServer):
    address_family = _FAMILY


def serve(services: list[str]) -> None:
    """Answer on every ``tcp:PORT`` and ``udp:PORT`` until stopped."""
    for service in services:
        protocol, port = service.split(":")
        address = ("", int(port))
        server = _TcpServer(address, _Tcp) if protocol == "tcp" else _UdpServer(address, _Udp)
        threading.Thread(target=server.serve_forever).start()


def talk(targets: list[str], every: float, count: int) -> int:
    """Ask every target (``tcp:ADDRESS:PORT``) in turn; count 0 goes on until stopped.  The number of failures."""
    ask: dict[str, Callable[[str, int], None]] = {"tcp": _ask_tcp, "udp": _ask_udp}
    failures = 0
    for turn in itertools.count(1):
        for target in targets:
            protocol, rest = target.split(":", 1)
            address, port = rest.rsplit(":", 1)
            try:
                ask[protocol](address, int(port))
            except OSError:
                failures += 1
        if turn == count:
            break
        time.sleep(every)
    return failures


def ping(address: str, count: int, every: float) -> int:
    """ICMP echo requests; the number of answers that did not come."""
    missing = 0
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        sock.connect((address, 0))
        for sequence in range(1, count + 1):
            sock.send(_echo_request(os.getpid() & 0xFFFF, sequence))
            missing += not _answered(sock, os.getpid() & 0xFFFF, sequence)
            if sequence < count:
                time.sleep(every)
    return missing


def _ask_tcp(address: str, port: int) -> None:
    with socket.create_connection((address, port), _PATIENCE) as connection:
        connection.sendall(f"GET /{random.randint(1, 999)} HTTP/1.0\r\n\r\n".encode())  # noqa: S311
        while connection.recv(65536):
            pass


def _ask_udp(address: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(_PATIENCE)
        sock.connect((address, port))
        sock.send(b"question " * random.randint(2, 60))  # noqa: S311
        sock.recv(65536)


def _echo_request(identifier: int, sequence: int) -> bytes:
    data = bytes(range(56))
    header = struct.pack("!BBHHH", 8, 0, 0, identifier, sequence)
    return struct.pack("!BBHHH", 8, 0, _checksum(header + data), identifier, sequence) + data


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def _answered(sock: socket.socket, identifier: int, sequence: int) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while (rest := deadline - time.monotonic()) > 0:
        sock.settimeout(rest)
        with suppress(OSError):
            packet = sock.recv(65536)
            header = (packet[0] & 15) * 4
            if packet[header] == 0 and struct.unpack_from("!HH", packet, header + 4) == (identifier, sequence):
                return True
    return False


def main() -> int:
    """The program; its exit status says whether every answer came."""
    parser = argparse.ArgumentParser(description="A little traffic between the nodes of a lab.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    serving = verbs.add_parser("serve")
    serving.add_argument("services", nargs="+")
    talking = verbs.add_parser("talk")
    talking.add_argument("targets", nargs="+")
    pinging = verbs.add_parser("ping")
    pinging.add_argument("address")
    for asking, count in ((talking, 0), (pinging, 1)):
        asking.add_argument("--every", type=float, default=0.2)
        asking.add_argument("--count", type=int, default=count)
    chosen = parser.parse_args()
    failures = 0
    if chosen.verb == "serve":
        serve(chosen.services)
    elif chosen.verb == "talk":
        failures = talk(chosen.targets, chosen.every, chosen.count)
    else:
        failures = ping(chosen.address, chosen.count, chosen.every)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
