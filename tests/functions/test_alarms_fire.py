"""What goes wrong in a run sets off the alarm that is there for it: a real function, the template's own alarms.

Of records, drift, unknown outcomes and the API budget; none of the other three goes off with it. That of a door is in
test_ingress_function.py, that of the circuit in test_scheduled_functions.py. The rest watch what AWS itself counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from functions.order_activation import app
from orderphase import telemetry
from tests.alarms import ALARMS, TEMPLATE, fires, later, namespace, written
from tests.functions.deployed import Output, deployed
from tests.functions.test_order_activation_function import Stage, message

STACK = "billing"
OF_RECORDS = {"FailedRecordsAlarm", "DriftAlarm"}
MINE = OF_RECORDS | {"UnknownOutcomesAlarm", "ApiBudgetAlarm"}


class Watched(Stage):
    """The function of order activation, as the template names it to CloudWatch."""

    def fired(self, *, times: int = 1) -> set[str]:
        """The alarms that what was written sets off; `times`: as if it were written again in each period of 5 minutes."""
        blobs = [*written(self.capture.readouterr().out.splitlines())]
        assert blobs
        again = [blob for number in range(times) for blob in later(blobs, 300 * number)]
        return {name for name in MINE if fires(name, again, STACK)}

    def run(self, order: str, contract: str, number: int = 1) -> list[str]:
        return self.take(message(order, contract, number=number))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, output: Output) -> Iterator[Watched]:
    monkeypatch.setattr(telemetry.metrics.provider, "namespace", namespace(STACK))
    service = TEMPLATE["Resources"]["OrderActivationFunction"]["Properties"]["Environment"]["Variables"]
    monkeypatch.setattr(telemetry.metrics.provider, "service", service["POWERTOOLS_SERVICE_NAME"])
    with deployed(monkeypatch) as here:
        monkeypatch.setattr(app.worker, "_built", None)
        app.worker.troubles.cache_clear()
        yield Watched(here, output)
        app.worker.troubles.cache_clear()


def test_what_goes_well_sets_off_none(stage: Watched) -> None:
    assert stage.run(*stage.sold()) == []
    assert stage.fired(times=3) == set()


def test_an_order_that_cannot_be_billed(stage: Watched) -> None:
    order, contract = stage.sold(Stripe_Collection_Method__c="send_invoice")
    stage.run(order, contract)
    assert stage.fired() == {"FailedRecordsAlarm"}
    # Told once; the sweep finds it every day.
    stage.here.clock.advance(timedelta(days=1))
    stage.run(order, contract, number=2)
    assert stage.fired() == set()


def test_a_schedule_that_somebody_else_has_changed(stage: Watched) -> None:
    order, contract = stage.sold()
    stage.run(order, contract)
    assert stage.fired() == set()
    stage.here.post_to_stripe(f"/v1/subscription_schedules/{stage.here.schedule()['id']}", end_behavior="release")
    stage.here.clock.advance(timedelta(minutes=5))
    stage.run(order, contract, number=2)
    assert stage.fired() == OF_RECORDS


def test_requests_without_an_answer(stage: Watched) -> None:
    """One is made good by the next run. Those that go on for a quarter of an hour are not."""
    stage.here.stripe.inject("lost_after", method="POST", path="/v1/subscription_schedules", times=9)
    order, contract = stage.sold()
    assert stage.run(order, contract) == [f"{order}-1"]
    assert stage.fired() == set()
    order, contract = stage.sold()
    assert stage.run(order, contract) == [f"{order}-1"]
    assert stage.fired(times=3) == {"UnknownOutcomesAlarm"}


@pytest.mark.parametrize(("calls", "alarms"), [(70_000, set[str]()), (90_000, {"ApiBudgetAlarm"})])
def test_the_calls_of_the_org(stage: Watched, calls: int, alarms: set[str]) -> None:
    stage.here.salesforce._rest.calls_used = calls
    stage.run(*stage.sold())
    assert stage.fired() == alarms


CHANGES: dict[str, Callable[[dict[str, Any]], None]] = {
    "another name": lambda alarm: alarm.update(MetricName="Failed"),
    "another namespace": lambda alarm: alarm.update(Namespace={"Fn::Sub": "Orderphase"}),
    "another dimension": lambda alarm: alarm.update(Dimensions=[{"Name": "service", "Value": "order_activation"}]),
    "another threshold": lambda alarm: alarm.update(Threshold=5),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_alarm_on_something_else_would_not_go_off(
    stage: Watched, monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], None]
) -> None:
    wrong = dict(ALARMS["FailedRecordsAlarm"])
    change(wrong)
    monkeypatch.setitem(ALARMS, "FailedRecordsAlarm", wrong)
    stage.run(*stage.sold(Stripe_Collection_Method__c="send_invoice"))
    assert stage.fired() == set()
