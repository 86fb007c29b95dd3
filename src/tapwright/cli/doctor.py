"""``tapwright doctor``: what mirrors left behind, and whether everything that is needed is here."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from tapwright.cli.common import emit_json, json_option
from tapwright.errors import ATTENTION
from tapwright.model import Answer
from tapwright.text import columns, printable
from tapwright.units import format_things

if TYPE_CHECKING:
    from tapwright.control.checks import Check
    from tapwright.control.doctor import Diagnosis, Remnant

_EPILOG = """\b
Examples:
  sudo tapwright doctor
  tapwright doctor --json | jq -r '.leftovers[] | select(.attention) | .command'
  tapwright doctor || echo 'somebody should look'

It changes nothing: what is not ours it never touches, it says how to remove it.

Exit codes: 0 nothing needs attention, 9 something does (marked with !)."""

_WORDS = {Answer.YES: "yes", Answer.NO: "no", Answer.UNKNOWN: "?"}


@click.command(epilog=_EPILOG)
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Show what mirrors left behind on this host, ours and strangers', and whether everything needed is here.

    Leftovers come with the command that removes each.  Then privileges and the verbs that need
    them, kernel, memory, libraries, providers, journal and clock, with the next step where
    something is missing.
    """
    from tapwright.control.doctor import diagnose

    diagnosis = diagnose()
    if as_json:
        emit_json(as_data(diagnosis))
    else:
        for line in text(diagnosis):
            click.echo(printable(line))
    ctx.exit(ATTENTION if diagnosis.attention else 0)


def text(diagnosis: Diagnosis) -> Iterator[str]:
    """The lines for a person; foreign names in them are as given."""
    yield "leftovers"
    for remnant in diagnosis.remnants:
        yield from _remnant(remnant)
    for note in diagnosis.notes:
        yield f"  ! ?  {note}"
    if not diagnosis.remnants and not diagnosis.notes:
        yield "    none"
    for area, members in groupby(diagnosis.checks, key=lambda check: check.area):
        yield area
        yield from _area(tuple(members))
    things = format_things(diagnosis.attention, "thing")
    verb = "needs" if diagnosis.attention == 1 else "need"
    yield f"{things} {verb} attention (!)" if diagnosis.attention else "nothing needs attention"


def _remnant(remnant: Remnant) -> Iterator[str]:
    whose = "ours" if remnant.ours else "a stranger's"
    yield f"  {_flag(remnant.attention)} {whose}: {remnant.what}: {remnant.state}"
    if remnant.command:
        yield f"      -> {remnant.command}"


def _area(members: tuple[Check, ...]) -> Iterator[str]:
    wide = max(columns(check.name) for check in members)
    for check in members:
        name = check.name + " " * (wide - columns(check.name))
        answer = _WORDS[check.capability.answer]
        yield f"  {_flag(check.attention)} {answer:<3}  {name}  {check.capability.reason}".rstrip()
        if check.capability.fix:
            yield f"      -> {check.capability.fix}"


def _flag(attention: bool) -> str:
    return "!" if attention else " "


def as_data(diagnosis: Diagnosis) -> dict[str, Any]:
    """The schema of ``doctor --json``."""
    return {
        "attention": diagnosis.attention,
        "leftovers": [
            {
                "what": remnant.what,
                "whose": "ours" if remnant.ours else "stranger",
                "state": remnant.state,
                "command": remnant.command,
                "attention": remnant.attention,
            }
            for remnant in diagnosis.remnants
        ],
        "checks": [
            {
                "area": check.area,
                "name": check.name,
                "answer": check.capability.answer,
                "reason": check.capability.reason,
                "fix": check.capability.fix,
                "needed": check.needed,
                "attention": check.attention,
            }
            for check in diagnosis.checks
        ],
        "notes": diagnosis.notes,
    }
