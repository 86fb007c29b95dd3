"""What Open vSwitch says of a mirror before it is opened: the way of its copies, room, and what becomes of large ones.

The userspace datapath wraps and routes by itself: it has a copy of the kernel's routes, and sends
by its own bridges only.  So it is asked, not the kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address

from tapwright.adapters import ovsdb, tc, unixctl
from tapwright.adapters.ovsdb_mirrors import MirroringBridge, MirroringInterface, Tables
from tapwright.adapters.ovsdb_transact import select
from tapwright.errors import ProviderError
from tapwright.plan.mirrors import Mirror
from tapwright.plan.preflight import Facts, TooLarge, Vlan, Way
from tapwright.providers.ovs_changes import spellings
from tapwright.providers.ovs_filtered import needed, ways
from tapwright.providers.ovs_mirror import MARK

_LINE = re.compile(r"^(src|gateway|dev)\s+(\S+)$", re.MULTILINE)
_FLOW = re.compile(r"^(.*priority=.*)actions=(.*)$", re.MULTILINE)
"""A line of ``bridge/dump-flows``; table 254 is Open vSwitch's own."""
_HARMLESS = re.compile(r"(NORMAL|drop|resubmit\(,\d+\)|goto_table:\d+)(,(NORMAL|resubmit\(,\d+\)|goto_table:\d+))*")
_WITHOUT_DEVICE = frozenset({"patch", "vxlan", "geneve", "gre", "erspan", "ip6gre", "ip6erspan", "gtpu", "bareudp"})


def scout(remote: str, mirror: Mirror) -> Facts:
    """What the switch at `remote` says.  Raises ProviderError, PrivilegeError."""
    tables = select(remote, *((table, ()) for table in ("Bridge", "Port", "Interface")))
    bridge = next((row for row in tables.bridges if row.uuid == mirror.point.switch), None)
    if bridge is None:
        raise ProviderError(f"the switch of {mirror.source} is gone")
    userspace = bridge.datapath_type == "netdev"
    port = next((found for name in spellings(mirror.point.port) if (found := tables.port(name))), None)
    theirs = [port for port in tables.ports if port.uuid in bridge.ports and MARK not in port.external_ids]
    whole = [row.mtu for port in theirs for row in _interfaces(tables, port.name)]
    taker = _smallest(_interfaces(tables, mirror.place.port)) if mirror.place.port else 0
    return Facts(
        vnic_mtu=_smallest(_interfaces(tables, port.name)) if port else max(whole, default=0),
        tagged=port.tag is not None if port else any(mirror.vlans),
        way=way(remote, mirror.target.remote, tables, userspace=userspace) if mirror.target.tunnel else None,
        taker_mtu=taker,
        mirrors=len(bridge.mirrors),
        more=len(ways(mirror)) if needed(mirror) else 1,
        # Measured on the userspace datapath; what the kernel's does depends on its tunnels' DF bit.
        too_large=TooLarge.LOST if userspace else TooLarge.UNKNOWN,
        vlan=_vlan(remote, mirror, bridge, tables) if mirror.target.vlan else None,
    )


def _vlan(remote: str, mirror: Mirror, bridge: MirroringBridge, tables: Tables) -> Vlan:
    """Who gets the copies that are put into a VLAN."""
    vlan = mirror.target.vlan
    ports = [port for port in tables.ports if port.uuid in bridge.ports and port.carries(vlan)]
    vms = {port.name for port in ports if any(_is_vms(row) for row in _interfaces(tables, port.name))}
    names = sorted(port.name for port in ports if port.name != bridge.name)
    own = any(port.tag == vlan for port in map(tables.port, spellings(mirror.point.port)) if port)
    besides = _besides(remote, bridge) if mirror.program else ""
    return Vlan(tuple(names), tuple(name for name in names if name in vms), own, besides)


def _besides(remote: str, bridge: MirroringBridge) -> str:
    """What may become of a frame that comes in by a new port, besides that its VLAN's ports get it."""
    if bridge.listens:
        return f"{bridge.name} has {' and '.join(bridge.listens)} on"
    flows = unixctl.command(unixctl.control_socket(remote), "bridge/dump-flows", bridge.name)
    return f"flows of OpenFlow forward frames on {bridge.name}" if forwards(flows) else ""


def forwards(flows: str) -> bool:
    """Whether one of these flows forwards frames of a port that it does not name, other than as a switch does."""
    return any(
        not _HARMLESS.fullmatch(actions)
        for match, actions in _FLOW.findall(flows)
        if not match.startswith("table_id=254,") and ",in_port=" not in match
    )


def _is_vms(row: MirroringInterface) -> bool:
    return bool(row.external_ids.keys() & {"vm-id", "iface-id", "attached-mac"})


def way(remote: str, collector: str, tables: Tables, *, userspace: bool) -> Way:
    """The way to a collector's address.  Raises ProviderError, PrivilegeError."""
    if not userspace:
        return kernels(remote, collector)
    found = lookup(remote, collector)
    device = found.get("dev", "")
    bridge = next((row for row in tables.bridges if row.name == device), None)
    gateway = found.get("gateway", "")
    router = "" if not gateway or ip_address(gateway).is_unspecified else gateway
    usable = bridge is not None and bridge.datapath_type == "netdev"
    # The lookup does not tell a network's broadcast address; the kernel, which has the bridge's address too, does.
    everybody = kernels(remote, collector).everybody
    return Way(device, router, _mtu_of(bridge, tables) if bridge else 0, usable, everybody)


def kernels(remote: str, collector: str) -> Way:
    """The kernel's own way, in the namespace of ovs-vswitchd."""
    netns = ovsdb.home(remote)
    if netns is None:
        return Way("?", "")
    found = tc.way(netns, collector)
    return Way(found.dev, found.gateway, found.mtu, everybody=found.type == "broadcast")


def lookup(remote: str, collector: str) -> dict[str, str]:
    """What ovs-vswitchd answers to ``ovs/route/lookup``; empty where it has no route."""
    try:
        said = unixctl.command(unixctl.control_socket(remote), "ovs/route/lookup", collector)
    except ProviderError as error:
        if "refused" in error.message and "ot found" in error.message:
            return {}
        raise
    return dict(_LINE.findall(said))


def _mtu_of(bridge: MirroringBridge, tables: Tables) -> int:
    """The smallest of the bridge's own device and of the ports through which its frames get out."""
    rows = [row for port in tables.ports if port.uuid in bridge.ports for row in _interfaces(tables, port.name)]
    ways_out = [row for row in rows if row.name == bridge.name or row.type not in ("internal", *_WITHOUT_DEVICE)]
    return _smallest(iter(ways_out))


def _interfaces(tables: Tables, port: str) -> Iterator[MirroringInterface]:
    found = tables.port(port)
    return (row for row in tables.interfaces if found and row.uuid in found.interfaces)


def _smallest(rows: Iterator[MirroringInterface]) -> int:
    return min((row.mtu for row in rows if row.mtu), default=0)
