"""The way in: from the first byte of the packet to the innermost frame.

It is `depth` steps, one behind the other; each walks from the frame at hand to the one it
carries.  Where a step finds nothing, the frame at hand is the inner one.  A wrapping counts
only when what it carries can begin: 14 bytes of Ethernet, or 20 of IP with its version.
"""

from __future__ import annotations

from collections.abc import Mapping

from tapwright.filter import headers
from tapwright.filter.code import (
    LD_IMMEDIATE,
    LD_LENGTH,
    LDX_SLOT,
    RSH,
    STX,
    Code,
    Label,
)
from tapwright.filter.encapsulations import Encapsulation
from tapwright.filter.walk import SHORTEST, Carrier, Kind, Memory, Walk
from tapwright.filter.wrapping import Wrapping

_LEAST = {Kind.ETHERNET: 14, Kind.IP: 20}
_MARK = {Kind.ETHERNET: 0, Kind.IP: 1}
"""In M[KIND]."""


def way_in(code: Code, wrapping: Wrapping, inner: Mapping[Kind, Label], plain: Label) -> None:
    """Write it: to `inner` of its kind with X at the inner frame, or to `plain` where nothing is wrapped."""
    if wrapping.ids:
        code.op(LD_IMMEDIATE, _none_of(wrapping.ids))
        code.st(Memory.ID)
    code.op(LD_LENGTH)
    code.jge(SHORTEST, None, plain)
    starts: Mapping[Kind, Label] = {Kind.ETHERNET: Label("packet")}
    uncommon = Label("not straight")
    for step in range(1, wrapping.depth + 1):
        walk = Walk(code, wrapping.ids)
        last = step == wrapping.depth
        reached = inner if last else {kind: Label(f"{kind} in {step}") for kind in inner}
        if step == 1:
            _straight(walk, wrapping, uncommon)
        _step(walk, wrapping, starts)
        for kind, label in reached.items():
            _arrive(walk, kind, label, keep=not last)
        code.place(walk.no)
        if step == 1:
            code.ja(plain)
        else:
            _back(code, inner)
        starts = reached


def _none_of(ids: tuple[int, ...]) -> int:
    return next(number for number in range(len(ids) + 1) if number not in ids)


class _Following:
    """What may follow each header that carries others, by its number there, for one copy of the walkers.

    With `elsewhere` this copy has the common encapsulations alone; the others are found there.
    """

    def __init__(self, wrapping: Wrapping, elsewhere: Label | None = None) -> None:
        chosen, missing = tuple(wrapping.chosen), elsewhere or Label("nowhere")
        self._rows = [row for row in chosen if row.common or not elsewhere]
        self._doors = {
            (row.name, carrier): Label(row.name) for row in self._rows for carrier in wrapping.announced(row)
        }
        self._udp, self._gre = Label("udp"), Label("gre")
        self.named = {
            carrier: {
                number: self._doors.get((row.name, carrier), missing)
                for row in chosen
                for number in wrapping.announced(row).get(carrier, ())
            }
            for carrier in Carrier
        }
        carrying = ((headers.UDP, Carrier.UDP, self._udp), (headers.GRE, Carrier.GRE, self._gre))
        in_ip = {number: label for number, carrier, label in carrying if self.named[carrier]}
        self.named[Carrier.IP] = in_ip | self.named[Carrier.IP]

    def write(self, walk: Walk) -> None:
        """UDP, GRE and every encapsulation."""
        walk.code.place(self._udp)
        headers.udp(walk, self.named[Carrier.UDP])
        walk.code.place(self._gre)
        headers.gre(walk, self.named[Carrier.GRE])
        for row in self._rows:
            _enter(walk, row, {carrier: door for (name, carrier), door in self._doors.items() if name == row.name})


def _enter(walk: Walk, row: Encapsulation, doors: Mapping[Carrier, Label]) -> None:
    """Through each door X moves to the encapsulation's header, and its walker begins."""
    begin = Label(row.name)
    for carrier, label in doors.items():
        walk.code.place(label)
        if carrier.distance:
            walk.code.advance(carrier.distance)
        walk.code.ja(begin)
    walk.code.place(begin)
    row.walk(walk)


def _straight(walk: Walk, wrapping: Wrapping, otherwise: Label) -> None:
    """Most packets, on a way of their own where X is known: IPv4 without options, untagged, commonly wrapped or TCP."""
    code, following = walk.code, _Following(wrapping, otherwise)
    _start(walk)
    code.set_x(0)
    code.ldh(12)
    code.jeq(headers.IPV4, None, otherwise)
    headers.ipv4_straight(walk, following.named[Carrier.IP], otherwise)
    following.write(walk)
    code.place(otherwise)
    code.set_x(0)


def _step(walk: Walk, wrapping: Wrapping, starts: Mapping[Kind, Label]) -> None:
    """From the frame at hand, which begins as `starts` has it, to the one it carries."""
    code, following = walk.code, _Following(wrapping)
    v4, v6 = Label("ipv4"), Label("ipv6")
    code.place(starts[Kind.ETHERNET])
    _start(walk)
    headers.ethernet(walk, {headers.IPV4: v4, headers.IPV6: v6} | following.named[Carrier.ETHERNET])
    if Kind.IP in starts:
        code.place(starts[Kind.IP])
        _start(walk)
        headers.ip(walk, v4, v6)
    code.place(v4)
    headers.ipv4(walk, following.named[Carrier.IP])
    code.place(v6)
    headers.ipv6(walk, following.named[Carrier.IP])
    following.write(walk)


def _start(walk: Walk) -> None:
    if walk.ids:
        # What a wrapping without a number of its own leaves as it is.
        walk.code.recall(Memory.ID)
        walk.code.st(Memory.NEXT_ID)


def _arrive(walk: Walk, kind: Kind, reached: Label, *, keep: bool) -> None:
    """At a frame inside: if it can begin here it is the one at hand, and kept for when it carries nothing."""
    code, begins = walk.code, Label("begins")
    code.place(walk.arrivals[kind])
    walk.room(_LEAST[kind])
    if kind is Kind.IP:
        code.ldb(0)
        code.op(RSH, 4)
        walk.either({4: begins, 6: begins})
    code.place(begins)
    if keep:
        code.op(STX, Memory.BASE)
        code.op(LD_IMMEDIATE, _MARK[kind])
        code.st(Memory.KIND)
    if walk.ids:
        code.recall(Memory.NEXT_ID)
        code.st(Memory.ID)
    code.ja(reached)


def _back(code: Code, inner: Mapping[Kind, Label]) -> None:
    """To the frame kept last."""
    code.op(LDX_SLOT, Memory.BASE)
    code.recall(Memory.KIND)
    code.jeq(_MARK[Kind.ETHERNET], inner[Kind.ETHERNET], inner[Kind.IP])
