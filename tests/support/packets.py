"""Frames with a known content, from inside a namespace."""

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from support.entered import entered


def send(netns: str, device: str, frames: Sequence[bytes]) -> None:
    """Send each frame once out of `device`."""
    with sender(netns, device) as say:
        for frame in frames:
            say(frame)


def speaking(netns: str, device: str) -> socket.socket:
    """A socket that sends whole frames out of a device, and hears nothing."""
    opened = entered(netns, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
    opened.bind((device, 0))
    return opened


@contextmanager
def sender(netns: str, device: str) -> Iterator[Callable[[bytes], int]]:
    """Sends frames out of a device."""
    with speaking(netns, device) as out:
        yield out.send
