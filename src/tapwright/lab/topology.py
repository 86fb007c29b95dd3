"""The words of a lab file (TOML) and its strict reading.

    about = "One server with a Linux bridge and two VMs"

    [servers.s1.switches.br0]
    kind = "bridge"                       # or "ovs"

    [vms.web]
    nics = [{ on = "s1/br0", addresses = ["10.0.0.11/24"] }]

    [vms.db]
    nics = [{ on = "s1/br0", addresses = ["10.0.0.12/24"] }]

A `Topology` that was loaded is sound: every name is well formed, every reference leads
somewhere, every address parses.  Unknown keys are refused.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from msgspec import Meta, Struct, ValidationError, convert, field

from tapwright.errors import NotFound, UsageError

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,23}\Z")]
DeviceName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,14}\Z")]
Mtu = Annotated[int, Meta(ge=576, le=65000)]

OVERLAY_HEADERS = 50
"""Bytes that VXLAN or Geneve over IPv4 puts around a frame, beside the outer Ethernet header."""
OVN_HEADERS = OVERLAY_HEADERS + 8
"""The same for OVN, whose Geneve carries the logical ports in an option."""


class Overlay(Struct, frozen=True, forbid_unknown_fields=True):
    """A tunnel to every other switch of the lab with the same kind and VNI."""

    vni: Annotated[int, Meta(ge=1, lt=1 << 24)]
    kind: Literal["vxlan", "geneve", "gre"] = "vxlan"


class Switch(Struct, frozen=True, forbid_unknown_fields=True):
    """A virtual switch of a server."""

    kind: Literal["bridge", "ovs"] = "bridge"
    overlay: Overlay | None = None
    logical: Name | None = None
    """The logical switch of OVN whose ports its VMs are (``ovs`` only); the server is a chassis by that."""


class Uplink(Struct, frozen=True, forbid_unknown_fields=True):
    """A server's wire to a fabric."""

    fabric: Name
    address: str = ""
    """The server's own address there (its VTEP), on the switch's device when the wire is plugged into one."""
    switch: str = ""


class Server(Struct, frozen=True, forbid_unknown_fields=True):
    """A hypervisor: a network namespace with its switches."""

    switches: dict[DeviceName, Switch]
    uplink: Uplink | None = None
    hypervisor: Literal["auto", "libvirt", "qemu"] = "auto"
    """Who starts its QEMU guests; ``auto`` is libvirt where it is installed."""


class Nic(Struct, frozen=True, forbid_unknown_fields=True):
    """A network interface, ``eth0``, ``eth1``... in their order."""

    on: str
    """Where it is plugged in: ``SERVER/SWITCH``, or a fabric (machines only)."""
    addresses: tuple[str, ...] = ()
    """With prefix length, IPv4 or IPv6."""
    mac: Annotated[str, Meta(pattern=r"^([0-9a-f]{2}(:[0-9a-f]{2}){5})?\Z")] = ""
    mtu: Mtu = 1500
    vlan: Annotated[int, Meta(ge=1, le=4094)] | None = None
    """Access VLAN of its switch port (``ovs`` only)."""


class Machine(Struct, frozen=True, forbid_unknown_fields=True):
    """A VM, or a machine that stands in the fabric (a gateway, a host on the Internet)."""

    nics: tuple[Nic, ...]
    kind: Literal["namespace", "qemu"] = "namespace"
    gateway: str = ""
    forward: bool = False
    """Whether it routes between its NICs."""
    masquerade: str = ""
    """The NIC behind whose address it hides what it routes (NAT); implies `forward`."""
    ovn_central: bool = False
    """Whether OVN's central part runs here: both databases and ovn-northd (one machine of a fabric)."""


class Fabric(Struct, frozen=True, forbid_unknown_fields=True):
    """A wire that joins servers and machines: a plain switch outside of every server."""

    mtu: Mtu = 1500


class Talk(Struct, frozen=True, forbid_unknown_fields=True):
    """Traffic between two nodes, started by ``lab up --traffic``."""

    source: Name = field(name="from")
    to: Name
    port: Annotated[int, Meta(ge=1, le=65535)] = 80
    protocol: Literal["tcp", "udp"] = "tcp"


class Topology(Struct, frozen=True, forbid_unknown_fields=True):
    """A whole lab, as its file describes it."""

    name: str
    about: str = ""
    fabrics: dict[str, Fabric] = {}
    servers: dict[str, Server] = {}
    vms: dict[str, Machine] = {}
    machines: dict[str, Machine] = {}
    talks: tuple[Talk, ...] = ()


_TABLES: dict[str, object] = {"fabrics": Fabric, "servers": Server, "vms": Machine, "machines": Machine}


def shipped() -> tuple[str, ...]:
    """The names of the topologies that come with tapwright."""
    folder = resources.files("tapwright.lab") / "topologies"
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))


def load(source: str | Path) -> Topology:
    """Read a shipped topology by its name, or a lab file by its path (it contains ``/`` or ends in ``.toml``).

    Raises NotFound for an unknown name or missing file, UsageError with the place in the file
    for anything that is not sound.
    """
    if "/" in str(source) or str(source).endswith(".toml"):
        path = Path(source)
        try:
            return parse(path.read_text(), path.name.removesuffix(".toml"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise NotFound(f"cannot read the lab file {path}: {error}") from None
    if source not in shipped():
        hint = f"topologies: {', '.join(shipped())}; or give the path of a lab file (./mylab.toml)"
        raise NotFound(f"there is no topology named {source!r}", hint)
    file = resources.files("tapwright.lab") / "topologies" / f"{source}.toml"
    return parse(file.read_text(), str(source), f"{source}.toml")


def parse(text: str, name: str, place: str = "lab file") -> Topology:
    """Decode and check the text of a lab file.  Raises UsageError naming `place` and the key at fault."""
    from tapwright.lab.check import check

    try:
        topology = _decode(tomllib.loads(text), name)
        check(topology)
    except (tomllib.TOMLDecodeError, UsageError) as error:
        raise UsageError(f"{place}: {error}") from None
    return topology


def _decode(raw: dict[str, Any], name: str) -> Topology:
    if "name" in raw:
        raise UsageError("Object contains unknown field `name`; a lab is named by its file or by --name")
    tables = {
        table: {
            _convert(key, Name, f"{table}.{key}: name"): _convert(value, kind, f"{table}.{key}")
            for key, value in _convert(raw.get(table, {}), dict[str, Any], table).items()
        }
        for table, kind in _TABLES.items()
    }
    return cast(Topology, _convert({"name": name, **raw, **tables}, Topology, ""))


def _convert(value: object, kind: object, where: str) -> Any:
    try:
        return convert(value, cast(Any, kind), from_attributes=True)
    except ValidationError as error:
        message = str(error).replace("`$.", "`").replace(" - at `$`", "")
        raise UsageError(f"{where}: {message}" if where else message) from None
