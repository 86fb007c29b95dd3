"""Without privilege: a socket that refuses us is said to, by each provider, with the way out."""

import json
import subprocess
import sys
from typing import Any

import pytest

from support import short_folder, sockets
from support.netns import ifindex, inode, namespace
from support.openvswitch import openvswitch
from support.podman import podman
from support.zoo import furnish

pytestmark = pytest.mark.root

REFUSED = """
import json, sys
from tapwright.errors import TapwrightError
from tapwright.providers.containers import Containers
from tapwright.providers.libvirt import Libvirt
from tapwright.providers.ovs import Ovs
path = sys.argv[2]
provider = {
    "ovs": lambda: Ovs(["unix:" + path]),
    "libvirt": lambda: Libvirt("qemu:///system?socket=" + path),
    "containers": lambda: Containers([path]),
}[sys.argv[1]]()
capability = provider.probe()
try:
    provider.snapshot()
except TapwrightError as error:
    print(json.dumps([capability.answer, type(error).__name__, error.message, error.hint]))
"""


@pytest.mark.parametrize("provider", ["ovs", "libvirt", "containers"])
def test_a_socket_that_refuses_us(provider: str) -> None:
    with short_folder() as folder, sockets.server(folder / "socket", sockets.silence) as path:
        path.chmod(0)
        answer, error, message, hint = without_capabilities(REFUSED, provider, str(path))
    assert answer in ("unknown", "yes"), "it is there"
    assert error == "PrivilegeError"
    assert str(path) in message
    assert "sudo" in hint


LOOK = """
import sys
import msgspec
from tapwright.providers.containers import Containers
from tapwright.providers.ovs import Ovs
provider = {"ovs": Ovs, "containers": Containers}[sys.argv[1]]([sys.argv[2]])
sys.stdout.buffer.write(msgspec.json.encode(provider.snapshot()))
"""


def test_a_switch_whose_namespace_is_hidden_names_no_device() -> None:
    """Its database may be open to us while its process is not; a number alone would mean a device of ours."""
    with namespace() as netns, namespace() as guest, short_folder() as folder, openvswitch(folder, netns) as switch:
        furnish(switch, guest)
        snapshot = without_capabilities(LOOK, "ovs", switch.remote)
    assert len(snapshot["switches"]) == 4
    assert [port["device"] for port in snapshot["ports"] if port["device"]] == []
    assert snapshot["netns"] == []
    assert any("hidden" in warning for warning in snapshot["warnings"])


def test_a_switch_that_is_provably_in_our_own_namespace_names_its_devices() -> None:
    """As for an ordinary user on an ordinary hypervisor: each of its devices is here, under the same number."""
    with namespace() as netns, namespace() as guest, short_folder() as folder, openvswitch(folder, netns) as switch:
        furnish(switch, guest)
        snapshot = without_capabilities(LOOK, "ovs", switch.remote, netns=netns)
        expected = [inode(netns), ifindex(netns, "vnet1")]
    assert [port["device"] for port in snapshot["ports"] if port["name"] == "vnet1"] == [expected]
    assert not any("hidden" in warning for warning in snapshot["warnings"])


def test_containers_whose_namespace_is_hidden_are_as_the_engine_made_them() -> None:
    """As for a user of the docker group, who may ask the engine but not enter a namespace."""
    with namespace() as netns, short_folder() as folder, podman(folder, netns) as engine:
        engine.run("web")
        engine.run("logger", "--network", "container:web")
        engine.run("agent", "--network", "host")
        snapshot = without_capabilities(LOOK, "containers", engine.socket)
        mac = engine("inspect", "web", "--format", "{{.NetworkSettings.Networks.podman.MacAddress}}")
    found = {vm["name"]: vm for vm in snapshot["vms"]}
    assert set(found) == {"web", "agent"}
    assert "logger" in found["web"]["aliases"]
    assert [(vnic["name"], vnic["mac"], vnic["inner"]) for vnic in found["web"]["vnics"]] == [("podman", mac, None)]
    assert found["agent"]["vnics"] == []


def without_capabilities(program: str, *arguments: str, netns: str = "") -> Any:
    """What a program says, run by a root who may do no more than anybody, inside a namespace where one is named."""
    inside = ["ip", "netns", "exec", netns] if netns else []
    argv = [*inside, "setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-c", program, *arguments]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60)
    return json.loads(done.stdout)
