"""Pure: a guest's name, id and NICs from the command line of its QEMU process.

The forms are those of qemu(1): ``-name``, ``-uuid``, ``-netdev`` with ``-device``, ``-nic``
and the old ``-net``; options as ``key=value,...`` (a comma is written twice) or as JSON, as
libvirt does.  Whatever cannot be understood is left out: the text is a stranger's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

_PROGRAM = re.compile(r"qemu-system-\w+|qemu-kvm|kvm|qemu")


@dataclass(frozen=True, slots=True)
class Nic:
    """One network card of a guest."""

    mac: str = ""
    backend: str = ""
    """``tap``, ``bridge``, ``user``, ``vhost-user``..."""
    ifname: str = ""
    fds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Guest:
    """What the command line says of a guest; empty where it says nothing."""

    name: str = ""
    uuid: str = ""
    nics: tuple[Nic, ...] = ()


def is_qemu(program: str) -> bool:
    """Whether a program of that name is a system emulator."""
    return _PROGRAM.fullmatch(program) is not None


def parse(argv: Sequence[str]) -> Guest:
    """The guest that this command line runs."""
    given = list(_pairs(argv))
    return Guest(
        name=next((_name(value) for option, value in reversed(given) if option == "name"), ""),
        uuid=next((value.lower() for option, value in reversed(given) if option == "uuid"), ""),
        nics=_with_default_macs(tuple(_nics(given))),
    )


def _pairs(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(option without dashes, the argument after it)."""
    for option, value in pairwise(argv):
        if option.startswith("-"):
            yield option.lstrip("-"), value


def _name(value: str) -> str:
    options = _options(value, "guest")
    return options.get("guest", "")


def _nics(given: Sequence[tuple[str, str]]) -> Iterator[Nic]:
    backends = {o.get("id", ""): o for option, value in given if option == "netdev" and (o := _options(value, "type"))}
    for option, value in given:
        options = _options(value, "driver" if option == "device" else "type")
        if option == "device" and "netdev" in options:
            yield _nic(backends.get(options["netdev"], {}), options.get("mac", ""))
        elif option == "nic" and options.get("type") != "none":
            yield _nic(options, options.get("mac", ""))
    yield from _old_style([_options(value, "type") for option, value in given if option == "net"], backends)


def _old_style(given: Sequence[dict[str, str]], backends: dict[str, dict[str, str]]) -> Iterator[Nic]:
    """``-net nic -net tap``: cards and back ends meet in the order they are given."""
    waiting = [options for options in given if options.get("type") not in ("nic", "none")]
    for options in given:
        if options.get("type") == "nic":
            backend = backends.get(options.get("netdev", "")) or (waiting.pop(0) if waiting else {})
            yield _nic(backend, options.get("macaddr", ""))


def _nic(backend: dict[str, str], mac: str) -> Nic:
    numbers = (backend.get("fds") or backend.get("fd", "")).split(":")
    fds = tuple(int(number) for number in numbers if re.fullmatch(r"\d{1,9}", number, re.ASCII))
    return Nic(mac.lower(), backend.get("type", ""), backend.get("ifname", ""), fds)


def _options(text: str, first: str) -> dict[str, str]:
    """``a,b=c`` as a dict, in which a leading word without a key is called `first`."""
    if text.startswith("{"):
        return _json(text)
    found: dict[str, str] = {}
    # An argument cannot hold a zero byte, so that stands for a comma that is part of a value.
    for place, part in enumerate(text.replace(",,", "\0").split(",")):
        key, equals, value = part.replace("\0", ",").partition("=")
        if equals:
            found[key] = value
        elif place == 0:
            found[first] = key
    return found


def _json(text: str) -> dict[str, str]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(values, dict):
        return {}
    return {key: value for key, value in values.items() if isinstance(value, str)}


def _with_default_macs(nics: tuple[Nic, ...]) -> tuple[Nic, ...]:
    """A card without a MAC gets the first free one from 52:54:00:12:34:56 on, as QEMU does it."""
    taken = {nic.mac for nic in nics}
    free = (mac for last in range(0x56, 0x100) if (mac := f"52:54:00:12:34:{last:02x}") not in taken)
    return tuple(nic if nic.mac else replace(nic, mac=next(free, "")) for nic in nics)
