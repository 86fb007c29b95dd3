"""``tapwright mirror``: copies of a VM's packets to somebody else, for as long as this runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from tapwright.cli.common import (
    complete_switch,
    complete_vm,
    emit_json,
    interruptible,
    is_terminal,
    json_option,
    show_warnings,
    warn,
)
from tapwright.cli.governor import governor_options, policy_of
from tapwright.cli.parameters import DURATION, Parsed
from tapwright.errors import CaptureError, UsageError
from tapwright.plan.mirrors import Direction, parse
from tapwright.text import printable
from tapwright.units import format_duration

if TYPE_CHECKING:
    from tapwright.capture.governor import Decision
    from tapwright.control.delivery import Delivery
    from tapwright.control.mirror import Chosen, Mirroring, Prepared, Reading, Wish
    from tapwright.control.sessions import Opened

_EPILOG = """\b
TARGET is where the copies go:
  nic:DEV                              a NIC or device of this host, for an external sniffer
  vm:COLLECTOR/NIC                     a collector VM's vNIC
  rspan:VLAN                           a VLAN of the switch (Open vSwitch)
  erspan2://ADDRESS?session=7&index=3  erspan3://ADDRESS?session=7  gre://ADDRESS?key=7
  vxlan://ADDRESS?vni=7                geneve://ADDRESS?vni=7
\b
Examples:
  tapwright mirror web-1 --to nic:eth3
  tapwright mirror web-1 db-3 --to vm:sniffer/eth1 --for 10m
  tapwright mirror web-1 --to 'erspan2://192.0.2.9?session=7' --direction out
  tapwright mirror web-1 --to 'vxlan://192.0.2.9?vni=7' -f 'tcp port 443'
  tapwright mirror web-1 --to rspan:999 --dry-run
  tapwright mirror --switch br0 --vlan 10 --vlan 20 --to nic:eth3

It lasts as long as this runs. Ctrl-C undoes it; so does `tapwright stop`, and if this
is killed, any tapwright once the lease is over (docs/mirrors.md)."""

_TARGET = Parsed("target", parse)
_SHORTEST, _LONGEST = 14, 65535


@click.command(epilog=_EPILOG)
@click.argument("vms", metavar="[VM]...", nargs=-1, shell_complete=complete_vm)
@click.option("--switch", default="", metavar="SWITCH", shell_complete=complete_switch,
              help="In place of VMs: each frame of the VLANs of that switch, once.")  # fmt: skip
@click.option("--to", "target", type=_TARGET, required=True, metavar="TARGET", help="Where the copies go.")
@click.option("-f", "--filter", "text", default="", metavar="FILTER",
              help="Copy only what matches: a pcap filter, also with `vm NAME`.")  # fmt: skip
@click.option("--direction", type=click.Choice([str(way) for way in Direction]), default=str(Direction.BOTH),
              show_default=True, help="What comes to the VM, what it sends, or both.")  # fmt: skip
@click.option("-s", "--snaplen", type=click.IntRange(_SHORTEST, _LONGEST), default=None, metavar="BYTES",
              help="Copy at most so many bytes of a frame; default: all.")  # fmt: skip
@click.option("--vlan", "vlans", type=click.IntRange(0, 4094), multiple=True, metavar="VLAN",
              help="Copy only frames of that VLAN, of a switch or an Open vSwitch port; again for more.")  # fmt: skip
@click.option("-d", "--duration", "--for", "seconds", type=DURATION, default=None, metavar="DURATION",
              help="End after so long (90s, 5m).")  # fmt: skip
@click.option("--lease", type=DURATION, default="60s", show_default=True, metavar="DURATION",
              help="How long it may outlive this process before others undo it; renewed while this runs.")  # fmt: skip
@click.option("--by", default="", metavar="PROVIDER", help="Only by this provider: linux, ovs, ovn; default: the best.")
@governor_options
@click.option("--dry-run", is_flag=True, help="Show what would be changed, and change nothing.")
@json_option
def mirror(dry_run: bool, as_json: bool, **options: Any) -> None:
    """Copy the packets of VM... (names, ids, VM/nic or patterns) to TARGET, until Ctrl-C."""
    from tapwright.control.mirror import opened, prepare
    from tapwright.control.sessions import sweep_first

    _check(options)
    wish = _wish(options)
    if not dry_run:
        show_warnings(sweep_first())
    prepared = interruptible(lambda: prepare(wish))
    for text in prepared.left_out:
        warn(text)
    _forewarn(prepared)
    if dry_run:
        _show_plan(prepared, as_json=as_json)
        return
    with opened(prepared) as mirroring:
        _announce(mirroring, as_json=as_json)
        last = _follow(mirroring, as_json=as_json)
    _finish(mirroring, last, as_json=as_json)
    if decisions := _decisions(mirroring):
        failed = mirroring.governed.failed if mirroring.governed else ""
        told = f"{decisions[-1].text}{f'; that failed: {failed}' if failed else ''}"
        raise CaptureError(told, "copy less with -f or -s, or allow more: --governor KEY=VALUE or off")


def _decisions(mirroring: Mirroring) -> tuple[Decision, ...]:
    return mirroring.governor.decisions if mirroring.governor else ()


def _check(options: dict[str, Any]) -> None:
    """What click does not know.  Raises UsageError."""
    vms, switch = options["vms"], options["switch"]
    if vms and switch:
        raise UsageError(f"{vms[0]} or switch {switch}?", "name VMs, or a switch and its VLANs")
    if not vms and not switch:
        raise UsageError("which VM's packets?", "tapwright ls shows the VMs; or --switch SWITCH --vlan VLAN")
    if switch and not options["vlans"]:
        raise UsageError(f"which frames of switch {switch}?", "name the VLANs: --vlan 10; 0 is what has no tag")


def _wish(options: dict[str, Any]) -> Wish:
    from tapwright.control.mirror import Wish

    return Wish(
        vms=options["vms"],
        target=options["target"],
        switch=options["switch"],
        filter=options["text"],
        direction=Direction(options["direction"]),
        snaplen=options["snaplen"] or 0,
        vlans=options["vlans"],
        seconds=options["seconds"] or 0,
        lease=options["lease"],
        by=options["by"],
        governor=policy_of(options["governor"]),
    )


def _forewarn(prepared: Prepared) -> None:
    """What will not arrive whole, each sentence once, with what to do about it."""
    names: dict[tuple[str, str], list[str]] = {}
    for chosen in prepared.chosen:
        for verdict in chosen.preflight.warnings:
            names.setdefault((verdict.text, verdict.advice), []).append(chosen.name)
    for (text, advice), whose in names.items():
        shown = ", ".join(whose[:4]) + (f" and {len(whose) - 4} more" if len(whose) > 4 else "")
        warn(f"{shown}: {text}")
        click.echo(printable(f"  -> {advice}"), err=True)


def _show_plan(prepared: Prepared, *, as_json: bool) -> None:
    from tapwright.control.sessions import steps_of

    if as_json:
        opened = prepared.planned()
        levels = list(map(str, prepared.levels(opened)))
        emit_json({**_plan(prepared), "levels": levels, "steps": steps_of(opened)})
        return
    for line in _plan_lines(prepared):
        click.echo(printable(line))


def _plan_lines(prepared: Prepared) -> Iterator[str]:
    from tapwright.control.sessions import steps_of

    for chosen in prepared.chosen:
        yield f"{chosen.name}: mirrored by {chosen.mirror.point.provider} to {prepared.wish.target.text}"
        yield f"    why   {chosen.reason}"
        for point, why in chosen.refused:
            yield f"    not   {point.id}: {why}"
        for verdict in chosen.preflight.verdicts:
            yield f"    {verdict.answer:<5} {verdict.text}"
    opened = prepared.planned()
    if prepared.wish.governor:
        levels = (level.described(cuts=False) for level in prepared.levels(opened))
        yield f"To spare the host it steps down: {', '.join(levels)}"
    yield ""
    yield "Changes on this host while it lasts:"
    for step in steps_of(opened):
        yield f"    {step.do.provider}: {step.why}"


def _plan(prepared: Prepared) -> dict[str, Any]:
    """The schema of ``mirror --dry-run --json``."""
    return {
        "what": prepared.wish.what,
        "target": prepared.wish.target.text,
        "mirrors": [_chosen(chosen) for chosen in prepared.chosen],
        "left_out": prepared.left_out,
    }


def _chosen(chosen: Chosen) -> dict[str, Any]:
    point = chosen.mirror.point
    return {
        "name": chosen.name,
        "vm": chosen.vm.name if chosen.vm else "",
        "vm_id": chosen.vm.id if chosen.vm else "",
        "vnic": chosen.vnic.name if chosen.vnic else "",
        "by": point.provider,
        "point": point.id,
        "port": point.port,
        "direction": chosen.mirror.direction,
        "reason": chosen.reason,
        "preflight": chosen.preflight.verdicts,
        "refused": [{"point": refused.id, "reason": why} for refused, why in chosen.refused],
    }


def _announce(mirroring: Mirroring, *, as_json: bool) -> None:
    """That it is open, and how to end it: for a log too."""
    session, prepared = mirroring.running.session, mirroring.prepared
    if as_json:
        steps = [entry.step for entry in session.entries]
        emit_json({"event": "open", "session": session.id, **_plan(prepared), "steps": steps})
        return
    if is_terminal():  # the live table says it
        return
    names = [chosen.name for chosen in prepared.chosen]
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    warn(f"session {session.id}: {shown} copied to {prepared.wish.target.text}; Ctrl-C ends it")


class _News:
    """The governor's steps that were not told yet."""

    def __init__(self, mirroring: Mirroring) -> None:
        self._mirroring = mirroring
        self._told = 0

    def __call__(self) -> tuple[Decision, ...]:
        new = _decisions(self._mirroring)[self._told :]
        self._told += len(new)
        return new


def _follow(mirroring: Mirroring, *, as_json: bool) -> Reading:
    """Show what is copied until the end; the last reading."""
    if as_json or not is_terminal():
        return _log(mirroring, as_json=as_json)
    from rich.console import Console
    from rich.live import Live

    from tapwright.cli.mirror_table import Pace, picture

    console, pace, news = Console(), Pace(), _News(mirroring)
    newest: Reading | None = None
    with Live(console=console, auto_refresh=False, vertical_overflow="crop", transient=True) as live:
        for reading in mirroring.readings():
            for decision in news():
                live.console.print(printable(f"tapwright: {decision.text}"), markup=False, highlight=False)
            live.update(picture(mirroring.prepared, reading, pace, console.height - 1), refresh=True)
            newest = reading
    assert newest is not None
    return newest


def _log(mirroring: Mirroring, *, as_json: bool) -> Reading:
    """Say when it turns out, or changes, whether a mirror delivers; the last reading."""
    from tapwright.cli.mirror_table import told
    from tapwright.tap.delivery import Outcome

    said: dict[Opened, Outcome] = {}
    news = _News(mirroring)
    for reading in mirroring.readings():
        for decision in news():
            if as_json:
                emit_json({"event": "governor", "to": str(decision.after), "text": decision.text})
            else:
                warn(decision.text)
        for delivery in reading.deliveries:
            outcome = delivery.verdict.outcome
            if outcome is said.get(delivery.opened, Outcome.UNKNOWN):
                continue
            said[delivery.opened] = outcome
            if as_json:
                emit_json({"event": "delivery", **_delivery(mirroring.prepared, delivery)})
            else:
                warn(told(mirroring.prepared, delivery))
    return reading


def _delivery(prepared: Prepared, delivery: Delivery) -> dict[str, Any]:
    """The schema of one mirror's delivery."""
    from tapwright.cli.mirror_table import name_of

    verdict = delivery.verdict
    return {
        "vnic": name_of(prepared, delivery.opened.mirror),
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "revalidated": delivery.revalidated,
    }


def _finish(mirroring: Mirroring, last: Reading, *, as_json: bool) -> None:
    """The summary; everything is undone by now but what somebody else changed."""
    from tapwright.cli.mirror_table import summary, told

    session = mirroring.running.session
    kept = tuple(f"{entry.step.undo.provider}: {entry.error}" for entry in session.kept)
    if as_json:
        emit_json(_summary(mirroring, last, kept))
    else:
        length = format_duration(last.seconds)
        end = "undone but for what is named below" if kept else "undone"
        click.echo(f"session {session.id}: {printable(session.what)}, {length}, {end}")
        for line in summary(mirroring.prepared, last):
            click.echo(printable(line))
        for delivery in last.deliveries:
            click.echo(printable(told(mirroring.prepared, delivery)))
    for text in kept:
        warn(f"left as it is, because somebody changed it: {text}")


def _summary(mirroring: Mirroring, last: Reading, kept: tuple[str, ...]) -> dict[str, Any]:
    """The schema of the last line of ``mirror --json``."""
    from tapwright.cli.mirror_table import counted

    rows = counted(mirroring.prepared, last)
    return {
        "event": "closed",
        "session": mirroring.running.session.id,
        "seconds": round(last.seconds, 3),
        "delivery": [_delivery(mirroring.prepared, delivery) for delivery in last.deliveries],
        "copied": [{"vnic": name, "direction": way, "frames": copied} for name, way, copied in rows],
        "kept": kept,
        "governor": [decision.text for decision in _decisions(mirroring)],
    }
