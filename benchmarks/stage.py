"""The deployed stack with nobody who tells it of anything: what a benchmark has done, the benchmark alone has asked for.

The functions run as `sam build` leaves them, each in a process of Lambda's runtime (`benchmarks.runtime`), with the variables
that the deployed template gives them; DynamoDB, SQS and the secrets are the local AWS's, Salesforce and Stripe the emulators.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from benchmarks.figures import Say
from benchmarks.runtime import Runtime, variables
from sandbox.build import CONSOLIDATION_LAYER, DEPENDENCIES_LAYER, ROOT
from sandbox.invoke import signed
from sandbox.processes import environment
from sandbox.stack import STATE, LocalStack
from tests.stack.company import Company

NOWHERE = "http://127.0.0.1:9/"
INSIDE = ROOT / "benchmarks" / "inside"
EVENTS = ROOT / "events"
PARAMETERS = {"CustomerUpdate": "on_account_change"}

Vendor = Literal["salesforce", "stripe"]


class Stage(Company):
    """A company, and the functions. `build` is what is deployed."""

    def __init__(self, stack: LocalStack) -> None:
        super().__init__(stack)
        self.build = STATE / "build"
        self._numbers = count(1)

    # What is sold

    def year(self, *entries: str, **line: Any) -> list[dict[str, Any]]:
        """Lines for a year from today, one of each entry."""
        end = (self.today + timedelta(days=365)).isoformat()
        return [{"PricebookEntryId": entry, "EndDate": end, **line} for entry in entries]

    # What the functions are given

    def message(self, kind: str, record: str, **data: Any) -> dict[str, Any]:
        """An event of Salesforce's as its queue delivers it."""
        return queued(json.loads(self.event(kind, record, f"benchmark-{next(self._numbers)}-{record}", **data)))

    def activated(self, order: str) -> dict[str, Any]:
        """The message about the activation of an order."""
        return self.message("order.activated", order, contract_id=self.record("Order", order)["ContractId"])

    def told_by_stripe(self, kind: str, object_id: str, product_id: str) -> dict[str, Any]:
        """The message about a change of a product or price in Stripe."""
        about = {"account": "default", "object_id": object_id, "product_id": product_id, "created": int(time.time())}
        return queued({"id": f"evt_benchmark{next(self._numbers)}", "type": kind, **about})

    def posted(self, sample: str, body: dict[str, Any], secret: str, header: str) -> dict[str, Any]:
        """A request of API Gateway's, made of a sample and freshly signed."""
        request = json.loads((EVENTS / sample).read_text()) | {"body": json.dumps(body), "isBase64Encoded": False}
        return signed(request, header, secret)

    def an_hour_later(self) -> None:
        """Have every contract let go an hour ago: a run that comes right behind another one reads twice.

        A floor's requests take leases, too, and never release them.
        """
        tables, table = self.stack.aws("dynamodb"), self.stack.outputs["ContractTableName"]
        ago = {":then": {"N": f"{time.time() - 3600:.3f}"}, ":free": {"N": "0"}}
        for page in tables.get_paginator("scan").paginate(TableName=table, ProjectionExpression="contract_id"):
            for key in page["Items"]:
                free = "SET released_at = :then, lease_until = :free"
                tables.update_item(TableName=table, Key=key, UpdateExpression=free, ExpressionAttributeValues=ago)

    # The functions

    @contextmanager
    def function(self, name: str, *, handler: str = "app.handler", record: Path | None = None) -> Iterator[Runtime]:
        """A function, named as in the template without the word Function, in Lambda's runtime.

        handler: that of a module in `benchmarks.inside` has the function's code beside it. record: the file that it uses.
        """
        known = variables(self.stack, f"{name}Function")
        if record is not None:
            known["ORDERPHASE_RECORD"] = str(record)
        code = self.stack.folder / f"{name}-{next(self._numbers)}"
        shutil.copytree(self.build / f"{name}Function", code)
        for module in INSIDE.glob("*.py"):
            shutil.copy(module, code)
        log = code.with_suffix(".log")
        layers = [self.build / layer for layer in (CONSOLIDATION_LAYER, DEPENDENCIES_LAYER)]
        with Runtime(code, layers, environment=known, log=log, handler=handler, timeout=600) as runtime:
            yield runtime

    def environment(self) -> dict[str, str]:
        """The variables with which a command finds the stack."""
        return environment(**self.stack.local_aws.environment())

    def setting(self, name: str) -> tuple[int, int]:
        """The memory of a function in MB, and its timeout in seconds."""
        configured = self.stack.function(f"{name}Function")
        return configured["MemorySize"], configured["Timeout"]

    def system(self, port: int, request: bytes) -> str:
        """Whom a recorded request went to: a vendor, or a service of AWS with the operation."""
        for vendor, address in self._addresses().items():
            if urlsplit(address).port == port:
                return vendor
        head = request.partition(b"\r\n\r\n")[0].decode("latin-1")
        targets = [line.partition(": ")[2] for line in head.split("\r\n") if line.lower().startswith("x-amz-target")]
        return targets[0] if targets else "AWS"

    def _addresses(self) -> dict[Vendor, str]:
        secrets = self.stack.secrets
        return {
            "salesforce": secrets["SalesforceSecret"]["SALESFORCE_LOGIN_URL"],
            "stripe": secrets["StripeSecret"]["STRIPE_API_BASE"],
        }


def queued(body: dict[str, Any]) -> dict[str, Any]:
    """An SQS event with this message."""
    (sample,) = json.loads((EVENTS / "order_activation.json").read_text())["Records"]
    return {"Records": [{**sample, "body": json.dumps(body)}]}


def handled(runtime: Runtime, event: Any) -> None:
    """Have a function handle an event. Raises AssertionError where it fails at it: that is not to be measured."""
    answer = runtime.invoke(event)
    if answer.get("batchItemFailures") or answer.get("statusCode", 200) >= 300:
        raise AssertionError(f"{runtime.name} answers {answer}")


@contextmanager
def stage(say: Say) -> Iterator[Stage]:
    """The stack while it runs, with nothing told, nothing taken from a queue and nothing started by the clock."""
    stack = LocalStack(name="bench", environment={}, parameters=PARAMETERS)
    stack.start(say)
    with stack:
        stack.stop_the_clock()
        stack.stop_the_queues()
        made = Stage(stack)
        made.salesforce.notify(NOWHERE, "nobody listens")
        for endpoint in made.api.webhook_endpoints.list().data:
            made.api.webhook_endpoints.delete(endpoint.id)
        yield made
