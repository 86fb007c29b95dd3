"""Containers: what Docker or Podman calls the network namespaces of this host.

Asks the engine for names, ids and first processes, and the kernel for the interfaces in their
namespaces.  Containers that share a namespace (a pod) share its vNICs and so are one Vm here,
known by each of their names.  Changes nothing.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tapwright import _core
from tapwright.adapters.process import is_socket, netns_of
from tapwright.model import Capability, DeviceKey, Netns, Snapshot, Vm, VmKind, Vnic
from tapwright.providers.base import Onlooker
from tapwright.providers.several import ask_all

if TYPE_CHECKING:
    from tapwright.adapters.dockerapi import Container

_WITHOUT_OTHER_END = frozenset({"", "tun", "openvswitch"})
"""Link kinds that lead out of a namespace though they have no other end: a NIC moved in, a tap, an OVS port."""
_SHORT_ID = 12
"""Characters of an id that the engines show."""
_SHARED = "container:"
"""Network mode of a container that lives in the namespace of the one whose id follows."""
_POD = "io.kubernetes.pod.name"
_SPACE = "io.kubernetes.pod.namespace"


class Containers(Onlooker):
    """The container engines of this host that answer Docker's REST API."""

    name = "containers"

    def __init__(self, sockets: Sequence[str] = ()) -> None:
        """`sockets` are paths of the engines' sockets, and no others; empty looks in the usual places."""
        self._told = tuple(path.removeprefix("unix://") for path in sockets)

    def probe(self) -> Capability:
        """By the sockets alone: connecting may start an engine that waits for it."""
        present = self._sockets()
        if not present:
            return Capability.no(
                f"no container engine's socket at {' or '.join(self._told or usual_sockets())}",
                "for Podman: systemctl enable --now podman.socket; elsewhere: export TAPWRIGHT_DOCKER=/path/to/socket",
            )
        if any(os.access(path, os.W_OK) for path in present):
            return Capability.yes(f"engine at {', '.join(present)}")
        return Capability.unknown(
            f"{', '.join(present)}: permission denied", "run it with sudo, or join the group that owns the socket"
        )

    def snapshot(self) -> Snapshot:
        """All containers, in seconds at most even when an engine is stuck."""
        from tapwright.adapters import dockerapi

        engines, warnings = ask_all(self._sockets(), dockerapi.read)
        containers = list({c.id: c for engine in engines for c in engine}.values())
        spaces = {c.id: netns for c in containers if c.pid and (netns := netns_of(c.pid))}
        return describe(containers, spaces, _inside(spaces.values()), warnings)

    def _sockets(self) -> tuple[str, ...]:
        found: dict[str, str] = {}
        for path in self._told or usual_sockets():
            if is_socket(path):
                found.setdefault(os.path.realpath(path), path)
        return tuple(found.values())


def usual_sockets() -> tuple[str, ...]:
    """Where engines listen: those the environment names, the system's, the user's own."""
    named = (os.environ.get(name, "") for name in ("DOCKER_HOST", "CONTAINER_HOST"))
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    return (
        *(host.removeprefix("unix://") for host in named if host.startswith("unix://")),
        "/run/docker.sock",
        "/run/podman/podman.sock",
        *((f"{runtime}/docker.sock", f"{runtime}/podman/podman.sock") if runtime else ()),
    )


def _inside(spaces: Iterable[Netns]) -> dict[int, tuple[Vnic, ...]]:
    """The vNICs in each namespace, by inode; a namespace that is closed to us is left out."""
    foreign = list({space.inode: space for space in spaces if space.path}.values())
    scanned = _core.scan_links([space.path for space in foreign])
    return {found.inode: tuple(_vnics(found)) for found in scanned if found.error is None}


def _vnics(namespace: _core.Namespace) -> Iterator[Vnic]:
    """What leads out of a namespace: not its loopback, nor bridges of its own and what is plugged into them."""
    for link in namespace.links:
        if not link.loopback and not link.master and (link.elsewhere or link.kind in _WITHOUT_OTHER_END):
            yield Vnic(
                name=link.name,
                mac=link.mac,
                addresses=tuple(link.addresses),
                mtu=link.mtu,
                inner=DeviceKey(namespace.inode, link.index),
            )


def describe(
    containers: Sequence[Container],
    spaces: Mapping[str, Netns],
    inside: Mapping[int, tuple[Vnic, ...]],
    warnings: Sequence[str] = (),
) -> Snapshot:
    """Pure: `spaces` are the namespaces by container id, `inside` the vNICs by namespace inode.

    Either may lack what is hidden from us.
    """
    groups: defaultdict[int | str, list[Container]] = defaultdict(list)
    for container in containers:
        groups[_home(container, spaces.get(container.id))].append(container)
    vms = tuple(_vm(sorted(group, key=_is_guest), spaces, inside) for group in groups.values())
    netns = {space.inode: space for space in spaces.values()}
    return Snapshot("containers", netns=tuple(netns.values()), vms=vms, warnings=tuple(warnings))


def _home(container: Container, space: Netns | None) -> int | str:
    """Equal for containers that share a namespace: its inode, else the id of the one that owns it."""
    if space is not None and not _is_on_host(container, space):
        return space.inode
    return container.network_mode.removeprefix(_SHARED) if _is_guest(container) else container.id


def _is_guest(container: Container) -> bool:
    """Whether it lives in the namespace of another container, which then speaks for both."""
    return container.network_mode.startswith(_SHARED)


def _is_on_host(container: Container, space: Netns | None) -> bool:
    return container.network_mode == "host" or (space is not None and not space.path)


def _vm(group: Sequence[Container], spaces: Mapping[str, Netns], inside: Mapping[int, tuple[Vnic, ...]]) -> Vm:
    """The containers of one namespace, its owner first."""
    owner = group[0]
    pod = next((names for container in group if (names := _pod(container))), ())
    called = (*pod, *(text for c in group for text in (c.name, c.id, c.id[:_SHORT_ID])))
    name = next(text for text in (*pod, owner.name, owner.id) if text)
    return Vm(
        id=owner.id,
        name=name,
        kind=VmKind.CONTAINER,
        state=owner.state,
        aliases=tuple(text for text in dict.fromkeys(called) if text and text not in (name, owner.id)),
        vnics=_vnics_of(owner, spaces.get(owner.id), inside),
        pid=owner.pid,
        providers=("containers",),
    )


def _pod(container: Container) -> tuple[str, ...]:
    """``web-0`` and ``shop/web-0`` for a container of a Kubernetes pod."""
    labels = dict(container.labels)
    pod, space = labels.get(_POD, ""), labels.get(_SPACE, "")
    return tuple(text for text in (pod, f"{space}/{pod}" if space else "") if pod and text)


def _vnics_of(owner: Container, space: Netns | None, inside: Mapping[int, tuple[Vnic, ...]]) -> tuple[Vnic, ...]:
    """As the kernel shows them, else as the engine made them: without the names they have inside."""
    if _is_on_host(owner, space):
        return ()
    if space is not None and space.inode in inside:
        return inside[space.inode]
    return tuple(Vnic(a.network, a.mac, a.addresses) for a in owner.attachments if a.mac)
