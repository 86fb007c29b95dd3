"""QEMU guests: what they boot with, and starting them with QEMU alone."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tapwright.adapters import command
from tapwright.errors import ProviderError
from tapwright.lab import image, netns
from tapwright.lab.openvswitch import plug_guests
from tapwright.lab.plan import MachineNode, Plug, ServerNode
from tapwright.lab.topology import Talk

PROGRAM = "qemu-system-x86_64"
PORT = "org.tapwright.lab.0"
"""The virtio-serial port over which `lab exec` talks to the guest."""
MEMORY = 160
"""MiB; a guest uses about half of it."""
READY = b"TAPWRIGHT-LAB-READY"
_BOOT = 120.0
"""Seconds to wait for a guest; about 6 are usual."""
_START = 5.0
"""Seconds after which QEMU itself must be running."""


def console(folder: Path, guest: MachineNode) -> Path:
    """The log of the guest's serial console."""
    return folder / f"{guest.name}.console"


def exec_socket(folder: Path, guest: MachineNode) -> Path:
    """The host's end of the guest's port for commands."""
    return folder / f"{guest.name}.exec"


def initramfs(folder: Path) -> Path:
    """The file the guests of a server boot from."""
    return folder / "initramfs"


def cmdline(guest: MachineNode, talks: Iterable[Talk], addresses: Mapping[str, str]) -> str:
    """Pure: the guest's kernel command line; `addresses` are those of the nodes it may talk to."""
    talks = tuple(talks)
    words = {"name": guest.name, "gateway": guest.spec.gateway}
    words |= {nic.name: ",".join(nic.addresses) for nic in guest.nics}
    served = {80, *(talk.port for talk in talks if talk.to == guest.name)}
    words["serve"] = ",".join(f"tcp:{port}" for port in sorted(served))
    words["talk"] = ",".join(f"tcp:{addresses[t.to]}:{t.port}" for t in talks if t.source == guest.name)
    kernel = "console=ttyS0 quiet loglevel=3 panic=-1 nokaslr mitigations=off tsc=reliable no_timer_check"
    return " ".join([kernel, "random.trust_cpu=on", *(f"lab.{key}={value}" for key, value in words.items() if value)])


def argv(folder: Path, guest: MachineNode, append: str) -> list[str]:
    """Pure: the QEMU command of a guest whose taps exist already."""
    machine = ["-machine", "pc,usb=off", "-accel", "tcg,tb-size=64", "-cpu", "max", "-m", str(MEMORY)]
    boot = ["-kernel", str(image.kernel()), "-initrd", str(initramfs(folder)), "-append", append]
    return [
        *(PROGRAM, "-name", f"guest={guest.name}", "-uuid", guest.id, *machine, *boot),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-serial", f"file:{console(folder, guest)}", "-pidfile", str(folder / f"{guest.name}.pid")),
        *(word for nic in guest.nics for word in _nic(nic)),
        *("-device", "virtio-serial-pci"),
        *_port("exec", exec_socket(folder, guest), PORT),
        *_port("agent", folder / f"{guest.name}.agent", "org.qemu.guest_agent.0"),
    ]


def start(server: ServerNode, folder: Path, guests: Mapping[MachineNode, str], env: Mapping[str, str]) -> None:
    """Make the taps of a server's guests, plug them in and boot; `guests` gives each its kernel command line."""
    netns.ip((line for guest in guests for line in _taps(guest)), env, server.netns)
    plug_guests(guests, folder, env)
    for guest, append in guests.items():
        log = _log(folder, guest)
        command.detach(["ip", "netns", "exec", server.netns, *argv(folder, guest, append)], log=log, env=env)


def await_ready(folder: Path, guests: Iterable[MachineNode]) -> None:
    """Wait until every guest has booted.  Raises ProviderError with the end of its console when one has not."""
    started = time.monotonic()
    for guest in guests:
        while READY not in _text(console(folder, guest)):
            waited = time.monotonic() - started
            if waited > _BOOT or (waited > _START and _ended(folder, guest)):
                said = _text(console(folder, guest)) + _text(_log(folder, guest))
                raise ProviderError(f"guest {guest.name} did not boot: {said[-500:].decode(errors='replace').strip()}")
            time.sleep(0.05)


def _ended(folder: Path, guest: MachineNode) -> bool:
    """Whether QEMU has complained and gone (it removes its pid file)."""
    return bool(_text(_log(folder, guest))) and not (folder / f"{guest.name}.pid").exists()


def _log(folder: Path, guest: MachineNode) -> Path:
    return folder / f"{guest.name}.log"


def _taps(guest: MachineNode) -> Iterator[str]:
    for nic in guest.nics:
        yield f"tuntap add dev {nic.device} mode tap"
        yield f"link set {nic.device} mtu {nic.mtu} {'' if nic.ovs else f'master {nic.switch} '}up"


def _nic(nic: Plug) -> list[str]:
    """A NIC on Open vSwitch goes without offloads: its userspace datapath passes unfinished checksums on."""
    offload = "vnet_hdr=off" if nic.ovs else "vnet_hdr=on"
    tap = f"tap,id={nic.name},ifname={nic.device},script=no,downscript=no,{offload}"
    return ["-netdev", tap, "-device", f"virtio-net-pci,netdev={nic.name},mac={nic.mac},romfile="]


def _port(name: str, path: Path, port: str) -> list[str]:
    socket = f"socket,id={name},path={path},server=on,wait=off"
    return ["-chardev", socket, "-device", f"virtserialport,chardev={name},name={port}"]


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
