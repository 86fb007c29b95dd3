from datetime import UTC, datetime

import pytest

from tapwright.errors import UsageError
from tapwright.read.moments import parse_moment, parse_range

AT = int(datetime(2026, 11, 23, 9, 30, 15, tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize(("text", "expected"), [
    ("90", (True, 90 * 10**9)), ("1.5s", (True, 15 * 10**8)), ("+1m30s", (True, 90 * 10**9)), ("0", (True, 0)),
    ("2026-11-23T09:30:15Z", (False, AT)), ("2026-11-23 10:30:15.000000001+01:00", (False, AT + 1)),
    (str(AT // 10**9), (False, AT)), (f"{AT // 10**9}.25", (False, AT + 250_000_000)),
])  # fmt: skip
def test_moments(text: str, expected: tuple[bool, int]) -> None:
    assert parse_moment(text) == expected


def test_a_moment_without_a_zone_is_local() -> None:
    local = int(datetime(2026, 11, 23, 9, 30).timestamp())
    assert parse_moment("2026-11-23 09:30") == (False, local * 10**9)


@pytest.mark.parametrize("text", ["soon", "", "-5s", "2026-13-01", "09:30", "1969-01-01T00:00Z", "9" * 30 + "s"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(UsageError):
        parse_moment(text)


def test_ranges() -> None:
    assert parse_range("10-20") == (10, 20)
    assert parse_range("7") == (7, 7)
    assert parse_range("-20") == (1, 20)
    assert parse_range("5-") == (5, 2**64 - 1)
    for text in ("", "-", "9-3", "a-b", "1-2-3"):
        with pytest.raises(UsageError):
            parse_range(text)
