"""What tc and ip do in the real kernel when they are asked by us, and what is never put on their command lines."""

import json
import struct
from collections.abc import Iterator

import pytest

from support.netns import inode, ip, veth
from support.packets import send
from support.tapes import Speaker, recorded, tapes
from support.traces import tc as as_typed
from support.traces import traces
from support.vnics import allow_ip6, quiet_namespace
from tapwright.adapters import tc
from tapwright.adapters.tc_filters import NewFilter
from tapwright.errors import ProviderError
from tapwright.model import Netns

pytestmark = pytest.mark.root


@pytest.fixture
def here() -> Iterator[Netns]:
    """A namespace with the veth pairs near-far and in-out, hooks on far."""
    with quiet_namespace() as name:
        for one, other in (("near", "far"), ("in", "out")):
            veth(name, one, other)
        netns = Netns(inode(name), f"/run/netns/{name}", name)
        tc.add_hooks(netns, tc.link(netns, "far"))
        yield netns


def link(here: Netns, name: str) -> tc.Link:
    return next(link for link in tc.links(here) if link.ifname == name)


def program(length: int) -> bytes:
    """Everything is copied, after so many instructions."""
    return struct.pack("=HBBI", 0, 0, 0, 7) * (length - 1) + struct.pack("=HBBI", 6, 0, 0, 0xFFFFFFFF)


def wanted(length: int, hook: str = "ingress", pref: int = 47, handle: int = 6) -> NewFilter:
    return NewFilter(hook, pref, handle, program(length), "1a2b3c4d")


@pytest.mark.parametrize("hook", tc.HOOKS)
@pytest.mark.parametrize("length", [1, 1500, 1501, tc.MAX_INSTRUCTIONS])
def test_filters_of_any_length_work_and_look_alike(here: Netns, length: int, hook: str) -> None:
    """Those that tc can send, and those that it cannot."""
    tc.add_filter(here, link(here, "far"), link(here, "in"), wanted(length, hook))
    (found,) = [each for each in tc.filters(here, link(here, "far"), hook) if each.whole]
    assert (found.kind, found.protocol, found.pref, found.handle, found.chain) == ("bpf", "all", 47, 6, 0)
    (action,) = found.actions
    assert (action.kind, action.mirred_action, action.direction, action.to_dev) == ("mirred", "mirror", "egress", "in")
    assert (action.control, action.cookie) == ("continue", "1a2b3c4d")
    assert found.program == program(length)
    speaker = Speaker(here.name, [bytes(60) for _ in range(20)], "near" if hook == "ingress" else "far")
    with tapes((here.name, "out", "", bytes)) as running:
        assert recorded(running, [speaker])[0].total() == 20
    (found,) = [each for each in tc.filters(here, link(here, "far"), hook) if each.whole]
    assert found.actions[0].stats.packets >= 20
    tc.delete_filter(here, link(here, "far"), hook, found)
    assert not tc.filters(here, link(here, "far"), hook)


def test_a_longer_one_is_refused_since_nobody_could_list_it(here: Netns) -> None:
    with pytest.raises(ProviderError, match="4,001 instructions, and 4,000") as refused:
        tc.add_filter(here, link(here, "far"), link(here, "in"), wanted(4001))
    assert "portrange" in refused.value.hint
    assert not tc.filters(here, link(here, "far"), "ingress")


def test_a_listing_that_the_kernel_breaks_off_is_none(here: Netns, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what stands behind a stranger's longest filter, ours too, would be taken for gone."""
    monkeypatch.setattr(tc, "MAX_INSTRUCTIONS", 4096)
    tc.add_filter(here, link(here, "far"), link(here, "in"), wanted(1))
    tc.add_filter(here, link(here, "far"), link(here, "in"), wanted(4096, pref=5))
    with pytest.raises(ProviderError, match="listing filters of far, ingress: "):
        tc.filters(here, link(here, "far"), "ingress")


@pytest.mark.parametrize("length", [2, 2000])
def test_a_program_that_the_kernel_refuses_is_said(here: Netns, length: int) -> None:
    """It has no return."""
    bad = NewFilter("ingress", 47, 6, struct.pack("=HBBI", 0, 0, 0, 7) * length, "1a2b3c4d")
    with pytest.raises(ProviderError, match="nvalid"):
        tc.add_filter(here, link(here, "far"), link(here, "in"), bad)


@pytest.mark.parametrize("length", [1, 2000])
def test_one_that_is_there_is_not_replaced(here: Netns, length: int) -> None:
    tc.add_filter(here, link(here, "far"), link(here, "in"), wanted(length))
    with pytest.raises(ProviderError, match="exist"):
        tc.add_filter(here, link(here, "far"), link(here, "out"), wanted(length))
    (found,) = [each for each in tc.filters(here, link(here, "far"), "ingress") if each.whole]
    assert found.actions[0].to_dev == "in"


def test_one_filter_is_removed_and_no_other(here: Netns) -> None:
    for pref, handle in ((46, 6), (47, 6), (47, 8)):
        tc.add_filter(here, link(here, "far"), link(here, "in"), wanted(3, pref=pref, handle=handle))
    there = [each for each in tc.filters(here, link(here, "far"), "ingress") if each.whole]
    tc.delete_filter(
        here, link(here, "far"), "ingress", next(each for each in there if (each.pref, each.handle) == (47, 6))
    )
    left = [(each.pref, each.handle) for each in tc.filters(here, link(here, "far"), "ingress") if each.whole]
    assert left == [(46, 6), (47, 8)]


def test_filters_of_every_kind_are_read(here: Netns) -> None:
    what = ["u32", "match", "u32", "0", "0", "action", "mirred", "egress", "redirect", "dev", "in"]
    as_typed("filter", "add", "dev", "far", "ingress", "protocol", "ip", "pref", "9", *what, netns=here.name)
    found = [each for each in tc.filters(here, link(here, "far"), "ingress") if each.actions]
    assert [(each.kind, each.protocol, each.handle, each.program) for each in found] == [("u32", "ip", 0, b"")]
    assert [action.to_dev for each in found for action in each.actions] == ["in"]
    ip("link", "del", "in", netns=here.name)
    found = [each for each in tc.filters(here, link(here, "far"), "ingress") if each.actions]
    assert [action.to_dev for each in found for action in each.actions] == ["*"]


def test_a_device_is_asked_for_once_however_many_copies_go_there(here: Netns, monkeypatch: pytest.MonkeyPatch) -> None:
    for pref in (7, 8, 9):
        tc.add_filter(here, link(here, "far"), link(here, "in"), wanted(1, pref=pref))
    asked, link_of = [], tc.link
    monkeypatch.setattr(tc, "link", lambda netns, which: asked.append(which) or link_of(netns, which))
    found = [action.to_dev for each in tc.filters(here, link(here, "far"), "ingress") for action in each.actions]
    assert (found, asked) == (["in"] * 3, [link(here, "in").ifindex])


def test_copies_to_a_device_that_is_down_are_counted_apart(here: Netns) -> None:
    tc.add_filter(here, link(here, "far"), link(here, "in"), wanted(1))
    ip("link", "set", "in", "down", netns=here.name)
    send(here.name, "near", [bytes(60)] * 5)
    (found,) = [each for each in tc.filters(here, link(here, "far"), "ingress") if each.whole]
    assert found.actions[0].stats.packets == found.actions[0].stats.overlimits == 5


def test_what_is_gone_is_told_from_what_fails(here: Netns) -> None:
    gone = link(here, "in")
    ip("link", "del", "in", netns=here.name)
    assert not tc.filters(here, gone, "ingress")
    with pytest.raises(tc.Gone):
        tc.delete_hooks(here, gone)
    with pytest.raises(tc.Gone):
        tc.links(Netns(1, "/run/netns/never-was"))
    with pytest.raises(tc.Unsupported):
        tc.add_link(here, "twm00000000", 1500, ["geneve", "id", "1", "remote", "192.0.2.9"])
    with pytest.raises(ProviderError, match="Exclusivity"):
        tc.add_hooks(here, link(here, "far"))


def test_whether_a_kernel_has_a_device_is_asked_without_making_one(here: Netns) -> None:
    before = traces(here.name)
    assert tc.makes(here, "twm00000000", ["vxlan", "id", "1", "remote", "192.0.2.9", "dstport", "4789"])
    assert not tc.makes(here, "twm00000000", ["geneve", "id", "1", "remote", "192.0.2.9"])
    assert not tc.makes(here, "twm00000000", ["gretap", "remote", "192.0.2.9"])
    assert traces(here.name) == before


def test_devices_are_what_ip_says_they_are(here: Netns) -> None:
    """All of them, the loopback too, which may have hooks like any other."""
    ip("link", "set", "near", "alias", "a b\u00e9c", "down", netns=here.name)
    ip("link", "set", "in", "mtu", "9000", netns=here.name)
    shown = json.loads(ip("-j", "link", "show", netns=here.name))
    there = {(d["ifindex"], d["ifname"], d.get("ifalias", ""), "UP" in d["flags"], d["mtu"]) for d in shown}
    assert {(d.ifindex, d.ifname, d.ifalias, d.up, d.mtu) for d in tc.links(here)} == there
    assert {d.ifname: d.linkinfo.info_kind for d in tc.links(here)}.items() >= {"lo": "", "near": "veth"}.items()
    assert len(there) == 5


def test_how_a_device_was_made_is_told_of_the_one_of_that_name(here: Netns) -> None:
    details = ["vxlan", "id", "7", "remote", "192.0.2.9", "dstport", "4789"]
    tc.add_link(here, "twm00000000", 1500, details)
    ip("link", "property", "add", "dev", "twm00000000", "altname", "another", netns=here.name)
    made = tc.described(here, "twm00000000").linkinfo
    assert (made.info_kind, made.info_data["id"], made.info_data["remote"]) == ("vxlan", 7, "192.0.2.9")
    for name in ("another", "nowhere"):
        with pytest.raises(tc.Gone):
            tc.described(here, name)
        with pytest.raises(tc.Gone):
            tc.link(here, name)


def hooked(here: Netns) -> dict[str, str]:
    return {tc.link(here, index).ifname: kind for index, kind in tc.hooked(here).items()}


def test_hooks_are_told_apart(here: Netns) -> None:
    as_typed("qdisc", "add", "dev", "in", "ingress", netns=here.name)
    assert hooked(here) == {"far": "clsact", "in": "ingress"}
    tc.delete_hooks(here, link(here, "far"))
    assert hooked(here) == {"in": "ingress"}


def test_routes(here: Netns) -> None:
    assert tc.way(here, "192.0.2.9") == tc.Route()
    ip("addr", "add", "192.0.2.1/24", "dev", "in", netns=here.name)
    way = tc.way(here, "192.0.2.9")
    assert (way.dev, way.prefsrc) == ("in", "192.0.2.1")
    allow_ip6(here.name, "in")
    ip("addr", "add", "fd00::1/64", "dev", "in", "nodad", netns=here.name)
    way = tc.way(here, "fd00::9")
    assert (way.dev, way.prefsrc) == ("in", "fd00::1")


@pytest.mark.parametrize("name", ["", "-force", "a b", "eth0;reboot", "ä", "x" * 16, "a/b", "$(id)", "eth0\n"])
def test_a_name_that_should_not_stand_on_a_command_line_does_not(here: Netns, name: str) -> None:
    for work in (tc.described, tc.delete_link, tc.start_link):
        with pytest.raises(ProviderError, match="cannot be trusted"):
            work(here, name)


@pytest.mark.parametrize("name", ["eth0", "br-int.100", "tap_1", "veth+x~1", "@tun"[1:]])
def test_usual_names_do(name: str) -> None:
    assert tc.safe(name) == name
