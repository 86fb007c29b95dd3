"""How often counters are read: not so often that looking itself burdens the host."""

import pytest

from tapwright.control.delivery import Deliveries
from tapwright.control.sessions import Opened
from tapwright.model import Capability, Netns
from tapwright.plan.counts import Counts, Ways
from tapwright.plan.mirrors import Mirror, parse
from tapwright.plan.points import Point, PointKind
from tapwright.plan.steps import Finding, Found, Mark, Operation, Step
from tapwright.tap.delivery import Outcome


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


class Elsewhere:
    """A controller's mirror of a port whose server cannot be asked; what is found of it can be."""

    def __init__(self, *findings: Finding) -> None:
        self._findings = list(findings)

    def meter(self, name: str) -> "Elsewhere":
        return self

    def measured(self, steps: object) -> Counts:
        return Counts(why="another server has the port")

    def found(self, step: object) -> Finding:
        return self._findings.pop(0)


def looks(seconds: float) -> int:
    """In a hundred seconds, asked for one each second."""
    slow = Slow(seconds)
    deliveries = Deliveries.of(slow, [Opened(mirror(), ())], clock=slow.clock)
    while slow.now < 100:
        assert len(deliveries.look()) == 1
        slow.now += 1
    return slow.looks


def mirror() -> Mirror:
    point = Point(PointKind.DEVICE, "web", "eth0", "slow", None, "vnet1", Netns(1), Capability.yes())
    return Mirror(point, parse("nic:snf0"), Mark("1a2b3c4d", "1.1.b", 9))


@pytest.mark.parametrize(
    ("finding", "outcome", "said"),
    [
        (Finding(Found.THERE), Outcome.UNKNOWN, "not provable here: another server has the port"),
        (Finding(Found.UNKNOWN, "it does not answer"), Outcome.UNKNOWN, "another server has the port"),
        (Finding(Found.CHANGED, "index is 9"), Outcome.UNKNOWN, "the port; somebody changed it: index is 9"),
        (Finding(Found.ABSENT), Outcome.NONE, "the mirror is gone"),
    ],
    ids=lambda value: str(getattr(value, "found", value)),
)
def test_of_a_mirror_that_nobody_counts_it_is_known_at_once_that_it_is_gone(
    finding: Finding, outcome: Outcome, said: str
) -> None:
    step = Step(Operation.of("ovn", "mirror"), Operation.of("ovn", "unmirror"), "why")
    deliveries = Deliveries.of(Elsewhere(finding), [Opened(mirror(), (step,))])
    (delivery,) = deliveries.look()
    assert delivery.verdict.outcome is outcome
    assert said in delivery.verdict.reason
    news = deliveries.news({delivery.opened: "web/eth0"})
    assert news.mirrors == (("web/eth0", delivery.verdict),)


def test_what_is_quick_is_read_as_often_as_it_is_asked_for() -> None:
    assert looks(0.01) > 95


def test_looking_takes_a_tenth_of_the_time_at_most() -> None:
    for seconds in (0.5, 2.0, 5.0):
        assert looks(seconds) * seconds <= 0.1 * (100 + 20 * seconds)


def test_what_was_known_before_a_step_is_not_said_after_it() -> None:
    """Also while it is too soon for another look."""
    slow = Slow(0.5)
    opened = Opened(mirror(), ())
    deliveries = Deliveries.of(slow, [opened], clock=slow.clock)
    deliveries.look()
    (before,) = deliveries.look()
    assert before.verdict.reason == "nothing to compare yet"
    deliveries.reduced(lambda _: (), 96, 1)
    (after,) = deliveries.look()
    assert slow.looks == 1
    assert after.verdict.reason == "not looked at yet"
