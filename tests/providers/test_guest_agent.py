"""What guests say of themselves through libvirt: real guests, with the agent that distributions ship."""

from collections.abc import Iterator

import pytest

from support.labs import config_of, running_lab
from tapwright.adapters import libvirtd
from tapwright.control.watch import Watcher
from tapwright.find.live import Source, totals
from tapwright.lab import Lab
from tapwright.model import Vnic
from tapwright.providers.libvirt import Libvirt

pytestmark = [pytest.mark.root, pytest.mark.guest]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running_lab("qemu", hypervisor="libvirt") as lab:
        yield lab


def uri(lab: Lab) -> str:
    return lab.environment()["TAPWRIGHT_LIBVIRT_URI"]


def addresses(vnics: tuple[Vnic, ...]) -> set[str]:
    return {address for vnic in vnics for address in vnic.addresses if ":" not in address}


def test_addresses_come_from_the_guests(lab: Lab) -> None:
    found = {vm.name: addresses(vm.vnics) for vm in Libvirt(uri(lab)).snapshot().vms}
    assert found == {name: set(lab.node(name).addresses) for name in ("alpha", "beta")}


def test_an_agent_that_is_stuck_costs_only_its_own_addresses(lab: Lab) -> None:
    lab.exec("alpha", ["sh", "-c", "kill -STOP $(cat /run/qga.pid)"])
    try:
        inventory = libvirtd.read(uri(lab), agent_timeout=1.0)
    finally:
        lab.exec("alpha", ["sh", "-c", "kill -CONT $(cat /run/qga.pid)"])
    assert {domain.name for domain in inventory.domains} == {"alpha", "beta"}
    names = {domain.uuid: domain.name for domain in inventory.domains}
    assert {names[uuid] for uuid, _, _ in inventory.guests} == {"beta"}


def test_counters_come_from_inside(lab: Lab) -> None:
    """Three echo requests and their answers, each 98 bytes, and nothing lost on the way in."""
    (alpha,) = (vm for vm in Libvirt(uri(lab)).snapshot().vms if vm.name == "alpha")
    key = (alpha.id, alpha.vnics[0].mac)
    before = Libvirt(uri(lab)).guest_counters()[key]
    peer = lab.node("beta").addresses[0].partition("/")[0]
    lab.exec("alpha", ["ping", "-c", "3", "-i", "0.2", peer])
    after = Libvirt(uri(lab)).guest_counters()[key]
    assert after.rx_packets - before.rx_packets >= 3
    assert after.tx_packets - before.tx_packets >= 3
    assert after.rx_bytes - before.rx_bytes >= 3 * 98


def test_watching_shows_what_the_guest_counts(lab: Lab) -> None:
    """Outside and inside agree on what alpha sent, which one counts as received and the other as sent."""
    watcher = Watcher(["alpha"], agents=True, config=config_of(lab))
    found = {sample.subject: totals(sample.subject, sample.counters) for sample in watcher.read().samples}
    net0 = {subject.source: counted for subject, counted in found.items() if subject.nic == "net0"}
    assert {Source.DEVICE, Source.GUEST} <= set(net0)
    assert net0[Source.GUEST].from_vm_packets > 0
    assert abs(net0[Source.GUEST].from_vm_packets - net0[Source.DEVICE].from_vm_packets) <= 5


def test_guests_are_asked_only_when_that_is_wanted(lab: Lab) -> None:
    watcher = Watcher(["alpha"], config=config_of(lab))
    assert Source.GUEST not in {sample.subject.source for sample in watcher.read().samples}
