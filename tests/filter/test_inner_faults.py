"""The proof is as good as what it sees: each of these faults in the relocator makes a difference in it."""

import random
import struct
from dataclasses import dataclass
from functools import cache

import pytest

from support.faults import Build, Fault, with_fault
from support.inner import Truth, filters, whole
from support.random_filters import host_list, random_filter
from support.random_programs import random_program
from support.wrap import wrapped_packets
from tapwright._core import Bpf
from tapwright.errors import FilterError
from tapwright.filter.program import Program
from tapwright.filter.relocate import Filters
from tapwright.filter.wrapping import Wrapping

FAULTS = [
    Fault("header length without its mask", "body", "self._code.op(AND, 0x0F)", "pass"),
    Fault("A is not saved", "body", "if after & Needs.A:\n                self._code.op(ST, Slot.TEMPORARY)", "pass"),
    Fault("A is not restored", "body", "if after & Needs.A and (after & Needs.INDEX or", "if False and (after &"),
    Fault("X is not fetched again", "body", "if wanted not in self._held:", "if False:"),
    Fault("an index can wrap around", "body", "if not bounded:", "if False:"),
    Fault("len is the outer one", "body", "self._code.op(SUB_X)", "pass"),
    Fault("a shift by 32 is one by 0", "body", "code.jump(JGE, 32, gone)", "pass"),
    Fault("states are not merged", "body", "return now if before is None else before & now", "return now"),
    Fault("IPv4 options", "headers", "    code.op(AND, 0x0F)\n    code.op(LSH, 2)", "    code.op(LD_IMMEDIATE, 20)"),
    Fault("later fragments", "headers", "code.jset(0x1FFF, walk.no)\n    code.ldb(ETHERNET)\n", "code.ldb(ETHERNET)\n"),
    Fault(
        "later fragments, straight", "headers", "code.jset(0x1FFF, walk.no)\n    code.ldb(ETHERNET + 9)", "code.ldb(23)"
    ),
    Fault("options, straight", "headers", "code.jeq(0x45, None, otherwise)", "pass"),
    Fault("where ways meet X is not known", "code", "self.x if agreed else None", "self.x"),
    Fault("X changed and still known", "code", "self.x = None\n\n    def jump", "pass\n\n    def jump"),
    Fault("later fragments of IPv6", "headers", "code.jset(0xFFF8, walk.no)", "pass"),
    Fault("IPv6 extension length", "headers", "code.op(LSH, 1)", "pass"),
    Fault("VLAN tags", "headers", "for _ in range(MOST_TAGS)", "for _ in range(1)"),
    Fault("GRE sequence number", "headers", "code.op(RSH, 10)", "code.op(RSH, 12)"),
    Fault("GRE checksum", "headers", "code.op(RSH, 13)", "code.op(RSH, 15)"),
    Fault("GRE version", "headers", "_GRE_REFUSED = 0x4007", "_GRE_REFUSED = 0x4000"),
    Fault("NVGRE key", "headers", "code.op(RSH, 8)", "pass"),
    Fault("Geneve options", "encapsulations", "code.op(AND, 0x3F)", "code.op(AND, 0)"),
    Fault("VXLAN without a VNI", "encapsulations", "walk.code.jset(0x08, None, walk.no)", "pass"),
    Fault("ERSPAN II or I", "encapsulations", "code.jset(GRE_SEQUENCE, None, walk.ethernet)", "pass"),
    Fault("ERSPAN III subheader", "encapsulations", "code.op(LSH, 3)", "pass"),
    Fault(
        "ERSPAN III frame type",
        "encapsulations",
        "{0: walk.ethernet, 2: walk.ip}",
        "{0: walk.ethernet}",
    ),
    Fault("MPLS control word", "encapsulations", "code.jge(0x10, ethernet)", "code.jge(0, ethernet)"),
    Fault("GTP-U extension headers", "encapsulations", "code.op(SUB, 1)", "pass"),
    Fault("GTP-U optional fields", "encapsulations", "code.jset(0x07, optional)", "pass"),
    Fault("truncated headers", "walk", "self.code.jump(JGE_X, 0, None, self.no)", "pass"),
    Fault("an inner frame that cannot begin", "inwards", "walk.room(_LEAST[kind])", "pass"),
    Fault("a failed inner step is not taken back", "inwards", "code.op(LDX_SLOT, Memory.BASE)", "pass"),
    Fault("identifiers of what failed", "inwards", "code.recall(Memory.NEXT_ID)", "pass"),
    Fault("long jumps", "assemble", "_FARTHEST = 254", "_FARTHEST = 100000"),
    Fault("bridges", "assemble", "len(self.instructions) - self._places[label]))", "0))"),
    Fault("jumps to what comes next", "assemble", "line.code == JA and line.then in here:", "line.code == JA:"),
    Fault("slots shared by two at once", "slots", "clashes[instruction.k] |= needed[index]", "pass"),
]
TEXTS = [
    "tcp",
    "not arp",
    "len > 100",
    "tcp port 80",
    "udp or ip[ip[8] - 70] >= 0",
    "ip[0] << ip[1] = 69 or 1 << ip[8] > 0",
    "tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420",
    "ip[ip[2:2] - 1] & 1 = 1 and ip[ip[3] & 0xf] < ip[9] or udp[udp[4:2] - 9] & 1 = 1",
    "vlan and tcp port 80",
]
COUNT = 1500


@dataclass(frozen=True)
class Case:
    filters: Filters
    truth: Truth
    expected: list[bool]


def of_text(text: str, truth: Truth, *, optimise: bool = True) -> Case:
    return Case(filters(text, optimise=optimise), truth, truth.verdicts(text, optimise=optimise))


def of_program(code: bytes, truth: Truth) -> Case:
    return Case(Filters(Program(code), Program(code)), truth, truth.verdicts_of({"ethernet": code, "ip": code}))


@cache
def cases() -> list[Case]:
    packets = whole(wrapped_packets(5, COUNT))
    truths = [Truth(w, packets) for w in (Wrapping(), Wrapping(depth=1), Wrapping(ids=(5, 100, 1280)))]
    found = [of_text("not arp", truths[2]), of_text(host_list(random.Random(1), 100), truths[0])]
    for n, text in enumerate(TEXTS):
        found += [of_text(text, truths[n % 2]), of_text(text, truths[0], optimise=False)]
    for seed in range(24):
        truth, rng = truths[seed % 2], random.Random(seed)
        found += [of_text(random_filter(rng, 3 + seed), truth, optimise=seed % 2 == 0)]
        found += [of_program(random_program(rng, 4 + seed), truth)]
    return found


def seen(build: Build) -> bool:
    """Whether the proof fails with what this builds."""
    return any(_differs(build, case) for case in cases())


def _differs(build: Build, case: Case) -> bool:
    try:
        program = Bpf(build(case.filters, case.truth.wrapping))
    except (FilterError, ValueError, struct.error):
        # No program comes out, or one that is refused when it is loaded: seen.
        return True
    verdicts = program.run_all([data for data, _ in case.truth.packets])
    return [bool(verdict) for verdict in verdicts] != case.expected


def test_without_a_fault_nothing_is_seen():
    assert not seen(with_fault(Fault("none", "body", "_LD_BYTE = 0x30", "_LD_BYTE = 48")))


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_the_fault_is_seen(fault):
    assert seen(with_fault(fault))
