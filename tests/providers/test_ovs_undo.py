"""What is left of mirrors on a real Open vSwitch when the world changes under them, and who is told."""

import pickle
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.mirrored import COLLECTOR, DB, MARK, WEB, World, points_of, seen, speakers, world
from support.netns import ip
from tapwright.errors import ProviderError
from tapwright.filter import compile_filter
from tapwright.plan.mirrors import Target, TargetKind
from tapwright.plan.steps import Found, Mark, Operation, Step
from tapwright.providers.base import Tapper
from tapwright.providers.linux import Linux
from tapwright.providers.ovs import Ovs

pytestmark = pytest.mark.root

OWN = Target(TargetKind.NIC)


@pytest.fixture
def lively() -> Iterator[World]:
    with world() as lively:
        yield lively


@contextmanager
def opened(world: World, target: str | Target = OWN, **more: object) -> Iterator[tuple[Ovs, Step]]:
    provider, step = world.step(target, **more)
    provider.perform(step.do)
    yield provider, step


@contextmanager
def without(world: World, program: str) -> Iterator[None]:
    """While this holds the daemon is down."""
    world.switch.stop(program)
    yield


@contextmanager
def restarted(world: World, program: str) -> Iterator[None]:
    """The daemon runs again, as it was started before."""
    world.switch.start(program)
    yield


def test_it_keeps_the_contract_of_those_that_change_the_world() -> None:
    assert isinstance(Ovs(), Tapper)


def test_undone_with_the_mirrored_port_gone(lively: World) -> None:
    with opened(lively) as (provider, step):
        lively.switch.vsctl("del-port", "br0", "vnet1")
        before = provider.found(step)
        provider.perform(step.undo)
    assert (before.found, before.detail) == (Found.THERE, "the mirrored port vnet1 is gone")
    assert provider.found(step).found is Found.ABSENT
    assert not lively.switch.vsctl("list", "mirror").strip()
    assert step.do.text("device") not in ip("link", netns=lively.switch.netns)


def test_undone_with_the_bridge_gone(lively: World) -> None:
    with opened(lively) as (provider, step):
        lively.switch.vsctl("del-br", "br0")
        assert provider.found(step).found is Found.ABSENT
        provider.perform(step.undo)
    with pytest.raises(ProviderError, match="is gone"):
        provider.perform(step.do)


def test_undone_after_a_restart_of_the_switch(lively: World) -> None:
    before = lively.dump()
    with opened(lively, f"vxlan://{COLLECTOR}?vni=8") as (provider, step):
        with without(lively, "ovs-vswitchd"):
            assert provider.found(step).found is Found.THERE
        with restarted(lively, "ovs-vswitchd"):
            lively.switch.vsctl("wait-until", "interface", step.do.text("name"), "ofport>0")
            provider.perform(step.do)
            assert provider.found(step).found is Found.THERE
            provider.perform(step.undo)
            assert provider.found(step).found is Found.ABSENT
    assert [line for line in before.splitlines() if line.startswith("_uuid")] == [
        line for line in lively.dump().splitlines() if line.startswith("_uuid")
    ]


@pytest.mark.parametrize(
    ("target", "taker", "only"),
    [(f"gre://{COLLECTOR}?key=3", "collector", "ip proto 47"), ("rspan:999", "trunk", "vlan 999")],
)
def test_a_filtered_one_goes_on_after_a_restart_of_the_switch_and_is_undone(
    lively: World, target: str, taker: str, only: str
) -> None:
    """Its devices outlive ovs-vswitchd, and so does what tc has on them."""
    before = rows(lively)
    ovs = lively.provider
    points_of(ovs)
    program = compile_filter("ether proto 0x88b5").program.code
    steps = ovs.steps(lively.mirror(target, program=program))
    tappers = {"ovs": ovs, "linux": Linux()}
    for step in steps:
        tappers[step.do.provider].perform(step.do)
    with without(lively, "ovs-vswitchd"):
        pass
    with restarted(lively, "ovs-vswitchd"):
        for step in steps:
            if step.do.provider == "ovs":
                port = step.do.text("device") or step.do.text("name")
                lively.switch.vsctl("wait-until", "interface", port, "ofport>0")
        assert speakers(seen(getattr(lively, taker), "eth0", only=only)) == {WEB, DB}
        assert {tappers[step.do.provider].found(step).found for step in steps} == {Found.THERE}
        for step in reversed(steps):
            tappers[step.undo.provider].perform(step.undo)
        assert {tappers[step.do.provider].found(step).found for step in steps} == {Found.ABSENT}
        assert "tw" + MARK.session not in ip("link", netns=lively.switch.netns)
        assert rows(lively) == before


def rows(world: World) -> list[str]:
    return [line for line in world.dump().splitlines() if line.startswith("_uuid")]


def test_our_device_is_up_again_after_a_restart_when_the_step_is_done_again(lively: World) -> None:
    with opened(lively) as (provider, step), without(lively, "ovs-vswitchd"):
        pass
    with restarted(lively, "ovs-vswitchd"):
        device = step.do.text("device")
        lively.switch.vsctl("wait-until", "interface", device, "ofport>0")
        provider.perform(step.do)
        assert speakers(seen(lively.switch.netns, device)) == {WEB, DB}
        provider.perform(step.undo)


def test_undone_while_the_switch_is_down(lively: World) -> None:
    with opened(lively) as (provider, step), without(lively, "ovs-vswitchd"):
        provider.perform(step.undo)
        assert provider.found(step).found is Found.ABSENT


def test_not_opened_while_the_switch_is_down(lively: World) -> None:
    before = lively.dump()
    provider, step = lively.step(OWN)
    with without(lively, "ovs-vswitchd"), pytest.raises(ProviderError, match="cannot be reached"):
        provider.perform(step.do)
    assert lively.dump() == before


def test_a_switch_that_hangs_gets_its_database_back_as_it_was(lively: World) -> None:
    """One stopped between our look and our purge takes nothing over."""
    before = lively.dump()
    provider, step = lively.step(OWN)
    pid = str(lively.switch.daemons["ovs-vswitchd"].pid)
    subprocess.run(["kill", "-STOP", pid], check=True, timeout=10)
    try:
        with pytest.raises(ProviderError, match="does not answer"):
            provider.perform(step.do)
    finally:
        subprocess.run(["kill", "-CONT", str(pid)], check=True, timeout=10)
    assert lively.dump() == before


def test_nobody_knows_while_the_database_is_down(lively: World) -> None:
    """Neither the process that did it nor another one may take that for undone."""
    with opened(lively) as (provider, step):
        another = Ovs([lively.switch.remote])
        with without(lively, "ovsdb-server"):
            for asked in (provider, another):
                assert asked.found(step).found is Found.UNKNOWN
                assert asked.copied(step) is None
                with pytest.raises(ProviderError):
                    asked.perform(step.undo)
        with restarted(lively, "ovsdb-server"):
            assert another.found(step).found is Found.THERE
            another.perform(step.undo)
            assert another.found(step).found is Found.ABSENT


def test_a_database_that_is_gone_with_its_folder_has_nothing_of_ours(lively: World) -> None:
    remote = "unix:/tmp/no-such-folder-of-a-lab/db.sock"
    step = lively.step(OWN)[1]
    undo = Operation.of("ovs", "unmirror", **{**dict(step.undo.arguments), "remote": remote})
    Ovs([remote]).perform(undo)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("clear mirror {name} select_src_port", "select_src_port is another one"),
        ("set mirror {name} snaplen=99", "snaplen is 99"),
        ("set mirror {name} select_all=true", "it selects all ports"),
        ("set mirror {name} output_vlan=7 -- clear mirror {name} output_port", "output port is gone; output_vlan is 7"),
        ("set port {name} tag=5", "port {name} has the tag 5"),
        ("set interface {name} options:key=99", "key of {name} is '99'"),
        ("set interface {name} type=internal -- clear interface {name} options", "the type of {name} is 'internal'"),
        ("clear bridge br0 mirrors", "the mirror's row is gone"),
        ("del-port {name}", "its output port is gone; port {name} is gone"),
        ("set mirror {name} name=theirs", "the mirror's name is 'theirs'"),
    ],
)  # fmt: skip
def test_what_somebody_changed_is_told_and_not_overwritten(lively: World, change: str, told: str) -> None:
    with opened(lively, f"gre://{COLLECTOR}?key=5") as (provider, step):
        name = step.do.text("name")
        lively.switch.vsctl("--no-wait", *change.format(name=name).split())
        changed = lively.dump()
        finding = provider.found(step)
        assert finding.found is Found.CHANGED
        assert told.format(name=name) in finding.detail
        with pytest.raises(ProviderError, match="is not as it was made"):
            provider.perform(step.do)
        assert lively.dump() == changed
        provider.perform(step.undo)
        assert provider.found(step).found is Found.ABSENT


def test_another_mirror_of_the_same_port_goes_on(lively: World) -> None:
    add_mirror(lively, "theirs", "vnet1", "trunk0")
    theirs = lively.dump()
    with opened(lively) as (provider, step):
        assert speakers(seen(lively.trunk, "eth0")) == {WEB, DB}
        assert speakers(seen(lively.switch.netns, step.do.text("device"))) == {WEB, DB}
        provider.perform(step.undo)
    assert lively.dump() == theirs
    assert speakers(seen(lively.trunk, "eth0")) == {WEB, DB}


def test_one_of_our_mirrors_is_undone_and_the_other_stays(lively: World) -> None:
    with opened(lively) as (provider, first), opened(lively, port="vnet2") as (_, second):
        provider.perform(first.undo)
        assert provider.found(first).found is Found.ABSENT
        assert provider.found(second).found is Found.THERE
        provider.perform(second.undo)


def test_what_has_no_mark_undoes_nothing(lively: World) -> None:
    """As in a journal whose words are other ones."""
    provider, before = lively.provider, lively.dump()
    with pytest.raises(ProviderError, match="'unmirror' has no mark"):
        provider.perform(Operation.of("ovs", "unmirror", remote=lively.switch.remote))
    assert lively.dump() == before


def test_our_leftovers_are_found_without_a_journal_and_undone(lively: World) -> None:
    before = lively.dump()
    with opened(lively), opened(lively, f"gre://{COLLECTOR}?key=5"):
        provider = Ovs([lively.switch.remote])
        found = provider.leftovers()
        assert {leftover.mark for leftover in found} == {MARK}
        assert len(found) == 2
        assert all("of bridge br0" in leftover.what for leftover in found)
        stale = lively.switch.folder / "stale.sock"
        with socket.socket(socket.AF_UNIX) as nobody:
            nobody.bind(str(stale))
        *beside, unread = Ovs([f"unix:{stale}", lively.switch.remote]).leftovers()
        assert (tuple(beside), unread.mark) == (found, None)
        assert f"{stale} does not answer" in unread.what
        with pytest.raises(ProviderError, match="does not answer"):
            Ovs([f"unix:{stale}"]).leftovers()
        for leftover in found:
            assert leftover.undo
            provider.perform(leftover.undo)
    assert provider.leftovers() == ()
    assert lively.dump() == before


def test_the_command_for_a_leftover_removes_it(lively: World) -> None:
    before = lively.dump()
    with opened(lively) as (provider, _):
        (leftover,) = provider.leftovers()
        subprocess.run(leftover.command, shell=True, check=True, timeout=30, env=dict(lively.switch.environment))
    assert provider.leftovers() == ()
    assert uncounted(lively.dump()) == uncounted(before)


def uncounted(dump: str) -> str:
    """Without the numbers that ovs-vsctl, and never tapwright, counts up."""
    return re.sub(r"(next|cur)_cfg .*", "", dump)


def test_strangers_mirrors_are_reported_with_a_command_and_left_alone(lively: World) -> None:
    add_mirror(lively, "blind", "vnet1")
    add_mirror(lively, "fine", "vnet1", "trunk0")
    lively.switch.vsctl("--", "add-port", "br0", "mivnet2", "--", "set", "interface", "mivnet2", "type=internal")
    add_mirror(lively, "m_vnet2", "vnet2", "mivnet2")
    lively.switch.vsctl("add-port", "br0", "mine", "--", "set", "interface", "mine", "type=internal")
    before = lively.dump()
    found = {leftover.what: leftover for leftover in lively.provider.leftovers()}
    assert set(found) == {
        "mirror blind of bridge br0, which has no output",
        "port mivnet2 of an ovs-tcpdump that is gone",
    }
    assert all(leftover.mark is None and leftover.undo is None for leftover in found.values())
    assert lively.dump() == before
    for leftover in found.values():
        subprocess.run(leftover.command, shell=True, check=True, timeout=30, env=dict(lively.switch.environment))
    assert lively.provider.leftovers() == ()
    assert "fine" in lively.dump()


def test_an_ovs_tcpdump_that_runs_is_no_leftover(lively: World) -> None:
    argv = ["ip", "netns", "exec", lively.switch.netns, "ovs-tcpdump", "--db-sock", lively.switch.remote]
    with subprocess.Popen(
        [*argv, "-i", "vnet2"],
        env=dict(lively.switch.environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        try:
            lively.switch.vsctl("wait-until", "interface", "mivnet2", "ofport>0")
            assert lively.provider.leftovers() == ()
        finally:
            running.kill()
            running.wait()
    # Its tcpdump child holds on a moment longer than it; the port stays for ever.
    deadline = time.monotonic() + 60
    while not lively.provider.leftovers() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [leftover.what for leftover in lively.provider.leftovers()] == [
        "port mivnet2 of an ovs-tcpdump that is gone"
    ]


def add_mirror(world: World, name: str, port: str, output: str = "") -> None:
    out = ["--", "--id=@out", "get", "port", output] if output else []
    world.switch.vsctl(
        *out, "--", "--id=@p", "get", "port", port, "--", "--id=@m", "create", "mirror", f"name={name}",
        "select_src_port=@p", "select_dst_port=@p", *(["output_port=@out"] if output else []),
        "--", "add", "bridge", "br0", "mirrors", "@m",
    )  # fmt: skip
    world.switch.appctl("revalidator/purge")


def test_a_bridge_takes_32_mirrors_and_no_more(lively: World) -> None:
    for number in range(32):
        add_mirror(lively, f"m{number}", "vnet2", "trunk0")
    before = lively.dump()
    provider, step = lively.step(OWN)
    with pytest.raises(ProviderError, match="32 mirrors already"):
        provider.perform(step.do)
    assert lively.dump() == before


def test_two_at_once_make_one(lively: World) -> None:
    """Of the same step, as when an owner comes back to life beside the one who took over."""
    code = "import sys, pickle; p, o = pickle.loads(sys.stdin.buffer.read()); p.perform(o)"
    provider, step = lively.step(OWN)
    both = [subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) for _ in range(2)]
    for one in both:
        assert one.stdin
        one.stdin.write(pickle.dumps((provider, step.do)))
        one.stdin.close()
    assert [one.wait(timeout=60) for one in both] == [0, 0]
    assert provider.found(step).found is Found.THERE
    assert lively.switch.vsctl("--columns=name", "list", "mirror").count("name") == 1
    provider.perform(step.undo)


def test_a_mark_of_another_session_is_not_ours_to_undo(lively: World) -> None:
    with opened(lively) as (provider, step):
        other = Operation.of(
            "ovs", "unmirror", **{**dict(step.undo.arguments), "mark": Mark("00c0ffee", "1.1.b", 9).text}
        )
        provider.perform(other)
        assert provider.found(step).found is Found.THERE
        provider.perform(step.undo)
    assert points_of(provider)
