"""What a capture takes: upper bounds from the load, the limits and the room on the disk."""

import pytest

from tapwright.find.statistics import Rates
from tapwright.plan.cost import Limits, estimate, warnings

LOAD = [Rates(500, 4_000_000, 500, 4_000_000)]
PER_SECOND = 1_000_000 + 1000 * 48
GIB = 1 << 30


def limits(snaplen=262_144, seconds=0.0, size=0):
    return Limits(snaplen, seconds, size, 1 << 20)


@pytest.mark.parametrize(
    ("bounds", "free", "total", "until_full"),
    [
        (limits(), None, None, None),
        (limits(), GIB, None, GIB / PER_SECOND),
        (limits(seconds=10), GIB, 10 * PER_SECOND, None),
        (limits(seconds=1e6), GIB, 1e6 * PER_SECOND, GIB / PER_SECOND),
        (limits(size=1000), GIB, 1000, None),
        (limits(seconds=10, size=1000), GIB, 1000, None),
        (limits(size=2 * GIB), GIB, 2 * GIB, GIB / PER_SECOND),
    ],
)
def test_how_much_and_how_long(bounds, free, total, until_full):
    cost = estimate(LOAD, bounds, free)
    assert (cost.disk, cost.total, cost.until_full) == (PER_SECOND, total, until_full)


def test_nothing_fills_a_disk_with_nothing():
    cost = estimate([], limits(), GIB)
    assert (cost.packets, cost.disk, cost.until_full) == (0, 0, None)
    assert warnings(cost) == ()


def test_it_warns_when_the_capture_would_not_fit():
    assert warnings(estimate(LOAD, limits(seconds=3600), GIB)) == (
        "the disk is full after 17:04: 1.0 GiB are free, and the capture may take 3.5 GiB",
    )
    assert warnings(estimate(LOAD, limits(), 0)) == ("the disk is full",)


def test_it_does_not_warn_of_what_the_user_ends():
    assert warnings(estimate(LOAD, limits(), GIB)) == ()
    assert warnings(estimate(LOAD, limits(seconds=10), GIB)) == ()
    assert warnings(estimate(LOAD, limits(seconds=10), None)) == ()
