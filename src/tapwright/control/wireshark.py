"""Making Wireshark know tapwright: a small launcher in one of its extcap folders.

Where those are has changed with nearly every release, so Wireshark itself is asked.
"""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tapwright.adapters import command
from tapwright.errors import MissingDependency, PrivilegeError, ProviderError, UsageError
from tapwright.text import printable

MAX_SNAPLEN = 262_144
_NAME = "tapwright"
_MARK = "# Written by `tapwright extcap install`."
_PROGRAMS = ("tshark", "wireshark")
_SECONDS = 60.0
"""For tshark, which runs every extcap program there is."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Where Wireshark looks for extcap programs."""

    personal: Path
    system: Path


@dataclass(frozen=True, slots=True)
class Status:
    """One launcher."""

    path: str
    installed: bool
    current: bool
    """It starts this tapwright, not another or one that is gone."""
    known: bool
    """Wireshark finds it."""


def folders() -> Folders:
    """Ask Wireshark.  Raises MissingDependency, ProviderError."""
    found = _folders(_ask("folders"))
    system = found.get("global extcap path") or found.get("extcap path")
    personal = found.get("personal extcap path") or _before_4_2(found)
    if not system or not personal:
        raise ProviderError("Wireshark does not say where its extcap folders are", "see: tshark -G folders")
    return Folders(Path(personal), Path(system))


def install(folder: Path) -> tuple[Path, bool]:
    """Put the launcher there; its path, and whether anything had to be done.

    Raises UsageError when a stranger's file has its name, PrivilegeError, ProviderError.
    """
    path, text = folder / _NAME, _launcher()
    if _is_ours(path) and path.read_text() == text and os.access(path, os.X_OK):
        return path, False
    if path.exists() and not _is_ours(path):
        raise UsageError(f"{path} is not tapwright's", "move it away first")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{_NAME}.{os.getpid()}")
        new.write_text(text)
        new.chmod(0o755)
        new.replace(path)
    except PermissionError:
        raise PrivilegeError(
            f"not allowed to write {path}", "run it with sudo, or install it without --system"
        ) from None
    except OSError as error:
        raise ProviderError(f"cannot write {path}: {error.strerror}") from None
    return path, True


def uninstall(folder: Path) -> tuple[Path, bool]:
    """Take the launcher away; its path, and whether it was there.  A stranger's file of that name stays."""
    path = folder / _NAME
    if not _is_ours(path):
        return path, False
    try:
        path.unlink()
    except PermissionError:
        raise PrivilegeError(f"not allowed to remove {path}", "run it with sudo") from None
    return path, True


def status(folder: Path) -> Status:
    """How the launcher of that folder is.  Raises MissingDependency, ProviderError."""
    path = folder / _NAME
    installed = _is_ours(path)
    known = installed and str(path) in _ask("plugins")
    return Status(str(path), installed, installed and path.read_text() == _launcher(), known)


def listed() -> list[str]:
    """Our interfaces as ``tshark -D`` lists them.  Raises MissingDependency, ProviderError."""
    lines = command.run(["tshark", "-D"], timeout=_SECONDS).stdout.splitlines()
    return [line.partition(". ")[2] for line in lines if "tapwright:" in line]


def _ask(topic: str) -> str:
    """What ``tshark -G TOPIC`` prints, or Wireshark itself where there is no tshark."""
    for program in _PROGRAMS:
        if command.installed(program):
            return command.run([program, "-G", topic], timeout=_SECONDS).stdout
    raise MissingDependency("neither tshark nor wireshark is installed", "apt install tshark (Fedora: wireshark-cli)")


def _folders(text: str) -> dict[str, str]:
    """``NAME:<tab>PATH`` lines, the first of a name."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, path = line.partition(":")
        if colon:
            found.setdefault(name.strip().casefold(), path.strip())
    return found


def _before_4_2(found: dict[str, str]) -> str:
    """Older ones read this folder, too, but do not name it."""
    configuration = found.get("personal configuration")
    return f"{configuration}/extcap" if configuration else ""


def sentence(kind: str, **values: str) -> str:
    """One line of the extcap protocol; braces delimit values, so there can be none in them."""
    safe = {key: printable(value).replace("{", "(").replace("}", ")") for key, value in values.items()}
    return f"{kind} " + "".join(f"{{{key}={value}}}" for key, value in safe.items())


DLTS = (sentence("dlt", number="1", name="EN10MB", display="Ethernet"),)
OPTIONS = (
    sentence(
        "arg", number="0", call="--snaplen", display="Bytes kept of each packet", type="unsigned",
        range=f"1,{MAX_SNAPLEN}", default=str(MAX_SNAPLEN),
        tooltip="The rest is never copied by the kernel; 96 keeps the headers",
    ),
    sentence(
        "arg", number="1", call="--filter", display="Filter", type="string", required="false",
        tooltip="pcap filter run by the kernel, also with the primitive vm NAME",
    ),
)  # fmt: skip
"""What every interface of ours is and can be told."""


def _launcher() -> str:
    """A shell script that starts this Python, but answers itself what is the same for every interface.

    Wireshark asks that of each of them whenever it starts, and a host may have a thousand.
    """
    return _LAUNCHER.format(
        mark=_MARK,
        options=" ".join(map(shlex.quote, OPTIONS)),
        dlts=" ".join(map(shlex.quote, DLTS)),
        python=shlex.quote(sys.executable),
    )


# -P: a folder Wireshark happens to be started in must not be where Python looks for modules.
_LAUNCHER = """\
#!/bin/sh
{mark}
for argument; do
    case $argument in
    --capture) break ;;
    --extcap-config) printf '%s\\n' {options}; exit ;;
    --extcap-dlts) printf '%s\\n' {dlts}; exit ;;
    esac
done
exec {python} -P -m tapwright.extcap "$@"
"""


def _is_ours(path: Path) -> bool:
    with suppress(OSError, UnicodeDecodeError):
        return _MARK in path.read_text()
    return False
