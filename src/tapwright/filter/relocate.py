"""A pcap filter moved onto the inner frame: one classic BPF program for sockets, tc and files.

    outer filter     as compiled; what it refuses is refused
    way in           X = where the innermost frame begins (`inwards`, `headers`, `encapsulations`)
    identifier       is it one of those wanted
    inner filter     the user's program, rewritten for a frame that begins at X (`body`):
                     one compiled for Ethernet, one for raw IP
    plain            the user's program for a frame that is not wrapped
    assembly         labels become offsets (`assemble`)

Pure: programs in, a program out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tapwright.filter.assemble import assemble
from tapwright.filter.body import rewritten
from tapwright.filter.code import RET, RET_A, Code, Label
from tapwright.filter.inwards import way_in
from tapwright.filter.liveness import successors
from tapwright.filter.program import MAX_INSTRUCTIONS, Instruction, Program
from tapwright.filter.walk import Kind, Memory
from tapwright.filter.wrapping import Wrapping

_JMP = 5


@dataclass(frozen=True, slots=True)
class Filters:
    """One filter compiled for each place it runs at."""

    ethernet: Program
    """For an inner Ethernet frame: compiled offline, since nobody takes an inner VLAN tag out of the frame."""
    raw: Program | None = None
    """For an inner IP packet (DLT_RAW); None matches none."""
    plain: Program | None = None
    """For a frame that is not wrapped, on a live socket (VLAN tag beside the frame); None takes `ethernet`."""
    outer: Program | None = None
    """What the whole packet must match too, as it is on the wire."""


def relocate(filters: Filters, wrapping: Wrapping) -> Program:
    """The program that gives `filters`' verdict on the innermost frame, whatever it is wrapped in.

    Raises FilterError when it is too long for a kernel, or needs more scratch memory than there is.
    """
    return Program.of(shortest(filters, wrapping, MAX_INSTRUCTIONS))


def shortest(filters: Filters, wrapping: Wrapping, limit: int) -> list[Instruction]:
    """The fast form where it has at most `limit` instructions, else the compact one, of any length."""
    code = relocated(filters, wrapping)
    return code if len(code) <= limit else relocated(filters, wrapping, compact=True)


def relocated(filters: Filters, wrapping: Wrapping, *, compact: bool = False) -> list[Instruction]:
    """The program as instructions, of any length: our own interpreter takes what a kernel does not.

    `compact` lets frames that are not wrapped share the program for inner ones where both
    are the same; that takes them a few nanoseconds more.
    """
    code = Code()
    inner = {Kind.IP: Label("inner ip"), Kind.ETHERNET: Label("inner ethernet")}
    plain = Label("plain")
    if filters.outer:
        _outer(code, filters.outer.instructions)
    way_in(code, wrapping, inner, plain)
    _inner(code, inner[Kind.IP], filters.raw if wrapping.raw and Kind.IP in wrapping.carries else None, wrapping)
    shared = compact and _plain(filters, wrapping) == filters.ethernet
    if shared:
        code.place(plain)
        code.set_x(0)
    _inner(code, inner[Kind.ETHERNET], filters.ethernet, wrapping)
    if not shared:
        code.place(plain)
        _write(code, _plain(filters, wrapping), wrapping, moved=False)
    return assemble(code.lines)


def _plain(filters: Filters, wrapping: Wrapping) -> Program | None:
    """The program for a frame that is not wrapped; None refuses it."""
    return (filters.plain or filters.ethernet) if wrapping.plain and not wrapping.ids else None


def _outer(code: Code, program: Sequence[Instruction]) -> None:
    """`program` as it is, but what it accepts goes on behind it."""
    passed = Label("outer passed")
    labels = [Label(str(index)) for index in range(len(program))]
    for index, instruction in enumerate(program):
        code.place(labels[index])
        if instruction.code == RET and instruction.k:
            code.ja(passed)
        elif instruction.code == RET_A:
            code.jeq(0, None, passed)
            code.ret(0)
        elif instruction.code & 7 == _JMP:
            code.jump(instruction.code, instruction.k, *(labels[n] for n in successors(program, index)))
        else:
            code.op(instruction.code, instruction.k)
    code.place(passed)


def _inner(code: Code, label: Label, program: Program | None, wrapping: Wrapping) -> None:
    """The filter for an inner frame at X, behind the look at its identifier."""
    code.place(label)
    if wrapping.ids:
        wanted = Label("wanted")
        code.recall(Memory.ID)
        for number in wrapping.ids:
            code.jeq(number, wanted)
        code.ret(0)
        code.place(wanted)
    _write(code, program, wrapping, moved=True)


def _write(code: Code, program: Program | None, wrapping: Wrapping, *, moved: bool) -> None:
    if program is None:
        code.ret(0)
    else:
        code.lines += rewritten(program.instructions, moved=moved, snaplen=wrapping.snaplen)
