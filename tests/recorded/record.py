"""Record what real daemons answer, and what the providers make of it.

    sudo .venv/bin/python tests/recorded/record.py

starts an Open vSwitch, an OVN, a libvirtd and a Podman of its own, asks them what the providers ask,
and rewrites the JSON files beside it.  Look at the difference before you commit it: the
expected half is what the code says today, and only a person can say whether that is right.
"""

import sys
import time
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parent.parent))

from support import short_folder
from support.labs import running_lab
from support.libvirt import domain, libvirtd
from support.netns import namespace
from support.openvswitch import openvswitch
from support.podman import podman
from support.recordings import save
from support.zoo import furnish
from tapwright.adapters import dockerapi, ovnnb, ovsdb
from tapwright.adapters import libvirtd as libvirt_adapter


def record_ovs() -> Any:
    with namespace() as netns, namespace() as guest, short_folder() as folder, openvswitch(folder, netns) as switch:
        furnish(switch, guest)
        with ovsdb.connect(f"{folder}/db.sock", switch.remote, 5) as connection:
            return msgspec.json.decode(ovsdb.ask(connection, ovsdb.QUESTION, switch.remote, time.monotonic() + 5))


def record_ovn() -> Any:
    with running_lab("ovn") as lab:
        nbctl = ["ovn-nbctl", "lr-add", "gw", "--", "lsp-add", "net0", "to-gw", "--", "lsp-set-type", "to-gw", "router"]
        nbctl += ["--", "lsp-add", "net0", "web-1.shop", "--", "lsp-set-addresses", "web-1.shop", "dynamic"]
        nbctl += ["--", "set", "Logical_Switch_Port", "web-1.shop", 'external_ids:pod="shop/web-1"']
        nbctl += ["--", "set", "Logical_Switch", "net0", "other_config:subnet=10.0.0.0/24"]
        lab.exec("central", nbctl)
        lab.exec("central", ["ovn-nbctl", "--wait=sb", "sync"])
        return list(ovnnb.transact(f"unix:{lab.folder('central')}/ovnnb_db.sock", ovnnb._WHOLE))


def record_libvirt() -> Any:
    interfaces = (
        "<interface type='bridge'><source bridge='br9'/><mac address='52:54:00:BB:00:01'/>"
        "<mtu size='1400'/></interface>",
        "<interface type='bridge'><source bridge='br-int'/><mac address='52:54:00:bb:00:02'/><virtualport "
        "type='openvswitch'><parameters interfaceid='9aa2f1de-0000-4000-8000-000000000001'/></virtualport></interface>",
        "<interface type='vhostuser'><mac address='52:54:00:bb:00:03'/><source type='unix' path='/tmp/vhost0' "
        "mode='server'/><model type='virtio'/></interface>",
    )
    with namespace() as netns, short_folder() as folder, libvirtd(folder, netns) as libvirt:
        title = "Web &lt;&amp;&gt; front"
        libvirt.define(domain("web-1", "11111111-2222-3333-4444-5555555555a1", *interfaces, title=title))
        libvirt.create(domain("db-1", "11111111-2222-3333-4444-5555555555a2"))
        return msgspec.to_builtins(libvirt_adapter.read(libvirt.uri))


def record_containers() -> Any:
    with namespace() as netns, short_folder() as folder, podman(folder, netns) as engine:
        engine.run("web")
        engine.run("logger", "--network", "container:web")
        engine.run("agent", "--network", "host")
        engine.run("k8s_db", "--label", "io.kubernetes.pod.name=db-0", "--label", "io.kubernetes.pod.namespace=shop")
        engine("create", "--name", "asleep", "localhost/busybox:test")
        connection = dockerapi._Connection(engine.socket, 10)
        names = ("web", "logger", "agent", "k8s_db", "asleep")
        return [msgspec.json.decode(dockerapi._get(connection, f"/containers/{name}/json")) for name in names]


if __name__ == "__main__":
    save("ovs", record_ovs())
    save("ovn", record_ovn())
    save("libvirt", record_libvirt())
    save("containers", record_containers())
