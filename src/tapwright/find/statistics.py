"""Live statistics: rates from two readings of a device's counters, turned to the VM's side.  Pure."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from tapwright.model import Counters


@dataclass(frozen=True, slots=True)
class Rates:
    """What went through a vNIC, per second."""

    to_vm_packets: float = 0.0
    to_vm_bits: float = 0.0
    from_vm_packets: float = 0.0
    from_vm_bits: float = 0.0
    to_vm_dropped: float = 0.0
    from_vm_dropped: float = 0.0
    errors: float = 0.0
    """Both directions."""
    multicast: float = 0.0
    """Packets received by the device; the kernel counts no others."""

    @property
    def packets(self) -> float:
        """Both directions."""
        return self.to_vm_packets + self.from_vm_packets

    @property
    def bits(self) -> float:
        """Both directions."""
        return self.to_vm_bits + self.from_vm_bits


def difference(before: Counters, after: Counters) -> Counters:
    """What was counted in between.

    Counters only grow, so one that shrank belongs to a device that was made anew: everything
    it says was counted since.
    """
    pairs = list(zip(astuple(before), astuple(after), strict=True))
    if any(now < then for then, now in pairs):
        return after
    return Counters(*(now - then for then, now in pairs))


def rates(before: Counters, after: Counters, seconds: float, *, outside: bool = True) -> Rates:
    """Rates over `seconds` between two readings; zero when no time has passed.

    `outside` says whose counters they are: True for a device or switch port that faces the VM
    (it receives what the VM sends), False for the VM's own device.
    """
    if seconds <= 0:
        return Rates()
    made = difference(before, after)
    received = (made.rx_packets / seconds, made.rx_bytes * 8 / seconds)
    sent = (made.tx_packets / seconds, made.tx_bytes * 8 / seconds)
    dropped = (made.rx_dropped / seconds, made.tx_dropped / seconds)
    to_vm, from_vm = (sent, received) if outside else (received, sent)
    to_dropped, from_dropped = reversed(dropped) if outside else dropped
    errors = (made.rx_errors + made.tx_errors) / seconds
    return Rates(*to_vm, *from_vm, to_dropped, from_dropped, errors, made.multicast / seconds)
