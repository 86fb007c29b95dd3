"""A mirror as the governor sees it: which levels it has, and what it takes to have copied."""

import pytest

from tapwright.capture.governor import Decision, Level
from tapwright.capture.readings import Own
from tapwright.control.governed_mirror import BETWEEN, GovernedMirror, ladder, most
from tapwright.errors import ProviderError

FULL, SLICED, HEADERS, SAMPLED, STOPPED = Level


@pytest.mark.parametrize(
    ("possible", "snaplen", "between"),
    [
        ((), 0, ()),
        ((SAMPLED,), 0, (SAMPLED,)),
        ((SAMPLED,), 64, (SAMPLED,)),
        ((HEADERS, SLICED), 0, (SLICED, HEADERS)),
        ((SLICED, HEADERS), 257, (SLICED, HEADERS)),
        ((SLICED, HEADERS), 256, (HEADERS,)),
        ((SLICED, HEADERS), 96, ()),
        (BETWEEN, 0, BETWEEN),
        (BETWEEN, 80, (SAMPLED,)),
    ],
)
def test_the_levels_are_those_possible_that_keep_less(
    possible: tuple[Level, ...], snaplen: int, between: tuple[Level, ...]
) -> None:
    assert ladder(possible, snaplen) == (FULL, *between, STOPPED)


def test_a_sample_is_of_whole_frames_and_told_so() -> None:
    assert [most(level) for level in (FULL, *BETWEEN)] == [0, 256, 96, 0]
    assert [level.described(cuts=False) for level in Level] == [
        "full",
        "sliced (256 bytes of each packet)",
        "headers (96 bytes of each packet)",
        "sampled (one packet in 16)",
        "stopped",
    ]


class Wire:
    """A mirror without any, that notes what is asked of it."""

    def __init__(self, snaplen: int = 0, error: str = "") -> None:
        self.steps: list[Level] = []
        self.stops = 0
        self._error = error
        self.governed = GovernedMirror((), snaplen, self._step, self._stop)

    def _step(self, level: Level) -> None:
        if self._error:
            raise ProviderError(self._error)
        self.steps.append(level)

    def _stop(self) -> None:
        self.stops += 1

    def to(self, level: Level) -> None:
        self.governed.apply(Decision(0.0, FULL, level, "too much", cuts=False))

    def copies(self, frames: int) -> tuple[int, int, int]:
        """So many more: frames, their bytes, and these had no frame been cut; since it began."""
        self.governed.copied += frames
        own: Own = self.governed.own()
        return own.packets, own.copied, own.whole


def test_a_frame_counts_as_it_was_cut_when_it_was_copied() -> None:
    wire = Wire()
    assert wire.copies(10) == (10, 15_000, 15_000)
    wire.to(SLICED)
    assert wire.copies(10) == (20, 15_000 + 2560, 30_000)
    wire.to(HEADERS)
    assert wire.copies(10) == (30, 17_560 + 960, 45_000)
    wire.to(FULL)
    assert wire.copies(10) == (40, 18_520 + 15_000, 60_000)
    assert wire.copies(0) == (40, 33_520, 60_000)
    assert wire.steps == [SLICED, HEADERS, FULL]
    assert not wire.stops


def test_what_was_asked_for_is_not_more_for_being_sliced() -> None:
    wire = Wire(snaplen=100)
    assert wire.copies(10) == (10, 1000, 1000)
    wire.to(SLICED)
    assert wire.copies(10) == (20, 2000, 2000)
    wire.to(HEADERS)
    assert wire.copies(10) == (30, 2960, 3000)


def test_a_sample_counts_whole() -> None:
    wire = Wire()
    wire.to(SAMPLED)
    assert wire.copies(10) == (10, 15_000, 15_000)


def test_counts_that_fail_for_a_moment_are_no_burst() -> None:
    wire = Wire()
    told = [(1000, None), (1000, 50), (None, 60), (1010, None), (None, None), (1020, 0)]
    packets = []
    for counts in told:
        wire.governed.tell(counts)
        packets.append(wire.governed.own().packets)
    assert packets == [1000, 1050, 1060, 1070, 1070, 1020]


def test_what_cannot_be_done_ends_it_and_changes_no_count() -> None:
    wire = Wire(error="somebody changed it")
    wire.to(SLICED)
    assert wire.governed.failed == "somebody changed it"
    assert wire.stops == 1
    assert wire.copies(10) == (10, 15_000, 15_000)
