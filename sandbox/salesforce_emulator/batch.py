"""`/composite/batch`: independent calls in one."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from sandbox.salesforce_emulator.bundles import ERRORS_FROM, MOST_SUBREQUESTS, body_of, flag_of
from sandbox.salesforce_emulator.errors import SalesforceError, not_found, not_modelled
from sandbox.salesforce_emulator.rest import Call, Rest
from sandbox.serving import Response

_HALTED = SalesforceError("BATCH_PROCESSING_HALTED", "Batch processing halted per request", status=412, fields=None)


def answer_batch(rest: Rest, call: Call) -> dict[str, Any]:
    """Answer the parts in their order. Salesforce: each counts as a call, and one that fails leaves the others be."""
    given = body_of(call, {"batchRequests", "haltOnError"})
    halt_on_error = flag_of(given, "haltOnError")
    calls = _batch_calls(given.get("batchRequests"), call)
    rest.calls_used += len(calls) - 1
    results: list[dict[str, Any]] = []
    has_errors = False
    for each in calls:
        halted = halt_on_error and has_errors
        response = Response(_HALTED.status, _HALTED.body()) if halted else _part(rest, each)
        results.append({"statusCode": response.status, "result": response.body})
        has_errors = has_errors or response.status >= ERRORS_FROM
    return {"hasErrors": has_errors, "results": results}


def _part(rest: Rest, call: Call) -> Response:
    try:
        if call.segments[:1] == ("composite",):
            raise not_modelled("A composite within a batch")
        return rest.answer(call)
    except SalesforceError as error:
        return Response(error.status, error.body())


def _batch_calls(given: object, batch: Call) -> list[Call]:
    """The calls of a batch. Salesforce: a url there starts with the version, `v67.0/…`; here it must be the batch's own."""
    if not isinstance(given, list) or not given or not all(isinstance(part, dict) for part in given):
        raise SalesforceError("JSON_PARSER_ERROR", "batchRequests must be an array of subrequests", fields=None)
    if len(given) > MOST_SUBREQUESTS:
        raise SalesforceError("LIMIT_EXCEEDED", f"A batch takes at most {MOST_SUBREQUESTS} subrequests.", fields=None)
    calls = []
    for part in given:
        if unknown := part.keys() - {"method", "url", "richInput"}:
            raise SalesforceError("JSON_PARSER_ERROR", f"Unrecognized field: {', '.join(sorted(unknown))}", fields=None)
        if not all(isinstance(part.get(key), str) for key in ("method", "url")):
            raise SalesforceError("JSON_PARSER_ERROR", "A subrequest needs method and url", fields=None)
        url = urlsplit(part["url"].removeprefix("/services/data/"))
        if not url.path.startswith(f"{batch.version}/"):
            raise not_found(f"A subrequest stays within {batch.version}/: {part['url'][:80]}")
        segments = tuple(unquote(segment) for segment in url.path.split("/")[1:] if segment)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        calls.append(Call(part["method"], batch.version, segments, query, part.get("richInput")))
    return calls
