"""Two QEMU guests on a Linux bridge for the benches: those of `tapwright lab`, with iperf3 in them."""

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tapwright.errors import ProviderError
from tapwright.lab import agent, image
from tapwright.lab.guests import PORT, PROGRAM, READY
from tapwright.lab.initramfs import Entry, archive, file

_MEMORY = 256
"""MiB: iperf3 and what it is linked with lie in it, and the stream's buffers."""
_BOOT = 120.0


@dataclass(frozen=True)
class Guest:
    """One guest, whose tap is in the host's namespace; `folder` has its console and its port for commands."""

    name: str
    number: int
    folder: Path
    accelerator: str = "tcg"
    """As the lab's guests have it, since it is everywhere; or ``kvm``."""

    @property
    def console(self) -> Path:
        return self.folder / f"{self.name}.console"

    @property
    def port(self) -> Path:
        return self.folder / f"{self.name}.exec"

    def ask(self, *argv: str, timeout: float) -> str:
        """What a command in it says; "" where that takes too long."""
        try:
            with agent.converse(self.port, argv, timeout) as said:
                return b"".join(said).decode(errors="replace")
        except ProviderError:
            return ""

    def qemu(self) -> list[str]:
        """QEMU's command; the tap ``vnetN`` exists already."""
        words = f"lab.name={self.name} lab.eth0=10.0.0.{self.number}/24"
        kernel = "console=ttyS0 quiet loglevel=3 panic=-1 nokaslr mitigations=off tsc=reliable no_timer_check"
        machine = ["-machine", "pc,usb=off", "-accel", self.accelerator, "-cpu", "max", "-m", str(_MEMORY)]
        tap = f"tap,id=eth0,ifname=vnet{self.number},script=no,downscript=no,vnet_hdr=on"
        return [
            *(PROGRAM, "-name", f"guest={self.name}", *machine),
            *("-kernel", str(image.kernel()), "-initrd", str(self.folder / "initramfs")),
            *("-append", f"{kernel} random.trust_cpu=on {words}"),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-serial", f"file:{self.console}", "-netdev", tap),
            *("-device", f"virtio-net-pci,netdev=eth0,mac=52:54:00:00:00:{self.number:02x},romfile="),
            *("-device", "virtio-serial-pci", "-chardev", f"socket,id=exec,path={self.port},server=on,wait=off"),
            *("-device", f"virtserialport,chardev=exec,name={PORT}"),
        ]


def prepare(folder: Path) -> None:
    """Put what the guests boot from into `folder`; fetches their kernel the first time."""
    image.ensure(print)
    (folder / "initramfs").write_bytes(image.initramfs() + archive(_program("iperf3")))


def _program(name: str) -> Iterator[Entry]:
    """A program of this machine, and the libraries it is linked with."""
    path = shutil.which(name) or name
    yield file(f"bin/{name}", Path(path).read_bytes(), 0o755)
    linked = subprocess.run(["ldd", path], check=True, capture_output=True, text=True).stdout
    for library in re.findall(r"(/\S+) \(0x", linked):
        yield file(library.strip("/"), Path(library).read_bytes(), 0o755)


def boot(stack: ExitStack, guests: tuple[Guest, ...], start: Callable[[list[str]], list[str]]) -> None:
    """Start them, by the command that `start` makes of QEMU's, and wait until all can be asked."""
    for guest in guests:
        process = subprocess.Popen(start(guest.qemu()), stdout=subprocess.DEVNULL)
        stack.callback(process.wait)
        stack.callback(process.terminate)
    end = time.monotonic() + _BOOT
    for guest in guests:
        while not guest.console.exists() or READY not in guest.console.read_bytes():
            if time.monotonic() > end:
                raise SystemExit(f"guest {guest.name} does not boot")
            time.sleep(0.05)


def serve(guest: Guest) -> None:
    """Have iperf3 wait in it; the command must last until the server has a session of its own."""
    guest.ask("sh", "-c", f"setsid iperf3 -s -B 10.0.0.{guest.number} </dev/null >/dev/null 2>&1 & sleep 1", timeout=30)
