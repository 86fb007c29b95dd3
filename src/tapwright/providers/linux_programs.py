"""Pure: classic BPF programs of mirrors by tc: for a hook, leaving out what a tunnel causes, with our mark behind."""

from __future__ import annotations

import ipaddress
import struct

from tapwright.filter import code as bpf
from tapwright.filter.assemble import assemble
from tapwright.filter.code import Code, Label
from tapwright.filter.program import Instruction, Program, pack
from tapwright.plan.mirrors import Target
from tapwright.plan.steps import Mark

_PACKET_TYPE = 0xFFFFF004
"""SKF_AD_OFF + SKF_AD_PKTTYPE, as an offset"""
_OUTGOING, _TO_US = 4, 0
"""PACKET_OUTGOING, PACKET_HOST"""
_TAIL = 0x7477
_IP4, _IP6 = 0x0800, 0x86DD
_ICMP, _UDP, _IP6_FRAGMENT, _GRE, _ICMP6 = 1, 17, 44, 47, 58


def at_hook(program: bytes, *, outgoing: bool) -> bytes:
    """`program` (b"" copies all) for one hook, where packets have no type that tells the direction.

    What it asks for as `inbound` and `outbound` is answered here, once and for all.
    """
    instructions = Program(program).instructions if program else (Instruction(bpf.RET, 0, 0, 0xFFFFFFFF),)
    return pack(_settled(instruction, outgoing=outgoing) for instruction in instructions)


def asks_direction(program: bytes) -> bool:
    """Whether a program tells what comes in from what goes out."""
    instructions = Program(program).instructions if program else ()
    return any(_is_direction(instruction) for instruction in instructions)


def _is_direction(instruction: Instruction) -> bool:
    loads = (bpf.LD_BYTE_AT, bpf.LD_HALF_AT, bpf.LD_WORD_AT)
    return instruction.code in loads and instruction.k == _PACKET_TYPE


def _settled(instruction: Instruction, *, outgoing: bool) -> Instruction:
    if not _is_direction(instruction):
        return instruction
    return Instruction(bpf.LD_IMMEDIATE, 0, 0, _OUTGOING if outgoing else _TO_US)


def without_own(program: bytes, target: Target) -> bytes:
    """`program`, refusing first of all what a tunnel to `target` itself sends.

    Such packets leave by an uplink and not by a vNIC, unless the VM is on the way to the collector
    (a router, an overlay's gateway): then each copy would be copied for ever.
    """
    code, own, other = Code(), Label("own"), Label("other")
    address = ipaddress.ip_address(target.remote)
    code.set_x(0)
    code.ldh(12)
    code.jeq(_IP4 if address.version == 4 else _IP6, None, other)
    _compare(code, 30 if address.version == 4 else 38, address.packed, other)
    code.ldb(23 if address.version == 4 else 20)
    if address.version == 6:
        code.jeq(_IP6_FRAGMENT, own, None)
    code.jeq(_UDP if target.udp_port else _GRE, None, other)
    _own_port(code, target, address.version, own, other)
    code.place(own)
    code.ret(0)
    return in_front(code, other, program)


def _own_port(code: Code, target: Target, version: int, own: Label, other: Label) -> None:
    if not target.udp_port:
        return
    if version == 4:
        code.ldh(20)
        code.jump(bpf.JSET, 0x1FFF, own)  # a later fragment, which has no port
        code.op(0xB1, 14)  # ldxb 4*([14]&0xf)
        code.op(bpf.LD_HALF, 16)
    else:
        code.ldh(56)
    code.jeq(target.udp_port, None, other)


def without_echoes(program: bytes, target: Target) -> bytes:
    """`program`, refusing first of all errors that anybody reports of packets to `target` (RFC 792, RFC 4443).

    A collector on which nothing listens reports one for each copy, and each of these would be copied in its turn.
    """
    code, other = Code(), Label("other")
    address = ipaddress.ip_address(target.remote)
    four = address.version == 4
    code.set_x(0)
    code.ldh(12)
    code.jeq(_IP4 if four else _IP6, None, other)
    code.ldb(23 if four else 20)
    code.jeq(_ICMP if four else _ICMP6, None, other)
    _compare(code, 58 if four else 86, address.packed, other)
    code.ret(0)
    return in_front(code, other, program)


def _compare(code: Code, at: int, wanted: bytes, other: Label) -> None:
    """Go on where the frame has those words at `at`, else to `other`; so do frames that are shorter."""
    code.op(bpf.LD_LENGTH)
    code.jge(at + len(wanted), None, other)
    for number, word in enumerate(struct.unpack(f"!{len(wanted) // 4}I", wanted)):
        code.ld(at + 4 * number)
        code.jeq(word, None, other)


def in_front(code: Code, other: Label, program: bytes) -> bytes:
    """`program` behind what ends at `other`."""
    code.place(other)
    # A program may expect both to be 0.
    code.op(bpf.LDX_IMMEDIATE, 0)
    code.op(bpf.LD_IMMEDIATE, 0)
    code.ret(0)
    return pack(assemble(code.lines)[:-1]) + program


def marked(program: bytes, mark: Mark) -> bytes:
    """`program` with the mark behind it, where control never gets."""
    text = mark.text.encode()
    words = struct.unpack(f"!{-(-len(text) // 4)}I", text + bytes(-len(text) % 4))
    tail = [Instruction(bpf.LD_IMMEDIATE, 0, 0, word) for word in words]
    return program + pack([*tail, Instruction(bpf.RET, 0, 0, _TAIL << 16 | len(words))])


def mark_of(program: bytes) -> Mark | None:
    """The mark behind a program; None when that is not one of ours."""
    fields = list(struct.iter_unpack("=HBBI", program)) if len(program) % 8 == 0 else []
    if not fields or fields[-1][0] != bpf.RET or fields[-1][3] >> 16 != _TAIL:
        return None
    words = fields[-1 - (fields[-1][3] & 0xFFFF) : -1]
    if any(code != bpf.LD_IMMEDIATE for code, *_ in words):
        return None
    text = struct.pack(f"!{len(words)}I", *(word for *_, word in words)).rstrip(b"\0")
    return Mark.parse(text.decode("ascii", errors="replace"))
