"""The floor under a function: nothing but its HTTP requests, as `recorder` has written them down.

An event is `{"number": n}`: the requests of the line n of the file named by `ORDERPHASE_RECORD` are sent, one after the other,
and each answer is read to its end. `by_clients` sends each with the client that its library sends with: requests for Salesforce
and Stripe, urllib3 for AWS. `by_hand` sends them with the standard library alone, as the bytes that they are. Connections are
kept.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import ssl
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import requests
import urllib3


class _Request(NamedTuple):
    """A request as it was sent, and in its parts."""

    host: str
    port: int
    encrypted: bool
    text: bytes
    method: str
    url: str
    headers: dict[str, str]
    body: bytes


def _read(host: str, port: int, encrypted: bool, text: bytes) -> _Request:  # noqa: FBT001 (as it stands in the file)
    head, _, body = text.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    # They are the client's own business.
    for name in ("Content-Length", "Host"):
        headers.pop(name, None)
    return _Request(host, port, encrypted, text, method, f"http{'s' * encrypted}://{host}:{port}{path}", headers, body)


_RECORD = [
    [_read(host, port, encrypted, base64.b64decode(text)) for host, port, encrypted, text in json.loads(line)]
    for line in Path(os.environ["ORDERPHASE_RECORD"]).read_text().splitlines()
]
_session = requests.Session()
# As those of the vendors' libraries here: no `.netrc` is looked for.
_session.auth = lambda request: request
_pool = urllib3.PoolManager(ca_certs=os.environ["AWS_CA_BUNDLE"])


def by_clients(event: Any, context: object) -> dict[str, int]:  # noqa: ARG001 (Lambda gives it)
    """Send them with requests and urllib3."""
    for one in _RECORD[event["number"]]:
        if any(name.lower() == "x-amz-date" for name in one.headers):
            _pool.request(one.method, one.url, headers=one.headers, body=one.body, redirect=False, timeout=10, retries=False)
        else:
            _session.request(one.method, one.url, headers=one.headers, data=one.body, allow_redirects=False, timeout=10)
    return {"requests": len(_RECORD[event["number"]])}


@cache
def _connected(host: str, port: int, encrypted: bool) -> socket.socket:  # noqa: FBT001 (a key of the cache)
    plain = socket.create_connection((host, port), 10)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not encrypted:
        return plain
    return ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"]).wrap_socket(plain, server_hostname=host)


def by_hand(event: Any, context: object) -> dict[str, int]:  # noqa: ARG001 (Lambda gives it)
    """Send them as they are, and have the standard library read the answers."""
    for one in _RECORD[event["number"]]:
        connection = _connected(one.host, one.port, one.encrypted)
        connection.sendall(one.text)
        answer = http.client.HTTPResponse(connection, method=one.method)
        answer.begin()
        answer.read()
        if answer.will_close:
            _connected.cache_clear()
    return {"requests": len(_RECORD[event["number"]])}
