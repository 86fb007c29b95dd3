"""Real captures of other projects, where they lie beside this checkout, and what tshark says of each packet."""

import gzip
import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.unwrap import ETHERNET, IP

FOLDER = Path(os.environ.get("TAPWRIGHT_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))
_OTHERS = {"teredo", "ppp", "pppoes", "l2tp", "capwap.data", "nsh", "pim", "wlan", "llc", "ieee8021ah"}
"""Headers between the frames that the filter does not step over."""


@dataclass(frozen=True)
class Real:
    """A packet of an Ethernet capture."""

    file: str
    number: int
    data: bytes
    length: int
    layers: list[list[object]]
    """[name, offset, size, fields] from the outside in, by tshark; empty where it found something wrong."""

    def innermost(self) -> tuple[str, int] | None:
        """Kind and offset of the innermost frame by tshark; None where it goes through headers we leave alone."""
        names = [str(layer[0]) for layer in self.layers]
        if not names or _OTHERS & set(names):
            return None
        found, before = (ETHERNET, 0), ""
        for (name, offset, *_), follower in zip(self.layers[1:], names, strict=False):
            before = follower
            if name == "eth":
                found = (ETHERNET, int(str(offset)))
            elif name in ("ip", "ipv6") and before not in ("eth", "vlan"):
                found = (IP, int(str(offset)))
        return found


def captures() -> list[Path]:
    """Ethernet captures, the malformed ones too."""
    return sorted(path for path in FOLDER.glob("*/*.pcap") if path.is_file())


def packets(path: Path, most: int) -> Iterator[Real]:
    """The first `most` packets of a classic capture of Ethernet, whatever its byte order."""
    truth = _truth(path)
    for number, (data, length) in enumerate(_records(path.read_bytes(), most)):
        layers = truth[number].get("L", []) if number < len(truth) and not truth[number].get("bad") else []
        yield Real(str(path.relative_to(FOLDER)), number + 1, data, length, layers)


def _truth(path: Path) -> list[dict[str, list[list[object]]]]:
    try:
        with gzip.open(f"{path}.truth.jsonl.gz", "rt") as lines:
            return [json.loads(line) for line in lines]
    except FileNotFoundError:
        return []


def _records(data: bytes, most: int) -> Iterator[tuple[bytes, int]]:
    order = {
        b"\xd4\xc3\xb2\xa1": "<",
        b"\x4d\x3c\xb2\xa1": "<",
        b"\xa1\xb2\xc3\xd4": ">",
        b"\xa1\xb2\x3c\x4d": ">",
    }.get(data[:4])
    if not order or struct.unpack_from(order + "I", data, 20)[0] != 1:
        return
    at = 24
    while at + 16 <= len(data) and most:
        captured, length = struct.unpack_from(order + "II", data, at + 8)
        if captured > 262_144 or at + 16 + captured > len(data):
            return
        yield data[at + 16 : at + 16 + captured], max(length, captured)
        at, most = at + 16 + captured, most - 1
