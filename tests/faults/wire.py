"""Every remote call of a function, numbered: HTTP to the vendors, each operation of AWS. Any can be struck by a fault."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from unittest.mock import patch
from urllib.parse import urlsplit

import requests
from botocore.client import BaseClient
from requests.adapters import HTTPAdapter

from sandbox.serving import Emulator

_IDS = re.compile(r"/(?:(?:[a-z]+_)+\w*\d[\w-]*|[0-9A-Za-z]{18})(?=/|$)")
_NOWHERE = "http://127.0.0.1:1"
"""Where nobody listens."""

_over_http = HTTPAdapter.send
"""As it is before anything that stands for AWS has a look at each request."""

_READS = ("BatchGetItem", "GetItem", "GetSecretValue", "ListEventSourceMappings", "Query", "ReceiveMessage", "Scan")


class KilledError(BaseException):
    """The process ends here: nothing catches it, nothing is cleaned up."""


@dataclass(slots=True)
class Call:
    """One remote call. `system`: `Stripe`, `Salesforce`, or the AWS service. `done`: whether it has reached the other side.

    writes: whether it may change something there. keyed: whether Stripe keeps its answer under an idempotency key. login:
    whether it asks for a token. emulator: of the vendor, None for AWS.
    """

    system: str
    name: str
    writes: bool = False
    keyed: bool = False
    login: bool = False
    emulator: Emulator | None = field(default=None, repr=False)
    done: bool = False

    def __str__(self) -> str:
        return f"{self.system} {self.name}"


class Send(Protocol):
    """Makes the call in fact. `read_timeout`: seconds to wait for the answer; `nowhere`: nobody listens. Both of HTTP alone."""

    def __call__(self, *, read_timeout: float | None = None, nowhere: bool = False) -> Any: ...


class Strike(Protocol):
    """What a fault does with a call: it makes it or does not, and answers or raises what the client gets to see."""

    def __call__(self, call: Call, send: Send) -> Any: ...


class Wire:
    """Stands between a function and the rest of the world; one call goes through at a time.

    vendors: name and emulator, by the URL that it is reached at. simulated: what stands for an AWS service, by its name.
    trace: the calls of the delivery so far. struck: how many faults have struck in it.
    """

    def __init__(
        self,
        vendors: Mapping[str, tuple[str, Emulator]],
        simulated: Mapping[str, Callable[[str, Mapping[str, Any]], Any]],
    ) -> None:
        self.trace: list[Call] = []
        self.struck = 0
        self._vendors = vendors
        self._simulated = simulated
        self._faults: Mapping[int, Strike] = {}
        self._watching = self._dead = False
        self._lock = threading.RLock()

    @contextmanager
    def delivery(self, faults: Mapping[int, Strike]) -> Iterator[None]:
        """Number the calls from 0 on, and let faults strike those of these numbers."""
        self.trace, self.struck, self._faults = [], 0, faults
        self._watching, self._dead = True, False
        try:
            yield
        finally:
            self._watching = False

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Have every call of this process go through here."""
        operation = BaseClient._make_api_call  # type: ignore[attr-defined]  # botocore has no other place

        def by_http(adapter: HTTPAdapter, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
            def send(*, read_timeout: float | None = None, nowhere: bool = False) -> requests.Response:
                if read_timeout is not None:
                    kwargs["timeout"] = (kwargs["timeout"][0], read_timeout)
                if nowhere:
                    request.url = _NOWHERE
                return _over_http(adapter, request, *args, **kwargs)

            answer: requests.Response = self._through(self._request(request), send)
            return answer

        def by_aws(client: Any, name: str, params: dict[str, Any]) -> Any:
            service = client.meta.service_model.service_name

            def send(**_: Any) -> Any:
                simulated = self._simulated.get(service)
                return simulated(name, params) if simulated else operation(client, name, params)

            return self._through(_operation(service, name, params), send)

        with patch.object(HTTPAdapter, "send", by_http), patch.object(BaseClient, "_make_api_call", by_aws):
            yield

    def _through(self, call: Call, send: Send) -> Any:
        with self._lock:
            if not self._watching:
                return send()
            if self._dead:
                raise KilledError
            fault = self._faults.get(len(self.trace))
            self.trace.append(call)

            def reaching(**how: Any) -> Any:
                call.done = True
                return send(**how)

            if fault is None:
                return reaching()
            self.struck += 1
            try:
                return fault(call, reaching)
            except KilledError:
                self._dead = True
                raise

    def _request(self, request: requests.PreparedRequest) -> Call:
        url = urlsplit(request.url or "")
        system, emulator = self._vendors[f"{url.scheme}://{url.netloc}"]
        method = request.method or ""
        name = f"{method} {_IDS.sub('/:id', url.path)}"
        keyed = method == "POST" and "Idempotency-Key" in request.headers
        return Call(system, name, method != "GET", keyed, url.path.endswith("/token"), emulator)


def _operation(service: str, name: str, params: Mapping[str, Any]) -> Call:
    about = params.get("TableName") or params.get("SecretId") or params.get("QueueUrl", "").rpartition("/")[2]
    about = about or next(iter(params.get("RequestItems", {})), "")
    return Call(service, f"{name} {about}".rstrip(), name not in _READS)
