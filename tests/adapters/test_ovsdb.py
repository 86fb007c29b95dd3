"""The OVSDB client against servers that misbehave, and the decoding of rows."""

import json
import socket
from pathlib import Path

import pytest

from support import sockets
from tapwright.adapters import ovsdb
from tapwright.errors import ProviderError

EMPTY = [{"rows": []}] * 4


def reply(result: object) -> bytes:
    return json.dumps({"id": 0, "error": None, "result": result}).encode()


def ask(path: Path, timeout: float = 0.3) -> ovsdb.Database:
    return ovsdb.read(f"unix:{path}", timeout)


def test_a_server_that_accepts_and_never_answers(tmp_path: Path) -> None:
    with sockets.server(tmp_path / "s", sockets.silence) as path, pytest.raises(ProviderError, match="does not answer"):
        ask(path)


def test_a_server_that_stops_in_the_middle(tmp_path: Path) -> None:
    half = reply(EMPTY)[:-5]
    with (
        sockets.server(tmp_path / "s", sockets.says(half)) as path,
        pytest.raises(ProviderError, match="does not answer"),
    ):
        ask(path)


def test_a_server_that_hangs_up(tmp_path: Path) -> None:
    with (
        sockets.server(tmp_path / "s", lambda connection: connection.shutdown(socket.SHUT_RDWR)) as path,
        pytest.raises(ProviderError, match=r"in the middle|broke off"),
    ):
        ask(path)


@pytest.mark.parametrize("piece", [b" " * 4096, b"{}" * 2048])
def test_a_server_that_never_comes_to_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: bytes) -> None:
    monkeypatch.setattr(ovsdb, "_MOST", 1 << 16)
    with sockets.server(tmp_path / "s", sockets.drips(b"", piece)) as path, pytest.raises(ProviderError):
        ask(path, 5.0)


def test_nobody_listens(tmp_path: Path) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "s"))
    stale.close()
    assert ovsdb.reachable(str(tmp_path / "s")) == "connection refused"
    with pytest.raises(ProviderError, match="refused"):
        ask(tmp_path / "s")


def test_a_queue_that_is_full(tmp_path: Path) -> None:
    """A stuck server whose backlog is full must not make even connecting wait."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(tmp_path / "s"))
        listener.listen(0)
        first.connect(str(tmp_path / "s"))
        with pytest.raises(ProviderError, match="does not answer"):
            ask(tmp_path / "s")


@pytest.mark.parametrize("remote", ["/run/db.sock", "tcp:127.0.0.1:6640", "unix:", ""])
def test_only_unix_sockets(remote: str) -> None:
    with pytest.raises(ProviderError, match="not an OVSDB socket"):
        ovsdb.read(remote)


@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b"[]",
        b'{"result": null}',
        reply([]),
        reply([*EMPTY, {"rows": []}]),
        reply([{"rows": [{"_uuid": "x"}]}, *EMPTY[1:]]),
        reply([*EMPTY[:2], {"rows": [{"_uuid": ["uuid", ["map", []]], "name": 7}]}, *EMPTY[3:]]),
        reply([*EMPTY[:3], {"rows": [{"output_port": 7}]}]),
        reply([{"error": "unknown column", "details": 'No column tag in table "Port".'}, *EMPTY[1:]]),
        b'{"result": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_answers_that_make_no_sense(text: bytes) -> None:
    with pytest.raises(ProviderError, match="made no sense"):
        ovsdb.bridges(text)


def test_an_error_says_what_the_server_said() -> None:
    with pytest.raises(ProviderError, match="No column tag"):
        ovsdb.bridges(reply([{"error": "e", "details": 'No column tag in table "Port".'}, *EMPTY[1:]]))


def test_sets_of_one_maps_and_references() -> None:
    interface = {
        "_uuid": ["uuid", "i1"], "name": "vnet1", "type": "", "ifindex": 3, "mtu": ["set", []],
        "error": ["set", []], "external_ids": ["map", [["iface-id", "inner"]]],
        "options": ["map", []], "status": ["map", []], "statistics": ["map", [["rx_packets", 7]]],
    }  # fmt: skip
    port = {
        "_uuid": ["uuid", "p1"], "name": "vnet1", "interfaces": ["uuid", "i1"], "tag": 0, "trunks": ["set", [30, 20]],
        "external_ids": ["map", [["iface-id", "outer"], ["pod-name", "web"]]],
    }  # fmt: skip
    bridge = {"_uuid": ["uuid", "b1"], "name": "br0", "datapath_type": "", "ports": ["set", [["uuid", "p1"]]]}
    mirror = {"output_port": ["uuid", "p1"]}
    (found,) = ovsdb.bridges(reply([{"rows": [row]} for row in (bridge, port, interface, mirror)]))
    (row,) = found.ports[0].interfaces
    assert found.ports[0].tag == 0
    assert found.ports[0].trunks == (20, 30)
    assert found.ports[0].takes_copies
    assert (row.ifindex, row.mtu, row.error) == (3, 0, "")
    assert row.external_ids == {"iface-id": "inner", "pod-name": "web"}
    assert row.statistics == {"rx_packets": 7}
