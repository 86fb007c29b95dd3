"""The same through Open vSwitch, which ends Geneve, GRE and VXLAN itself; and a port that hides its frames."""

import json
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.labs import running_lab
from tests.support.shark import fields
from tests.support.tapwright import capturing, grown, tapwright

from tapwright.lab import Lab
from tapwright.lab.chatter import PROGRAM

pytestmark = pytest.mark.root

_SERVER = """
[servers.s{n}]
uplink = {{ fabric = "underlay", switch = "br-phy", address = "172.31.0.1{n}/24" }}
[servers.s{n}.switches]
br-red = {{ kind = "ovs", overlay = {{ kind = "{kind}", vni = 100 }} }}
br-blue = {{ kind = "ovs", overlay = {{ kind = "{kind}", vni = 200 }} }}
br-phy = {{ kind = "ovs" }}
[vms.red-{n}]
nics = [{{ on = "s{n}/br-red", addresses = ["10.0.0.1{n}/24"] }}]
[vms.blue-{n}]
nics = [{{ on = "s{n}/br-blue", addresses = ["10.0.0.1{n}/24"] }}]
"""
_VMS = ("red-1", "red-2", "blue-1", "blue-2")
_FRAME = ("eth.src", "eth.dst", "frame.len", "ip.id", "tcp.seq_raw", "tcp.ack_raw", "tcp.flags", "tcp.payload")


@pytest.fixture(scope="module", params=["geneve", "gre", "vxlan"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    path = tmp_path_factory.mktemp("lab") / "tunnels.toml"
    servers = "".join(_SERVER.format(n=n, kind=request.param) for n in (1, 2))
    path.write_text(f'about = "Two tenants with equal addresses"\n[fabrics.underlay]\nmtu = 1700\n{servers}')
    with running_lab(str(path)) as lab:
        for name in ("red-2", "blue-2"):
            lab.start(name, [*PROGRAM, "serve", "tcp:5432"])
        yield lab


def test_the_uplink_shows_what_the_vms_own_device_shows(lab: Lab, tmp_path: Path) -> None:
    files = {(vm, kind): tmp_path / f"{vm}-{kind}.pcapng" for vm in _VMS for kind in ("device", "uplink")}
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                capturing(vm, "--point", kind, "-f", "tcp", "-w", str(file), "--json", env=lab.environment())
            )
            for (vm, kind), file in files.items()
        ]
        for file in files.values():
            grown(file, 200)
        for tenant in ("red", "blue"):
            lab.exec(f"{tenant}-1", [*PROGRAM, "talk", "tcp:10.0.0.12:5432", "--count", "3", "--every", "0.01"])
        for process in running:
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
            assert process.returncode == 0, err
            assert json.loads(out)["complete"]
    for vm in _VMS:
        device, uplink = (Counter(fields(files[vm, kind], *_FRAME)) for kind in ("device", "uplink"))
        assert uplink == device
        assert sum(uplink.values()) > 20
        assert all(lab.node(vm).nics[0].mac in frame[:2] for frame in uplink)


def test_a_port_that_hides_its_frames_is_read_at_the_uplink_by_itself(lab: Lab, tmp_path: Path) -> None:
    """AF_XDP takes the frames before the kernel shows them to anybody."""
    device = lab.node("red-1").nics[0].device
    lab.exec("s1", ["ovs-vsctl", "--timeout=20", "set", "interface", device, "type=afxdp-nonpmd"])
    try:
        answer = tapwright("plan", "red-1", "--interval", "0", "--json", env=lab.environment())
        (chosen,) = answer.data["chosen"]
        assert (chosen["kind"], chosen["device"]) == ("uplink", "uplink0")
        assert chosen["reason"].startswith("its own port cannot be read")
        path = tmp_path / "hidden.pcapng"
        with capturing("red-1", "-f", "icmp", "-c", "2", "-w", str(path), env=lab.environment()) as running:
            grown(path, 200)
            lab.exec("red-1", [*PROGRAM, "ping", "10.0.0.12"])
            running.communicate(timeout=30)
            assert running.returncode == 0
        assert {row[0] for row in fields(path, "icmp.type")} == {"8", "0"}
    finally:
        lab.exec("s1", ["ovs-vsctl", "--timeout=20", "set", "interface", device, 'type=""'])


_TAGGED = """
about = "Two servers whose VMs are in a VLAN on the wire"
[fabrics.wire]
"""
_TAGGED_SERVER = """
[servers.s{n}]
uplink = {{ fabric = "wire", switch = "br-int" }}
switches = {{ br-int = {{ kind = "ovs" }} }}
[vms.app-{n}]
nics = [{{ on = "s{n}/br-int", addresses = ["10.0.10.1{n}/24"], vlan = 10 }}]
[vms.other-{n}]
nics = [{{ on = "s{n}/br-int", addresses = ["10.0.10.1{n}/24"], vlan = 20 }}]
"""


def test_a_vlan_on_the_wire(tmp_path: Path) -> None:
    source, path = tmp_path / "vlan.toml", tmp_path / "app.pcapng"
    source.write_text(_TAGGED + "".join(_TAGGED_SERVER.format(n=n) for n in (1, 2)))
    with running_lab(str(source)) as lab:
        for name in ("app-2", "other-2"):
            lab.start(name, [*PROGRAM, "serve", "tcp:5432"])
        argv = ("app-1", "--point", "uplink", "-f", "tcp port 5432", "-w", str(path))
        with capturing(*argv, env=lab.environment()) as running:
            grown(path, 200)
            for name in ("other-1", "app-1"):
                lab.exec(name, [*PROGRAM, "talk", "tcp:10.0.10.12:5432", "--count", "2", "--every", "0.01"])
            running.send_signal(signal.SIGINT)
            running.communicate(timeout=30)
            assert running.returncode == 0
        rows = fields(path, "vlan.id", "tcp.port", "eth.addr")
        assert len(rows) > 10
        assert {row[0] for row in rows} == {"10"}
        assert all(lab.node("app-1").nics[0].mac in row[2] and "5432" in row[1] for row in rows)
