"""OVN in a lab: both databases and northd on one machine, a controller on every server with a logical switch.

The servers' integration bridges are joined by Geneve between their uplinks; which VM may talk to
which is in the northbound database, written as a control plane would.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from ipaddress import ip_interface
from pathlib import Path

from tapwright.adapters import command
from tapwright.errors import MissingDependency, ProviderError
from tapwright.lab import openvswitch
from tapwright.lab.links import vtep
from tapwright.lab.plan import MachineNode, Plan, Plug, ServerNode

_PROGRAMS = ("ovn-northd", "ovn-nbctl", "ovn-sbctl", "ovn-controller", "ovsdb-tool", "ovsdb-server")
_SCHEMAS = Path("/usr/share/ovn")
_PORTS = {"nb": 6641, "sb": 6642}
"""The registered ones."""
CENTRAL_PID_FILES = ("ovnnb_db.pid", "ovnsb_db.pid", "ovn-northd.pid")
CHASSIS_PID_FILES = ("ovn-controller.pid",)
_PATIENCE = 30


def require() -> None:
    """Raise MissingDependency for what is missing to run OVN here."""
    for program in _PROGRAMS:
        command.find(program)
    if not (_SCHEMAS / "ovn-nb.ovsschema").exists():
        raise MissingDependency(f"{_SCHEMAS}/ovn-nb.ovsschema is not there", "apt install ovn-common")


def northbound(folder: Path) -> str:
    """The remote of the northbound database that lives in `folder`."""
    return f"unix:{folder}/ovnnb_db.sock"


def variables(folder: Path, central: Path) -> dict[str, str]:
    """The environment in which OVN's tools find what runs in `folder`, and the databases in the folder `central`."""
    own = {name: str(folder) for name in ("OVN_RUNDIR", "OVN_DBDIR", "OVN_LOGDIR", "OVN_SYSCONFDIR")}
    return {**own, "OVN_NB_DB": northbound(central), "OVN_SB_DB": f"unix:{central}/ovnsb_db.sock"}


def start_central(plan: Plan, node: MachineNode, folder: Path, env: Mapping[str, str]) -> None:
    """Start both databases and northd, and write what the lab's VMs are.  Raises ProviderError."""
    folder.mkdir(mode=0o700)
    env = {**env, **openvswitch.variables(folder), **variables(folder, folder)}
    for name, port in _PORTS.items():
        database, socket = folder / f"ovn{name}_db.db", folder / f"ovn{name}_db.sock"
        command.run(["ovsdb-tool", "create", str(database), str(_SCHEMAS / f"ovn-{name}.ovsschema")], env=env)
        remotes = [f"--remote=punix:{socket}", f"--remote=ptcp:{port}:{_address(node)}"]
        openvswitch.daemon(node, folder, env, ["ovsdb-server", str(database), *remotes], f"ovn{name}_db")
        openvswitch.await_server(socket, folder / f"ovn{name}_db.log")
    command.run(["ovn-sbctl", "--timeout=20", "init"], env=env, timeout=25.0)
    openvswitch.daemon(node, folder, env, ["ovn-northd"])
    _nbctl(env, "init", *openvswitch.joined(_commands(plan)))


def start_controller(plan: Plan, node: ServerNode, folder: Path, env: Mapping[str, str]) -> None:
    """Make the server, whose Open vSwitch runs, a chassis.  Raises ProviderError."""
    env = {**env, **openvswitch.variables(folder), **variables(folder, folder)}
    central = plan.ovn_central
    openvswitch.vsctl(env, "set", "Open_vSwitch", ".", *openvswitch.ids(_chassis(node, _address(central))))
    # It opens the bridge's socket for flows in Open vSwitch's own folder, wherever its database is.
    openvswitch.daemon(node, folder, env, ["ovn-controller", f"unix:{folder}/db.sock"])


def await_ready(plan: Plan, folder: Path, env: Mapping[str, str]) -> None:
    """Until every chassis has its ports and the flows of the northbound database in `folder`.  Raises ProviderError."""
    env = {**env, **variables(folder, folder)}
    _nbctl(env, "--wait=hv", "sync")
    for name in _names(plan):
        _nbctl(env, "wait-until", "Logical_Switch_Port", name, "up=true")


def _nbctl(env: Mapping[str, str], *arguments: str) -> None:
    command.run(["ovn-nbctl", f"--timeout={_PATIENCE}", *arguments], env=env, timeout=_PATIENCE + 5.0)


def _chassis(node: ServerNode, central: str) -> dict[str, str]:
    """Pure: what ovn-controller is told in Open vSwitch's database."""
    return {
        "ovn-remote": f"tcp:{central}:{_PORTS['sb']}",
        "ovn-encap-type": "geneve",
        "ovn-encap-ip": vtep(node),
        "ovn-bridge": node.integration,
        "ovn-bridge-datapath-type": "netdev",
    }


def _names(plan: Plan) -> Iterator[str]:
    """Pure: the logical ports."""
    plugs = (nic for server in plan.servers for _, nic in plan.plugs(server.name) if nic.switch == server.integration)
    return (nic.iface_id for nic in plugs)


def _commands(plan: Plan) -> Iterator[tuple[str, ...]]:
    """Pure: one ovn-nbctl command each."""
    ports: defaultdict[str, list[tuple[MachineNode, Plug]]] = defaultdict(list)
    for server in plan.servers:
        for owner, nic in plan.plugs(server.name):
            if logical := server.spec.switches[nic.switch].logical:
                ports[logical].append((owner, nic))
    for logical, plugged in ports.items():
        yield ("ls-add", logical)
        for owner, nic in plugged:
            yield from _port(logical, owner, nic)


def _port(logical: str, owner: MachineNode, nic: Plug) -> Iterator[tuple[str, ...]]:
    """Pure: one vNIC, described as OpenStack's Neutron does."""
    addresses = " ".join((nic.mac, *(str(ip_interface(address).ip) for address in nic.addresses)))
    ids = {"device_id": owner.id, "device_owner": "compute:nova", "port_name": owner.name}
    yield ("lsp-add", logical, nic.iface_id)
    yield ("lsp-set-addresses", nic.iface_id, addresses)
    told = openvswitch.ids({f"neutron:{key}": value for key, value in ids.items()})
    yield ("set", "Logical_Switch_Port", nic.iface_id, *told)


def _address(central: MachineNode | None) -> str:
    """Pure: where the southbound database listens.  A sound topology has such a machine."""
    if central is None:
        raise ProviderError("no machine of this lab runs OVN's central part")
    return str(ip_interface(central.addresses[0]).ip)
