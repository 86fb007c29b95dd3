"""What can be known of OVN's mirror before it is opened: of the way of its copies only where its port is on this host.

Whether it would do harm, the northbound database says wherever the port is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tapwright.adapters import ovnnb
from tapwright.adapters.ovsdb_transact import select
from tapwright.plan.mirrors import Mirror
from tapwright.plan.preflight import Facts, TooLarge
from tapwright.plan.steps import Step
from tapwright.providers import ovn_chassis, ovs_scout
from tapwright.providers.ovn_mirror import numbers
from tapwright.providers.ovn_perform import planned, unseen


def scout(remote: str, mirror: Mirror, step: Step, switches: Sequence[str]) -> Facts:
    """What the database at `remote` says, and this host's `switches`.

    Raises ProviderError where OVN would refuse it, PrivilegeError.
    """
    rows = planned(remote, step.do)
    there, refused = ovn_chassis.looked(switches, mirror.point.port)
    facts = (
        _of_server(there[0], mirror) if there else Facts(unseen=unseen(remote, mirror.point.port, switches, refused))
    )
    behind = ovnnb.behind(remote, mirror.target.remote)
    return replace(facts, more=len(rows), behind=behind, numbers=numbers(step.do, rows))


def _of_server(remote: str, mirror: Mirror) -> Facts:
    """What the switch at `remote` says, which has the port."""
    tables = select(remote, *((table, ()) for table in ("Bridge", "Port", "Interface")))
    own = [row for row in tables.interfaces if row.external_ids.get("iface-id") == mirror.point.port]
    plugged = {port.uuid for port in tables.ports for row in own if row.uuid in port.interfaces}
    bridge = next((row for row in tables.bridges if row.ports & plugged), None)
    userspace = bridge is not None and bridge.datapath_type == "netdev"
    return Facts(
        vnic_mtu=min((row.mtu for row in own if row.mtu), default=0),
        way=ovs_scout.way(remote, mirror.target.remote, tables, userspace=userspace),
        mirrors=len(bridge.mirrors) if bridge else None,
        too_large=TooLarge.LOST if userspace else TooLarge.UNKNOWN,
        devices=tuple(row.name for row in own),
    )
