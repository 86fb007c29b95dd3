"""How often counters are read: not so often that looking itself burdens the host."""

from tapwright.control.delivery import Deliveries
from tapwright.control.sessions import Opened
from tapwright.model import Capability, Netns
from tapwright.plan.counts import Counts, Ways
from tapwright.plan.mirrors import Mirror, parse
from tapwright.plan.points import Point, PointKind
from tapwright.plan.steps import Mark


class Slow:
    """Counters that take a while to be read, by a clock of their own."""

    def __init__(self, seconds: float) -> None:
        self.now = 0.0
        self.looks = 0
        self._seconds = seconds

    def clock(self) -> float:
        return self.now

    def meter(self, name: str) -> "Slow":
        return self

    def measured(self, steps: object) -> Counts:
        self.now += self._seconds
        self.looks += 1
        return Counts(Ways(self.looks, self.looks), Ways(self.looks, self.looks))


def looks(seconds: float) -> int:
    """In a hundred seconds, asked for one each second."""
    slow = Slow(seconds)
    point = Point(PointKind.DEVICE, "web", "eth0", "slow", None, "vnet1", Netns(1), Capability.yes())
    mirror = Mirror(point, parse("nic:snf0"), Mark("1a2b3c4d", "1.1.b", 9))
    deliveries = Deliveries.of(slow, [Opened(mirror, ())], clock=slow.clock)
    while slow.now < 100:
        assert len(deliveries.look()) == 1
        slow.now += 1
    return slow.looks


def test_what_is_quick_is_read_as_often_as_it_is_asked_for() -> None:
    assert looks(0.01) > 95


def test_looking_takes_a_tenth_of_the_time_at_most() -> None:
    for seconds in (0.5, 2.0, 5.0):
        assert looks(seconds) * seconds <= 0.1 * (100 + 20 * seconds)
