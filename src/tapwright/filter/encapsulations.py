"""The encapsulations an inner frame is found in: one function and one row of the table each.

A walker begins with X at its own header (of one carried by UDP or GRE: behind that header)
and ends at `walk.ethernet` or `walk.ip` with X at the inner frame; see `walk` for the contract.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tapwright.filter.code import ADD, AND, LSH, RSH, SUB, Code, Label
from tapwright.filter.headers import BRIDGED, GRE_SEQUENCE, IPV4, IPV6
from tapwright.filter.walk import Carrier, Kind, Memory, Walk

MOST_LABELS = 4
"""Of MPLS."""
MOST_GTP_EXTENSIONS = 2
_ETHERTYPES = (0x0800, 0x86DD, 0x0806, 0x8100, 0x88A8, 0x9100, 0x8847, 0x8863, 0x8864, 0x88CC)
"""What a frame that nothing announces must say to be taken for one."""


def vxlan(walk: Walk) -> None:
    """RFC 7348: the I flag must be set."""
    walk.room(8)
    walk.code.ldb(0)
    walk.code.jset(0x08, None, walk.no)
    walk.identified(_upper_24_bits)
    walk.code.advance(8)
    walk.code.ja(walk.ethernet)


def vxlan_gpe(walk: Walk) -> None:
    """draft-ietf-nvo3-vxlan-gpe: the P flag says that there is a next protocol, the I flag that there is a VNI."""
    code = walk.code
    anonymous, ethernet, ip = Label("no vni"), Label("gpe ethernet"), Label("gpe ip")
    walk.room(8)
    code.ldb(0)
    code.jset(0x30, walk.no)
    if walk.ids:
        code.jset(0x08, None, anonymous)
        walk.identified(_upper_24_bits)
        code.place(anonymous)
        code.ldb(0)
    code.jset(0x04, None, ethernet)
    code.ldb(3)
    walk.either({3: ethernet, 1: ip, 2: ip})
    for label, target in ((ethernet, walk.ethernet), (ip, walk.ip)):
        code.place(label)
        code.advance(8)
        code.ja(target)


def geneve(walk: Walk) -> None:
    """RFC 8926: version 0, options stepped over."""
    code = walk.code
    walk.room(8)
    code.ldh(2)
    code.st(Memory.PROTOCOL)
    walk.identified(_upper_24_bits)
    code.ldb(0)
    code.jset(0xC0, walk.no)
    code.op(AND, 0x3F)
    code.op(LSH, 2)
    code.op(ADD, 8)
    code.add_to_x()
    code.recall(Memory.PROTOCOL)
    walk.either({BRIDGED: walk.ethernet, IPV4: walk.ip, IPV6: walk.ip})


def gre(walk: Walk) -> None:
    """Ethernet (NVGRE too) or IP straight behind the GRE header."""
    walk.code.recall(Memory.PROTOCOL)
    walk.code.jeq(BRIDGED, walk.ethernet, walk.ip)


def erspan(walk: Walk) -> None:
    """Type II has a GRE sequence number and a header of 8 bytes, type I neither."""
    code = walk.code
    code.recall(Memory.FLAGS)
    code.jset(GRE_SEQUENCE, None, walk.ethernet)
    _erspan_version(walk, 1, 8)
    code.advance(8)
    code.ja(walk.ethernet)


def erspan_3(walk: Walk) -> None:
    """Type III: 12 bytes, and 8 more with the O bit; the frame type says Ethernet or IP."""
    code = walk.code
    _erspan_version(walk, 2, 12)
    code.ldb(10)
    code.op(RSH, 2)
    code.op(AND, 0x1F)
    code.st(Memory.PROTOCOL)
    code.ldb(11)
    code.op(AND, 1)
    code.op(LSH, 3)
    code.op(ADD, 12)
    code.add_to_x()
    code.recall(Memory.PROTOCOL)
    walk.either({0: walk.ethernet, 2: walk.ip})


def mpls(walk: Walk) -> None:
    """A label stack; what is below it is guessed as routers do, by its first nibble and its EtherType."""
    code = walk.code
    bottom, other, word, ethernet = (Label(name) for name in ("bottom", "not ip", "control word", "mpls ethernet"))
    for _ in range(MOST_LABELS):
        walk.room(4)
        code.ldb(2)
        code.jset(1, bottom)
        code.advance(4)
    code.ja(walk.no)
    code.place(bottom)
    walk.identified(_label)
    code.advance(4)
    walk.room(18)
    code.ldb(0)
    _if_ip(walk, other)
    code.place(other)
    code.jge(0x10, ethernet)
    _if_ethertype(walk, 16, word)
    code.place(ethernet)
    code.ldb(0)
    code.op(RSH, 4)
    code.jeq(1, walk.no)
    _if_ethertype(walk, 12, walk.ethernet)
    code.ja(walk.no)
    code.place(word)
    code.advance(4)
    code.ja(walk.ethernet)


def ipip(walk: Walk) -> None:
    """IPv4 or IPv6 straight in IPv4 or IPv6."""
    walk.code.ja(walk.ip)


def gtpu(walk: Walk) -> None:
    """3GPP TS 29.281, version 1: a user's packet (G-PDU) behind up to two extension headers."""
    code = walk.code
    optional, extended, behind = Label("optional"), Label("extended"), Label("gtp end")
    walk.room(8)
    code.ldb(1)
    code.jeq(255, None, walk.no)
    walk.identified(_teid)
    code.ldb(0)
    code.op(AND, 0xF0)
    code.jeq(0x30, None, walk.no)
    code.ldb(0)
    code.jset(0x07, optional)
    code.advance(8)
    code.ja(walk.ip)
    code.place(optional)
    walk.room(12)
    code.ldb(0)
    code.jset(0x04, extended)
    code.advance(12)
    code.ja(walk.ip)
    code.place(extended)
    code.ldb(11)
    code.st(Memory.PROTOCOL)
    code.advance(12)
    for _ in range(MOST_GTP_EXTENSIONS):
        _gtp_extension(walk, behind)
    code.place(behind)
    code.recall(Memory.PROTOCOL)
    code.jeq(0, walk.ip, walk.no)


def _gtp_extension(walk: Walk, behind: Label) -> None:
    """One extension header, if M[PROTOCOL] is not 0: its length in words comes first, the next type last."""
    code = walk.code
    code.recall(Memory.PROTOCOL)
    code.jeq(0, behind)
    walk.room(4)
    code.ldb(0)
    code.jeq(0, walk.no)
    code.op(SUB, 1)
    code.op(LSH, 2)
    code.add_to_x()
    walk.room(4)
    code.ldb(3)
    code.st(Memory.PROTOCOL)
    code.advance(4)


def _upper_24_bits(code: Code) -> None:
    """VXLAN and Geneve have the VNI at the same place."""
    code.ld(4)
    code.op(RSH, 8)


def _session(code: Code) -> None:
    code.ldh(2)
    code.op(AND, 0x3FF)


def _label(code: Code) -> None:
    code.ld(0)
    code.op(RSH, 12)


def _teid(code: Code) -> None:
    code.ld(4)


def _erspan_version(walk: Walk, version: int, length: int) -> None:
    walk.room(length)
    walk.code.ldb(0)
    walk.code.op(RSH, 4)
    walk.code.jeq(version, None, walk.no)
    walk.identified(_session)


def _if_ip(walk: Walk, other: Label) -> None:
    """The byte in A as the first of an IP packet; it stays in A for `other`."""
    six = Label("six")
    walk.code.jge(0x45, None, other)
    walk.code.jge(0x50, six, walk.ip)
    walk.code.place(six)
    walk.code.jge(0x60, None, other)
    walk.code.jge(0x70, other, walk.ip)


def _if_ethertype(walk: Walk, offset: int, yes: Label) -> None:
    """An EtherType that a frame would have, or the length IEEE 802.3 has in its place."""
    code, other = walk.code, Label("other")
    code.ldh(offset)
    code.jge(1501, other)
    code.jge(3, yes)
    code.place(other)
    for number in _ETHERTYPES:
        code.jeq(number, yes)


@dataclass(frozen=True, slots=True)
class Encapsulation:
    """How frames are wrapped: what announces it, how to step over it, what it carries."""

    name: str
    walk: Callable[[Walk], None]
    carries: frozenset[Kind]
    announced: Mapping[Carrier, tuple[int, ...]] = field(hash=False)
    common: bool = False
    """Met so often that it has a fast way of its own, which makes every program longer."""


_ETHERNET, _IP = frozenset({Kind.ETHERNET}), frozenset({Kind.IP})
_MPLS = (0x8847, 0x8848)

ENCAPSULATIONS = (
    Encapsulation("vxlan", vxlan, _ETHERNET, {Carrier.UDP: (4789, 8472)}, common=True),
    Encapsulation("geneve", geneve, _ETHERNET | _IP, {Carrier.UDP: (6081,)}, common=True),
    Encapsulation("gre", gre, _ETHERNET | _IP, {Carrier.GRE: (BRIDGED, IPV4, IPV6)}, common=True),
    Encapsulation("erspan", erspan, _ETHERNET, {Carrier.GRE: (0x88BE,)}, common=True),
    Encapsulation("erspan-3", erspan_3, _ETHERNET | _IP, {Carrier.GRE: (0x22EB,)}),
    Encapsulation("vxlan-gpe", vxlan_gpe, _ETHERNET | _IP, {Carrier.UDP: (4790,)}),
    Encapsulation("gtp-u", gtpu, _IP, {Carrier.UDP: (2152,)}),
    Encapsulation("ipip", ipip, _IP, {Carrier.IP: (4, 41)}),
    Encapsulation("mpls", mpls, _ETHERNET | _IP, {Carrier.ETHERNET: _MPLS, Carrier.GRE: _MPLS}),
)
"""Those most often met come first, and are compared first."""
NAMES = tuple(encapsulation.name for encapsulation in ENCAPSULATIONS)
