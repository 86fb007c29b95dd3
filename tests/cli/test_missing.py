"""What was asked for and is not in the file: said before the start, and again in the end."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.shark import packets
from tests.support.tapwright import Answer, tapwright

from support import short_folder
from support.netns import namespace
from support.podman import Podman, podman

pytestmark = pytest.mark.root

HOSTS = "it uses the host's own network and has no vNIC of its own; `tcpdump -i any` reads the host's"


@pytest.fixture(scope="module")
def engine() -> Iterator[Podman]:
    with namespace() as netns, short_folder() as folder, podman(folder, netns) as engine:
        engine.run("shopfront")
        engine.run("hostagent", "--network", "host")
        engine("create", "--name", "asleep", "localhost/busybox:test")
        yield engine


def on_its_host(engine: Podman, *arguments: str) -> Answer:
    env = {"TAPWRIGHT_DOCKER": engine.socket}
    return tapwright(*arguments, env=env, wrapper=("nsenter", f"--net=/run/netns/{engine.netns}"))


def test_a_container_on_the_hosts_network(engine: Podman, tmp_path: Path) -> None:
    shown = on_its_host(engine, "where", "hostagent")
    assert shown.code == 0, shown.err
    assert HOSTS in shown.out
    refused = on_its_host(engine, "capture", "hostagent", "-w", str(tmp_path / "x"))
    assert (refused.code, refused.out) == (7, "")
    assert f"nothing to capture: hostagent: {HOSTS}" in refused.err
    assert HOSTS in on_its_host(engine, "plan", "hostagent", "shopfront", "--interval", "0").out
    assert not list(tmp_path.iterdir())


def test_those_that_cannot_be_read_are_named_and_the_others_captured(engine: Podman, tmp_path: Path) -> None:
    path = tmp_path / "web.pcapng"
    answer = on_its_host(engine, "capture", "shopfront", "hostagent", "asleep", "-d", "1", "-w", str(path))
    assert answer.code == 0, answer.err
    assert f"tapwright: hostagent is not captured: {HOSTS}" in answer.err
    assert "tapwright: asleep is not captured: it is created; start it first" in answer.err
    assert "complete, without hostagent, asleep" in answer.out
    assert packets(path) == 0 or "Next: wireshark" in answer.out
    asked = ("capture", "shopfront", "hostagent", "-d", "1", "-w", str(tmp_path / "again.pcapng"), "--json")
    assert on_its_host(engine, *asked).data["not_captured"] == ["hostagent"]
