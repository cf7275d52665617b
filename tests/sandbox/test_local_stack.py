"""The local stack's own promises, without starting it."""

from __future__ import annotations

import fcntl
import json
import re
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from boto3.dynamodb.types import TypeDeserializer

from orderphase.ingress.signature import verify
from orderphase.settings import WebhookSecrets
from sandbox import show, stack
from sandbox.build import FUNCTIONS, QUEUES, ROOT
from sandbox.invoke import samples, secrets_of_samples, sources_of_samples, timely, verdict
from sandbox.processes import StackError
from sandbox.stack import LocalStack
from tests.template.cloudformation import load


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(stack, "STATE", tmp_path)
    monkeypatch.setattr(show, "STATE", tmp_path)
    return tmp_path


def test_a_name_is_in_use_once(state: Path) -> None:
    note = state / "busy" / "stack.json"
    note.parent.mkdir()
    note.write_text(json.dumps({}))
    with (state / "busy.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StackError, match="a stack named busy runs already"):
            LocalStack(name="busy", environment={}).start()
    # What the running one has written is left alone.
    assert note.exists()


def test_half_a_vendor_is_refused_before_anything_starts(state: Path) -> None:
    with pytest.raises(StackError, match="not STRIPE_API_BASE"):
        LocalStack(environment={"STRIPE_API_KEY": "sk_test_1"}).start()
    assert not list(state.iterdir())


def test_what_is_not_running_cannot_be_used() -> None:
    with pytest.raises(StackError, match="is not running"):
        LocalStack(environment={}).aws("sqs")
    with pytest.raises(StackError, match="no local stack named local is running"):
        show.show("queues")


def test_every_function_has_a_sample_event() -> None:
    assert {function for function, _ in samples()} == set(FUNCTIONS)
    # Each once, and with the function that its name begins with; that may go on with what sets it apart.
    assert sorted(event for _, event in samples()) == sorted((ROOT / "events").glob("*.json"))
    plain = {event.stem for _, event in samples()} & {path.parent.name for path in (ROOT / "functions").glob("*/app.py")}
    assert len(plain) == len(FUNCTIONS)
    of_the_sweep = [event.stem for function, event in samples() if function == "ReconciliationSweepFunction"]
    assert of_the_sweep == ["reconciliation_sweep"]


def test_the_stack_knows_whom_the_samples_come_from() -> None:
    assert WebhookSecrets.from_secret("SalesforceWebhookSecret", json.dumps(secrets_of_samples())).outbound_tokens
    parameters = load()["Parameters"]
    for name, source in sources_of_samples().items():
        assert re.fullmatch(parameters[name]["AllowedPattern"], source)


class Queues:
    """SQS of which the URL of a queue says how many messages it has waiting, and how many are in flight."""

    def get_queue_attributes(self, QueueUrl: str, AttributeNames: list[str]) -> dict[str, dict[str, str]]:  # noqa: N803
        return {"Attributes": dict(zip(AttributeNames, QueueUrl.split("/"), strict=True))}


def test_what_waits_in_any_queue_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    running = LocalStack(environment={})
    monkeypatch.setattr(running, "aws", lambda _: Queues())
    dead = {f"{name}DeadLetterQueueUrl": "1/0" for name in QUEUES}
    for name in QUEUES:
        idle = {f"{other}QueueUrl": "0/0" for other in QUEUES}
        running.outputs = dead | idle
        assert running.waiting() == 0
        running.outputs = dead | idle | {f"{name}QueueUrl": "2/3"}
        assert running.waiting() == 5


class Vendors:
    """Both vendors' emulators and the queues: each time that events are sent, so many messages begin to wait."""

    def __init__(self, *causes: int) -> None:
        self.causes, self.left, self.sent = list(causes), 0, 0
        self.courier = self

    def flush(self, timeout: float | None = None) -> None:
        # Salesforce's is given the time that is left, Stripe's has its own.
        self.sent += 1
        if timeout is None and self.causes:
            self.left += self.causes.pop(0)

    def waiting(self) -> int:
        self.left = max(self.left - 1, 0)
        return self.left


@pytest.fixture
def vendors(monkeypatch: pytest.MonkeyPatch) -> Vendors:
    monkeypatch.setattr(stack, "POLL_SECONDS", 0.0)
    return Vendors()


def settling(vendors: Vendors) -> LocalStack:
    running, stand_in = LocalStack(environment={}), cast("Any", vendors)
    running.salesforce = running.stripe = stand_in
    running.waiting = stand_in.waiting  # type: ignore[method-assign]
    return running


def test_it_is_settled_when_nothing_follows_from_what_was_told(vendors: Vendors) -> None:
    settling(vendors).settle()
    assert (vendors.left, vendors.sent) == (0, 4)


def test_what_a_run_has_changed_is_told_and_worked_on_too(vendors: Vendors) -> None:
    vendors.causes = [3, 0, 0, 5]
    settling(vendors).settle()
    assert (vendors.left, vendors.causes) == (0, [])


def test_what_never_settles_is_told(vendors: Vendors) -> None:
    vendors.causes = [10**9]
    with pytest.raises(TimeoutError, match="messages still wait after 0 s"):
        settling(vendors).settle(timeout=0.0)


def test_the_sample_of_the_stripe_route_is_signed_anew(tmp_path: Path) -> None:
    running = LocalStack(environment={})
    running.secrets = {"StripeSecret": {"STRIPE_WEBHOOK_SECRET": "whsec_1"}}
    signed = [timely(running, event, tmp_path) for _, event in samples()]
    changed = [path for path, (_, event) in zip(signed, samples(), strict=True) if path != event]
    assert [path.name for path in changed] == ["stripe_webhook.json"]
    sample = json.loads(changed[0].read_text())
    verify(sample["headers"]["Stripe-Signature"], sample["body"].encode(), ["whsec_1"], datetime.now(UTC))


def test_stripe_is_told_the_route_of_the_stacks_account() -> None:
    for parameters, name in (({}, "default"), ({"StripeAccount": "main"}, "main")):
        running = LocalStack(environment={}, parameters=parameters)
        running.url = "http://127.0.0.1:8787"
        assert running.stripe_events_url == f"http://127.0.0.1:8787/stripe/{name}/events"


def test_every_queue_is_shown(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = {f"{name}QueueUrl": "2/3" for name in QUEUES} | {f"{name}DeadLetterQueueUrl": "1/0" for name in QUEUES}
    (state / "local").mkdir()
    (state / "local" / "stack.json").write_text(json.dumps({"outputs": outputs, "aws": {}}))

    def client(*_: Any) -> Any:
        return Queues()

    monkeypatch.setattr(show._Running, "client", client)
    lines = list(show.show("queues"))
    assert len(lines) == 2 * len(QUEUES)
    for name in QUEUES:
        assert f"{name}Queue: 2 waiting, 3 in flight" in lines
        assert f"{name}DeadLetterQueue: 1 waiting, 0 in flight" in lines


@pytest.mark.parametrize(
    ("function", "answer", "fine"),
    [
        ("SalesforceWebhookFunction", {"statusCode": 202}, True),
        ("SalesforceWebhookFunction", {"statusCode": 500}, False),
        ("SalesforceWebhookFunction", {"statusCode": 200, "body": "<x><Ack>true</Ack></x>"}, True),
        ("SalesforceWebhookFunction", {"statusCode": 200, "body": "<x><Ack>false</Ack></x>"}, False),
        ("StripeWebhookFunction", {"statusCode": 200}, True),
        ("StripeWebhookFunction", {"statusCode": 400}, False),
        ("OrderActivationFunction", {"batchItemFailures": []}, True),
        ("OrderActivationFunction", {"batchItemFailures": [{"itemIdentifier": "1"}]}, False),
        ("OrderActivationFunction", {"errorMessage": "no module"}, False),
        ("OrderActivationFunction", "no answer at all", False),
        ("CancellationFunction", {"queued": 0}, False),
        ("RollingWindowFunction", {"queued": 0}, True),
        ("RollingWindowFunction", {"batchItemFailures": []}, False),
        ("PollFunction", {"queued": 0}, True),
        ("RecoveryFunction", {"open": 0, "replayed": 0, "later": 0, "left": 0}, True),
        ("RecoveryFunction", {"open": 1}, False),
        ("RecoveryFunction", {"queued": 0}, False),
    ],
)
def test_an_answer_is_judged(function: str, answer: object, fine: bool) -> None:
    assert (verdict(function, answer) is None) is fine


def test_what_the_ledger_packs_is_shown_unpacked() -> None:
    packed = zlib.compress(json.dumps({"802": "price_A"}).encode())
    item: dict[str, Any] = {
        "intent": {"M": {"prices": {"B": packed}, "orders": {"SS": ["801-2", "801-1"]}, "generation": {"N": "2"}}}
    }
    read = {name: TypeDeserializer().deserialize(value) for name, value in item.items()}
    shown = json.loads(json.dumps(read, default=show.as_json))
    assert shown == {"intent": {"prices": {"802": "price_A"}, "orders": ["801-1", "801-2"], "generation": "2"}}
