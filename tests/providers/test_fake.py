"""The public fake: what it is made of and what it refuses.  Its contract: see tests/conformance."""

import pytest

from tapwright.errors import ProviderError, UsageError
from tapwright.find.topology import join
from tapwright.model import Answer, Capability, Host, Role, Snapshot, Vm
from tapwright.plan.mirrors import Mirror, parse
from tapwright.plan.points import PointKind
from tapwright.plan.steps import Found, Mark
from tapwright.providers.fake import Fake

TOML = """
[switches.br-int]
kind = "ovs"
uplink = "eth0"
overlay = { vni = 7, remotes = ["192.0.2.2"] }

[vms.web]
id = "u1"
aliases = ["instance-1"]
nics = [
  { mac = "02:00:00:00:00:11", addresses = ["10.0.0.11/24"], device = "vnet0", switch = "br-int", vlan = 10 },
  { mac = "02:00:00:00:00:12", switch = "br-int" },
]

[vms.app]
kind = "container"
state = "exited"
"""


def topology(fake):
    return join(Host("h"), [fake.snapshot()])


def test_a_host_from_toml():
    found = topology(Fake.from_toml(TOML))
    app, web = found.vms
    assert (web.id, web.name, web.aliases, app.kind, app.state) == ("u1", "web", ("instance-1",), "container", "exited")
    port = found.port_of(web.vnics[0])
    assert (port.vlan, found.switch(port.switch).kind, found.device(port.device).name) == (10, "ovs", "vnet0")
    assert {p.name: p.role for p in found.ports} == {
        "eth0": Role.UPLINK, "br-int-vxlan": Role.TUNNEL, "vnet0": Role.VNIC, "web-1": Role.VNIC
    }  # fmt: skip
    (overlay,) = found.overlays
    assert (overlay.vni, found.device(overlay.uplink).name) == (7, "eth0")


def test_a_port_without_a_device_can_be_mirrored():
    fake = Fake.from_toml(TOML)
    points = fake.points(topology(fake))
    assert [(point.vnic, point.kind) for point in points] == [
        ("net0", PointKind.DEVICE), ("net0", PointKind.MIRROR), ("net1", PointKind.MIRROR)
    ]  # fmt: skip
    mark = Mark("00c0ffee", "1.1.boot", 7)
    (step,) = fake.steps(Mirror(points[2], parse("rspan:7"), mark))
    fake.perform(step.do)
    assert fake.mirrors == {("web-1", mark.text)}
    assert fake.found(step).found is Found.THERE
    (left,) = fake.leftovers()
    assert (left.mark, left.undo) == (mark, step.undo)
    fake.perform(step.undo)
    assert fake.mirrors == set()
    assert fake.found(step).found is Found.ABSENT


@pytest.mark.parametrize(
    "description",
    [
        {"vms": {"web": {"nics": [{"colour": "red"}]}}},
        {"vm": {}},
        {"vms": {"web": {"nics": [{"switch": "nowhere"}]}}},
        {"vms": {"web": {"kind": "ghost"}}},
    ],
)
def test_what_does_not_fit_is_refused(description):
    with pytest.raises(UsageError):
        Fake.described(description)


def test_broken_toml_is_refused():
    with pytest.raises(UsageError):
        Fake.from_toml("= nonsense")


def test_one_that_is_not_there():
    fake = Fake(Snapshot("x"), Capability.no("no such thing", "install it"))
    assert fake.probe().answer is Answer.NO
    with pytest.raises(ProviderError, match="no such thing"):
        fake.snapshot()


def test_it_may_play_another_provider():
    fake = Fake(Snapshot("fake", vms=(Vm("u1", "web"),)), name="libvirt")
    assert fake.name == fake.snapshot().provider == "libvirt"
