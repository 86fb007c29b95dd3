"""An Open vSwitch with one port of every sort that this kernel and its userspace datapath can have."""

from support.netns import ip, veth
from support.openvswitch import OpenVSwitch

VM = "11111111-2222-3333-4444-555555555555"
MAC = "52:54:00:00:00:01"


def furnish(switch: OpenVSwitch, guest_netns: str) -> None:
    netns = switch.netns
    veth(netns, "vnet1", "eth0", guest_netns)
    ip("link", "set", "eth0", "address", MAC, netns=guest_netns)
    for device in ("up0", "b0", "b1", "lone0"):
        veth(netns, device, f"{device}p")
    ip("tuntap", "add", "dev", "tap1", "mode", "tap", netns=netns)
    ip("link", "set", "tap1", "up", netns=netns)
    commands = [
        "add-br br0", "set bridge br0 datapath_type=netdev",
        "add-br br-phy", "set bridge br-phy datapath_type=netdev",
        "add-port br0 vnet1 tag=10",
        f"set interface vnet1 external_ids:iface-id=port-1 external_ids:attached-mac=\"{MAC}\" external_ids:vm-id={VM}",
        "add-port br0 tap1 trunks=20,30",
        "add-port br0 int1", "set interface int1 type=internal",
        "add-port br0 pod1", "set interface pod1 type=internal external_ids:iface-id=shop_web-0",
        "set port pod1 external_ids:container-id=c0ffee external_ids:pod-name=web-0 external_ids:pod-namespace=shop",
        "add-port br0 vx1",
        "set interface vx1 type=vxlan options:remote_ip=172.31.0.2 options:local_ip=172.31.0.1 options:key=5001",
        "add-port br0 vx2", "set interface vx2 type=vxlan options:remote_ip=172.31.0.3 options:dst_port=8472",
        "add-port br0 gn1", "set interface gn1 type=geneve options:remote_ip=flow options:key=flow",
        "add-port br0 gre1", "set interface gre1 type=gre options:remote_ip=172.31.0.4",
        "add-port br0 p1", "set interface p1 type=patch options:peer=p2",
        # Not to br-phy: the ARP requests for the tunnels' peers would be tunnelled themselves, for ever.
        "add-br br-ext", "set bridge br-ext datapath_type=netdev",
        "add-port br-ext p2", "set interface p2 type=patch options:peer=p1",
        "add-br br-lone", "set bridge br-lone datapath_type=netdev", "add-port br-lone lone0",
        "add-port br0 vhost1",
        f"set interface vhost1 type=dpdkvhostuser external_ids:vm-uuid={VM} external_ids:iface-id=port-2",
        "add-port br-phy up0", "add-bond br-phy bond0 b0 b1",
    ]  # fmt: skip
    words = [word for command in commands for word in ("--", *command.split())]
    # vhost-user needs DPDK, which ovs-vsctl reports as its own failure: the port is there all the same, in error.
    switch.vsctl(*words, check=False)
    ip("addr", "add", "172.31.0.1/24", "dev", "br-phy", netns=netns)
    ip("link", "set", "br-phy", "up", netns=netns)
    switch.wait_for("interface", "vx1", "status:tunnel_egress_iface", "br-phy")
    switch.wait_for("interface", "tap1", "status:driver_name", "tun")
