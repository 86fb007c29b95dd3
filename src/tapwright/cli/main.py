"""``tapwright``: the command line.  Commands are imported only when they are called."""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import sys

import click

from tapwright.errors import TapwrightError
from tapwright.signals import listen_to_ctrl_c

_COMMANDS: dict[str, tuple[str, str]] = {
    "ls": ("tapwright.cli.ls", "List the VMs and containers of this host and where they are plugged in."),
    "where": ("tapwright.cli.where", "Draw the way from a VM's vNIC to the wire."),
    "plan": ("tapwright.cli.plan", "Show what a capture would read, why, and what it would cost."),
    "capture": ("tapwright.cli.capture", "Capture the packets of one or more VMs into one pcapng file."),
    "mirror": ("tapwright.cli.mirror", "Copy the packets of VMs to a NIC, a collector VM or another host."),
    "sessions": ("tapwright.cli.sessions", "List the mirrors that are open, who keeps them, and for how long."),
    "stop": ("tapwright.cli.sessions", "End sessions and undo what they changed."),
    "sweep": ("tapwright.cli.sessions", "Undo what was left behind by tapwrights that are gone."),
    "collect": ("tapwright.cli.collect", "Receive mirrors (ERSPAN, GRE, VXLAN, Geneve...) as one clean capture."),
    "watch": ("tapwright.cli.watch", "Live statistics of every vNIC."),
    "decap": ("tapwright.cli.decap", "Unwrap captures: the VMs' own frames, whatever they are wrapped in."),
    "filter": ("tapwright.cli.filter", "Keep the packets of files whose innermost frame matches."),
    "slice": ("tapwright.cli.slice", "Cut a part out of captures, by time, number or length."),
    "split": ("tapwright.cli.split", "Divide captures: a file for each VM, VNI, flow, time or size."),
    "info": ("tapwright.cli.info", "What is in a capture file, and what is missing from it."),
    "doctor": ("tapwright.cli.doctor", "What mirrors left behind, and whether everything that is needed is here."),
    "extcap": ("tapwright.cli.extcap", "Make VMs appear as interfaces in Wireshark."),
    "lab": ("tapwright.cli.lab", "A virtual data centre on this machine, to try things on."),
    "completion": ("tapwright.cli.completion", "Print the completion script for your shell."),
}
"""name -> (module that defines a click command of that name, one line for the overview)"""

_EPILOG = """\b
Examples:
  tapwright ls                             what is here
  tapwright where web-1                    how web-1 is connected
  tapwright capture web-1                  all its packets into a file, until Ctrl-C
  tapwright capture web-1 db-3 -f 'tcp port 5432' -d 30
  tapwright capture web-1 -w - | wireshark -k -i -

Exit codes: 0 done, 1 failed, 2 usage, 3 no such VM, 4 privilege, 5 something is
not installed, 6 filter refused, 7 capture incomplete, 8 a provider failed,
9 doctor found something that needs attention."""


_NO_OUTPUT = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What a write of our own text may fail with; a reader that left (EPIPE) is click's business."""


class _Lazy(click.Group):
    """A group whose overview needs no import of its commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(_COMMANDS[cmd_name][0]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _COMMANDS and not ctx.resilient_parsing and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            ctx.fail(f"there is no command {args[0]!r}" + (f"; did you mean {near[0]}?" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(
    cls=_Lazy, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="tapwright", prog_name="tapwright", message="%(prog)s %(version)s")
def tapwright() -> None:
    """Name a VM; get its packets, whole, in one file, with proof of what is missing."""


def main() -> None:
    """Run the command line; every error tapwright raises on purpose becomes one message and its exit code."""
    listen_to_ctrl_c()
    try:
        code = _run()
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in _NO_OUTPUT:
            raise
        _forget_output()
        click.echo(f"tapwright: cannot write the output: {error.strerror}", err=True)
        code = 1
    sys.exit(code)


def _run() -> int:
    try:
        code = tapwright(standalone_mode=False)
    except click.exceptions.Abort:
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except TapwrightError as error:
        from tapwright.cli.common import show_error

        show_error(error)
        code = error.exit_code
    return code if isinstance(code, int) else 0


def _forget_output() -> None:
    """What could not be written must not be tried again when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
