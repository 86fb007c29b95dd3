"""Write docs/reference.md from the command line's own help, so that the two never differ.

.venv/bin/python scripts/reference.py            rewrite it
.venv/bin/python scripts/reference.py --print    to standard output
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from tapwright.cli.main import tapwright

TARGET = Path(__file__).parent.parent / "docs" / "reference.md"

HEAD = """# Reference

What `--help` says, for every command. This page is written by `scripts/reference.py`; a test keeps it true.
"""


def commands(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command of the tree with the words that call it."""
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=words[-1])
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from commands(child, (*words, name))


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for words, command in commands(tapwright, ("tapwright",)):
        context = click.Context(
            command,
            info_name=" ".join(words),
            max_content_width=100,
            terminal_width=100,
            help_option_names=["-h", "--help"],
        )
        parts.append(f"## {' '.join(words)}\n\n```text\n{command.get_help(context).rstrip()}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    if "--print" in sys.argv:
        print(page())
    else:
        TARGET.write_text(page())
