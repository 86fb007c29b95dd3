"""What the ovn provider makes of a northbound database: real ones, odd ones, and none."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cloud import Cloud, cloud
from support.labs import config_of
from support.mirrored import MARK
from tapwright.adapters import ovnnb
from tapwright.adapters.ovnnb import Abilities, LogicalPort, LogicalSwitch
from tapwright.adapters.ovnnb import Cloud as Rows
from tapwright.control.local import look
from tapwright.errors import ProviderError
from tapwright.find.path import HopKind, path
from tapwright.find.topology import Topology, join
from tapwright.model import Answer, Host, VmKind, Vnic
from tapwright.plan.mirrors import Mirror, parse
from tapwright.plan.steps import Found
from tapwright.providers.ovn import Ovn
from tapwright.providers.ovn_model import describe

SCHEMA = Path("/usr/share/ovn/ovn-nb.ovsschema")


@pytest.fixture(scope="module")
def lively() -> Iterator[Cloud]:
    with cloud() as lively:
        yield lively


def seen(lively: Cloud, server: str) -> Topology:
    return look(config_of(lively.lab, server))


@pytest.mark.root
def test_vms_of_this_server_are_joined_and_those_of_others_are_told(lively: Cloud) -> None:
    topology = seen(lively, "s1")
    web, db = (next(vm for vm in topology.vms if vm.name == name) for name in ("web", "db"))
    assert web.providers == ("linux", "ovs", "ovn")
    assert topology.port_of(web.vnics[0]).name == "vnet0"  # type: ignore[union-attr]
    assert (db.providers, db.state, db.id) == (("ovn",), "running", lively.lab.node("db").id)
    assert db.vnics == (Vnic("net0", lively.mac("db"), ("10.0.0.12",), iface_id=lively.port("db")),)
    assert len(topology.vms) == 3


@pytest.mark.root
def test_the_way_of_a_vm_leads_over_geneve_to_the_other_server(lively: Cloud) -> None:
    topology = seen(lively, "s1")
    hops = path(topology, next(vm for vm in topology.vms if vm.name == "web").vnics[0])
    assert [(hop.kind, hop.name) for hop in hops if hop.kind in (HopKind.SWITCH, HopKind.OVERLAY)] == [
        (HopKind.SWITCH, "br-int"),
        (HopKind.OVERLAY, "geneve"),
        (HopKind.SWITCH, "br-phy"),
    ]
    overlay = next(hop for hop in hops if hop.kind is HopKind.OVERLAY)
    assert "this host → 172.31.0.12" in overlay.details
    away = path(topology, next(vm for vm in topology.vms if vm.name == "db").vnics[0])
    assert [(hop.kind, hop.name) for hop in away] == [(HopKind.VNIC, "net0"), (HopKind.SWITCH, "net0")]
    assert away[1].details == ("OVN logical switch",)


@pytest.mark.root
def test_a_point_says_where_the_vm_is(lively: Cloud) -> None:
    topology = seen(lively, "s1")
    said = {topology.vm(p.vm).name: p.readable.reason for p in lively.provider().points(topology)}  # type: ignore[union-attr]
    assert said.keys() == {"web", "cache", "db"}
    assert "on this server" in said["web"]
    assert "on another server" in said["db"]


@pytest.mark.root
def test_by_tcp(lively: Cloud) -> None:
    argv = ["env", "TAPWRIGHT_OVN_NB=tcp:172.31.0.100:1,tcp:172.31.0.100:6641", "tapwright", "ls", "--json"]
    rows = json.loads(lively.lab.exec("s2", argv).stdout)["vnics"]
    assert {row["vm"]["name"]: "ovn" in row["vm"]["providers"] for row in rows} == dict.fromkeys(
        ("web", "cache", "db"), True
    )


@pytest.mark.root
def test_as_open_vswitch_was_told(lively: Cloud) -> None:
    switches = config_of(lively.lab, "s1").ovsdb
    assert Ovn((), switches).probe().answer is Answer.NO
    lively.vsctl("s1", "set", "Open_vSwitch", ".", f'external_ids:ovn-nb="ssl:172.31.0.1:6641,{lively.remote}"')
    try:
        assert Ovn((), switches).probe().answer is Answer.YES
        assert len(Ovn((), switches).snapshot().vms) == 3
    finally:
        lively.vsctl("s1", "remove", "Open_vSwitch", ".", "external_ids", "ovn-nb")


@pytest.mark.parametrize(
    ("remote", "why"),
    [
        ("ssl:192.0.2.1:6641", "ssl: is not spoken yet"),
        ("tcp:127.0.0.1:1", "refused"),
        ("tcp:central:6641", "write it as tcp:192.0.2.1:6641"),
        ("tcp:127.0.0.1:0", "write it as tcp:192.0.2.1:6641"),
        ("punix:/x", "write it as unix:"),
    ],
)
def test_what_cannot_be_reached_is_told_with_the_reason(remote: str, why: str) -> None:
    provider = Ovn([remote])
    capability = provider.probe()
    assert capability.answer is Answer.UNKNOWN
    assert why in capability.reason
    with pytest.raises(ProviderError, match="cannot be reached"):
        provider.snapshot()


def test_without_a_database_there_is_nothing_to_say(tmp_path: Path) -> None:
    provider = Ovn([f"unix:{tmp_path}/ovnnb_db.sock"])
    assert provider.probe().answer is Answer.NO
    assert "TAPWRIGHT_OVN_NB" in provider.probe().fix


def test_a_database_that_nobody_serves(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{tmp_path}/nb.sock")
        assert Ovn([f"unix:{tmp_path}/nb.sock"]).probe().answer is Answer.UNKNOWN


def port(name: str, *addresses: str, kind: str = "", parent: str = "", up: bool = True, **ids: str) -> LogicalPort:
    told = {key.replace("__", ":"): value for key, value in ids.items()}
    return LogicalPort(f"uuid-{name}", name, kind, addresses, parent, up, told)


def described(*ports: LogicalPort) -> Topology:
    rows = Rows((LogicalSwitch("uuid-ls", "net0", frozenset(p.uuid for p in ports)),), ports)
    return join(Host("h"), [describe(rows)])


def test_whose_a_port_is_each_control_plane_says_in_its_way() -> None:
    topology = described(
        port("p1", "02:00:00:00:00:01 10.0.0.1 fd00::1", neutron__device_id="vm-1", neutron__port_name="front"),
        port("p2", "02:00:00:00:00:02", neutron__device_id="vm-1", neutron__port_name="back", up=False),
        port("shop_web-0", "02:00:00:00:00:03 10.0.0.3", pod="true", namespace="shop"),
        port("web-1.shop", "0A:58:0a:00:00:04 10.0.0.4", pod="shop/web-1"),
        port("bare", "unknown", "dynamic", "02:00:00:00:00:05 10.0.0.5"),
    )
    found = {vm.name: vm for vm in topology.vms}
    assert set(found) == {"vm-1", "web-1", "shop_web-0", "bare"}
    assert [(vnic.name, vnic.mac) for vnic in found["vm-1"].vnics] == [
        ("p1", "02:00:00:00:00:01"), ("p2", "02:00:00:00:00:02"),
    ]  # fmt: skip
    assert found["vm-1"].vnics[0].addresses == ("10.0.0.1", "fd00::1")
    assert found["vm-1"].aliases == ("front", "back")
    assert (found["web-1"].kind, found["web-1"].aliases) == (VmKind.CONTAINER, ("shop/web-1",))
    assert found["web-1"].vnics[0].mac == "0a:58:0a:00:00:04"
    assert found["shop_web-0"].kind is VmKind.CONTAINER
    assert found["bare"].vnics == (Vnic("net0", "02:00:00:00:00:05", ("10.0.0.5",), iface_id="bare"),)


def test_what_is_no_vnic_of_a_switch_is_left_out() -> None:
    topology = described(
        port("to-router", "router", kind="router"),
        port("inside", "02:00:00:00:00:01", parent="trunk"),
        port("dhcp", "02:00:00:00:00:02", neutron__device_owner="network:dhcp"),
    )
    assert (topology.vms, topology.ports) == ((), ())


def test_a_port_that_no_server_has() -> None:
    topology = described(port("p", up=False))
    assert topology.vms[0].state == "down"
    (point,) = Ovn(["unix:/nowhere"]).points(topology)
    assert point.readable.answer is Answer.UNKNOWN


def test_two_networks_with_one_mac_stay_two() -> None:
    topology = described(port("p1", "02:00:00:00:00:01"), port("p2", "02:00:00:00:00:01"))
    assert len(topology.vms) == 2


def schema(**changes: object) -> bytes:
    tables = json.loads(SCHEMA.read_text())["tables"]
    return json.dumps({"id": 0, "error": None, "result": {"tables": {**tables, **changes}}}).encode()


@pytest.mark.root
def test_what_mirrors_can_be_is_read_from_the_schema() -> None:
    today = ovnnb.abilities_in(schema())
    assert {"from-lport", "to-lport"} <= today.filters
    assert {"gre", "erspan"} <= today.types
    words = {"type": {"type": {"key": {"type": "string", "enum": ["set", ["gre", "local"]]}}}}
    later = {"filter": {"type": {"key": {"type": "string", "enum": ["set", ["both"]]}}}, **words}
    assert ovnnb.abilities_in(schema(Mirror={"columns": later})) == Abilities(
        frozenset({"both"}), frozenset({"gre", "local"})
    )
    earlier = json.loads(SCHEMA.read_text())["tables"]["Logical_Switch_Port"]
    del earlier["columns"]["mirror_rules"]
    assert ovnnb.abilities_in(schema(Logical_Switch_Port=earlier)) == Abilities()
    odd = {"columns": {"filter": {"type": "string"}, "type": {"type": {"key": {"enum": 7}}}}}
    assert ovnnb.abilities_in(schema(Mirror=odd)) == Abilities()


@pytest.mark.parametrize("reply", [b"", b"[]", b"{}", b'{"result":7}', b'{"error":"no"}', b"[" * 100_000])
def test_a_schema_that_makes_no_sense(reply: bytes) -> None:
    with pytest.raises(ProviderError):
        ovnnb.abilities_in(reply)


@pytest.mark.parametrize("answer", [{}, {"rows": 7}, {"rows": [{}]}, {"rows": [{"_uuid": ["uuid", "x"], "name": 7}]}])
def test_rows_that_make_no_sense(answer: dict[str, object]) -> None:
    with pytest.raises(ProviderError, match="made no sense"):
        ovnnb.cloud([answer, {"rows": []}])


@pytest.mark.root
def test_an_ovn_without_mirrors_says_since_when(tmp_path: Path) -> None:
    """Its schema before 22.12, served by a real ovsdb-server."""
    old = json.loads(SCHEMA.read_text())
    del old["tables"]["Mirror"], old["tables"]["Logical_Switch_Port"]["columns"]["mirror_rules"], old["cksum"]
    (tmp_path / "old.ovsschema").write_text(json.dumps(old))
    folder, sock = f"{tmp_path}", f"{tmp_path}/nb.sock"
    subprocess.run(["ovsdb-tool", "create", f"{folder}/nb.db", f"{folder}/old.ovsschema"], check=True, timeout=20)
    argv = ["ovsdb-server", f"{folder}/nb.db", f"--remote=punix:{sock}", f"--unixctl={folder}/ctl", "-vconsole:off"]
    with subprocess.Popen(argv, env={**os.environ, "OVS_RUNDIR": folder}) as server:
        try:
            while ovnnb.closed(f"unix:{sock}"):
                assert server.poll() is None
            ports = {"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "p1", "row": {"name": "p1"}}
            whole = {"name": "net0", "ports": ["named-uuid", "p1"]}
            ovnnb.transact(f"unix:{sock}", [ports, {"op": "insert", "table": "Logical_Switch", "row": whole}])
            provider = Ovn([f"unix:{sock}"])
            (point,) = provider.points(join(Host("h"), [provider.snapshot()]))
            (step,) = provider.steps(Mirror(point, parse("gre://192.0.2.9"), MARK))
            assert provider.leftovers() == ()
            with pytest.raises(ProviderError, match="has no mirrors") as refused:
                provider.perform(step.do)
            assert "since 22.12" in refused.value.hint
            assert provider.found(step).found is not Found.THERE
        finally:
            server.terminate()
            server.wait()
