"""Whether the kernel has the memory for a filter, asked of the kernel."""

import subprocess
import sys

import pytest
from tests.support.netns import namespace

from tapwright.adapters.attach import has_room, room
from tapwright.filter.program import Instruction, Program

ENDS = Instruction(6, 0, 0, 1)
ASK = """
import sys
from tapwright.adapters.attach import has_room, room
print(has_room(sys.stdin.buffer.read()), room())
"""
LONG = Program.of([*[Instruction(0x30, 0, 0, 1)] * 4000, ENDS])


def test_a_short_program_has_room() -> None:
    assert has_room(Program.keep_all().code)
    assert 0 < room() <= 4096


def test_what_the_kernel_refuses_for_another_reason_is_left_to_whoever_attaches_it() -> None:
    assert has_room(b"\xff" * 8)


@pytest.mark.root
def test_an_older_kernels_memory_is_too_small_for_a_long_one() -> None:
    with namespace() as netns:
        inside = ["ip", "netns", "exec", netns]
        if subprocess.run([*inside, "sysctl", "-qw", "net.core.optmem_max=20480"], check=False).returncode:
            pytest.skip("this kernel has one such setting for all namespaces, and it is not ours to change")
        done = subprocess.run([*inside, sys.executable, "-c", ASK], input=LONG.code, capture_output=True, check=True)
    assert done.stdout.split() == [b"False", b"512"]
