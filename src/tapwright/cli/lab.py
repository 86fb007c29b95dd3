"""``tapwright lab``: a virtual data centre on this machine, to try things on."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

import click

from tapwright.adapters import command
from tapwright.cli.common import emit_json, is_terminal, json_option, warn
from tapwright.errors import NotFound, TapwrightError, UsageError
from tapwright.signals import STOPS, handled
from tapwright.text import printable

if TYPE_CHECKING:
    from tapwright.lab import Lab, Node
    from tapwright.lab.status import Status
    from tapwright.lab.store import Record

_EPILOG = """\b
Topologies:
  bridge     one server, a Linux bridge, three VMs
  ovs        one server, Open vSwitch, four VMs, a VLAN
  overlay    two servers, VXLAN, two tenants with the same addresses
  ovn        two servers of an OVN cloud, Geneve, a collector
  routed     two subnets behind one gateway
  nat        a NAT gateway and an outside network
  qemu       two real guests, on a bridge and on Open vSwitch

\b
Examples:
  tapwright lab up bridge --traffic
  tapwright lab exec s1 -- tapwright ls
  tapwright lab exec s1 -- tapwright capture web -d 5
  tapwright lab exec web -- ip address
  tapwright lab down bridge"""


def _complete_topology(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    from tapwright.lab import shipped

    return [name for name in shipped() if name.startswith(incomplete)]


def _complete_lab(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    return [one.name for one in _known() if one.name.startswith(incomplete)]


def _complete_node(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    nodes = (f"{one.name}/{node.name}" for one in _known() for node in one.nodes)
    return [node for node in nodes if node.startswith(incomplete)]


def _known() -> tuple[Status, ...]:
    """The labs there are; completion is silent where they may not be read."""
    from tapwright.lab import status
    from tapwright.lab.holder import Reach

    try:
        return status.labs() if Reach().possible else ()
    except TapwrightError:
        return ()


@click.group(epilog=_EPILOG)
def lab() -> None:
    """A virtual data centre on this machine, to try things on.

    Servers and VMs are network namespaces (or QEMU guests) with real switches between them.
    Nothing is put into the machine's own network, and `down` leaves it as it was.
    """


@lab.command(epilog="\b\nExamples:\n  tapwright lab up overlay\n  tapwright lab up ./mylab.toml --name lab2 --traffic")
@click.argument("topology", shell_complete=_complete_topology)
@click.option("--name", help="Name of the lab; by default the topology's.")
@click.option("--traffic", is_flag=True, help="Let the VMs talk to each other.")
@click.option("--hypervisor", type=click.Choice(["auto", "libvirt", "qemu"]), help="Who starts QEMU guests.")
@json_option
def up(topology: str, name: str | None, traffic: bool, hypervisor: Any, as_json: bool) -> None:
    """Start a lab.

    TOPOLOGY is the name of a shipped one, or the path of a TOML file of your own.
    """
    from tapwright.lab import Lab, build, load, plan
    from tapwright.lab.holder import Reach

    report = _progress if is_terminal(err=True) and not as_json else _quiet
    loaded = load(topology)
    wanted = plan(loaded, loaded.name)
    build.require(wanted)
    build.fetch(wanted, report)  # here, since an ordinary user's namespaces have no way to the network
    reach = Reach(alone=True, make=True)
    try:
        with handled(_terminated, (signal.SIGTERM, signal.SIGHUP)):
            made = Lab.up(loaded, name or loaded.name, traffic=traffic, hypervisor=hypervisor, report=report)
            _show_up(made, as_json, traffic)
            signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # until here a stop means: no lab
    except (KeyboardInterrupt, SystemExit):
        _undo_or_say()
        raise
    finally:
        reach.leave()


@lab.command(epilog="\b\nExamples:\n  tapwright lab down bridge\n  tapwright lab down --all")
@click.argument("name", required=False, shell_complete=_complete_lab)
@click.option("--all", "every", is_flag=True, help="Every lab on record, broken ones too.")
@json_option
def down(name: str | None, every: bool, as_json: bool) -> None:
    """Take a lab down, in whatever state it is.

    Without NAME: the only lab there is.
    """
    from tapwright.lab import lab as labs
    from tapwright.lab import store
    from tapwright.lab.holder import Reach

    reach = Reach(alone=True)
    try:
        chosen = _chosen(name, every, store.names() if reach.possible else ())
        for one in chosen:
            labs.down(one)
            if not as_json:
                click.echo(f"lab {one} is down")
        labs.tidy()
    finally:
        reach.leave()
    if as_json:
        emit_json({"down": chosen})


@lab.command(epilog="\b\nExamples:\n  tapwright lab ls\n  tapwright lab ls --json | jq '.[].name'")
@json_option
def ls(as_json: bool) -> None:
    """The labs of this machine, their nodes and state."""
    from tapwright.lab import status
    from tapwright.lab.holder import Reach

    labs = status.labs() if Reach().possible else ()
    if as_json:
        emit_json([_as_data(one) for one in labs])
        return
    for one in labs:
        _show(one)
    if not labs and is_terminal():
        click.echo("no lab; start one with: tapwright lab up bridge")


@lab.command(
    name="exec",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="\b\nExamples:\n  tapwright lab exec web -- ip address\n  tapwright lab exec overlay/s1 -- tapwright ls",
)
@click.argument("node", shell_complete=_complete_node)
@click.argument("argv", metavar="[--] CMD...", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(node: str, argv: tuple[str, ...]) -> None:
    """Run a program in a node.

    NODE is a name like web, or LAB/web when several labs have one.  The exit status is CMD's.
    On a server, tapwright and the switch's own tools find the server's daemons and nothing else.
    """
    from tapwright.lab.holder import Reach
    from tapwright.lab.lab import resolve

    words = argv[1:] if argv[0] == "--" else argv
    if not Reach().possible:
        raise NotFound("no lab is up", "start one with: tapwright lab up bridge")
    where, target = resolve(node)
    if target.netns:
        command.become(where.argv(target, words), where.process_environment(target))
    _in_guest(where, target, words)


def _in_guest(where: Lab, guest: Node, argv: tuple[str, ...]) -> NoReturn:
    with where.converse(guest, argv, None) as said:
        for output in said:
            os.write(sys.stdout.fileno(), output)
    sys.exit(said.code)


def _chosen(name: str | None, every: bool, names: tuple[str, ...]) -> tuple[str, ...]:
    """Taking down what is not there is no error, so that `down` can be repeated."""
    if name is None and not every and len(names) > 1:
        raise UsageError("which lab?", f"labs: {', '.join(names)}; or --all")
    chosen = names if name is None else tuple(one for one in names if one == name)
    if not chosen:
        warn(f"{f'no lab is named {name!r}' if name else 'no lab is up'}: nothing to do")
    return chosen


def _progress(text: str) -> None:
    click.echo(f"  {text}", err=True)


def _quiet(text: str) -> None:
    """Nobody is looking."""


def _terminated(number: int, _: object) -> NoReturn:
    """SIGTERM unwinds like Ctrl-C, so that a half-made lab is undone."""
    raise SystemExit(128 + number)


def _undo_or_say() -> None:
    """After an interrupted `up`: nothing is left, unless the undoing was interrupted as well; then say what is.

    `Lab.up` undoes a lab that is not ready yet; one that is ready, and not shown, is undone here.
    """
    from tapwright.lab import lab as labs

    try:
        for record in _of_this_process():
            if record.state == "up":
                labs.down(record.lab)
    finally:
        left = [record.lab for record in _of_this_process()]
        way_out = f"stopped half-way; clear it with: tapwright lab down {left[0]}" if left else ""
        warn(way_out or "stopped; everything was undone")


def _of_this_process() -> list[Record]:
    from tapwright.lab import store

    with suppress(NotFound):  # somebody else's `down` came between
        return [record for name in store.names() if (record := store.read(name)) and record.pid == os.getpid()]
    return []


def _show_up(made: Lab, as_json: bool, traffic: bool) -> None:
    from tapwright.lab.status import status

    if as_json:
        emit_json(_as_data(status(made.name)))
    elif not is_terminal():
        click.echo(made.name)
    else:
        _show(status(made.name))
        click.echo(f"try: {_something_to_try(made)}")
        if not traffic:
            click.echo("     (nobody talks in it yet: for packets to capture, take it down and `up` it with --traffic)")
        click.echo(f"end: tapwright lab down {made.name}")


def _something_to_try(made: Lab) -> str:
    vm = next((machine for machine in made.plan.machines if machine.server), None)
    if vm is None:
        return "tapwright lab ls"
    return f"tapwright lab exec {made.name}/{vm.server} -- tapwright capture {vm.name} -d 5"


def _show(one: Status) -> None:
    click.echo(f"{one.name}: {one.state} ({one.topology or 'unknown topology'})")
    for fault in one.faults:
        click.echo(f"  {printable(fault)}; clear it with: tapwright lab down {one.name}")
    for node in one.nodes:
        places = ", ".join(f"{nic.name} on {nic.host}/{nic.switch} ({nic.device})" for nic in node.nics)
        click.echo(f"  {node.name:16} {node.kind:8} {' '.join(node.addresses):28} {places}".rstrip())


def _as_data(one: Status) -> dict[str, object]:
    nodes = [
        {
            "name": node.name,
            "kind": node.kind,
            "netns": node.netns,
            "server": node.server,
            "id": node.id,
            "nics": node.nics,
        }
        for node in one.nodes
    ]
    return {
        "name": one.name,
        "state": one.state,
        "topology": one.topology,
        "created": one.created,
        "faults": one.faults,
        "nodes": nodes,
    }
