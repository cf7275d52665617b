"""A function's process is killed in the middle of a run, on the deployed stack: its message comes again, and all ends well.

It is killed by the kernel (SIGKILL) while it waits for the answer to a request that the vendor has carried out. Then nothing is
done but to let time pass: the queue's visibility timeout is seconds instead of minutes, and the lease of the dead run, which
lasts 60 seconds, is aged in its item. No other run may have it then, nor has one: that is a condition of the write.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer

from sandbox.serving import Emulator
from sandbox.stack import STRIPE_ACCOUNT, LocalStack
from tests.stack.company import DEADLINE, Company, until
from tests.stack.held_queue import held, impatient
from tests.stack.test_catalogue_both_ways import entries, in_stripe, made_in_stripe, priced_in_stripe, product2
from tests.stack.test_running_contracts import SCHEDULE, STATUS, Deal
from tests.stack.test_second_account import customers

PROCESSES = Path("/proc")
pytestmark = pytest.mark.skipif(not PROCESSES.is_dir(), reason="processes are found by their environment below /proc")

CREATED, CHANGED = "POST /v1/subscription_schedules$", "POST /v1/subscription_schedules/"
"""Requests as the emulators' faults take them: a method, and a pattern of the path."""


def processes(stack: LocalStack, function: str) -> list[int]:
    """The processes of a function of this very stack: its other ones, and other stacks', have another environment."""
    mine = {f"TMPDIR={stack.folder / 'tmp'}".encode(), f"POWERTOOLS_SERVICE_NAME={function}".encode()}
    found = []
    for process in PROCESSES.glob("[0-9]*"):
        # What is another user's, or has just ended, is none of ours.
        with suppress(OSError):
            if mine <= set((process / "environ").read_bytes().split(b"\0")) and _below(int(process.name), os.getpid()):
                found.append(int(process.name))
    return found


def _below(process: int, ancestor: int) -> bool:
    """Whether a process was started by another one, or by one that that has started."""
    while process > 1 and process != ancestor:
        status = (PROCESSES / str(process) / "status").read_text()
        process = next(int(row.split()[1]) for row in status.splitlines() if row.startswith("PPid:"))
    return process == ancestor


@contextmanager
def killed(company: Company, flow: str, vendor: Emulator, request: str, contract: str | None = None) -> Iterator[None]:
    """What happens in this block starts a run of a flow, on this contract or on none, whose process is killed at a request."""
    function = re.sub(r"(?<!^)([A-Z])", r"_\1", flow).lower()
    method, _, path = request.partition(" ")
    with impatient(company.stack, flow, seconds=3):
        before = len(vendor.log)
        vendor.inject("slow", method=method, path=path, seconds=DEADLINE)
        yield
        until(lambda: any(one.fault == "slow" for one in vendor.log[before:]), f"{method} {path}")
        for process in until(lambda: processes(company.stack, function), f"the process of {function}"):
            os.kill(process, signal.SIGKILL)
        if contract is not None:
            age_lease(company, contract)
        company.stack.settle(DEADLINE)


def age_lease(company: Company, contract: str) -> None:
    """As if the time of the lease that a dead run holds were over."""
    now = time.time()
    company.stack.aws("dynamodb").update_item(
        TableName=company.stack.outputs["ContractTableName"],
        Key={"contract_id": {"S": contract}},
        UpdateExpression="SET lease_until = :over",
        ConditionExpression="lease_until > :now",
        ExpressionAttributeValues={":over": {"N": f"{now - 1:.3f}"}, ":now": {"N": f"{now:.3f}"}},
    )


def ledger(company: Company, contract: str) -> dict[str, Any]:
    key = {"contract_id": {"S": contract}}
    item = company.stack.aws("dynamodb").get_item(
        TableName=company.stack.outputs["ContractTableName"], Key=key, ConsistentRead=True
    )["Item"]
    read = TypeDeserializer().deserialize
    return {name: read(value) for name, value in item.items()}


def well(company: Company, contract: str, order: str, status: str = "Synced") -> None:
    """Whether everything about a contract of one order is as after a run that nobody disturbs."""
    (schedule,) = company.schedules(contract)
    record = company.record("Order", order)
    assert (record[STATUS], record[SCHEDULE]) == (status, schedule["id"])
    assert company.record("Contract", contract)[SCHEDULE] == schedule["id"]
    account = record["AccountId"]
    (customer,) = customers(company, STRIPE_ACCOUNT, account)
    assert company.record("Account", account)["Stripe_Customer_Id__c"] == customer["id"] == schedule["customer"]
    held_by = ledger(company, contract)
    assert (held_by["intent"]["state"], float(held_by["lease_until"]) <= time.time()) == ("recorded", True)


@pytest.mark.parametrize(
    ("vendor", "request_", "outcome"),
    [
        ("stripe", "POST /v1/customers$", "synced"),
        ("stripe", CREATED, "synced"),
        ("salesforce", "PATCH /composite/sobjects", "unchanged"),
    ],
    ids=["customer", "schedule", "write-back"],
)
def test_order_activation(company: Company, vendor: str, request_: str, outcome: str) -> None:
    order = company.draft(company.account(), company.entry())
    company.stack.settle(DEADLINE)
    contract = str(company.record("Order", order)["ContractId"])

    with killed(company, "OrderActivation", getattr(company, vendor), request_, contract):
        company.salesforce.update("Order", order, {"Status": "Activated"})

    well(company, contract, order)
    # The run that was killed has left no entry. What it has done, the next one finds.
    assert company.flows(contract) == [("order_activation", outcome)]


def test_order_item_update(company: Company) -> None:
    entry = company.entry(10)
    deal = Deal(company, entry)
    (changed,) = company.lines_of(deal.order)

    with killed(company, "OrderItemUpdate", company.stripe, CHANGED, deal.contract):
        company.salesforce.update("OrderItem", changed, {"Quantity": 7})

    well(company, deal.contract, deal.order)
    assert deal.quantities() == [{deal.price(entry): 7}]
    assert company.flows(deal.contract)[1:] in ([("order_item_update", "synced")], [("order_item_update", "unchanged")])


def test_cancellation(company: Company) -> None:
    deal = Deal(company, company.entry(10))

    with killed(company, "Cancellation", company.stripe, f"{CHANGED}.*/cancel$", deal.contract):
        company.send(deal.order, f"{deal.order}-cancel", "order.cancellation_requested", mode="now")

    well(company, deal.contract, deal.order, "Cancelled")
    assert (deal.schedule()["status"], company.flows(deal.contract)[1:]) == ("canceled", [("cancellation", "synced")])


def test_reconciliation(company: Company) -> None:
    with held(company.stack, "OrderActivation") as queue:
        order = company.sell(company.account(), company.entry())
        company.salesforce.flush(DEADLINE)
        assert len(queue.messages()) == 1
    contract = str(company.record("Order", order)["ContractId"])

    with killed(company, "Reconciliation", company.stripe, CREATED, contract):
        assert company.invoke("PollFunction")["queued"] >= 1

    well(company, contract, order)
    assert company.flows(contract) == [("reconciliation", "synced")]


def test_product_upsert(company: Company) -> None:
    product = made_in_stripe(company)
    company.stack.settle(DEADLINE)
    record = product2(company, product)["Id"]
    writes = company.stripe.writes()

    with killed(company, "ProductUpsert", company.stripe, f"POST /v1/products/{product}$"):
        company.salesforce.update("Product2", record, {"Name": "Another name"})

    assert in_stripe(company, "product", product)["name"] == product2(company, product)["Name"] == "Another name"
    assert company.stripe.writes() == writes + 1


def test_price_upsert(company: Company) -> None:
    product = made_in_stripe(company)
    company.stack.settle(DEADLINE)

    with killed(company, "PriceUpsert", company.salesforce, "POST /composite"):
        price = priced_in_stripe(company, product, 12)

    (entry,) = entries(company, product2(company, product)["Id"])
    assert (entry["UnitPrice"], entry["Stripe_Price_Id__c"], entry["IsActive"]) == (12, price, True)


def test_account_upsert(second_company: Company) -> None:
    company = second_company
    account = company.account(Name="Acme GmbH")
    company.synced(company.sell(account, company.entry(10)))
    (customer,) = customers(company, STRIPE_ACCOUNT, account)

    with killed(company, "AccountUpsert", company.stripe, f"POST /v1/customers/{customer['id']}$"):
        company.salesforce.update("Account", account, {"Name": "Acme AG"})

    (found,) = customers(company, STRIPE_ACCOUNT, account)
    assert (found["id"], found["name"]) == (customer["id"], "Acme AG")
