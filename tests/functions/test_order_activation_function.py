"""The function behind the queue: which messages come again, what is logged, and what is counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from functions.order_activation import app
from orderphase.errors import UnknownOutcomeError
from orderphase.store.contracts import ContractTable
from orderphase.store.progress import Progress
from orderphase.stripe.account import StripeAccount
from tests.flows.world import KEY, ORG, World
from tests.functions.deployed import Output, dead_letters, deployed, store, stripe_secret, take

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = json.loads((ROOT / "events" / "order_activation.json").read_text())
NAME, PHONE, STREET = "Geheim & Partner", "+49 30 555 0199", "Geheimweg 7"


class Stage(Output):
    """The deployed function: `take` gives it messages, the rest tells what came of it."""

    def __init__(self, here: World, output: Output) -> None:
        super().__init__(output.logs, output.capture)
        self.here = here

    def take(self, *messages: dict[str, Any]) -> list[str]:
        return take(app, *messages)

    def sold(self, **fields: Any) -> tuple[str, str]:
        """An activated order and its contract."""
        account = self.here.account(Name=NAME, Phone=PHONE, BillingStreet=STREET)
        contract = self.here.contract(account)
        line = {"PricebookEntryId": self.here.entry(), "EndDate": "2027-12-01"}
        return self.here.order(account, contract, line, **fields), contract

    def status(self, order: str) -> str | None:
        found: str | None = self.here.record("Order", order)["Stripe_Sync_Status__c"]
        return found


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, output: Output) -> Iterator[Stage]:
    with deployed(monkeypatch) as here:
        monkeypatch.setattr(app.worker, "_built", None)
        app.worker.troubles.cache_clear()
        yield Stage(here, output)
        app.worker.troubles.cache_clear()


def message(order: str, group: str, *, number: int = 1, correlation: str | None = "request-1", **event: Any) -> dict[str, Any]:
    """An SQS message about an order; its id is made of the order and the number."""
    body = {"type": "order.activated", "org_id": ORG, "record_id": order, "occurred_at": "2026-11-20T10:00:00Z", "data": {}}
    record = json.loads(json.dumps(SAMPLE["Records"][0]))
    record["messageId"] = f"{order}-{number}"
    record["body"] = json.dumps(body | {"id": f"event-{order}-{number}"} | event)
    record["attributes"]["MessageGroupId"] = group
    record["messageAttributes"] = {}
    if correlation:
        record["messageAttributes"]["correlation_id"] = {"stringValue": correlation, "dataType": "String"}
    return dict(record)


def test_an_order_goes_through(stage: Stage) -> None:
    order, contract = stage.sold()
    assert stage.take(message(order, contract)) == []
    assert stage.status(order) == "Synced"
    assert stage.counted() == {"Synced": 1}
    (line,) = stage.lines()
    assert (line["level"], line["message"], line["contract_id"], line["findings"]) == ("INFO", "synced", contract, [])
    assert (line["event_id"], line["record_id"]) == (f"event-{order}-1", order)
    assert (line["correlation_id"], line["message_id"]) == ("request-1", f"{order}-1")
    assert line["function_request_id"] == "invocation-1"
    (entry,) = stage.here.log_entries()
    assert (entry["correlation_id"], entry["order_number"]) == ("request-1", "00000001")
    assert stage.watched == {"SalesforceApiUsed": pytest.approx(0.01, abs=0.01)}


def test_the_sample_message_is_understood(stage: Stage) -> None:
    assert stage.take(*SAMPLE["Records"]) == []
    (line,) = stage.lines()
    assert line["message"] == "skipped", "it comes from another org"
    assert line["correlation_id"] == "5f0d8a3c-2b7e-4f19-9c46-d1e8a7b3f025"


def test_a_message_without_a_correlation_id(stage: Stage) -> None:
    order, contract = stage.sold()
    sent = message(order, contract, correlation=None)
    assert stage.take(sent) == []
    assert stage.lines()[0]["correlation_id"] == sent["messageId"]
    assert stage.here.log_entries()[-1]["correlation_id"] == sent["messageId"]


def test_what_the_customer_must_correct_is_consumed(stage: Stage) -> None:
    order, contract = stage.sold(Stripe_Collection_Method__c="send_invoice")
    assert stage.take(message(order, contract)) == []
    assert stage.status(order) == "Failed"
    assert stage.counted() == {"Failed": 1}
    assert stage.watched.pop("SalesforceApiUsed") > 0
    assert stage.watched == {"FailedRecords": 1}
    (line,) = stage.lines()
    assert (line["message"], line["findings"]) == ("failed", ["missing_days_until_due"])


def test_one_contract_that_fails_holds_up_no_other(stage: Stage) -> None:
    stuck, contract = stage.sold()
    others = [stage.sold() for _ in range(2)]
    lease = ContractTable(stage.here.dynamodb, "contracts").acquire(contract, "another run", stage.here.clock.now())

    again = stage.take(
        message(*others[0]),
        message(stuck, contract, number=1),
        message(*others[1]),
        message(stuck, contract, number=2),
    )

    assert again == [f"{stuck}-1", f"{stuck}-2"]
    assert [stage.status(order) for order, _ in others] == ["Synced", "Synced"]
    assert stage.status(stuck) is None
    assert stage.counted() == {"Synced": 2, "Interrupted_conflict": 1}
    interrupted = [line for line in stage.lines() if line["message"] == "interrupted"]
    assert [(line["record_id"], line["error"], line["level"]) for line in interrupted] == [(stuck, "conflict", "WARNING")]

    ContractTable(stage.here.dynamodb, "contracts").release(lease, stage.here.clock.now())
    stage.here.clock.advance(timedelta(minutes=3))
    assert stage.take(message(stuck, contract, number=1), message(stuck, contract, number=2)) == []
    assert stage.status(stuck) == "Synced"
    assert stage.counted() == {"Synced": 1, "Unchanged": 1}


def test_a_batch_that_fails_altogether_is_no_error_of_the_function(stage: Stage) -> None:
    order, contract = stage.sold()
    stage.here.salesforce.inject("refuse", error="503", path="/composite", times=3)
    assert stage.take(message(order, contract)) == [f"{order}-1"]
    assert stage.counted() == {"Interrupted_unknown_outcome": 1}
    assert Progress(stage.here.dynamodb, "progress").suspected_at() is not None


def test_a_key_that_was_replaced_is_fetched_anew_at_once(stage: Stage) -> None:
    first, second = stage.sold(), stage.sold()
    assert stage.take(message(*first)) == []
    stage.here.stripe._keys["sk_test_of_tomorrow"] = stage.here.stripe._keys.pop(KEY)
    store("stripe", stripe_secret(stage.here, "sk_test_of_tomorrow"))
    assert stage.take(message(*second)) == []
    assert stage.status(second[0]) == "Synced"
    assert stage.counted() == {"Synced": 2}


def test_while_nobody_is_let_in_the_message_waits(stage: Stage) -> None:
    order, contract = stage.sold()
    store("stripe", stripe_secret(stage.here, "sk_test_of_yesterday"))
    assert stage.take(message(order, contract)) == [f"{order}-1"]
    (line,) = stage.lines()
    assert (line["level"], line["error"], line["record_id"]) == ("ERROR", "configuration", order)
    assert line["reason"].startswith("Stripe refuses the request: Invalid API Key provided: sk_test_****")
    assert "of_yesterday" not in stage.text
    assert dead_letters() == []
    assert Progress(stage.here.dynamodb, "progress").suspected_at() is not None

    store("stripe", stripe_secret(stage.here))
    stage.here.clock.advance(timedelta(minutes=3))
    assert stage.take(message(order, contract)) == []
    assert stage.status(order) == "Synced"


def test_what_no_repetition_helps_becomes_a_dead_letter_at_once(stage: Stage) -> None:
    order, contract = stage.sold()
    stage.here.salesforce.inject("refuse", error="API_DISABLED_FOR_ORG", path="/composite", times=9)
    assert stage.take(message(order, contract)) == []
    (letter,) = dead_letters()
    said = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert said == {"correlation_id": "request-1", "error": "configuration"}
    assert letter["Body"] == message(order, contract)["body"]
    assert letter["Attributes"]["MessageGroupId"] == contract

    stage.here.salesforce.faults.clear()
    assert stage.take(message(order, contract)) == []
    assert stage.status(order) == "Synced"


def test_a_dead_letter_keeps_the_id_that_its_message_had(stage: Stage) -> None:
    order, contract = stage.sold()
    stage.here.salesforce.inject("refuse", error="API_DISABLED_FOR_ORG", path="/composite", times=9)
    sent = message(order, contract, correlation=None)
    assert stage.take(sent) == []
    (letter,) = dead_letters()
    assert letter["MessageAttributes"]["correlation_id"]["StringValue"] == sent["messageId"]


def test_a_function_that_is_not_set_up_says_what_is_missing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    order, contract = stage.sold()
    monkeypatch.delenv("ORDERPHASE_STRIPE_SECRET")
    assert stage.take(message(order, contract)) == []
    (line,) = stage.lines()
    assert (line["error"], line["reason"]) == ("configuration", "environment: ORDERPHASE_STRIPE_SECRET: is missing")
    assert stage.counted() == {"Interrupted_configuration": 1}
    assert len(dead_letters()) == 1

    monkeypatch.setenv("ORDERPHASE_STRIPE_SECRET", "stripe")
    assert stage.take(message(order, contract)) == []
    assert stage.status(order) == "Synced"


def test_a_bug_fails_loudly_and_tells_no_record(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    order, contract = stage.sold()

    class Flow:
        def run(self, *_: object, **__: object) -> None:
            raise KeyError(NAME)

    flow: Any = Flow()
    monkeypatch.setattr(app.worker, "flow", lambda: flow)
    assert stage.take(message(order, contract)) == [f"{order}-1"]
    (line,) = stage.lines()
    assert (line["level"], line["error"], line["error_code"]) == ("ERROR", "bug", "KeyError")
    assert line["record_id"] == order
    assert line["stack"][-1].startswith("test_order_activation_function.py:")
    assert line["stack"][-1].endswith(" run")
    assert NAME not in stage.text
    assert stage.counted() == {"Interrupted_bug": 1}


@pytest.mark.parametrize("body", [" ", "{", "[]", '{"id": "event-1"}'])
def test_a_message_that_is_no_event(stage: Stage, body: str) -> None:
    order, contract = stage.sold()
    strange = message("800000000000009AAA", "another") | {"body": body}
    assert stage.take(message(order, contract), strange) == []
    assert [letter["Body"] for letter in dead_letters()] == [body]
    first, second = stage.lines()
    assert first["record_id"] == order
    assert (second["message"], second["error"], second["message_id"]) == ("interrupted", "data", "800000000000009AAA-1")
    assert second.get("record_id") is None, "it is not the record of the message before"
    assert stage.counted() == {"Synced": 1, "Interrupted_data": 1}


def test_no_log_line_tells_a_person_or_a_secret(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    good, nameless, refused, lost = (stage.sold() for _ in range(4))
    stage.here.hide_name(stage.here.record("Order", nameless[0])["AccountId"])
    stage.here.salesforce.refuse_writes(refused[0], error="FIELD_CUSTOM_VALIDATION_EXCEPTION", times=2)
    stage.take(message(*good), message(*nameless), message(*refused))

    def unanswered(*_: object, **__: object) -> None:
        raise UnknownOutcomeError(f"Stripe did not answer about {NAME}", code="ReadTimeout")

    monkeypatch.setattr(StripeAccount, "create_schedule", unanswered)
    stage.take(message(*lost))

    assert [line["message"] for line in stage.lines()] == ["synced", "failed", "failed", "interrupted"]
    for hidden in (NAME, PHONE, "555 0199", STREET, "Geheim", "sk_test", "secret"):
        assert hidden not in stage.text
