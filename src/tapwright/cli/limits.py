"""The options that all that writes captures shares: when it ends, and how much it may hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict, TypeVar

import click

from tapwright.cli.parameters import DURATION, RING, SIZE

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("-c", "--count", type=click.IntRange(min=1), default=None, metavar="N", help="Stop after N packets."),
    click.option(
        "-d", "--duration", "--for", "duration", type=DURATION, default=None, help="Stop after so long (30, 90s, 5m)."
    ),
    click.option("--max-size", type=SIZE, default=None, help="Stop before the file grows larger (500K, 100M, 2G)."),
    click.option("--ring", type=RING, default=None, help="Files of SIZE, keeping the newest FILES (100Mx10)."),
)


class Limited(TypedDict):
    """Fields of a request; 0 means no limit."""

    snaplen: int
    packets: int
    seconds: float
    bytes: int
    ring: tuple[int, int] | None
    buffer: int


def limit_options(command: Command) -> Command:
    """--count, --duration, --max-size and --ring; the command adds --snaplen and --buffer in its own words."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def limited(options: Mapping[str, Any]) -> Limited:
    """These options as a request has them."""
    return {
        "snaplen": options["snaplen"],
        "packets": options["count"] or 0,
        "seconds": options["duration"] or 0,
        "bytes": options["max_size"] or 0,
        "ring": options["ring"],
        "buffer": options["buffer"] or 0,
    }
