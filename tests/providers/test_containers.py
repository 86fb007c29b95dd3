"""The containers provider on a real Podman with runc, and the client against engines that misbehave."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import short_folder, sockets
from support.netns import inode, namespace
from support.podman import Podman, podman
from tapwright.adapters import dockerapi
from tapwright.config import Config
from tapwright.control.local import look
from tapwright.errors import PrivilegeError, ProviderError
from tapwright.model import Answer, Snapshot, Vm, VmKind
from tapwright.plan.steps import Operation
from tapwright.providers.containers import Containers, usual_sockets

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def engine() -> Iterator[Podman]:
    with namespace() as netns, short_folder() as folder, podman(folder, netns) as engine:
        engine.run("web")
        engine.run("logger", "--network", "container:web")
        engine.run("lonely", "--network", "none")
        engine.run("agent", "--network", "host")
        labels = ("--label", "io.kubernetes.pod.name=db-0", "--label", "io.kubernetes.pod.namespace=shop")
        engine.run("k8s_db", *labels)
        engine("create", "--name", "asleep", "localhost/busybox:test")
        yield engine


@pytest.fixture(scope="module")
def snapshot(engine: Podman) -> Snapshot:
    return Containers([engine.socket]).snapshot()


def vm(snapshot: Snapshot, name: str) -> Vm:
    return next(vm for vm in snapshot.vms if name in (vm.name, *vm.aliases))


def inside(vm: Vm) -> int:
    """Inode of the namespace of its first process."""
    return Path(f"/proc/{vm.pid}/ns/net").stat().st_ino


def test_probe(engine: Podman) -> None:
    assert Containers([engine.socket]).probe().answer is Answer.YES
    assert Containers([f"unix://{engine.socket}"]).probe().answer is Answer.YES


def test_a_container(engine: Podman, snapshot: Snapshot) -> None:
    web = vm(snapshot, "web")
    assert (web.kind, web.state) == (VmKind.CONTAINER, "running")
    assert web.id == engine("inspect", "web", "--format", "{{.ID}}")
    assert web.id[:12] in web.aliases
    (eth0,) = web.vnics
    assert eth0.name == "eth0"
    assert eth0.mac == engine("inspect", "web", "--format", "{{.NetworkSettings.Networks.podman.MacAddress}}")
    address = engine("inspect", "web", "--format", "{{.NetworkSettings.Networks.podman.IPAddress}}")
    assert f"{address}/16" in eth0.addresses
    assert eth0.inner
    assert eth0.inner.netns == inside(web)


def test_containers_of_one_namespace_are_one_vm(snapshot: Snapshot) -> None:
    assert vm(snapshot, "logger") is vm(snapshot, "web")
    assert vm(snapshot, "logger").name == "web"


def test_a_pod_is_called_by_its_name(snapshot: Snapshot) -> None:
    pod = vm(snapshot, "k8s_db")
    assert pod.name == "db-0"
    assert "shop/db-0" in pod.aliases


def test_a_container_on_the_hosts_network_has_no_vnic(engine: Podman, snapshot: Snapshot) -> None:
    agent = vm(snapshot, "agent")
    assert inside(agent) == inode(engine.netns)
    assert agent.vnics == ()


def test_a_container_without_a_network(snapshot: Snapshot) -> None:
    assert vm(snapshot, "lonely").vnics == ()


def test_a_container_that_does_not_run(snapshot: Snapshot) -> None:
    asleep = vm(snapshot, "asleep")
    assert (asleep.state, asleep.pid, asleep.vnics) == ("created", 0, ())


def test_its_namespace_is_known_and_can_be_entered(snapshot: Snapshot) -> None:
    paths = {netns.inode: netns.path for netns in snapshot.netns}
    web = inside(vm(snapshot, "web"))
    assert Path(paths[web]).stat().st_ino == web


def test_the_kernel_and_the_engine_see_one_vm(engine: Podman) -> None:
    """Without namespace patterns, so that the kernel's provider looks into containers too."""
    topology = look(Config(providers=("linux", "containers"), docker=(engine.socket,)))
    (web,) = (vm for vm in topology.vms if vm.name == "web" and "containers" in vm.providers)
    assert set(web.providers) == {"containers", "linux"}
    (eth0,) = web.vnics
    port = topology.port_of(eth0)
    assert port
    switch = topology.switch(port.switch)
    assert switch
    assert switch.name in ("podman0", "cni-podman0")  # of netavark, of CNI
    assert switch.netns == inode(engine.netns)


def test_what_the_engine_made_is_told_where_the_namespace_is_closed(
    engine: Podman, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a user of the docker group, who may ask the engine but not enter the namespace."""
    monkeypatch.setattr("tapwright.providers.containers._inside", lambda spaces: {})
    (vnic,) = vm(Containers([engine.socket]).snapshot(), "web").vnics
    assert (vnic.name, vnic.inner) == ("podman", None)
    assert vnic.mac == engine("inspect", "web", "--format", "{{.NetworkSettings.Networks.podman.MacAddress}}")


def test_a_container_that_comes_and_goes(engine: Podman) -> None:
    engine.run("brief")
    assert vm(Containers([engine.socket]).snapshot(), "brief").state == "running"
    engine("rm", "-f", "-t", "0", "brief")
    assert "brief" not in {vm.name for vm in Containers([engine.socket]).snapshot().vms}


HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


def answer(body: bytes) -> bytes:
    return HTTP % (len(body), body)


def test_an_engine_that_accepts_and_never_answers(tmp_path: Path) -> None:
    with sockets.server(tmp_path / "s", sockets.silence) as path, pytest.raises(ProviderError, match="does not answer"):
        dockerapi.read(str(path), timeout=0.3)


def test_an_engine_that_drips(tmp_path: Path) -> None:
    """Each byte comes in time and the answer never does: the limit is on the whole conversation."""
    drip = sockets.drips(b"HTTP/1.1 200 OK\r\n", b"X-Drip: 1\r\n")
    with sockets.server(tmp_path / "s", drip) as path, pytest.raises(ProviderError):
        dockerapi.read(str(path), timeout=0.3)


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        answer(b"{}"),
        answer(b"[{}]"),
        answer(b'[{"Id": 7}]'),
        answer(b'[{"Id": "../../etc/passwd"}]'),
        answer(b'[{"Id": "a\\r\\nHost: x"}]'),
        answer(b"[" * 100_000),
    ],
)
def test_answers_that_make_no_sense(tmp_path: Path, said: bytes) -> None:
    with sockets.server(tmp_path / "s", sockets.says(said)) as path, pytest.raises(ProviderError, match="no sense"):
        dockerapi.read(str(path), timeout=5)


def test_an_answer_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dockerapi, "_MOST", 1 << 20)
    endless = sockets.drips(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65536)
    with sockets.server(tmp_path / "s", endless) as path, pytest.raises(ProviderError, match="larger than"):
        dockerapi.read(str(path), timeout=10)


def test_nobody_listens(tmp_path: Path) -> None:
    with sockets.server(tmp_path / "s", sockets.silence) as path:
        pass
    with pytest.raises(ProviderError, match="refused"):
        Containers([str(path)]).snapshot()


def test_a_refusal_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, timeout: float) -> tuple[dockerapi.Container, ...]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(dockerapi, "_containers", refuse)
    with pytest.raises(PrivilegeError) as raised:
        dockerapi.read(str(tmp_path / "s"))
    assert "sudo" in raised.value.hint


def test_no_socket_is_a_no_with_the_next_step() -> None:
    capability = Containers(["/nonexistent/docker.sock"]).probe()
    assert capability.answer is Answer.NO
    assert "TAPWRIGHT_DOCKER" in capability.fix


def test_the_usual_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///home/u/docker.sock")
    monkeypatch.setenv("CONTAINER_HOST", "ssh://elsewhere/podman.sock")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert usual_sockets() == (
        "/home/u/docker.sock",
        "/run/docker.sock",
        "/run/podman/podman.sock",
        "/run/user/7/docker.sock",
        "/run/user/7/podman/podman.sock",
    )


def test_unknown_verbs_are_refused() -> None:
    with pytest.raises(ProviderError, match="cannot perform"):
        Containers().perform(Operation("containers", "explode"))
