"""The main job on the deployed stack: an order is activated in the org, and everything else follows by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from sandbox.stack import STRIPE_ACCOUNT
from tests.stack.company import DEADLINE, Company, until


def test_an_activated_order_becomes_a_schedule(company: Company) -> None:
    account = company.account(Phone="+49 30 555 0199", BillingStreet="Geheimweg 7", BillingCity="Berlin")
    order = company.sell(account, company.entry(10), company.entry(20))

    record = company.synced(order)

    assert record["Stripe_Sync_Status__c"] == "Synced"
    (schedule,) = company.schedules(record["ContractId"])
    assert record["Stripe_Subscription_Schedule_Id__c"] == schedule["id"]
    assert record["Stripe_Subscription_Id__c"] == schedule["subscription"]
    contract = company.record("Contract", record["ContractId"])
    assert contract["Stripe_Subscription_Schedule_Id__c"] == schedule["id"]
    (run,) = company.runs(order)
    assert (run["outcome"], run["schedule_id"]) == ("synced", schedule["id"])


def test_the_same_event_again_changes_nothing(company: Company) -> None:
    order = company.sell(company.account(), company.entry())
    record = company.synced(order)
    writes = company.stripe.writes()

    company.send(order, f"{order}-again")
    until(lambda: len(company.runs(order)) == 2, "the second run")
    company.stack.settle(DEADLINE)

    assert company.stripe.writes() == writes
    assert len(company.schedules(record["ContractId"])) == 1
    assert [run["outcome"] for run in company.runs(order)] == ["synced", "unchanged"]


def test_a_faulty_order_is_refused_with_all_its_findings(company: Company) -> None:
    account, entry = company.account(), company.entry(interval=None)
    company.stack.settle(DEADLINE)  # the product is in Stripe
    writes = company.stripe.writes()
    order = company.sell(account, entry, Stripe_Discount_Percent_Off__c=10, Stripe_Discount_Amount_Off__c=5)

    record = company.synced(order)

    assert record["Stripe_Sync_Status__c"] == "Failed"
    (run,) = company.runs(order)
    assert {finding["code"] for finding in run["findings"]} == {"missing_interval", "discount_conflict"}
    for finding in run["findings"]:
        assert finding["message"] in record["Stripe_Sync_Message__c"]
    assert company.stripe.writes() == writes


def test_many_orders_at_once_each_get_their_own_schedule(company: Company) -> None:
    account, entry = company.account(), company.entry()
    orders = [company.sell(account, entry) for _ in range(8)]
    for order in orders:
        assert company.synced(order)["Stripe_Sync_Status__c"] == "Synced"
    contracts = [company.record("Order", order)["ContractId"] for order in orders]
    assert [len(company.schedules(contract)) for contract in contracts] == [1] * 8
    customers = company.stripe.objects(STRIPE_ACCOUNT, "customer")
    assert len([customer for customer in customers if customer["metadata"]["salesforce_account_id"] == account]) == 1


@pytest.fixture
def impatient(company: Company) -> Iterator[Company]:
    """The queue hands a failed message out again after a second, and gives up after two receives."""
    sqs, queue = company.stack.aws("sqs"), company.stack.outputs["OrderActivationQueueUrl"]
    names = ["VisibilityTimeout", "RedrivePolicy"]
    before = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    redrive = json.loads(before["RedrivePolicy"]) | {"maxReceiveCount": 2}
    hurried = {"VisibilityTimeout": "1", "RedrivePolicy": json.dumps(redrive)}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes=hurried)
    yield company
    sqs.set_queue_attributes(QueueUrl=queue, Attributes=before)


def test_a_run_that_fails_is_repeated(impatient: Company) -> None:
    assert impatient.salesforce is not None
    order = impatient.draft(impatient.account(), impatient.entry())
    impatient.salesforce.inject("refuse", error="503", method="POST", path="/composite$", times=3)
    impatient.salesforce.update("Order", order, {"Status": "Activated"})

    record = impatient.synced(order)

    assert record["Stripe_Sync_Status__c"] == "Synced"
    assert len(impatient.schedules(record["ContractId"])) == 1
    assert sorted(run["outcome"] for run in impatient.runs(order)) == ["interrupted", "synced"]


def test_a_message_that_cannot_be_handled_goes_to_the_dead_letters_and_holds_up_nobody(impatient: Company) -> None:
    sqs, outputs = impatient.stack.aws("sqs"), impatient.stack.outputs
    poison = f"poison-{time.monotonic_ns()}"
    sqs.send_message(
        QueueUrl=outputs["OrderActivationQueueUrl"],
        MessageBody="{}",
        MessageGroupId=poison,
        MessageDeduplicationId=poison,
    )
    order = impatient.sell(impatient.account(), impatient.entry())
    until(lambda: impatient.record("Order", order)["Stripe_Sync_Status__c"] == "Synced", "the other order's synchronisation")

    dead = outputs["OrderActivationDeadLetterQueueUrl"]
    found = until(
        lambda: sqs.receive_message(QueueUrl=dead, WaitTimeSeconds=1).get("Messages"), "the arrival of the dead letter"
    )
    assert [message["Body"] for message in found] == ["{}"]
    for message in found:
        sqs.delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])
