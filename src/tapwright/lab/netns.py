"""Work inside network namespaces: `ip` batches, kernel settings, offloads."""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tapwright.adapters import command, namespaces
from tapwright.errors import PrivilegeError, ProviderError
from tapwright.lab.plan import NETNS_FOLDER
from tapwright.lab.userns import unmount

_SIOCETHTOOL = 0x8946
_ETHTOOL_STXCSUM = 0x17


def ip(lines: Iterable[str], env: Mapping[str, str], netns: str = "", program: str = "ip") -> None:
    """Feed lines to one ``ip -batch -`` (or `bridge`) in a namespace.  Raises ProviderError with its complaint."""
    text = "".join(f"{line}\n" for line in lines)
    if text:
        command.run([program, *(["-n", netns] if netns else []), "-batch", "-"], stdin=text, env=env, timeout=30.0)


def run(
    netns: str, argv: Sequence[str], env: Mapping[str, str], stdin: str = "", timeout: float = 10.0
) -> command.Result:
    """Run a program in a namespace.  Raises ProviderError when it fails."""
    return command.run(["ip", "netns", "exec", netns, *argv], stdin=stdin, env=env, timeout=timeout)


def delete(names: Sequence[str]) -> None:
    """Delete the namespaces that exist.  Raises ProviderError when one is still there afterwards."""
    there = [name for name in names if Path(NETNS_FOLDER, name).exists()]
    if not there:
        return
    batch = "".join(f"netns del {name}\n" for name in there)
    done = command.run(["ip", "-force", "-batch", "-"], stdin=batch, timeout=30.0, check=False)
    left = [name for name in there if Path(NETNS_FOLDER, name).exists()]
    if left:
        raise ProviderError(f"cannot delete network namespaces {', '.join(left)}: {done.stderr.strip()}")


def remove_folder() -> None:
    """Undo what the first ``ip netns add`` of a machine leaves behind, unless somebody else uses it by now."""
    folder = Path(NETNS_FOLDER)
    if folder.is_dir() and not any(folder.iterdir()):
        with suppress(OSError):
            unmount(folder)
        with suppress(OSError):
            folder.rmdir()


def settle(netns: str, settings: Mapping[str, str]) -> None:
    """Write kernel settings of a namespace (``net/ipv4/ip_forward`` -> ``1``); what this kernel lacks is skipped."""

    def write() -> None:
        for name, value in settings.items():
            path = Path("/proc/sys", name)
            if path.exists():
                path.write_text(value)

    inside(netns, write)


def complete_checksums(netns: str, device: str) -> None:
    """Turn off transmit checksum offload of a device (the kernel drops segmentation offload with it)."""

    def turn_off() -> None:
        value = array.array("I", [_ETHTOOL_STXCSUM, 0])
        request = struct.pack("16sP16x", device.encode(), value.buffer_info()[0])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, _SIOCETHTOOL, request)

    inside(netns, turn_off)


def inside(netns: str, work: Callable[[], None]) -> None:
    """Do `work` in a namespace, on a thread of its own: the caller never leaves its own namespace.

    Raises PrivilegeError when the kernel refuses, ProviderError for any other failure of the system.
    """
    try:
        namespaces.inside(f"{NETNS_FOLDER}/{netns}", work)
    except OSError as error:
        kind = PrivilegeError if isinstance(error, PermissionError) else ProviderError
        raise kind(f"in network namespace {netns}: {error}") from None
