"""`orderphase plan`: the exact request for a snapshot and the schedule that there is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from orderphase.cli import main, plan
from orderphase.domain.policies import Policies
from orderphase.mapping import read_mapping
from orderphase.stripe.schedules import EXPANDED
from sandbox.build import ROOT
from sandbox.stripe_emulator import parameters
from tests.cli.conftest import Command
from tests.sandbox.stripe_world import World, there

EXAMPLE = ROOT / "docs" / "example-plan.json"
ORG = "00D000000000001EAA"
IDENTITY = {"salesforce_order_id": "801A", "salesforce_org_id": ORG, "salesforce_contract_id": "800A"}

type Run = Callable[..., dict[str, Any]]


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def line(record_id: str, start: str, end: str | None, **more: Any) -> dict[str, Any]:
    return {"Id": record_id, "Quantity": 1, "ServiceDate": start, "EndDate": end, "Stripe_Price_Id__c": "price_A"} | more


def order(record_id: str, *lines: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "Id": record_id,
        "OrderNumber": f"number {record_id}",
        "EffectiveDate": min((one["ServiceDate"] for one in lines), default="2027-01-01"),
        "ActivatedDate": "2026-12-01T00:00:00Z",
        "CurrencyIsoCode": "USD",
        "OrderItems": list(lines),
    } | more


def sold(**fields: Any) -> dict[str, Any]:
    """What a line without a price of its own says about where it was sold from."""
    product = {"Id": "01tA", "Name": "Seat"} | fields.pop("Product2", {})
    entry = {"Id": "01uA", "UnitPrice": 10, "Stripe_Billing_Interval__c": "month", "Product2": product} | fields
    return {"Stripe_Price_Id__c": None, "PricebookEntry": entry}


YEAR = order("801A", line("802A", "2027-02-01", "2028-02-01"))
CHANGE = order("801B", line("802B", "2027-06-01", "2028-02-01", Quantity=2), ActivatedDate="2027-01-05T00:00:00Z")
ACCOUNT = {"Stripe_Customer_Id__c": "cus_1"}


def snapshot(*orders: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "now": "2027-01-01T00:00:00Z",
        "org_id": ORG,
        "account": ACCOUNT,
        "contract": {"Id": "800A"},
        "orders": list(orders),
    } | more


@pytest.fixture
def run(command: Command) -> Run:
    """The answer of `orderphase plan`; its exit code says whether a finding is an error."""

    def run(source: Any, *arguments: str) -> dict[str, Any]:
        code, out, err = command(source, "plan", *arguments)
        answer: dict[str, Any] = json.loads(out)
        assert err == ""
        assert code == any(one["severity"] == "error" for one in answer["findings"])
        assert list(answer) == ["action", "params", "phases", "findings"]
        if answer["action"] in ("create", "update") and "customer" in answer["params"]:
            parameters.check(f"subscription_schedules.{answer['action']}", answer["params"])
        return answer

    return run


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def codes(answer: dict[str, Any]) -> list[str]:
    return [one["code"] for one in answer["findings"]]


# ---- the request --------------------------------------------------------------------------------------------------------


def test_a_new_schedule(run: Run) -> None:
    answer = run(snapshot(YEAR))
    assert answer["params"] == {
        "customer": "cus_1",
        "start_date": at("2027-02-01"),
        "billing_mode": {"type": "flexible"},
        "end_behavior": "cancel",
        "metadata": IDENTITY,
        "phases": [
            {
                "items": [{"price": "price_A", "quantity": 1, "metadata": {"salesforce_order_item_ids": "802A"}}],
                "currency": "usd",
                "proration_behavior": "create_prorations",
                "billing_cycle_anchor": "automatic",
                "collection_method": "charge_automatically",
                "discounts": "",
                "metadata": IDENTITY,
                "end_date": at("2028-02-01"),
            }
        ],
    }
    (phase,) = answer["phases"]
    assert (answer["action"], phase["start"], phase["end"]) == ("create", "2027-02-01T00:00:00Z", "2028-02-01T00:00:00Z")
    assert answer["findings"] == []


def test_a_file_and_the_mapping_beside_the_package(run: Run, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "load_mapping", lambda: read_mapping('[account]\ncustomer_id = "Payer__c"'))
    file = tmp_path / "snapshot.json"
    file.write_text(json.dumps(snapshot(YEAR, account={"Payer__c": "cus_2"})), "utf-8")
    assert run(b"", str(file))["params"]["customer"] == "cus_2"


def test_the_example_is_a_change_in_the_middle_of_a_schedule(run: Run) -> None:
    answer = run(b"", str(EXAMPLE))
    given = json.loads(EXAMPLE.read_text())
    current = given["schedule"]["current_phase"]
    assert current["start_date"] < datetime.fromisoformat(given["now"]).timestamp() < current["end_date"]
    assert (answer["action"], answer["findings"]) == ("update", [])
    parameters.check("subscription_schedules.update", answer["params"])
    phases = answer["params"]["phases"]
    assert phases[0]["start_date"] == current["start_date"]
    assert [(phase["end_date"], [item["quantity"] for item in phase["items"]]) for phase in phases] == [
        (at("2025-04-01"), [1]),
        (at("2025-06-01"), [3]),
        (at("2026-01-01"), [3, 1]),
    ]
    assert answer["params"]["metadata"] == given["schedule"]["metadata"]


def test_an_order_without_a_contract_is_known_by_its_own_id(run: Run) -> None:
    answer = run(snapshot(YEAR, contract=None, org_id=None))
    assert answer["params"]["metadata"] == {"salesforce_order_id": "801A"}


def test_the_metadata_names_the_oldest_order(run: Run) -> None:
    assert run(snapshot(CHANGE, YEAR, policies={"quantity_conflict": "sum"}))["params"]["metadata"] == IDENTITY


def test_the_same_discount_is_the_same_coupon(run: Run) -> None:
    cheap = order("801A", line("802A", "2027-02-01", "2028-02-01", Stripe_Discount_Percent_Off__c=10))

    def coupon(**more: Any) -> str:
        (discount,) = run(snapshot(cheap, **more))["params"]["phases"][0]["items"][0]["discounts"]
        return str(discount["coupon"])

    assert coupon().startswith("orderphase_10pct_")
    assert coupon() == coupon(now="2027-01-02T00:00:00Z")
    assert len({coupon(), coupon(org_id=None), coupon(contract={"Id": "800B"})}) == 3


@pytest.mark.parametrize(("stated", "entry", "currency"), [("EUR", "JPY", "eur"), (None, "JPY", "jpy"), (None, None, "usd")])
def test_the_currency(run: Run, stated: str | None, entry: str | None, currency: str) -> None:
    seat = line("802A", "2027-02-01", "2028-02-01", **sold(CurrencyIsoCode=entry, Stripe_Price_Id__c="price_1"))
    (phase,) = run(snapshot(order("801A", seat, CurrencyIsoCode=stated)))["params"]["phases"]
    assert phase["currency"] == currency


def test_every_policy_counts(run: Run) -> None:
    chosen = {
        "quantity_conflict": "latest",
        "end_dates": "inclusive",
        "time_zone": "Europe/Berlin",
        "proration_behavior": "none",
        "billing_mode": "classic",
        "billing_cycle_anchor": "phase_start",
        "backdating": "catch_up",
        "on_schedule_ended": "recreate",
        "on_drift": "repair",
        "custom_pricing": "standard",
        "unit_prices": "per_term",
    }
    of_the_flows = {"customer_update", "customer_per_currency", "write_back"}
    of_the_mapping = {"collection_method", "days_until_due"}
    assert set(chosen) == {field.name for field in fields(Policies)} - of_the_flows - of_the_mapping
    params = run(snapshot(YEAR, policies=chosen))["params"]
    (phase,) = params["phases"]
    assert (params["billing_mode"], phase["proration_behavior"]) == ({"type": "classic"}, "none")
    assert phase["end_date"] == at("2028-02-01T23:00:00")


def test_the_mapping_says_how_invoices_are_collected_and_what_is_carried(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
        [defaults]
        collection_method = "send_invoice"
        days_until_due = 30
        [metadata.phase]
        po = "PoNumber"
        [metadata.item]
        site = "Site__r.Name"
        """
    monkeypatch.setattr(plan, "load_mapping", lambda: read_mapping(text))
    sold_here = line("802A", "2027-02-01", "2028-02-01", Site__r={"Name": "Paris"})
    (phase,) = run(snapshot(order("801A", sold_here, PoNumber="4711")))["params"]["phases"]
    assert (phase["collection_method"], phase["invoice_settings"]) == ("send_invoice", {"days_until_due": 30})
    assert phase["metadata"] == {"po": "4711", **IDENTITY}
    assert phase["items"][0]["metadata"] == {"site": "Paris", "salesforce_order_item_ids": "802A"}


# ---- prices of a line's own -----------------------------------------------------------------------------------------------


def custom(unit_price: float, record_id: str = "802A", **entry: Any) -> dict[str, Any]:
    seat = line(record_id, "2027-02-01", "2028-02-01", UnitPrice=unit_price, **sold(**entry))
    return order("801A", seat, CurrencyIsoCode=entry.get("CurrencyIsoCode", "USD"))


def test_a_line_that_was_sold_at_another_price(run: Run) -> None:
    answer = run(snapshot(custom(9)))
    assert answer["params"]["phases"][0]["items"][0]["price"] == "01tA_usd_900_month1"
    (told,) = answer["findings"]
    assert (told["code"], told["severity"]) == ("created_first", "warning")
    assert "the price of Seat at 9.00 USD every month" in told["message"]


@pytest.mark.parametrize(("policy", "action", "severity"), [("error", "nothing", "error"), ("standard", "create", "warning")])
def test_it_may_be_refused_or_billed_at_the_standard_price(run: Run, policy: str, action: str, severity: str) -> None:
    answer = run(snapshot(custom(9, Stripe_Price_Id__c="price_10"), policies={"custom_pricing": policy}))
    assert answer["action"] == action
    assert [(told["code"], told["severity"]) for told in answer["findings"]] == [("custom_price", severity)]
    assert [item["price"] for phase in answer["phases"] for item in phase["items"]] == ["price_10"] * (action == "create")


def test_a_price_for_the_whole_term(run: Run) -> None:
    given = snapshot(custom(120, Stripe_Price_Id__c="price_10"), policies={"unit_prices": "per_term"})
    assert [item["price"] for item in run(given)["params"]["phases"][0]["items"]] == ["price_10"]
    given["orders"] = [custom(90, Stripe_Price_Id__c="price_10")]
    assert run(given)["params"]["phases"][0]["items"][0]["price"] == "01tA_usd_750_month1"


@pytest.mark.parametrize("stated", ["KWD", None])
def test_a_price_that_is_rounded(run: Run, stated: str | None) -> None:
    answer = run(snapshot(custom(1.234, CurrencyIsoCode="KWD") | {"CurrencyIsoCode": stated}, account=None))
    assert answer["params"]["phases"][0]["items"][0]["price"] == "01tA_kwd_1230_month1"
    assert codes(answer) == ["created_first", "price_rounded"]


def test_a_schedule_says_at_which_price_a_line_is_billed(run: Run, world: World) -> None:
    """It goes on at that, whatever price the standard entry has by now; a line that was sold at the same is billed so too."""
    sold_at_9 = custom(9, Stripe_Price_Id__c=world.price())
    given = snapshot(sold_at_9, account=customer(world))
    params = run(given)["params"]
    params["phases"][0]["items"][0]["price"] = price = world.price()
    schedule = world.sdk.v1.subscription_schedules.create(params)
    given["schedule"] = shown(world, schedule.id)
    assert (run(given)["action"], run(given)["findings"]) == ("nothing", [])

    more = line("802B", "2027-06-01", "2028-02-01", UnitPrice=9.00, **sold(Stripe_Price_Id__c="price_11", UnitPrice=11))
    given |= {"orders": [sold_at_9, order("801B", more)], "policies": {"quantity_conflict": "sum"}}
    assert [(item["price"], item["quantity"]) for phase in run(given)["phases"] for item in phase["items"]] == [
        (price, 1),
        (price, 2),
    ]


def test_a_line_without_a_currency_is_priced_in_the_schedules(run: Run, world: World) -> None:
    given = snapshot(YEAR | {"OrderItems": [YEAR["OrderItems"][0] | {"Stripe_Price_Id__c": world.price(currency="eur")}]})
    given["orders"][0]["CurrencyIsoCode"] = "EUR"
    schedule = world.sdk.v1.subscription_schedules.create(run(given | {"account": customer(world)})["params"])
    given |= {"schedule": shown(world, schedule.id), "orders": [custom(9, "802B") | {"CurrencyIsoCode": None}]}
    assert run(given)["phases"][0]["items"][0]["price"] == "01tA_eur_900_month1"


# ---- what does not exist yet ----------------------------------------------------------------------------------------------


def test_what_does_not_exist_yet_stands_under_its_salesforce_id(run: Run) -> None:
    seats = order("801A", line("802A", "2027-02-01", "2028-02-01", **sold()))
    answer = run(snapshot(seats, account=None))
    assert "customer" not in answer["params"]
    assert answer["params"]["phases"][0]["items"][0]["price"] == "01uA"
    (told,) = answer["findings"]
    assert (told["code"], told["severity"]) == ("created_first", "warning")
    assert told["message"] == (
        "The request needs the customer, the price of price book entry 01uA (Seat); the flow finds or creates this first."
    )


def test_what_salesforce_knows_is_not_created(run: Run) -> None:
    seats = order("801A", line("802A", "2027-02-01", "2028-02-01", **sold(Stripe_Price_Id__c="price_1")))
    answer = run(snapshot(seats))
    assert answer["params"]["phases"][0]["items"][0]["price"] == "price_1"
    assert answer["findings"] == []


@pytest.mark.parametrize("known", [True, False])
def test_what_is_caught_up_is_of_a_product(run: Run, known: bool) -> None:
    entry = sold(Stripe_Price_Id__c="price_1", Product2={"Stripe_Product_Id__c": "prod_1" if known else None})
    answer = run(
        snapshot(
            order("801A", line("802A", "2026-11-01", "2027-11-01", **entry)),
            policies={"backdating": "catch_up"},
        )
    )
    (item,) = answer["params"]["phases"][0]["add_invoice_items"]
    assert item["price_data"] == {"currency": "usd", "product": "prod_1" if known else "01tA", "unit_amount": 2000}
    assert codes(answer) == ([] if known else ["created_first"])
    assert known or "the product 01tA (Seat)" in answer["findings"][0]["message"]


# ---- drafts ---------------------------------------------------------------------------------------------------------------


def test_a_draft_beside_activated_orders_is_not_billed(run: Run) -> None:
    draft = CHANGE | {"ActivatedDate": None}
    assert run(snapshot(YEAR, draft)) == run(snapshot(YEAR))


def test_where_no_order_says_when_it_was_activated_all_are(run: Run) -> None:
    orders = (one | {"ActivatedDate": None} for one in (YEAR, CHANGE))
    answer = run(snapshot(*orders, policies={"quantity_conflict": "sum"}))
    assert [item["quantity"] for phase in answer["phases"] for item in phase["items"]] == [1, 3]


def test_an_original_order_that_is_a_draft_is_told_unless_there_is_a_schedule(run: Run, world: World) -> None:
    change = order("801B", line("802B", "2027-03-01", "2028-02-01", Stripe_Price_Id__c=world.price()))
    draft = YEAR | {"ActivatedDate": None}
    before = run(snapshot(draft, change))
    assert (before["action"], codes(before)) == ("nothing", ["original_not_activated"])
    schedule = world.sdk.v1.subscription_schedules.create(run(snapshot(change, account=customer(world)))["params"])
    assert codes(run(snapshot(draft, change, schedule=shown(world, schedule.id)))) == []


# ---- the schedule that there is ---------------------------------------------------------------------------------------------


def customer(world: World) -> dict[str, str]:
    return {"Stripe_Customer_Id__c": world.customer()}


def shown(world: World, schedule_id: str, *expand: str) -> dict[str, Any]:
    """A schedule in the JSON that Stripe answers."""
    found = world.sdk.v1.subscription_schedules.retrieve(schedule_id, {"expand": list(expand)})
    return cast("dict[str, Any]", there(found.last_response).data)


@pytest.mark.parametrize("expand", [(), EXPANDED])
@pytest.mark.parametrize("start", ["2026-12-01", "2027-01-01", "2027-02-01"])
def test_what_was_done_is_nothing_to_do_and_a_change_is_an_update(
    run: Run, world: World, start: str, expand: tuple[str, ...]
) -> None:
    price = world.price()
    first = order(
        "801A",
        line("802A", start, "2028-02-01", Stripe_Price_Id__c=price, Stripe_Discount_Percent_Off__c=10),
    )
    given = snapshot(first, account=customer(world))
    created = run(given)["params"]
    for phase in created["phases"]:
        world.sdk.v1.coupons.create(
            {"id": phase["items"][0]["discounts"][0]["coupon"], "percent_off": 10, "duration": "forever"}
        )
    schedule = world.sdk.v1.subscription_schedules.create(created)
    again = run(given | {"schedule": shown(world, schedule.id, *expand)})
    assert (again["action"], again["params"], again["phases"]) == ("nothing", {}, [])

    change = CHANGE | {"OrderItems": [CHANGE["OrderItems"][0] | {"Stripe_Price_Id__c": world.price()}]}
    given["orders"] = [first, change]
    update = run(given | {"schedule": shown(world, schedule.id, *expand)})
    assert update["action"] == "update"
    world.sdk.v1.subscription_schedules.update(schedule.id, cast("Any", update["params"]))
    assert run(given | {"schedule": shown(world, schedule.id, *expand)})["action"] == "nothing"


def test_a_schedule_that_is_over_keeps_its_customer(run: Run, world: World) -> None:
    mine = order("801A", line("802A", "2027-02-01", "2028-02-01", Stripe_Price_Id__c=world.price()))
    given = snapshot(mine, account=customer(world), policies={"on_schedule_ended": "recreate"})
    schedule = world.sdk.v1.subscription_schedules.create(run(given)["params"])
    world.sdk.v1.subscription_schedules.cancel(schedule.id)
    answer = run(given | {"account": None, "schedule": shown(world, schedule.id)})
    assert (answer["action"], answer["params"]["customer"], codes(answer)) == ("create", schedule.customer, ["schedule_ended"])


# ---- cancellations --------------------------------------------------------------------------------------------------------


@pytest.fixture
def running(run: Run, world: World) -> dict[str, Any]:
    """A contract that is billed from 2027-01-01 on."""
    mine = order("801A", line("802A", "2027-01-01", "2028-01-01", Stripe_Price_Id__c=world.price()))
    given = snapshot(mine, account=customer(world))
    schedule = world.sdk.v1.subscription_schedules.create(run(given)["params"])
    world.move_to("2027-03-15")
    return given | {"now": "2027-03-15T00:00:00Z", "schedule": shown(world, schedule.id, *EXPANDED)}


def test_cancelled_now(run: Run, running: dict[str, Any]) -> None:
    answer = run(running | {"cancellation": {"invoice_now": True}})
    assert (answer["action"], answer["params"]) == ("cancel", {"invoice_now": True, "prorate": False})
    assert answer["phases"] == []


@pytest.mark.parametrize(
    ("cancellation", "ends", "prorated"),
    [
        ({"mode": "at_period_end"}, "2027-04-01", "none"),
        ({"mode": "on_date", "date": "2027-08-01", "prorate": True}, "2027-08-01", "create_prorations"),
    ],
)
def test_cancelled_later(run: Run, running: dict[str, Any], cancellation: dict[str, Any], ends: str, prorated: str) -> None:
    answer = run(running | {"cancellation": cancellation})
    (phase,) = answer["params"]["phases"]
    assert (answer["action"], phase["end_date"]) == ("update", at(ends))
    assert answer["params"]["proration_behavior"] == prorated


@pytest.mark.parametrize(("date", "code"), [("2027-03-15", "cancellation_in_past"), ("2028-01-02", "cancellation_after_end")])
def test_a_date_on_which_a_contract_cannot_end(run: Run, running: dict[str, Any], date: str, code: str) -> None:
    answer = run(running | {"cancellation": {"mode": "on_date", "date": date}})
    assert (answer["action"], codes(answer)) == ("nothing", [code])


def test_cancelled_before_anything_bills(run: Run) -> None:
    answer = run(snapshot(YEAR, cancellation={"mode": "on_date", "date": "2027-06-01"}))
    assert (answer["action"], answer["params"], answer["findings"]) == ("nothing", {}, [])


# ---- what cannot be used --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"", "the snapshot is not JSON"),
        (snapshot(YEAR, now=None), "now: is not a date"),
        ({"orders": []}, "now: is missing"),
        (snapshot(YEAR, contract=None, orders=[YEAR, CHANGE]), "contract: is missing; without a contract there is exactly one"),
        (snapshot(contract=None), "contract: is missing"),
        (snapshot(YEAR, schedule="sub_sched_1"), "schedule: is not a subscription schedule"),
        (snapshot(YEAR, schedule={"object": "subscription_schedule"}), "schedule.id: is missing; schedule.status: is missing"),
        (snapshot(YEAR, account="cus_1"), "account: is not an object"),
        (snapshot(YEAR, cancellation={"mode": "later"}), "cancellation.mode: "),
    ],
)
def test_unusable_input_exits_with_2_and_one_line(command: Command, source: Any, said: str) -> None:
    code, out, err = command(source, "plan")
    assert (code, out) == (2, "")
    assert err.startswith(f"orderphase: {said}")
    assert err.count("\n") == 1


def test_an_error_finding_exits_with_1_and_no_request(run: Run) -> None:
    answer = run(snapshot(order("801A", line("802A", "2027-02-01", "2028-02-01", Stripe_Price_Id__c=None))))
    assert (answer["action"], answer["params"], codes(answer)) == ("nothing", {}, ["missing_price"])


def test_the_help_tells_the_keys(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["plan", "--help"])
    told = capsys.readouterr().out
    assert all(f'"{key}"' in told for key in snapshot() if key not in ("contract", "orders"))
    assert '"cancellation"  {"mode"' in told
