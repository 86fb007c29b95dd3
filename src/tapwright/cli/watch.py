"""``tapwright watch``: live statistics of every vNIC, for people, for programs and for Prometheus."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import click

from tapwright.cli.common import complete_vm, emit_json, is_terminal, json_option, show_warnings
from tapwright.cli.parameters import DURATION
from tapwright.errors import UsageError
from tapwright.find.live import Tracker, Traffic, totals
from tapwright.signals import Stop, handled

if TYPE_CHECKING:
    from tapwright.control.watch import Reading, Watcher
    from tapwright.tap.session import Session

_SHORTEST = 0.1

_EPILOG = """\b
Examples:
  tapwright watch                           every vNIC of this host
  tapwright watch 'web-*' db-3 --interval 5s
  tapwright watch db-3 --json | jq .rates.to_vm_bits
  tapwright watch --prometheus 9469         counters at http://127.0.0.1:9469/metrics

Rates are those of the VM's side: "to VM" is what it receives.  A vNIC is counted by the
host's device, by its switch where that keeps statistics, and inside the VM where that can
be seen; what one counts and another does not was lost in between."""


@click.command(epilog=_EPILOG)
@click.argument("vms", metavar="[VM]...", nargs=-1, shell_complete=complete_vm)
@click.option("-i", "--interval", type=DURATION, default="1s", show_default=True, help="Time between two readings.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N intervals.")
@click.option("--prometheus", metavar="[ADDR:]PORT", help="Serve OpenMetrics there; loopback unless ADDR is given.")
@click.option("--guest-agent", is_flag=True, help="Ask QEMU guest agents too; libvirt's log then calls them tainted.")
@json_option
def watch(
    vms: tuple[str, ...],
    interval: float,
    count: int | None,
    prometheus: str | None,
    guest_agent: bool,
    as_json: bool,
) -> None:
    """Live statistics of every vNIC: bits and packets each way, drops, errors, multicast.

    VM is a name, an id, VM/nic or a shell pattern of these; by default all.  VMs that come and go are
    followed.  On a terminal a table, else one table an interval; --json prints one line for
    each vNIC and source.  Ctrl-C ends it.
    """
    from tapwright.control.watch import Watcher

    if interval < _SHORTEST:
        raise UsageError(f"an interval of {interval:g} s is too short", f"the shortest is {_SHORTEST:g} s")
    watcher = Watcher(vms, agents=guest_agent)
    show_warnings(watcher.warnings)
    with _stopping() as stop, _exporter(prometheus, watcher) as url, _reader_may_leave():
        ticks = _ticks(interval, count, stop)
        if as_json:
            _lines(watcher, ticks)
        elif is_terminal():
            _live(watcher, ticks, url, interval)
        elif prometheus:
            stop.wait()
        else:
            _tables(watcher, ticks)


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set: watching is meant to be ended by them."""
    stop = Stop()

    def ask(_signal: int, _frame: FrameType | None) -> None:
        stop.set_from_handler()

    with handled(ask, (signal.SIGINT, signal.SIGTERM)):
        yield stop


@contextmanager
def _reader_may_leave() -> Iterator[None]:
    """`tapwright watch --json | head` ends when head does, and has nothing to tell anybody."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _exporter(where: str | None, watcher: Watcher) -> Iterator[str]:
    if where is None:
        yield ""
        return
    from tapwright.cli.openmetrics import Exporter, parse_endpoint
    from tapwright.control.sessions import Sessions

    def sessions() -> tuple[Session, ...]:
        return tuple(session for session, _ in Sessions().all())

    with Exporter(parse_endpoint(where), watcher.read, sessions) as exporter:
        url = exporter.endpoint.url
        if not is_terminal():
            click.echo(f"tapwright: serving {url}", err=True)
        yield url


def _ticks(interval: float, count: int | None, stop: threading.Event) -> Iterator[None]:
    """One each `interval` seconds, `count` in all; ends when `stop` is set.  A late one is not made up for."""
    due = time.monotonic()
    while count is None or count > 0:
        due = max(due + interval, time.monotonic())
        if stop.wait(due - time.monotonic()):
            return
        yield
        count = None if count is None else count - 1


def _readings(watcher: Watcher, ticks: Iterator[None]) -> Iterator[tuple[Reading, tuple[Traffic, ...]]]:
    """A reading with its traffic at each tick."""
    tracker = Tracker()
    tracker.update(watcher.read().samples)
    for _ in ticks:
        reading = watcher.read()
        yield reading, tracker.update(reading.samples)


def _lines(watcher: Watcher, ticks: Iterator[None]) -> None:
    """One line of JSON for each vNIC and source."""
    for reading, traffic in _readings(watcher, ticks):
        now = time.time()
        for line in traffic:
            emit_json(as_data(line, reading.host.name, now))


def as_data(line: Traffic, host: str, now: float) -> dict[str, object]:
    """The schema of ``--json``: rates over `seconds`, totals since the device was made, both seen from the VM."""
    subject = line.subject
    return {
        "time": round(now, 3), "host": host, "vm": subject.vm, "vm_id": subject.vm_id, "nic": subject.nic,
        "switch": subject.switch, "port": subject.port, "source": subject.source,
        "seconds": round(line.seconds, 6), "rates": line.rates, "totals": totals(subject, line.counters),
    }  # fmt: skip


def _live(watcher: Watcher, ticks: Iterator[None], url: str, interval: float) -> None:
    """A table that is drawn again in place; the last one stays."""
    from rich.console import Console
    from rich.live import Live

    from tapwright.cli.watch_table import picture, title

    console = Console()
    waiting = f"measuring for {interval:g} s"
    with Live(waiting, console=console, auto_refresh=False, vertical_overflow="crop") as live:
        for reading, traffic in _readings(watcher, ticks):
            heading = title(reading.host.name, traffic, url)
            live.update(picture(traffic, heading, console.width, console.height - 1), refresh=True)


def _tables(watcher: Watcher, ticks: Iterator[None]) -> None:
    """A complete table an interval, for whoever keeps them."""
    from rich.console import Console

    from tapwright.cli.watch_table import picture, title

    console = Console(width=160, color_system=None)
    for reading, traffic in _readings(watcher, ticks):
        console.print(picture(traffic, title(reading.host.name, traffic), console.width, len(traffic) + 3))
        console.print()
