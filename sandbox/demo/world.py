"""The world of the demo: a running local stack, and what a user, an administrator and an auditor can do with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import requests
import stripe
from boto3.dynamodb.types import TypeDeserializer

from orderphase.domain.lines import Order
from orderphase.domain.planning import GENERATION
from orderphase.domain.policies import Policies
from orderphase.ingress.signature import sign
from orderphase.mapping import load_mapping
from orderphase.salesforce.client import SalesforceClient
from orderphase.salesforce.contracts import Contracts
from orderphase.salesforce.shape import Org as Shaped
from orderphase.settings import SalesforceCredentials
from orderphase.store.contracts import ContractTable
from orderphase.store.phases import digest
from orderphase.stripe.client import API_VERSION, OWN_KEYS
from sandbox.demo.org import TIMEOUT_SECONDS, Org
from sandbox.demo.terminal import INDENT, WIDTH
from sandbox.processes import StackError
from sandbox.stack import STACK_NAME, LocalStack
from sandbox.stripe_emulator import StripeEmulator

PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.05
LOG_LINES = 5
FLOWS = ("order_activation", "order_item_update", "cancellation", "product_upsert", "price_upsert")
COMMAND = Path(sys.executable).with_name("orderphase")
COMMAND_WIDTH = WIDTH - len(INDENT)

SYNCED, CANCELLED = "Synced", "Cancelled"
REFUSED = ("Failed", "Skipped")


class World:
    """Everything but the write counter is asked for over HTTP, as anybody would."""

    def __init__(self, stack: LocalStack) -> None:
        self._stack = stack
        self.org = Org(stack.secrets["SalesforceSecret"])
        secret = stack.secrets["StripeSecret"]
        stripe.enable_telemetry = False
        client = stripe.StripeClient(
            secret["STRIPE_API_KEY"], base_addresses={"api": secret["STRIPE_API_BASE"]}, stripe_version=API_VERSION
        )
        self.stripe = client.v1
        credentials = SalesforceCredentials.from_secret("SalesforceSecret", json.dumps(stack.secrets["SalesforceSecret"]))
        org = Shaped(SalesforceClient(credentials, now=lambda: datetime.now(UTC)))
        self._contracts = Contracts(org, load_mapping(), Policies())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.org.close()

    # Salesforce

    def activate(self, order_id: str) -> tuple[dict[str, Any], float]:
        """Activate an order and wait for what becomes of it; answers the Order as it is then, and the seconds that took."""
        began = time.monotonic()
        self.org.update("Order", order_id, Status="Activated")
        return self._order(order_id, SYNCED), time.monotonic() - began

    def _order(self, order_id: str, wanted: str) -> dict[str, Any]:
        """An Order, as soon as its sync status is the one that is wanted, or says that it will not be."""
        return self.until(
            f"order {order_id} says what became of it",
            lambda: (record := self.org.record("Order", order_id))["Stripe_Sync_Status__c"] in (wanted, *REFUSED) and record,
        )

    def orders(self, order_id: str) -> tuple[Order, ...]:
        """The activated orders of an order's contract, read as the flows read them."""
        return self._contracts.read(order_id).orders

    # The gateway

    def deliver(self, event: dict[str, Any]) -> requests.PreparedRequest:
        """An event as the org sends it, freshly signed; `send` sends it, as often as it is called."""
        body = json.dumps(event).encode()
        headers = {
            "X-Orderphase-Signature": sign(self._stack.webhook_secret, body, datetime.now(UTC)),
            "Content-Type": "application/json",
        }
        return requests.Request("POST", f"{self._stack.url}/salesforce/events", data=body, headers=headers).prepare()

    def send(self, prepared: requests.PreparedRequest) -> int:
        """Send a request, byte for byte; answers the HTTP status."""
        with requests.Session() as session:
            return session.send(prepared, timeout=TIMEOUT_SECONDS).status_code

    def cancel(self, order_id: str, **how: Any) -> tuple[int, dict[str, Any], float]:
        """Ask for the end of an order's contract; `how` as in the event.

        Answers the gateway's HTTP status, the Order as it is then, and the seconds that took.
        """
        began = time.monotonic()
        order = self.org.record("Order", order_id)
        status = self.send(
            self.deliver(
                {
                    "id": f"{order_id}-cancel-{time.time() * 1000:.0f}",
                    "type": "order.cancellation_requested",
                    "org_id": self._contracts.org_id,
                    "record_id": order_id,
                    "occurred_at": datetime.now(UTC).isoformat(),
                    "data": {"contract_id": order["ContractId"], **how},
                }
            )
        )
        return status, self._order(order_id, CANCELLED), time.monotonic() - began

    # What Stripe tells the gateway

    @contextmanager
    def unheard(self) -> Iterator[None]:
        """Hold Stripe's events back meanwhile. Only the emulator can."""
        courier = self._emulator.courier
        courier.pause()
        try:
            yield
        finally:
            courier.resume()

    def stripe_event(self, kind: str, object_id: str) -> dict[str, Any]:
        """The latest event of a type about an object, as Stripe has it."""
        found = self.stripe.events.list({"type": kind, "limit": 100})
        return next(event for event in (one.to_dict() for one in found.data) if event["data"]["object"]["id"] == object_id)

    def tell(self, event: Mapping[str, Any]) -> int:
        """Send an event as Stripe would, freshly signed; answers the HTTP status."""
        body = json.dumps(event, default=str).encode()
        signature = sign(self._stack.secrets["StripeSecret"]["STRIPE_WEBHOOK_SECRET"], body, datetime.now(UTC))
        headers = {"Stripe-Signature": signature, "Content-Type": "application/json; charset=utf-8"}
        return self.send(requests.Request("POST", self._stack.stripe_events_url, data=body, headers=headers).prepare())

    def listed(self, price_id: str) -> dict[str, Any]:
        """The price book entry of a Stripe price, as soon as there is one."""
        statement = f"SELECT Id FROM PricebookEntry WHERE Stripe_Price_Id__c = '{price_id}'"  # noqa: S608 (SOQL)
        (found,) = self.until(f"the price book lists {price_id}", lambda: self.org.query(statement))
        return self.org.record("PricebookEntry", found["Id"])

    # Orderphase

    def preview(self, order_id: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run `orderphase preview` for an order, as anybody does who may read the stack."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ORDERPHASE_"))}
        width = {"COLUMNS": str(COMMAND_WIDTH), "PYTHONIOENCODING": "utf-8"}
        return subprocess.run(
            [COMMAND, "preview", order_id, "--stack", STACK_NAME, *options],
            env=mine | self._stack.local_aws.environment() | width,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def sync_log(self, contract_id: str, *, entries: int = 1) -> list[dict[str, Any]]:
        """The sync log of a contract, oldest first, as soon as it has so many entries."""
        return self.until(
            f"the sync log has {entries} entries for contract {contract_id}",
            lambda: (found := self._sync_log(contract_id)) and len(found) >= entries and found,
        )

    def _sync_log(self, contract_id: str) -> list[dict[str, Any]]:
        items = self._stack.aws("dynamodb").query(
            TableName=self._stack.outputs["SyncLogTableName"],
            KeyConditionExpression="contract_id = :contract",
            ExpressionAttributeValues={":contract": {"S": contract_id}},
            ConsistentRead=True,
        )["Items"]
        deserialize = TypeDeserializer().deserialize
        return [{name: plain(deserialize(value)) for name, value in item.items()} for item in items]

    def settle(self) -> None:
        """Wait until nothing is under way any more."""
        self._stack.settle(PATIENCE_SECONDS)

    # Stripe

    def writes(self) -> int:
        """How many requests have changed something at Stripe so far. Only the emulator can tell."""
        return self._emulator.writes()

    @property
    def _emulator(self) -> StripeEmulator:
        if self._stack.stripe is None:
            raise StackError("the demo runs against the built-in emulators alone")
        return self._stack.stripe

    def customers(self) -> int:
        """How many customers there are."""
        return sum(1 for _ in self.stripe.customers.list({"limit": 100}).auto_paging_iter())

    def schedules(self, contract_id: str) -> list[dict[str, Any]]:
        """The subscription schedules of a contract, as Stripe shows them."""
        found = self.stripe.subscription_schedules.list({"limit": 100})
        schedules = [schedule.to_dict() for schedule in found.auto_paging_iter()]
        return [one for one in schedules if one["metadata"].get("salesforce_contract_id") == contract_id]

    def redeemed(self, subscription_id: str) -> dict[str, str]:
        """The coupons of the discounts that run on a subscription, by the discounts' ids."""
        params: Any = {"expand": ["discounts", "items.data.discounts"]}
        found = self.stripe.subscriptions.retrieve(subscription_id, params).to_dict()
        discounts = [*found["discounts"], *(one for item in found["items"]["data"] for one in item["discounts"])]
        return {one["id"]: one["source"]["coupon"] for one in discounts}

    def was_sent(self, schedule: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
        """Whether an update with exactly these parameters was the last change of a contract's schedule.

        It is sent again, under the idempotency key that it went by. Stripe: a key that was used before answers as it did then,
        and nothing happens; for other parameters it is refused.
        """
        metadata = schedule["metadata"]
        contract_id = metadata["salesforce_contract_id"]
        parts = (metadata["salesforce_org_id"], contract_id, metadata[GENERATION], self.planned(contract_id))
        options: Any = {"idempotency_key": f"{OWN_KEYS}update:{':'.join(parts)}"}
        try:
            again = self.stripe.subscription_schedules.update(schedule["id"], cast("Any", params), options)
        except stripe.IdempotencyError:
            return False
        return again.last_response is not None and again.last_response.headers.get("Idempotent-Replayed") == "true"

    def planned(self, contract_id: str) -> str:
        """The digest of what a contract's ledger says was planned last."""
        intent = ContractTable(self._stack.aws("dynamodb"), self._stack.outputs["ContractTableName"]).read(contract_id)
        return digest(intent.phases if intent else ())

    # Time

    def until[Found](self, what: str, look: Callable[[], Found | bool | None]) -> Found:
        """Look again and again until there is something; answers it. Raises `StackError` when patience is over."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        pause = threading.Event()
        while not (found := look()):
            if time.monotonic() > deadline:
                logs = "\n".join(line for flow in FLOWS for line in self._stack.function_logs(flow)[-LOG_LINES:])
                waited = f"waited {PATIENCE_SECONDS:.0f} s in vain until {what}; more in {self._stack.folder}"
                raise StackError(f"{waited}. The functions' last log lines:\n{logs or '(none yet)'}")
            pause.wait(POLL_SECONDS)
        assert not isinstance(found, bool)  # noqa: S101 (a look answers what it has found)
        return found


def plain(value: Any) -> Any:
    """What DynamoDB holds, as JSON has it: its Decimals are whole numbers here."""
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [plain(member) for member in value]
    return int(value) if isinstance(value, Decimal) else value
