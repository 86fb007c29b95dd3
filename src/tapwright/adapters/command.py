"""The one place that runs external programs.

Always an argument list, never a shell; always a time limit; standard error is kept for the
message.  A program that is not installed becomes MissingDependency naming its Debian package,
one that fails or hangs becomes ProviderError, one the kernel refuses to run PrivilegeError.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tapwright.errors import MissingDependency, PrivilegeError, ProviderError

_PACKAGES = {
    "apt-get": "apt",
    "bridge": "iproute2",
    "dpkg-deb": "dpkg",
    "ip": "iproute2",
    "libvirtd": "libvirt-daemon",
    "nft": "nftables",
    "nsenter": "util-linux",
    "ovn-controller": "ovn-host",
    "ovn-nbctl": "ovn-common",
    "ovn-northd": "ovn-central",
    "ovn-sbctl": "ovn-common",
    "ovs-appctl": "openvswitch-switch",
    "ovs-vsctl": "openvswitch-switch",
    "ovs-vswitchd": "openvswitch-switch",
    "ovsdb-server": "openvswitch-switch",
    "ovsdb-tool": "openvswitch-switch",
    "qemu-system-x86_64": "qemu-system-x86",
    "setsid": "util-linux",
    "tc": "iproute2",
    "unshare": "util-linux",
    "virsh": "libvirt-clients",
}
"""program -> the Debian (and Ubuntu) package that brings it"""

_EXTRA_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where network programs live; Debian leaves these out of an ordinary user's PATH."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a program ended and what it said; undecodable bytes are replaced."""

    argv: tuple[str, ...]
    code: int
    """Exit status; negative is the number of the signal that ended it."""
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether it exited with 0."""
        return self.code == 0


def find(program: str) -> str:
    """The full path of `program`.  Raises MissingDependency naming the Debian package."""
    path = shutil.which(program, path=search_path(os.environ))
    if path is None and "/" in program:
        raise MissingDependency(f"{program} cannot be run", f"is it there, and may this user run it? ls -lL {program}")
    if path is None:
        package = _PACKAGES.get(program, program)
        raise MissingDependency(f"{program} is not installed", f"apt install {package}")
    return path


def installed(program: str) -> bool:
    """Whether `program` can be found."""
    return shutil.which(program, path=search_path(os.environ)) is not None


def search_path(environment: Mapping[str, str]) -> str:
    """PATH with the system directories that an ordinary user's lacks."""
    return f"{environment.get('PATH', os.defpath)}:{_EXTRA_PATH}"


def run(
    argv: Sequence[str],
    *,
    stdin: str = "",
    timeout: float = 10.0,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    check: bool = True,
) -> Result:
    """Run a program to its end and return what it said.

    `timeout` is in seconds; `env` replaces the whole environment (None keeps ours).  With
    `check` a status other than 0 raises ProviderError with what the program wrote to standard
    error.  Also raises MissingDependency, PrivilegeError, and ProviderError on a timeout.
    """
    try:
        done = subprocess.run(
            [find(argv[0]), *argv[1:]],
            input=stdin.encode(),
            capture_output=True,
            timeout=timeout,
            env=env,
            cwd=cwd,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ProviderError(f"{argv[0]} gave no answer within {timeout:g} s", _spelled(argv)) from None
    except PermissionError as error:
        raise PrivilegeError(f"not allowed to run {argv[0]}: {error.strerror}") from None
    except OSError as error:
        raise ProviderError(f"{argv[0]} could not be run: {error.strerror}", _spelled(argv)) from None
    result = Result(tuple(argv), done.returncode, *(s.decode(errors="replace") for s in (done.stdout, done.stderr)))
    if check and not result.ok:
        raise ProviderError(f"{argv[0]} failed: {_complaint(result)}", _spelled(argv))
    return result


def start(argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, both outputs appended to `log`; the caller waits for its end.

    Raises MissingDependency, ProviderError.
    """
    try:
        with log.open("ab") as output:
            return subprocess.Popen(
                [find(argv[0]), *argv[1:]],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                cwd="/",
                start_new_session=True,
            )
    except OSError as error:
        raise ProviderError(f"{argv[0]} could not be started: {error.strerror}", _spelled(argv)) from None


def detach(argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> None:
    """Start a program that outlives us and is nobody's child, both outputs appended to `log`.

    Raises MissingDependency, ProviderError.
    """
    find(argv[0])
    start(["setsid", "--fork", *argv], log=log, env=env).wait()


def become(argv: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Let this process become the program: same pid, terminal and signals.  Raises MissingDependency, ProviderError."""
    path = find(argv[0])
    try:
        os.execve(path, list(argv), env)  # noqa: S606
    except OSError as error:
        raise ProviderError(f"{argv[0]} could not be run: {error.strerror}", _spelled(argv)) from None


def _complaint(result: Result) -> str:
    said = result.stderr.strip() or result.stdout.strip()
    return said or (f"exit status {result.code}" if result.code >= 0 else f"ended by signal {-result.code}")


def _spelled(argv: Sequence[str]) -> str:
    return f"the command was: {subprocess.list2cmdline(argv)}"
