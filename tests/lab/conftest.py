import sys
from collections.abc import Iterator

import pytest

from tapwright.lab import Lab
from tapwright.lab.chatter import PROGRAM


class Ends:
    """Everything a test asks of a lab's nodes."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def reaches(self, node: str, address: str) -> bool:
        return self.lab.exec(node, [*PROGRAM, "ping", address], check=False).ok

    def asks(self, node: str, target: str) -> bool:
        return self.lab.exec(node, [*PROGRAM, "talk", target, "--count", "1"], check=False).ok

    def serve(self, node: str, service: str) -> None:
        self.lab.start(node, [*PROGRAM, "serve", service])

    def sniff(self, node: str, device: str) -> "Sniffer":
        return Sniffer(self.lab, node, device)


class Sniffer:
    """Every frame that a device of a node sees, as bytes."""

    CODE = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind((sys.argv[1], 0))
print("ready", flush=True)
while True:
    print(s.recv(65536).hex(), flush=True)
"""

    def __init__(self, lab: Lab, node: str, device: str) -> None:
        self.log = lab.folder(lab.plan.servers[0].name) / f"sniff-{node}-{device}"
        self.process = lab.start(node, [sys.executable, "-I", "-S", "-c", self.CODE, device], log=self.log)
        while not (self.log.exists() and self.log.read_text().startswith("ready")):
            assert self.process.poll() is None, self.log.read_text()

    def frames(self) -> Iterator[bytes]:
        self.process.terminate()
        self.process.wait()
        for line in self.log.read_text().splitlines()[1:]:
            yield bytes.fromhex(line)


@pytest.fixture
def ends() -> type[Ends]:
    return Ends
