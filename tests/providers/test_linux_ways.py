"""Where a frame gets that is given to a device; values in, values out."""

from dataclasses import replace

import pytest

from tapwright.model import Device, DeviceKey
from tapwright.providers.linux_ways import bridges_behind, leads_back

BRIDGE, VM, UPLINK, OVER_BRIDGE, OVER_VM, OVER_UPLINK = (DeviceKey(1, index) for index in range(1, 7))
DEVICES = {
    each.key: each
    for each in (
        Device(BRIDGE, "br0", "bridge", up=True),
        Device(VM, "vnet1", "tun", up=True, master=BRIDGE.index),
        Device(UPLINK, "eth0", "", up=True),
        Device(OVER_BRIDGE, "br0.10", "vlan", up=True, lower=BRIDGE),
        Device(OVER_VM, "vnet1.10", "vlan", up=True, lower=VM),
        Device(OVER_UPLINK, "eth0.10", "vlan", up=True, lower=UPLINK),
    )
}


@pytest.mark.parametrize(
    ("target", "back", "bridges"),
    [
        (BRIDGE, True, {BRIDGE}),
        (OVER_BRIDGE, True, {BRIDGE}),
        (OVER_VM, True, set()),
        (UPLINK, False, set()),
        (OVER_UPLINK, False, set()),
    ],
)
def test_over_what_is_below(target: DeviceKey, back: bool, bridges: set[DeviceKey]) -> None:
    assert leads_back(DEVICES, VM, target) is back
    assert bridges_behind(DEVICES, target) == bridges


@pytest.mark.parametrize("kind", ["macvlan", "macvtap", "ipvlan", "ipvtap"])
def test_all_kinds_that_send_by_the_one_below(kind: str) -> None:
    assert leads_back({**DEVICES, OVER_BRIDGE: replace(DEVICES[OVER_BRIDGE], kind=kind)}, VM, OVER_BRIDGE)
