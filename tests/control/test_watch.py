"""Watching real vNICs: exact counts, from each side, and VMs that come and go."""

from collections.abc import Iterator, Mapping

import pytest

from support import short_folder
from support.netns import ip, namespace
from support.openvswitch import openvswitch
from support.vnics import FRAME, Bridge, plug, quiet_bridge, quiet_namespace
from tapwright.config import Config, load
from tapwright.control import watch
from tapwright.control.watch import Watcher
from tapwright.errors import NotFound
from tapwright.find.live import Source, Totals, totals

pytestmark = pytest.mark.root


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    with quiet_bridge() as bridge:
        yield bridge


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look who is there at every reading."""
    monkeypatch.setattr(watch, "_LOOK_EVERY", 0.0)
    monkeypatch.setattr(watch, "_LOOK_SHARE", 0)


def config(bridge: Bridge) -> Config:
    return load({**bridge.environment, "HOME": "/nonexistent"})


def counted(watcher: Watcher, vm: str) -> Mapping[Source, Totals]:
    mine = [sample for sample in watcher.read().samples if sample.subject.vm == vm]
    return {sample.subject.source: totals(sample.subject, sample.counters) for sample in mine}


def names(watcher: Watcher) -> set[str]:
    return {sample.subject.vm for sample in watcher.read().samples}


def test_each_side_counts_what_was_sent(bridge: Bridge) -> None:
    one, two = bridge.guests
    watcher = Watcher(config=config(bridge))
    before = {vm: counted(watcher, vm) for vm in bridge.guests}
    bridge.says(one, 7)
    bridge.says(two, 4)
    for vm, sent, received in ((one, 7, 4), (two, 4, 7)):
        after = counted(watcher, vm)
        assert set(after) == {Source.DEVICE, Source.GUEST}
        for source, now in after.items():
            then = before[vm][source]
            assert now.from_vm_packets - then.from_vm_packets == sent
            assert now.from_vm_bytes - then.from_vm_bytes == sent * len(FRAME)
            assert now.to_vm_packets - then.to_vm_packets == received
            assert now.to_vm_bytes - then.to_vm_bytes == received * len(FRAME)


def test_it_says_where_a_vnic_is_plugged_in(bridge: Bridge) -> None:
    (subject,) = {sample.subject for sample in Watcher([bridge.guests[1]], config=config(bridge)).read().samples
                  if sample.subject.source is Source.DEVICE}  # fmt: skip
    assert (subject.nic, subject.switch, subject.port) == ("eth0", "br0", "vnet2")


def test_only_those_that_were_named(bridge: Bridge) -> None:
    one, two = bridge.guests
    assert names(Watcher([one], config=config(bridge))) == {one}
    assert names(Watcher([f"{two[:-1]}*"], config=config(bridge))) >= {two}


def test_naming_one_twice_counts_it_once(bridge: Bridge) -> None:
    one = bridge.guests[0]
    samples = Watcher([one, f"{one}/eth0", "twt-*"], config=config(bridge)).read().samples
    assert len({sample.subject for sample in samples}) == len(samples)


def test_a_name_that_nobody_has_is_refused(bridge: Bridge) -> None:
    with pytest.raises(NotFound):
        Watcher(["no-such-vm"], config=config(bridge))


def test_a_vm_that_stops_is_gone_at_once(bridge: Bridge) -> None:
    watcher = Watcher(config=config(bridge))
    assert names(watcher) == set(bridge.guests)
    ip("link", "del", "vnet1", netns=bridge.host)
    assert names(watcher) == {bridge.guests[1]}


def test_a_vm_that_was_made_anew_is_seen_without_waiting(bridge: Bridge) -> None:
    """Its device is another one now; that the old one is missing is reason enough to look."""
    one = bridge.guests[0]
    watcher = Watcher([one], config=config(bridge))
    assert names(watcher) == {one}
    ip("link", "del", "vnet1", netns=bridge.host)
    plug(bridge.host, one, "vnet7")
    assert names(watcher) == set()
    assert {sample.subject.port for sample in watcher.read().samples} == {"vnet7"}


@pytest.mark.usefixtures("impatient")
def test_a_vm_that_starts_is_found(bridge: Bridge) -> None:
    with quiet_namespace() as late:
        whole = Bridge(bridge.host, (*bridge.guests, late))
        watcher = Watcher(config=config(whole))
        assert names(watcher) == set(bridge.guests)
        plug(bridge.host, late, "vnet3")
        assert names(watcher) == {*bridge.guests, late}


@pytest.mark.usefixtures("impatient")
def test_all_of_them_may_be_away_for_a_while(bridge: Bridge) -> None:
    one = bridge.guests[0]
    watcher = Watcher([one], config=config(bridge))
    ip("link", "del", "vnet1", netns=bridge.host)
    assert names(watcher) == set()
    plug(bridge.host, one, "vnet1")
    assert names(watcher) == {one}


@pytest.mark.usefixtures("impatient")
def test_open_vswitch_counts_too() -> None:
    """Twelve frames of a VM, as the switch's own statistics have them, seen from the VM."""
    with (
        namespace() as host,
        quiet_namespace() as guest,
        short_folder() as folder,
        openvswitch(folder, host) as switch,
    ):
        switch.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
        bridge = Bridge(host, (guest,))
        ip("link", "add", "vnet1", "type", "veth", "peer", "name", "eth0", netns=host)
        ip("link", "set", "eth0", "netns", guest, netns=host)
        ip("link", "set", "vnet1", "up", netns=host)
        ip("link", "set", "eth0", "up", netns=guest)
        switch.vsctl("add-port", "br0", "vnet1")
        switch.wait_for("interface", "vnet1", "link_state", "up")
        environment = {"TAPWRIGHT_NETNS": f"{host},{guest}", "TAPWRIGHT_OVSDB": switch.remote}
        watcher = Watcher([guest], config=load({**environment, "TAPWRIGHT_PROVIDERS": "linux,ovs"}))
        before = counted(watcher, guest)[Source.SWITCH].from_vm_packets
        bridge.says(guest, 12)
        switch.wait_for_statistics("vnet1", before + 12)
        after = counted(watcher, guest)
        assert after[Source.SWITCH].from_vm_packets - before == 12
        assert after[Source.DEVICE].from_vm_packets == after[Source.SWITCH].from_vm_packets
