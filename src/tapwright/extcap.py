"""The face towards Wireshark: VMs as capture interfaces, by the extcap protocol (extcap(4)).

Wireshark and tshark run this program with one of these and read what it prints:

    --extcap-interfaces                                     one sentence for each VM and vNIC
    --extcap-dlts --extcap-interface=I                      Ethernet
    --extcap-config --extcap-interface=I                    the options a person may set
    --extcap-capture-filter=F --extcap-interface=I          nothing, or what is wrong with F
    --capture --extcap-interface=I --fifo=PATH [...]        pcapng into PATH until SIGTERM

An interface is ``tapwright:ID`` (all vNICs of a VM) or ``tapwright:ID/NIC``, percent-encoded.
"""

from __future__ import annotations

import argparse
import errno
import os
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from types import FrameType
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from tapwright.control.wireshark import DLTS, MAX_SNAPLEN, OPTIONS, sentence
from tapwright.errors import CaptureError, FilterError, NotFound, TapwrightError, UsageError
from tapwright.signals import handled
from tapwright.text import printable

if TYPE_CHECKING:
    from tapwright.control.capture import Capture
    from tapwright.find.topology import Topology
    from tapwright.model import Vm, Vnic

_PREFIX = "tapwright:"
_PATIENCE = 30
"""Tenths of a second to wait for Wireshark to read."""
_WANTED_END = frozenset({"stopped", "output gone"})
"""How a capture ends when Wireshark says so: by a signal, or by going away."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer one call of Wireshark's; the exit status.  An error is one line on standard error."""
    options = _parser().parse_known_args(arguments)[0]
    try:
        _answer(options)
    except TapwrightError as error:
        print(_one_line(error), file=sys.stderr)
        _release(options.fifo)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "tapwright.extcap", description="VMs as interfaces in Wireshark", allow_abbrev=False
    )
    for flag in ("interfaces", "dlts", "config"):
        parser.add_argument(f"--extcap-{flag}", action="store_true", dest=flag)
    parser.add_argument("--capture", action="store_true")
    parser.add_argument("--extcap-interface", default="", dest="interface")
    parser.add_argument("--extcap-capture-filter", default="", dest="capture_filter")
    parser.add_argument("--extcap-version", default="", dest="wireshark")
    parser.add_argument("--fifo", default="")
    parser.add_argument("--filter", default="")
    parser.add_argument("--snaplen", type=int, default=MAX_SNAPLEN)
    return parser


def _answer(options: argparse.Namespace) -> None:
    if options.interfaces:
        _print(_interfaces())
    elif options.dlts:
        _print(DLTS)
    elif options.config:
        _print(OPTIONS)
    elif options.capture:
        _capture(options)
    elif options.capture_filter:
        _judge(options.interface, options.capture_filter)
    else:
        raise UsageError("this program is run by Wireshark", "see: tapwright extcap --help")


def _print(lines: Sequence[str] | Iterator[str]) -> None:
    for line in lines:
        print(line)


def _interfaces() -> Iterator[str]:
    from tapwright.control.local import look

    yield sentence("extcap", version=version("tapwright"), display="Packets of VMs and containers (tapwright)")
    topology = look()
    for vm in topology.vms:
        plugged = [vnic for vnic in vm.vnics if vnic.device or vnic.inner or topology.port_of(vnic)]
        if len(plugged) > 1:
            yield sentence("interface", value=interface(vm), display=f"{vm.name}, all {len(plugged)} vNICs (tapwright)")
        for vnic in plugged:
            yield sentence("interface", value=interface(vm, vnic), display=f"{_place(topology, vm, vnic)} (tapwright)")


def interface(vm: Vm, vnic: Vnic | None = None) -> str:
    """What Wireshark calls a VM's vNIC, or all of them together."""
    name = f"{_PREFIX}{quote(vm.id, safe='')}"
    return f"{name}/{quote(vnic.name, safe='')}" if vnic else name


def _place(topology: Topology, vm: Vm, vnic: Vnic) -> str:
    port = topology.port_of(vnic)
    switch = topology.switch(port.switch) if port else None
    return f"{vm.name}/{vnic.name}" + (f" on {switch.name}" if switch else "")


def _named(value: str) -> str:
    """``ID`` or ``ID/NIC`` as commands take it.  Raises NotFound."""
    if not value.startswith(_PREFIX):
        raise NotFound(f"{value!r} is not an interface of tapwright", "see: tshark -D")
    return unquote(value.removeprefix(_PREFIX))


def _judge(value: str, text: str) -> None:
    """Print what is wrong with a capture filter; nothing when it is right, as Wireshark expects it."""
    from tapwright.control.plan import plan
    from tapwright.control.wish import Wish

    try:
        plan(Wish(vms=(_named(value),), filter=text), interval=0)
    except FilterError as error:
        print(_one_line(error))


def _capture(options: argparse.Namespace) -> None:
    """Raises what `prepare` and `start` raise, and CaptureError when it ended by itself."""
    from tapwright import config as configuration
    from tapwright.capture.policy import parse_policy
    from tapwright.control.prepare import prepare, start
    from tapwright.control.wish import Wish

    texts = [text for text in (options.capture_filter.strip(), options.filter.strip()) if text]
    wish = Wish(
        vms=(_named(options.interface),),
        filter=texts[0] if len(texts) == 1 else " and ".join(f"({text})" for text in texts),
        snaplen=min(max(options.snaplen, 1), MAX_SNAPLEN),
        governor=parse_policy(configuration.load().governor),
    )
    with _stoppable() as stop:
        prepared = prepare(wish)
        fd = _opened(options.fifo)
        try:
            with start(prepared, fd=fd) as running:
                stop.capture = running
                _follow(running, fd)
        finally:
            os.close(fd)
    if running.stats.ended not in _WANTED_END:
        raise CaptureError(f"the capture ended: {running.stats.ended.removeprefix('error: ')}")


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_WRONLY)
    except OSError as error:
        raise CaptureError(f"cannot write to {path or 'no FIFO'}: {error.strerror}") from None


def _release(path: str) -> None:
    """Let Wireshark go on, which waits for somebody to open its FIFO, before it shows the error."""
    for _ in range(_PATIENCE):
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        except OSError as error:
            if error.errno != errno.ENXIO:
                return
        else:
            return
        time.sleep(0.1)


def _follow(running: Capture, fd: int) -> None:
    """Wait for the end, also when Wireshark is gone and no packet comes whose writing would tell."""
    pipe = select.poll()
    pipe.register(fd, 0)
    while not running.wait(0.25):
        if any(event & select.POLLERR for _, event in pipe.poll(0)):
            running.stop()


class _Stop:
    """What Wireshark's SIGTERM does: end the capture, or this program when there is none yet."""

    capture: Capture | None = None

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        if self.capture is None:
            raise SystemExit(0)
        self.capture.stop()


@contextmanager
def _stoppable() -> Iterator[_Stop]:
    stop = _Stop()
    with handled(stop, (signal.SIGTERM, signal.SIGINT)):
        yield stop


def _one_line(error: TapwrightError) -> str:
    place = ""
    if isinstance(error, FilterError) and error.position is not None:
        place = f" (character {error.position + 1} of the filter)"
    hint = f"; {' / '.join(error.hint.splitlines())}" if error.hint else ""
    return printable(f"tapwright: {error.message}{place}{hint}")


if __name__ == "__main__":
    sys.exit(main())
