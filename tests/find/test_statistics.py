"""Rates from two readings."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from tapwright.find.statistics import Rates, difference, rates
from tapwright.model import Counters

BEFORE = Counters(100, 1000, 1, 2, 200, 2000, 3, 4, 5)
AFTER = Counters(110, 2000, 3, 5, 240, 6000, 7, 9, 11)

_counters = st.builds(Counters, *(st.integers(0, 2**64 - 1) for _ in range(9)))


def test_what_a_device_of_the_host_sends_goes_to_the_vm():
    assert rates(BEFORE, AFTER, 2.0) == Rates(
        to_vm_packets=20,
        to_vm_bits=16000,
        from_vm_packets=5,
        from_vm_bits=4000,
        to_vm_dropped=2,
        from_vm_dropped=1,
        errors=4,
        multicast=3,
    )


def test_what_the_vm_itself_receives_goes_to_the_vm():
    inside, outside = rates(BEFORE, AFTER, 2.0, outside=False), rates(BEFORE, AFTER, 2.0)
    assert (inside.to_vm_packets, inside.to_vm_bits) == (outside.from_vm_packets, outside.from_vm_bits)
    assert (inside.to_vm_dropped, inside.from_vm_dropped) == (outside.from_vm_dropped, outside.to_vm_dropped)
    assert (inside.packets, inside.bits) == (outside.packets, outside.bits)


def test_a_device_made_anew_counts_from_nothing():
    assert difference(AFTER, BEFORE) == BEFORE


def test_no_time_no_rate():
    assert rates(BEFORE, AFTER, 0) == rates(BEFORE, AFTER, -1) == Rates()


@given(_counters, _counters)
def test_a_difference_is_never_negative_and_never_more_than_counted(before, after):
    made = dataclasses.astuple(difference(before, after))
    assert all(0 <= one <= counted for one, counted in zip(made, dataclasses.astuple(after), strict=True))
