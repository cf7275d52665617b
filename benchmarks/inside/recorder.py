"""The handler of a function, with every HTTP request that it sends written down, byte by byte.

Put beside the function's own code: Lambda's runtime is told `recorder.handler` instead of `app.handler`. Each invocation adds a
line to the file named by `ORDERPHASE_RECORD`: a list of `[host, port, whether it is TLS, the request in base64]`. Every client
sends through the standard library's `http.client` in the end.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
from http.client import HTTPConnection
from pathlib import Path
from ssl import SSLSocket
from typing import Any

_METHODS = (b"DELETE ", b"GET ", b"PATCH ", b"POST ", b"PUT ")

_sent: list[tuple[HTTPConnection, bytearray]] = []
_send = HTTPConnection.send


def _keep(connection: HTTPConnection, data: Any) -> None:
    data = data.read() if hasattr(data, "read") else bytes(data)
    # Head and body may come apart.
    if data.startswith(_METHODS):
        _sent.append((connection, bytearray(data)))
    else:
        next(request for other, request in reversed(_sent) if other is connection).extend(data)
    _send(connection, data)


HTTPConnection.send = _keep  # type: ignore[method-assign, assignment]  # before the function's own clients are made
app = importlib.import_module("app")


def handler(event: Any, context: Any) -> Any:
    """Have the function handle an event, and write down what it has sent."""
    _sent.clear()
    try:
        return app.handler(event, context)
    finally:
        # Whether it is TLS, the socket tells: urllib3's encrypted connection is not the standard library's.
        requests = [
            [one.host, one.port, isinstance(one.sock, SSLSocket), base64.b64encode(request).decode()] for one, request in _sent
        ]
        with Path(os.environ["ORDERPHASE_RECORD"]).open("a") as record:
            record.write(json.dumps(requests) + "\n")
