"""Watching vNICs: what their counters say, while VMs come and go."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tapwright import config as configuration
from tapwright.adapters import netlink
from tapwright.config import Config
from tapwright.control import local
from tapwright.errors import NotFound, TapwrightError
from tapwright.find.listing import everybody
from tapwright.find.live import Sample, samples, targets
from tapwright.find.names import Selection, resolve_many
from tapwright.find.topology import Topology
from tapwright.model import Counters, DeviceKey, Host
from tapwright.providers.libvirt import Libvirt

_LOOK_EVERY = 5.0
"""Seconds between two looks at who is there; in between only counters are read."""
_LOOK_SHARE = 20
"""A look may take one part in so many of the time: on a large host they get rarer."""


@dataclass(frozen=True, slots=True)
class Reading:
    """All counters at one moment; times are seconds of the monotonic clock."""

    host: Host
    samples: tuple[Sample, ...]


class Watcher:
    """Reads the counters of VMs again and again; may be asked from several threads.

    Who is there is looked up again every few seconds, and as soon as a device is missing, so
    that VMs which start, stop or are made anew are followed.
    """

    def __init__(self, names: Sequence[str] = (), *, agents: bool = False, config: Config | None = None) -> None:
        """`names` as `resolve_many` takes them, none meaning everybody; `agents` asks guest agents as well.

        Raises NotFound or Ambiguous for a name that nobody has at this moment, UsageError.
        """
        self._names = tuple(names)
        self._agents = agents
        self._config = config or configuration.load()
        self._lock = threading.Lock()
        self._alive: frozenset[DeviceKey] = frozenset()
        self._look()
        resolve_many(self._topology, self._names)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What could not be looked into."""
        return self._topology.warnings

    def read(self) -> Reading:
        """The counters now.  Raises UsageError when the configuration became wrong meanwhile."""
        with self._lock:
            if time.monotonic() >= self._due:
                self._look()
            counted, now = self._count(), time.monotonic()
            found = tuple(samples(self._targets, counted, self._told(), now, self._looked))
            return Reading(self._topology.host, found)

    def _look(self) -> None:
        start = time.monotonic()
        self._topology = local.look(self._config)
        self._looked = time.monotonic()
        self._due = self._looked + max(_LOOK_EVERY, _LOOK_SHARE * (self._looked - start))
        self._targets = tuple(targets(self._topology, _present(self._topology, self._names)))

    def _count(self) -> Mapping[DeviceKey, Counters]:
        keys = {key for target in self._targets for key in target.keys}
        counted = netlink.read_counters(keys, self._topology.netns)
        if self._alive & keys - counted.keys():
            self._due = 0.0
        self._alive = frozenset(counted)
        return counted

    def _told(self) -> Mapping[tuple[str, str], Counters]:
        """What guests say; their silence is no reason to stop watching."""
        if self._agents:
            with suppress(TapwrightError):
                return Libvirt(self._config.libvirt_uri).guest_counters()
        return {}


def _present(topology: Topology, names: Sequence[str]) -> tuple[Selection, ...]:
    """Those of `names` that are there now; a VM that is away may come back."""
    if not names:
        return everybody(topology)
    return resolve_many(topology, [name for name in names if _is_there(topology, name)])


def _is_there(topology: Topology, name: str) -> bool:
    try:
        return bool(resolve_many(topology, (name,)))
    except NotFound:
        return False
