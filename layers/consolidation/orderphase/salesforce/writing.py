"""Writing to Salesforce: many records in one request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Any

from orderphase.errors import ConfigurationError, DataError, OrderphaseError
from orderphase.salesforce.client import API_VERSION, SalesforceClient, classified

COLLECTION_SIZE = 200
"""Salesforce: a collection request takes 200 records."""


@dataclass(frozen=True, slots=True)
class Update:
    """New values for fields of one record."""

    object: str
    id: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Creation:
    """A new record."""

    object: str
    fields: Mapping[str, Any]


def write_back(client: SalesforceClient, updates: Iterable[Update], creations: Sequence[Creation] = ()) -> None:
    """Write all updates, 200 records a request, each request all or nothing. Raises the first refusal, classified.

    Salesforce: records of one type stand together, because it takes ten changes of type at most. Few creations go along with
    the last updates, in the same request.
    """
    ordered = sorted(updates, key=lambda update: update.object)
    batches = [[*batch] for batch in batched(ordered, COLLECTION_SIZE, strict=False)]
    if creations and not batches:
        batches = [[]]
    for number, batch in enumerate(batches, 1):
        records = [{"attributes": {"type": update.object}, "Id": update.id, **update.fields} for update in batch]
        names = [f"{update.object} {update.id}" for update in batch]
        if number < len(batches) or not creations:
            _check(call(client, "PATCH", "composite/sobjects", {"allOrNone": True, "records": records}), names)
            continue
        added = [{"attributes": {"type": one.object}, **one.fields} for one in creations]
        _write_both(client, records, names, added, [f"a new {one.object}" for one in creations])


def _write_both(
    client: SalesforceClient,
    records: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    added: Sequence[Mapping[str, Any]],
    new_names: Sequence[str],
) -> None:
    parts = [("PATCH", "updated", records, names)] if records else []
    parts.append(("POST", "created", added, new_names))
    asked = {
        reference: {"method": method, "url": "composite/sobjects", "body": {"allOrNone": True, "records": some}}
        for method, reference, some, _ in parts
    }
    answers = composite(client, asked, all_or_none=True)
    for _, reference, _, about in parts:
        answer = answers[reference]["body"]
        if not isinstance(answer, list):
            raise classified(None, f"Salesforce answers {answer!r} to what was written")
        if answer and "success" not in answer[0]:
            if answer[0].get("errorCode") != "PROCESSING_HALTED":
                raise not_about_data(classified(answer[0].get("errorCode"), f"Salesforce refuses: {answer[0].get('message')}"))
        else:
            _check(answer, about)


def _check(results: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    for name, result in zip(names, results, strict=True):
        for error in result["errors"]:
            if error["statusCode"] not in ("ALL_OR_NONE_OPERATION_ROLLED_BACK", "PROCESSING_HALTED"):
                raise classified(error["statusCode"], f"Salesforce refuses to write to {name}: {error['message']}")


def composite(
    client: SalesforceClient, parts: Mapping[str, Mapping[str, Any]], *, all_or_none: bool
) -> dict[str, Mapping[str, Any]]:
    """Make several requests in one, in their order. `parts`: by name, each with `method`, `url` from the version on, `body`.

    Answers what came of each, by name: `httpStatusCode` and `body`. Raises what concerns the whole.
    """
    asked = [
        {**part, "url": f"/services/data/v{API_VERSION}/{part['url']}", "referenceId": name} for name, part in parts.items()
    ]
    body = {"allOrNone": all_or_none, "collateSubrequests": False, "compositeRequest": asked}
    repeatable = all(part["method"] != "POST" for part in asked)
    answer = call(client, "POST", "composite", body, repeatable=repeatable)
    return {part["referenceId"]: part for part in answer["compositeResponse"]}


def call(
    client: SalesforceClient, method: str, path: str, body: Mapping[str, Any] | None = None, *, repeatable: bool | None = None
) -> Any:
    """Make one request, where a refusal is not about a record."""
    try:
        return client.call(method, path, body, repeatable=repeatable)
    except DataError as problem:
        raise not_about_data(problem) from None


def not_about_data(problem: OrderphaseError) -> OrderphaseError:
    """A refusal of a whole call or of a query is not about a record: the API, a permission or the mapping is at fault."""
    return ConfigurationError(problem.message, code=problem.code) if isinstance(problem, DataError) else problem
