"""Mirrors by tc beside what others have on the same device, and when the world changes under them."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.copied import World, do, findings, opened, their_filter, undo, world
from support.mirrored import COLLECTOR, DB, MARK, WEB, seen, speakers, talk
from support.netns import ip, veth
from support.traces import tc
from tapwright.errors import ProviderError
from tapwright.filter.program import Instruction, pack
from tapwright.plan.mirrors import Direction
from tapwright.plan.steps import Finding, Found, Mark, Step
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


def test_it_keeps_the_contract_of_those_that_change_the_world() -> None:
    assert isinstance(Linux(), Tapper)


# Others


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


def test_a_device_that_is_renamed_is_the_same(quiet: World) -> None:
    """Nobody changed the mirror; and any name will do."""
    before = quiet.look()
    provider, steps = quiet.steps("nic:snf0", quiet.place("snf0"))
    do(provider, steps)
    ip("link", "set", "vnet1", "name", "vm@1;false", netns=quiet.host)
    ip("link", "set", "snf0", "name", "snf@9", netns=quiet.host)
    assert {provider.found(step) for step in steps} == {Finding(Found.THERE)}
    do(provider, steps)
    undo(provider, steps)
    ip("link", "set", "vm@1;false", "name", "vnet1", netns=quiet.host)
    ip("link", "set", "snf@9", "name", "snf0", netns=quiet.host)
    assert quiet.look() == before
