"""What every command shares: JSON out, messages to people, names to complete."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from tapwright.errors import FilterError, TapwrightError
from tapwright.text import printable

T = TypeVar("T")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs instead of text.")


def emit_json(value: Any, *, err: bool = False) -> None:
    """Print any value made of dataclasses, enums and containers as one line of JSON."""
    import msgspec

    click.echo(msgspec.json.encode(value, order="deterministic").decode(), err=err)


def show_error(error: TapwrightError) -> None:
    """The message, where in the filter it is, and the next step; on standard error."""
    click.echo(f"tapwright: {printable(error.message)}", err=True)
    if isinstance(error, FilterError) and error.position is not None:
        from tapwright.filter.position import render

        click.echo(render(error), err=True)
    for line in error.hint.splitlines():
        click.echo(f"  -> {printable(line)}", err=True)


def warn(message: str) -> None:
    """One line on standard error that stops nothing."""
    click.echo(f"tapwright: {printable(message)}", err=True)


def show_warnings(warnings: tuple[str, ...]) -> None:
    """What providers could not read, each once."""
    for text in dict.fromkeys(warnings):
        warn(f"note: {text}")


def interruptible(work: Callable[[], T]) -> T:
    """Do `work`, which may keep libpcap busy for half a minute, so that Ctrl-C ends tapwright meanwhile.

    Python hears of a signal only between two steps of its own, and a call into a library is one step. So the work has
    a thread of its own, which is left behind, and ends with the process.
    """
    import threading

    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # it is raised where it belongs
            errors.append(error)

    thread = threading.Thread(target=run, name="work", daemon=True)
    thread.start()
    thread.join()
    for error in errors:
        raise error
    return results[0]


def is_terminal(*, err: bool = False) -> bool:
    """Whether a person is looking at that stream."""
    return (sys.stderr if err else sys.stdout).isatty()


def complete_switch(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """Names of switches that can mirror VLANs for the shell's completion; silent when nothing can be found."""
    from tapwright.control.local import look

    try:
        switches = look().switches
    except TapwrightError:
        return []
    names = dict.fromkeys(switch.name for switch in switches)
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def complete_vm(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """VM names for the shell's completion, and ids where a name is not enough; silent when nothing can be found."""
    from tapwright.control.local import look

    try:
        vms = look().vms
    except TapwrightError:
        return []
    times = Counter(vm.name for vm in vms)
    words = {vm.name: vm.kind for vm in vms} | {vm.id: vm.kind for vm in vms if incomplete and times[vm.name] > 1}
    return [CompletionItem(word, help=kind) for word, kind in words.items() if word.startswith(incomplete)]
