"""From labels to offsets: jumps of any length land where they should, and nothing superfluous is left."""

import random

import pytest

from tapwright._core import Bpf
from tapwright.filter.assemble import assemble
from tapwright.filter.code import JGT, Code, Label, Line, Op
from tapwright.filter.program import Program

NOTHING = 0x04
"""add #k"""


def run(code: Code, packet: bytes = b"\0" * 64) -> int:
    return Bpf(Program.of(assemble(code.lines)).code).run(packet)


def gap(code: Code, count: int) -> None:
    for _ in range(count):
        code.op(NOTHING, 1)


@pytest.mark.parametrize("near", [0, 1, 252, 253, 254, 255, 256, 257, 1000])
@pytest.mark.parametrize("far", [0, 1, 253, 254, 255, 256, 700])
@pytest.mark.parametrize("first", [0, 9])
def test_both_ways_of_a_condition_reach_over_any_distance(first, near, far):
    code, then, otherwise = Code(), Label("then"), Label("otherwise")
    code.set_x(0)
    code.ldb(0)
    code.jeq(0, then, otherwise)
    gap(code, near)
    code.place(then)
    code.ret(1)
    gap(code, far)
    code.place(otherwise)
    code.ret(2)
    assert run(code, bytes([first]) + bytes(63)) == (2 if first else 1)


def test_conditions_share_a_bridge():
    code, end = Code(), Label("end")
    code.set_x(0)
    code.ldb(0)
    for number in range(50):
        code.jeq(number, end)
    gap(code, 400)
    code.ret(7)
    code.place(end)
    code.ret(9)
    assert len(assemble(code.lines)) == 2 + 50 + 400 + 2 + 1
    assert [run(code, bytes([n]) + bytes(63)) for n in (0, 49, 50)] == [9, 9, 7]


def test_a_jump_to_a_jump_and_what_nothing_reaches_vanish():
    code, first, second, unused = Code(), Label(), Label(), Label()
    code.set_x(0)
    code.ldb(0)
    code.jeq(1, first)
    code.ret(3)
    code.place(unused)
    code.ret(4)
    code.place(first)
    code.ja(second)
    code.place(second)
    code.ret(5)
    assert [instruction.k for instruction in assemble(code.lines)] == [0, 0, 1, 3, 5]


@pytest.mark.parametrize("seed", range(60))
def test_random_programs_mean_what_their_lines_mean(seed):
    rng = random.Random(seed)
    lines = _random_lines(rng, rng.choice([5, 60, 400]))
    program = Bpf(Program.of(assemble(lines)).code)
    for first in range(0, 256, 5):
        packet = bytes([first]) + bytes(15)
        assert program.run(packet) == _meaning(lines, first)


def _random_lines(rng: random.Random, size: int) -> list[Line]:
    labels = [Label(str(n)) for n in range(size)]
    lines: list[Line] = [Op(0x30, 0)]
    for n, label in enumerate(labels):
        lines.append(label)
        ahead = [None, *labels[n + 1 :]]
        choice = rng.random()
        if choice < 0.5:
            lines.append(Op(rng.choice([0x15, JGT]), rng.randrange(256), rng.choice(ahead), rng.choice(ahead)))
        elif choice < 0.6 and len(ahead) > 1:
            lines.append(Op(0x05, 0, rng.choice(ahead[1:])))
        elif choice < 0.65:
            lines.append(Op(0x06, n + 1))
        else:
            lines.append(Op(NOTHING, rng.randrange(3)))
    return [*lines, Op(0x06, 1 << 20)]


def _meaning(lines: list[Line], first: int) -> int:
    at, a = 1, first
    while True:
        line = lines[at]
        at += 1
        if not isinstance(line, Op):
            continue
        if line.code == 0x06:
            return line.k
        if line.code == NOTHING:
            a += line.k
            continue
        holds = line.code == 0x05 or (a == line.k if line.code == 0x15 else a > line.k)
        target = line.then if holds else line.otherwise
        at = lines.index(target) if target else at
