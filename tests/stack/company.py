"""A company on the deployed stack: its org, and what became of its orders in Stripe and in the sync log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import requests
from boto3.dynamodb.types import TypeDeserializer

from orderphase.ingress.signature import sign
from orderphase.settings import StripeCredentials
from orderphase.stripe.client import StripeConnection
from sandbox.stack import STACK_NAME, STRIPE_ACCOUNT, LocalStack
from tests.org import Org

DEADLINE = 60.0
"""Seconds until something must have happened; a cold start on a busy machine takes a few."""


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for another process to bring something about."""
    end, pause = time.monotonic() + DEADLINE, Event()
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen within {DEADLINE:.0f} s")
        pause.wait(0.05)
    return found


class Company(Org):
    """The org beside the deployed stack; `api` is Stripe's, as anybody with the key uses it."""

    def __init__(self, stack: LocalStack) -> None:
        assert stack.salesforce is not None
        assert stack.stripe is not None
        super().__init__(stack.salesforce)
        self.stack, self.stripe = stack, stack.stripe
        secret = json.dumps(stack.secrets["StripeSecret"])
        self.api = StripeConnection(StripeCredentials.from_secret("StripeSecret", secret)).api
        self.today = datetime.now(UTC).date()

    def sell(self, account: str, *entries: str, **fields: Any) -> str:
        """An order for a year from today, activated."""
        return self._year(account, entries, activated=True, **fields)

    def draft(self, account: str, *entries: str) -> str:
        """The same, not activated yet."""
        return self._year(account, entries, activated=False)

    def _year(self, account: str, entries: Sequence[str], *, activated: bool, **fields: Any) -> str:
        contract = self.contract(account, start=self.today.isoformat())
        end = (self.today + timedelta(days=365)).isoformat()
        lines = [{"PricebookEntryId": entry, "EndDate": end} for entry in entries]
        return self.order(account, contract, *lines, activated=activated, EffectiveDate=self.today.isoformat(), **fields)

    def synced(self, order: str) -> dict[str, Any]:
        """The order once its run is over."""
        until(lambda: self.record("Order", order)["Stripe_Sync_Status__c"], f"the synchronisation of order {order}")
        self.stack.settle(DEADLINE)
        return self.record("Order", order)

    def schedules(self, contract: str) -> list[dict[str, Any]]:
        found = self.stripe.objects(STRIPE_ACCOUNT, "subscription_schedule")
        return [schedule for schedule in found if schedule["metadata"].get("salesforce_contract_id") == contract]

    def runs(self, order: str) -> list[dict[str, Any]]:
        """The sync log of an order, read by its index."""
        answer = self.stack.aws("dynamodb").query(
            TableName=self.stack.outputs["SyncLogTableName"],
            IndexName="by_order",
            KeyConditionExpression="order_id = :order",
            ExpressionAttributeValues={":order": {"S": order}},
        )
        read = TypeDeserializer().deserialize
        return [{name: read(value) for name, value in item.items()} for item in answer["Items"]]

    def flows(self, contract: str) -> list[tuple[str, str]]:
        """The flow and the outcome of each run of a contract, in the order of time."""
        answer = self.stack.aws("dynamodb").query(
            TableName=self.stack.outputs["SyncLogTableName"],
            KeyConditionExpression="contract_id = :contract",
            ExpressionAttributeValues={":contract": {"S": contract}},
        )
        return [(item["flow"]["S"], item["outcome"]["S"]) for item in answer["Items"]]

    def event(self, kind: str, record: str, event_id: str, **data: Any) -> bytes:
        """An event as the org would write it."""
        return json.dumps(
            {
                "id": event_id,
                "type": kind,
                "org_id": self.salesforce.org_id,
                "record_id": record,
                "occurred_at": datetime.now(UTC).isoformat(),
                "data": data,
            }
        ).encode()

    def post(self, body: bytes) -> None:
        """Send an event, freshly signed."""
        signature = sign(self.stack.webhook_secret, body, datetime.now(UTC))
        headers = {"Content-Type": "application/json", "X-Orderphase-Signature": signature}
        requests.post(f"{self.stack.url}/salesforce/events", body, headers=headers, timeout=60).raise_for_status()

    def send(self, order: str, event_id: str, kind: str = "order.activated", **data: Any) -> None:
        """Send an event about an order."""
        self.post(self.event(kind, order, event_id, contract_id=self.record("Order", order)["ContractId"], **data))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start an `orderphase` command that finds the stack by its name, as anybody's does who may read it."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ORDERPHASE_"))}
        return subprocess.Popen(
            [Path(sys.executable).with_name("orderphase"), *arguments, "--stack", STACK_NAME],
            env=mine | self.stack.local_aws.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def command(self, *arguments: str) -> tuple[int, str]:
        """Run it to its end; answers its exit code and what it has printed."""
        with self.start(*arguments) as process:
            printed, problem = process.communicate(timeout=10 * DEADLINE)
        return process.returncode, printed or problem

    def look_for_due_contracts(self) -> Any:
        """Invoke the rolling window as its schedule does; answers what it answers."""
        return self.invoke("RollingWindowFunction")

    def invoke(self, name: str) -> Any:
        """Invoke a function as its schedule does, by its name in the template; answers what it answers."""
        function = f"{self.stack.function(name)['FunctionName']}:live"
        answer = self.stack.aws("lambda").invoke(FunctionName=function, Payload=b"{}")
        assert "FunctionError" not in answer
        return json.loads(answer["Payload"].read())
