"""The governor on the command line: its limits as options, and the flag that shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tapwright.cli.parameters import Parsed

if TYPE_CHECKING:
    from tapwright.capture.governor import Readings
    from tapwright.capture.policy import Policy

Command = TypeVar("Command", bound=Callable[..., Any])


def _checked(text: str) -> str:
    from tapwright.capture.policy import parse_policy

    parse_policy(text)
    return text


def governor_options(command: Command) -> Command:
    """Give a click command ``--governor`` (for `policy_of`) and ``--show-limits``, which ends it."""
    show = click.option(
        "--show-limits", is_flag=True, is_eager=True, expose_value=False, callback=_show,
        help="Show the governor's limits and what is measured on this host now, and exit.",
    )  # fmt: skip
    limits = click.option(
        "--governor", type=Parsed("limits", _checked), default=None, is_eager=True, metavar="LIMITS",
        help="What to take of the host before stepping down: default, off, or KEY=VALUE[,...] (rate=2G,cpu=50%).",
    )  # fmt: skip
    return limits(show(command))


def policy_of(text: str | None) -> Policy | None:
    """The policy that was typed, else the configured one; None for off.  Raises UsageError."""
    from tapwright import config
    from tapwright.capture.policy import parse_policy

    return parse_policy(config.load().governor if text is None else text)


def _show(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from tapwright.control.governor import look

    policy = policy_of(ctx.params.get("governor"))
    lines = ["off: nothing is limited"] if policy is None else limits(policy, look("./"))
    for line in lines:
        click.echo(line)
    ctx.exit()


def limits(policy: Policy, now: Readings) -> Iterator[str]:
    """Each limit with its value, what is read now, and what it is of."""
    from tapwright.capture.policy import formatted, shown

    rows = [("LIMIT", "VALUE", "NOW", "OF WHAT")]
    for key, value, about in shown(policy):
        name = key.replace("-", "_")
        read = getattr(now, name, None)
        watched = name.startswith("psi") or name in ("steal", "softnet", "free")
        current = "" if not watched else "unknown" if read is None else formatted(name, read)
        rows.append((key, value, current, about))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield "Change some with --governor KEY=VALUE[,KEY=VALUE...], all at once with --governor off; see docs/governor.md."
