"""API Gateway's REST proxy integration: its event as a plain request, and a plain answer as what it expects back."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orderphase.ingress.documents import EventError


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. Header names are lower case; `body` is the bytes as they were sent; `id` is API Gateway's own.

    parameters: the parts of the path that the route leaves open, by name. resource: the route, as `/stripe/{account}/events`.
    """

    headers: Mapping[str, str]
    body: bytes
    id: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    resource: str = ""


def request_from(event: Mapping[str, Any]) -> Request:
    """Read a proxy event (payload version 1.0).

    API Gateway: header names keep the case in which they were sent; of a header given twice, `headers` has the last;
    `headers`, `body` and `pathParameters` are null where there are none. Raises `EventError` for a body that is said to be
    base64 and is not.
    """
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    text = event.get("body") or ""
    try:
        # Half a surrogate pair is no text, but so it has bytes; they are no JSON, and are refused as such.
        body = base64.b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode("utf-8", "surrogatepass")
    except ValueError:
        raise EventError("body: is not base64") from None
    return Request(
        headers,
        body,
        event["requestContext"]["requestId"],
        event.get("pathParameters") or {},
        event.get("resource") or "",
    )


CORRELATION_HEADER = "X-Orderphase-Correlation-Id"
"""Tells the sender under which id its request is found in the logs and in the sync log."""


def response_from(status: int, body: Any, correlation_id: str) -> dict[str, Any]:
    """The answer as API Gateway expects it from a function: text in `body` is XML, all else becomes JSON."""
    is_xml = isinstance(body, str)
    return {
        "statusCode": status,
        "headers": {
            "Content-Type": "text/xml; charset=utf-8" if is_xml else "application/json",
            CORRELATION_HEADER: correlation_id,
        },
        "body": body if is_xml else json.dumps(body),
        "isBase64Encoded": False,
    }
