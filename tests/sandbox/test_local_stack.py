"""The local stack's own promises, without starting it."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

import pytest

from sandbox import show, stack
from sandbox.invoke import samples, verdict
from sandbox.processes import StackError
from sandbox.stack import LocalStack


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
    assert {event.stem for _, event in samples()} >= {"salesforce_webhook", "order_activation"}


@pytest.mark.parametrize(
    ("function", "answer", "fine"),
    [
        ("SalesforceWebhookFunction", {"statusCode": 202}, True),
        ("SalesforceWebhookFunction", {"statusCode": 500}, False),
        ("OrderActivationFunction", {"batchItemFailures": []}, True),
        ("OrderActivationFunction", {"batchItemFailures": [{"itemIdentifier": "1"}]}, False),
        ("OrderActivationFunction", {"errorMessage": "no module"}, False),
        ("OrderActivationFunction", "no answer at all", False),
    ],
)
def test_an_answer_is_judged(function: str, answer: object, fine: bool) -> None:
    assert (verdict(function, answer) is None) is fine
