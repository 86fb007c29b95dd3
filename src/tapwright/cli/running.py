"""What every command shares that captures until it is told to stop: signals, outputs, the progress line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import click

from tapwright.cli.common import is_terminal, warn
from tapwright.cli.progress import Goals, ProgressLine, Reading
from tapwright.signals import handled

if TYPE_CHECKING:
    from tapwright.capture.files import Destination
    from tapwright.control.capture import Capture


@contextmanager
def output(out: Destination) -> Iterator[int]:
    """The descriptor to write to, -1 when the engine opens the file itself."""
    from tapwright.capture.files import Target

    if out.target is Target.STDOUT:
        yield sys.stdout.fileno()
    elif out.target is Target.FIFO:
        if is_terminal(err=True):
            warn(f"waiting for a reader of {out.path}")
        fd = os.open(out.path, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            yield fd
        finally:
            os.close(fd)
    else:
        yield -1


class Stop:
    """Ends the capture at the first signal; the second one ends tapwright without waiting."""

    capture: Capture | None = None
    asked = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        """As a signal handler."""
        if self.capture is None or self.asked:
            raise click.exceptions.Abort
        self.asked = True
        self.capture.stop()


@contextmanager
def stoppable() -> Iterator[Stop]:
    """While this holds, a signal ends what `Stop.capture` is."""
    stop = Stop()
    with handled(stop):
        yield stop


_OFTEN, _RARELY = 0.25, 1.0
"""Seconds between two looks: rare ones while the host is to be spared, and nobody watches."""


def follow(running: Capture, goals: Goals) -> None:
    """Show the progress line until the capture has ended."""
    progress, told = ProgressLine(goals), 0
    while True:
        ended = running.wait(_OFTEN if running.whole or progress.enabled else _RARELY)
        for step in running.steps[told:]:
            progress.clear()
            warn(step.text)
            told += 1
        if ended:
            break
        if progress.enabled:
            progress.show(_reading(running))
    progress.clear()


def _reading(running: Capture) -> Reading:
    stats = running.stats
    return Reading(
        stats.elapsed,
        sum(s.written for s in stats.sources),
        sum(s.wire_bytes for s in stats.sources),
        sum(s.kernel_dropped + s.engine_dropped for s in stats.sources),
        stats.file_bytes,
    )
