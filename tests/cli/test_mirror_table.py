"""What a running mirror shows: counts that change every second, and those that a switch publishes now and then."""

from tapwright.cli.mirror_table import Pace


def test_a_rate_is_that_between_two_changes() -> None:
    pace = Pace()
    assert pace.rate(0, 100, 1.0) is None
    assert pace.rate(0, 110, 2.0) == 10
    assert pace.rate(0, 110, 3.0) == 10, "nothing new was published"
    assert pace.rate(0, 210, 7.0) == 20
    assert pace.rate(0, 210, 18.0) == 0


def test_rows_have_a_pace_of_their_own_and_one_without_a_count_none() -> None:
    pace = Pace()
    assert pace.rate(0, None, 1.0) is None
    assert pace.rate(1, 0, 1.0) is None
    assert pace.rate(1, 5, 2.0) == 5
    assert pace.rate(1, 3, 3.0) == 0, "a switch that was restarted counts from 0"
    assert pace.rate(0, None, 4.0) is None
