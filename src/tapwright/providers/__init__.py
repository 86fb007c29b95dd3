"""The table of providers: a name, the module and class behind it, and how it is set up.

Modules are imported only when their provider is asked for, so an optional library that is
not installed costs nothing and hides nobody else.  Providers of other packages run with our
privileges, so they are taken only where the configuration names them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from tapwright.config import Config
from tapwright.errors import UsageError
from tapwright.providers.base import Provider

ENTRY_POINTS = "tapwright.providers"
"""The entry point group in which other packages announce theirs: a class that takes no arguments."""

_TABLE: dict[str, tuple[str, str, Callable[[Config], tuple[Any, ...]]]] = {
    "linux": ("tapwright.providers.linux", "Linux", lambda config: (config.netns,)),
    "ovs": ("tapwright.providers.ovs", "Ovs", lambda config: (config.ovsdb,)),
    "ovn": ("tapwright.providers.ovn", "Ovn", lambda config: (config.ovn_nb, config.ovsdb)),
    "libvirt": ("tapwright.providers.libvirt", "Libvirt", lambda config: (config.libvirt_uri,)),
    "containers": ("tapwright.providers.containers", "Containers", lambda config: (config.docker,)),
}
"""name -> module, class, its arguments from the configuration"""


def names() -> tuple[str, ...]:
    """Our own, which are asked when the configuration names none."""
    return tuple(_TABLE)


def load(name: str, config: Config) -> Provider:
    """Make the provider `name`.  Raises UsageError when there is none of that name."""
    if name in _TABLE:
        module, kind, arguments = _TABLE[name]
        made: Provider = getattr(importlib.import_module(module), kind)(*arguments(config))
        return made
    return _foreign(name)


def _foreign(name: str) -> Provider:
    """A provider of another package, by its entry point."""
    from importlib.metadata import entry_points

    found = entry_points(group=ENTRY_POINTS)
    for point in found.select(name=name):
        foreign: Provider = point.load()()
        return foreign
    known = (*_TABLE, *sorted(found.names))
    raise UsageError(f"there is no provider {name!r}", f"there are {', '.join(known)}")


def load_all(config: Config) -> tuple[Provider, ...]:
    """The providers the configuration asks for, or all of ours."""
    return tuple(load(name, config) for name in config.providers or names())
