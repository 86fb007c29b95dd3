"""A server's own Open vSwitch: ovsdb-server and ovs-vswitchd, userspace datapath, private directory."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tapwright.adapters import command
from tapwright.errors import MissingDependency, PrivilegeError, ProviderError
from tapwright.lab.links import vtep
from tapwright.lab.plan import UPLINK, MachineNode, Node, Plan, Plug, ServerNode
from tapwright.lab.topology import Overlay

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
    _daemon(node, folder, env, "ovsdb-server", str(folder / "conf.db"), f"--remote=punix:{folder}/db.sock")
    await_server(folder / "db.sock", folder / "ovsdb-server.log")
    host = f"{plan.lab}-{node.name}"
    _vsctl(env, "--no-wait", "init", "--", "set", "Open_vSwitch", ".", *_ids({"system-id": host, "hostname": host}))
    _daemon(node, folder, env, "ovs-vswitchd", f"unix:{folder}/db.sock")
    _vsctl(env, *_joined(_commands(plan, node)))


def plug_guests(guests: Iterable[MachineNode], folder: Path, env: Mapping[str, str]) -> None:
    """Plug the taps of QEMU guests in, those that belong to an Open vSwitch.  Raises ProviderError."""
    commands = [c for guest in guests for nic in guest.nics if nic.ovs for c in _plug(guest, nic)]
    if commands:
        _vsctl({**env, **variables(folder)}, *_joined(commands))


def _daemon(node: Node, folder: Path, env: Mapping[str, str], program: str, *arguments: str) -> None:
    argv = [program, *arguments, "-vconsole:warn", "-vsyslog:off", f"--pidfile={folder}/{program}.pid"]
    command.detach(["ip", "netns", "exec", node.netns, *argv], log=folder / f"{program}.log", env=env)


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


def _vsctl(env: Mapping[str, str], *arguments: str) -> None:
    command.run(["ovs-vsctl", "--timeout=20", *arguments], env=env, timeout=25.0)


def _joined(commands: Iterable[tuple[str, ...]]) -> Iterator[str]:
    return (word for words in commands for word in ("--", *words))


def _commands(plan: Plan, node: ServerNode) -> Iterator[tuple[str, ...]]:
    """Pure: one ovs-vsctl command each."""
    for name, switch in node.spec.switches.items():
        if switch.kind == "ovs":
            yield ("add-br", name)
            yield ("set", "Bridge", name, "datapath_type=netdev", "fail_mode=standalone")
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


def _plug(owner: Node, nic: Plug) -> Iterator[tuple[str, ...]]:
    """Pure: plug one vNIC in, described as a hypervisor would."""
    yield ("add-port", nic.switch, nic.device, *([f"tag={nic.vlan}"] if nic.vlan else []))
    ids = {"attached-mac": nic.mac, "iface-id": nic.iface_id, "iface-status": "active", "vm-id": owner.id}
    yield ("set", "Interface", nic.device, *_ids(ids))


def _tunnels(plan: Plan, node: ServerNode, switch: str, overlay: Overlay) -> Iterator[tuple[str, ...]]:
    for other in plan.members(overlay, without=node):
        port = f"{overlay.kind}{overlay.vni}"[:15]
        options = (f"options:remote_ip={vtep(other)}", f"options:key={overlay.vni}")
        yield ("add-port", switch, port, "--", "set", "Interface", port, f"type={overlay.kind}", *options)


def _ids(values: Mapping[str, str]) -> list[str]:
    """Values are quoted: colons and a leading digit mean something to ovs-vsctl."""
    return [f'external_ids:{key}="{value}"' for key, value in values.items()]
