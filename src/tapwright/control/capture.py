"""A running capture: the native engine, its output and its ledger, as one context manager."""

from __future__ import annotations

import errno
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from tapwright import _core
from tapwright.capture.ledger import Ledger, ledger
from tapwright.capture.request import Limits, Output, Section, Source
from tapwright.capture.size import check
from tapwright.errors import CaptureError, PrivilegeError, TapwrightError, UsageError

if TYPE_CHECKING:
    from tapwright.capture.governor import Decision
    from tapwright.capture.policy import Policy
    from tapwright.control.delivery import Delivery
    from tapwright.control.governor import Governor

_CAPABILITY_HINT = (
    "run it with sudo, or give the process CAP_NET_RAW, and CAP_SYS_ADMIN where a VM lives in another network namespace"
)


_PROVE = 1.0
"""Seconds between two looks at whether copies arrive."""
_LOOK = 0.5
"""Seconds between two looks at the counters while somebody waits."""


class Capture:
    """One running capture.  Opened by `tapwright.capture`; leaving the `with` block completes the file.

    Every socket, filter and file is open when the constructor returns, so no packet after it
    is missed; when it raises, nothing is left behind.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        section: Section,
        output: Output,
        limits: Limits,
        *,
        filtered_by: str = "kernel",
        unseen: tuple[str, ...] = (),
        policy: Policy | None = None,
    ) -> None:
        """`policy` is what it may take of the host; without one it takes what it needs."""
        self._filtered_by = filtered_by
        check(sources, section, output, limits)
        self._engine, self.sources = _open_present(tuple(sources), section, output, limits)
        self.absent = tuple(source.name for source in sources if source not in self.sources)
        """Sources whose device was gone before it could be opened; the others are captured."""
        self.unseen = unseen
        """VMs and vNICs that were asked for and cannot be read at all."""
        self.left = ""
        """What the end of the capture could not undo on the host, and the next step; "" when nothing."""
        self.deliveries: tuple[tuple[str, Delivery], ...] = ()
        """Of each vNIC that a mirror shows, whether its copies arrive, as of the last look."""
        self._closing = ExitStack()
        self._ports: dict[int, int] = {}
        """What each source's port had counted when it was last read."""
        self._snaplen = limits.snaplen
        self._engine.start()
        self.governor: Governor | None = None
        """What steps it down for the sake of the host; None where nothing does."""
        if policy:
            self._govern(policy, output.path)

    def __enter__(self) -> Capture:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.wait()

    def keep(self, closing: ExitStack, ends: threading.Event | None = None) -> None:
        """Close `closing` when the capture has ended, and end when `ends` is set."""
        self._closing.push(closing)
        if ends is not None:
            self._closing.callback(ends.set)
            threading.Thread(target=self._stop_when, args=(ends,), name="end", daemon=True).start()

    def prove(self, look: Callable[[_core.EngineStats], tuple[tuple[str, Delivery], ...]]) -> None:
        """Have `look` say about once a second, in a thread of its own, whether what is mirrored arrives."""
        threading.Thread(target=self._prove, args=(look,), name="delivery", daemon=True).start()

    def _prove(self, look: Callable[[_core.EngineStats], tuple[tuple[str, Delivery], ...]]) -> None:
        while not self._engine.wait(_PROVE):
            found = look(self.stats)
            # At the end the mirror goes, and a look that lasted until then may have missed it.
            if not self._engine.wait(0.0):
                self.deliveries = found

    def _stop_when(self, ends: threading.Event) -> None:
        ends.wait()
        self.stop()

    def _close(self) -> None:
        """What was opened for the capture is not needed any more."""
        try:
            self._closing.close()
        except TapwrightError as error:
            self.left = error.line

    def _govern(self, policy: Policy, path: str) -> None:
        # Packets come already, and need not wait for this.
        from tapwright.capture.governor import ladder
        from tapwright.control.governor import GovernedCapture, Governor, watch

        governed = GovernedCapture(self._engine, self.sources, self._snaplen, path)
        cuts = any(not source.judge for source in self.sources)
        self.governor = Governor(policy, governed, ladder(self._snaplen, cuts=cuts), cuts=cuts)
        watch(self)

    @property
    def whole(self) -> bool:
        """Whether no step down is in force."""
        return not self.governor or not self.governor.level

    @property
    def steps(self) -> tuple[Decision, ...]:
        """Every step down or up that the governor has made."""
        return self.governor.decisions if self.governor else ()

    def look_at_host(self) -> float | None:
        """Let the governor look, and step where that is due: seconds until the next look, None once there is none."""
        governor = self.governor
        if governor is None or governor.stopped or self._engine.wait(0):
            return None
        governor.tick()
        return governor.pause

    def stop(self) -> None:
        """Ask it to end.  What the kernel holds already is still written.  Returns at once."""
        self._engine.stop()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it has ended, at most `seconds`; True when it has."""
        end = math.inf if seconds is None else time.monotonic() + seconds
        while True:
            left = max(0.0, end - time.monotonic())
            ended = self._engine.wait(min(left, _LOOK))
            self._look()
            if ended:
                self._close()
            if ended or left <= _LOOK:
                return ended

    @property
    def stats(self) -> _core.EngineStats:
        """The counters now."""
        return self._look()

    def _look(self) -> _core.EngineStats:
        """The counters now; what a port counted is kept, since a device takes its counters with it when it goes."""
        stats = self._engine.stats()
        self._ports |= {n: s.port_packets for n, s in enumerate(stats.sources) if s.port_packets is not None}
        return stats

    @property
    def ledger(self) -> Ledger:
        """The account: final once the capture has ended, a running one before."""
        stats = self.stats
        filtered = any(source.filter or not source.is_a_vms for source in self.sources)
        return ledger(stats.sources, filtered=filtered, ended=stats.ended, by=self._filtered_by, last=self._ports)

    def batches(self, timeout: float = 0.5) -> Iterator[_core.Batch]:
        """The packets as columns, until the capture ends; only without an output file.

        Yields whenever packets came, at the latest `timeout` seconds after the first of them.
        """
        while True:
            ended = self._engine.wait(0)
            batch = self._engine.next_batch(timeout)
            if batch is not None:
                yield batch
            elif ended:
                self._close()
                return


_GONE = (errno.ENODEV, errno.ENXIO, errno.ENOENT)


def _open_present(
    sources: tuple[Source, ...], section: Section, output: Output, limits: Limits
) -> tuple[_core.Engine, tuple[Source, ...]]:
    """Open the engine on those sources that are still there.

    On a busy host a VM may stop between the look and the opening; that is no reason to miss the others.
    """
    while True:
        try:
            return _open(sources, section, output, limits), sources
        except CaptureError as error:
            present = (
                _present(sources) if isinstance(error.__cause__, OSError) and error.__cause__.errno in _GONE else ()
            )
            if not present or len(present) == len(sources):
                raise
            sources = present


def _present(sources: tuple[Source, ...]) -> tuple[Source, ...]:
    """The sources whose devices exist at this moment."""
    counted = _core.link_counters([(source.netns, [source.index]) for source in sources])
    return tuple(source for source, found in zip(sources, counted, strict=True) if found[0] is not None)


def _open(sources: Sequence[Source], section: Section, output: Output, limits: Limits) -> _core.Engine:
    """Open the engine, with the kernel's refusals in our own words."""
    try:
        return _core.Engine(sources, section, output, limits)
    except PermissionError as error:
        if error.filename and error.filename == output.path:
            raise CaptureError(f"cannot write {output.path}: permission denied") from None
        raise PrivilegeError(f"the kernel refused a packet socket: {error}", _CAPABILITY_HINT) from None
    except FileExistsError:
        raise UsageError(f"{output.path} exists already", "add --force to overwrite it") from None
    except OSError as error:
        if output.path and str(error.filename).startswith(output.path):
            raise _unwritable(output.path, error) from None
        raise CaptureError(_explain(error), _next_step(error)) from error


def _unwritable(path: str, error: OSError) -> CaptureError:
    """What is wrong with the file is no matter of VMs."""
    folder = Path(path).parent
    if not folder.is_dir():
        return CaptureError(f"cannot write {path}: there is no folder {folder}", "make it, or choose another place")
    return CaptureError(f"cannot write {path}: {error.strerror}", "choose another place, such as a file in /var/tmp")


def _explain(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def _next_step(error: OSError) -> str:
    if error.errno == errno.ENOMEM:
        return "the filter or the rings need more memory: sysctl -w net.core.optmem_max=1048576, or a smaller --buffer"
    if error.errno in (errno.ENODEV, errno.ENXIO, errno.ENOENT):
        return "the VM may have stopped or moved: look again with `tapwright ls`"
    return ""
