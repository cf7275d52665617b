"""The front door of the local stack: one loopback port, behind it the deployed REST API.

In an account the API's own address does this. Locally the API sits below a path that holds its id and stage; the gateway adds
that path, and passes method, query, headers and body on as they came.
"""

from __future__ import annotations

import http.client
import json
import ssl
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from sandbox.serving import LoopbackServer

# HTTP (RFC 9110, 7.6.1): these concern one connection, not the message. `host` names the next server, as with any proxy.
HOP_BY_HOP = frozenset(
    {"connection", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
# API Gateway waits 29 seconds for an integration.
TIMEOUT_SECONDS = 30.0


class Gateway(LoopbackServer):
    """Serves on 127.0.0.1:`port` (0 = any) and forwards to `upstream`, an https URL with the path below which the API is."""

    def __init__(self, upstream: str, *, ca_bundle: str, port: int = 0) -> None:
        target = urlsplit(upstream)
        settings = {"host": target.hostname, "port": target.port, "prefix": target.path.rstrip("/")}
        context = ssl.create_default_context(cafile=ca_bundle)
        super().__init__(type("Handler", (_Handler,), {**settings, "context": context}), port)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    host: str
    port: int
    prefix: str
    context: ssl.SSLContext

    def _forward(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdigit():
            # The body's end cannot be seen, so the connection cannot be used again.
            self.close_connection = True
            return self._refuse(HTTPStatus.LENGTH_REQUIRED, "send the body with a Content-Length")
        body = self.rfile.read(int(length))
        connection = http.client.HTTPSConnection(self.host, self.port, timeout=TIMEOUT_SECONDS, context=self.context)
        try:
            connection.putrequest(self.command, self.prefix + self.path, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return self._answer(answer.status, answer.reason, answer.getheaders(), answer.read())
        except TimeoutError:
            return self._refuse(HTTPStatus.GATEWAY_TIMEOUT, "Endpoint request timed out")
        except (OSError, http.client.HTTPException) as problem:
            return self._refuse(HTTPStatus.BAD_GATEWAY, f"the local AWS does not answer: {problem}")
        finally:
            connection.close()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _forward  # noqa: N815 (names that the base class looks for)

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        body = json.dumps({"message": message}).encode()
        self._answer(status.value, status.phrase, [("Content-Type", "application/json")], body)

    def _answer(self, status: int, reason: str, headers: list[tuple[str, str]], body: bytes) -> None:
        lines = [f"{self.protocol_version} {status} {reason}"]
        lines += [f"{name}: {value}" for name, value in headers if name.lower() not in {*HOP_BY_HOP, "content-length"}]
        lines.append(f"Content-Length: {len(body)}")
        try:
            # One write for head and body: two would wait for each other (Nagle against the delayed acknowledgement).
            self.wfile.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (b"" if self.command == "HEAD" else body))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it so)
        """Say nothing: API Gateway's access log is where requests are listed."""
