from tapwright.capture.describe import names, neighbours
from tapwright.find.topology import Topology, join
from tapwright.model import Host
from tapwright.providers.fake import Fake


def host(text: str) -> Topology:
    return join(Host("h"), [Fake.from_toml(text).snapshot()])


TWO_TENANTS = """
[switches.red]
[switches.blue]
[vms]
r1.nics = [{ mac = "02:00:00:00:00:01", addresses = ["10.0.0.1/24"], device = "v1", switch = "red" }]
r2.nics = [{ mac = "02:00:00:00:00:02", addresses = ["10.0.0.2/24"], device = "v2", switch = "red" }]
b1.nics = [{ mac = "02:00:00:00:00:03", addresses = ["10.0.0.1/24"], device = "v3", switch = "blue" }]
b2.nics = [{ mac = "02:00:00:00:00:04", addresses = ["10.0.0.9/24"], device = "v4", switch = "blue" }]
"""

ROUTER = """
[vms.gw]
nics = [
  { mac = "02:00:00:00:00:05", addresses = ["10.0.0.254/24"], device = "v5", switch = "red" },
  { mac = "02:00:00:00:00:06", addresses = ["10.0.9.254/24"], device = "v6", switch = "blue" },
]
"""


def named(topology: Topology, vm: str) -> dict[str, str]:
    return dict(names(neighbours(topology, [v for v in topology.vms if v.name == vm])))


def test_another_tenants_names_stay_out_of_the_file() -> None:
    topology = host(TWO_TENANTS)
    assert named(topology, "r1") == {"10.0.0.1": "r1", "10.0.0.2": "r2"}
    assert named(topology, "b2") == {"10.0.0.1": "b1", "10.0.0.9": "b2"}


def test_behind_a_router_names_go_on_and_an_address_of_two_gets_none() -> None:
    assert named(host(TWO_TENANTS + ROUTER), "r2") == {
        "10.0.0.2": "r2",
        "10.0.0.9": "b2",
        "10.0.0.254": "gw",
        "10.0.9.254": "gw",
    }


def test_a_vm_on_no_switch_names_itself() -> None:
    topology = host('[vms.alone]\nnics = [{ mac = "02:00:00:00:00:07", addresses = ["10.1.1.1/24"], device = "v7" }]')
    assert named(topology, "alone") == {"10.1.1.1": "alone"}
