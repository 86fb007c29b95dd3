import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapwright.errors import UsageError
from tapwright.units import (
    format_duration,
    format_rate,
    format_size,
    format_things,
    parse_duration,
    parse_ring,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("64K", 65536), ("64k", 65536), ("1.5G", 3 << 29), ("10MiB", 10 << 20), ("10 MB", 10 << 20)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "M", "-1", "1X", "1e9", "ten", "0.1"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1.5", 1.5), ("30s", 30), ("5m", 300), ("1h30m", 5400), ("250ms", 0.25), ("1d", 86400)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "-3", "nan", "inf", "5x", "m5", "5m foo"])
def test_no_durations(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0", "0s", "0m0.0s"])
def test_nothing_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="is no time at all"):
        parse_duration(text)


def test_rings() -> None:
    assert parse_ring("100Mx10") == (100 << 20, 10)
    for text in ("100M", "x3", "1Mx0", "1Mx-1", "1Mx"):
        with pytest.raises(UsageError):
            parse_ring(text)


def test_formats() -> None:
    assert format_size(1023) == "1023 B"
    assert format_size(1536) == "1.5 KiB"
    assert format_rate(8_100_000, "bit/s") == "8.1 Mbit/s"
    assert format_rate(999.7, "pps") == "1 kpps"
    assert format_duration(42.9) == "0:42"
    assert format_duration(11525) == "3:12:05"
    assert format_duration(2_576_970) == "29 days"
    assert (format_things(1, "VM"), format_things(1000, "VM")) == ("1 VM", "1,000 VMs")


@given(st.floats(min_value=0, max_value=1e18))
def test_formats_never_fail_and_stay_short(value: float) -> None:
    assert len(format_size(value)) < 16
    assert len(format_rate(value, "bit/s")) < 16
