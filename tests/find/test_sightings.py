"""Which sightings are one VM."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from support.hosts import joined, pair, recorded, topology
from tapwright.model import DeviceKey, Snapshot, Vm, VmKind, Vnic

TAP = DeviceKey(1, 7)
MAC = "52:54:00:00:00:01"


def seen(provider, *vms):
    return Snapshot(provider, vms=tuple(dataclasses.replace(vm, providers=(provider,)) for vm in vms))


def vm(name, *vnics, **more):
    return Vm(more.pop("id", f"id-{name}"), name, vnics=vnics, **more)


def names(topology):
    return [vm.name for vm in topology.vms]


def test_libvirt_qemu_and_switch_speak_of_the_same_guests():
    found = topology("qemu")
    assert names(found) == ["alpha", "beta"]
    for guest in found.vms:
        assert guest.providers == ("libvirt", "linux", "ovs")
        assert [(vnic.name, found.device(vnic.device).kind) for vnic in guest.vnics] == [
            ("net0", "tun"),
            ("net1", "tun"),
        ]
    switches = [found.switch(found.port_of(vnic).switch).name for vnic in found.vms[0].vnics]
    assert switches == ["br0", "br-int"]


def test_tenants_with_equal_addresses_stay_apart():
    found = topology("overlay")
    assert names(found) == ["blue-db", "blue-web", "red-db", "red-web"]
    addresses = [vm.vnics[0].addresses[0] for vm in found.vms]
    assert addresses == ["10.0.0.12/24", "10.0.0.11/24"] * 2


def test_a_name_people_gave_wins_and_the_others_are_kept():
    found = joined(
        seen("ovs", vm("9f6e", Vnic("vnet0", MAC, device=TAP), id="9f6e")),
        seen("linux", vm("qemu-77", Vnic("net0", MAC, device=TAP), id="qemu:77", pid=77)),
        seen("libvirt", vm("web", Vnic("net0", MAC), id="9f6e", aliases=("instance-1",))),
    )
    (one,) = found.vms
    assert (one.name, one.id, one.pid) == ("web", "9f6e", 77)
    assert set(one.aliases) == {"qemu-77", "qemu:77", "instance-1"}
    assert one.vnics == (Vnic("net0", MAC, device=TAP),)


def test_a_mac_joins_where_nobody_saw_it_twice():
    host, guests = (
        seen("linux", vm("qemu-1", Vnic("net0", MAC, device=TAP))),
        seen("libvirt", vm("web", Vnic("net0", MAC))),
    )
    assert names(joined(host, guests)) == ["web"]


def test_a_mac_that_two_tenants_use_joins_nobody():
    other = DeviceKey(1, 8)
    host = seen("linux", vm("a", Vnic("net0", MAC, device=TAP)), vm("b", Vnic("net0", MAC, device=other)))
    assert names(joined(host, seen("libvirt", vm("web", Vnic("net0", MAC))))) == ["a", "b", "web"]


def test_a_mac_on_another_device_is_another_vm():
    host = seen("linux", vm("a", Vnic("net0", MAC, device=TAP)))
    switch = seen("ovs", vm("b", Vnic("vnet9", MAC, device=DeviceKey(2, 9))))
    assert names(joined(host, switch)) == ["a", "b"]


def test_a_mac_of_zeros_is_none():
    zeros = Vnic("net0", "00:00:00:00:00:00")
    assert len(joined(seen("linux", vm("a", zeros)), seen("libvirt", vm("b", zeros))).vms) == 2


def test_two_ports_without_an_owner_are_the_vnics_of_one_vm():
    first, second = Vnic("vnet0", MAC, iface_id="p1"), Vnic("vnet1", "52:54:00:00:00:02", iface_id="p2")
    ports = seen("ovs", vm("p1", first, id="p1"), vm("p2", second, id="p2"))
    domain = seen("libvirt", vm("web", Vnic("net0", MAC, iface_id="p1"), Vnic("net1", second.mac, iface_id="p2")))
    (one,) = joined(ports, domain).vms
    assert (one.name, [vnic.name for vnic in one.vnics]) == ("web", ["net0", "net1"])


def test_containers_of_a_pod_share_a_vnic_and_stay_two():
    outer, inner = pair(1, 7, guest=2)
    shared = Vnic("eth0", inner=inner.key)
    engine = seen("containers", *(vm(name, shared, kind=VmKind.CONTAINER) for name in ("app", "proxy")))
    kernel = Snapshot("linux", devices=(outer, inner), vms=(vm("cni-1", shared, kind=VmKind.NAMESPACE),))
    found = joined(engine, kernel)
    assert names(found) == ["app", "proxy"]
    for container in found.vms:
        assert container.vnics[0].device == outer.key
        assert "cni-1" in container.aliases


def test_a_container_is_no_mere_namespace():
    outer, inner = pair(1, 7, guest=2, addresses=("10.0.0.2/24",))
    engine = seen("containers", vm("app", Vnic("eth0", inner=inner.key), kind=VmKind.CONTAINER))
    kernel = Snapshot(
        "linux", devices=(outer, inner), vms=(vm("x", Vnic("eth0", inner=inner.key), kind=VmKind.NAMESPACE),)
    )
    (one,) = joined(engine, kernel).vms
    assert (one.name, one.kind) == ("app", VmKind.CONTAINER)
    assert one.vnics == (Vnic("eth0", inner.mac, ("10.0.0.2/24",), 1400, outer.key, inner.key),)


def test_a_port_alone_does_not_make_a_namespace_a_virtual_machine():
    outer, inner = pair(1, 7, guest=2)
    kernel = Snapshot(
        "linux", devices=(outer, inner), vms=(vm("web", Vnic("eth0", inner=inner.key), kind=VmKind.NAMESPACE),)
    )
    (one,) = joined(kernel, seen("ovs", vm("p1", Vnic("vnet7", device=outer.key, iface_id="p1"), id="p1"))).vms
    assert (one.name, one.kind) == ("web", VmKind.NAMESPACE)


def test_one_mark_that_would_join_two_of_one_provider_joins_nobody():
    # A confused switch says that one VM owns the taps of two.
    a, b = DeviceKey(1, 1), DeviceKey(1, 2)
    domains = seen("linux", vm("a", Vnic("net0", device=a)), vm("b", Vnic("net0", device=b)))
    switch = seen("ovs", vm("c", Vnic("v1", device=a), Vnic("v2", device=b)))
    assert names(joined(domains, switch)) == ["a", "b", "c"]


def test_vnics_of_one_vm_have_names_of_their_own():
    twice = vm("web", Vnic("net0", MAC), Vnic("net0", "52:54:00:00:00:02"))
    (one,) = joined(seen("libvirt", twice)).vms
    assert [vnic.name for vnic in one.vnics] == ["net0", "net0-2"]


_keys = st.builds(DeviceKey, st.integers(1, 2), st.integers(1, 4))
_macs = st.sampled_from(("", MAC, "52:54:00:00:00:02", "52:54:00:00:00:03"))
_vnics = st.builds(
    Vnic,
    name=st.sampled_from(("net0", "eth0")),
    mac=_macs,
    addresses=st.sampled_from(((), ("10.0.0.1",), ("10.0.0.1/24", "fd00::1/64"))),
    device=st.none() | _keys,
    inner=st.none() | st.builds(DeviceKey, st.just(9), st.integers(1, 3)),
    iface_id=st.sampled_from(("", "", "p1", "p2")),
)
_ids = st.sampled_from(("p1", "p2", "u1", "u2", "u3"))
_vms = st.lists(
    st.builds(
        Vm,
        id=_ids,
        name=st.sampled_from(("web", "db", "x")),
        kind=st.sampled_from(VmKind),
        vnics=st.lists(_vnics, max_size=2).map(tuple),
    ),
    max_size=4,
    unique_by=lambda vm: vm.id,
).map(tuple)
_snapshots = st.tuples(
    *(
        st.builds(lambda vms, provider=provider: seen(provider, *vms), _vms)
        for provider in ("libvirt", "containers", "linux", "ovs", "elsewhere")
    )
)


@given(_snapshots, st.randoms(use_true_random=False))
def test_the_order_of_providers_does_not_matter(snapshots, random):
    shuffled = list(snapshots)
    random.shuffle(shuffled)
    assert joined(*snapshots) == joined(*shuffled)


@given(_snapshots)
def test_nothing_is_lost(snapshots):
    found = joined(*snapshots)
    for vm in (vm for snapshot in snapshots for vm in snapshot.vms):
        assert any(vm.id in (v.id, *v.aliases) and vm.name in (v.name, *v.aliases) for v in found.vms)
    devices = {vnic.device for s in snapshots for vm in s.vms for vnic in vm.vnics}
    assert devices - {None} == {vnic.device for vm in found.vms for vnic in vm.vnics} - {None}


@given(_snapshots)
def test_providers_tell_their_own_apart(snapshots):
    for vm in joined(*snapshots).vms:
        assert len(vm.providers) == len(set(vm.providers))
        called = {vm.id, *vm.aliases}
        ids = [v.id for s in snapshots if s.provider == "libvirt" for v in s.vms if v.id in called]
        mere = {v.id for s in snapshots for v in s.vms if any(v.id == n.iface_id for n in v.vnics)}
        assert len(set(ids) - mere) <= 1


def test_recordings_join_the_same_in_any_order():
    for name in ("qemu", "ovs", "overlay"):
        snapshots = recorded(name)
        assert joined(*snapshots) == joined(*reversed(snapshots))
