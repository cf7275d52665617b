"""The function behind EventBridge, as its queue calls it, on AWS in memory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.event_bus import app
from orderphase.ingress.event_bus import NEEDED_SECONDS
from orderphase.ingress.events import SalesforceEvent
from orderphase.ingress.stripe_events import SWITCHES as STRIPE_SWITCHES
from orderphase.store.dead_letters import ERROR
from orderphase.store.progress import POLL, Progress
from tests.ingress.edge import Stage, create_table, deployed, flow_of, loaded_libraries, sample
from tests.ingress.salesforce_messages import APPFLOW, CONTRACT, ORDER, ORG, RELAY, change, envelope
from tests.invocation import Context
from tests.template.cloudformation import load

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

SAMPLE, STRIPE_SAMPLE = sample("event_bus"), sample("event_bus_stripe")
STRIPE = json.loads(STRIPE_SAMPLE["Records"][0]["body"])["source"]
KEY = "sk_test_event_bus"
ENVIRONMENT = {
    "ORDERPHASE_STRIPE_SECRET": "stripe",
    "ORDERPHASE_STRIPE_ACCOUNT": "default",
    "ORDERPHASE_MORE_STRIPE_ACCOUNTS": "",
    "ORDERPHASE_STRIPE_SECRET_PREFIX": "orderphase/stripe/",
    "ORDERPHASE_IGNORE_OWN_EVENTS": "on",
    "ORDERPHASE_PROGRESS_TABLE": "progress",
    "ORDERPHASE_WEBHOOK_SECRET": "webhook",
    "ORDERPHASE_SALESFORCE_EVENT_SOURCE": RELAY,
    "ORDERPHASE_STRIPE_EVENT_SOURCE": STRIPE,
}
HELD = {"stripe": json.dumps({"STRIPE_API_KEY": KEY}), "webhook": json.dumps({"SALESFORCE_WEBHOOK_SECRET": "whsec"})}


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with deployed(monkeypatch, app, {}, ENVIRONMENT, HELD) as found:
        create_table("progress")
        made = boto3.client("sqs").create_queue(QueueName="dead-letters")["QueueUrl"]
        monkeypatch.setenv("ORDERPHASE_DEAD_LETTER_QUEUE", made)
        yield found


def put_aside() -> list[MessageTypeDef]:
    """What is among the dead letters; nothing is, afterwards."""
    sqs: SQSClient = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName="dead-letters")["QueueUrl"]
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
    letters = found.get("Messages", [])
    for letter in letters:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=letter["ReceiptHandle"])
    return letters


def batch(*documents: Any) -> dict[str, Any]:
    """The documents as messages of one batch, `m0`, `m1` and so on."""
    (record,) = SAMPLE["Records"]
    texts = [document if isinstance(document, str) else json.dumps(document) for document in documents]
    return {"Records": [record | {"messageId": f"m{n}", "body": text} for n, text in enumerate(texts)]}


def take(*documents: Any) -> list[str]:
    """Which of these messages are to come again."""
    return again(batch(*documents))


def again(event: dict[str, Any]) -> list[str]:
    answer = app.handler(event, Context(10))
    assert list(answer) == ["batchItemFailures"]
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def test_the_samples_are_queued(stage: Stage) -> None:
    assert again(SAMPLE) == again(STRIPE_SAMPLE) == []
    [activation] = stage.messages("order_activation")
    event = SalesforceEvent.of(json.loads(activation["Body"]))
    assert (event.type, event.record_id, event.org_id) == ("order.activated", ORDER, ORG)
    assert activation["MessageAttributes"]["correlation_id"]["StringValue"] == SAMPLE["Records"][0]["messageId"]
    [reconcile] = stage.messages("reconciliation")
    event = SalesforceEvent.of(json.loads(reconcile["Body"]))
    assert (event.type, event.record_id) == ("contract.reconcile", CONTRACT)
    assert reconcile["Attributes"]["MessageGroupId"] == CONTRACT


IDS = {
    "order.activated": ("Order", "801"),
    "order_item.updated": ("OrderItem", "802"),
    "product.upserted": ("Product2", "01t"),
    "pricebook_entry.upserted": ("PricebookEntry", "01u"),
    "account.upserted": ("Account", "001"),
}


def told(kind: str) -> dict[str, Any]:
    """An event of a type, by the bus that carries it."""
    if kind in IDS:
        entity, prefix = IDS[kind]
        return envelope(change(entityName=entity, recordIds=[f"{prefix}000000000001"]), RELAY)
    named = kind.split(".")[-2]
    about: dict[str, Any] = {"id": f"{named}_1", "object": named, "product": "prod_1"}
    if STRIPE_SWITCHES[kind] == "Reconciliation":
        about["metadata"] = {"salesforce_org_id": ORG, "salesforce_contract_id": CONTRACT}
    event = {"id": f"evt_{kind.replace('.', '_')}", "object": "event", "type": kind, "created": 1, "livemode": False}
    return envelope(event | {"data": {"object": about}}, STRIPE, kind)


@pytest.mark.parametrize("kind", app.SWITCHES)
def test_an_event_is_queued_for_its_flow_alone(stage: Stage, kind: str) -> None:
    assert take(told(kind)) == []
    assert stage.queued() == [flow_of(app.SWITCHES[kind])]


@pytest.mark.parametrize("flow", dict.fromkeys(map(flow_of, app.SWITCHES.values())))
def test_a_flow_that_is_off_says_how_to_switch_it_on(stage: Stage, monkeypatch: pytest.MonkeyPatch, flow: str) -> None:
    monkeypatch.setenv(f"ORDERPHASE_{flow.upper()}_QUEUE", "")
    assert take(*(told(kind) for kind in app.SWITCHES)) == []
    assert stage.queued() == [other for other in stage.queues if other != flow]
    for line in (line for line in stage.logs() if line["outcome"] == "EventIgnored"):
        (parameter,) = {switch for switch in app.SWITCHES.values() if flow_of(switch) == flow}
        assert parameter in load()["Parameters"]
        assert line["message"] == f"the flow is switched off; set the template's parameter {parameter} to on"


def test_what_is_no_event_is_put_aside_at_once_and_stops_none_beside_it(stage: Stage) -> None:
    nobody = envelope(change(), "orderphase.test")
    assert take("{", told("order.activated"), nobody, told("product.updated"), envelope({}, RELAY)) == []
    assert sorted(stage.queued()) == ["order_activation", "product_upsert"]
    letters = put_aside()
    assert sorted(letter["Body"] for letter in letters) == sorted(["{", json.dumps(nobody), json.dumps(envelope({}, RELAY))])
    # As `orderphase replay` looks for it. The queue is no FIFO queue.
    assert [letter["MessageAttributes"][ERROR]["StringValue"] for letter in letters] == ["data"] * 3
    assert [(line["level"], line["outcome"], line["message_id"]) for line in stage.logs()] == [
        ("ERROR", "EventRefusedInvalid", "m0"),
        ("INFO", "EventAccepted", "m1"),
        ("ERROR", "EventRefusedInvalid", "m2"),
        ("INFO", "EventAccepted", "m3"),
        ("ERROR", "EventRefusedInvalid", "m4"),
    ]
    assert stage.logs()[2]["message"] == "data: source: is none of the event sources of this deployment"


def test_only_what_may_succeed_later_comes_again(stage: Stage) -> None:
    boto3.client("sqs").delete_queue(QueueUrl=stage.queues["product_upsert"])
    assert take(told("product.updated"), "[]", told("order.activated")) == ["m0"]
    assert len(stage.messages("order_activation")) == 1
    assert [letter["Body"] for letter in put_aside()] == ["[]"]


def test_a_batch_in_which_all_fail_is_no_failure_of_the_function(stage: Stage) -> None:
    boto3.client("sqs").delete_queue(QueueUrl=stage.queues["product_upsert"])
    assert take(told("product.updated"), told("product.updated")) == ["m0", "m1"]


def test_what_cannot_be_put_aside_comes_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    boto3.client("sqs").delete_queue(QueueUrl=os.environ["ORDERPHASE_DEAD_LETTER_QUEUE"])
    assert take("[]", told("order.activated")) == ["m0"]
    monkeypatch.delenv("ORDERPHASE_DEAD_LETTER_QUEUE")
    assert take("[]", told("order.activated")) == ["m0"]
    assert stage.queued() == ["order_activation"]


class Late(Context):
    """An invocation whose time is nearly over."""

    def get_remaining_time_in_millis(self) -> int:
        return round(NEEDED_SECONDS * 1000) - 1


def test_an_event_of_many_records_ends_before_the_function_does(stage: Stage) -> None:
    document = envelope(change(recordIds=[f"80100000000000{n}" for n in range(3)]), RELAY)
    answer = app.handler(batch(document), Late())
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert (stage.queued(), put_aside()) == ([], [])
    [line] = stage.logs()
    assert (line["message"], line["outcome"]) == (
        "transient: there was time for 0 of 3 events; the others follow",
        "EventNotTaken",
    )
    assert take(document) == []
    assert len(stage.messages("order_activation")) == 3


def test_a_replay_is_queued_once(stage: Stage) -> None:
    document = told("order.activated")
    assert take(document, document) == take(document) == []
    assert len(stage.messages("order_activation")) == 1
    assert [line["outcome"] for line in stage.logs()] == ["EventAccepted", "EventReplayed", "EventReplayed"]


def test_the_poll_looks_for_what_was_too_much_to_be_told(stage: Stage) -> None:
    progress = Progress(boto3.client("dynamodb"), "progress")
    progress.write(POLL, {"since": "2026-11-20T10:30:00+00:00"}, 0)
    assert take(envelope(change(changeType="GAP_OVERFLOW", recordIds=[]), RELAY)) == []
    noted = progress.read(POLL)
    assert datetime.fromisoformat(noted.document["since"]) == datetime(2026, 11, 20, 9, 50, tzinfo=UTC)
    # It is there already.
    assert take(envelope(change(changeType="GAP_OVERFLOW", recordIds=[]), RELAY)) == []
    assert progress.read(POLL) == noted


def test_a_poll_that_has_never_run_begins_where_it_is_told_to(stage: Stage) -> None:
    progress = Progress(boto3.client("dynamodb"), "progress")
    assert take(envelope(change(changeType="GAP_OVERFLOW", recordIds=[]), RELAY)) == []
    assert datetime.fromisoformat(progress.read(POLL).document["since"]) == datetime(2026, 11, 20, 9, 50, tzinfo=UTC)


def test_an_org_that_the_source_does_not_name_is_the_secrets(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERPHASE_SALESFORCE_EVENT_SOURCE", APPFLOW)
    document = envelope(change()["payload"], APPFLOW)
    assert take(document) == ["m0"]
    assert stage.logs()[-1]["message"].startswith("configuration: secret webhook: SALESFORCE_ORG_ID: is missing")
    # What was wrong is looked at again once it has been corrected.
    held = json.loads(HELD["webhook"]) | {"SALESFORCE_ORG_ID": ORG}
    boto3.client("secretsmanager").put_secret_value(SecretId="webhook", SecretString=json.dumps(held))
    assert take(document) == []
    [message] = stage.messages("order_activation")
    assert json.loads(message["Body"])["org_id"] == ORG


@pytest.mark.parametrize("gone", ["table", "queue", "secret"])
def test_what_is_missing_in_aws_has_the_message_come_again(stage: Stage, gone: str) -> None:
    match gone:
        case "table":
            boto3.client("dynamodb").delete_table(TableName="accepted")
        case "queue":
            boto3.client("sqs").delete_queue(QueueUrl=stage.queues["product_upsert"])
        case _:
            boto3.client("secretsmanager").delete_secret(SecretId="stripe", ForceDeleteWithoutRecovery=True)
    assert take(told("product.updated")) == ["m0"]
    [line] = stage.logs()
    assert (line["level"], line["outcome"]) == ("ERROR", "EventNotTaken")
    assert line["message"].startswith("configuration: ")


@pytest.mark.parametrize(
    "name",
    [*(name for name in ENVIRONMENT if "MORE" not in name), "ORDERPHASE_IDEMPOTENCY_TABLE", "ORDERPHASE_PRICE_UPSERT_QUEUE"],
)
def test_an_incomplete_environment_is_our_own_fault(stage: Stage, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    defaults = {"ORDERPHASE_STRIPE_ACCOUNT", "ORDERPHASE_STRIPE_SECRET_PREFIX"}
    assert take(told("order.activated")) == ([] if name in defaults else ["m0"])
    assert name in defaults or name in stage.logs()[0]["message"]


def test_each_outcome_is_logged_and_counted_without_what_is_secret(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    take(told("product.updated"))
    take(envelope({"private": 1}, RELAY))
    accepted, invalid = stage.logs()
    assert {"outcome": "EventAccepted", "message": "queued", "event_id": "evt_product_updated"}.items() <= accepted.items()
    assert accepted["bus_event_id"] == told("product.updated")["id"]
    assert invalid["message"] == "data: detail: has no ChangeEventHeader"
    for private in (KEY, "whsec", "private"):
        assert private not in stage.text
    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = ["EventAccepted", "EventRefusedInvalid"]
    assert [blob[name] for blob, name in zip(metrics, names, strict=True)] == [[1.0]] * 2


def test_a_bug_is_told_without_its_words_and_comes_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(body: bytes) -> Any:
        raise KeyError("private")

    source = app.consumer.source()
    monkeypatch.setattr("orderphase.ingress.event_bus.documents.decode", broken)
    assert take(told("order.activated")) == ["m0"]
    [line] = stage.logs()
    assert (line["level"], line["message"], line["outcome"]) == ("ERROR", "KeyError", "EventNotTaken")
    assert line["stack"][-1].startswith("test_ingress_event_bus_function.py:")
    assert "private" not in stage.text
    assert app.consumer.source() is source


# SQS: what a message consists of.
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), min_size=1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(bodies=st.lists(TEXT | st.just(json.dumps(told("order.activated"))), min_size=1, max_size=3))
def test_any_batch_is_taken_or_put_aside(stage: Stage, bodies: list[str]) -> None:
    assert take(*bodies) == []
    event = json.dumps(told("order.activated"))
    assert sorted(letter["Body"] for letter in put_aside()) == sorted(body for body in bodies if body != event)


def test_it_loads_neither_the_stripe_nor_the_salesforce_library() -> None:
    assert loaded_libraries("event_bus") == "[]"
