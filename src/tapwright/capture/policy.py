"""What a capture may take of its host: the governor's limits, as values that people can write down.  Pure.

    default                      safe for a host that works for others
    off                          no limits
    rate=2G,cpu=50%,free=5G      the default, with these changed

Why the defaults are what they are: docs/governor.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from tapwright.errors import UsageError
from tapwright.units import format_count, format_rate, format_share, format_size, parse_rate, parse_share, parse_size


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits of a capture, and from when on the host is under pressure.  Shares are of 1, rates per second."""

    rate: float = 12e9
    """Bits copied."""
    cpu: float = 0.9
    """Of one core, for the engine."""
    disk: float = 0.0
    """Bytes written to the file; 0 is no limit."""
    free: int = 1 << 30
    """Bytes that stay free on the file's disk, or a fiftieth of it where that is less."""

    busy_rate: float = 1e9
    """Bits copied while the host is under pressure: less is not what it suffers from."""
    busy_packets: float = 20e3
    """Packets kept, likewise: to cut them does not help then, since each costs, however little of it is kept."""
    busy_cpu: float = 0.25
    """Of one core, likewise."""
    busy_disk: float = 50 << 20
    """Bytes written, likewise, under pressure on disks or memory."""

    psi_cpu: float = 0.25
    """Share of the time in which some task waited for a processor."""
    psi_io: float = 0.40
    """...for a disk."""
    psi_memory: float = 0.10
    """...for memory."""
    psi_full: float = 0.20
    """Share of the time in which all tasks at once waited for a disk or for memory."""
    steal: float = 0.10
    """Share of the processors' time that the host's own host took away."""
    drops: float = 100.0
    """Packets that the ports of the captured VMs dropped."""
    softnet: float = 100.0
    """Packets that the host's processors dropped before they looked at them."""


DEFAULT = Policy()

_RATE, _SHARE, _SIZE, _COUNT = "rate", "share", "size", "count"
_KINDS: Mapping[str, str] = {
    "rate": _RATE, "cpu": _SHARE, "disk": _SIZE, "free": _SIZE,
    "busy_rate": _RATE, "busy_packets": _COUNT, "busy_cpu": _SHARE, "busy_disk": _SIZE,
    "psi_cpu": _SHARE, "psi_io": _SHARE, "psi_memory": _SHARE, "psi_full": _SHARE,
    "steal": _SHARE, "drops": _COUNT, "softnet": _COUNT,
}  # fmt: skip
_ABOUT: Mapping[str, str] = {
    "rate": "bits copied per second",
    "cpu": "of one core, for the engine",
    "disk": "bytes written per second",
    "free": "kept free on the file's disk (or 2 % of it)",
    "busy_rate": "bits copied per second while the host is under pressure",
    "busy_packets": "packets kept per second while the host is under pressure",
    "busy_cpu": "of one core while the host is under pressure",
    "busy_disk": "bytes written per second while disks or memory are under pressure",
    "psi_cpu": "time in which some task waits for a processor",
    "psi_io": "time in which some task waits for a disk",
    "psi_memory": "time in which some task waits for memory",
    "psi_full": "time in which all tasks wait for a disk or memory",
    "steal": "time taken away by the host's own host",
    "drops": "packets per second dropped at the VMs' ports",
    "softnet": "packets per second dropped by the host's processors",
}


def key_of(name: str) -> str:
    """``busy_rate`` as a person writes it: ``busy-rate``."""
    return name.replace("_", "-")


def parse_policy(text: str) -> Policy | None:
    """The policy that `text` names, None for ``off``.  Raises UsageError."""
    text = text.strip()
    if text == "off":
        return None
    if text in ("", "default"):
        return DEFAULT
    changed: dict[str, Any] = dict(_changed(part) for part in text.split(","))
    return replace(DEFAULT, **changed)


def _changed(part: str) -> tuple[str, float]:
    key, equals, value = (word.strip() for word in part.partition("="))
    name = key.replace("-", "_")
    if not equals or name not in _KINDS or "_" in key:
        raise UsageError(
            f"{part.strip()!r} is no limit of the governor",
            f"write default, off, or KEY=VALUE of {', '.join(map(key_of, _KINDS))}",
        )
    return name, _parse(name, value)


def _parse(name: str, value: str) -> float:
    if value in ("none", "0") and name in ("disk", "free"):
        return 0
    parsers: Mapping[str, Callable[[str], float]] = {
        _RATE: parse_rate, _SHARE: parse_share, _SIZE: parse_size, _COUNT: parse_rate
    }  # fmt: skip
    return parsers[_KINDS[name]](value)


def shown(policy: Policy) -> Iterator[tuple[str, str, str]]:
    """(key, value, what it is) of every limit, for a person."""
    for field in fields(policy):
        yield key_of(field.name), formatted(field.name, getattr(policy, field.name)), _ABOUT[field.name]


def formatted(name: str, value: float) -> str:
    """A limit's value, or a reading of what it limits."""
    if name == "disk" and not value:
        return "none"
    kind = _KINDS[name]
    if kind == _RATE:
        return format_rate(value, "bit/s")
    if kind == _SHARE:
        return format_share(value)
    if kind == _SIZE:
        return format_size(value) + ("" if name == "free" else "/s")
    return f"{format_count(round(value))}/s"
