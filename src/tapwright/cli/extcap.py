"""``tapwright extcap``: VMs as interfaces in Wireshark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tapwright.cli.common import emit_json, json_option
from tapwright.text import printable

if TYPE_CHECKING:
    from tapwright.control.wireshark import Status

_EPILOG = """\b
Examples:
  tapwright extcap install            for this user
  tshark -D                           VMs are among the interfaces now
  tshark -i web-1/eth0 -c 10          by its name, or by what stands before it

Wireshark must be allowed what tapwright needs: run both as root, or use
`sudo tapwright capture web-1 -w - | wireshark -k -i -` instead."""

_system = click.option("--system", is_flag=True, help="For all users of this machine.")


@click.group(epilog=_EPILOG)
def extcap() -> None:
    """Make VMs appear as interfaces in Wireshark and tshark."""


@extcap.command(
    short_help="Put a launcher into Wireshark's folder.",
    epilog="\b\nExamples:\n  tapwright extcap install\n  sudo tapwright extcap install --system",
)
@_system
def install(system: bool) -> None:
    """Put a launcher into Wireshark's extcap folder; again does no harm."""
    from tapwright.control import wireshark

    path, done = wireshark.install(_folder(system))
    click.echo(f"{printable(str(path))}: {'installed' if done else 'was installed already'}")
    click.echo("Next: tshark -D (Wireshark: Capture > Refresh Interfaces, F5)")


@extcap.command(epilog="\b\nExample:\n  tapwright extcap uninstall")
@_system
def uninstall(system: bool) -> None:
    """Take the launcher away."""
    from tapwright.control import wireshark

    path, done = wireshark.uninstall(_folder(system))
    click.echo(f"{printable(str(path))}: {'removed' if done else 'was not installed'}")


@extcap.command(
    short_help="Say whether Wireshark finds it.",
    epilog="\b\nExamples:\n  tapwright extcap status\n  tapwright extcap status --json | jq .interfaces",
)
@json_option
def status(as_json: bool) -> None:
    """Say where the launcher is, and whether Wireshark finds it and what it offers."""
    from tapwright.control import wireshark

    places = wireshark.folders()
    found = [wireshark.status(folder) for folder in (places.personal, places.system)]
    interfaces = wireshark.listed() if any(one.known for one in found) else []
    if as_json:
        emit_json({"launchers": found, "interfaces": interfaces})
        return
    for one in found:
        click.echo(f"{printable(one.path)}: {_state(one)}")
    for line in interfaces:
        click.echo(f"  {printable(line)}")


def _folder(system: bool) -> Path:
    from tapwright.control import wireshark

    places = wireshark.folders()
    return places.system if system else places.personal


def _state(one: Status) -> str:
    if not one.installed:
        return "not installed"
    if not one.known:
        return "installed, but Wireshark does not find it"
    return "installed" if one.current else "installed for another tapwright; install it again"
