"""What a guest says is decoded strictly: it may say anything."""

import pytest

from tapwright.adapters.guest_agents import decode_counters
from tapwright.model import Counters

STATISTICS = (
    '{"rx-packets":1,"rx-bytes":2,"rx-dropped":3,"rx-errs":4,"tx-packets":5,"tx-bytes":6,"tx-dropped":7,"tx-errs":8}'
)


def test_counters_of_each_interface() -> None:
    said = f"""{{"return":[{{"name":"lo","hardware-address":"00:00:00:00:00:00"}},
        {{"name":"eth0","hardware-address":"52:54:00:AA:00:01","statistics":{STATISTICS}}}]}}"""
    assert list(decode_counters(said)) == [("52:54:00:aa:00:01", Counters(1, 2, 3, 4, 5, 6, 7, 8))]


@pytest.mark.parametrize(
    "said",
    [
        "",
        "{}",
        '{"return": null}',
        '{"return": [{"hardware-address": 7}]}',
        '{"return": [{"hardware-address": "52:54:00:aa:00:01", "statistics": {"rx-packets": -1}}]}',
        '{"return": [{"hardware-address": "52:54:00:aa:00:01", "statistics": {"rx-packets": 1e400}}]}',
        '{"return": ' + "[" * 100_000,
    ],
)
def test_nonsense_says_nothing(said: str) -> None:
    assert list(decode_counters(said)) == []
