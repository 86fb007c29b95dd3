"""What a QEMU guest is made of: Debian's cloud kernel and busybox, fetched once and kept.

`apt-get download` and `dpkg-deb -x` fetch and unpack them; nothing is installed.  The parts
live in the user's cache (``$XDG_CACHE_HOME/tapwright``); the initramfs is put together
from them for each lab.
"""

from __future__ import annotations

import fcntl
import lzma
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from tapwright.adapters import command
from tapwright.errors import MissingDependency, ProviderError
from tapwright.lab.initramfs import Entry, archive, device, directory, file

_META_PACKAGES = ("linux-image-cloud-amd64", "linux-image-virtual")
"""Debian's small kernel for guests, then Ubuntu's."""
_GUEST = "guest-1"
"""The folder of the parts; its number changes with what belongs to them."""
_PARTIAL = f"{_GUEST}.partial"
_MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
    "virtio_console",
)
"""In the order in which they load; a kernel that has one built in ships no file for it."""
_EMPTY = ("etc", "proc", "run", "sys", "tmp", "www")


def cache() -> Path:
    """Where the parts of a guest are kept."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return Path(base if base.startswith("/") else Path.home() / ".cache", "tapwright")


def kernel() -> Path:
    """The guests' kernel image."""
    return cache() / _GUEST / "vmlinuz"


def ensure(report: Callable[[str], None]) -> None:
    """Fetch the parts unless they are there (27 MB, once).  Raises MissingDependency, ProviderError."""
    if platform.machine() != "x86_64":
        raise MissingDependency(f"QEMU guests are made for x86_64, this machine is {platform.machine()}")
    with _locked(cache()) as folder:
        partial, guest = folder / _PARTIAL, folder / _GUEST
        if not guest.exists():
            report("fetching a kernel for the guests (27 MB, once)")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            _fetch(partial)
            _collect(partial / "unpacked", partial / "guest")
            (partial / "guest").rename(guest)
            shutil.rmtree(partial)


def tidy() -> None:
    """Remove what a fetch that was killed left behind."""
    if (cache() / _PARTIAL).exists():
        with _locked(cache()) as folder:
            shutil.rmtree(folder / _PARTIAL, ignore_errors=True)


def initramfs() -> bytes:
    """The guests' whole file system, as the kernel wants it."""
    parts = cache() / _GUEST
    script = resources.files("tapwright.lab") / "guest-init.sh"
    return archive(
        [
            *(directory(name) for name in _EMPTY),
            device("dev/console", 5, 1),
            file("init", script.read_bytes(), 0o755),
            file("bin/busybox", (parts / "busybox").read_bytes(), 0o755),
            *(file(f"modules/{m.name}", m.read_bytes()) for m in sorted((parts / "modules").iterdir())),
            *_agent(parts),
        ]
    )


def _fetch(folder: Path) -> None:
    names = [_kernel_package(), "busybox-static", "qemu-guest-agent"]
    try:
        command.run(["apt-get", "download", *names], cwd=folder, timeout=300.0)
    except ProviderError as error:
        hint = "is the network there, and the package list fresh? try: sudo apt-get update"
        raise ProviderError(f"the guests' kernel could not be fetched: {error.message}", hint) from None
    for package in folder.glob("*.deb"):
        command.run(["dpkg-deb", "-x", str(package), str(folder / "unpacked")], timeout=60.0)


def _kernel_package() -> str:
    for meta in _META_PACKAGES:
        said = command.run(["apt-cache", "depends", meta], check=False).stdout
        if found := re.search(r"Depends: (linux-image-\d\S+)", said):
            return found[1]
    raise ProviderError(f"apt knows none of {', '.join(_META_PACKAGES)}", "try: sudo apt-get update")


def _collect(unpacked: Path, guest: Path) -> None:
    """Keep of the unpacked packages what a guest needs."""
    (guest / "modules").mkdir(parents=True)
    for index, name in enumerate(_MODULES):
        for path in unpacked.glob(f"lib/modules/*/kernel/**/{name}.ko*"):
            (guest / "modules" / f"{index:02}-{name}.ko").write_bytes(_decompressed(path))
    shutil.move(next(unpacked.glob("boot/vmlinuz-*")), guest / "vmlinuz")
    shutil.move(unpacked / "bin/busybox", guest / "busybox")
    shutil.move(unpacked / "usr/sbin/qemu-ga", guest / "qemu-ga")


def _decompressed(path: Path) -> bytes:
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def _agent(parts: Path) -> Iterator[Entry]:
    """QEMU's guest agent with the libraries it needs, where this machine has all of them."""
    said = command.run(["ldd", str(parts / "qemu-ga")], check=False).stdout
    if "not found" not in said:
        yield file("usr/sbin/qemu-ga", (parts / "qemu-ga").read_bytes(), 0o755)
        for path in re.findall(r"(/\S+) \(0x", said):
            yield file(path.strip("/"), Path(path).read_bytes(), 0o755)


@contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(lock)
