import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.aside import Aside

from tapwright.lab import Lab
from tapwright.lab.chatter import PROGRAM
from tapwright.lab.userns import privileged


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


_ASIDE = pytest.StashKey[Aside]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """The drivers of `test_crash` are three minutes of waiting in namespaces of their own: they begin at once."""
    asked = [item for item in session.items if isinstance(item, pytest.Function) and "aside" in item.fixturenames]
    if not asked or session.config.option.collectonly or not privileged():
        return
    driver = str(Path(__file__).with_name("crash.py"))
    runs = [item.callspec.params["arguments"] for item in asked]
    session.config.stash[_ASIDE] = Aside({tuple(run): [sys.executable, driver, *run] for run in runs})


def pytest_sessionfinish(session: pytest.Session) -> None:
    if aside := session.config.stash.get(_ASIDE, None):
        aside.close()


@pytest.fixture
def aside(request: pytest.FixtureRequest) -> Aside:
    return request.config.stash[_ASIDE]
