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
_AGAIN = 0.1
"""Seconds after which a marker that was not seen is said once more."""
_AT_ONCE = 60
"""Frames said in one go: queues on the way have room for them, also where the machine is busy."""
Unwrap = Callable[[bytes], bytes]


def behind(count: int) -> Unwrap:
    """The frame behind so many bytes of a tunnel's."""
    return lambda packet: packet[count:]


def tagged(vlan: int) -> Unwrap:
    """The frame with a tag."""
    return lambda frame: frame[:12] + b"\x81\0" + vlan.to_bytes(2, "big") + frame[12:]


def untagged(packet: bytes) -> bytes:
    """The frame without its outermost tag."""
    return packet[:12] + packet[16:]


@dataclass(frozen=True)
class Tape:
    """A running tcpdump, and what the frame is in each packet that it takes down."""

    path: Path
    unwrapped: Unwrap = bytes

    def frames(self) -> list[bytes]:
        """Those written so far."""
        data, at, found = self.path.read_bytes(), 24, []
        while at + 16 <= len(data):
            size, whole = struct.unpack_from("=II", data, at + 8)
            assert size == whole
            if at + 16 + size > len(data):
                break
            found.append(self.unwrapped(data[at + 16 : at + 16 + size]))
            at += 16 + size
        return found


@dataclass(frozen=True)
class Joined:
    """Several tapes that are one account."""

    parts: Sequence[Tape]

    def frames(self) -> list[bytes]:
        return [frame for part in self.parts for frame in part.frames()]


def marker(number: int) -> bytes:
    return b"\xff" * 6 + b"\x02\x88\xb6" + number.to_bytes(3, "big") + _MARKER + bytes(46)


def _number(frame: bytes) -> int | None:
    return int.from_bytes(frame[9:12], "big") if frame[12:14] == _MARKER else None


@contextmanager
def tape(netns: str, device: str, text: str = "", unwrapped: Unwrap = bytes) -> Iterator[Tape]:
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
                yield Tape(path, unwrapped)
            finally:
                running.send_signal(signal.SIGINT)
                running.communicate(timeout=20)


@dataclass(frozen=True)
class Speaker:
    """Somebody who sends frames out of a device."""

    netns: str
    frames: Sequence[bytes]
    device: str = "eth0"
    dressed: Unwrap = bytes
    """What is put around markers."""


def recorded(tapes: Sequence[Tape | Joined], speakers: Sequence[Speaker]) -> list[Counter[bytes]]:
    """What each tape has of all that the speakers say, once it has all of it.

    Each speaker begins and ends with markers, which every tape has to see.
    """
    for number, speaker in enumerate(speakers):
        _until_all(tapes, speaker, 1 + number)
    for number, speaker in enumerate(speakers):
        for at in range(0, len(speaker.frames), _AT_ONCE):
            send(speaker.netns, speaker.device, speaker.frames[at : at + _AT_ONCE])
            _until_all(tapes, speaker, 1000 * (1 + number) + at)
    return [Counter(frame for frame in each.frames() if _number(frame) is None) for each in tapes]


def _until_all(tapes: Sequence[Tape | Joined], speaker: Speaker, number: int) -> None:
    """Say a marker until all have seen it: a switch may lose one where many flows are new to it."""
    deadline = time.monotonic() + _PATIENCE
    while missing := _without(tapes, number):
        assert time.monotonic() < deadline, f"tapes {missing} did not see marker {number}"
        send(speaker.netns, speaker.device, [speaker.dressed(marker(number))])
        again = time.monotonic() + _AGAIN
        while _without(tapes, number) and time.monotonic() < again:
            time.sleep(0.002)


def _without(tapes: Sequence[Tape | Joined], number: int) -> list[int]:
    """Those that have not seen that marker."""
    return [place for place, each in enumerate(tapes) if number not in map(_number, each.frames())]


@contextmanager
def tapes(*asked: tuple[str, str, str, Unwrap]) -> Iterator[list[Tape]]:
    """Several at once: namespace, device, filter, what the frame is."""
    with ExitStack() as stack:
        yield [stack.enter_context(tape(*each)) for each in asked]
