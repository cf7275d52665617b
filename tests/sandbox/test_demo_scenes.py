"""The demo's scenes, played on the deployed stack; and that a scene notices what is not as it should be."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest
import stripe

from orderphase.domain.consolidation import consolidate
from orderphase.domain.lines import Order, OrderLine
from orderphase.domain.policies import Policies
from sandbox.demo import world
from sandbox.demo.report import Scene, steps
from sandbox.demo.scenes import play
from sandbox.demo.schedules import agrees, coupon_places, running
from sandbox.demo.sync_log import log_table
from sandbox.demo.world import World
from sandbox.processes import StackError
from sandbox.stack import LocalStack

START, MIDDLE, END = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 6, 12))
CREATED = int(START.timestamp()) + 3600


@pytest.mark.stack
def test_every_scene_holds(stack: LocalStack) -> None:
    with World(stack) as opened:
        scenes = list(play(opened, datetime.now(UTC).date()))
    assert [scene.title for scene in scenes] == [
        "A first order",
        "A change order, seen before it is done",
        "The change order",
        "A line that is corrected",
        "An order with discounts",
        "A discounted amendment",
        "A price that is made in Stripe",
        "An account that has moved",
        "A price of its own",
        "An order that cannot be billed",
        "The same event, three times",
        "Two cancellations",
    ]
    assert [_failures(scene) for scene in scenes] == [[]] * len(scenes)


def _failures(scene: Scene) -> list[str]:
    return [f"{check.claim}: {check.found}" for check in scene.checks if not check.holds]


def _schedule(**changes: Any) -> dict[str, Any]:
    schedule = {
        "created": CREATED,
        "phases": [
            {"start_date": CREATED, "end_date": int(MIDDLE.timestamp()), "items": [_item("price_a", 1)], "discounts": []},
            {
                "start_date": int(MIDDLE.timestamp()),
                "end_date": int(END.timestamp()),
                "items": [_item("price_a", 1), _item("price_b", 2, "coupon_b")],
                "discounts": [{"coupon": "coupon_all", "discount": None}],
            },
        ],
    }
    return schedule | changes


def _item(price: str, quantity: int, *coupons: str) -> dict[str, Any]:
    return {"price": price, "quantity": quantity, "discounts": [{"coupon": coupon, "discount": None} for coupon in coupons]}


def _agrees(*schedules: dict[str, Any]) -> bool:
    lines = (
        OrderLine("802A", Decimal(1), START, END, price_id="price_a"),
        OrderLine("802B", Decimal(2), MIDDLE, END, price_id="price_b"),
    )
    order = Order("801A", "00000101", START.date(), lines=lines)
    return agrees(consolidate([order], Policies()), schedules).holds


def test_a_schedule_that_bills_what_was_ordered_agrees() -> None:
    assert _agrees(_schedule())


def test_any_other_schedule_does_not() -> None:
    first, second = _schedule()["phases"]
    assert not _agrees()
    assert not _agrees(_schedule(), _schedule())
    assert not _agrees(_schedule(phases=[first]))
    assert not _agrees(_schedule(phases=[first, second | {"end_date": None}]))
    assert not _agrees(_schedule(phases=[first, second | {"items": [_item("price_a", 1)]}]))
    assert not _agrees(_schedule(phases=[first, second | {"items": [_item("price_a", 2), _item("price_b", 2)]}]))
    assert not _agrees(_schedule(phases=[first | {"start_date": CREATED + 60}, second]))


def test_what_runs_is_the_current_phase() -> None:
    later = int(MIDDLE.timestamp())
    assert running(_schedule(current_phase={"start_date": CREATED})) == (CREATED, {"price_a": 1})
    assert running(_schedule(current_phase={"start_date": later})) == (later, {"price_a": 1, "price_b": 2})


class _Stripe:
    """Answers an update as Stripe does under a key that was used before."""

    def __init__(self, sent: dict[str, Any], *, replays: bool = True) -> None:
        self.subscription_schedules = self
        self._sent, self._replays = sent, replays

    def update(self, _: str, params: dict[str, Any], options: dict[str, str]) -> Any:
        assert options == {"idempotency_key": "orderphase:update:00D1:8001:3:a1b2"}
        if params != self._sent:
            raise stripe.IdempotencyError("same parameters")
        headers = {"Idempotent-Replayed": "true"} if self._replays else {}
        return SimpleNamespace(last_response=SimpleNamespace(headers=headers))


@pytest.mark.parametrize(
    ("params", "replays", "same"), [({"phases": 1}, True, True), ({"phases": 2}, True, False), ({"phases": 1}, False, False)]
)
def test_whether_a_request_was_sent_is_told_by_its_key(params: dict[str, int], replays: bool, same: bool) -> None:
    asking: Any = object.__new__(World)
    asking.stripe = _Stripe({"phases": 1}, replays=replays)
    asking.planned = {"8001": "a1b2"}.__getitem__
    metadata = {"salesforce_org_id": "00D1", "salesforce_contract_id": "8001", "orderphase_generation": "3"}
    assert asking.was_sent({"id": "sub_sched_1", "metadata": metadata}, params) is same


def test_coupons_are_found_where_they_are_used() -> None:
    assert list(coupon_places(_schedule())) == [("coupon_all", "phase 2", None), ("coupon_b", "phase 2", "price_b")]


def test_a_discount_that_runs_is_found_by_its_own_name_and_leads_to_its_coupon() -> None:
    running = {"coupon": None, "discount": "di_1"}
    first, second = _schedule()["phases"]
    kept = _schedule(phases=[first | {"discounts": [running]}, second | {"discounts": [], "items": []}])
    assert list(coupon_places(kept)) == [("di_1", "phase 1", None)]
    asking = object.__new__(World)
    asking.stripe = cast("Any", SimpleNamespace(subscriptions=_Subscriptions()))
    assert asking.redeemed("sub_1") == {"di_1": "coupon_all", "di_2": "coupon_b"}


class _Subscriptions:
    """Answers with a subscription that has a discount, and one on an item."""

    def retrieve(self, subscription_id: str, params: dict[str, Any]) -> Any:
        assert (subscription_id, params) == ("sub_1", {"expand": ["discounts", "items.data.discounts"]})
        item = {"discounts": [{"id": "di_2", "source": {"coupon": "coupon_b"}}]}
        found = {"discounts": [{"id": "di_1", "source": {"coupon": "coupon_all"}}], "items": {"data": [item]}}
        return SimpleNamespace(to_dict=lambda: found)


def test_steps_are_what_a_count_rises_by() -> None:
    assert steps([3, 5, 5, 6]) == [2, 0, 1]


def test_the_sync_log_is_shown_with_its_calls() -> None:
    entry = {
        "flow": "order_activation",
        "outcome": "synced",
        "started_at": "2026-11-20T10:00:00.250Z",
        "finished_at": "2026-11-20T10:00:01.500Z",
        "calls": {"salesforce": 2, "stripe": 8},
        "event_id": "evt-1",
    }
    assert log_table([entry]).rows == [("order_activation", "synced", "1.25 s", "2", "8", "evt-1")]


def test_patience_ends_with_what_was_waited_for_and_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "PATIENCE_SECONDS", 0.0)
    waiting = object.__new__(World)
    waiting._stack = LocalStack(name="never-started", environment={})
    monkeypatch.setattr(waiting._stack, "function_logs", lambda function: [f"{function}: line {number}" for number in range(9)])
    assert waiting.until("it is there", lambda: "it") == "it"
    with pytest.raises(StackError, match="in vain until it is there") as refused:
        waiting.until("it is there", lambda: None)
    assert str(refused.value).splitlines()[1:] == [f"{flow}: line {number}" for flow in world.FLOWS for number in range(4, 9)]
