"""Programs: what the kernel gets, how much it copies, what is refused, how it reads."""

import shutil
import subprocess

import pytest

from support.bpf import kernel_deliveries, libpcap_verdicts
from support.expressions import EXPRESSIONS
from support.frames import cut_frames, whole_frames
from tapwright.errors import FilterError
from tapwright.filter import MAX_SNAPLEN, Program, compile_filter
from tapwright.filter.libpcap import offline
from tapwright.filter.program import Instruction

RETURN, JUMP = 0x06, 0x05
WHOLE = whole_frames(7, 300)
FRAMES = WHOLE + cut_frames(8, 100)


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_kernel_and_libpcap_agree(text):
    delivered = kernel_deliveries(compile_filter(text).program.code, FRAMES)
    verdicts = libpcap_verdicts(text, FRAMES)
    assert [size is not None for size in delivered] == verdicts
    assert all(size in (None, len(frame)) for size, frame in zip(delivered, FRAMES, strict=True))


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_the_optimiser_changes_no_verdict(text):
    # On frames cut short it may: it loads four bytes of an address where only two are compared.
    delivered = kernel_deliveries(compile_filter(text).program.code, WHOLE)
    assert [size is not None for size in delivered] == libpcap_verdicts(text, WHOLE, optimise=False)


def test_the_frames_try_both_verdicts_of_nearly_every_filter():
    undecided = [text for text in EXPRESSIONS if len(set(libpcap_verdicts(text, FRAMES))) < 2]
    assert set(undecided) <= {"len * 2 - 10 = 98", "pppoes", "geneve", "stp"}


@pytest.mark.parametrize("text", ["", "tcp", "host 10.0.0.1 or arp", "not vlan", "len > 100"])
@pytest.mark.parametrize("snaplen", [1, 14, 64, 96, MAX_SNAPLEN])
def test_snaplen_changes_how_much_is_copied_and_not_what_matches(text, snaplen):
    whole = kernel_deliveries(compile_filter(text).program.code, FRAMES)
    cut = kernel_deliveries(compile_filter(text, snaplen=snaplen).program.code, FRAMES)
    assert cut == [size if size is None else min(size, snaplen) for size in whole]


def test_keep_all_and_drop_all():
    assert kernel_deliveries(Program.keep_all().code, FRAMES) == [len(frame) for frame in FRAMES]
    assert kernel_deliveries(Program.keep_all(60).code, FRAMES) == [min(60, len(frame)) for frame in FRAMES]
    assert kernel_deliveries(Program.drop_all().code, FRAMES) == [None] * len(FRAMES)


def test_a_snaplen_of_nothing_is_a_mistake():
    with pytest.raises(ValueError, match="at least 1"):
        Program.keep_all().with_snaplen(0)


def test_a_shorter_snaplen_is_never_made_longer():
    assert Program.keep_all(60).with_snaplen(100) == Program.keep_all(60)
    assert Program.drop_all().with_snaplen(100) == Program.drop_all()


@pytest.mark.parametrize(
    ("instructions", "words"),
    [
        ([Instruction(RETURN, 0, 0, 1)] * 4097, "4,097 instructions"),
        ([Instruction(JUMP, 0, 0, 0xFFFFFFFF), Instruction(RETURN, 0, 0, 1)], "loops"),
        ([Instruction(JUMP, 0, 0, 1), Instruction(RETURN, 0, 0, 1)], "jumps out"),
        ([Instruction(0x15, 0, 1, 9), Instruction(RETURN, 0, 0, 1)], "jumps out"),
        ([Instruction(0x00, 0, 0, 1)], "end with a return"),
    ],
)
def test_what_no_kernel_takes_is_refused(instructions, words):
    with pytest.raises(FilterError, match=words):
        Program.of(instructions)


@pytest.mark.parametrize("code", [b"", b"1234567"])
def test_bytes_that_are_no_program(code):
    with pytest.raises(FilterError, match="multiple of 8"):
        Program(code)


def test_the_longest_program_is_taken_by_the_kernel():
    program = Program.of([Instruction(0x00, 0, 0, 1)] * 4095 + [Instruction(RETURN, 0, 0, 33)])
    assert kernel_deliveries(program.code, [bytes(100)]) == [33]


@pytest.mark.skipif(not shutil.which("tcpdump"), reason="tcpdump is not installed")
@pytest.mark.parametrize("text", [t for t in EXPRESSIONS if t != "geneve"])
def test_disassembly_is_what_tcpdump_prints(text):
    shown = subprocess.run(["tcpdump", "-y", "EN10MB", "-d", text], capture_output=True, text=True, check=True)
    assert str(compile_filter(text).program).splitlines() == shown.stdout.splitlines()


@pytest.mark.skipif(not shutil.which("tcpdump"), reason="tcpdump is not installed")
def test_instructions_are_what_tcpdump_gives_the_kernel():
    for text in EXPRESSIONS:
        shown = subprocess.run(["tcpdump", "-y", "EN10MB", "-ddd", text], capture_output=True, text=True, check=True)
        theirs = [tuple(map(int, line.split())) for line in shown.stdout.splitlines()[1:]]
        assert [tuple(i) for i in Program(offline(text)).instructions] == theirs, text


def test_an_unknown_instruction_is_shown_as_it_is():
    program = Program.of([Instruction(0xFF, 0, 0, 0), Instruction(RETURN, 0, 0, 0)])
    assert str(program).splitlines()[0] == "(000) unimp    0xff"
