"""A guest with Debian's kernel, which has devices that the kernel below it may lack, and runs given commands."""

import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support import short_folder
from tapwright.adapters import command
from tapwright.lab import image
from tapwright.lab.initramfs import Entry, archive, device, directory, file

_MODULES = (
    "virtio_pci",
    "virtio_net",
    "veth",
    "sch_ingress",
    "cls_bpf",
    "act_mirred",
    "vxlan",
    "geneve",
    "ip_gre",
    "ip6_gre",
    "bridge",
    "8021q",
)
_OURS = ("ip", "tc", "bridge")
"""Programs of iproute2."""
DONE, FAILED = "ALL-WAS-RUN", "FAILED:"
_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in /modules/*.ko; do insmod $module; done
run() { "$@" || echo "FAILED: $*"; }
"""


def _modules() -> list[Entry]:
    """Those that the guest loads, each behind those that it needs."""
    unpacked = _unpacked()
    there = {
        path.name.partition(".")[0].replace("-", "_"): path for path in unpacked.glob("lib/modules/*/kernel/**/*.ko*")
    }
    ordered: dict[str, bytes] = {}

    def load(name: str) -> None:
        if name in ordered or name not in there:
            return
        data = image._decompressed(there[name])
        needs = re.search(rb"depends=([^\0]*)\0", data)
        for other in needs[1].decode().split(",") if needs else []:
            load(other.replace("-", "_"))
        ordered[name] = data

    for name in _MODULES:
        load(name)
    return [file(f"modules/{n:02}-{name}.ko", data) for n, (name, data) in enumerate(ordered.items())]


def _unpacked() -> Path:
    """The guests' kernel package, fetched once like that of a lab's guests."""
    folder = image.cache() / "guest-modules-1"
    if not folder.exists():
        with image._locked(image.cache()) as cache:
            if not folder.exists():
                partial = cache / "guest-modules-1.partial"
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
                command.run(["apt-get", "download", image._kernel_package()], cwd=partial, timeout=300.0)
                for package in partial.glob("*.deb"):
                    command.run(["dpkg-deb", "-x", str(package), str(partial)], timeout=120.0)
                    package.unlink()
                partial.rename(folder)
    return folder


def _programs() -> Iterator[Entry]:
    paths = {name: shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin") for name in _OURS}
    libraries: set[str] = set()
    for name, path in paths.items():
        assert path
        yield file(f"usr/sbin/{name}", Path(path).read_bytes(), 0o755)
        said = subprocess.run(["ldd", path], check=False, capture_output=True, text=True).stdout
        libraries |= set(re.findall(r"(/\S+) \(0x", said))
    yield from (file(path.strip("/"), Path(path).read_bytes(), 0o755) for path in sorted(libraries))


def _image(commands: Sequence[Sequence[str]]) -> bytes:
    # busybox's shell takes its own `ip` where it is not told which.
    full = [[f"/usr/sbin/{argv[0]}" if argv[0] in _OURS else argv[0], *argv[1:]] for argv in commands]
    lines = [_INIT, *(f"run {shlex.join(argv)}" for argv in full), f"echo {DONE}", "sleep 1000"]
    busybox = (image.cache() / "guest-1" / "busybox").read_bytes()
    return archive(
        [
            *(directory(name) for name in ("proc", "sys", "tmp", "run")),
            device("dev/console", 5, 1),
            file("init", "\n".join(lines).encode(), 0o755),
            file("bin/busybox", busybox, 0o755),
            *_programs(),
            *_modules(),
        ]
    )


@contextmanager
def guest(netns: str, tap: str, commands: Sequence[Sequence[str]]) -> Iterator[str]:
    """Boots behind a tap of `netns`, runs the commands; what it said until all were run."""
    image.ensure(lambda _: None)
    with short_folder() as folder:
        (folder / "initramfs").write_bytes(_image(commands))
        append = "console=ttyS0 quiet loglevel=3 panic=-1 nokaslr mitigations=off tsc=reliable random.trust_cpu=on"
        argv = [
            "qemu-system-x86_64", "-machine", "pc,usb=off", "-accel", "tcg,tb-size=64", "-cpu", "max", "-m", "256",
            "-kernel", str(image.kernel()), "-initrd", str(folder / "initramfs"), "-append", append, "-nodefaults",
            "-no-user-config", "-display", "none", "-no-reboot", "-serial", f"file:{folder / 'console'}",
            "-netdev", f"tap,id=n,ifname={tap},script=no,downscript=no,vnet_hdr=off",
            "-device", "virtio-net-pci,netdev=n,romfile=",
        ]  # fmt: skip
        with subprocess.Popen(["ip", "netns", "exec", netns, *argv], env=dict(os.environ)) as running:
            try:
                yield _said(folder / "console", running)
            finally:
                running.kill()


def _said(console: Path, running: subprocess.Popen) -> str:
    deadline = time.monotonic() + 240
    while not console.exists() or DONE not in console.read_text(errors="replace"):
        assert running.poll() is None, "QEMU ended"
        said = console.read_text(errors="replace")[-800:] if console.exists() else ""
        assert time.monotonic() < deadline, said
        time.sleep(0.1)
    return console.read_text(errors="replace")
