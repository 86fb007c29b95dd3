from hypothesis import given
from hypothesis import strategies as st

from tapwright.adapters.pressure import Pressure, Stalled
from tapwright.capture.readings import Own, Sample, readings


def test_rates_by_the_clock_of_each() -> None:
    before = Sample(10.0, Own(5.0, 100, 1000, 2000, 1.0, 0), Pressure(Stalled(0, 0), time=1000, stolen=0), 5)
    after = Sample(12.0, Own(6.0, 300, 2000, 9000, 1.5, 50), Pressure(Stalled(500_000, 0), time=1400, stolen=40), 25, 7)
    found = readings(before, after)
    assert (found.packets, found.rate, found.whole, found.cpu, found.disk) == (200, 8000, 56_000, 0.5, 50)
    assert (found.psi_cpu, found.steal, found.drops, found.free) == (0.25, 0.1, 10, 7)
    assert found.unknown == ("psi_io", "psi_memory", "psi_full", "softnet")


def test_a_count_that_began_anew_says_nothing() -> None:
    before, after = Sample(0.0, dropped=9), Sample(1.0, dropped=3)
    assert readings(before, after).drops is None


def test_no_time_is_no_rate() -> None:
    assert readings(Sample(1.0), Sample(1.0)).rate == 0


count = st.none() | st.integers(0, 2**40)
stalled = st.builds(Stalled, count, count)
sample = st.builds(
    Sample, st.floats(0, 1e6), st.builds(Own, st.floats(0, 1e6)),
    st.builds(Pressure, stalled, stalled, stalled, count, count, count), count, count,
)  # fmt: skip


@given(sample, sample)
def test_shares_are_shares(before: Sample, after: Sample) -> None:
    found = readings(before, after)
    for share in (found.psi_cpu, found.psi_io, found.psi_memory, found.psi_full):
        assert share is None or share <= 1
