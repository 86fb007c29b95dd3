"""The pure half of each provider on what real daemons answered (tests/recorded/record.py)."""

import pytest

from support import recordings


@pytest.mark.parametrize("name", recordings.REPLAYS)
def test_a_recorded_answer_gives_the_expected_snapshot(name: str) -> None:
    recording = recordings.load(name)
    assert recordings.plain(recordings.REPLAYS[name](recording["answered"])) == recording["expected"]
