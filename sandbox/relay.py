"""Lets a container reach the local stack, which listens on loopback addresses only.

A socket file joins both sides: the host serves it and passes on to its own loopback port; in the container, where the file's
folder is mounted, the same port is served and passed on to the file. So 127.0.0.1:8080 means the same in both.

This file is copied into the container beside the handler, so it imports the standard library only.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path

CHUNK = 65536

Connect = Callable[[], socket.socket]


def to_port(folder: Path, port: int) -> socket.socket:
    """On the host: serve the socket file of `port` in `folder`, and pass each connection on to 127.0.0.1:`port`."""
    path = folder / f"{port}.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    # The container's user is not ours.
    path.chmod(0o777)
    _serve(listener, lambda: socket.create_connection(("127.0.0.1", port)))
    return listener


def from_files(folder: Path) -> None:
    """In the container: for each socket file in `folder`, serve its port on 127.0.0.1 and pass connections on to the file."""
    for path in folder.glob("*.sock"):
        listener = socket.create_server(("127.0.0.1", int(path.stem)))
        _serve(listener, _file_connector(path))


def _file_connector(path: Path) -> Connect:
    def connect() -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(path))
        return connection

    return connect


def _serve(listener: socket.socket, connect: Connect) -> None:
    listener.listen()

    def accept() -> None:
        # Closing the listener ends the loop.
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                threading.Thread(target=_join, args=(near, connect), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def _join(near: socket.socket, connect: Connect) -> None:
    with near, contextlib.suppress(OSError), connect() as far:
        back = threading.Thread(target=_pump, args=(far, near), daemon=True)
        back.start()
        _pump(near, far)
        back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            sink.sendall(data)
    # The end of one direction is passed on; the other may still have something to say.
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
