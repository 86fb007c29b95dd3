"""Waiting for a switch's database."""

import socket
import threading
from pathlib import Path

import pytest

from tapwright.errors import ProviderError
from tapwright.lab.openvswitch import await_server


def test_a_socket_that_nobody_listens_at_yet_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "db.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))  # from here on the file is there, and whoever connects is refused
        with pytest.raises(ConnectionRefusedError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(path))
        later = threading.Timer(0.2, server.listen)
        later.start()
        await_server(path, tmp_path / "log")
        later.join()


@pytest.mark.parametrize("bound", [True, False])
def test_one_that_never_comes_is_told_with_its_own_words(tmp_path: Path, bound: bool) -> None:
    path, log = tmp_path / "db.sock", tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        if bound:
            server.bind(str(path))
        with pytest.raises(ProviderError, match="nobody listens"):
            await_server(path, log, 0.05)
        log.write_text("ovsdb-server: cannot open conf.db\n")
        with pytest.raises(ProviderError, match="did not start: ovsdb-server: cannot open"):
            await_server(path, log, 0.05)
