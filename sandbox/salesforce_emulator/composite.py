"""Calls that bundle others: `/composite` with references between its parts; the other bundles are passed on."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from sandbox.salesforce_emulator.batch import answer_batch
from sandbox.salesforce_emulator.bundles import ERRORS_FROM, MOST_SUBREQUESTS, Undo, body_of, flag_of
from sandbox.salesforce_emulator.errors import SalesforceError, not_found, not_modelled
from sandbox.salesforce_emulator.records import Records
from sandbox.salesforce_emulator.rest import Call, Rest
from sandbox.salesforce_emulator.sobject_collections import Collections
from sandbox.serving import Response

MOST_QUERIES_AND_COLLECTIONS = 5

_REFERENCE = re.compile(r"@\{(\w+)((?:\.\w+|\[\d+\])+)\}")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_OBJECT = re.compile(r"^/services/data/v[^/]+/sobjects/(\w+)")
_SUBREQUEST_KEYS = frozenset({"method", "url", "referenceId", "body", "httpHeaders"})
_ROLLED_BACK = "The transaction was rolled back since another operation in the same transaction failed."


class Composite:
    """Answers every call below a version; those that bundle nothing are left to `Rest`."""

    def __init__(self, records: Records, rest: Rest) -> None:
        self._records = records
        self._rest = rest
        self._collections = Collections(records)

    def answer(self, call: Call) -> Response:
        """Answer one call. Raises SalesforceError where it is refused as a whole."""
        return self._answer(call, all_or_none=False)

    def _answer(self, call: Call, *, all_or_none: bool) -> Response:
        """`all_or_none`: of the composite call that this is a part of."""
        match call.method, *call.segments:
            case "POST", "composite":
                return Response(body={"compositeResponse": self._composite(call)})
            case "POST", "composite", "batch":
                return Response(body=answer_batch(self._rest, call))
            case _, "composite", "sobjects", *_:
                return Response(body=self._collections.answer(call, all_or_none=all_or_none))
            case _, "composite", *_:
                raise not_modelled(f"{call.method} /{'/'.join(call.segments)}")
            case _:
                return self._rest.answer(call)

    # /composite

    def _composite(self, call: Call) -> list[dict[str, Any]]:
        given = body_of(call, {"compositeRequest", "allOrNone", "collateSubrequests"})
        parts = _subrequests(given.get("compositeRequest"), call.version)
        order = _collated(parts) if flag_of(given, "collateSubrequests", default=True) else parts
        all_or_none = flag_of(given, "allOrNone")
        try:
            with ExitStack() as stack:
                if all_or_none:
                    stack.enter_context(self._records.transaction())
                done = self._run(order, call.version, all_or_none=all_or_none)
        except Undo as undone:
            failed: dict[str, Response] = undone.answer
            halted = Response(400, [{"errorCode": "PROCESSING_HALTED", "message": _ROLLED_BACK}])
            done = {part["referenceId"]: halted for part in parts} | failed
        return [_result(part, done[part["referenceId"]]) for part in parts]

    def _run(self, parts: list[Mapping[str, Any]], version: str, *, all_or_none: bool) -> dict[str, Response]:
        """The answers to the parts, one after the other.

        Salesforce: an allOrNone composite makes its collections allOrNone too. That a collection that failed is shown there
        with its list of results and status 200 is inferred.
        """
        done: dict[str, Response] = {}
        for part in parts:
            answers = {name: response.body for name, response in done.items()}
            response = self._subrequest(part, answers, version, all_or_none=all_or_none)
            done[part["referenceId"]] = response
            if all_or_none and (response.status >= ERRORS_FROM or _has_failed_record(response)):
                raise Undo({part["referenceId"]: response})
        return done

    def _subrequest(self, part: Mapping[str, Any], answers: Mapping[str, Any], version: str, *, all_or_none: bool) -> Response:
        try:
            url = urlsplit(str(_resolved(part["url"], answers)))
            segments = tuple(unquote(segment) for segment in url.path.split("/")[4:] if segment)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            headers = {str(name).lower(): str(value) for name, value in part.get("httpHeaders", {}).items()}
            body = _resolved(part.get("body"), answers)
            if segments in (("composite",), ("composite", "batch")):
                raise not_modelled("A composite within a composite")
            return self._answer(Call(part["method"], version, segments, query, body, headers), all_or_none=all_or_none)
        except SalesforceError as error:
            return Response(error.status, error.body())


def _collated(parts: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The parts in another order than they were given: of one method and object together, as far as references allow.

    Salesforce: collated parts run in no certain order unless one refers to the other, and those with headers are not collated.
    Which order they get there is not known; with this one it shows where a client relies on its own.
    """
    order: list[Mapping[str, Any]] = []
    waiting = list(parts)
    while waiting:
        ready = {part["referenceId"] for part in order}
        kind = _kind(waiting[0])
        order += [
            part
            for part in waiting
            if part is waiting[0] or (kind is not None and _kind(part) == kind and _references(part) <= ready)
        ]
        waiting = [part for part in waiting if not any(part is done for done in order)]
    return order


def _kind(part: Mapping[str, Any]) -> tuple[str, str] | None:
    found = None if part.get("httpHeaders") else _OBJECT.match(part["url"])
    return (part["method"], found[1].lower()) if found else None


def _references(part: Mapping[str, Any]) -> set[str]:
    return {match[1] for match in _REFERENCE.finditer(json.dumps([part["url"], part.get("body")], default=str))}


def _subrequests(given: object, version: str) -> list[Mapping[str, Any]]:
    """The parts of a composite call, checked for what Salesforce demands of them as a whole."""
    if not isinstance(given, list) or not given or not all(isinstance(part, dict) for part in given):
        raise SalesforceError("JSON_PARSER_ERROR", "compositeRequest must be an array of subrequests", fields=None)
    if len(given) > MOST_SUBREQUESTS:
        raise SalesforceError("LIMIT_EXCEEDED", f"A composite takes at most {MOST_SUBREQUESTS} subrequests.", fields=None)
    seen: set[str] = set()
    bundles = 0
    for part in given:
        _check_subrequest(part, version)
        if part["referenceId"] in seen:
            raise SalesforceError("INVALID_INPUT", f"Duplicate referenceId: {part['referenceId']}", fields=None)
        seen.add(part["referenceId"])
        bundles += re.search(r"^/services/data/v[^/]+/(query|composite/sobjects)", part["url"]) is not None
    if bundles > MOST_QUERIES_AND_COLLECTIONS:
        message = f"A composite takes at most {MOST_QUERIES_AND_COLLECTIONS} queries and collections."
        raise SalesforceError("LIMIT_EXCEEDED", message, fields=None)
    return given


def _check_subrequest(part: Mapping[str, Any], version: str) -> None:
    if unknown := part.keys() - _SUBREQUEST_KEYS:
        raise SalesforceError("JSON_PARSER_ERROR", f"Unrecognized field: {', '.join(sorted(unknown))}", fields=None)
    if not all(isinstance(part.get(key), str) for key in ("method", "url", "referenceId")):
        raise SalesforceError("JSON_PARSER_ERROR", "A subrequest needs method, url and referenceId", fields=None)
    if not isinstance(part.get("httpHeaders", {}), dict):
        raise SalesforceError("JSON_PARSER_ERROR", "httpHeaders must be an object", fields=None)
    if not re.fullmatch(r"[A-Za-z0-9]\w*", part["referenceId"], re.ASCII):
        raise SalesforceError("INVALID_INPUT", f"Invalid referenceId: {part['referenceId']}", fields=None)
    if not part["url"].startswith(f"/services/data/{version}/"):
        raise not_found(f"A subrequest stays within /services/data/{version}/: {part['url'][:80]}")


def _result(part: Mapping[str, Any], response: Response) -> dict[str, Any]:
    return {
        "body": response.body,
        "httpHeaders": response.headers,
        "httpStatusCode": response.status,
        "referenceId": part["referenceId"],
    }


def _has_failed_record(response: Response) -> bool:
    return isinstance(response.body, list) and any(
        isinstance(each, dict) and each.get("success") is False for each in response.body
    )


def _resolved(value: Any, answers: Mapping[str, Any]) -> Any:
    """A url or body with its `@{…}` replaced. Salesforce: a missing or null value fails the part that refers to it."""
    if isinstance(value, dict):
        return {key: _resolved(each, answers) for key, each in value.items()}
    if isinstance(value, list):
        return [_resolved(each, answers) for each in value]
    if not isinstance(value, str):
        return value
    if whole := _REFERENCE.fullmatch(value):
        return _referenced(whole, answers)
    return _REFERENCE.sub(lambda match: str(_referenced(match, answers)), value)


def _referenced(match: re.Match[str], answers: Mapping[str, Any]) -> str | int | float | bool:
    name, path = match.groups()
    value = answers.get(name)
    for key, index in _STEP.findall(path):
        if key and isinstance(value, dict):
            value = value.get(key)
        elif index and isinstance(value, list) and int(index) < len(value):
            value = value[int(index)]
        else:
            value = None
    if not isinstance(value, str | int | float):
        message = f"Invalid reference specified. No value for {name}{path} found in {name}"
        raise SalesforceError("PROCESSING_HALTED", message, fields=None)
    return value
