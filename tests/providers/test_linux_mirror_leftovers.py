"""What mirrors by tc left is found without the journal, by its mark; what is somebody else's stays."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.copied import World, do, their_filter, undo, world
from support.mirrored import COLLECTOR, MARK, talk
from support.netns import ip, veth
from support.traces import tc
from tapwright.plan.steps import Found, Leftover
from tapwright.providers.linux import Linux

pytestmark = pytest.mark.root


@pytest.fixture
def quiet() -> Iterator[World]:
    with world() as quiet:
        yield quiet


@pytest.fixture
def lively(quiet: World) -> Iterator[World]:
    with talk(quiet.web, quiet.db):
        yield quiet


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
    ip("link", "add", "a;false", "type", "vxlan", "id", "9", "remote", COLLECTOR, "dstport", "4789", netns=quiet.host)
    ip("link", "set", "dev", "a;false", "alias", MARK.text, netns=quiet.host)
    veth(quiet.host, "b;false", "b1")
    tc("qdisc", "add", "dev", "b;false", "clsact", netns=quiet.host)
    what = ["u32", "match", "u32", "0", "0", "action", "mirred", "egress", "mirror", "dev", "dead0"]
    veth(quiet.host, "dead0", "dead1")
    tc("filter", "add", "dev", "b;false", "egress", "protocol", "all", "pref", "4", *what, netns=quiet.host)
    ip("link", "del", "dead0", netns=quiet.host)
    left = quiet.provider.leftovers()
    assert [each.what.split()[2 if each.mark is None else 1] for each in left] == ["b;false", "a;false"]
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
    assert not provider.leftovers()
    provider.perform(steps[0].undo)
    assert quiet.look() == before
    ip("link", "del", name, netns=quiet.host)
