"""The functions that the clock starts, as they are deployed: what they queue, and what they say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from functions.poll import app as poll
from functions.reconciliation_sweep import app as sweep
from functions.recovery import app as recovery
from orderphase import telemetry
from orderphase.errors import ConfigurationError
from orderphase.ingress.events import ReconcileData, SalesforceEvent
from orderphase.settings import RecoverySettings
from orderphase.store.progress import Progress
from tests.alarms import fires, later, namespace, written
from tests.flows.world import ORG, World
from tests.functions.deployed import Output, deployed, store, stripe_secret
from tests.invocation import Context
from tests.org import line

EVENTS = Path(__file__).resolve().parents[2] / "events"
APPS: dict[str, Any] = {"poll": poll, "reconciliation_sweep": sweep, "recovery": recovery}
FLOWS = [
    alias.removeprefix("ORDERPHASE_").removesuffix("_DEAD_LETTER_QUEUE")
    for field in RecoverySettings.model_fields.values()
    if (alias := str(field.alias)).endswith("_DEAD_LETTER_QUEUE")
]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with deployed(monkeypatch) as found:
        sqs = boto3.client("sqs")
        for flow in FLOWS:
            for kind in ("QUEUE", "DEAD_LETTER_QUEUE"):
                name = f"{flow}-{kind}.fifo".lower().replace("_", "-")
                made = sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"})
                monkeypatch.setenv(f"ORDERPHASE_{flow}_{kind}", made["QueueUrl"])
        monkeypatch.setenv("ORDERPHASE_RECONCILIATION_RATE", "1200")
        for app in APPS.values():
            app.job.job.cache_clear()
        yield found
        for app in APPS.values():
            app.job.job.cache_clear()


def start(name: str) -> dict[str, int]:
    """Have the clock start a function."""
    answer: dict[str, int] = APPS[name].handler(json.loads((EVENTS / f"{name}.json").read_text()), Context())
    return answer


def queued() -> list[dict[str, Any]]:
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName="reconciliation-queue.fifo")["QueueUrl"]
    found: Any = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"])
    return list(found.get("Messages", []))


def unsynced(here: World) -> tuple[str, str]:
    account = here.account()
    contract = here.contract(account)
    return contract, here.order(account, contract, line(here.entry()))


def test_the_poll_queues_what_has_changed(here: World, output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    contract, order = unsynced(here)
    progress = Progress(here.dynamodb, "progress")
    progress.write("poll", {"since": (here.clock.now() - timedelta(minutes=3)).isoformat()}, 0)
    assert start("poll") == {"queued": 1}
    (message,) = queued()
    event = SalesforceEvent.of(json.loads(message["Body"]))
    assert (event.type, event.org_id, event.record_id) == ("contract.reconcile", ORG, contract)
    assert isinstance(event.data, ReconcileData)
    assert (event.data.reason, event.data.order_id) == ("poll", order)
    assert message["Attributes"]["MessageGroupId"] == contract
    assert output.counted() == {"Queued": 1}
    (said,) = output.lines()
    assert (said["message"], said["queued"]) == ("done", 1)


def test_the_sweep_queues_what_is_billed(here: World, output: Output) -> None:
    _, order = unsynced(here)
    here.run(order)
    assert start("reconciliation_sweep") == {"queued": 1}
    (message,) = queued()
    assert json.loads(message["Body"])["data"] == {"reason": "sweep", "billed": True}
    assert start("reconciliation_sweep") == {"queued": 0}


def test_the_recovery_finds_nothing_to_do(here: World, output: Output) -> None:
    assert start("recovery") == {"open": 0, "replayed": 0, "later": 0, "left": 0}
    assert (here.salesforce.log, here.stripe.log) == ([], [])


class Mappings:
    """Lambda's event source mappings, one for each queue, which moto does not have without a function."""

    def __init__(self) -> None:
        self.on = dict.fromkeys(FLOWS, True)
        self.meta = boto3.client("sqs").meta

    def list_event_source_mappings(self, EventSourceArn: str) -> dict[str, Any]:  # noqa: N803 (AWS names it so)
        flow = EventSourceArn.rpartition(":")[2].removesuffix("-queue.fifo").replace("-", "_").upper()
        return {"EventSourceMappings": [{"UUID": flow, "State": "Enabled" if self.on[flow] else "Disabled"}]}

    def update_event_source_mapping(self, UUID: str, Enabled: bool) -> None:  # noqa: N803 (as above)
        self.on[UUID] = Enabled


@pytest.fixture
def mappings(here: World, monkeypatch: pytest.MonkeyPatch) -> Mappings:
    found, make = Mappings(), boto3.client
    monkeypatch.setattr(boto3, "client", lambda name, **options: found if name == "lambda" else make(name, **options))
    return found


@pytest.mark.parametrize("outage", ["stripe", "salesforce", "key"])
def test_the_recovery_stops_the_flows_until_both_vendors_are_back(
    here: World, mappings: Mappings, output: Output, outage: str
) -> None:
    Progress(here.dynamodb, "progress").suspect(datetime.now(UTC))
    if outage == "key":
        store("stripe", stripe_secret(here, "sk_test_of_yesterday"))
    else:
        getattr(here, outage).inject("refuse", error="503", times=99)
    assert start("recovery") == {"open": 1}
    assert set(mappings.on.values()) == {False}
    down = next(said for said in output.lines() if said["message"] == "down")
    assert down["vendor"] == ("Salesforce" if outage == "salesforce" else "Stripe")

    here.stripe.faults.clear()
    here.salesforce.faults.clear()
    store("stripe", stripe_secret(here))
    assert start("recovery")["open"] == 0
    assert set(mappings.on.values()) == {True}


def test_flows_that_are_stopped_for_a_quarter_of_an_hour_set_off_the_alarm(
    here: World, mappings: Mappings, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry.metrics.provider, "namespace", namespace("billing"))
    monkeypatch.setattr(telemetry.metrics.provider, "service", "recovery")
    Progress(here.dynamodb, "progress").suspect(datetime.now(UTC))
    here.stripe.inject("refuse", error="503", times=99)
    assert start("recovery") == {"open": 1}
    blobs = [*written(output.capture.readouterr().out.splitlines())]
    minutes = [blob for minute in range(15) for blob in later(blobs, 60 * minute)]
    assert fires("CircuitAlarm", minutes, "billing")
    assert not fires("CircuitAlarm", minutes[: -len(blobs)], "billing")


def test_a_key_of_one_of_several_accounts_stops_nothing(
    here: World, mappings: Mappings, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERPHASE_MORE_STRIPE_ACCOUNTS", "eu")
    monkeypatch.setenv("ORDERPHASE_STRIPE_SECRET_PREFIX", "stack/stripe/")
    Progress(here.dynamodb, "progress").suspect(datetime.now(UTC))
    store("stripe", stripe_secret(here, "sk_test_of_yesterday"))
    assert start("recovery")["open"] == 0
    assert set(mappings.on.values()) == {True}


@pytest.mark.parametrize("name", APPS)
def test_a_missing_variable_is_named_and_looked_for_again(
    name: str, here: World, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORDERPHASE_PROGRESS_TABLE")
    with pytest.raises(ConfigurationError, match="ORDERPHASE_PROGRESS_TABLE: is missing"):
        start(name)
    assert output.counted() == {"Interrupted_configuration": 1}
    monkeypatch.setenv("ORDERPHASE_PROGRESS_TABLE", "progress")
    start(name)
