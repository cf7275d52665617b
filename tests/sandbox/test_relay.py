"""The relay: a port of the host, through a socket file, to the same port of the container."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import relay


@pytest.fixture
def folder() -> Iterator[Path]:
    # pytest's own folders are too deep for a socket's path.
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def shouting() -> Iterator[int]:
    """A server that answers in capitals once the client has said everything; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            said = b"".join(iter(lambda: connection.recv(65536), b""))
            connection.sendall(said.upper())

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    thread.join()
    listener.close()


def test_bytes_and_ends_go_both_ways(folder: Path, shouting: int) -> None:
    served = relay.to_port(folder, shouting)
    # In one machine the port is taken, so the container's side serves another name for the same file.
    with socket.create_server(("127.0.0.1", 0)) as probe:
        inside = int(probe.getsockname()[1])
    (folder / f"{shouting}.sock").rename(folder / f"{inside}.sock")
    relay.from_files(folder)
    with socket.create_connection(("127.0.0.1", inside)) as connection:
        connection.sendall(b"a" * 300_000)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    served.close()
    assert answer == b"A" * 300_000
