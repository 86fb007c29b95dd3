"""Mirrors by tc beside what others have on the same device, and when the world changes under them."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from support.copied import World, opened, world
from support.mirrored import COLLECTOR, DB, MARK, WEB, seen, speakers, talk
from support.netns import ip, veth
from support.packets import send
from support.tapes import Speaker, behind, recorded, tapes
from support.traces import tc
from tapwright.errors import ProviderError, UsageError
from tapwright.filter.program import Instruction, pack
from tapwright.plan.mirrors import Direction, Place
from tapwright.plan.points import PointKind
from tapwright.plan.steps import Found, Leftover, Mark, Step
from tapwright.providers.base import Tapper
from tapwright.providers.linux import Linux

pytestmark = pytest.mark.root

ANOTHER = Mark("9f8e7d6c", "4712.98.b00t", 1_800_000_000)


@pytest.fixture
def quiet() -> Iterator[World]:
    with world() as quiet:
        yield quiet


@pytest.fixture
def lively(quiet: World) -> Iterator[World]:
    with talk(quiet.web, quiet.db):
        yield quiet


def do(provider: Linux, steps: Sequence[Step]) -> None:
    for step in steps:
        provider.perform(step.do)


def undo(provider: Linux, steps: Sequence[Step]) -> None:
    for step in reversed(steps):
        provider.perform(step.undo)


def findings(provider: Linux, steps: Sequence[Step]) -> list[Found]:
    return [provider.found(step).found for step in steps]


def test_it_keeps_the_contract_of_those_that_change_the_world() -> None:
    assert isinstance(Linux(), Tapper)


# Others


def their_filter(world: World, hook: str = "ingress", pref: str = "1", device: str = "vnet1") -> None:
    """All of web's frames to vnet3, by somebody else."""
    what = ["u32", "match", "u32", "0", "0", "action", "mirred", "egress", "mirror", "dev", "vnet3"]
    tc("filter", "add", "dev", device, hook, "protocol", "all", "pref", pref, *what, netns=world.host)


@pytest.mark.parametrize("pref", ["2", "49152"])
@pytest.mark.parametrize("direction", [Direction.BOTH, Direction.OUT])
def test_the_filters_of_others_stay_and_go_on(lively: World, pref: str, direction: Direction) -> None:
    """Ours are in front of them and end nothing."""
    tc("qdisc", "add", "dev", "vnet1", "clsact", netns=lively.host)
    their_filter(lively, pref=pref)
    with opened(lively, "nic:snf0", lively.place("snf0"), direction=direction) as steps:
        assert {step.do.verb for step in steps} == {"copy"}
        assert WEB in speakers(seen(lively.sniffer, "eth0"))
        assert speakers(seen(lively.vm, "eth0")) == {WEB}
    assert speakers(seen(lively.vm, "eth0")) == {WEB}


def test_a_filter_of_others_in_first_place_is_told(quiet: World) -> None:
    """It may end a frame's way, and no filter can be in front of it."""
    tc("qdisc", "add", "dev", "vnet1", "clsact", netns=quiet.host)
    their_filter(quiet, pref="1")
    before = quiet.look()
    provider, steps = quiet.steps("nic:snf0", quiet.place("snf0"))
    with pytest.raises(ProviderError, match="first places of its ingress hook") as refused:
        do(provider, steps)
    assert "higher pref" in refused.value.hint
    assert quiet.look() == before


def test_an_action_of_others_that_ends_a_frames_way_is_behind_ours(lively: World) -> None:
    """What their filter drops at the very end the VM did send, and so it is copied."""
    tc("qdisc", "add", "dev", "vnet1", "clsact", netns=lively.host)
    drop = ["u32", "match", "u32", "0", "0", "action", "mirred", "egress", "redirect", "dev", "vnet3"]
    tc("filter", "add", "dev", "vnet1", "ingress", "protocol", "all", "pref", "7", *drop, netns=lively.host)
    with opened(lively, "nic:snf0", lively.place("snf0")):
        assert speakers(seen(lively.sniffer, "eth0")) == {WEB, DB}


def test_hooks_that_were_there_stay(lively: World) -> None:
    tc("qdisc", "add", "dev", "vnet1", "clsact", netns=lively.host)
    with opened(lively, "nic:snf0", lively.place("snf0")) as steps:
        assert len(steps) == 2
    assert "clsact" in tc("qdisc", "show", "dev", "vnet1", netns=lively.host)


def test_hooks_that_somebody_uses_by_now_stay(lively: World) -> None:
    provider, steps = lively.steps("nic:snf0", lively.place("snf0"))
    do(provider, steps)
    their_filter(lively)
    undo(provider, steps)
    assert findings(provider, steps) == [Found.ABSENT] * 2
    assert speakers(seen(lively.vm, "eth0")) == {WEB}
    shown = tc("filter", "show", "dev", "vnet1", "ingress", netns=lively.host)
    assert "u32" in shown
    assert "bpf" not in shown


def test_an_ingress_qdisc_of_others_takes_what_the_vm_sends(lively: World) -> None:
    """Libvirt's rate limits are one; it has no hook for what the VM gets."""
    tc("qdisc", "add", "dev", "vnet1", "ingress", netns=lively.host)
    what = ["u32", "match", "u32", "0", "0", "action", "mirred", "egress", "mirror", "dev", "vnet3"]
    tc("filter", "add", "dev", "vnet1", "parent", "ffff:", "protocol", "all", *what, netns=lively.host)
    for direction in (Direction.BOTH, Direction.IN):
        with pytest.raises(ProviderError, match="`ingress` qdisc") as refused:
            lively.steps("nic:snf0", lively.place("snf0"), direction=direction)
        assert "--direction out" in refused.value.hint
    with opened(lively, "nic:snf0", lively.place("snf0"), direction=Direction.OUT):
        assert speakers(seen(lively.sniffer, "eth0")) == {WEB}
        assert speakers(seen(lively.vm, "eth0")) == {WEB}
    assert speakers(seen(lively.vm, "eth0")) == {WEB}


def test_a_queueing_discipline_of_others_stays(lively: World) -> None:
    tc("qdisc", "add", "dev", "vnet1", "root", "tbf", "rate", "1gbit", "burst", "1mb", "latency", "9ms",
       netns=lively.host)  # fmt: skip
    with opened(lively, "nic:snf0", lively.place("snf0")):
        assert speakers(seen(lively.sniffer, "eth0")) == {WEB, DB}


# Several mirrors


def test_two_mirrors_of_one_device_in_any_order(lively: World) -> None:
    before = lively.look()
    provider, first = lively.steps("nic:snf0", lively.place("snf0"))
    do(provider, first)
    alone = lively.look()
    _, second = lively.steps("vm:vm/eth0", lively.place("vnet3"), mark=ANOTHER)
    do(provider, second)
    assert [step.do.verb for step in (*first, *second)] == ["copy"] * 4
    for netns in (lively.sniffer, lively.vm):
        assert speakers(seen(netns, "eth0")) == {WEB, DB}
    undo(provider, first)
    assert findings(provider, first) == [Found.ABSENT] * 2
    assert findings(provider, second) == [Found.THERE] * 2
    assert speakers(seen(lively.vm, "eth0")) == {WEB, DB}
    undo(provider, second)
    assert lively.look() == before != alone


def test_the_last_mirror_takes_the_hooks_away_and_no_other(lively: World) -> None:
    before = lively.look()
    provider, first = lively.steps("nic:snf0", lively.place("snf0"))
    do(provider, first)
    _, second = lively.steps("nic:snf0", lively.place("snf0"), mark=ANOTHER)
    do(provider, second)
    undo(provider, second)
    assert findings(provider, first) == [Found.THERE] * 2
    assert speakers(seen(lively.sniffer, "eth0")) == {WEB, DB}
    undo(provider, first)
    assert lively.look() == before


def test_two_vnics_of_one_session_share_a_tunnel(lively: World) -> None:
    before = lively.look()
    target = f"vxlan://{COLLECTOR}?vni=5"
    provider, first = lively.steps(target)
    _, second = lively.steps(target, device="vnet2")
    assert first[0] == second[0]
    do(provider, [*first, *second])
    assert speakers(seen(lively.collector, "eth0", only="udp port 4789")) == {WEB, DB}
    undo(provider, [*first, *second])
    assert lively.look() == before


def test_a_tunnel_of_somebody_else_s_to_the_same_place(quiet: World) -> None:
    ip("link", "add", "theirs", "type", "vxlan", "id", "5", "remote", COLLECTOR, "dstport", "4789", netns=quiet.host)
    before = quiet.look()
    provider, steps = quiet.steps(f"vxlan://{COLLECTOR}?vni=5")
    with pytest.raises(ProviderError, match="that tunnel already") as refused:
        provider.perform(steps[0].do)
    assert "another vni=" in refused.value.hint
    assert quiet.look() == before


# Refused


def test_loops_are_refused(quiet: World) -> None:
    with pytest.raises(UsageError, match="target of its own mirror"):
        quiet.steps("nic:vnet1", quiet.place("vnet1"))
    with pytest.raises(UsageError, match="would come back"):
        quiet.steps("nic:br0", quiet.place("br0"))
    with pytest.raises(UsageError, match="the VM's own bridge"):
        quiet.steps("nic:vnet2", quiet.place("vnet2"))
    ip("addr", "add", "10.9.9.9/32", "dev", "eth0", netns=quiet.web)
    for address, device in (("10.9.9.9", "up0"), ("10.9.9.8", "vnet1")):
        ip("route", "add", f"{address}/32", "dev", device, netns=quiet.host)
    with pytest.raises(UsageError, match="is the mirrored VM itself"):
        quiet.steps("vxlan://10.9.9.9?vni=1")
    with pytest.raises(UsageError, match="leave by vnet1 itself"):
        quiet.steps("vxlan://10.9.9.8?vni=1")


def test_a_loop_over_a_second_bridge_is_refused(quiet: World) -> None:
    """A veth pair leads from the second one back to the VM's."""
    ip("link", "add", "br1", "type", "bridge", netns=quiet.host)
    veth(quiet.host, "leg0", "leg1")
    veth(quiet.host, "way0", "way1")
    for port, bridge in (("leg0", "br1"), ("leg1", "br0"), ("way1", "br1")):
        ip("link", "set", port, "master", bridge, netns=quiet.host)
    with pytest.raises(UsageError, match="would come back"):
        quiet.steps("nic:way0", quiet.place("way0"))


def test_what_tc_cannot_do_is_refused_at_once(quiet: World) -> None:
    with pytest.raises(ProviderError, match="no such device in"):
        quiet.steps("nic:nowhere")
    with pytest.raises(ProviderError, match="another network namespace"):
        quiet.steps("nic:eth0", quiet.place("eth0", quiet.sniffer))
    with pytest.raises(ProviderError, match="no RSPAN VLAN"):
        quiet.steps("rspan:9")
    with pytest.raises(UsageError, match="whole frames"):
        quiet.steps("nic:snf0", quiet.place("snf0"), snaplen=64)
    with pytest.raises(UsageError, match="by its tag alone"):
        quiet.steps("nic:snf0", quiet.place("snf0"), vlans=(10,))
    with pytest.raises(ProviderError, match="no route to the collector"):
        quiet.steps("vxlan://203.0.113.1?vni=1")
    guest = next(point for point in quiet.points(PointKind.GUEST) if point.netns.name == quiet.web)
    with pytest.raises(UsageError, match="device on the host"):
        quiet.provider.steps(replace(quiet.mirror("nic:snf0", quiet.place("snf0")), point=guest))
    ip("link", "set", "snf0", "down", netns=quiet.host)
    with pytest.raises(ProviderError, match="snf0 is down") as refused:
        quiet.steps("nic:snf0", quiet.place("snf0"))
    assert refused.value.hint == "ip link set snf0 up"


@pytest.mark.parametrize("target", ["gre", "erspan2", "erspan3", "geneve"])
@pytest.mark.parametrize("remote", [COLLECTOR, "[fd00::9]"])
def test_tunnels_that_this_kernel_does_not_have_are_refused(quiet: World, target: str, remote: str) -> None:
    """At once and with the way out, so that the switch is asked next where there is one."""
    before = quiet.look()
    with pytest.raises(ProviderError, match="this kernel makes no") as refused:
        quiet.steps(f"{target}://{remote}")
    assert refused.value.hint.startswith("modprobe ")
    assert "vxlan://" in refused.value.hint
    assert quiet.look() == before


# Own traffic


def outer(inner: bytes, fragment: int = 0, protocol: int = 17, port: int = 4789) -> bytes:
    """A packet to the collector as a tunnel would send it."""
    datagram = b"\x12\x34" + port.to_bytes(2, "big") + (8 + len(inner)).to_bytes(2, "big") + bytes(2) + inner
    head = bytes.fromhex("4500") + (20 + len(datagram)).to_bytes(2, "big") + bytes(2) + fragment.to_bytes(2, "big")
    head += bytes((64, protocol)) + bytes(2) + bytes((172, 31, 0, 1, 172, 31, 0, 9))
    return bytes.fromhex("ffffffffffff02000000000a0800") + head + datagram


def test_what_the_tunnel_itself_sends_is_never_copied(quiet: World) -> None:
    """A VM that routes, or is an overlay's gateway, has copies pass by on their way to the collector."""
    own = [outer(bytes(60)), outer(bytes(60), fragment=185), outer(bytes(60), fragment=0x2000)]
    others = [outer(bytes(60), port=4790), outer(bytes(60), protocol=6), outer(bytes(64))[:26] + bytes(60)]
    with (
        opened(quiet, f"vxlan://{COLLECTOR}?vni=5"),
        tapes((quiet.host, "vnet1", "", bytes), (quiet.collector, "eth0", "udp port 4789", behind(50))) as running,
    ):
        at_port, copied = recorded(running, [Speaker(quiet.web, [*own, *others])])
    assert sorted(at_port.elements()) == sorted(own + others)
    assert sorted(copied.elements()) == sorted(others)


def test_the_tunnel_says_nothing_of_its_own_accord(quiet: World) -> None:
    with opened(quiet, f"vxlan://{COLLECTOR}?vni=5") as steps:
        device = steps[0].do.text("device")
        shown = ip("-d", "link", "show", "dev", device, netns=quiet.host)
        assert {"NOARP", "UP"} <= set(shown.split("<")[1].split(">")[0].split(","))
        assert "MULTICAST" not in shown
        assert "nolearning" in shown
        assert ip("-s", "-j", "link", "show", "dev", device, netns=quiet.host).count('"packets":0') == 2


# What changes under them


def test_undone_after_the_device_vanished(quiet: World) -> None:
    provider, steps = quiet.steps(f"vxlan://{COLLECTOR}?vni=5")
    do(provider, steps)
    ip("link", "del", "vnet1", netns=quiet.host)
    gone = quiet.look()
    assert findings(provider, steps) == [Found.THERE, *[Found.ABSENT] * 2]
    undo(provider, steps)
    assert set(findings(provider, steps)) == {Found.ABSENT}
    assert "twm" in gone
    assert "twm" not in quiet.look()
    with pytest.raises(ProviderError, match="does not exist any more"):
        provider.perform(steps[1].do)


def test_undone_after_another_device_took_its_name(quiet: World) -> None:
    """It is known by its number: the other one and its hooks are left alone."""
    provider, steps = quiet.steps("nic:snf0", quiet.place("snf0"))
    do(provider, steps)
    ip("link", "del", "vnet1", netns=quiet.host)
    veth(quiet.host, "vnet1", "vnet1p")
    tc("qdisc", "add", "dev", "vnet1", "clsact", netns=quiet.host)
    before = quiet.look()
    undo(provider, steps)
    assert quiet.look() == before


def test_undone_by_number_when_the_device_is_called_otherwise(quiet: World) -> None:
    provider, steps = quiet.steps("nic:snf0", quiet.place("snf0"))
    do(provider, steps)
    ip("link", "set", "vnet1", "down", netns=quiet.host)
    ip("link", "set", "vnet1", "name", "tap7", netns=quiet.host)
    undo(provider, steps)
    assert "clsact" not in tc("qdisc", "show", netns=quiet.host)


def test_undone_after_the_namespace_is_gone() -> None:
    with world() as short_lived:
        provider, steps = short_lived.steps("nic:snf0", short_lived.place("snf0"))
        do(provider, steps)
    assert set(findings(provider, steps)) == {Found.ABSENT}
    undo(provider, steps)
    with pytest.raises(ProviderError, match="namespace of vnet1 is gone"):
        do(provider, steps)


def test_a_target_that_is_gone_is_told_and_undone(quiet: World) -> None:
    provider, steps = quiet.steps("nic:snf0", quiet.place("snf0"))
    do(provider, steps)
    ip("link", "del", "snf0", netns=quiet.host)
    finding = provider.found(steps[0])
    assert (finding.found, finding.detail) == (Found.THERE, "snf0, its target, is gone")
    undo(provider, steps)
    assert set(findings(provider, steps)) == {Found.ABSENT}


@contextmanager
def replaced(
    world: World, step: Step, program: bytes, *, to: str = "snf0", end: str = "continue", cookie: str = ""
) -> Iterator[None]:
    """Our filter made anew by somebody who knows its number."""
    shown = tc("-j", "filter", "show", "dev", "vnet1", "ingress", netns=world.host)
    pref = shown.split('"pref":')[1].split(",")[0]
    handle = hex(step.do.number("handle"))
    tc("filter", "del", "dev", "vnet1", "ingress", "protocol", "all", "pref", pref, "handle", handle, "bpf",
       netns=world.host)  # fmt: skip
    fields = [program[at : at + 8] for at in range(0, len(program), 8)]
    lines = [f"{int.from_bytes(f[:2], 'little')} {f[2]} {f[3]} {int.from_bytes(f[4:], 'little')}" for f in fields]
    tc("filter", "add", "dev", "vnet1", "ingress", "protocol", "all", "pref", pref, "handle", handle, "bpf",
       "bytecode", ",".join([str(len(lines)), *lines]), "action", "mirred", "egress", "mirror", "dev", to, end,
       *(["cookie", cookie] if cookie else []), netns=world.host)  # fmt: skip
    yield


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"to": "vnet3", "cookie": MARK.session}, "copies go to vnet3, not snf0"),
        ({"end": "pass", "cookie": MARK.session}, "it ends with 'pass'"),
        ({"program": pack([Instruction(6, 0, 0, 9)]), "cookie": MARK.session}, "its program is another one"),
        ({}, "its cookie is gone"),
    ],
)
def test_a_filter_that_somebody_changed_is_told_and_not_made_again(
    quiet: World, more: dict[str, object], told: str
) -> None:
    provider, steps = quiet.steps("nic:snf0", quiet.place("snf0"), direction=Direction.OUT)
    do(provider, steps)
    with replaced(quiet, steps[0], **{"program": bytes.fromhex(steps[0].do.text("program")), **more}):
        finding = provider.found(steps[0])
        assert finding.found is Found.CHANGED
        assert told in finding.detail
        with pytest.raises(ProviderError):
            provider.perform(steps[0].do)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["alias", "mine now"], "its alias is another one"),
        (["alias", ""], "its alias is gone"),
        (["down"], "it is down"),
    ],
)
def test_a_tunnel_that_somebody_changed_is_told(quiet: World, change: list[str], told: str) -> None:
    provider, steps = quiet.steps(f"vxlan://{COLLECTOR}?vni=5")
    provider.perform(steps[0].do)
    device = steps[0].do.text("device")
    ip("link", "set", "dev", device, *change, netns=quiet.host)
    finding = provider.found(steps[0])
    assert (finding.found, finding.detail) == (Found.CHANGED, told)
    if change[0] == "alias" and change[1]:
        provider.perform(steps[0].undo)
        assert device in ip("link", "show", netns=quiet.host), "what is not ours any more is not removed"


def test_a_tunnel_that_leads_elsewhere_is_told(quiet: World) -> None:
    provider, steps = quiet.steps(f"vxlan://{COLLECTOR}?vni=5")
    provider.perform(steps[0].do)
    device = steps[0].do.text("device")
    ip("link", "del", device, netns=quiet.host)
    ip("link", "add", device, "type", "vxlan", "id", "5", "remote", "172.31.0.77", "dstport", "4789", netns=quiet.host)
    ip("link", "set", "dev", device, "alias", MARK.text, netns=quiet.host)
    finding = provider.found(steps[0])
    assert (finding.found, finding.detail) == (Found.CHANGED, "it leads to 172.31.0.77")
    with pytest.raises(ProviderError, match="it leads to"):
        provider.perform(steps[0].do)


# Found without the journal


def ours(provider: Linux) -> list[Leftover]:
    return [left for left in provider.leftovers() if left.mark]


@pytest.mark.parametrize("target", ["nic:snf0", f"vxlan://{COLLECTOR}?vni=5"])
def test_leftovers_are_found_by_their_mark_and_undone(lively: World, target: str) -> None:
    before = lively.look()
    provider, steps = lively.steps(target, lively.place("snf0") if target.startswith("nic") else None)
    assert not provider.leftovers()
    do(provider, steps)
    left = ours(lively.provider)
    assert {each.mark for each in left} == {MARK}
    assert {each.what.partition(" in ")[0] for each in left} >= {"mirror of vnet1"}
    for each in left:
        assert each.undo
        Linux().perform(each.undo)
    assert lively.look() == before
    assert not provider.leftovers()


def test_hooks_that_were_there_stay_when_leftovers_go(quiet: World) -> None:
    tc("qdisc", "add", "dev", "vnet1", "clsact", netns=quiet.host)
    before = quiet.look()
    provider, steps = quiet.steps("nic:snf0", quiet.place("snf0"))
    do(provider, steps)
    for each in ours(provider):
        assert each.undo
        provider.perform(each.undo)
    assert quiet.look() == before


@pytest.mark.parametrize("target", ["nic:snf0", f"vxlan://{COLLECTOR}?vni=5"])
def test_the_commands_that_are_told_remove_them(quiet: World, target: str) -> None:
    provider, steps = quiet.steps(target, quiet.place("snf0") if target.startswith("nic") else None)
    do(provider, steps)
    for each in ours(provider):
        run(each.command)
    assert not provider.leftovers()


def run(command: str) -> None:
    """As a person does who takes it over as it is."""
    subprocess.run(["sh", "-c", command], check=True, timeout=20)


def test_a_device_called_like_a_command_is_none(quiet: World) -> None:
    """A tenant calls its own devices as it likes, and may give them our mark, or hooks."""
    for name, peer in (("a;false", "a1"), ("b;false", "b1")):
        veth(quiet.host, name, peer)
    ip("link", "set", "dev", "a;false", "alias", MARK.text, netns=quiet.host)
    tc("qdisc", "add", "dev", "b;false", "clsact", netns=quiet.host)
    left = quiet.provider.leftovers()
    assert {each.what.split()[2 if "filters" in each.what else 1] for each in left} == {"a;false", "b;false"}
    for each in left:
        run(each.command)
    assert "a;false" not in ip("link", "show", netns=quiet.host)


def test_a_strangers_mirror_that_leads_nowhere_is_told_and_stays(quiet: World) -> None:
    veth(quiet.host, "dead0", "dead1")
    tc("qdisc", "add", "dev", "vnet1", "clsact", netns=quiet.host)
    their_filter(quiet)
    what = ["u32", "match", "u32", "0", "0", "action", "mirred", "egress", "mirror", "dev", "dead0"]
    tc("filter", "add", "dev", "vnet1", "egress", "protocol", "all", "pref", "4", *what, netns=quiet.host)
    assert not quiet.provider.leftovers()
    ip("link", "del", "dead0", netns=quiet.host)
    (left,) = quiet.provider.leftovers()
    assert (left.mark, left.undo) == (None, None)
    assert left.what == f"mirror of vnet1 in {quiet.host}, egress, to a device that is gone"
    run(left.command)
    assert not quiet.provider.leftovers()
    assert "vnet3" in tc("filter", "show", "dev", "vnet1", "ingress", netns=quiet.host)


def test_the_command_for_one_in_a_chain_spares_its_double_in_another(quiet: World) -> None:
    """They have the same priority, number and protocol, which has no name."""
    veth(quiet.host, "dead0", "dead1")
    tc("qdisc", "add", "dev", "vnet1", "clsact", netns=quiet.host)
    what = ["protocol", "0x88b5", "pref", "4", "handle", "7", "bpf", "bytecode", "1,6 0 0 1", "action", "mirred"]
    for chain, device in (("0", "vnet3"), ("5", "dead0")):
        on = ["dev", "vnet1", "ingress", "chain", chain]
        tc("filter", "add", *on, *what, "egress", "mirror", "dev", device, netns=quiet.host)
    ip("link", "del", "dead0", netns=quiet.host)
    (left,) = quiet.provider.leftovers()
    run(left.command)
    assert not quiet.provider.leftovers()
    assert "vnet3" in tc("filter", "show", "dev", "vnet1", "ingress", netns=quiet.host)


def test_a_namespace_that_cannot_be_read_hides_no_other(quiet: World) -> None:
    provider, steps = quiet.steps("nic:snf0", quiet.place("snf0"))
    do(provider, steps)
    odd = Path(f"/run/netns/{quiet.host}-odd")
    odd.touch()
    subprocess.run(["mount", "--bind", "/proc/self/ns/uts", str(odd)], check=True, timeout=20)
    try:
        left = Linux((odd.name, *quiet.namespaces)).leftovers()
    finally:
        subprocess.run(["umount", str(odd)], check=True, timeout=20)
        odd.unlink()
    assert [each.mark for each in left] == [MARK, MARK, None]
    assert left[-1].what == f"devices in {odd.name}, which cannot be read: listing devices: Invalid argument"
    undo(provider, steps)


def test_a_filter_with_our_cookie_but_without_our_mark_is_a_strangers(quiet: World) -> None:
    tc("qdisc", "add", "dev", "vnet1", "clsact", netns=quiet.host)
    what = ["bpf", "bytecode", "1,6 0 0 1", "action", "mirred", "egress", "mirror", "dev", "snf0", "continue"]
    tc("filter", "add", "dev", "vnet1", "ingress", "protocol", "all", *what, "cookie", MARK.session, netns=quiet.host)
    assert not quiet.provider.leftovers()


def test_a_tunnel_left_half_made_is_undone(quiet: World) -> None:
    """Killed between making it and giving it its alias: its name and its kind are all there is."""
    before = quiet.look()
    provider, steps = quiet.steps(f"vxlan://{COLLECTOR}?vni=5")
    name = steps[0].do.text("device")
    ip("link", "add", name, "type", "vxlan", "id", "5", "remote", COLLECTOR, "dstport", "4789", netns=quiet.host)
    (left,) = provider.leftovers()
    assert (left.mark, left.undo) == (None, None)
    assert left.what == f"device {name} in {quiet.host}, which tapwright may have begun to make"
    provider.perform(steps[0].undo)
    assert quiet.look() == before
    ip("link", "add", name, "type", "vxlan", "id", "5", "remote", COLLECTOR, "dstport", "4789", netns=quiet.host)
    provider.perform(steps[0].do)
    assert provider.found(steps[0]).found is Found.THERE
    provider.perform(steps[0].undo)
    assert quiet.look() == before


def test_what_is_no_tunnel_is_not_removed_for_its_alias(quiet: World) -> None:
    """As a person may have given one, or a tenant who wants to be rid of a device."""
    provider, steps = quiet.steps(f"vxlan://{COLLECTOR}?vni=5")
    name = steps[0].do.text("device")
    veth(quiet.host, name, "other0")
    ip("link", "set", "dev", name, "alias", MARK.text, netns=quiet.host)
    before = quiet.look()
    provider.perform(steps[0].undo)
    assert quiet.look() == before
    ip("link", "del", name, netns=quiet.host)


def test_a_place_that_is_empty_is_not_taken_for_a_device(quiet: World) -> None:
    with pytest.raises(ProviderError, match="no such device"):
        quiet.steps("nic:snf0", Place())


def test_frames_are_not_held_up(quiet: World) -> None:
    """What the VM sends arrives as before while it is mirrored, and once it is not."""
    frames = [bytes.fromhex("ffffffffffff02000000000a88b5") + bytes([n]) * 60 for n in range(50)]
    with opened(quiet, "nic:snf0", quiet.place("snf0")), tapes((quiet.db, "eth0", "", bytes)) as running:
        (arrived,) = recorded(running, [Speaker(quiet.web, frames)])
    assert sorted(arrived.elements()) == sorted(frames)
    send(quiet.web, "eth0", frames)
