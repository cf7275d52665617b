"""The contract table: one item per contract, with the lease of the run that works on it and the intent ledger.

The lease lets one run at a time work on a contract; its version is the fencing token. The ledger says what is about to be done
to Stripe before it is done, and what became of it afterwards, so that a run after a crash knows what to look for. It never
expires.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import batched
from typing import TYPE_CHECKING, Any, Literal

from orderphase.aws import classified_errors
from orderphase.domain.cancellation import CancellationRequest
from orderphase.domain.lines import BilledAt
from orderphase.domain.phases import Phase
from orderphase.errors import TransientError
from orderphase.store.phases import packed, packed_prices, unpacked, unpacked_prices, without_lines

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LEASE = timedelta(seconds=60)
"""Twice the time that a function may run: whoever holds a lease longer than that is dead."""

EXTENSION_INDEX = "by_extension"
"""The index of the contracts whose schedule needs its next phases, by when."""

_BATCH = 100
"""DynamoDB: a batch reads 100 items at most, and may leave some for another."""

_IDS = ("customer_id", "schedule_id", "subscription_id", "account_id", "org_id")
_TEXTS = (*_IDS, "state", "stripe_account", "given_key", "message")
_PHASES = ("phases", "settled")
_TIMES = ("ends_at", "extend_at")
_EXTENSION = {"S": "due"}

IntentState = Literal["intended", "applied", "recorded"]


@dataclass(frozen=True, slots=True)
class Intent:
    """What is or was to be done for a contract last.

    generation: counts the intents of a contract; each has an idempotency key of its own, and the schedule says which it has.
    state: `intended`, nothing is known of Stripe yet; `applied`, the schedule is so; `recorded`, Salesforce knows it too.
    phases: everything that was sold, with the Stripe prices that bill it, but not of which lines; settled: what was so before,
    while it is `intended`. prices: what each line is billed at that names no price itself;
    before: what it was billed at, while it is `intended`.
    orders: ids of the orders that are billed. account_id, org_id: whom it bills, and where the records are. stripe_account: the
    name of the Stripe account that bills it; None = the one of records that name none. given_key: the event and the
    idempotency key, where whoever asked for it has given one.
    ends_at: for when the contract was cancelled; cancellation: how.
    message: what the orders are to be told beside their ids. extend_at: when the schedule needs its next phases.
    """

    generation: int
    orders: frozenset[str]
    phases: tuple[Phase, ...] = ()
    settled: tuple[Phase, ...] | None = None
    prices: Mapping[str, BilledAt] = field(default_factory=dict)
    before: Mapping[str, BilledAt] = field(default_factory=dict)
    state: IntentState = "intended"
    customer_id: str | None = None
    schedule_id: str | None = None
    subscription_id: str | None = None
    account_id: str | None = None
    org_id: str | None = None
    stripe_account: str | None = None
    given_key: str | None = None
    ends_at: datetime | None = None
    cancellation: CancellationRequest | None = None
    message: str | None = None
    extend_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Looked:
    """A run has planned a contract. at: when it had Salesforce read. failed_in: the org, if the data has to change first."""

    at: datetime
    failed_in: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A contract of the table. failed_in: the org where it waits for its data to change; None where it does not."""

    contract_id: str
    intent: Intent | None
    failed_in: str | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a contract.

    last_change: when another run has last let go of it. told: a digest of what an Order of it was told about what is wrong.
    """

    contract_id: str
    owner: str
    version: int
    intent: Intent | None
    last_change: datetime | None
    told: str | None = None


class ContractTable:
    """The DynamoDB table of contracts. Every method makes one request and raises classified errors."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def acquire(self, contract_id: str, owner: str, now: datetime) -> Lease:
        """Take the lease of a contract. Raises ConflictError while another run holds it.

        owner: of this run alone, so that the request can be repeated where its answer was lost.
        """
        with classified_errors(f"the lease of contract {contract_id}"):
            answer = self._client.update_item(
                TableName=self._table,
                Key={"contract_id": {"S": contract_id}},
                UpdateExpression="SET lease_owner = :owner, lease_until = :until ADD version :one",
                ConditionExpression="attribute_not_exists(lease_until) OR lease_until <= :now OR lease_owner = :owner",
                ExpressionAttributeValues={
                    ":owner": {"S": owner},
                    ":until": _timestamp(now + LEASE),
                    ":now": _timestamp(now),
                    ":one": {"N": "1"},
                },
                ReturnValues="ALL_NEW",
            )
        item = answer["Attributes"]
        return Lease(
            contract_id,
            owner,
            int(item["version"]["N"]),
            _intent(item.get("intent", {}).get("M")),
            _instant(item.get("released_at")),
            item.get("told", {}).get("S"),
        )

    def intend(self, lease: Lease, intent: Intent) -> None:
        """Write down what is about to be done. Raises ConflictError where the lease was lost."""
        self._write(lease, "SET intent = :intent", {":intent": {"M": _item(intent)}})

    def release(
        self,
        lease: Lease,
        now: datetime,
        intent: Intent | None = None,
        looked: Looked | None = None,
        *,
        told: str | None = None,
    ) -> None:
        """Let go of the contract, and write down what became of the intent. Raises ConflictError where the lease was lost.

        looked: of a run that has planned the contract, and has come to an end. told: as in `Lease`.
        """
        # Free for everybody, also for a run whose clock is behind.
        expression = "SET released_at = :now, lease_until = :free"
        values: dict[str, Any] = {":now": _timestamp(now), ":free": {"N": "0"}}
        gone: list[str] = []
        if told is None:
            gone.append("told")
        else:
            expression += ", told = :told"
            values[":told"] = {"S": told}
        if looked is not None:
            expression += ", seen_at = :seen_at"
            values[":seen_at"] = _timestamp(looked.at)
            if looked.failed_in is None:
                gone.append("failed_in")
            else:
                expression += ", failed_in = :failed_in"
                values[":failed_in"] = {"S": looked.failed_in}
        if intent is not None:
            expression += ", intent = :intent"
            values[":intent"] = {"M": _item(intent)}
            if intent.extend_at is None:
                gone += ("extension", "extend_at")
            else:
                expression += ", extension = :extension, extend_at = :extend_at"
                values |= {":extension": _EXTENSION, ":extend_at": _timestamp(intent.extend_at)}
        self._write(lease, f"{expression} REMOVE {', '.join(gone)}" if gone else expression, values)

    def read(self, contract_id: str) -> Intent | None:
        """The last intent of a contract, without its lease: to look at, not to act on."""
        with classified_errors(f"the ledger of contract {contract_id}"):
            answer = self._client.get_item(TableName=self._table, Key={"contract_id": {"S": contract_id}}, ConsistentRead=True)
        return _intent(answer.get("Item", {}).get("intent", {}).get("M"))

    def due(self, now: datetime) -> Iterator[tuple[str, Intent]]:
        """The contracts whose schedule needs its next phases by `now`, the longest due first; a request for each page."""
        start: dict[str, Any] = {}
        while True:
            with classified_errors("the contracts that are due"):
                page = self._client.query(
                    TableName=self._table,
                    IndexName=EXTENSION_INDEX,
                    KeyConditionExpression="extension = :extension AND extend_at <= :now",
                    ExpressionAttributeValues={":extension": _EXTENSION, ":now": _timestamp(now)},
                    **start,
                )
            for item in page["Items"]:
                intent = _intent(item.get("intent", {}).get("M"))
                if intent is not None:
                    yield item["contract_id"]["S"], intent
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def see(self, contract_id: str, seen_at: datetime) -> None:
        """Note that a run has looked at a contract that it could not make sense of, and has said so."""
        with classified_errors(f"contract {contract_id}"):
            self._client.update_item(
                TableName=self._table,
                Key={"contract_id": {"S": contract_id}},
                UpdateExpression="SET seen_at = :seen_at",
                ExpressionAttributeValues={":seen_at": _timestamp(seen_at)},
            )

    def seen(self, contract_ids: Iterable[str]) -> dict[str, datetime]:
        """When Salesforce was read for the last run that has planned these contracts, by id; a request for each hundred.

        What was changed before, that run has heeded. A contract that none has planned is left out.
        """
        found: dict[str, datetime] = {}
        for ids in batched(contract_ids, _BATCH, strict=False):
            asked: Any = {
                "Keys": [{"contract_id": {"S": one}} for one in ids],
                "ProjectionExpression": "contract_id, seen_at",
                "ConsistentRead": True,
            }
            for _ in range(_BATCH):
                with classified_errors("the contracts"):
                    answer = self._client.batch_get_item(RequestItems={self._table: asked})
                for item in answer["Responses"].get(self._table, ()):
                    if seen_at := _instant(item.get("seen_at")):
                        found[item["contract_id"]["S"]] = seen_at
                asked = answer.get("UnprocessedKeys", {}).get(self._table)
                if not asked:
                    break
            else:
                raise TransientError("the contracts: DynamoDB leaves some out again and again", code="UnprocessedKeys")
        return found

    def page(self, start: str | None, limit: int) -> tuple[list[Entry], str | None]:
        """The next contracts of a walk through the table, after the id `start`: one request.

        Answers at most `limit` of them, and where to go on; None at the end.
        """
        begin: dict[str, Any] = {"ExclusiveStartKey": {"contract_id": {"S": start}}} if start else {}
        with classified_errors("the contracts"):
            answer = self._client.scan(TableName=self._table, Limit=limit, **begin)
        entries = [
            Entry(item["contract_id"]["S"], _intent(item.get("intent", {}).get("M")), item.get("failed_in", {}).get("S"))
            for item in answer["Items"]
        ]
        last = answer.get("LastEvaluatedKey")
        return entries, last["contract_id"]["S"] if last else None

    def _write(self, lease: Lease, expression: str, values: dict[str, Any]) -> None:
        with classified_errors(f"the ledger of contract {lease.contract_id}"):
            self._client.update_item(
                TableName=self._table,
                Key={"contract_id": {"S": lease.contract_id}},
                UpdateExpression=expression,
                ConditionExpression="version = :version AND lease_owner = :owner",
                ExpressionAttributeValues={
                    **values,
                    ":version": {"N": str(lease.version)},
                    ":owner": {"S": lease.owner},
                },
            )


def next_intent(last: Intent, phases: Sequence[Phase], settled: Sequence[Phase] | None, *, done: bool) -> Intent:
    """The intent of a run that is about to write: the same one again if it is still open and means the same, else a new one.

    settled: what is applied so far. done: whether the last one is known to be carried out. Everything else is taken over.
    """
    wanted = without_lines(phases)
    generation = last.generation
    if done or last.state != "intended" or last.phases != wanted:
        generation += 1
    before = None if settled is None else without_lines(settled)
    return replace(last, generation=generation, phases=wanted, settled=before, state="intended")


def _timestamp(moment: datetime) -> dict[str, str]:
    return {"N": f"{moment.timestamp():.3f}"}


def _instant(attribute: Mapping[str, Any] | None) -> datetime | None:
    return datetime.fromtimestamp(float(attribute["N"]), UTC) if attribute else None


def _item(intent: Intent) -> dict[str, Any]:
    texts = {name: getattr(intent, name) for name in _TEXTS}
    item: dict[str, Any] = {name: {"S": value} for name, value in texts.items() if value}
    for name in _PHASES:
        if (phases := getattr(intent, name)) is not None:
            item[name] = {"B": packed(phases)}
    for name in _TIMES:
        if (moment := getattr(intent, name)) is not None:
            item[name] = _timestamp(moment)
    if intent.prices:
        item["billed_at"] = {"B": packed_prices(intent.prices)}
    if intent.before:
        item["billed_before"] = {"B": packed_prices(intent.before)}
    if intent.cancellation is not None:
        item["cancellation"] = {"S": json.dumps(asdict(intent.cancellation), default=str)}
    if intent.orders:
        item["orders"] = {"SS": sorted(intent.orders)}
    return item | {"generation": {"N": str(intent.generation)}}


def _intent(item: Any) -> Intent | None:
    if not item:
        return None
    # By name: while a new version is being deployed, the other one's attributes may be there too.
    values: dict[str, Any] = {name: item[name]["S"] for name in _TEXTS if name in item}
    values |= {name: unpacked(item[name]["B"]) for name in _PHASES if name in item}
    values |= {name: datetime.fromtimestamp(float(item[name]["N"]), UTC) for name in _TIMES if name in item}
    # An earlier version has written `prices`, and reads it: it is not written any more.
    for name, attributes in (("prices", ("prices", "billed_at")), ("before", ("billed_before",))):
        for attribute in attributes:
            if attribute in item:
                values[name] = unpacked_prices(item[attribute]["B"])
    if "cancellation" in item:
        asked = json.loads(item["cancellation"]["S"])
        day = asked.pop("date")
        values["cancellation"] = CancellationRequest(date=day and date.fromisoformat(day), **asked)
    orders = frozenset(item["orders"]["SS"]) if "orders" in item else frozenset()
    return Intent(generation=int(item["generation"]["N"]), orders=orders, **values)
