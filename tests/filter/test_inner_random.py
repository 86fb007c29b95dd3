"""Random filters, short ones and ones whose jumps are too long for one byte, on the inner frame."""

import random

import pytest

from support.inner import Truth, differences, filters, whole
from support.judges import compiled
from support.random_filters import host_list, random_filter
from support.random_programs import random_program
from support.wrap import wrapped_packets
from tapwright.errors import FilterError
from tapwright.filter.program import Program
from tapwright.filter.relocate import Filters, relocate
from tapwright.filter.wrapping import Wrapping

WRAPPINGS = [Wrapping(), Wrapping(depth=1), Wrapping(("vxlan", "geneve"), plain=False), Wrapping(ids=(5, 1280))]

PACKETS = whole(wrapped_packets(3, 300))


def check(text: str, known: Truth, *, optimise: bool) -> Program | None:
    """None when there is no such filter: libpcap folds it away, or it is too long."""
    if compiled(text, optimise=optimise) is None:
        return None
    try:
        program = relocate(filters(text, optimise=optimise), known.wrapping)
    except FilterError as refused:
        if "instructions" not in refused.message:
            raise
        return None
    assert differences(program.code, known.packets, known.verdicts(text, optimise=optimise)) == {}, text
    return program


@pytest.mark.parametrize(
    ("size", "optimise"), [(n, True) for n in (3, 8, 20, 60, 150)] + [(n, False) for n in (3, 8, 20, 40)]
)
def test_random_filters(size, optimise, rounds):
    tried = 0
    for seed in range(16 * rounds):
        rng = random.Random(f"{size} {optimise} {seed}")
        known = Truth(WRAPPINGS[seed % len(WRAPPINGS)], whole(wrapped_packets(seed, 300)))
        tried += check(random_filter(rng, size), known, optimise=optimise) is not None
    assert tried > 8 * rounds


@pytest.mark.parametrize("size", [30, 60, 100, 200])
def test_long_lists(size, rounds):
    for seed in range(rounds):
        known = Truth(WRAPPINGS[seed % len(WRAPPINGS)], whole(wrapped_packets(seed, 300)))
        program = check(host_list(random.Random(seed), size), known, optimise=True)
        assert not program or any(i.code == 0x05 and i.k > 255 for i in program.instructions)


@pytest.mark.parametrize("size", [3, 8, 20])
def test_programs_no_compiler_writes(size, rounds):
    passed = judged = 0
    for seed in range(60 * rounds):
        code = random_program(random.Random(f"{size} {seed}"), size)
        known = Truth(WRAPPINGS[seed % len(WRAPPINGS)], PACKETS)
        program = relocate(Filters(Program(code), Program(code)), known.wrapping)
        expected = known.verdicts_of({"ethernet": code, "ip": code})
        assert differences(program.code, PACKETS, expected) == {}, seed
        passed, judged = passed + sum(expected), judged + len(expected)
    assert 0.05 < passed / judged < 0.95
