"""Frames with a known content, from inside a namespace."""

import json
import subprocess
import sys
from collections.abc import Sequence

_SEND = """
import json, socket, sys
device, frames = json.load(sys.stdin)
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
    out.bind((device, 0))
    for frame in frames:
        out.send(bytes.fromhex(frame))
"""


def send(netns: str, device: str, frames: Sequence[bytes]) -> None:
    """Send each frame once out of `device`."""
    subprocess.run(
        ["ip", "netns", "exec", netns, sys.executable, "-I", "-c", _SEND],
        input=json.dumps([device, [frame.hex() for frame in frames]]),
        text=True,
        check=True,
        timeout=30,
    )
