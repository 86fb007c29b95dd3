"""Recordings: what real daemons answered, and the snapshot that the pure half of a provider makes of it."""

from pathlib import Path
from typing import Any

import msgspec

from tapwright.adapters import dockerapi, ovnnb, ovsdb
from tapwright.adapters.libvirtd import Inventory
from tapwright.adapters.ovsdb_rows import decode
from tapwright.model import DeviceKey, Netns, Snapshot, Vnic
from tapwright.providers import containers, libvirt, ovn_model, ovs_model

FOLDER = Path(__file__).parent.parent / "recorded"
_HOME = Netns(4026532000, "/proc/4711/ns/net")
"""Stands for the namespace of the recorded switch: an inode is not the same twice."""
_ETH0 = Vnic("eth0", "02:00:00:00:00:01", ("10.88.0.2/16",), 1500, inner=DeviceKey(1, 2))


def ovs(answer: Any) -> Snapshot:
    """From the reply to the one transaction."""
    return ovs_model.describe([ovsdb.Database("unix:db.sock", _HOME, decode(msgspec.json.encode(answer)))])


def ovn(answer: Any) -> Snapshot:
    """From the results of the one transaction with the northbound database."""
    return ovn_model.describe(ovnnb.cloud(answer))


def libvirts(answer: Any) -> Snapshot:
    """From an inventory: domains with their XML, leases, what guest agents said."""
    return libvirt.describe([msgspec.convert(answer, Inventory)])


def engines(answer: Any) -> Snapshot:
    """From each container's answer; the namespace of the first that runs is open to us, the others' are closed."""
    found = [dockerapi.decode(msgspec.json.encode(container)) for container in answer]
    own = [c for c in found if c.pid and c.network_mode != "host" and not c.network_mode.startswith("container:")]
    inodes = {c.id: number for number, c in enumerate(own, start=1)}
    spaces = {c.id: Netns(_inode(c.network_mode, c.id, inodes), f"/proc/{c.pid}/ns/net") for c in found if c.pid}
    return containers.describe(found, spaces, {1: (_ETH0,)})


def _inode(mode: str, container: str, inodes: dict[str, int]) -> int:
    owner = mode.partition(":")[2] if mode.startswith("container:") else container
    return inodes.get(owner, 0)


REPLAYS = {"ovs": ovs, "ovn": ovn, "libvirt": libvirts, "containers": engines}


def load(name: str) -> dict[str, Any]:
    """The recording: what was ``answered`` and the snapshot ``expected`` of it."""
    return msgspec.json.decode((FOLDER / f"{name}.json").read_bytes())


def save(name: str, answer: Any) -> None:
    recording = {"answered": answer, "expected": plain(REPLAYS[name](answer))}
    text = msgspec.json.format(msgspec.json.encode(recording), indent=1)
    (FOLDER / f"{name}.json").write_bytes(text + b"\n")


def plain(snapshot: Snapshot) -> Any:
    """As it comes back from JSON."""
    return msgspec.json.decode(msgspec.json.encode(snapshot))
