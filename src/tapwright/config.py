"""What may be configured: nothing needs to be.

Read from ``/etc/tapwright/config.toml``, then the user's ``tapwright/config.toml`` below
``$XDG_CONFIG_HOME`` (or ``~/.config``), then ``TAPWRIGHT_*`` variables; the later wins.
Unknown keys are refused, so that a typing error never passes silently.

    providers = ["linux", "ovs"]           # only these; default: every one that finds something
    netns = ["prod-*"]                     # network namespaces to look at; default: all
    ovsdb = ["unix:/run/openvswitch/db.sock"]
    ovn_nb = ["unix:/run/ovn/ovnnb_db.sock"]
    docker = ["/run/docker.sock"]
    libvirt_uri = "qemu:///system"
    buffer = "48M"                         # ring memory of a capture
    governor = "rate=2G,cpu=50%"           # what a capture may take of the host; default, or off
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from tapwright.errors import UsageError
from tapwright.units import parse_size


@dataclass(frozen=True, slots=True)
class Config:
    """All settings; an empty tuple or string means "find out yourself"."""

    providers: tuple[str, ...] = ()
    netns: tuple[str, ...] = ()
    ovsdb: tuple[str, ...] = ()
    ovn_nb: tuple[str, ...] = ()
    docker: tuple[str, ...] = ()
    libvirt_uri: str = ""
    buffer: str = "48M"
    governor: str = "default"

    @property
    def buffer_bytes(self) -> int:
        """Ring memory in bytes.  Raises UsageError."""
        return parse_size(self.buffer)


_ENVIRONMENT = {f.name: f"TAPWRIGHT_{f.name.upper()}" for f in fields(Config)}
_LISTS = frozenset(f.name for f in fields(Config) if f.type.startswith("tuple"))


def load(environment: Mapping[str, str] | None = None) -> Config:
    """The configuration of this process.  Raises UsageError naming the file or variable at fault."""
    environment = os.environ if environment is None else environment
    config = Config()
    for path in _paths(environment):
        config = _with_file(config, path)
    return replace(config, **_from_environment(environment))


def _paths(environment: Mapping[str, str]) -> tuple[Path, ...]:
    home = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME", "/nonexistent")) / ".config")
    return Path("/etc/tapwright/config.toml"), Path(home) / "tapwright" / "config.toml"


def _with_file(config: Config, path: Path) -> Config:
    try:
        text = path.read_text()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return config
    import tomllib

    try:
        return replace(config, **_checked(tomllib.loads(text)))
    except (tomllib.TOMLDecodeError, UsageError) as error:
        raise UsageError(f"{path}: {error}", "correct the file, or move it away to use the defaults") from None


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    for key, value in values.items():
        if key not in _ENVIRONMENT:
            raise UsageError(f"unknown key {key!r}; the keys are {', '.join(_ENVIRONMENT)}")
        if key in _LISTS and not (isinstance(value, list) and all(isinstance(v, str) for v in value)):
            raise UsageError(f"{key} must be a list of strings")
        if key not in _LISTS and not isinstance(value, str):
            raise UsageError(f"{key} must be a string")
    return {key: tuple(value) if key in _LISTS else value for key, value in values.items()}


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found = {key: environment[name] for key, name in _ENVIRONMENT.items() if environment.get(name)}
    return {key: _split(value) if key in _LISTS else value for key, value in found.items()}


def _split(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())
