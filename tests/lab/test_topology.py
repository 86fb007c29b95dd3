import re
from pathlib import Path

import msgspec
import pytest

from tapwright.errors import NotFound, UsageError
from tapwright.lab import NodeKind, load, parse, plan, shipped
from tapwright.lab.links import flood_lines, late_lines, lines
from tapwright.lab.topology import Fabric, Machine, Nic, Overlay, Server, Switch, Talk, Topology, Uplink

SMALL = """
[servers.s1.switches.br0]
[vms.web]
nics = [{ on = "s1/br0", addresses = ["10.0.0.1/24"] }]
"""

OVERLAY = """
[fabrics.wire]
mtu = 1550
[servers.s1]
uplink = { fabric = "wire", address = "172.31.0.1/24" }
switches = { br0 = { overlay = { vni = 7 } } }
[servers.s2]
uplink = { fabric = "wire", address = "172.31.0.2/24" }
switches = { br0 = { overlay = { vni = 7 } } }
[vms.web]
nics = [{ on = "s1/br0", addresses = ["10.0.0.1/24"] }]
"""

CLOUD = """
[fabrics.wire]
mtu = 1558
[servers.s1]
uplink = { fabric = "wire", switch = "br-phy", address = "172.31.0.1/24" }
switches = { br-phy = { kind = "ovs" }, br-int = { kind = "ovs", logical = "net0" } }
[vms.web]
nics = [{ on = "s1/br-int", addresses = ["10.0.0.1/24"] }]
[machines.central]
nics = [{ on = "wire", addresses = ["172.31.0.9/24"] }]
ovn_central = true
"""


def test_the_shipped_topologies_are_sound_and_say_what_they_are() -> None:
    assert set(shipped()) == {"bridge", "ovs", "overlay", "ovn", "routed", "nat", "qemu"}
    for name in shipped():
        topology = load(name)
        assert topology.name == name
        assert topology.about
        assert topology.talks, "a newcomer wants to see packets"


@pytest.mark.parametrize("name", shipped())
def test_every_device_name_fits_the_kernel_and_is_unique_in_its_namespace(name: str) -> None:
    made = plan(load(name), "a-lab-with-a-name-of-24c")
    for host in (*made.fabrics, *made.servers):
        devices = [nic.device for _, nic in made.plugs(host.name)]
        assert len(devices) == len(set(devices))
        assert all(len(device) <= 15 for device in devices)
    assert len(set(made.namespaces)) == len(made.namespaces)


def test_macs_stay_the_same_and_differ_from_each_other() -> None:
    first, again = plan(load("overlay"), "one"), plan(load("overlay"), "two")
    macs = [nic.mac for machine in first.machines for nic in machine.nics]
    assert len(set(macs)) == len(macs)
    assert macs == [nic.mac for machine in again.machines for nic in machine.nics]
    ids = [machine.id for made in (first, again) for machine in made.machines]
    assert len(set(ids)) == len(ids), "two labs have different VMs"


def test_a_small_file_is_enough() -> None:
    made = plan(parse(SMALL, "small"), "small")
    assert [(node.name, node.kind) for node in made.nodes] == [("s1", NodeKind.SERVER), ("web", NodeKind.VM)]
    assert made.namespaces == ("twlab-small-s1", "twlab-small-web")
    assert made.machines[0].addresses == ("10.0.0.1/24",)


def with_vm(text: str) -> str:
    return SMALL + text


FAULTS = {
    "not TOML": ("[", "lab.toml: "),
    "unknown table": (with_vm("[vmz.db]"), "unknown field `vmz`"),
    "a name of its own": ("name = 'x'\n" + SMALL, "unknown field `name`"),
    "unknown key": (with_vm("colour = 'red'"), "vms.web: Object contains unknown field `colour`"),
    "unknown key of a nic": (SMALL.replace("on =", "speed = 1, on ="), "unknown field `speed` - at `nics[0]`"),
    "no VM": ("[servers.s1.switches.br0]", "needs at least one VM"),
    "no switch": (with_vm("[servers.s2]"), "servers.s2: Object missing required field `switches`"),
    "empty switches": (with_vm("[servers.s2.switches]"), "servers.s2: a server needs at least one switch"),
    "no nic": (with_vm("[vms.db]\nnics = []"), "1 to 8 nics"),
    "unknown switch kind": (SMALL.replace("br0]", "br0]\nkind = 'vds'"), "Invalid enum value 'vds'"),
    "nowhere": (SMALL.replace("s1/br0", "s1/br9"), "vms.web: nics[0]: on: 's1/br9' is not the SERVER/SWITCH"),
    "two servers": (
        with_vm("[servers.s2.switches.br0]\n[vms.db]\nnics = [{ on = 's1/br0' }, { on = 's2/br0' }]"),
        "a VM runs on one server",
    ),
    "a VM in a fabric": (with_vm("[fabrics.w]\n[vms.db]\nnics = [{ on = 'w' }]"), "vms.db: nics[0]: on: 'w'"),
    "no such fabric": (with_vm("[machines.gw]\nnics = [{ on = 'w' }]"), "no fabric named 'w'"),
    "same name twice": (with_vm("[fabrics.web]"), "web: two nodes have this name"),
    "VLAN on a bridge": (SMALL.replace("on =", "vlan = 5, on ="), "only ports of an ovs switch"),
    "VLAN too large": (SMALL.replace("on =", "vlan = 4095, on ="), "<= 4094 - at `nics[0].vlan`"),
    "no prefix length": (SMALL.replace("/24", ""), "'10.0.0.1' is not an IP address with a prefix length"),
    "not an address": (SMALL.replace("10.0.0.1", "10.0.0.256"), "is not an IP address"),
    "gateway": (with_vm("gateway = '10.0.0.1/24'"), "gateway: '10.0.0.1/24' is not an IP address"),
    "masquerade": (with_vm("masquerade = 'eth1'"), "it has no nic 'eth1'"),
    "guest that routes": (with_vm("kind = 'qemu'\nforward = true"), "cannot forward"),
    "uplink to nowhere": (OVERLAY.replace('"wire"', '"wrie"', 1), "uplink: no fabric named 'wrie'"),
    "uplink switch": (OVERLAY.replace('"wire",', '"wire", switch = "br9",', 1), "no switch named 'br9'"),
    "lonely overlay": (OVERLAY.replace("vni = 7", "vni = 8", 1), "no other switch has this overlay"),
    "overlay without VTEP": (OVERLAY.replace(', address = "172.31.0.1/24"', ""), "uplink with an address"),
    "geneve on a bridge": (OVERLAY.replace("vni = 7", "vni = 7, kind = 'geneve'"), "kind vxlan only, not geneve"),
    "ovs overlay without ovs uplink": (
        OVERLAY.replace("{ overlay", "{ kind = 'ovs', overlay"),
        "uplink plugged into another ovs switch",
    ),
    "VNI too large": (OVERLAY.replace("vni = 7", "vni = 16777216"), "<= 16777215 - at `switches[...].overlay.vni`"),
    "fabric too narrow": (OVERLAY.replace("1550", "1549"), "needs fabrics.wire to have 1550 or more"),
    "OVN on a bridge": (CLOUD.replace('{ kind = "ovs", logical', "{ logical"), "only an ovs switch without an overlay"),
    "OVN twice on a server": (
        CLOUD.replace('br-phy = { kind = "ovs" }', 'br-phy = { kind = "ovs", logical = "net1" }'),
        "servers.s1: a chassis has one integration bridge",
    ),
    "OVN without VTEP": (CLOUD.replace(', address = "172.31.0.1/24"', ""), "OVN needs an uplink with an address"),
    "OVN without its databases": (
        CLOUD.replace("ovn_central = true", ""),
        "needs a machine with ovn_central and an address on wire",
    ),
    "OVN in two places": (
        CLOUD + "[machines.other]\nnics = [{ on = 'wire' }]\novn_central = true",
        "one machine with ovn_central",
    ),
    "OVN in a VM": (SMALL + "ovn_central = true", "runs on a machine in a fabric, not in a VM"),
    "OVN and a VLAN": (CLOUD.replace('on = "s1/br-int"', "vlan = 5, on = 's1/br-int'"), "logical switch has none"),
    "fabric too narrow for OVN": (CLOUD.replace("1558", "1557"), "needs fabrics.wire to have 1558 or more"),
    "talk to nobody": (with_vm("[[talks]]\nfrom = 'web'\nto = 'db'"), "talks[0]: no VM or machine named 'db'"),
    "talk without address": (
        with_vm("[vms.db]\nnics = [{ on = 's1/br0' }]\n[[talks]]\nfrom = 'web'\nto = 'db'"),
        "db has no address",
    ),
    "guests talk tcp": (
        SMALL + "kind = 'qemu'\n[[talks]]\nfrom = 'web'\nto = 'web'\nprotocol = 'udp'",
        "talk tcp only",
    ),
}


@pytest.mark.parametrize(("text", "message"), FAULTS.values(), ids=FAULTS)
def test_what_is_wrong_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text, "lab", "lab.toml")
    assert str(caught.value).startswith("lab.toml: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        SMALL.replace("vms.web", "vms.'a\\nb'"),
        SMALL.replace("vms.web", 'vms."web\\n"'),
        SMALL.replace("vms.web", 'vms."-n"'),
        SMALL.replace("vms.web", 'vms."a/../b"'),
        SMALL.replace("10.0.0.1/24", "fe80::1%\\nlink set lo down\\n/64"),
        SMALL.replace("10.0.0.1/24", "10.0.0.1/24\\nlink set lo down"),
        SMALL.replace("br0", '"br0 up\\nlink"'),
        SMALL.replace("on =", 'mac = "52:54:00:00:00:01\\n", on ='),
        SMALL + 'gateway = "fe80::1%;reboot"',
    ],
)
def test_no_word_of_a_file_can_smuggle_a_command(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text, "lab")


@pytest.mark.parametrize("name", shipped())
def test_batches_are_one_command_a_line(name: str) -> None:
    made = plan(load(name), "lab")
    batches = [list(lines(made, node)) for node in made.nodes]
    batches += [[*late_lines(server), *flood_lines(made, server)] for server in made.servers]
    for batch in batches:
        assert all(line.split()[0] in {"link", "addr", "route", "fdb"} for line in batch)
        assert not any("\n" in line for line in batch)


def test_a_name_that_is_no_topology_gets_the_list() -> None:
    with pytest.raises(NotFound) as caught:
        load("brigde")
    assert "bridge" in caught.value.hint


def test_a_path_is_read_as_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(SMALL)
    assert load(file).name == "mine"
    with pytest.raises(NotFound, match=r"cannot read the lab file .*other\.toml"):
        load(str(tmp_path / "other.toml"))


PAGE = (Path(__file__).parents[2] / "docs" / "lab.md").read_text()


@pytest.mark.parametrize("text", re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
def test_the_examples_of_the_manual_are_sound(text: str) -> None:
    assert parse(text, "example").vms


def test_the_manual_has_every_word_and_every_topology() -> None:
    tables = (Topology, Fabric, Server, Switch, Overlay, Uplink, Machine, Nic, Talk)
    words = {field.encode_name for table in tables for field in msgspec.structs.fields(table)} - {"name"}
    assert sorted(word for word in words if not re.search(rf"\b{word}\b", PAGE)) == []
    assert all(f"### {name}\n" in PAGE for name in shipped())
