"""The libvirt provider on a real libvirtd with real QEMU processes, and on sockets that misbehave."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from support import short_folder, sockets
from support.libvirt import Libvirtd, domain, libvirtd
from support.netns import ip, namespace
from support.openvswitch import OpenVSwitch, openvswitch
from tapwright.adapters import libvirtd as adapter
from tapwright.config import Config
from tapwright.control.local import look
from tapwright.errors import MissingDependency, ProviderError
from tapwright.model import Answer, DeviceKey, Snapshot, Vm
from tapwright.plan.steps import Operation
from tapwright.providers.libvirt import Libvirt

pytestmark = pytest.mark.root

WEB = "11111111-2222-3333-4444-5555555555a1"
OFF = "11111111-2222-3333-4444-5555555555a2"
PORT_ID = "9aa2f1de-0000-4000-8000-000000000001"

NETWORK = """<network><name>leased</name><bridge name='br8' stp='off'/><dns enable='no'/>
  <ip address='192.168.150.1' prefix='24'/></network>"""
LEASE = {
    "ip-address": "192.168.150.77",
    "mac-address": "52:54:00:bb:00:03",
    "hostname": "web",
    "expiry-time": 4102444800,
}
NOVA = """<metadata><nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'>
  <nova:name>shop frontend</nova:name></nova:instance></metadata>"""


@pytest.fixture(scope="module")
def switch() -> Iterator[OpenVSwitch]:
    with namespace() as netns, short_folder() as folder, openvswitch(folder, netns) as switch:
        switch.vsctl("add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev")
        ip("link", "add", "br9", "type", "bridge", netns=netns)
        ip("link", "set", "br9", "up", netns=netns)
        yield switch


@pytest.fixture(scope="module")
def libvirt(switch: OpenVSwitch) -> Iterator[Libvirtd]:
    with short_folder() as folder, libvirtd(folder, switch.netns, switch.folder) as libvirt:
        libvirt.virsh("net-create", "/dev/stdin", stdin=NETWORK)
        (folder / "lib/dnsmasq").mkdir(exist_ok=True)
        (folder / "lib/dnsmasq/br8.status").write_text(json.dumps([LEASE]))
        libvirt.create(domain("web-1", WEB, *_interfaces(), title="Web front"))
        libvirt.define(domain("off-1", OFF, "<interface type='network'><source network='leased'/></interface>"))
        yield libvirt


def _interfaces() -> Iterator[str]:
    yield """<interface type='bridge'><source bridge='br9'/><mac address='52:54:00:BB:00:01'/>
        <mtu size='1400'/></interface>"""
    yield f"""<interface type='bridge'><source bridge='br-int'/><mac address='52:54:00:bb:00:02'/>
        <virtualport type='openvswitch'><parameters interfaceid='{PORT_ID}'/></virtualport></interface>"""
    yield "<interface type='network'><source network='leased'/><mac address='52:54:00:bb:00:03'/></interface>"


@pytest.fixture(scope="module")
def snapshot(libvirt: Libvirtd) -> Snapshot:
    return Libvirt(libvirt.uri).snapshot()


@pytest.fixture(scope="module")
def web(snapshot: Snapshot) -> Vm:
    return next(vm for vm in snapshot.vms if vm.id == WEB)


def test_probe(libvirt: Libvirtd) -> None:
    assert Libvirt(libvirt.uri).probe().answer is Answer.YES


def test_names_and_state(web: Vm) -> None:
    assert (web.name, web.state, web.aliases) == ("web-1", "running", ("Web front",))


def test_vnics(web: Vm) -> None:
    assert [(v.name, v.mac, v.mtu, v.iface_id) for v in web.vnics] == [
        ("net0", "52:54:00:bb:00:01", 1400, ""),
        ("net1", "52:54:00:bb:00:02", 0, PORT_ID),
        ("net2", "52:54:00:bb:00:03", 0, ""),
    ]


def test_leased_addresses(web: Vm) -> None:
    assert [vnic.addresses for vnic in web.vnics] == [(), (), ("192.168.150.77/24",)]


def test_a_domain_that_is_shut_off(snapshot: Snapshot) -> None:
    (off,) = (vm for vm in snapshot.vms if vm.id == OFF)
    assert (off.name, off.state, [vnic.name for vnic in off.vnics]) == ("off-1", "shut off", ["net0"])


def test_a_daemon_nobody_named_is_found_by_its_process(libvirt: Libvirtd) -> None:
    assert libvirt.uri in adapter.discover()


def test_three_providers_see_one_vm(libvirt: Libvirtd, switch: OpenVSwitch) -> None:
    """Libvirt knows the name, the QEMU process the tap, Open vSwitch the port."""
    config = Config(
        providers=("linux", "ovs", "libvirt"),
        netns=(switch.netns,),
        ovsdb=(switch.remote,),
        libvirt_uri=libvirt.uri,
    )
    topology = look(config)
    (web,) = (vm for vm in topology.vms if WEB in (vm.id, *vm.aliases) or any(v.iface_id == PORT_ID for v in vm.vnics))
    assert (web.id, web.name, set(web.providers)) == (WEB, "web-1", {"linux", "ovs", "libvirt"})
    assert [vnic.name for vnic in web.vnics] == ["net0", "net1", "net2"]
    devices = [topology.device(vnic.device) for vnic in web.vnics]
    assert [device.name if device else None for device in devices] == ["vnet0", "vnet1", "vnet2"]
    ports = [topology.port_of(vnic) for vnic in web.vnics]
    switches = [topology.switch(port.switch) for port in ports if port]
    assert [found.name for found in switches if found] == ["br9", "br-int", "br8"]
    assert ports[1] is not None
    assert isinstance(ports[1].device, DeviceKey)


def test_openstack_names(libvirt: Libvirtd) -> None:
    uuid = "11111111-2222-3333-4444-5555555555a3"
    xml = domain("instance-0000002a", uuid).replace("<memory", f"{NOVA}<memory")
    libvirt.define(xml)
    try:
        (vm,) = (vm for vm in Libvirt(libvirt.uri).snapshot().vms if vm.id == uuid)
        assert (vm.name, vm.aliases) == ("instance-0000002a", ("shop frontend",))
    finally:
        libvirt.virsh("undefine", uuid)


def test_a_paused_domain(libvirt: Libvirtd) -> None:
    libvirt.virsh("suspend", WEB)
    try:
        assert {vm.state for vm in Libvirt(libvirt.uri).snapshot().vms if vm.id == WEB} == {"paused"}
    finally:
        libvirt.virsh("resume", WEB)


def test_reading_takes_the_read_only_socket(libvirt: Libvirtd) -> None:
    uri = f"qemu:///system?socket={libvirt.folder}/sock/libvirt-sock-ro"
    assert WEB in {vm.id for vm in Libvirt(uri).snapshot().vms}


def test_a_daemon_that_accepts_and_never_answers() -> None:
    with short_folder() as folder, sockets.server(folder / "libvirt-sock", sockets.silence) as path:
        uri = f"qemu:///system?socket={path}"
        assert Libvirt(uri).probe().answer is Answer.YES
        with pytest.raises(ProviderError, match="does not answer"):
            adapter.read(uri, timeout=0.5)


def test_a_daemon_that_talks_nonsense() -> None:
    nonsense = sockets.says(b"\xff" * 64)
    with (
        short_folder() as folder,
        sockets.server(folder / "libvirt-sock", nonsense) as path,
        pytest.raises(ProviderError, match="does not answer"),
    ):
        adapter.read(f"qemu:///system?socket={path}", timeout=5)


def test_a_stuck_daemon_does_not_keep_the_process_from_ending() -> None:
    program = """
import sys
from tapwright.adapters import libvirtd
from tapwright.errors import ProviderError
try:
    libvirtd.read(sys.argv[1], timeout=0.3)
except ProviderError:
    sys.exit(8)
"""
    with short_folder() as folder, sockets.server(folder / "libvirt-sock", sockets.silence) as path:
        argv = [sys.executable, "-c", program, f"qemu:///system?socket={path}"]
        done = subprocess.run(argv, check=False, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (8, b"", b"")


def test_no_socket_is_a_no() -> None:
    capability = Libvirt("qemu:///system?socket=/nonexistent/sock").probe()
    assert capability.answer is Answer.NO
    assert "TAPWRIGHT_LIBVIRT_URI" in capability.fix


def test_another_machines_libvirt_is_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Libvirt("qemu+ssh://elsewhere/system").probe().answer is Answer.NO
    monkeypatch.setenv("LIBVIRT_DEFAULT_URI", "qemu+tls://elsewhere/system")
    assert "elsewhere" not in Libvirt().probe().reason


def test_the_library_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    with pytest.raises(MissingDependency) as raised:
        Libvirt("test:///default").snapshot()
    assert "tapwright[libvirt]" in raised.value.hint


def test_unknown_verbs_are_refused() -> None:
    with pytest.raises(ProviderError, match="cannot perform"):
        Libvirt().perform(Operation("libvirt", "explode"))
