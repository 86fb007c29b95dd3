"""docs/filters.md shows what tapwright really says."""

import os
import re
import shlex
from pathlib import Path

import pytest

from support.tapwright import tapwright
from tapwright.filter import compile_filter
from tapwright.lab import Lab
from tapwright.model import Vnic

TEXT = (Path(__file__).parents[2] / "docs/filters.md").read_text()
EVERYDAY, VMS = (TEXT.split(f"## {title}")[1].split("##")[0] for title in ("Everyday filters", "`vm NAME`"))
SHOWN = re.findall(r"^    \$ (tapwright plan .*)\n((?:    .*\n)+)", TEXT, re.MULTILINE)


def filters(table):
    cells = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
    return [code.replace(r"\|", "|") for cell in cells for code in re.findall(r"`(.+?)`(?:,|$)", cell)]


@pytest.mark.parametrize("text", filters(EVERYDAY) + filters(VMS))
def test_every_filter_of_the_tables_compiles(text):
    assert len(compile_filter(text, lambda _: [Vnic("eth0", "02:00:00:00:00:01", ("10.0.0.1/24",))]).program) > 1


@pytest.mark.root
def test_every_output_is_real():
    assert len(SHOWN) >= 10
    with Lab.up("bridge", f"doc{os.getpid()}") as lab:
        for command, shown in SHOWN:
            line, _, tail = command.partition(" | tail -n ")
            answer = tapwright(*shlex.split(line)[1:], env=lab.environment())
            lines = (answer.out if tail else answer.err).splitlines()[-int(tail) if tail else 0 :]
            expected = [re.sub("^    ", "", line) for line in shown.splitlines()]
            assert [_no_mac(line) for line in lines] == [_no_mac(line) for line in expected], command
            assert answer.code == (0 if tail else 6)


def _no_mac(line):
    return re.sub(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", "MAC", line).rstrip()
