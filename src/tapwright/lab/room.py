"""The way into a libvirtd's own mounts: lays a lab's directories over the machine's and becomes libvirtd.

Run as ``ip netns exec NS python -m tapwright.lab.room FOLDER CACHE``; `ip` has given us mounts of
our own by then, so nobody else sees any of this and all of it ends with libvirtd and its guests.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tapwright.adapters import command
from tapwright.lab.libvirtd import CACHE, PLACES
from tapwright.lab.store import ROOT
from tapwright.lab.userns import bind, cover


def main() -> None:
    """Cover ``/run`` and libvirt's places, then become libvirtd."""
    folder, kept = map(Path, sys.argv[1:])
    cover(Path("/run"), keep=ROOT)
    Path("/run/openvswitch").mkdir()
    bind(folder, Path("/run/openvswitch"))
    bind(kept, CACHE)
    for name, place in PLACES.items():
        bind(folder / "libvirt" / name, place)
    pid_file = str(folder / "libvirtd.pid")
    command.become(["libvirtd", "-f", str(PLACES["etc"] / "libvirtd.conf"), "-p", pid_file], os.environ)


if __name__ == "__main__":
    main()
