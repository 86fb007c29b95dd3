"""libvirt: domains, running or not, with their names, UUIDs and vNICs.

Tells who a VM is; which host device carries its frames comes from the QEMU process and the
switch, joined by UUID and MAC.  Reads over the read-only socket; only asking a guest agent for
addresses takes the other one.  Changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

from tapwright.adapters import libvirtd
from tapwright.adapters.process import is_socket
from tapwright.model import Capability, Snapshot, Vm, VmKind, Vnic
from tapwright.providers.base import Onlooker
from tapwright.providers.several import ask_all


class Libvirt(Onlooker):
    """Every libvirt of this host, or the one at a URI that somebody named."""

    name = "libvirt"

    def __init__(self, uri: str = "") -> None:
        """`uri` as `virsh -c` takes it; empty means LIBVIRT_DEFAULT_URI, else all that can be found here."""
        default = os.environ.get("LIBVIRT_DEFAULT_URI", "")
        self._told = uri or ("" if _is_remote(default) else default)

    def probe(self) -> Capability:
        """By the daemon's socket alone; does not load libvirt-python."""
        if _is_remote(self._told):
            return Capability.no(f"{self._told} is another machine's libvirt", "run tapwright over there")
        uris = self._uris()
        if not uris:
            return Capability.no(
                f"no libvirt socket at {self._told or '/run/libvirt'}",
                "if it is elsewhere: export TAPWRIGHT_LIBVIRT_URI=URI, as for virsh -c",
            )
        return Capability.yes(f"libvirt at {', '.join(uris)}")

    def snapshot(self) -> Snapshot:
        """All domains, in seconds at most even when the daemon is stuck."""
        inventories, warnings = ask_all(self._uris(), libvirtd.read)
        return describe(inventories, warnings)

    def guest_counters(self) -> libvirtd.GuestCounters:
        """What guests count themselves, by domain UUID and MAC; those without an answer are left out.

        Raises as `snapshot`.
        """
        answers, _ = ask_all(self._uris(), libvirtd.guest_counters)
        return {key: counters for answer in answers for key, counters in answer.items()}

    def _uris(self) -> tuple[str, ...]:
        if not self._told:
            return libvirtd.discover()
        sockets = parse_qs(urlsplit(self._told).query).get("socket", [])
        return (self._told,) if all(is_socket(path) for path in sockets) else ()


def _is_remote(uri: str) -> bool:
    return bool(urlsplit(uri).netloc)


def describe(inventories: Sequence[libvirtd.Inventory], warnings: Sequence[str] = ()) -> Snapshot:
    """Pure: what libvirt says, in our words."""
    vms: list[Vm] = []
    faults = list(warnings)
    for inventory in inventories:
        for domain in inventory.domains:
            try:
                vms.append(_vm(domain, inventory))
            except (ElementTree.ParseError, ValueError) as error:
                faults.append(f"libvirt's description of {domain.name} cannot be read: {error}")
    return Snapshot("libvirt", vms=tuple(vms), warnings=tuple(faults))


def _vm(domain: libvirtd.Domain, inventory: libvirtd.Inventory) -> Vm:
    root = ElementTree.fromstring(domain.xml)  # noqa: S314 - libvirtd wrote it, and expat bounds its entities
    addresses = [(mac, address) for uuid, mac, address in inventory.guests if uuid == domain.uuid]
    addresses += inventory.leases
    # The second is the server's name in OpenStack, which calls its domains instance-0000002a.
    names = (root.findtext("title"), root.findtext("metadata/{*}instance/{*}name"))
    return Vm(
        id=domain.uuid,
        name=domain.name,
        kind=VmKind.CONTAINER if root.get("type") == "lxc" else VmKind.VM,
        state=domain.state,
        aliases=tuple(name.strip() for name in names if name and name.strip()),
        vnics=tuple(_vnics(root, addresses)),
        providers=("libvirt",),
    )


def _vnics(root: ElementTree.Element, addresses: Sequence[tuple[str, str]]) -> Iterator[Vnic]:
    for position, interface in enumerate(root.iterfind("devices/interface")):
        mac = _attribute(interface, "mac", "address").lower()
        mine = (address for owner, address in addresses if owner == mac)
        yield Vnic(
            name=_attribute(interface, "alias", "name") or f"net{position}",
            mac=mac,
            addresses=tuple(dict.fromkeys(mine)),
            mtu=int(_attribute(interface, "mtu", "size") or 0),
            iface_id=_attribute(interface, "virtualport/parameters", "interfaceid"),
        )


def _attribute(interface: ElementTree.Element, path: str, name: str) -> str:
    found = interface.find(path)
    return found.get(name, "") if found is not None else ""
