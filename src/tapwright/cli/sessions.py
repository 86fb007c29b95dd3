"""``tapwright sessions``, ``stop`` and ``sweep``: what is open on this host, and how it ends."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from tapwright.cli.common import emit_json, is_terminal, json_option, show_error, show_warnings, warn
from tapwright.cli.table import render
from tapwright.errors import ProviderError, TapwrightError, UsageError
from tapwright.text import printable, shortened
from tapwright.units import format_duration

if TYPE_CHECKING:
    from tapwright.control.sessions import Sessions
    from tapwright.tap.delivery import News
    from tapwright.tap.session import Fate, Session
    from tapwright.tap.sweep import Swept

_HEADER = ("ID", "WHAT", "STATE", "OWNER", "DELIVERY", "AGE", "LEASE LEFT", "STEPS")
_LONGEST = 60
"""Columns of what a session is; a mirror may be of very many VMs."""
_DISPENSABLE = ("STEPS", "AGE", "LEASE LEFT")
_ELASTIC = ("WHAT", "DELIVERY")
_TOLD = 4
"""Mirrors of one session of which it is told what is wrong with them."""

_LIST = """\b
Examples:
  tapwright sessions
  tapwright sessions --all --json | jq '.[] | select(.kept != [])'

OWNER is the process that keeps a session. Where it is dead, any tapwright undoes the
session once its lease is over; `tapwright sweep` does nothing else. DELIVERY is whether
the copies arrive (docs/delivery.md), as the owner found it so long ago."""

_STOP = """\b
Examples:
  tapwright stop 1a2b3c4d
  tapwright stop 1a 9f             by the beginnings of their ids
  tapwright stop --all

A living owner is asked to end its session, and waited for; what a dead one left is
undone here. Exit code 8: something could not be undone, and stays on record."""

_SWEEP = """\b
Examples:
  tapwright sweep
  tapwright sweep --dry-run --json

Only what tapwright created is removed, and only where its owner is gone and the lease
is over. What somebody changed since is reported and left as it is. Every command that
changes something sweeps first; the shipped systemd timer does it once a minute."""


def complete_session(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Ids of open sessions for the shell's completion; silent when nothing can be found."""
    from tapwright.control.sessions import Sessions
    from tapwright.tap.session import State

    try:
        found = Sessions().all()
    except TapwrightError:
        return []
    running = [session for session, _ in found if session.state is not State.CLOSED]
    return [CompletionItem(s.id, help=printable(s.what)) for s in running if s.id.startswith(incomplete)]


@click.command(epilog=_LIST)
@click.option("--all", "everything", is_flag=True, help="Those of the last week that are closed, too.")
@json_option
def sessions(everything: bool, as_json: bool) -> None:
    """List the mirrors that are open on this host, who keeps them, and for how long."""
    from tapwright.control.sessions import Sessions
    from tapwright.tap.session import State

    opened = Sessions()
    found = [(s, fate) for s, fate in opened.all() if everything or s.state is not State.CLOSED or s.kept]
    now = time.time()
    if as_json:
        emit_json([as_data(session, fate, now) for session, fate in found])
    elif found:
        width = shutil.get_terminal_size().columns if is_terminal() else None
        rows = [[printable(cell) for cell in _cells(session, fate, now)] for session, fate in found]
        click.echo("\n".join(render(_HEADER, rows, width, _DISPENSABLE, _ELASTIC)))
        for session, _ in found:
            for text in (*_remarks(session), *(_doubts(session) if session.state is not State.CLOSED else ())):
                warn(text)
    else:
        warn("no session is open" + ("" if everything else "; `tapwright sessions --all` lists closed ones"))
    show_warnings(opened.notes)


def as_data(session: Session, fate: Fate, now: float) -> dict[str, Any]:
    """The schema of ``sessions --json``: times are seconds since 1970, durations seconds."""
    from tapwright.tap import owner

    return {
        "id": session.id,
        "what": session.what,
        "state": session.state,
        "owner": {"pid": owner.pid(session.owner), "fate": fate, "id": session.owner},
        "created": session.created,
        "lease": session.lease,
        "lease_left": round(max(0.0, session.expires - now), 3),
        "stop_asked": session.stop_asked,
        "delivery": _delivery(session.news),
        "delivery_age": _age(session.news, now) if session.news else None,
        "steps": [
            {
                "provider": entry.step.do.provider,
                "why": entry.step.why,
                "progress": entry.progress,
                "error": entry.error,
            }
            for entry in session.entries
        ],
        "kept": [entry.error for entry in session.kept],
    }


def _cells(session: Session, fate: Fate, now: float) -> Iterator[str]:
    from tapwright.tap import owner
    from tapwright.tap.session import Progress, State

    open_ = session.state is not State.CLOSED
    done = sum(entry.progress is Progress.DONE for entry in session.entries)
    yield session.id
    yield shortened(printable(session.what), _LONGEST)
    yield session.state
    yield f"{owner.pid(session.owner) or '?'}" + (f" {fate}" if open_ else "")
    yield _told(session.news, now) if session.news else "not known yet" if open_ else ""
    yield format_duration(max(0.0, now - session.created))
    yield format_duration(max(0.0, session.expires - now)) if open_ else ""
    yield f"{done} of {len(session.entries)}" if open_ else ""


def _delivery(news: News | None) -> list[dict[str, str]]:
    return [
        {"vnic": name, "outcome": verdict.outcome, "reason": verdict.reason}
        for name, verdict in (news.mirrors if news else ())
    ]


def _age(news: News, now: float) -> float:
    return round(max(0.0, now - news.time), 3)


def _told(news: News, now: float) -> str:
    """What is worst, and of how many mirrors where not of all: ``1 of 3 stale 0:07 ago``."""
    from tapwright.tap.delivery import GOOD, Outcome

    counts = Counter(verdict.outcome for _, verdict in news.mirrors)
    worst = min(counts, key=lambda outcome: (outcome in GOOD, outcome is Outcome.OK, outcome), default=Outcome.UNKNOWN)
    share = f"{counts[worst]} of {counts.total()} " if len(counts) > 1 else ""
    return f"{share}{worst} {format_duration(_age(news, now))} ago"


def _doubts(session: Session) -> Iterator[str]:
    """What its owner says of mirrors that are not known to deliver."""
    from tapwright.tap.delivery import Outcome

    certain = (Outcome.OK, Outcome.IDLE)
    doubted = [(n, v) for n, v in (session.news.mirrors if session.news else ()) if v.outcome not in certain]
    for name, verdict in doubted[:_TOLD]:
        yield f"session {session.id}: {name}: delivery {verdict.outcome}: {verdict.reason}"
    if len(doubted) > _TOLD:
        yield f"session {session.id}: and {len(doubted) - _TOLD} more mirrors"


def _remarks(session: Session) -> Iterator[str]:
    """What did not go as it should."""
    for entry in session.kept:
        yield f"session {session.id}: left as it is, because somebody changed it: {entry.error}"
    for entry in session.left:
        if entry.error:
            yield f"session {session.id}: not undone yet: {entry.error}"


@click.command(epilog=_STOP)
@click.argument("ids", metavar="[ID]...", nargs=-1, shell_complete=complete_session)
@click.option("--all", "everything", is_flag=True, help="Every session that is open on this host.")
@json_option
def stop(ids: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """End sessions and undo what they changed; ID is an id or its beginning."""
    from tapwright.control.sessions import Sessions
    from tapwright.tap.session import State

    if bool(ids) == everything:
        raise UsageError("say which session to stop", "tapwright sessions lists them; --all stops every one")
    opened = Sessions()
    if everything:
        wanted: Sequence[Session] = [session for session, _ in opened.all() if session.state is not State.CLOSED]
    else:
        wanted = opened.find(ids)
    done, failed = _stop_each(opened, wanted)
    if as_json:
        emit_json({"stopped": [session.id for session in done], "failed": failed})
    else:
        for session in done:
            click.echo(f"session {session.id} stopped: {printable(session.what)}")
            show_warnings(tuple(_remarks(session)))
        if not wanted:
            warn("no session is open")
    show_warnings(opened.notes)
    if failed:
        raise ProviderError(f"{len(failed)} of {len(wanted)} sessions could not be ended", "see: tapwright sessions")


def _stop_each(opened: Sessions, wanted: Sequence[Session]) -> tuple[list[Session], dict[str, str]]:
    """Those that ended, and why others did not: one does not keep the rest."""
    done: list[Session] = []
    failed: dict[str, str] = {}
    for session in wanted:
        try:
            done.append(opened.stop(session))
        except TapwrightError as error:
            failed[session.id] = error.line
            show_error(error)
    return done, failed


@click.command(epilog=_SWEEP)
@click.option("--dry-run", is_flag=True, help="Say what would be undone, and undo nothing.")
@json_option
def sweep(dry_run: bool, as_json: bool) -> None:
    """Undo what was left behind by tapwrights that are gone."""
    from tapwright.control.sessions import Sessions

    opened = Sessions()
    swept = opened.sweep(dry=dry_run)
    if as_json:
        emit_json(_swept(swept, dry=dry_run))
    else:
        waiting = list(_waiting(opened))
        for line in (*_lines(swept, dry=dry_run), *waiting):
            click.echo(printable(line))
        if not (swept.sessions or swept.leftovers or swept.waiting or swept.failed or waiting):
            click.echo("nothing was left behind")
    show_warnings(opened.notes)
    if swept.failed:
        raise ProviderError("not everything could be undone", "mend what is named above, then: tapwright sweep")


def _swept(swept: Swept, *, dry: bool) -> dict[str, Any]:
    """The schema of ``sweep --json``."""
    return {
        "dry_run": dry,
        "sessions": [{"id": session.id, "what": session.what, "state": session.state} for session in swept.sessions],
        "leftovers": [{"what": left.what, "provider": left.provider} for left in swept.leftovers],
        "kept": swept.kept,
        "waiting": swept.waiting,
        "failed": swept.failed,
    }


def _lines(swept: Swept, *, dry: bool) -> Iterator[str]:
    from tapwright.tap.session import State

    undone = "would be undone" if dry else "undone"
    for session in swept.sessions:
        if dry or session.state is State.CLOSED:
            yield f"session {session.id} {undone}: {session.what}"
    for left in swept.leftovers:
        yield f"{undone}: {left.what}"
    for text in swept.kept:
        yield f"left as it is, because somebody changed it: {text}"
    for text in swept.waiting:
        yield f"left to its owner: {text}"
    for text in swept.failed:
        yield f"not undone: {text}"


def _waiting(opened: Sessions) -> Iterator[str]:
    """Those whose owner is gone and whose lease is not over."""
    from tapwright.tap.session import Fate, State

    for session, fate in opened.all():
        left = session.expires - time.time()
        if session.state is not State.CLOSED and fate is Fate.DEAD and left > 0:
            yield f"session {session.id}: owner dead, lease ends in {format_duration(left)}: {session.what}"
