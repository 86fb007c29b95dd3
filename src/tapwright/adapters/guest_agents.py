"""What guests say of themselves: QEMU guest agents, asked through libvirt, with a time limit.

A guest may say anything, so every word is checked; an agent that is stuck or slow is not
waited for, and costs nobody else their answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_interface
from queue import Empty, SimpleQueue
from time import monotonic
from types import ModuleType
from typing import Annotated, Any, TypeVar

import msgspec

from tapwright.model import Counters

T = TypeVar("T")

Answers = list[tuple[str, T]]
"""(domain UUID, one thing its agent said)"""

_AT_ONCE = 4
"""libvirtd serves five calls of one client at a time."""
_ASK_INTERFACES = '{"execute": "guest-network-get-interfaces"}'

_Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class _Statistics(msgspec.Struct, rename="kebab"):
    rx_packets: _Count = 0
    rx_bytes: _Count = 0
    rx_dropped: _Count = 0
    rx_errs: _Count = 0
    tx_packets: _Count = 0
    tx_bytes: _Count = 0
    tx_dropped: _Count = 0
    tx_errs: _Count = 0


class _Interface(msgspec.Struct, rename="kebab"):
    hardware_address: str = ""
    statistics: _Statistics | None = None


class _Interfaces(msgspec.Struct):
    returned: tuple[_Interface, ...] = msgspec.field(name="return")


_INTERFACES = msgspec.json.Decoder(_Interfaces)
"""Made at import: msgspec crashes when two threads are the first to decode into the same type."""


def addresses(library: ModuleType, uri: str, uuids: Iterable[str], timeout: float) -> Answers[tuple[str, str]]:
    """(MAC, address with prefix length) of the interfaces in these domains, in at most `timeout` seconds."""

    def ask(domain: Any) -> Iterator[tuple[str, str]]:
        found = domain.interfaceAddresses(library.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT)
        return (pair for nic in (found or {}).values() for pair in _addresses(nic))

    return _ask(library, uri, uuids, timeout, ask)


def counters(library: ModuleType, uri: str, uuids: Iterable[str], timeout: float) -> Answers[tuple[str, Counters]]:
    """(MAC, counters from inside) of the interfaces in these domains, in at most `timeout` seconds.

    libvirt has no call for it, so the agent's own command is passed through, upon which
    libvirt's log calls the domain tainted.
    """
    import libvirt_qemu

    def ask(domain: Any) -> Iterator[tuple[str, Counters]]:
        said = libvirt_qemu.qemuAgentCommand(domain, _ASK_INTERFACES, max(1, round(timeout)), 0)
        return decode_counters(said)

    return _ask(library, uri, uuids, timeout, ask)


def decode_counters(said: str) -> Iterator[tuple[str, Counters]]:
    """Pure: (MAC, counters) in an agent's answer; nothing where it makes no sense."""
    try:
        interfaces = _INTERFACES.decode(said).returned
    except (msgspec.MsgspecError, RecursionError):
        return
    for interface in interfaces:
        if interface.statistics and interface.hardware_address:
            values = msgspec.structs.astuple(interface.statistics)
            yield interface.hardware_address.lower(), Counters(*values)


def _addresses(nic: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for address in nic["addrs"] or ():
        text = f"{address['addr']}/{address['prefix']}"
        try:
            yield (nic["hwaddr"] or "").lower(), str(ip_interface(text))
        except ValueError:
            continue


def _ask(
    library: ModuleType, uri: str, uuids: Iterable[str], timeout: float, ask: Callable[[Any], Iterable[T]]
) -> Answers[T]:
    waiting: SimpleQueue[str] = SimpleQueue()
    for uuid in uuids:
        waiting.put(uuid)
    answers: Answers[T] = []
    workers = [
        threading.Thread(target=_work, args=(library, uri, waiting, ask, answers), daemon=True)
        for _ in range(min(_AT_ONCE, waiting.qsize()))
    ]
    deadline = monotonic() + timeout
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(max(deadline - monotonic(), 0))
    # A copy: a worker that is late may still add to the list.
    return list(answers)


def _work(
    library: ModuleType,
    uri: str,
    waiting: SimpleQueue[str],
    ask: Callable[[Any], Iterable[T]],
    answers: Answers[T],
) -> None:
    """Ask one agent after another; for libvirt that is more than reading, so the connection must allow it."""
    try:
        connection = library.open(uri)
    except library.libvirtError:
        return
    while True:
        try:
            uuid = waiting.get_nowait()
            answers += [(uuid, said) for said in ask(connection.lookupByUUIDString(uuid))]
        except Empty:
            return
        except library.libvirtError:
            continue
