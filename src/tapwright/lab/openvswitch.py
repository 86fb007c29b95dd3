"""A server's own Open vSwitch: ovsdb-server and ovs-vswitchd, userspace datapath, private directory."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tapwright.adapters import command
from tapwright.errors import MissingDependency, PrivilegeError, ProviderError
from tapwright.lab.links import vtep
from tapwright.lab.plan import UPLINK, MachineNode, Node, Plan, Plug, ServerNode
from tapwright.lab.topology import Overlay, Switch

_PROGRAMS = ("ovsdb-tool", "ovsdb-server", "ovs-vsctl", "ovs-vswitchd")
PID_FILES = ("ovsdb-server.pid", "ovs-vswitchd.pid")
_SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
_TUN = "/dev/net/tun"


def require() -> None:
    """Raise what is missing to run Open vSwitch here: MissingDependency or PrivilegeError."""
    for program in _PROGRAMS:
        command.find(program)
    if not _SCHEMA.exists():
        raise MissingDependency(f"{_SCHEMA} is not there", "apt install openvswitch-switch")
    require_tun()


def require_tun() -> None:
    """Raise PrivilegeError or MissingDependency when taps cannot be made."""
    try:
        os.close(os.open(_TUN, os.O_RDWR))
    except PermissionError:
        raise PrivilegeError(
            f"not allowed to open {_TUN}, which Open vSwitch and QEMU need for their taps",
            f"run as root, or once: sudo chmod 0666 {_TUN}",
        ) from None
    except OSError as error:
        raise MissingDependency(f"{_TUN} cannot be opened: {error.strerror}", "sudo modprobe tun") from None


def variables(folder: Path) -> dict[str, str]:
    """The environment in which Open vSwitch's tools find the instance that lives in `folder`."""
    return {name: str(folder) for name in ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR")}


def start(plan: Plan, node: ServerNode, folder: Path, env: Mapping[str, str]) -> None:
    """Start both daemons in the server's namespace and plug everything in.  Raises ProviderError."""
    env = {**env, **variables(folder)}
    command.run(["ovsdb-tool", "create", str(folder / "conf.db"), str(_SCHEMA)], env=env)
    daemon(node, folder, env, ["ovsdb-server", str(folder / "conf.db"), f"--remote=punix:{folder}/db.sock"])
    await_server(folder / "db.sock", folder / "ovsdb-server.log")
    host = f"{plan.lab}-{node.name}"
    vsctl(env, "--no-wait", "init", "--", "set", "Open_vSwitch", ".", *ids({"system-id": host, "hostname": host}))
    daemon(node, folder, env, ["ovs-vswitchd", f"unix:{folder}/db.sock"])
    vsctl(env, *joined(_commands(plan, node)))


def plug_guests(guests: Iterable[MachineNode], folder: Path, env: Mapping[str, str]) -> None:
    """Plug the taps of QEMU guests in, those that belong to an Open vSwitch.  Raises ProviderError."""
    commands = [c for guest in guests for nic in guest.nics if nic.ovs for c in _plug(guest, nic)]
    if commands:
        vsctl({**env, **variables(folder)}, *joined(commands))


def daemon(node: Node, folder: Path, env: Mapping[str, str], argv: Sequence[str], name: str = "") -> None:
    """Start a daemon of Open vSwitch's family in a node, its pid and log in `folder` under its own or another name."""
    name = name or argv[0]
    options = ["-vconsole:warn", "-vsyslog:off", f"--pidfile={folder}/{name}.pid"]
    command.detach(["ip", "netns", "exec", node.netns, *argv, *options], log=folder / f"{name}.log", env=env)


def await_server(path: Path, log: Path, seconds: float = 10.0) -> None:
    """Until the server of the socket at `path` lets us in: it makes the file before it listens.

    Raises ProviderError with what it wrote to its `log` when it does not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not _accepts(path):
        if time.monotonic() > deadline:
            said = log.read_text(errors="replace").strip() if log.exists() else ""
            raise ProviderError(f"ovsdb-server did not start: {said or f'nobody listens at {path}'}")
        time.sleep(0.005)


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


def vsctl(env: Mapping[str, str], *arguments: str) -> None:
    """Tell the switch of `env` what to do and wait until it did.  Raises ProviderError."""
    command.run(["ovs-vsctl", "--timeout=20", *arguments], env=env, timeout=25.0)


def joined(commands: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Several commands as the arguments of one ovs-vsctl, ovn-nbctl..., which does all of them or none."""
    return (word for words in commands for word in ("--", *words))


def _commands(plan: Plan, node: ServerNode) -> Iterator[tuple[str, ...]]:
    """Pure: one ovs-vsctl command each."""
    for name, switch in node.spec.switches.items():
        if switch.kind == "ovs":
            yield ("add-br", name)
            yield ("set", "Bridge", name, "datapath_type=netdev", *_forwarding(switch))
            if switch.overlay:
                yield from _tunnels(plan, node, name, switch.overlay)
    uplink = node.spec.uplink
    if uplink and node.uplink_is_ovs:
        mtu = f"mtu_request={plan.topology.fabrics[uplink.fabric].mtu}"
        yield ("add-port", uplink.switch, UPLINK)
        yield ("set", "Interface", UPLINK, mtu, "--", "set", "Interface", uplink.switch, mtu)
    for owner, nic in plan.plugs(node.name):
        if nic.ovs and not owner.guest:
            yield from _plug(owner, nic)


def _forwarding(switch: Switch) -> tuple[str, ...]:
    """By itself, or as OVN says and not before it does."""
    if switch.logical:
        return ("fail_mode=secure", "other_config:disable-in-band=true")
    return ("fail_mode=standalone",)


def _plug(owner: Node, nic: Plug) -> Iterator[tuple[str, ...]]:
    """Pure: plug one vNIC in, described as a hypervisor would."""
    yield ("add-port", nic.switch, nic.device, *([f"tag={nic.vlan}"] if nic.vlan else []))
    told = {"attached-mac": nic.mac, "iface-id": nic.iface_id, "iface-status": "active", "vm-id": owner.id}
    yield ("set", "Interface", nic.device, *ids(told))


def _tunnels(plan: Plan, node: ServerNode, switch: str, overlay: Overlay) -> Iterator[tuple[str, ...]]:
    for other in plan.members(overlay, without=node):
        port = f"{overlay.kind}{overlay.vni}"[:15]
        options = (f"options:remote_ip={vtep(other)}", f"options:key={overlay.vni}")
        yield ("add-port", switch, port, "--", "set", "Interface", port, f"type={overlay.kind}", *options)


def ids(values: Mapping[str, str]) -> list[str]:
    """External ids as ovs-vsctl and ovn-nbctl read them; quoted, since colons and a leading digit mean something."""
    return [f'external_ids:"{key}"="{value}"' for key, value in values.items()]
