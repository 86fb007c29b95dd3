"""Drawing a path so that it can be read at a glance.  Pure.

vnic     eth0         52:54:00:00:00:11, 10.0.0.11/24, MTU 1450
│ veth pair
device   v-web        veth in s1, MTU 1450
▼ port v-web, VLAN 10
switch   br-red       Linux bridge in s1
▼ port vx100
overlay  vxlan        VNI 100, UDP 4789, 172.31.0.11 → 172.31.0.12
▼ outer packets
uplink   uplink0      veth in s1, 172.31.0.11/24, MTU 1600
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tapwright.find.path import Hop, HopKind
from tapwright.text import printable

_ASCII = str.maketrans({"│": "|", "├": "|", "└": "`", "─": "-", "▼": "v"})
_KIND = max(map(len, HopKind)) + 2
_NAME = 16
_NARROWEST = 24


def draw(path: Sequence[Hop], width: int = 80, *, unicode: bool = True) -> str:
    """Lines of at most `width` columns where names allow; without `unicode` in plain ASCII."""
    lines = [line.rstrip() for place in range(len(path)) for line in _hop(path, place, width)]
    text = "\n".join(lines)
    return text if unicode else _ascii(text)


def _ascii(text: str) -> str:
    plain = text.translate(_ASCII).replace("→", "->")
    return plain.encode("ascii", "backslashreplace").decode()


def _hop(path: Sequence[Hop], place: int, width: int) -> Iterator[str]:
    hop = path[place]
    bars = _bars(path, place)
    if hop.forks:
        corner = "├─" if _has_sibling(path, place, hop.depth) else "└─"
        yield f"{_bars(path, place, hop.depth - 1)}  {corner} {printable(hop.via)}"
    elif place:
        yield f"{bars}  {'│' if hop.kind is HopKind.DEVICE else '▼'} {printable(hop.via)}"
    name = printable(hop.name)
    head = f"{hop.kind:<{_KIND}}{name:<{_NAME}} "
    if len(name) > _NAME:
        yield bars + head
        head = " " * (_KIND + _NAME + 1)
    yield from _wrapped(bars, head, [printable(detail) for detail in hop.details], width)


def _bars(path: Sequence[Hop], place: int, depth: int | None = None) -> str:
    """The vertical lines of branches still open to the left of a hop."""
    levels = range(1, (path[place].depth if depth is None else depth) + 1)
    return "".join("  │  " if _has_sibling(path, place, level) else "     " for level in levels)


def _has_sibling(path: Sequence[Hop], place: int, depth: int) -> bool:
    """Whether a further branch begins at that depth before the tree goes back above it."""
    for hop in path[place + 1 :]:
        if hop.depth < depth:
            return False
        if hop.depth == depth and hop.forks:
            return True
    return False


def _wrapped(bars: str, head: str, details: Sequence[str], width: int) -> Iterator[str]:
    """The details after the head, further lines below their column."""
    room = max(width - len(bars) - len(head), _NARROWEST)
    line = ""
    for place, detail in enumerate(details):
        part = detail + ("," if place + 1 < len(details) else "")
        if line and len(line) + 1 + len(part) > room:
            yield bars + head + line
            head, line = " " * len(head), ""
        line = f"{line} {part}" if line else part
    yield bars + head + line
