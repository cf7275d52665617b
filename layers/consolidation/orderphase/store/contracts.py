"""The contract table: one item per contract, with the lease of the run that works on it and the intent ledger.

The lease lets one run at a time work on a contract; its version is the fencing token. The ledger says what is about to be done
to Stripe before it is done, and what became of it afterwards, so that a run after a crash knows what to look for. It never
expires.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from orderphase.aws import classified_errors

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LEASE = timedelta(seconds=60)
"""Twice the time that a function may run: whoever holds a lease longer than that is dead."""

_TEXTS = ("fingerprint", "state", "customer_id", "schedule_id", "subscription_id", "account_id", "message")

IntentState = Literal["intended", "applied", "recorded"]


@dataclass(frozen=True, slots=True)
class Intent:
    """One thing that is or was to be done for a contract.

    generation: counts the intents of a contract; each has an idempotency key of its own.
    state: `intended`, nothing is known of Stripe yet; `applied`, the schedule exists; `recorded`, Salesforce knows it too.
    fingerprint: what the schedule means (`domain.planning.fingerprint`).
    orders: ids of the orders that it bills. account_id: whom it bills.
    message: what the orders are to be told beside their ids.
    """

    generation: int
    fingerprint: str
    orders: frozenset[str]
    state: IntentState = "intended"
    customer_id: str | None = None
    schedule_id: str | None = None
    subscription_id: str | None = None
    account_id: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a contract. `last_change` is when another run has last let go of it."""

    contract_id: str
    owner: str
    version: int
    intent: Intent | None
    last_change: datetime | None


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
        changed = item.get("released_at")
        return Lease(
            contract_id,
            owner,
            int(item["version"]["N"]),
            _intent(item.get("intent", {}).get("M")),
            datetime.fromtimestamp(float(changed["N"]), UTC) if changed else None,
        )

    def intend(self, lease: Lease, intent: Intent) -> None:
        """Write down what is about to be done. Raises ConflictError where the lease was lost."""
        self._write(lease, "SET intent = :intent", {":intent": {"M": _item(intent)}})

    def release(self, lease: Lease, now: datetime, intent: Intent | None = None) -> None:
        """Let go of the contract, and write down what became of the intent. Raises ConflictError where the lease was lost."""
        # Free for everybody, also for a run whose clock is behind.
        expression = "SET released_at = :now, lease_until = :free"
        values: dict[str, Any] = {":now": _timestamp(now), ":free": {"N": "0"}}
        if intent is not None:
            expression += ", intent = :intent"
            values[":intent"] = {"M": _item(intent)}
        self._write(lease, expression, values)

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


def next_intent(last: Intent | None, fingerprint: str, orders: Iterable[str]) -> Intent:
    """The intent of a run that finds nothing of an earlier one: the same one again if it means the same, else a new one."""
    if last is not None and last.state == "intended" and last.fingerprint == fingerprint:
        return replace(last, orders=frozenset(orders))
    return Intent(last.generation + 1 if last else 1, fingerprint, frozenset(orders))


def _timestamp(moment: datetime) -> dict[str, str]:
    return {"N": f"{moment.timestamp():.3f}"}


def _item(intent: Intent) -> dict[str, Any]:
    texts = {name: getattr(intent, name) for name in _TEXTS}
    item = {name: {"S": value} for name, value in texts.items() if value}
    return item | {"generation": {"N": str(intent.generation)}, "orders": {"SS": sorted(intent.orders)}}


def _intent(item: Any) -> Intent | None:
    if not item:
        return None
    # By name: while a new version is being deployed, the other one's attributes may be there too.
    texts = {name: item[name]["S"] for name in _TEXTS if name in item}
    return Intent(generation=int(item["generation"]["N"]), orders=frozenset(item["orders"]["SS"]), **texts)
