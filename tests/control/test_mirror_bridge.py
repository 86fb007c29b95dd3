"""VLANs of a Linux bridge as a person has them mirrored: opened, listed, sampled, killed and swept."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.support.bridged import INSIDE, World, frames, settle, world
from tests.support.mirrored import DB, WEB, seen, speakers, talk
from tests.support.packets import send
from tests.support.tapwright import running_command, tapwright
from tests.support.traces import difference

from tapwright.capture.governor import Level
from tapwright.config import load
from tapwright.control.mirror import Wish, opened, prepare
from tapwright.plan.mirrors import parse
from tapwright.tap.delivery import Outcome

pytestmark = pytest.mark.root


@pytest.fixture
def lively() -> Iterator[World]:
    with world() as lively, talk(lively.web, lively.db):
        yield lively


@pytest.fixture
def quiet() -> Iterator[World]:
    with world() as quiet:
        yield quiet


def sight(world: World, folder: Path) -> Mapping[str, str]:
    return {
        "TAPWRIGHT_NETNS": ",".join(world.namespaces),
        "TAPWRIGHT_PROVIDERS": "linux",
        "TAPWRIGHT_STATE": str(folder / "state"),
    }


ARGUMENTS = ("--switch", "br0", "--vlan", "0", "--to", "nic:snf0")


def test_its_owner_is_killed(lively: World, tmp_path: Path) -> None:
    """The bridge is promiscuous for nobody at once; the filters go with the lease."""
    before, env = lively.look(), sight(lively, tmp_path)
    with running_command("mirror", *ARGUMENTS, "--lease", "1s", "--json", env=env) as running:
        assert running.stdout
        assert running.stderr
        line = running.stdout.readline()
        assert line, running.stderr.read().decode()
        (mirror,) = json.loads(line)["mirrors"]
        assert (mirror["name"], mirror["vm"], mirror["by"]) == ("VLAN 0 of switch br0", "", "linux")
        assert speakers(seen(lively.sniffer, "eth0")) == {WEB, DB}
        assert lively.promiscuity() == 1
        (session,) = tapwright("sessions", "--json", env=env).data
        assert session["what"] == "mirror of VLAN 0 of switch br0 to nic:snf0"
        running.kill()
        running.wait()
    end = time.monotonic() + 20
    while lively.promiscuity():
        assert time.monotonic() < end
    assert "br0" in difference(before, lively.look()), "its filters are left"
    while tapwright("sessions", "--json", env=env).data[0]["lease_left"]:
        assert time.monotonic() < end
    assert tapwright("sweep", env=env).code == 0
    changed = difference(before, lively.look())
    assert not changed, changed


def test_what_would_be_changed_is_shown_and_nothing_is(lively: World, tmp_path: Path) -> None:
    before, env = lively.look(), sight(lively, tmp_path)
    shown = tapwright("mirror", *ARGUMENTS, "--dry-run", env=env)
    assert shown.code == 0, shown.err
    assert "promiscuous as long as this process lives" in shown.out
    assert "steps down: full, sampled" in shown.out
    plan = tapwright("mirror", *ARGUMENTS, "--dry-run", "--json", env=env).data
    assert [step["do"]["verb"] for step in plan["steps"]] == ["overhear", "copy", "copy"]
    assert not difference(before, lively.look())


def test_only_a_tag_makes_frames_larger(quiet: World, tmp_path: Path) -> None:
    shown = [
        tapwright(
            "mirror", "--switch", "br0", "--vlan", vlan, "--to", "nic:snf0", "--dry-run", env=sight(quiet, tmp_path)
        )
        for vlan in ("0", "10")
    ]
    assert [each.code for each in shown] == [0, 0]
    assert "snf0 takes the switch's largest frames" in shown[0].out
    assert "frames up to 1514 bytes, and the switch's may be larger" in shown[1].out


def test_a_tunnel_that_leaves_by_the_bridge_is_no_loop(quiet: World, tmp_path: Path) -> None:
    settle(quiet)
    target = f"vxlan://{INSIDE}?vni=7"
    refused = tapwright(
        "mirror", "--switch", "br0", "--vlan", "0", "--to", target, "--dry-run", env=sight(quiet, tmp_path)
    )
    assert "a VM on the mirrored switch" in refused.err
    other = target.replace(INSIDE, "172.30.0.77")
    shown = tapwright(
        "mirror", "--switch", "br0", "--vlan", "0", "--to", other, "--dry-run", env=sight(quiet, tmp_path)
    )
    assert shown.code == 0, shown.err
    assert "where copies pass br0 they are left out" in shown.out


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--direction", "in"], "have no direction"),
        (["-s", "96"], "copies whole frames"),
        (["--by", "ovs"], "cannot be mirrored by ovs"),
        (["--to", "rspan:999"], "no RSPAN VLAN"),
        (["--to", "nic:vnet2"], "is the port of a VM"),
        (["--to", "nic:br0"], "br0"),
    ],
)
def test_what_cannot_be(quiet: World, tmp_path: Path, more: list[str], says: str) -> None:
    before = quiet.look()
    done = tapwright("mirror", *ARGUMENTS, *more, env=sight(quiet, tmp_path))
    assert done.code != 0
    assert says in done.err
    assert not difference(before, quiet.look())


def test_it_steps_down_and_what_it_copied_is_one_number(
    quiet: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAPWRIGHT_STATE", str(tmp_path / "state"))
    wish = Wish([], parse("nic:snf0"), switch="br0", vlans=(0,), governor=None)
    with opened(prepare(wish, load(sight(quiet, tmp_path)))) as mirroring:
        mirroring.step(Level.SAMPLED)
        mirroring.step(Level.FULL)
        assert quiet.promiscuity() == 1
        send(quiet.web, "eth0", frames(5))
        send(quiet.host, "br0", frames(6))
        said, end = len(frames(5)) + len(frames(6)), time.monotonic() + 20
        while (reading := next(iter(mirroring.readings()))).counts[0].copied != said:
            assert time.monotonic() < end, reading.counts
        assert len(reading.counts) == 1
        (delivery,) = reading.deliveries
        assert delivery.verdict.outcome is Outcome.UNKNOWN
    assert quiet.promiscuity() == 0
