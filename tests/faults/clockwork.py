"""What the clock starts: whatever has to be looked at is in a queue in the end, and nothing stays switched off."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.faults.contracts import event, ramp
from tests.faults.scenarios import Case, Scenario, Tick
from tests.faults.stage import WORKERS, Stage, dead_letters, flow_queue, store
from tests.flows.deals import MOMENT, sold
from tests.flows.world import KEY
from tests.org import line

RECONCILIATION = flow_queue("reconciliation")


def _records(here: Stage, queue: str) -> list[str]:
    """What the messages of a queue are about. That one is there twice does no harm: its run finds nothing to do."""
    return sorted({json.loads(body)["record_id"] for _, body in here.waiting(queue)})


def _ticked(here: Stage, function: str, left: Callable[[], Any]) -> Case:
    here.open_queues(*map(flow_queue, WORKERS), *map(dead_letters, WORKERS))
    return Case(Tick(function), left, logged=False)


def due(here: Stage) -> Case:
    """A contract needs its next phases."""
    ramp(here)
    return _ticked(here, "rolling_window", lambda: _records(here, flow_queue("order_activation")))


def missed(here: Stage) -> Case:
    """A changed line and an activated order whose events have not come since the last poll."""
    deal = sold(here)
    here.clock.advance(timedelta(minutes=10))
    here.salesforce.update("OrderItem", deal.line, {"Quantity": 2})
    account = here.account()
    here.order(account, here.contract(account), line(here.entry()))
    here.progress().write("poll", {"since": here.clock.now().isoformat()}, 0)
    here.clock.advance(MOMENT)
    return _ticked(here, "poll", lambda: _records(here, RECONCILIATION))


def round_of_all(here: Stage) -> Case:
    """Three contracts, two of them billed."""
    for _ in range(2):
        sold(here)
    account = here.account()
    here.order(account, here.contract(account), line(here.entry()))
    return _ticked(here, "reconciliation_sweep", lambda: _records(here, RECONCILIATION))


def letters(here: Stage) -> Case:
    """Two messages have failed until they were dead letters, because Stripe was too busy. That is a while ago."""
    here.open_queues(*map(flow_queue, WORKERS), *map(dead_letters, WORKERS))
    for _ in range(2):
        account = here.account()
        contract = here.contract(account)
        order = here.order(account, contract, line(here.entry()))
        told = event("order.activated", order, contract_id=contract)
        here.stripe.inject("refuse", error="429", times=3)
        here.deliver("order_activation", told)
        here.put(dead_letters("order_activation"), told, contract)
        assert here.log_entries()[-1]["outcome"] == "interrupted"
    here.renew()
    here.clock.advance(timedelta(minutes=20))

    def left() -> Any:
        return _records(here, flow_queue("order_activation")), here.waiting(dead_letters("order_activation"))

    return _ticked(here, "recovery", left)


def _circuit(here: Stage) -> Any:
    open_since = here.progress().read("circuit").document.get("open_since")
    return open_since is not None, set(here.mappings.on.values())


def outage(here: Stage) -> Case:
    """A run has failed, and Stripe lets nobody in."""
    here.progress().suspect(here.clock.now())
    store("stripe", {"STRIPE_API_KEY": "sk_test_wrong", "STRIPE_API_BASE": here.stripe_url})
    return _ticked(here, "recovery", lambda: _circuit(here))


def outage_over(here: Stage) -> Case:
    """The queues are left alone, and both vendors answer again."""
    here.progress().write("circuit", {"open_since": here.clock.now().isoformat()}, 0)
    here.mappings.on = dict.fromkeys(here.mappings.on, False)
    store("stripe", {"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": here.stripe_url})
    return _ticked(here, "recovery", lambda: _circuit(here))


SCENARIOS = (
    Scenario("rolling window", "due", due),
    Scenario("poll", "missed", missed),
    Scenario("sweep", "round of all", round_of_all),
    Scenario("recovery", "letters", letters),
    Scenario("recovery", "outage", outage, days=False),
    Scenario("recovery", "outage over", outage_over),
)
