"""The caret under the place, whatever the text is made of."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapwright.errors import FilterError
from tapwright.filter import render


def shown(text, position, width=78):
    return render(FilterError("wrong", text, position), width)


@pytest.mark.parametrize(
    ("text", "position", "lines"),
    [
        ("tcp prot 80", 4, ["  tcp prot 80", "      ^"]),
        ("tcp port", 8, ["  tcp port", "          ^"]),
        ("", 0, ["  ", "  ^"]),
        ("tcp\tprot\n80", 4, ["  tcp prot 80", "      ^"]),
        ("vm 北京 prot", 6, ["  vm 北京 prot", "          ^"]),
        ("vm e\u0301 prot", 6, ["  vm e\u0301 prot", "       ^"]),
        ("vm \x1b[2J prot", 8, [r"  vm \x1b[2J prot", "             ^"]),
        ("tcp \x00 80", 4, [r"  tcp \x00 80", "      ^"]),
        ("tcp prot", 99, ["  tcp prot", "          ^"]),
    ],
)
def test_the_caret_is_under_the_place(text, position, lines):
    assert shown(text, position).split("\n") == lines


def test_without_a_place_there_is_no_caret():
    assert shown("tcp and udp", None) == "  tcp and udp"


def test_of_a_long_text_the_part_around_the_place_is_shown():
    line, caret = shown("host 10.0.0.1 or " * 30 + "prot 80" + " or tcp" * 30, 510).split("\n")
    assert line.startswith("  ...")
    assert line.endswith("...")
    assert line[caret.index("^") :].startswith("prot 80 or tcp")
    assert len(line) <= 78


def columns(text):
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.category(c) in ("Mn", "Me") for c in text)


@given(st.text(max_size=200), st.integers(0, 200), st.integers(30, 120))
def test_it_fits_the_terminal_and_cannot_drive_it(text, position, width):
    line, caret = shown(text, position, width).split("\n")
    assert columns(line) <= width
    assert len(caret) <= width
    assert caret.strip() == "^"
    assert all(unicodedata.category(c) not in ("Cc", "Cf") for c in line)
