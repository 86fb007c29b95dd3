"""A real libvirtd without systemd, in a mount namespace of its own, so that its fixed paths are private."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PRIVATE = """
set -e
mount -t tmpfs run /run
mkdir -p /run/libvirt /run/openvswitch /run/lock /var/lib/libvirt /var/cache/libvirt /var/log/libvirt
mount --bind "$1/etc" /etc/libvirt
for kind in lib cache log; do mount --bind "$1/$kind" /var/$kind/libvirt; done
[ -z "$2" ] || mount --bind "$2" /run/openvswitch
exec libvirtd -p "$1/libvirtd.pid" -f "$1/etc/libvirtd.conf"
"""

_DAEMON = """
unix_sock_dir = "{folder}/sock"
auth_unix_rw = "none"
auth_unix_ro = "none"
log_outputs = "2:file:{folder}/log/libvirtd.log"
"""

_QEMU = """
user = "root"
group = "root"
security_driver = "none"
stdio_handler = "file"
cgroup_controllers = []
namespaces = []
remember_owner = 0
"""


@dataclass(frozen=True)
class Libvirtd:
    folder: Path
    netns: str
    pid: int

    @property
    def uri(self) -> str:
        return f"qemu:///system?socket={self.folder}/sock/libvirt-sock"

    def virsh(self, *arguments: str, stdin: str = "") -> str:
        argv = ["virsh", "-q", "-c", self.uri, *arguments]
        done = subprocess.run(argv, input=stdin, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def define(self, xml: str) -> None:
        self.virsh("define", "/dev/stdin", stdin=xml)

    def create(self, xml: str) -> None:
        self.virsh("create", "/dev/stdin", stdin=xml)


@contextmanager
def libvirtd(folder: Path, netns: str, switch: Path | None = None) -> Iterator[Libvirtd]:
    """The daemon in the namespace, all its files in `folder` (a short path); `switch` is an OVS's folder."""
    for name in ("etc/qemu", "lib", "cache", "log", "sock"):
        (folder / name).mkdir(parents=True)
    (folder / "etc/libvirtd.conf").write_text(_DAEMON.format(folder=folder))
    (folder / "etc/qemu.conf").write_text(_QEMU)
    argv = ["ip", "netns", "exec", netns, "unshare", "-m", "--propagation", "private", "sh", "-c", _PRIVATE, "sh"]
    with (folder / "out").open("wb") as output:
        daemon = subprocess.Popen(
            [*argv, str(folder), str(switch or "")], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    libvirt = Libvirtd(folder, netns, daemon.pid)
    try:
        _wait(libvirt, daemon)
        yield libvirt
    finally:
        _end(libvirt, daemon)


def _wait(libvirt: Libvirtd, daemon: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while subprocess.run(["virsh", "-c", libvirt.uri, "version"], check=False, capture_output=True).returncode:
        assert daemon.poll() is None, (libvirt.folder / "out").read_text()
        assert time.monotonic() < deadline, (libvirt.folder / "log/libvirtd.log").read_text()
        time.sleep(0.05)


def _end(libvirt: Libvirtd, daemon: subprocess.Popen) -> None:
    if daemon.poll() is None:
        listed = subprocess.run(
            ["virsh", "-q", "-c", libvirt.uri, "list", "--uuid"],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        for uuid in listed.stdout.split():
            subprocess.run(["virsh", "-q", "-c", libvirt.uri, "destroy", uuid], check=False, capture_output=True)
        daemon.send_signal(signal.SIGTERM)
    daemon.wait(timeout=30)


def domain(name: str, uuid: str, *interfaces: str, extra: str = "", title: str = "") -> str:
    """A domain too small to boot anything: its firmware finds no disk and rests."""
    return f"""<domain type='qemu'>
      <name>{name}</name><uuid>{uuid}</uuid>{f"<title>{title}</title>" if title else ""}
      <memory unit='MiB'>16</memory><vcpu>1</vcpu>
      <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
      <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
        {"".join(interfaces)}{extra}<memballoon model='none'/></devices>
    </domain>"""
