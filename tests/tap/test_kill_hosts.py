"""Kill -9 on real hosts: whatever instant a mirror's owner dies at, after a sweep the host is as before."""

import itertools
import random
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from support.traces import difference, tc
from tap.hosts import Host
from tap.hosts_linux import linux
from tap.hosts_openvswitch import filtering_open_vswitch, open_vswitch
from tap.victims import Victim, killed_after, killed_at, points_of
from tapwright.tap.arm import arm, disarm
from tapwright.tap.journal import Journal
from tapwright.tap.session import Session

pytestmark = [pytest.mark.root, pytest.mark.timeout(1800)]

MAKERS: dict[str, Callable[[Path], AbstractContextManager[Host]]] = {
    "ovs": open_vswitch,
    "ovs, filtered": filtering_open_vswitch,
    "linux": linux,
}


@pytest.fixture(scope="module", params=MAKERS)
def host(request: pytest.FixtureRequest, in_memory: Path) -> Iterator[Host]:
    with MAKERS[request.param](in_memory / "journal") as host:
        yield host


def test_at_every_boundary_of_every_target(host: Host, every_fault: bool) -> None:
    """In the suite at every third, each target from another one on: what they have in common is met by all."""
    before, killed = host.look(), 0
    for first, case in enumerate(host.among(every_fault)):
        host.fresh()
        names = points_of(host.life(case))
        host.settled(before, case)
        for number in host.some(len(names), 3, every_fault, first):
            where = f"{case}, {number}: {names[number]}"
            host.fresh()
            assert killed_at(host.life(case), number) == names[number]
            if number % 5 == 0:
                host.spared(where)
            host.check(before, where)
            killed += 1
    assert killed >= host.often(80)


def test_at_every_boundary_of_a_sweep(host: Host, every_fault: bool) -> None:
    """One that dies is finished by the next."""
    before = host.look()
    for case in host.cases if every_fault else host.longest:
        running = points_of(host.life(case)).index("after running")
        host.fresh()
        killed_at(host.life(case), running)
        names = points_of(host.sweeper)
        for number in host.some(len(names), 3, every_fault):
            host.fresh()
            killed_at(host.life(case), running)
            assert killed_at(host.sweeper, number) == names[number]
            host.check(before, f"{case}, sweep {number}: {names[number]}")


STEPPING: dict[str, tuple[Callable[[Path], AbstractContextManager[Host]], str, tuple[tuple[int, int], ...]]] = {
    "a sample": (linux, "vxlan", ((0, 16), (0, 1))),
    "headers": (open_vswitch, "vm", ((256, 1), (96, 1), (0, 1))),
}
"""How far down, and of what: bytes of a frame and one frame in so many, one level after another."""


@pytest.mark.parametrize("down", STEPPING)
def test_while_it_steps_down_and_back(in_memory: Path, every_fault: bool, down: str) -> None:
    """What takes the place of a filter or a row is undone like it, also where its owner dies in between."""
    make, case, levels = STEPPING[down]
    with make(in_memory / "stepping") as host:
        before, life = host.look(), host.stepping_life(case, *levels)
        names = points_of(life)
        first, last = names.index("after running"), names.index("before draining")
        assert last - first > 20
        host.settled(before, "nobody killed it")
        for number in range(first, last, 1 if every_fault else 3):
            where = f"{number}: {names[number]}"
            host.fresh()
            assert killed_at(life, number) == names[number]
            host.check(before, where)


def test_with_the_journal_lost(host: Host, every_fault: bool) -> None:
    """The marks are enough, but for what has none yet: hooks on which nothing is, a tunnel's device that is told."""
    before = host.look()
    for first, case in enumerate(host.among(every_fault)):
        names = points_of(host.life(case))
        for number in host.some(len(names), 12, every_fault, first):
            host.fresh()
            killed_at(host.life(case), number)
            host.fresh()
            where = f"{case}, {number}: {names[number]}"
            assert host.sweep().failed == (), where
            if re.fullmatch(r"(\+qdisc clsact ffff: (dev \w+ )?parent ffff:fff1\n?)+", _changed(before, host.look())):
                assert "new hooks" in "".join(names[: number + 1]), where
                device = "br0" if case == "a VLAN of the bridge" else "vnet1"
                tc("qdisc", "del", "dev", device, "clsact", netns=host.netns)
            for left in (left for tapper in host.tappers for left in tapper.leftovers()):
                assert "may have begun to make" in left.what, where
                assert "ip link add" in "".join(names[: number + 1]), where
                subprocess.run(shlex.split(left.command), check=True, timeout=20)
            host.settled(before, where)


def _changed(before: str, after: str) -> str:
    lines = difference(before, after).splitlines()[2:]
    return "\n".join(line.strip() for line in lines if line[0] in "+-")


def test_at_any_instant(host: Host, every_fault: bool) -> None:
    """Every other time whoever sweeps is killed as well."""
    chance, before = random.Random(4), host.look()
    start = time.monotonic()
    host.life(host.longest[0])(lambda _: None)
    longest = time.monotonic() - start
    for number in range(300 if every_fault else host.often(16)):
        case = chance.choice(list(host.cases))
        host.fresh()
        killed_after(host.life(case), longest * 1.2, chance)
        if number % 2:
            killed_after(host.sweeper, longest / 2, chance)
        host.check(before, f"instant {number} of {case}")


def test_two_at_once_and_two_sweeps_at_once(host: Host, every_fault: bool) -> None:
    """They neither hinder each other nor undo each other's."""
    chance, before = random.Random(5), host.look()
    for number in range(60 if every_fault else host.often(5)):
        one, other = chance.sample(list(host.cases), 2)
        host.fresh()
        with Victim(host.life(one)), Victim(host.life(other)):
            time.sleep(chance.uniform(0.0, 1.0))
        with Victim(host.sweeper) as first, Victim(host.sweeper) as second:
            where = f"{number}: {one}; {other}"
            assert (first.end(), second.end()) == (0, 0), where
        host.settled(before, where)
        host.check(before, where)


def test_two_that_live_do_not_hinder_each_other(host: Host, every_fault: bool) -> None:
    before = host.look()
    for one, other in itertools.pairwise(host.among(every_fault)):
        host.fresh()
        with Victim(host.life(one)) as first, Victim(host.life(other)) as second:
            assert (first.end(), second.end()) == (0, 0), f"{one}; {other}"
        host.check(before, f"{one}; {other}")


@pytest.mark.parametrize("first", ["the living", "the victim"])
def test_beside_one_that_lives(host: Host, first: str, every_fault: bool) -> None:
    """Its mirror of the same port stays as it is, whoever came first; what it stands on goes once it does."""
    before = host.look()
    one, other = host.pair
    names = points_of(host.life(other))
    for number in host.some(len(names), 8, every_fault):
        where = f"{number}: {names[number]}"
        host.fresh()
        if first == "the victim":
            killed_at(host.life(other), number)
        mine = _opened(host, one)
        during = host.look()
        if first == "the living":
            killed_at(host.life(other), number)
        assert host.sweep().failed == () or first == "the victim", where
        assert {host.found(entry.step) for entry in mine.entries} == {"there"}, where
        if first == "the living":
            host.settled(during, where)
        closed = disarm(Journal(host.state), mine, host.tapper_of)
        assert closed.left == (), where
        host.check(before, where)


def _opened(host: Host, case: str) -> Session:
    session = host.session(case)
    return arm(Journal(host.state), session, tuple(host.cases[case](session.mark)), host.tapper_of)


def test_what_was_mirrored_or_took_the_copies_is_gone_first(host: Host, every_fault: bool) -> None:
    """Port, device, namespace, bridge: whatever vanished took part of ours along, and the sweep the rest."""
    for vanishing in host.vanishing:
        before = host.look()
        with vanishing() as (case, _):
            names = points_of(host.life(case))
        for number in host.some(len(names), 9, every_fault):
            where = f"{vanishing.__name__}, {number}: {names[number]}"
            host.fresh()
            with vanishing() as (case, vanish):
                killed_at(host.life(case), number)
                vanish()
                swept = host.sweep()
                assert (swept.failed, swept.kept) == ((), ()), where
            host.check(before, where)
