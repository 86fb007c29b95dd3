"""A real Podman with runc: its API service in a network and mount namespace of its own, its files in one folder."""

import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

IMAGE = "localhost/busybox:test"

_PRIVATE = """
set -e
mount -t tmpfs run /run
mkdir -p /run/netns /run/lock
[ ! -d /var/lib/containers ] || mount -t tmpfs cache /var/lib/containers
exec podman --runtime runc --cgroup-manager cgroupfs --events-backend file \
    --root "$1/root" --runroot "$1/runroot" --tmpdir "$1/tmp" --network-config-dir "$1/net" \
    system service -t 0 "unix://$1/podman.sock"
"""


@dataclass(frozen=True)
class Podman:
    folder: Path
    netns: str

    @property
    def socket(self) -> str:
        return f"{self.folder}/podman.sock"

    def __call__(self, *arguments: str) -> str:
        argv = ["podman", "--remote", "--url", f"unix://{self.socket}", *arguments]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"podman {' '.join(arguments)}: {done.stderr}"
        return done.stdout.strip()

    def run(self, name: str, *options: str) -> str:
        """Start a container that sleeps; its id."""
        # Without CAP_SYS_RESOURCE limits cannot be raised to Podman's own.
        limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")
        return self("run", "-d", "--name", name, *limits, *options, IMAGE)


@contextmanager
def podman(folder: Path, netns: str) -> Iterator[Podman]:
    """The service with an image in it that needs no registry: busybox, sleeping."""
    # Not `ip netns exec`: that puts a new /sys in place, which has no cgroups in it.
    argv = ["nsenter", f"--net=/run/netns/{netns}", "unshare", "-m", "--propagation", "private", "sh", "-c", _PRIVATE]
    with (folder / "out").open("wb") as output:
        service = subprocess.Popen(
            [*argv, "sh", str(folder)], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    engine = Podman(folder, netns)
    try:
        _wait(engine, service)
        _image(engine)
        yield engine
    finally:
        _end(engine, service)


def _wait(engine: Podman, service: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while not Path(engine.socket).exists():
        assert service.poll() is None, (engine.folder / "out").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _image(engine: Podman) -> None:
    rootfs = engine.folder / "rootfs"
    for name in ("bin", "dev", "etc", "proc", "run", "sys", "tmp", "var"):
        (rootfs / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", rootfs / "bin/busybox")
    (rootfs / "bin/sleep").symlink_to("busybox")
    (rootfs / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    archive = engine.folder / "rootfs.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(rootfs, arcname=".")
    engine("import", "--change", 'CMD ["/bin/sleep","100000"]', str(archive), IMAGE)


def _end(engine: Podman, service: subprocess.Popen) -> None:
    try:
        if service.poll() is None and Path(engine.socket).exists():
            for container in reversed(engine("ps", "-a", "-q", "--sort", "created").split()):
                engine("rm", "-f", "-t", "0", container)
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait(timeout=20)
