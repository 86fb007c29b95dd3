"""What the offline commands share: their options, and waiting for a job with a line of progress."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from tapwright.cli.common import emit_json, warn
from tapwright.errors import CaptureError, UsageError
from tapwright.signals import handled
from tapwright.text import printable
from tapwright.units import format_count, format_duration, format_size

if TYPE_CHECKING:
    from tapwright.read.job import Job, Progress
    from tapwright.read.report import Input, Totals
    from tapwright.read.request import Request, Unwrap

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])

PORT = click.IntRange(1, 65535)
_PATIENCE = 3.0
"""Seconds a job that was asked to end may take."""

inputs_argument = click.argument("inputs", metavar="IN...", nargs=-1, required=True)
output_option = click.option(
    "-o", "--output", required=True, metavar="FILE|-", help="Output; the suffix chooses the format."
)
force_option = click.option("--force", is_flag=True, help="Overwrite the output.")


def unwrap_options(command: Command) -> Command:
    """--depth, --vxlan-port and --geneve-port: how the innermost frame is found; the command gets them as `unwrap`."""

    @wraps(command)
    def unwrapping(*, depth: int, vxlan: tuple[int, ...], geneve: tuple[int, ...], **others: Any) -> Any:
        return command(unwrap=_unwrap(depth, vxlan, geneve), **others)

    for option in (
        click.option("--geneve-port", "geneve", type=PORT, multiple=True,
                     help="UDP port of Geneve instead of 6081; repeatable."),
        click.option("--vxlan-port", "vxlan", type=PORT, multiple=True,
                     help="UDP port of VXLAN instead of 4789 and 8472; repeatable."),
        click.option("--depth", type=click.IntRange(0, 16), default=8, show_default=True, metavar="N",
                     help="Take off at most N wrappings."),
    ):  # fmt: skip
        unwrapping = option(unwrapping)
    return cast("Command", unwrapping)


def _unwrap(depth: int, vxlan: tuple[int, ...], geneve: tuple[int, ...]) -> Unwrap:
    from tapwright.read.request import Unwrap

    usual = Unwrap(depth=depth)
    return Unwrap(depth, vxlan or usual.vxlan, usual.vxlan_gpe, geneve or usual.geneve)


def request(verb: str, inputs: Sequence[str], output: str, *, force: bool) -> Request:
    """Files in, file out, checked before anything starts.  Raises UsageError."""
    from tapwright.capture.files import destination, owner

    checked = destination(output, force=force, ring=False)
    return _request(verb, check_inputs(inputs), checked.path or "-", force=force, owner=owner())


def pattern_request(inputs: Sequence[str], pattern: str, *, force: bool) -> Request:
    """The same for many files out."""
    from tapwright.capture.files import owner

    return _request("split", check_inputs(inputs), pattern, force=force, owner=owner())


def _request(verb: str, inputs: tuple[str, ...], output: str, *, force: bool, owner: tuple[int, int] | None) -> Request:
    from tapwright._core import __version__
    from tapwright.read.request import Request

    names = ", ".join(inputs[:4]) + (f" and {len(inputs) - 4} more" if len(inputs) > 4 else "")
    return Request(inputs, output, force, owner, f"tapwright {__version__}", f"tapwright {verb} of {names}")


def check_inputs(inputs: Sequence[str]) -> tuple[str, ...]:
    """Standard input can be read once, and not from a keyboard.  Raises UsageError."""
    if inputs.count("-") > 1:
        raise UsageError("standard input can be read only once")
    if "-" in inputs and sys.stdin.isatty():
        raise UsageError("standard input is a terminal", "pipe a capture into it, or name a file")
    return tuple(inputs)


def follow(start: Callable[[], Job[T]]) -> T:
    """Start a job and wait for its result with a line of progress.

    Ctrl-C, SIGTERM and SIGHUP end it and leave nothing behind.
    """
    began = time.monotonic()
    with _signals() as asked:
        job = start()
        while not job.wait(0.1):
            if asked:
                _give_up(job)
            _show(line(job.progress, time.monotonic() - began))
        _show("")
        try:
            return job.result()
        except InterruptedError:
            raise click.exceptions.Abort from None


def _give_up(job: Job[T]) -> None:
    """Let it tidy up, unless the reader of our pipe takes nothing."""
    job.stop()
    _show("")
    if not job.wait(_PATIENCE):
        raise click.exceptions.Abort


def _show(text: str) -> None:
    """Replace the line of progress; nothing when nobody is looking."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text[: shutil.get_terminal_size().columns - 1]}")
        sys.stderr.flush()


def line(progress: Progress, seconds: float) -> str:
    """``45 %  1,234,567 packets  890.1 MiB read  0:03 left``."""
    parts = [f"{format_count(progress.packets)} packets", f"{format_size(progress.read)} read"]
    if progress.total:
        share = min(progress.read / progress.total, 1.0)
        parts.insert(0, f"{share:.0%}")
        if share > 0.01:
            parts.append(f"{format_duration(seconds * (1 - share) / share)} left")
    return "  ".join(parts)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Gives the signals that asked for the end."""
    asked: list[int] = []
    with handled(lambda number, _frame: asked.append(number)):
        yield asked


def finish(found: Any, lines: Sequence[str], totals: Totals, output: str, *, as_json: bool) -> None:
    """Print what came of a verb that wrote `output`; packets own standard output when they are written there.

    Raises CaptureError when an input was damaged.
    """
    err = output == "-"
    if as_json:
        emit_json(found, err=err)
    else:
        for text in (*lines, *_left_out(totals.left_out)):
            click.echo(text, err=err)
    check_damage(totals.inputs, f"everything before the damage is in {shown(output)}")


def check_damage(inputs: Sequence[Input], kept: str) -> None:
    """A damaged input is told, and is an error: what could be read is in the output.  Raises CaptureError."""
    damaged = [found for found in inputs if found.damage]
    for found in damaged[1:]:
        warn(_damage(found))
    if damaged:
        raise CaptureError(_damage(damaged[0]), kept)


def _damage(found: Input) -> str:
    return f"{'standard input' if found.path == '-' else found.path}: {found.damage}"


def shown(path: str) -> str:
    """An output's name for people."""
    return "standard output" if path == "-" else printable(path)


def _left_out(blocks: tuple[tuple[int, int], ...]) -> list[str]:
    """Blocks that are not in the output."""
    if not blocks:
        return []
    return [
        "not taken over: " + ", ".join(f"{count} block{'s' * (count > 1)} of type {kind:#x}" for kind, count in blocks)
    ]
