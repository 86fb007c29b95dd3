"""What passed at a device while something was sent, as tcpdump wrote it: the judge of what a mirror copies."""

import signal
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from support import short_folder
from support.packets import send

_MARKER = bytes.fromhex("88b6")
MARKERS = "ether proto 0x88b6"
"""What a filter under test has to let through too, so that it is known when all frames have come by."""
_PATIENCE = 60


@dataclass(frozen=True)
class Tape:
    """A running tcpdump; `peel` bytes in front of each frame are a tunnel's."""

    path: Path
    peel: int = 0

    def frames(self) -> list[bytes]:
        """Those written so far."""
        data, at, found = self.path.read_bytes(), 24, []
        while at + 16 <= len(data):
            size, whole = struct.unpack_from("=II", data, at + 8)
            assert size == whole
            if at + 16 + size > len(data):
                break
            found.append(data[at + 16 + self.peel : at + 16 + size])
            at += 16 + size
        return found


def marker(number: int) -> bytes:
    return b"\xff" * 6 + b"\x02\x88\xb6" + number.to_bytes(3, "big") + _MARKER + bytes(46)


def _number(frame: bytes) -> int | None:
    return int.from_bytes(frame[9:12], "big") if frame[12:14] == _MARKER else None


@contextmanager
def tape(netns: str, device: str, text: str = "", peel: int = 0) -> Iterator[Tape]:
    """What tcpdump takes down at a device of what its own filter lets through."""
    with short_folder() as folder:
        path = folder / "tape.pcap"
        argv = ["tcpdump", "-Z", "root", "-n", "-U", "--immediate-mode", "-B", "65536", "-i", device, "-w", str(path)]
        with subprocess.Popen(
            ["ip", "netns", "exec", netns, *argv, *([text] if text else [])], stderr=subprocess.PIPE, text=True
        ) as running:
            try:
                said = running.stderr.readline() if running.stderr else ""
                assert "listening on" in said, said
                yield Tape(path, peel)
            finally:
                running.send_signal(signal.SIGINT)
                running.communicate(timeout=20)


@dataclass(frozen=True)
class Speaker:
    """Somebody who sends frames out of a device."""

    netns: str
    frames: Sequence[bytes]
    device: str = "eth0"


def recorded(tapes: Sequence[Tape], speakers: Sequence[Speaker]) -> list[Counter[bytes]]:
    """What each tape has of all that the speakers say, once it has all of it.

    Each speaker begins and ends with markers, which every tape has to see.
    """
    for number, speaker in enumerate(speakers):
        _until_all(tapes, 1 + number, lambda s=speaker, n=number: send(s.netns, s.device, [marker(1 + n)]))
    for number, speaker in enumerate(speakers):
        send(speaker.netns, speaker.device, [*speaker.frames, marker(101 + number)])
        _until_all(tapes, 101 + number)
    return [Counter(frame for frame in each.frames() if _number(frame) is None) for each in tapes]


def _until_all(tapes: Sequence[Tape], number: int, again: Callable[[], None] = lambda: None) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not all(number in map(_number, each.frames()) for each in tapes):
        missing = [n for n, each in enumerate(tapes) if number not in map(_number, each.frames())]
        assert time.monotonic() < deadline, f"tapes {missing} did not see marker {number}"
        again()
        time.sleep(0.1)


@contextmanager
def tapes(*asked: tuple[str, str, str, int]) -> Iterator[list[Tape]]:
    """Several at once: namespace, device, filter, bytes to peel."""
    with ExitStack() as stack:
        yield [stack.enter_context(tape(*each)) for each in asked]
