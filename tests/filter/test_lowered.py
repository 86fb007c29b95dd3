"""Filters that keep less give the same verdicts on what they keep."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapwright._core import Bpf
from tapwright.filter.compile import compile_filter
from tapwright.filter.lowered import cut, sampled
from tapwright.filter.program import Instruction, Program
from tapwright.filter.uplink import Sought, at_uplink

FRAME = bytes.fromhex("020000000002020000000001080045000040000100004011000a0a0000010a000002") + bytes(400)
TEXTS = st.sampled_from(["", "udp", "tcp", "udp and host 10.0.0.1", "ip[2:2] > 600", "not arp and len > 300"])


@given(TEXTS, st.integers(1, 300_000), st.binary(max_size=300))
def test_a_cut_program_refuses_what_the_other_refuses(text: str, most: int, packet: bytes) -> None:
    program = compile_filter(text).program
    before, after = Bpf(program.code), Bpf(cut(program, most).code)
    for each in (packet, FRAME):
        assert after.run(each) == min(before.run(each), most)


def test_of_an_inner_frame_the_frame_is_cut() -> None:
    user = compile_filter("", outgoing_is_to_vm=False)
    sought = Sought("02:00:00:00:00:01", "vxlan", 100, 4789)
    kept = at_uplink(user, sought, snaplen=1000).fit.kernel
    inner = bytes.fromhex("0200000000020200000000010800") + bytes(900)
    udp = (50000).to_bytes(2, "big") + (4789).to_bytes(2, "big") + bytes(4)
    head = bytes.fromhex("4500000000010000401100000a0000010a000002")
    outer = bytes.fromhex("0200000000fe0200000000fd0800") + head + udp + bytes.fromhex("0800000000006400")
    assert Bpf(kept.code).run(outer + inner) == len(outer) + 1000
    assert Bpf(cut(kept, 96).code).run(outer + inner) == len(outer) + 96


def test_a_program_that_computes_its_verdict_is_refused() -> None:
    odd = Program.of([Instruction(0x80, 0, 0, 0), Instruction(0x16, 0, 0, 0)])
    with pytest.raises(ValueError, match="computes"):
        cut(odd, 96)
    with pytest.raises(ValueError, match="no bytes"):
        cut(Program.keep_all(), 0)


def test_a_sample_is_taken_in_front_of_the_program() -> None:
    program = compile_filter("udp").program
    assert sampled(program, 1) == program
    made = sampled(program, 16)
    assert made is not None
    assert made.instructions[4:] == program.instructions
    assert made.instructions[1].k == 1 << 28
    with pytest.raises(ValueError, match="less than one"):
        sampled(program, 0)


def test_a_program_that_fills_the_kernel_cannot_be_sampled() -> None:
    longest = Program.of([Instruction(0, 0, 0, 0)] * 4095 + [Instruction(6, 0, 0, 1)])
    assert sampled(longest, 16) is None
