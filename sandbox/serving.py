"""Serves an emulator over real HTTP on a loopback address, with a request log and faults that can be injected.

Every emulator answers, beside its own routes, to an administration of its own below `/__emulator__/`:

| request | does |
| --- | --- |
| `GET log`, `DELETE log` | the requests so far, as `{"method", "path", "status", "fault"}`; forget them |
| `GET faults`, `POST faults`, `DELETE faults` | the faults still waiting; add one (the fields of `Fault`); drop all |
| `GET clock`, `POST clock` | its time; `{"advance_seconds": n}` or `{"now": "2026-11-20T10:00:00Z", "frozen": false}` |
| `POST reset` | back to an empty state |
"""

from __future__ import annotations

import json
import re
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self, get_args
from urllib.parse import parse_qs, unquote, urlsplit

from sandbox.clock import Clock

ADMIN = "/__emulator__/"

FaultKind = Literal["refuse", "lost_before", "lost_after", "slow", "stored"]


@dataclass(slots=True)
class Fault:
    """What goes wrong with the next matching requests.

    kind: `refuse` answers with the error named by `error` and does nothing; `lost_before` drops the connection before anything
    is done; `lost_after` does everything and drops the connection instead of answering; `slow` answers after `seconds`;
    `stored` answers with `error` and lets the emulator remember that answer (Stripe does, under the idempotency key).
    error: one of the names that the emulator lists in `errors()`.
    method, path: which requests (`path` is a regular expression, searched in the path and query); none = any.
    skip, times: let the first `skip` matching requests pass, then strike `times` requests.
    """

    kind: FaultKind
    error: str = "500"
    method: str | None = None
    path: str | None = None
    skip: int = 0
    times: int = 1
    seconds: float = 0.0

    def strikes(self, method: str, target: str) -> bool:
        """Whether this request is one to be struck; counts it if so."""
        if self.times <= 0 or (self.method and self.method != method) or (self.path and not re.search(self.path, target)):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. Header names are lower case, `path` is unquoted and has no query."""

    method: str
    path: str
    target: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    fault: Fault | None = None


@dataclass(slots=True)
class Response:
    """An answer; `body` is sent as JSON unless it is bytes."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """The body as it goes over the wire."""
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body, default=str).encode()


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One line of the request log. `status` is None where the connection was dropped instead of answered."""

    method: str
    path: str
    status: int | None
    fault: str | None


class Emulator(ABC):
    """A service served over HTTP. Requests are handled one at a time, under `lock`."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.lock = threading.RLock()
        self.faults: list[Fault] = []
        self.log: list[LoggedRequest] = []

    @abstractmethod
    def handle(self, request: Request) -> Response:
        """Answer one request; called under `lock`."""

    @abstractmethod
    def errors(self) -> Mapping[str, Response]:
        """The errors that a fault can name, as this service words them."""

    @abstractmethod
    def reset(self) -> None:
        """Forget everything, as if newly started."""

    def inject(self, kind: FaultKind, **details: Any) -> None:
        """Add a fault; `details` are the other fields of `Fault`."""
        fault = Fault(kind, **details)
        if kind not in get_args(FaultKind):
            raise ValueError(f"kind: {kind!r} is none of {', '.join(get_args(FaultKind))}")
        if kind in ("refuse", "stored") and fault.error not in self.errors():
            raise ValueError(f"error: {fault.error!r} is none of {', '.join(self.errors())}")
        with self.lock:
            self.faults.append(fault)

    def calls(self, pattern: str = "") -> list[LoggedRequest]:
        """The logged requests whose `METHOD path` matches the regular expression."""
        with self.lock:
            return [entry for entry in self.log if re.search(pattern, f"{entry.method} {entry.path}")]

    def administer(self, request: Request) -> Response:
        """The routes below `/__emulator__/`; see the module's docstring."""
        action = request.path.removeprefix(ADMIN)
        try:
            given = json.loads(request.body) if request.body else {}
            match request.method, action:
                case "GET", "log":
                    return Response(body=[asdict(entry) for entry in self.log])
                case "DELETE", "log":
                    self.log.clear()
                case "GET", "faults":
                    return Response(body=[asdict(fault) for fault in self.faults if fault.times > 0])
                case "POST", "faults":
                    known = {f.name for f in fields(Fault)}
                    if unknown := set(given) - known:
                        raise ValueError(f"{', '.join(sorted(unknown))}: a fault has {', '.join(sorted(known))}")
                    self.inject(**given)
                case "DELETE", "faults":
                    self.faults.clear()
                case "GET", "clock":
                    pass
                case "POST", "clock":
                    if "advance_seconds" in given:
                        self.clock.advance(timedelta(seconds=float(given["advance_seconds"])))
                    else:
                        self.clock.set(datetime.fromisoformat(given["now"]), frozen=bool(given.get("frozen", False)))
                case "POST", "reset":
                    self.reset()
                case _:
                    return Response(404, {"error": f"{request.method} {request.path} is no administration route"})
        except (KeyError, TypeError, ValueError) as problem:
            return Response(400, {"error": str(problem)})
        return Response(body={"now": self.clock.now().isoformat()})


class LoopbackServer:
    """Serves requests with `handler` on 127.0.0.1:`port` (0 = any), on threads of its own, until `close()`."""

    def __init__(self, handler: type[BaseHTTPRequestHandler], port: int = 0) -> None:
        self._http = _ThreadingServer(("127.0.0.1", port), handler)
        self.port: int = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving and free the port."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class Server(LoopbackServer):
    """An emulator on a loopback port, until `close()`."""

    def __init__(self, emulator: Emulator, port: int = 0) -> None:
        self.emulator = emulator
        self.closing = threading.Event()
        super().__init__(type("Handler", (_Handler,), {"emulator": emulator, "closing": self.closing}), port)

    def close(self) -> None:
        """Stop serving, also what waits because of a `slow` fault, and free the port."""
        self.closing.set()
        super().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _ThreadingServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    emulator: Emulator
    closing: threading.Event

    def _serve(self) -> None:
        length = self.headers.get("Content-Length", "0")
        body = self.rfile.read(int(length)) if length.isdigit() else b""
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        emulator, command = self.emulator, self.command
        query = parse_qs(url.query, keep_blank_values=True)
        if url.path.startswith(ADMIN):
            # Moving the clock wakes every emulator that shares it, each under its own lock: none is held meanwhile.
            with nullcontext() if url.path == f"{ADMIN}clock" else emulator.lock:
                return self._answer(emulator.administer(Request(command, url.path, self.path, query, headers, body)))
        with emulator.lock:
            fault = next((f for f in emulator.faults if f.strikes(command, self.path)), None)
        request = Request(command, unquote(url.path), self.path, query, headers, body, fault)
        response: Response | None = None
        if fault is None or fault.kind in ("lost_after", "slow", "stored"):
            with emulator.lock:
                response = emulator.handle(request)
        elif fault.kind == "refuse":
            response = emulator.errors()[fault.error]
        dropped = fault is not None and fault.kind in ("lost_before", "lost_after")
        with emulator.lock:
            status = None if dropped or response is None else response.status
            emulator.log.append(LoggedRequest(command, self.path, status, fault.kind if fault else None))
        if dropped or response is None:
            return self._drop()
        if fault is not None and fault.kind == "slow":
            self.closing.wait(fault.seconds)
        return self._answer(response)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = _serve  # noqa: N815 (the names that the standard server looks for)

    def _answer(self, response: Response) -> None:
        body = response.encoded()
        lines = [f"{self.protocol_version} {response.status} {HTTPStatus(response.status).phrase}"]
        headers = {"Content-Type": "application/json", "X-Emulator": "1", **response.headers, "Content-Length": str(len(body))}
        lines += [f"{name}: {value}" for name, value in headers.items()]
        # One write for head and body: two would wait for each other (Nagle against the delayed acknowledgement).
        payload = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (b"" if self.command == "HEAD" else body)
        try:
            self.wfile.write(payload)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it so)
        """The request log replaces the lines that the standard server would print."""
