"""Live statistics: whose counters, which way round, and what happens when VMs come and go."""

from tapwright.find.live import Sample, Source, Subject, Tracker, samples, targets, totals
from tapwright.find.names import Selection
from tapwright.find.statistics import Rates
from tapwright.find.topology import Topology
from tapwright.model import Counters, DeviceKey, Host, Port, Switch, Vm, Vnic

HOST_SIDE, VM_SIDE = DeviceKey(1, 5), DeviceKey(2, 2)
VNIC = Vnic("eth0", "02:00:00:00:00:01", device=HOST_SIDE, inner=VM_SIDE)
VM = Vm("id-web", "web", vnics=(VNIC,))
PORT = Port("s", "vnet0", device=HOST_SIDE, counters=Counters(rx_packets=3))
TOPOLOGY = Topology(Host("h"), (VM,), (Switch("s", "br0", "ovs"),), (PORT,))
DEVICE = Subject("id-web", "web", "eth0", Source.DEVICE, "br0", "vnet0")
SWITCH = Subject("id-web", "web", "eth0", Source.SWITCH, "br0", "vnet0")
GUEST = Subject("id-web", "web", "eth0", Source.GUEST, "br0", "vnet0")


def test_a_target_says_where_it_is_plugged_in() -> None:
    (target,) = targets(TOPOLOGY, [Selection(VM, VM.vnics)])
    assert target.subject == DEVICE
    assert target.keys == (HOST_SIDE, VM_SIDE)
    assert target.switch == PORT.counters


def test_each_source_that_counts_is_a_sample() -> None:
    wanted = list(targets(TOPOLOGY, [Selection(VM, VM.vnics)]))
    counted = {HOST_SIDE: Counters(rx_packets=1), VM_SIDE: Counters(tx_packets=2)}
    assert list(samples(wanted, counted, {}, 9.0, 5.0)) == [
        Sample(DEVICE, Counters(rx_packets=1), 9.0),
        Sample(SWITCH, Counters(rx_packets=3), 5.0),
        Sample(GUEST, Counters(tx_packets=2), 9.0),
    ]


def test_a_device_that_is_gone_is_no_sample() -> None:
    wanted = list(targets(TOPOLOGY, [Selection(VM, VM.vnics)]))
    assert [sample.subject.source for sample in samples(wanted, {}, {}, 9.0, 5.0)] == [Source.SWITCH]


def test_a_guest_speaks_for_the_vnic_of_its_mac() -> None:
    vnic = Vnic("net0", "02:00:00:00:00:09")
    guest = Vm("id-db", "db", vnics=(vnic,))
    wanted = list(targets(Topology(Host("h"), (guest,)), [Selection(guest, guest.vnics)]))
    told = {("id-db", vnic.mac): Counters(rx_packets=4), ("id-other", vnic.mac): Counters(rx_packets=5)}
    (sample,) = samples(wanted, {}, told, 9.0, 5.0)
    assert (sample.subject.source, sample.counters) == (Source.GUEST, Counters(rx_packets=4))


COUNTED = Counters(1, 2, 3, 4, 5, 6, 7, 8, 9)


def test_outside_what_is_received_comes_from_the_vm() -> None:
    found = totals(DEVICE, COUNTED)
    assert (found.from_vm_packets, found.from_vm_bytes, found.from_vm_dropped, found.from_vm_errors) == (1, 2, 3, 4)
    assert (found.to_vm_packets, found.to_vm_bytes, found.to_vm_dropped, found.to_vm_errors) == (5, 6, 7, 8)
    assert totals(SWITCH, COUNTED) == found
    assert found.multicast == 9


def test_inside_what_is_received_goes_to_the_vm() -> None:
    found = totals(GUEST, COUNTED)
    assert (found.to_vm_packets, found.to_vm_bytes, found.to_vm_dropped, found.to_vm_errors) == (1, 2, 3, 4)
    assert (found.from_vm_packets, found.from_vm_bytes, found.from_vm_dropped, found.from_vm_errors) == (5, 6, 7, 8)


def test_the_first_reading_has_no_rates() -> None:
    (traffic,) = Tracker().update([Sample(DEVICE, COUNTED, 100.0)])
    assert (traffic.rates, traffic.seconds) == (Rates(), 0.0)
    assert traffic.counters == COUNTED


def test_rates_are_over_the_time_between_two_readings() -> None:
    tracker = Tracker()
    tracker.update([Sample(DEVICE, Counters(rx_packets=10), 100.0), Sample(GUEST, Counters(rx_packets=10), 100.0)])
    outside, inside = tracker.update(
        [Sample(DEVICE, Counters(rx_packets=30), 102.0), Sample(GUEST, Counters(rx_packets=30), 102.0)]
    )
    assert (outside.rates.from_vm_packets, outside.seconds) == (10.0, 2.0)
    assert inside.rates.to_vm_packets == 10.0


def test_one_that_went_and_came_back_starts_anew() -> None:
    tracker = Tracker()
    tracker.update([Sample(DEVICE, Counters(rx_packets=1000), 1.0)])
    assert tracker.update([]) == ()
    (back,) = tracker.update([Sample(DEVICE, Counters(rx_packets=5000), 3.0)])
    assert back.rates == Rates()


def test_a_device_that_fell_silent_is_at_zero_at_once() -> None:
    tracker = Tracker()
    tracker.update([Sample(DEVICE, Counters(), 1.0)])
    tracker.update([Sample(DEVICE, Counters(rx_packets=5), 2.0)])
    (silent,) = tracker.update([Sample(DEVICE, Counters(rx_packets=5), 3.0)])
    assert silent.rates == Rates()


def switch_rates(*looks: tuple[float, int]) -> list[float]:
    """Packets per second shown each second, where a switch said (when, packets) at each look."""
    tracker, shown = Tracker(), []
    for second in range(int(looks[-1][0]) + 1):
        when, packets = [look for look in looks if look[0] <= second][-1]
        (traffic,) = tracker.update([Sample(SWITCH, Counters(rx_packets=packets), when)])
        shown.append(traffic.rates.from_vm_packets)
    return shown


def test_a_switch_keeps_its_rate_until_it_is_read_again() -> None:
    assert switch_rates((0, 0), (5, 500), (10, 1500)) == [0.0] * 5 + [100.0] * 5 + [200.0]


def test_a_look_just_before_the_switch_publishes_changes_nothing() -> None:
    assert switch_rates((0, 0), (5, 500), (10, 500), (15, 1500)) == [0.0] * 5 + [100.0] * 11


def test_a_switch_port_that_fell_silent_falls_to_zero() -> None:
    assert switch_rates((0, 0), (5, 500), (10, 500), (15, 500), (20, 500))[-6:] == [100.0] * 5 + [0.0]


def test_a_burst_after_a_long_silence_is_not_exaggerated() -> None:
    """It is as large as what came since the look before."""
    assert switch_rates((0, 0), (20, 0), (25, 500))[-1] == 100.0
