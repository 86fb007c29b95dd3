"""Walkers of the headers that carry others: Ethernet with VLAN tags, IPv4, IPv6, UDP and GRE.

`following` says what may come behind a header, by the number the header names it with.
Every IP packet is taken to begin 14 bytes behind X, whether Ethernet is in front of it or
not, and so is what IP carries: then a packet that wraps nothing, which is most of them, is
done with without a single change of X.
"""

from __future__ import annotations

from collections.abc import Mapping

from tapwright.filter.code import ADD, AND, LD_IMMEDIATE, LSH, RSH, SUB, TAX, TXA, Label
from tapwright.filter.walk import Memory, Walk

ETHERNET = 14
"""Bytes of its header."""
IPV4, IPV6 = 0x0800, 0x86DD
"""EtherTypes."""
UDP, GRE = 17, 47
"""IP protocols."""
BRIDGED = 0x6558
"""The GRE protocol of an Ethernet frame."""
VLAN_TAGS = (0x8100, 0x88A8, 0x9100)
MOST_TAGS = 2
"""In the frame; the kernel may hold one more beside it."""
MOST_EXTENSIONS = 2
"""IPv6 extension headers."""
GRE_SEQUENCE = 0x1000
_GRE_KEY = 0x2000
_GRE_REFUSED = 0x4007
"""Source routing, and versions other than 0."""
_FRAGMENT, _AUTHENTICATION = 44, 51
_OPTIONS = (0, 43, 60, 135)
"""Hop-by-hop, routing, destination options, mobility."""


def ethernet(walk: Walk, following: Mapping[int, Label]) -> None:
    """An Ethernet frame at X, with up to `MOST_TAGS` tags; X moves by 4 for each, so that what follows is at X + 14."""
    code, ethertype = walk.code, Label("ethertype")
    for _ in range(MOST_TAGS):
        tagged = Label("tagged")
        walk.room(14)
        code.ldh(12)
        for tag in VLAN_TAGS:
            code.jeq(tag, tagged)
        code.ja(ethertype)
        code.place(tagged)
        code.advance(4)
    walk.room(14)
    code.ldh(12)
    code.place(ethertype)
    walk.either(following)


def ip(walk: Walk, v4: Label, v6: Label) -> None:
    """An IP packet of either version at X; it is taken to begin at X + 14 from here on, as behind Ethernet."""
    code = walk.code
    code.op(TXA)
    code.op(SUB, ETHERNET)
    code.op(TAX)
    code.ldb(ETHERNET)
    code.op(RSH, 4)
    walk.either({4: v4, 6: v6})


def ipv4(walk: Walk, following: Mapping[int, Label]) -> None:
    """IPv4 with options at X + 14; X moves by its length.  Only the first fragment has what follows.

    The protocol is looked at first: most packets are TCP, and done with that.
    """
    code, carries = walk.code, Label("carries")
    walk.room(ETHERNET + 20)
    code.ldb(ETHERNET + 9)
    walk.either(dict.fromkeys(following, carries))
    code.place(carries)
    code.st(Memory.PROTOCOL)
    code.ldh(ETHERNET + 6)
    code.jset(0x1FFF, walk.no)
    code.ldb(ETHERNET)
    code.jge(0x45, None, walk.no)
    code.jge(0x50, walk.no)
    code.op(AND, 0x0F)
    code.op(LSH, 2)
    code.add_to_x()
    code.recall(Memory.PROTOCOL)
    walk.either(following)


def ipv4_straight(walk: Walk, following: Mapping[int, Label], otherwise: Label) -> None:
    """The same where X is known, for packets without options; those with options go to `otherwise` with X as it was."""
    code, carries = walk.code, Label("carries")
    assert code.x is not None, "there is nothing to gain"
    code.ldb(ETHERNET + 9)
    walk.either(dict.fromkeys(following, carries))
    code.place(carries)
    code.ldb(ETHERNET)
    code.jeq(0x45, None, otherwise)
    code.ldh(ETHERNET + 6)
    code.jset(0x1FFF, walk.no)
    code.ldb(ETHERNET + 9)
    code.set_x(code.x + 20)
    walk.either(following)


def ipv6(walk: Walk, following: Mapping[int, Label]) -> None:
    """IPv6 with up to `MOST_EXTENSIONS` extension headers at X + 14; X moves by the length of all of them.

    That the header is all there shows when what follows it is.
    """
    code, done = walk.code, Label("protocol")
    walk.room(ETHERNET + 8)
    code.ldb(ETHERNET)
    code.op(RSH, 4)
    code.jeq(6, None, walk.no)
    code.ldb(ETHERNET + 6)
    code.st(Memory.PROTOCOL)
    code.advance(40)
    for _ in range(MOST_EXTENSIONS):
        _extension(walk, done)
    code.place(done)
    code.recall(Memory.PROTOCOL)
    walk.either(following)


def _extension(walk: Walk, done: Label) -> None:
    """One extension header, if M[PROTOCOL] says that there is one; else `done`."""
    code = walk.code
    header, fragment, in_words, end = Label("extension"), Label("fragment"), Label("in words"), Label("next")
    code.recall(Memory.PROTOCOL)
    for number in (*_OPTIONS, _FRAGMENT, _AUTHENTICATION):
        code.jeq(number, header)
    code.ja(done)
    code.place(header)
    code.st(Memory.FLAGS)
    walk.room(ETHERNET + 8)
    code.ldb(ETHERNET)
    code.st(Memory.PROTOCOL)
    code.recall(Memory.FLAGS)
    code.jeq(_FRAGMENT, fragment)
    code.jeq(_AUTHENTICATION, in_words)
    code.ldb(ETHERNET + 1)
    code.op(LSH, 1)
    code.ja(end)
    code.place(in_words)
    code.ldb(ETHERNET + 1)
    code.ja(end)
    code.place(fragment)
    code.ldh(ETHERNET + 2)
    code.jset(0xFFF8, walk.no)
    code.op(LD_IMMEDIATE, 0)
    code.place(end)
    code.op(LSH, 2)
    code.op(ADD, 8)
    code.add_to_x()


def udp(walk: Walk, following: Mapping[int, Label]) -> None:
    """UDP at X + 14, by its destination port; X stays, so that what follows is at X + 22."""
    walk.room(ETHERNET + 8)
    walk.code.ldh(ETHERNET + 2)
    walk.either(following)


def gre(walk: Walk, following: Mapping[int, Label]) -> None:
    """GRE with checksum, key and sequence number at X + 14; what follows begins at X.  M[FLAGS] keeps the flags."""
    code, carries = walk.code, Label("carries")
    walk.room(ETHERNET + 4)
    code.ldh(ETHERNET + 2)
    walk.either(dict.fromkeys(following, carries))
    code.place(carries)
    code.st(Memory.PROTOCOL)
    code.ldh(ETHERNET)
    code.jset(_GRE_REFUSED, walk.no)
    code.st(Memory.FLAGS)
    # Shifted by so many, the flag is the 4 bytes that its field takes.
    code.op(RSH, 13)
    code.op(AND, 4)
    code.op(ADD, ETHERNET + 4)
    code.add_to_x()
    _gre_key(walk)
    code.recall(Memory.FLAGS)
    code.op(RSH, 10)
    code.op(AND, 4)
    code.add_to_x()
    code.recall(Memory.PROTOCOL)
    walk.either(following)


def _gre_key(walk: Walk) -> None:
    code, keyless = walk.code, Label("keyless")
    code.recall(Memory.FLAGS)
    code.jset(_GRE_KEY, None, keyless)
    if walk.ids:
        _gre_id(walk)
    code.advance(4)
    code.place(keyless)


def _gre_id(walk: Walk) -> None:
    """The key is the identifier; of a bridged frame (NVGRE) its upper 24 bits may be meant instead."""
    code, other, known = walk.code, Label("not bridged"), Label("id")
    walk.room(4)
    code.recall(Memory.PROTOCOL)
    code.jeq(BRIDGED, None, other)
    code.ld(0)
    for number in walk.ids:
        code.jeq(number, known)
    code.op(RSH, 8)
    code.ja(known)
    code.place(other)
    code.ld(0)
    code.place(known)
    code.st(Memory.NEXT_ID)
