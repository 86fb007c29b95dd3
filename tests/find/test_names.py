"""From what a person types to a VM."""

import pytest

from support.hosts import joined, topology
from tapwright.errors import Ambiguous, NotFound
from tapwright.find.names import resolve, resolve_many, resolve_switch, resolve_vnic
from tapwright.model import DeviceKey, Port, Role, Snapshot, Switch, Vm, Vnic

ETH0 = Vnic("eth0", "02:00:00:00:00:01", device=DeviceKey(1, 7))
ETH1 = Vnic("eth1", "02:00:00:00:00:02")
WEB = Vm("6e400061-7ee8", "web-1", aliases=("instance-0000002a",), vnics=(ETH0, ETH1))
DB = Vm("6e40ffff-0000", "db-3", vnics=(ETH0,))
TWIN = Vm("0a000000-1111", "db-3")
SLASH = Vm("shop/cart", "shop/cart", vnics=(Vnic("eth0"),))
SWITCH = Switch("s", "br-blue", "bridge", 1)
PORT = Port("s", "vnet7", Role.VNIC, DeviceKey(1, 7))
HOST = joined(Snapshot("libvirt", vms=(WEB, DB, TWIN, SLASH), switches=(SWITCH,), ports=(PORT,)))


@pytest.mark.parametrize("text", ["web-1", "6e400061-7ee8", "6e4000", "6e40006", "instance-0000002a"])
def test_one_vm_has_many_names(text):
    assert resolve(HOST, text).id == WEB.id


@pytest.mark.parametrize("text", ["web", "WEB-1", "wbe-1", "web_1"])
def test_near_names_are_suggested(text):
    with pytest.raises(NotFound) as caught:
        resolve(HOST, text)
    assert "did you mean web-1" in caught.value.hint


def test_nothing_near():
    with pytest.raises(NotFound) as caught:
        resolve(HOST, "zzzzzz")
    assert caught.value.hint == "4 VMs can be seen here: tapwright ls"


def test_a_switch_by_name_and_by_id():
    assert resolve_switch(HOST, "br-blue") is resolve_switch(HOST, "s")
    with pytest.raises(NotFound) as caught:
        resolve_switch(HOST, "br-red")
    assert caught.value.hint == "there are br-blue"
    twins = joined(Snapshot("ovs", switches=(SWITCH, Switch("t", "br-blue", "ovs", 2))))
    with pytest.raises(Ambiguous) as ambiguous:
        resolve_switch(twins, "br-blue")
    assert ambiguous.value.hint == "say which by its id: s, t"


def test_two_of_one_name_are_told_apart():
    with pytest.raises(Ambiguous) as caught:
        resolve(HOST, "db-3")
    assert set(caught.value.candidates) == {DB.id, TWIN.id}
    assert f"{DB.id}  (vm, on br-blue)" in caught.value.hint
    assert resolve(HOST, TWIN.id).id == TWIN.id


def test_the_beginning_of_two_ids():
    with pytest.raises(Ambiguous):
        resolve(HOST, "6e40")
    with pytest.raises(NotFound):
        resolve(HOST, "6e4")


@pytest.mark.parametrize("text", ["web-1/eth1", "6e400061/eth1", "web-1/02:00:00:00:00:02"])
def test_one_vnic(text):
    chosen = resolve_vnic(HOST, text)
    assert (chosen.vm.id, [vnic.name for vnic in chosen.vnics]) == (WEB.id, ["eth1"])


def test_a_vnic_that_is_not_there():
    with pytest.raises(NotFound, match="web-1 has no vNIC 'eth7'") as caught:
        resolve_vnic(HOST, "web-1/eth7")
    assert caught.value.hint == "it has eth0 and eth1"


def test_a_name_with_a_slash_in_it():
    assert resolve_vnic(HOST, "shop/cart").vm.id == "shop/cart"
    assert [vnic.name for vnic in resolve_vnic(HOST, "shop/cart/eth0").vnics] == ["eth0"]


def test_patterns():
    found = topology("overlay")
    assert [s.vm.name for s in resolve_many(found, ["red-*", "blue-web"])] == ["red-db", "red-web", "blue-web"]
    with pytest.raises(NotFound, match="no VM's name, id or vNIC matches 'x\\*'"):
        resolve_many(found, ["x*"])


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("6e4000*", ["web-1/eth0", "web-1/eth1"]),
        ("instance-*", ["web-1/eth0", "web-1/eth1"]),
        ("web-*/eth1", ["web-1/eth1"]),
        ("6e40*/eth0", ["db-3/eth0", "web-1/eth0"]),
        ("instance-?00*/eth1", ["web-1/eth1"]),
        ("*/02:00:00:00:00:02", ["web-1/eth1"]),
        ("web-*", ["web-1/eth0", "web-1/eth1"]),
        ("shop/*", ["shop/cart/eth0"]),
        ("shop/*/eth0", ["shop/cart/eth0"]),
    ],
)
def test_patterns_match_ids_and_vnics_where_no_name_does(pattern, names):
    chosen = resolve_many(HOST, [pattern])
    assert [f"{s.vm.name}/{vnic.name}" for s in chosen for vnic in s.vnics] == names


@pytest.mark.parametrize("pattern", ["*eth1", "eth?", "web-*/eth7"])
def test_a_vnic_needs_its_vm(pattern):
    with pytest.raises(NotFound):
        resolve_many(HOST, [pattern])


def test_each_vm_once_with_all_that_was_asked_for():
    (chosen,) = resolve_many(HOST, ["web-1/eth1", "web-1/eth0", "web-*"])
    assert [vnic.name for vnic in chosen.vnics] == ["eth1", "eth0"]


def test_an_empty_host_says_where_to_look():
    with pytest.raises(NotFound) as caught:
        resolve(joined(), "web")
    assert "tapwright ls" in caught.value.hint
