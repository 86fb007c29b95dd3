"""Aligned columns."""

from tapwright.cli.table import render

HEADER = ("NAME", "NOTE", "ID")


def table(*rows, width=None, dispensable=(), elastic=()):
    return list(render(HEADER, rows, width, dispensable, elastic))


def test_columns_are_aligned_and_gaps_are_marked():
    assert table(("a", "x", "1"), ("longer", "", "2")) == ["NAME    NOTE  ID", "a       x     1", "longer  -     2"]


def test_a_column_in_which_nothing_is_said_is_left_out():
    assert table(("a", "", "1")) == ["NAME  ID", "a     1"]


def test_wide_and_combining_characters_keep_the_columns_straight():
    assert table(("網路", "x", "1"), ("abcd", "y", "2"))[1:] == ["網路  x     1", "abcd  y     2"]


def test_what_can_be_spared_goes_first():
    rows = [("a" * 10, "b" * 10, "c" * 10)]
    assert table(*rows, width=34, dispensable=("ID", "NOTE"))[0].split() == ["NAME", "NOTE", "ID"]
    assert table(*rows, width=33, dispensable=("ID", "NOTE"))[0].split() == ["NAME", "NOTE"]
    assert table(*rows, width=5, dispensable=("ID", "NOTE"))[0].split() == ["NAME"]


def test_what_still_does_not_fit_is_cut():
    rows = [("a" * 20, "b" * 20, "c"), ("short", "d" * 18, "e")]
    assert table(*rows, width=35, dispensable=("ID",), elastic=("NOTE", "NAME"))[1:] == [
        "aaaaaaaaaaaaaaaaaaaa  bbbbbbbbbbbb…",
        "short                 dddddddddddd…",
    ]
    assert max(map(len, table(*rows, width=30, dispensable=("ID",), elastic=("NOTE", "NAME")))) == 30
    assert max(map(len, table(*rows, width=5, dispensable=("ID",), elastic=("NOTE", "NAME")))) == 12 + 2 + 12
    assert table(*rows, elastic=("NOTE", "NAME"))[1].startswith("a" * 20)


def test_no_rows_leave_the_header():
    assert table() == ["NAME  NOTE  ID"]
