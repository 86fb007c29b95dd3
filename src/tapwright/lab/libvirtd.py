"""A server's own libvirtd, without systemd, and the guests it starts.

libvirtd has fixed places (``/etc/libvirt``, ``/var/lib/libvirt``, ``/run/libvirt``...), so it runs
with mounts of its own in which these are directories of the lab (see `tapwright.lab.room`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

from tapwright.adapters import command
from tapwright.errors import MissingDependency, PrivilegeError, ProviderError, TapwrightError
from tapwright.lab import guests, image
from tapwright.lab.plan import MachineNode, Plug, ServerNode
from tapwright.lab.processes import TOKEN
from tapwright.lab.userns import initial_userns

PLACES = {
    "etc": Path("/etc/libvirt"),
    "lib": Path("/var/lib/libvirt"),
    "log": Path("/var/log/libvirt"),
}
"""directory of the lab -> the place it is laid over"""
CACHE = Path("/var/cache/libvirt")
"""Overlaid as well, by a directory that is kept: asking QEMU what it can do takes libvirtd 8 s."""
_QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
_START = 60.0
"""Seconds to wait for libvirtd, which asks QEMU what it can do before it answers."""

_DAEMON = """unix_sock_dir = "{folder}"
auth_unix_rw = "none"
auth_unix_ro = "none"
log_outputs = "3:stderr"
"""
_QEMU = """user = "root"
group = "root"
security_driver = "none"
stdio_handler = "file"
cgroup_controllers = []
namespaces = []
remember_owner = 0
"""
"""No helper daemons, control groups or labels: nothing of it outlives libvirtd and its guests."""


def require() -> None:
    """Raise MissingDependency when libvirt is not installed, PrivilegeError where it cannot run."""
    for program in ("libvirtd", "virsh"):
        command.find(program)
    if not all(place.is_dir() for place in (*PLACES.values(), CACHE)):
        raise MissingDependency("libvirt's directories are not there", "apt install libvirt-daemon-system")
    if not initial_userns():  # it changes to other users' groups
        raise PrivilegeError("libvirtd cannot run in a user namespace", "use --hypervisor qemu")


def available() -> bool:
    """Whether libvirt can be used here."""
    try:
        require()
    except TapwrightError:
        return False
    return True


def uri(folder: Path) -> str:
    """The connection URI of the libvirtd of the server whose directory is `folder`."""
    return f"qemu:///system?socket={folder}/libvirt/libvirt-sock"


def start(server: ServerNode, folder: Path, appends: Mapping[MachineNode, str], env: Mapping[str, str]) -> None:
    """Start libvirtd in the server's namespace and its guests by it.  Raises ProviderError."""
    room = folder / "libvirt"
    for name in PLACES:
        (room / name).mkdir(parents=True)
    (room / "etc/libvirtd.conf").write_text(_DAEMON.format(folder=room))
    (room / "etc/qemu.conf").write_text(_QEMU)
    kept = image.cache() / "libvirt"
    kept.mkdir(parents=True, exist_ok=True)
    way_in = [sys.executable, "-m", "tapwright.lab.room", str(folder), str(kept)]
    command.detach(["ip", "netns", "exec", server.netns, *way_in], log=folder / "libvirtd.log", env=env)
    _await(folder, env)
    for guest, append in appends.items():
        path = folder / f"{guest.name}.xml"
        path.write_bytes(domain(folder, guest, append, env))
        command.run(["virsh", "-q", "-c", uri(folder), "create", str(path)], env=env, timeout=60.0)


def domain(folder: Path, guest: MachineNode, append: str, env: Mapping[str, str]) -> bytes:
    """Pure: the guest as libvirt's XML."""
    root = ET.Element("domain", {"type": "qemu"})
    for tag, text in (("name", guest.name), ("uuid", guest.id), ("vcpu", "1")):
        ET.SubElement(root, tag).text = text
    ET.SubElement(root, "memory", unit="MiB").text = str(guests.MEMORY)
    system = ET.SubElement(root, "os")
    ET.SubElement(system, "type", arch="x86_64", machine="pc").text = "hvm"
    ET.SubElement(system, "kernel").text = str(image.kernel())
    ET.SubElement(system, "initrd").text = str(guests.initramfs(folder))
    ET.SubElement(system, "cmdline").text = append
    ET.SubElement(ET.SubElement(root, "features"), "acpi")
    ET.SubElement(root, "cpu", mode="maximum")
    root.append(_devices(folder, guest))
    variables = ET.SubElement(root, f"{{{_QEMU_NAMESPACE}}}commandline")
    # libvirt gives its guests a clean environment; the lab's token must be in it all the same
    ET.SubElement(variables, f"{{{_QEMU_NAMESPACE}}}env", name=TOKEN, value=env[TOKEN])
    return ET.tostring(root)


def _devices(folder: Path, guest: MachineNode) -> ET.Element:
    devices = ET.Element("devices")
    ET.SubElement(devices, "emulator").text = command.find(guests.PROGRAM)
    devices.extend(_interface(nic) for nic in guest.nics)
    serial = ET.SubElement(devices, "serial", type="file")
    ET.SubElement(serial, "source", path=str(guests.console(folder, guest)))
    ours = ET.SubElement(devices, "channel", type="unix")
    ET.SubElement(ours, "source", mode="bind", path=str(guests.exec_socket(folder, guest)))
    ET.SubElement(ours, "target", type="virtio", name=guests.PORT)
    agent = ET.SubElement(devices, "channel", type="unix")
    ET.SubElement(agent, "target", type="virtio", name="org.qemu.guest_agent.0")
    ET.SubElement(devices, "memballoon", model="none")
    return devices


def _interface(nic: Plug) -> ET.Element:
    interface = ET.Element("interface", type="bridge")
    ET.SubElement(interface, "source", bridge=nic.switch)
    ET.SubElement(interface, "mac", address=nic.mac)
    ET.SubElement(interface, "target", dev=nic.device)
    ET.SubElement(interface, "model", type="virtio")
    ET.SubElement(interface, "rom", enabled="no")
    if nic.ovs:
        port = ET.SubElement(interface, "virtualport", type="openvswitch")
        ET.SubElement(port, "parameters", interfaceid=nic.iface_id)
        if nic.vlan:
            ET.SubElement(ET.SubElement(interface, "vlan"), "tag", id=str(nic.vlan))
        interface.append(_without_offloads())
    return interface


def _without_offloads() -> ET.Element:
    """Open vSwitch's userspace datapath passes unfinished checksums on, so the guest must finish them."""
    off = dict.fromkeys(("csum", "tso4", "tso6", "ecn", "ufo"), "off")
    driver = ET.Element("driver")
    ET.SubElement(driver, "host", {**off, "gso": "off", "mrg_rxbuf": "off"})
    ET.SubElement(driver, "guest", off)
    return driver


def _await(folder: Path, env: Mapping[str, str]) -> None:
    deadline = time.monotonic() + _START
    version = ["virsh", "-q", "-c", uri(folder), "version"]
    while not command.run(version, env=env, check=False, timeout=_START).ok:
        if time.monotonic() > deadline:
            said = (folder / "libvirtd.log").read_text(errors="replace")[-500:].strip()
            raise ProviderError(f"libvirtd did not start: {said}", "without it: tapwright lab up --hypervisor qemu")
        time.sleep(0.05)
