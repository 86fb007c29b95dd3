"""The kernel's devices in the model's words, on real namespaces."""

import errno
import subprocess
import sys
from collections.abc import Iterator

import pytest

from support.netns import ifindex, inode, ip, namespace, veth
from support.packets import send
from tapwright.adapters.netlink import Survey, read_counters, survey
from tapwright.model import Device, DeviceKey, Netns

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def spaces() -> Iterator[tuple[Netns, Netns]]:
    with namespace() as one, namespace() as two:
        veth(one, "a0", "b0", two)
        yield tuple(Netns(inode(name), f"/run/netns/{name}", name) for name in (one, two))


@pytest.fixture
def found(spaces: tuple[Netns, ...]) -> Survey:
    return survey(spaces)


def device(found: Survey, name: str) -> Device:
    return next(device for device in found.devices.values() if device.name == name)


def test_both_ends_of_a_pair_know_each_other(spaces: tuple[Netns, ...], found: Survey) -> None:
    a, b = device(found, "a0"), device(found, "b0")
    assert a.key == DeviceKey(spaces[0].inode, ifindex(spaces[0].name, "a0"))
    assert (a.peer, b.peer) == (b.key, a.key)
    assert (a.kind, a.up, a.mtu, a.lower) == ("veth", True, 1500, None)


def test_pairs_of_equal_numbers_are_told_apart() -> None:
    """Four namespaces made alike: every device in them has the same ifindex."""
    with namespace() as a, namespace() as b, namespace() as c, namespace() as d:
        for one, other in ((a, b), (c, d)):
            ip(
                "link",
                "add",
                "x0",
                "index",
                "7",
                "type",
                "veth",
                "peer",
                "name",
                "x0",
                "index",
                "7",
                "netns",
                other,
                netns=one,
            )
        names = (a, b, c, d)
        found = survey([Netns(inode(name), f"/run/netns/{name}", name) for name in names])
        keys = {name: DeviceKey(inode(name), 7) for name in names}
    assert {key: found.devices[key].peer for key in keys.values()} == {
        keys[a]: keys[b], keys[b]: keys[a], keys[c]: keys[d], keys[d]: keys[c]
    }  # fmt: skip


def test_a_pair_within_one_namespace(spaces: tuple[Netns, ...]) -> None:
    with namespace() as name:
        veth(name, "p0", "p1")
        found = survey([Netns(inode(name), f"/run/netns/{name}", name)])
        assert device(found, "p0").peer == device(found, "p1").key


def test_a_peer_we_do_not_look_at_is_unknown(spaces: tuple[Netns, ...]) -> None:
    assert device(survey(spaces[:1]), "a0").peer is None


def test_loopbacks_are_left_out(found: Survey) -> None:
    assert "lo" not in {device.name for device in found.devices.values()}


def test_link_local_addresses_come_last(spaces: tuple[Netns, ...]) -> None:
    ip("addr", "add", "2001:db8::5/64", "dev", "b0", netns=spaces[1].name)
    ip("addr", "add", "10.0.0.5/24", "dev", "b0", netns=spaces[1].name)
    addresses = device(survey(spaces), "b0").addresses
    assert addresses[:2] == ("10.0.0.5/24", "2001:db8::5/64")
    assert all(address.startswith("fe80:") for address in addresses[2:])


def test_namespaces_that_are_gone_are_nobodys_fault(spaces: tuple[Netns, ...]) -> None:
    gone = Netns(1, "/run/netns/twt-never-was", "twt-never-was")
    found = survey([gone, *spaces])
    assert found.failures == ()
    assert device(found, "a0").peer == device(found, "b0").key


def test_what_is_no_namespace_is_a_failure() -> None:
    wrong = Netns(1, "/proc/self/status")
    ((netns, error),) = survey([wrong]).failures
    assert netns == wrong
    assert isinstance(error, OSError)


def test_counters_of_several_namespaces_at_once(spaces: tuple[Netns, ...], found: Survey) -> None:
    a, b = device(found, "a0").key, device(found, "b0").key
    known = {netns.inode: netns for netns in spaces}
    absent, elsewhere = DeviceKey(a.netns, 9999), DeviceKey(123, 1)
    before = read_counters([a, b, absent, elsewhere], known)
    assert set(before) == {a, b}
    send(spaces[0].name, "a0", [b"\xff" * 12 + b"\x88\xb5" + bytes(46)] * 5)
    after = read_counters([a, b], known)
    assert after[a].tx_packets - before[a].tx_packets >= 5
    assert after[b].rx_packets - before[b].rx_packets >= 5
    assert after[b].rx_bytes - before[b].rx_bytes >= 5 * 60


def test_many_devices_are_read_in_one_go(spaces: tuple[Netns, ...], found: Survey) -> None:
    a = device(found, "a0").key
    many = [DeviceKey(a.netns, index) for index in range(1, 200)]
    assert a in read_counters(many, {a.netns: spaces[0]})


def test_our_own_namespace_needs_no_privilege(spaces: tuple[Netns, ...]) -> None:
    code = "from tapwright.adapters.netlink import survey; from tapwright.model import Netns;" \
        "found = survey([Netns(1), Netns(2, '/proc/1/ns/net')]); print(*(d.name for d in found.devices.values()));" \
        "print(found.failures[0][1].errno)"  # fmt: skip
    argv = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", sys.executable, "-c", code]
    done = subprocess.run(["ip", "netns", "exec", spaces[0].name, *argv], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["a0", str(errno.EACCES)]
