"""``tapwright capture``: the main job."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from tapwright.cli.common import interruptible, is_terminal, json_option, show_warnings, warn
from tapwright.cli.governor import governor_options, policy_of
from tapwright.cli.progress import Goals
from tapwright.cli.running import follow, output, stoppable
from tapwright.cli.wish import wish_of, wish_options

if TYPE_CHECKING:
    from tapwright.capture.files import Destination
    from tapwright.control.capture import Capture

_EPILOG = """\b
Examples:
  tapwright capture web-1                        until Ctrl-C, into web-1-DATE.pcapng
  tapwright capture web-1 db-3 -w both.pcapng    two VMs, one file in order of time
  tapwright capture 'web-*' -d 30 -s 96          headers only, half a minute
  tapwright capture db-3 -f 'tcp port 5432 and vm web-1'
  tapwright capture web-1 --ring 100Mx10         the newest gigabyte, for as long as it takes
  tapwright capture web-1 -w - | wireshark -k -i -
  tapwright capture --show-limits                what it may take of this host, and what is measured now
  tapwright capture web-1 --governor rate=2G,cpu=50%

Nothing on the host is changed, unless a port can only be seen by a mirror (`tapwright
plan` says so); that is closed at the end. The summary says where every packet went.

A VM that cannot be read, or goes away, is named before the start and in the
summary, and the others are captured: exit code 0. It is 7 (4 without privilege)
where none can be read, and 7 where wanted packets were lost, or left out to spare
the host; that a capture steps down is said at once, in the summary and the file."""

_MOST = 10
"""Lines about VMs that will be missing."""


@click.command(epilog=_EPILOG)
@wish_options
@click.option("-w", "--write", "path", default="", metavar="FILE|-", help="Output; default: a file named after the VM.")
@click.option("--force", is_flag=True, help="Overwrite the output file.")
@governor_options
@json_option
def capture(path: str, force: bool, governor: str | None, as_json: bool, **options: Any) -> None:
    """Capture the packets of VM... (names, ids, VM/nic or patterns) into one pcapng file.

    A pattern is held against names, and where no name matches against ids, then VM/nic.
    """
    from tapwright.capture.files import default_name, destination
    from tapwright.control.prepare import left_out, prepare, start

    wish = wish_of(options, overwrite=force, governor=policy_of(governor))
    out = destination(path or default_name(wish.vms, datetime.now()), force=force, ring=wish.ring is not None)
    prepared = interruptible(lambda: prepare(wish))
    show_warnings(prepared.plan.warnings)
    _tell(left_out(prepared.plan))
    if prepared.changes:
        _sweep()
    with stoppable() as stop, output(out) as fd:
        running = start(prepared, path=out.path if fd < 0 else "", fd=fd)
        stop.capture = running
        with running:
            _announce(running, out)
            follow(running, Goals(wish.seconds, wish.packets, wish.bytes))
    _finish(running, out, as_json=as_json)


def _sweep() -> None:
    """What every command does first that changes something."""
    from tapwright.control.sessions import sweep_first

    show_warnings(sweep_first())


def _tell(left_out: tuple[str, ...]) -> None:
    """Who will be missing, before anything starts."""
    for text in left_out[:_MOST]:
        warn(text)
    if len(left_out) > _MOST:
        warn(f"{len(left_out) - _MOST} more are not captured: `tapwright plan` names them all")


def _announce(running: Capture, out: Destination) -> None:
    for name in running.absent:
        warn(f"{name} was gone before it could be opened; the others are captured")
    if not is_terminal(err=True):
        return
    names = [source.name for source in running.sources]
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    warn(f"capturing {shown} into {out.path or 'standard output'}; Ctrl-C ends it")


def _finish(running: Capture, out: Destination, *, as_json: bool) -> None:
    """Print the summary and turn an incomplete capture into its exit code."""
    from tapwright.cli.summary import outcome, show

    # Packets own standard output when they are written there.
    show(running, out, as_json=as_json, err=not out.path)
    if running.left:
        warn(running.left)
    outcome(running.ledger)
