"""``tapwright completion``: the shell's completion script."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_EPILOG = """\b
Examples:
  eval "$(tapwright completion bash)"                  for this shell
  tapwright completion zsh > ~/.zfunc/_tapwright
  tapwright completion fish > ~/.config/fish/completions/tapwright.fish"""


@click.command(epilog=_EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL; it completes commands, options and VM names."""
    kind = get_completion_class(shell)
    assert kind is not None
    root = ctx.find_root().command
    click.echo(kind(root, {}, "tapwright", "_TAPWRIGHT_COMPLETE").source())
