"""The rows of `ls`."""

from support.hosts import topology
from tapwright.find.listing import everybody, natural, on_switch, rows
from tapwright.find.names import Selection, resolve_many
from tapwright.find.topology import Topology
from tapwright.model import Host, Vm


def test_a_row_says_where_a_vnic_hangs():
    found = topology("qemu")
    first, second, *_ = rows(found, everybody(found))
    assert (first.vm.name, first.vnic.name, first.device.name, first.device.kind) == ("alpha", "net0", "tap0", "tun")
    assert (first.switch.name, first.port.name, first.overlays) == ("br0", "tap0", ())
    assert (second.switch.name, second.switch.kind) == ("br-int", "ovs")


def test_a_row_names_the_overlay_and_both_sides_of_a_pair():
    found = topology("overlay")
    (row,) = rows(found, resolve_many(found, ["red-web"]))
    assert [(overlay.kind, overlay.vni) for overlay in row.overlays] == [("vxlan", 100)]
    assert (row.device.netns.name, row.inner.netns.name) == ("twlab-fndr-s1", "twlab-fndr-red-web")


def test_a_vm_without_vnics_has_a_row():
    vm = Vm("u1", "web", state="shutoff")
    (row,) = rows(Topology(Host("h"), (vm,)), [Selection(vm, ())])
    assert (row.vm, row.vnic, row.switch) == (vm, None, None)


def test_numbers_in_names_count_as_numbers():
    names = ["web-10", "web-2", "db", "web-2b", "9" * 40, "10", "\u0661"]
    assert sorted(names, key=natural)[:2] == ["10", "9" * 40]
    assert [name for name in sorted(names, key=natural) if name.startswith("web")] == ["web-2", "web-2b", "web-10"]


def test_by_switch():
    found = topology("overlay")
    listed = list(rows(found, everybody(found)))
    assert {row.vm.name for row in on_switch(listed, "br-r*")} == {"red-web", "red-db"}
    assert list(on_switch(listed, "nothing")) == []
