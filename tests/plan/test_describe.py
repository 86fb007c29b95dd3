"""A plan as people and programs read it."""

import dataclasses
import json

import msgspec

from tapwright.find.names import Selection
from tapwright.find.statistics import Rates
from tapwright.find.topology import Topology
from tapwright.model import Capability, Device, DeviceKey, Host, Netns, Switch, Vm, Vnic
from tapwright.plan.describe import as_data, as_text
from tapwright.plan.planner import Request, choose, with_cost
from tapwright.plan.points import Point, PointKind

TAP, GUEST = DeviceKey(1, 10), DeviceKey(2, 3)
WEB = Vm("id-web", "web", vnics=(Vnic("eth0", device=TAP, inner=GUEST),))
POD = dataclasses.replace(WEB, id="id-pod", name="sidecar")
OFF = Vm("id-db", "db", state="shut off", vnics=(Vnic("net0"),))
S1, INSIDE = Netns(1, "/run/netns/s1", "s1"), Netns(2, "/run/netns/web", "web")
YES = Capability.yes()
TOPOLOGY = Topology(
    Host("here"), (WEB, POD, OFF), (Switch("sw", "br0", "bridge"),), devices={TAP: Device(TAP, "vnet0")}
)
POINTS = [
    Point(PointKind.DEVICE, "id-web", "eth0", "linux", TAP, "vnet0", S1, YES, switch="sw", sees="both directions"),
    Point(PointKind.GUEST, "id-web", "eth0", "linux", GUEST, "eth0", INSIDE, YES, outgoing_is_to_vm=False),
    Point(PointKind.DEVICE, "id-pod", "eth0", "linux", TAP, "vnet0", S1, YES, switch="sw"),
]


def plan(free=1 << 30, **request):
    selections = tuple(Selection(vm, vm.vnics) for vm in TOPOLOGY.vms)
    made = choose(Request(selections, **request), TOPOLOGY, POINTS)
    return with_cost(made, {TAP: Rates(500, 4_000_000, 500, 4_000_000)}, free)


def test_as_a_person_reads_it():
    assert as_text(plan(seconds=60), TOPOLOGY) == [
        "web/eth0: read vnet0 in namespace s1, on bridge br0",
        "    why   it carries every frame of the vNIC, both ways; reading it changes nothing",
        "    sees  both directions",
        "    not   guest:eth0@web: would enter the VM's own side, and its host side shows the same frames",
        "db/net0: cannot be seen: it is shut off; start it first",
        "sidecar/eth0: left out: it is the device of web/eth0, which is read already; its packets would come twice",
        "",
        "Changes on this host: none",
        "Load now, before the filter: 1 kpps, 8 Mbit/s",
        "File: at most 1023.4 KiB per second, 60.0 MiB altogether; 1.0 GiB free on the disk",
        "Memory: 48.0 MiB of kernel ring",
    ]


def test_what_a_capture_without_end_does_to_the_disk():
    assert as_text(plan(), TOPOLOGY)[-2].endswith("per second; 1.0 GiB free on the disk, full after 17:04")


def test_a_load_that_was_not_measured_is_not_shown():
    made = dataclasses.replace(plan(), cost=None)
    assert as_text(made, TOPOLOGY)[-1] == "Changes on this host: none"


def test_a_change_is_named():
    mirror = dataclasses.replace(POINTS[0], kind=PointKind.MIRROR, changes=("a mirror of port vnet0",))
    made = choose(Request((Selection(WEB, WEB.vnics),)), TOPOLOGY, [mirror])
    assert as_text(made, TOPOLOGY)[-1] == "Changes on this host: a mirror of port vnet0"
    assert as_data(made)["changes"] == ["a mirror of port vnet0"]


def test_as_a_program_reads_it():
    data = json.loads(msgspec.json.encode(as_data(plan(seconds=60))))
    assert [(c["vm"], c["vnic"], c["device"], c["netns"], c["kind"]) for c in data["chosen"]] == [
        ("web", "eth0", "vnet0", "s1", "device")
    ]
    assert [r["point"] for r in data["rejected"]] == ["guest:eth0@web", "device:vnet0@s1"]
    assert data["unseen"] == [{"vm": "db", "vnic": "net0", "reason": "it is shut off; start it first", "fix": ""}]
    assert data["cost"]["total"] == 60 * data["cost"]["disk"]
    assert data["changes"] == data["steps"] == data["warnings"] == []
