"""A lab that is up: its nodes, and running programs in them."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

from tapwright.adapters import command
from tapwright.errors import Ambiguous, NotFound, ProviderError, UsageError
from tapwright.lab import agent, build, image, libvirtd, openvswitch, ovn, processes, store
from tapwright.lab.plan import Node, NodeKind, Plan, plan
from tapwright.lab.topology import Name, Topology, load
from tapwright.signals import STOPS


def _silent(text: str) -> None:
    """The report of a lab that nobody watches."""


@contextmanager
def _stops_held() -> Iterator[Callable[[], None]]:
    """Stop signals wait until the yielded function is called: by then there is somebody to undo what was begun."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    try:
        yield release
    finally:
        release()


class Lab:
    """A virtual data centre on this machine; as a context manager it is taken down at the end.

    with Lab.up("bridge") as lab:
        lab.exec("web", ["ping", "-c", "1", "10.0.0.12"])
    """

    def __init__(self, record: store.Record) -> None:
        self._record = record
        self._children: list[subprocess.Popen[bytes]] = []
        self.name = record.lab
        self.plan: Plan = record.plan

    @classmethod
    def up(
        cls,
        source: str | Path | Topology,
        name: str | None = None,
        *,
        traffic: bool = False,
        hypervisor: Literal["auto", "libvirt", "qemu"] | None = None,
        report: build.Report = _silent,
    ) -> Self:
        """Make a lab from a shipped topology, a lab file or a `Topology`.

        Without `name` it gets the topology's, with ``-2``, ``-3``... behind it where that is taken.
        `traffic` starts the talks of the topology, `hypervisor` overrides who starts QEMU guests,
        `report` is told what is being made.  When anything fails, what was made is undone first.
        Raises NotFound, UsageError, MissingDependency, PrivilegeError, ProviderError.
        """
        topology = _with_hypervisor(source if isinstance(source, Topology) else load(source), hypervisor)
        candidates = _candidates(topology.name) if name is None else iter([_checked(name)])
        wanted = plan(topology, name or topology.name)
        build.require(wanted)
        build.fetch(wanted, report)
        with _stops_held() as release, store.claim(topology, candidates) as record:
            try:
                release()
                build.build(record, report, traffic=traffic)
                return cls(store.finish(record, build.daemons(record.plan)))
            except BaseException:
                build.undo(record.lab)
                tidy()
                raise

    @classmethod
    def open(cls, name: str) -> Self:
        """A lab that is on record.  Raises NotFound, ProviderError when it is broken."""
        record = store.read(name)
        if record is None:
            raise ProviderError(f"lab {name} is broken", f"clear it with: tapwright lab down {name}")
        return cls(record)

    def down(self) -> None:
        """Undo everything; a lab that is down already stays so."""
        down(self.name)
        for child in self._children:
            child.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Every node: fabrics, servers, VMs, machines."""
        return self.plan.nodes

    def node(self, name: str) -> Node:
        """The node of that name.  Raises NotFound naming the ones there are."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise NotFound(f"lab {self.name} has no node named {name!r}", f"nodes: {', '.join(n.name for n in self.nodes)}")

    def folder(self, server: str) -> Path:
        """The private directory of a server: sockets, logs."""
        return store.folder(self.name) / self.node(server).name

    def environment(self, *servers: str) -> dict[str, str]:
        """The variables with which tools, tapwright too, see these servers and their VMs and nothing else.

        Without a name: every server of the lab.
        """
        chosen = [self.node(name) for name in servers] or list(self.plan.servers)
        names = {node.name for node in chosen}
        folders = [store.folder(self.name) / node.name for node in chosen]
        spaces = [n.netns for n in self.nodes if n.netns and (n.name in names or n.server in names)]
        libvirt = libvirtd.uri(folders[0])
        central = self.plan.ovn_central
        databases = store.folder(self.name) / central.name if central else folders[0]
        return {
            **openvswitch.variables(folders[0]),
            **ovn.variables(folders[0], databases),
            "TAPWRIGHT_OVSDB": ",".join(f"unix:{folder}/db.sock" for folder in folders),
            "TAPWRIGHT_NETNS": ",".join(spaces),
            "TAPWRIGHT_OVN_NB": ovn.northbound(databases),
            "TAPWRIGHT_DOCKER": str(folders[0] / "docker.sock"),
            "TAPWRIGHT_LIBVIRT_URI": libvirt,
            "LIBVIRT_DEFAULT_URI": libvirt,
        }

    def exec(
        self, node: str, argv: Sequence[str], *, stdin: str = "", timeout: float = 30.0, check: bool = True
    ) -> command.Result:
        """Run a program in a node to its end; on a server it finds the server's daemons.

        `timeout` is in seconds.  In a QEMU guest both outputs come as stdout, and there is no
        stdin.  Raises NotFound, MissingDependency, and ProviderError when it fails (unless
        `check` is False) or takes too long.
        """
        target = self.node(node)
        if not target.netns:
            return self._exec_guest(target, argv, timeout, check)
        words, env = self.argv(target, argv), self.process_environment(target)
        return command.run(words, stdin=stdin, timeout=timeout, env=env, check=check)

    def start(self, node: str, argv: Sequence[str], *, log: str | Path = os.devnull) -> subprocess.Popen[bytes]:
        """Start a program that stays in a node (not in a guest); it ends with the lab at the latest."""
        target = self.node(node)
        child = command.start(self.argv(target, argv), log=Path(log), env=self.process_environment(target))
        self._children.append(child)
        return child

    def argv(self, node: Node, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` inside the node.  Raises UsageError for a QEMU guest."""
        if not node.netns:
            raise UsageError(f"{node.name} is a QEMU guest: nothing of this machine runs in it")
        return ["ip", "netns", "exec", node.netns, *argv]

    def converse(
        self, guest: Node, argv: Sequence[str], timeout: float | None
    ) -> AbstractContextManager[agent.Conversation]:
        """A command in a QEMU guest whose output comes while it runs."""
        return agent.converse(store.folder(self.name) / guest.server / f"{guest.name}.exec", argv, timeout)

    def process_environment(self, node: Node) -> dict[str, str]:
        """The whole environment of a program that runs in the node."""
        base = processes.environment(self._record.token)
        base["PATH"] += f":{Path(sys.executable).parent}"
        daemons = node.kind is NodeKind.SERVER or node == self.plan.ovn_central
        return {**base, **self.environment(node.name)} if daemons else base

    def _exec_guest(self, guest: Node, argv: Sequence[str], timeout: float, check: bool) -> command.Result:
        with self.converse(guest, argv, timeout) as said:
            output = b"".join(said).decode(errors="replace")
        if check and said.code:
            raise ProviderError(f"{argv[0]} failed in guest {guest.name}: {output.strip() or said.code}")
        return command.Result(tuple(argv), said.code, output, "")


def resolve(text: str) -> tuple[Lab, Node]:
    """The node that ``NODE`` or ``LAB/NODE`` means among all labs.  Raises NotFound, Ambiguous."""
    lab, _, name = text.rpartition("/")
    records = [record for known in ([lab] if lab else store.names()) if (record := store.read(known))]
    found = [(Lab(record), node) for record in records for node in record.plan.nodes if node.name == name]
    if not found:
        nodes = ", ".join(f"{record.lab}/{node.name}" for record in records for node in record.plan.nodes)
        raise NotFound(f"no lab has a node named {text!r}", f"nodes: {nodes}" if nodes else "no lab is up")
    if len(found) > 1:
        candidates = tuple(f"{one.name}/{node.name}" for one, node in found)
        raise Ambiguous(f"{name} is in {len(found)} labs", candidates, f"say which: {', '.join(candidates)}")
    return found[0]


def down(name: str) -> None:
    """Undo a lab, whatever state it is in; one that is not there is fine.  Raises ProviderError, PrivilegeError."""
    if name in store.names():
        with suppress(NotFound), store.locked(name):  # NotFound: somebody else's `down` was faster
            build.undo(name)
    tidy()


def tidy() -> None:
    """Remove what an `up` leaves that was killed before its lab was on record, or while it fetched something."""
    store.tidy()
    image.tidy()


def _with_hypervisor(topology: Topology, hypervisor: Literal["auto", "libvirt", "qemu"] | None) -> Topology:
    if hypervisor is None:
        return topology
    servers = {n: msgspec.structs.replace(s, hypervisor=hypervisor) for n, s in topology.servers.items()}
    return msgspec.structs.replace(topology, servers=servers)


def _candidates(name: str) -> Iterator[str]:
    return itertools.chain([_checked(name)], (_checked(f"{name}-{number}") for number in range(2, 1000)))


def _checked(name: str) -> str:
    try:
        return msgspec.convert(name, Name)
    except msgspec.ValidationError:
        rule = "lower-case letters, digits and dashes, at most 24, not starting with a dash"
        raise UsageError(f"{name!r} cannot be the name of a lab", rule) from None
