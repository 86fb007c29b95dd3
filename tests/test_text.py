from hypothesis import given
from hypothesis import strategies as st

from tapwright.text import columns, folded, printable, shortened


def test_plain_names_stay() -> None:
    assert printable("web-1 (prod) Zürich 北京") == "web-1 (prod) Zürich 北京"


def test_a_name_cannot_drive_the_terminal() -> None:
    assert printable("a\x1b[2Jb\r\nc") == r"a\x1b[2Jb\x0d\x0ac"
    assert printable("\u202egpj.exe") == r"\u202egpj.exe"


@given(st.text())
def test_nothing_that_moves_a_cursor_survives(text: str) -> None:
    shown = printable(text)
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2028" for c in shown)


def test_wide_and_combining_characters_have_their_columns() -> None:
    assert columns("網路") == 4
    assert columns("e\u0301") == 1


def test_a_long_name_is_cut_where_it_no_longer_fits() -> None:
    assert shortened("a" * 40) == "a" * 40
    assert shortened("a" * 41) == "a" * 39 + "…"
    assert shortened("網" * 21) == "網" * 19 + "…"


def test_a_line_is_broken_between_words_and_goes_on_below_its_text() -> None:
    assert folded("    why   it carries every one-way frame", 36) == [
        "    why   it carries every one-way",
        "          frame",
    ]
    assert folded("File: at most 12 KiB per second; 3 GiB free", 32) == [
        "File: at most 12 KiB per second;",
        "    3 GiB free",
    ]
    assert folded("", 80) == [""]
    assert folded("x" * 90, 80) == ["x" * 90]
