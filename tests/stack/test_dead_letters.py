"""What failed on the deployed stack waits as a dead letter, holds nobody up, and gets its run; so does what nobody heard of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from sandbox.stack import STACK_NAME, LocalStack
from tests.stack.company import DEADLINE, Company, until
from tests.stack.conftest import SECOND, SECOND_ACCOUNT, SECOND_KEY
from tests.stack.held_queue import held
from tests.stack.test_second_account import schedules

STATUS = "Stripe_Sync_Status__c"


def waiting(company: Company, *chosen: str) -> list[dict[str, Any]]:
    """What `orderphase replay` would replay."""
    code, printed = company.command("replay", "--dry-run", "--json", *chosen)
    assert code in (0, 1), printed
    letters: list[dict[str, Any]] = json.loads(printed)["letters"]
    return letters


@contextmanager
def rolled_key(stack: LocalStack) -> Iterator[str]:
    """The key of the second account is another one, which the stack's secret does not say yet."""
    assert stack.stripe is not None
    fresh = f"sk_test_{uuid4().hex}"
    account = stack.stripe._keys.pop(SECOND_KEY)
    stack.stripe._keys[fresh] = account
    try:
        yield fresh
    finally:
        stack.stripe._keys[SECOND_KEY] = account


def tell_key(stack: LocalStack, key: str) -> None:
    values = {"STRIPE_API_KEY": key, "STRIPE_API_BASE": stack.secrets["StripeSecret"]["STRIPE_API_BASE"]}
    stack.aws("secretsmanager").put_secret_value(SecretId=f"{STACK_NAME}/stripe/{SECOND}", SecretString=json.dumps(values))


def test_a_secret_that_cannot_be_used_makes_a_dead_letter_at_once_that_is_replayed_when_mended(second_company: Company) -> None:
    company, stack = second_company, second_company.stack
    account, entry = company.account(), company.entry(10)
    stack.settle(DEADLINE)
    with rolled_key(stack) as fresh:
        tell_key(stack, "")  # whoever was to enter the new one has entered none
        refused = company.sell(account, entry, Stripe_Account__c=SECOND)
        contract = company.record("Order", refused)["ContractId"]
        (letter,) = until(lambda: waiting(company, "--record", refused), "the dead letter")
        assert (letter["flow"], letter["error"], letter["replays"]) == ("OrderActivation", "configuration", 0)
        assert letter["records"] == [refused]
        assert "STRIPE_API_KEY" in letter["why"]

        # Nobody else is held up: neither other contracts, nor a queue.
        assert company.synced(company.sell(account, entry))[STATUS] == "Synced"
        assert stack.waiting() == 0

        # Not mended yet, it comes back.
        code, printed = company.command("replay", "--record", contract)
        assert (code, "1 found, 1 replayed, 0 stay." in printed) == (0, True)
        (again,) = until(lambda: waiting(company, "--record", refused), "the dead letter's return")
        assert (again["event"], again["replays"]) == (letter["event"], 1)
        assert schedules(company, SECOND_ACCOUNT, contract) == []

        tell_key(stack, fresh)
        assert company.command("replay", "--flow", "OrderActivation")[0] == 0
        assert company.synced(refused)[STATUS] == "Synced"
        assert len(schedules(company, SECOND_ACCOUNT, contract)) == 1
        assert waiting(company) == []
    tell_key(stack, SECOND_KEY)


def test_what_cannot_be_read_holds_up_no_contract_not_even_its_own(company: Company) -> None:
    stack = company.stack
    account, entry = company.account(), company.entry(10)
    stack.settle(DEADLINE)
    sqs, outputs = stack.aws("sqs"), stack.outputs
    poisoned, other = company.draft(account, entry), company.draft(account, entry)
    place = {"MessageGroupId": company.record("Order", poisoned)["ContractId"], "MessageDeduplicationId": uuid4().hex}
    sqs.send_message(QueueUrl=outputs["OrderActivationQueueUrl"], MessageBody="poison", **place)
    for order in (poisoned, other):
        company.salesforce.update("Order", order, {"Status": "Activated"})

    assert [company.synced(order)[STATUS] for order in (poisoned, other)] == ["Synced"] * 2

    code, printed = company.command("replay", "--flow", "OrderActivation")
    assert code == 1
    assert "stays: it is not an event" in printed
    assert "1 found, 0 replayed, 1 stays." in printed
    # It stayed, and nothing hides it.
    letters = outputs["OrderActivationDeadLetterQueueUrl"]
    (left,) = sqs.receive_message(QueueUrl=letters, MaxNumberOfMessages=10)["Messages"]
    assert left["Body"] == "poison"
    sqs.delete_message(QueueUrl=letters, ReceiptHandle=left["ReceiptHandle"])


def test_what_nobody_heard_of_is_found_by_a_backfill(company: Company) -> None:
    account, entry = company.account(), company.entry(10)
    company.stack.settle(DEADLINE)
    with held(company.stack, "OrderActivation") as queue:
        order = company.sell(account, entry)
        contract = company.record("Order", order)["ContractId"]
        assert until(lambda: queue.messages(wait=1), "the event")

        code, printed = company.command("backfill", "--dry-run", "--json")
        assert (code, company.record("Order", order)[STATUS]) == (0, None)
        assert contract in {one["contract"] for one in json.loads(printed)["contracts"]}

        assert company.command("backfill", "--rate", "600")[0] == 0
        assert company.synced(order)[STATUS] == "Synced"
        assert len(company.schedules(contract)) == 1
        assert ("reconciliation", "synced") in company.flows(contract)
