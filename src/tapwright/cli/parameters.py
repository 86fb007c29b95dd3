"""Option types that people type: sizes, durations, rings of files, addresses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from tapwright.errors import UsageError
from tapwright.units import parse_duration, parse_ring, parse_size

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:  # generic since click 8.5 only
    _ParamType = click.ParamType


class Parsed(_ParamType):
    """A click type around a pure parser that raises UsageError."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse, or fail as click does, with the hint."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except UsageError as error:
            self.fail(f"{error.message}; {error.hint}", param, ctx)


SIZE = Parsed("size", parse_size)
DURATION = Parsed("duration", parse_duration)
RING = Parsed("sizexfiles", parse_ring)
