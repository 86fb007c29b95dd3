"""One verb at work in a native thread: how far it is, how to stop it, what came of it."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Generic, TypeVar

from tapwright import _core
from tapwright.errors import CaptureError, TapwrightError, UsageError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is."""

    read: int
    """Bytes of the files themselves."""
    total: int
    """Bytes there are to read; 0 when nobody knows."""
    packets: int


class Job(Generic[T]):
    """Started when it is made; nothing it writes has its name before it is complete."""

    def __init__(self, native: _core.OfflineJob, kind: type[T]) -> None:
        self._native = native
        self._kind = kind
        import msgspec  # while the native thread is at work

        self._convert = msgspec.convert

    @property
    def progress(self) -> Progress:
        """How far it is now."""
        return Progress(self._native.read, self._native.total, self._native.packets)

    def wait(self, seconds: float) -> bool:
        """Wait at most so long; True when it has ended."""
        return self._native.wait(seconds)

    def stop(self) -> None:
        """Ask it to end without a result; what it wrote is removed."""
        self._native.stop()

    def result(self) -> T:
        """Wait for the end.

        Raises UsageError on files that are not there or exist already, CaptureError when the
        disk is full, InterruptedError after `stop`, BrokenPipeError when the reader of a pipe
        went away, TapwrightError otherwise.
        """
        try:
            return self._convert(self._native.result(), self._kind)
        except (InterruptedError, BrokenPipeError):
            raise
        except OSError as error:
            raise _explained(error) from None
        except ValueError as error:
            raise TapwrightError(str(error), _next_step(str(error))) from None


def _explained(error: OSError) -> TapwrightError:
    where = f"{error.filename}: " if error.filename else ""
    if isinstance(error, FileExistsError):
        return UsageError(f"{error.filename} exists already", "add --force to overwrite it, or choose another name")
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return CaptureError(f"{where}no space left; nothing was written", "make room, or write somewhere else")
    if error.errno in (errno.ENOENT, errno.EISDIR, errno.ENOTDIR):
        return UsageError(f"{where}{error.strerror}")
    return TapwrightError(f"{where}{error.strerror or error}")


def _next_step(message: str) -> str:
    if "one link type" in message:
        return "write pcapng, which can hold several: name the output with .pcapng"
    if "neither pcap nor pcapng" in message:
        return "tapwright reads pcap and pcapng, also compressed with gzip, zstd or lz4"
    return ""
