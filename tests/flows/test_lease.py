"""Order activation: several runs at the same contract."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from orderphase.errors import ConflictError
from orderphase.flows.order_activation import OrderActivation
from orderphase.salesforce.contracts import ContractState
from tests.flows.world import ACCOUNT, World
from tests.org import line


class TestLease:
    def test_a_contract_that_another_run_works_on_is_left_to_it(self, here: World) -> None:
        account = here.account()
        contract = here.contract(account)
        order = here.order(account, contract, line(here.entry()))
        flow = here.flow()
        flow._runs.table.acquire(contract, "another run", here.clock.now())
        with pytest.raises(ConflictError):
            here.run(order, flow)
        assert here.pauses == [1.0] * 8
        assert here.stripe.log == []
        assert here.log_entries()[-1]["outcome"] == "interrupted"
        here.clock.advance(timedelta(seconds=61))
        assert here.run(order, flow).outcome == "synced"
        assert len(here.pauses) == 8

    @pytest.mark.parametrize("seconds", [1, 8])
    def test_a_run_waits_for_another_one_for_a_while(self, here: World, seconds: int) -> None:
        """The queue would bring its event back after minutes only."""
        account = here.account()
        contract = here.contract(account)
        order = here.order(account, contract, line(here.entry()))
        flow = here.flow()
        table = flow._runs.table
        other = table.acquire(contract, "another run", here.clock.now())

        def pause(duration: float) -> None:
            here.pauses.append(duration)
            here.clock.advance(timedelta(seconds=duration))
            if len(here.pauses) == seconds:
                table.release(other, here.clock.now())

        flow._runs._pause = pause
        here.salesforce.log.clear()

        assert here.run(order, flow).outcome == "synced"

        assert here.pauses == [1.0] * seconds
        # What the other one has written meanwhile is read again.
        assert len(here.salesforce.calls("POST .*/composite$")) == 2

    def meanwhile(self, here: World, flow: OrderActivation, happens: Callable[[], Any]) -> None:
        """Let something happen between the flow's first read of the contract and its lease."""
        read = flow._runs.contracts.read
        happened: list[Any] = []

        def reading(order_id: str) -> ContractState:
            state = read(order_id)
            if not happened:
                happened.append(happens())
            return state

        flow._runs.contracts.read = reading  # type: ignore[method-assign, assignment]  # stands before the real one

    def test_what_another_run_did_meanwhile_is_read_again(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry()))
        flow = here.flow()
        self.meanwhile(here, flow, lambda: here.run(order))
        assert here.run(order, flow).outcome == "unchanged"
        assert len(here.salesforce.calls("PATCH")) == 1

    def test_an_order_that_moves_meanwhile_is_read_again(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        first = here.contract(account)
        order, other = (
            here.order(account, first, line(entry)),
            here.order(account, first, line(entry, "2027-12-01", "2028-12-01")),
        )
        flow = here.flow()

        def move() -> None:
            here.run(other)
            for fields in ({"Status": "Draft"}, {"ContractId": here.contract(account)}, {"Status": "Activated"}):
                here.salesforce.update("Order", order, fields)

        self.meanwhile(here, flow, move)
        with pytest.raises(ConflictError):
            here.run(order, flow)
        assert len(here.schedules()) == 1

    def test_runs_at_the_same_time_make_one_schedule(self, here: World) -> None:
        account = here.account()
        order = here.order(account, here.contract(account), line(here.entry(), Stripe_Discount_Percent_Off__c=10))

        def run(_: int) -> str:
            try:
                return here.run(order).outcome
            except ConflictError:
                return "conflict"

        with ThreadPoolExecutor(4) as pool:
            outcomes = sorted(pool.map(run, range(4)))
        assert "synced" in outcomes
        assert len(here.schedules()) == len(here.stripe.objects(ACCOUNT, "coupon")) == 1
        assert here.run(order).outcome == "unchanged"
