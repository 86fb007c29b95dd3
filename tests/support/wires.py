"""A VM on one wire: its device inside, the host's end outside, sockets into both, and engines on them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.netns import ifindex, ip, veth
from tests.support.packets import sender
from tests.support.vnics import quiet_namespace

from tapwright import _core
from tapwright.capture.request import Limits, Output, Section, Source

OURS = "88b5"
"""An EtherType for local experiments: nobody else speaks it."""


@dataclass(frozen=True)
class Wire:
    """`vnet0` in namespace `host`, `eth0` in namespace `vm`."""

    host: str
    vm: str

    def source(self, **more: object) -> Source:
        """The VM's device as the host sees it."""
        return source(self.host, "vnet0", **more)

    def from_vm(self, *frames: bytes) -> None:
        """The VM sends."""
        with sender(self.vm, "eth0") as send:
            for each in frames:
                send(each)

    def to_vm(self, *frames: bytes) -> None:
        """The host sends to the VM."""
        with sender(self.host, "vnet0") as send:
            for each in frames:
                send(each)

    def add_addresses(self) -> None:
        """10.9.0.1 for the host, 10.9.0.2 for the VM."""
        ip("addr", "add", "10.9.0.1/24", "dev", "vnet0", netns=self.host)
        ip("addr", "add", "10.9.0.2/24", "dev", "eth0", netns=self.vm)


@contextmanager
def wire() -> Iterator[Wire]:
    with quiet_namespace() as host, quiet_namespace() as vm:
        veth(host, "vnet0", "eth0", vm)
        yield Wire(host, vm)


def path_of(netns: str) -> str:
    return f"/run/netns/{netns}"


def source(netns: str, device: str, /, **more: object) -> Source:
    given: dict = {"name": "vm/eth0", "description": "", "device": device, "netns": path_of(netns)}
    if "index" not in more:
        given["index"] = ifindex(netns, device)
    return Source(**{**given, **more})


def frame(size: int = 60, number: int = 0) -> bytes:
    """One of `size` bytes with a number behind its header."""
    return (bytes.fromhex("ffffffffffff020000000002" + OURS) + number.to_bytes(4, "big")).ljust(size, b"\x5a")


def frames(count: int, size: int = 60, start: int = 0) -> list[bytes]:
    return [frame(size, number) for number in range(start, start + count)]


class Running:
    """An engine that runs."""

    def __init__(self, *sources: Source, to: Path | Output, section: Section | None = None, **limits: float) -> None:
        output = Output(path=str(to)) if isinstance(to, Path) else to
        self.engine = _core.Engine(sources, section or Section(), output, Limits(**limits))
        self.engine.start()

    @property
    def stats(self) -> _core.EngineStats:
        return self.engine.stats()

    def finished(self) -> _core.EngineStats:
        """Its counters, once it was told to stop and has."""
        self.engine.stop()
        return self.ended()

    def ended(self) -> _core.EngineStats:
        """Its counters once it has ended by itself."""
        assert self.engine.wait(30), "the engine does not end"
        return self.stats


@contextmanager
def running(*sources: Source, to: Path | Output, section: Section | None = None, **limits: float) -> Iterator[Running]:
    """Stopped at the end in any case."""
    engine = Running(*sources, to=to, section=section, **limits)
    try:
        yield engine
    finally:
        engine.finished()


def adds_up(stats: _core.SourceStats) -> bool:
    """Every packet the kernel accepted is accounted for."""
    gone = stats.kernel_dropped + stats.engine_dropped + stats.beyond_limit + stats.refused
    return stats.accepted == gone + stats.written


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that must come."""
    wait = threading.Event()
    for _ in range(2000):
        if condition():
            return
        wait.wait(0.01)
    raise AssertionError(f"never came: {what}")
