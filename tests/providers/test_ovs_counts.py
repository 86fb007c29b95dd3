"""How late an Open vSwitch's counters are by its own settings."""

import pytest

from tapwright.providers.ovs_counts import LAG, lag_of


@pytest.mark.parametrize(
    ("told", "lag"),
    [("15000", 16.5), ("5000", LAG), ("2000", LAG), ("-15000", LAG), ("", LAG), ("15 s", LAG), ("9" * 5000, LAG)],
)
def test_only_a_longer_interval_counts(told: str, lag: float) -> None:
    assert lag_of({"stats-update-interval": told, "other": "1"}) == lag


def test_without_one_it_is_five_seconds_and_what_is_gathered_meanwhile() -> None:
    assert lag_of({}) == LAG == 6.5
