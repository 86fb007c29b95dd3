"""Sources of mirrors as people type them."""

import pytest

from tapwright.errors import NotFound, TapwrightError, UsageError
from tapwright.model import Device, DeviceKey
from tapwright.plan.feeds import Feed, FeedKind, by_address, compatible, devices_of, exporters, feed

ETH0 = Device(DeviceKey(1, 2), "eth0", addresses=("10.0.0.9/24", "fe80::1/64"))
ETH1 = Device(DeviceKey(1, 3), "eth1", addresses=("fe80::2/64",))
ETH2 = Device(DeviceKey(1, 4), "eth2", addresses=("fd00::9/64",), up=False)
DEVICES = (ETH0, ETH1, ETH2)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("erspan", Feed(FeedKind.ERSPAN)),
        ("vxlan:4790@eth0", Feed(FeedKind.VXLAN, 4790, "eth0")),
        ("geneve@10.0.0.9", Feed(FeedKind.GENEVE, 0, "10.0.0.9")),
        ("gre@fd00::9", Feed(FeedKind.GRE, 0, "fd00::9")),
        ("rspan:999@eth1", Feed(FeedKind.RSPAN, 999, "eth1")),
        ("vxlan-gpe", Feed(FeedKind.VXLAN_GPE)),
    ],
)
def test_what_is_meant(text, wanted):
    assert feed(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "span", "vxlan:0", "vxlan:70000", "erspan:5", "aws:4789", "rspan", "rspan:999", "rspan:0@eth1",
             "rspan:4095@eth1", "rspan:9@10.0.0.9", "vxlan@", "vxlan:x", "VXLAN"],
)  # fmt: skip
def test_what_cannot_be(text):
    with pytest.raises(UsageError):
        feed(text)


def test_ports():
    assert feed("vxlan").ports == (4789, 8472)
    assert feed("vxlan:5000").ports == (5000,)
    assert feed("aws").ports == (4789, 6081)
    assert feed("erspan").ports == feed("rspan:5@eth0").ports == ()


def test_devices():
    assert devices_of(feed("gre"), DEVICES) == (ETH0,)
    assert devices_of(feed("gre@eth1"), DEVICES) == (ETH1,)
    assert devices_of(feed("gre@fd00::9"), DEVICES) == (ETH2,)
    for text, kind in (("gre@eth9", NotFound), ("gre@10.0.0.1", NotFound)):
        with pytest.raises(kind):
            devices_of(feed(text), DEVICES)
    with pytest.raises(TapwrightError):
        devices_of(feed("gre"), (ETH1,))


@pytest.mark.parametrize("other", ["vxlan", "vxlan:4789", "geneve", "vxlan-gpe:6081"])
def test_no_packet_is_taken_twice(other):
    with pytest.raises(UsageError, match="written twice"):
        compatible([feed(other), feed("aws")])


def test_what_goes_together():
    compatible([feed(text) for text in ("aws", "aws@eth0", "vxlan:8472", "geneve:6082", "erspan", "gre", "tzsp")])
    compatible([feed(text) for text in ("vxlan", "vxlan:4789", "geneve")])


def test_what_is_for_one_address_is_not_taken_at_another():
    one, other, any_gre = feed("vxlan@10.0.0.9"), feed("geneve@10.0.0.8"), feed("gre@eth0")
    assert by_address([one, other, any_gre]) == [[one], [other], [any_gre]]
    assert by_address([one, feed("erspan@10.0.0.9")]) == [[one, feed("erspan@10.0.0.9")]]
    assert by_address([one, feed("vxlan"), other]) == [[feed("vxlan")], [other]]


def test_exporters():
    assert exporters("any") is None
    found = exporters("10.0.0.1, 10.1.0.0/16,fd00::/8")
    assert found is not None
    assert [str(network) for network in found] == ["10.0.0.1/32", "10.1.0.0/16", "fd00::/8"]
    for wrong in ("leaf1", "10.0.0.1/8", ",".join(f"10.0.{n}.1" for n in range(256)) + ",10.1.0.1"):
        with pytest.raises(UsageError):
            exporters(wrong)
