"""Unix sockets whose other end misbehaves."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def server(path: Path, serve: Callable[[socket.socket], None]) -> Iterator[Path]:
    """Accepts one connection after another and hands each to `serve`; connections end with the block."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()
    open_: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                open_.append(connection)
                with suppress(OSError):
                    serve(connection)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield path
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in open_:
            connection.close()
        thread.join(timeout=10)


def silence(connection: socket.socket) -> None:
    """Say nothing, for as long as the test lasts."""


def says(text: bytes) -> Callable[[socket.socket], None]:
    """Wait for a question, give this answer and nothing more; the connection stays open."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(text)

    return serve


def drips(first: bytes, piece: bytes) -> Callable[[socket.socket], None]:
    """Wait for a question, begin an answer, and never come to its end."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(first)
        while True:
            connection.sendall(piece)

    return serve
