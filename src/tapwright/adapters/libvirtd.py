"""libvirt: domains, DHCP leases and what guest agents say; read-only wherever that is enough.

The only file that imports libvirt-python.  Its calls know no time limit, so each conversation
runs in a thread that is left behind when it takes too long: a stuck libvirtd or a dead guest
agent costs seconds, not for ever.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, cast
from urllib.parse import quote

from tapwright.adapters import guest_agents
from tapwright.adapters.bounded import bounded
from tapwright.adapters.process import is_socket, listening, reach, trusted
from tapwright.errors import MissingDependency, PrivilegeError, ProviderError, TapwrightError
from tapwright.model import Counters

SYSTEM_URI = "qemu:///system"
_SOCKETS = ("libvirt-sock", "virtqemud-sock")
"""Of the one daemon for everything, and of the one for QEMU alone that newer releases run."""
TIMEOUT = 5.0
"""Seconds for reading all domains."""
AGENT_TIMEOUT = 0.5
"""Seconds for all guest agents together: addresses are worth having, not worth waiting for."""
_ACCESS_ERRORS = frozenset({29, 45, 79, 88, 94})
"""libvirt's codes for an operation or authentication it denied."""
_AGENT = re.compile(r"<target [^>]*name='org\.qemu\.guest_agent\.0' state='connected'")
_STATES = {1: "running", 2: "running", 3: "paused", 4: "shutting down", 5: "shut off", 6: "crashed", 7: "suspended"}
"""virDomainState; 2 means blocked on a resource, which to a person is running."""


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain, running or not; `xml` is the live description where it runs."""

    uuid: str
    name: str
    state: str
    xml: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """What one libvirt knows.  Addresses carry their prefix length."""

    domains: tuple[Domain, ...]
    leases: tuple[tuple[str, str], ...] = ()
    """(MAC, address) its networks' DHCP servers gave out."""
    guests: tuple[tuple[str, str, str], ...] = ()
    """(domain UUID, MAC, address) as the guests themselves say."""

    @property
    def with_agent(self) -> tuple[str, ...]:
        """UUIDs of the domains whose guest agent is connected."""
        return tuple(domain.uuid for domain in self.domains if _AGENT.search(domain.xml))


GuestCounters = dict[tuple[str, str], Counters]
"""(domain UUID, MAC) -> counters from inside: received is what the guest received"""


def discover() -> tuple[str, ...]:
    """URIs of the libvirts of this machine: the system's, and those that run in containers or namespaces.

    By their sockets alone; talks to nobody and does not load libvirt-python.
    """
    found: dict[tuple[int, int], str] = {}
    for path, uri in (*_system(), *_elsewhere()):
        identity = os.stat(path)  # noqa: PTH116
        found.setdefault((identity.st_dev, identity.st_ino), uri)
    return tuple(dict.fromkeys(found.values()))


def _system() -> Iterator[tuple[str, str]]:
    return ((path, SYSTEM_URI) for name in _SOCKETS if is_socket(path := f"/run/libvirt/{name}"))


def _elsewhere() -> Iterator[tuple[str, str]]:
    for pid in (*trusted("libvirtd"), *trusted("virtqemud")):
        for path in listening(pid):
            if path.rpartition("/")[2] in _SOCKETS and (ours := reach(pid, path)):
                socket = ours if os.access(ours, os.W_OK) else f"{ours}-ro"
                yield ours, f"{SYSTEM_URI}?socket={quote(socket)}"


def load() -> ModuleType:
    """libvirt-python, quiet on standard error.  Raises MissingDependency."""
    try:
        import libvirt
    except ImportError:
        raise MissingDependency(
            "libvirt is here but its Python library is not",
            "pip install 'tapwright[libvirt]', or apt install python3-libvirt for the system's own Python",
        ) from None
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    return cast(ModuleType, libvirt)


def read(uri: str, timeout: float = TIMEOUT, agent_timeout: float = AGENT_TIMEOUT) -> Inventory:
    """All domains of the libvirt at `uri`, in at most `timeout` + `agent_timeout` seconds.

    Raises MissingDependency without libvirt-python, PrivilegeError when libvirt refuses us,
    ProviderError when it does not answer in time.
    """
    library = load()
    inventory = _asked(library, uri, timeout)
    said = guest_agents.addresses(library, uri, inventory.with_agent, agent_timeout)
    return replace(inventory, guests=tuple((uuid, mac, address) for uuid, (mac, address) in said))


def guest_counters(uri: str, timeout: float = TIMEOUT, agent_timeout: float = AGENT_TIMEOUT) -> GuestCounters:
    """What the guests of the libvirt at `uri` count themselves, as far as an agent answers in time.

    Raises as `read`.
    """
    library = load()
    inventory = _asked(library, uri, timeout)
    said = guest_agents.counters(library, uri, inventory.with_agent, agent_timeout)
    return {(uuid, mac): counters for uuid, (mac, counters) in said}


def _asked(library: ModuleType, uri: str, timeout: float) -> Inventory:
    try:
        return bounded(lambda: _inventory(library, uri), timeout)
    except TimeoutError:
        raise ProviderError(f"libvirt at {uri} does not answer", "see whether libvirtd is stuck: virsh list") from None
    except library.libvirtError as error:
        raise _explained(error, uri) from None


def _inventory(library: ModuleType, uri: str) -> Inventory:
    connection = library.openReadOnly(uri)
    try:
        states = connection.getAllDomainStats(library.VIR_DOMAIN_STATS_STATE)
        described = (_describe(library, domain, stats) for domain, stats in states)
        return Inventory(tuple(domain for domain in described if domain), tuple(_leases(library, connection)))
    finally:
        connection.close()


def _describe(library: ModuleType, domain: Any, stats: dict[str, Any]) -> Domain | None:
    """None for a domain that ceased to exist since it was listed."""
    try:
        state = _STATES.get(stats.get("state.state", 0), "unknown")
        return Domain(domain.UUIDString(), domain.name(), state, domain.XMLDesc())
    except library.libvirtError:
        return None


def _leases(library: ModuleType, connection: Any) -> Iterable[tuple[str, str]]:
    """Leases of every network; a driver without networks, or one that keeps them to itself, has none."""
    try:
        networks = connection.listAllNetworks(library.VIR_CONNECT_LIST_NETWORKS_ACTIVE)
        leases = [lease for network in networks for lease in network.DHCPLeases()]
    except library.libvirtError:
        return
    for lease in leases:
        if lease.get("mac") and lease.get("ipaddr"):
            yield lease["mac"].lower(), f"{lease['ipaddr']}/{lease['prefix']}"


def _explained(error: Any, uri: str) -> TapwrightError:
    if error.get_error_code() in _ACCESS_ERRORS or "Permission denied" in str(error):
        return PrivilegeError(f"libvirt at {uri} refuses us: {error}", "run it with sudo, or join the libvirt group")
    return ProviderError(f"libvirt at {uri} does not answer: {error}")
