"""Customers, products, prices, coupons: what they become, lists, search, expansion, and each refusal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

import pytest
import stripe
from stripe.params import (
    CustomerCreateParams,
    CustomerCreateParamsInvoiceSettings,
    CustomerCreateParamsShipping,
    CustomerSearchParams,
    CustomerUpdateParams,
    CustomerUpdateParamsAddress,
    CustomerUpdateParamsShipping,
    PriceCreateParams,
    PriceListParams,
    ProductCreateParams,
)

from tests.sandbox.stripe_world import ACCOUNT, World, at, expanded, reference, refusal, there


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def test_a_customer_lives_and_dies(world: World) -> None:
    customers = world.sdk.v1.customers
    created = customers.create(
        {
            "name": "A",
            "email": "a@example.com",
            "address": {"city": "Graz"},
            "metadata": {"a": "1", "b": "2"},
            "invoice_prefix": "ABC",
        }
    )
    assert (created.created, created.currency, there(created.address).country) == (world.now, None, None)
    updated = customers.update(created.id, {"address": "", "metadata": {"a": "", "c": "3"}, "phone": "1"})
    assert (updated.name, updated.address, updated.phone) == ("A", None, "1")
    assert there(updated.metadata).to_dict() == {"b": "2", "c": "3"}
    assert there(customers.update(created.id, {"metadata": ""}).metadata).to_dict() == {}
    assert customers.delete(created.id).deleted is True
    assert customers.retrieve(created.id).to_dict() == {"id": created.id, "object": "customer", "deleted": True}
    assert refusal(customers.update, created.id, {"name": "B"}).http_status == 404
    assert customers.list().data == []
    assert world.events() == ["customer.created", "customer.updated", "customer.updated", "customer.deleted"]
    previous = world.emulator.objects(ACCOUNT, "event")[1]["data"]["previous_attributes"]
    assert previous["metadata"] == {"a": "1", "c": None}
    assert previous["phone"] is None


def test_more_of_a_customer(world: World) -> None:
    shipping: CustomerCreateParamsShipping = {"name": "A", "address": {"city": "Graz"}}
    settings: CustomerCreateParamsInvoiceSettings = {"footer": "Thanks", "custom_fields": [{"name": "PO", "value": "1"}]}
    params: CustomerCreateParams = {
        "shipping": shipping,
        "invoice_settings": settings,
        "preferred_locales": ["de"],
        "tax_exempt": "reverse",
    }
    created = world.sdk.v1.customers.create(params).to_dict()
    assert (created["shipping"]["address"]["city"], created["shipping"]["phone"]) == ("Graz", None)
    assert (created["invoice_settings"]["footer"], created["invoice_settings"]["default_payment_method"]) == ("Thanks", None)
    assert (created["preferred_locales"], created["tax_exempt"]) == (["de"], "reverse")
    assert world.sdk.v1.customers.update(created["id"], {"tax_exempt": ""}).tax_exempt == "none"
    for field, value in (("balance", 5), ("test_clock", "clock_1"), ("payment_method", "pm_1"), ("tax_id_data", [])):
        sent = {field: value or [{"type": "eu_vat", "value": "ATU1"}]}
        assert refusal(world.sdk.v1.customers.create, sent).http_status == 501


def test_a_change_that_changes_nothing_has_no_event(world: World) -> None:
    customer = world.customer(name="A")
    world.sdk.v1.customers.update(customer, {"name": "A"})
    assert world.events() == ["customer.created"]


def test_each_part_of_a_customer_can_be_unset(world: World) -> None:
    customers = world.sdk.v1.customers
    address: CustomerUpdateParamsAddress = {"line1": "1 Street", "city": "Graz", "country": "AT"}
    full: CustomerUpdateParams = {"name": "A", "email": "a@example.com", "phone": "1", "description": "D", "address": address}
    customer = world.customer()
    assert there(customers.update(customer, full).address).to_dict()["line1"] == "1 Street"
    one = there(customers.update(customer, {"address": {**address, "line1": ""}}).address)
    assert (one.line1, one.city) == (None, "Graz")
    assert there(customers.update(customer, {"address": {"city": "Wien"}}).address).country is None  # it is replaced whole
    sent = dict.fromkeys(("name", "email", "phone", "description", "address"), "")
    cleared = customers.update(customer, cast("CustomerUpdateParams", sent)).to_dict()
    assert [cleared[name] for name in sent] == [None] * 5
    shipping: CustomerUpdateParamsShipping = {"name": "A", "phone": "1", "address": address}
    assert there(customers.update(customer, {"shipping": shipping}).shipping).phone == "1"
    shipped = customers.update(customer, {"shipping": {"name": "A", "phone": "", "address": {"city": ""}}}).to_dict()[
        "shipping"
    ]
    assert (shipped["phone"], shipped["address"]["city"]) == (None, None)
    assert customers.update(customer, {"shipping": ""}).shipping is None
    assert refusal(customers.update, customer, {"shipping": {"phone": "1"}}).param == "shipping[address]"
    assert refusal(customers.create, {"name": ""}).code == "parameter_invalid_empty"


def test_nothing_is_done_to_a_deleted_customer_or_for_it(world: World) -> None:
    customer = world.customer()
    world.sdk.v1.customers.delete(customer)
    message = f"No such customer: '{customer}'"
    in_path = refusal(world.sdk.v1.customers.update, customer, {"name": "A"})
    assert (in_path.http_status, in_path.code, in_path.user_message) == (404, "resource_missing", message)
    in_body = refusal(world.schedule, world.phase("2028-01-01"), customer=customer)
    assert (in_body.http_status, in_body.code, in_body.param, in_body.user_message) == (
        400,
        "resource_missing",
        "customer",
        message,
    )
    assert refusal(world.sdk.v1.customers.delete, customer).http_status == 404


def test_a_customer_has_a_currency_from_its_first_subscription_on(world: World) -> None:
    customer = world.customer()
    world.schedule(world.phase("2028-01-01"), customer=customer, start_date=at("2027-02-01"))
    assert world.sdk.v1.customers.retrieve(customer).currency is None
    world.move_to("2027-02-01")
    assert world.sdk.v1.customers.retrieve(customer).currency == "usd"


def test_a_missing_object_is_404_in_the_path_and_400_in_the_body(world: World) -> None:
    in_path = refusal(world.sdk.v1.customers.retrieve, "cus_none")
    assert (in_path.http_status, in_path.code, str(in_path.user_message)) == (
        404,
        "resource_missing",
        "No such customer: 'cus_none'",
    )
    in_body = refusal(world.sdk.v1.prices.create, {"product": "none", "currency": "usd", "unit_amount": 1})
    assert (in_body.http_status, in_body.code, in_body.param) == (400, "resource_missing", "product")


def test_search_is_behind(world: World) -> None:
    customers = world.sdk.v1.customers
    world.customer()
    world.emulator.lag_search(timedelta(minutes=1))
    created = customers.create({"email": "o'hara@example.com", "metadata": {"salesforce_account_id": "001A"}})
    query: CustomerSearchParams = {"query": "metadata['salesforce_account_id']:'001A'"}
    assert customers.search(query).data == []
    world.clock.advance(timedelta(minutes=1))
    assert [found.id for found in customers.search(query).data] == [created.id]
    customers.update(created.id, {"metadata": {"salesforce_account_id": "001B"}})
    [stale] = customers.search(query).data
    assert there(stale.metadata).to_dict() == {"salesforce_account_id": "001B"}  # found by the old value, shown as it is
    both: CustomerSearchParams = {"query": 'email:\'o\\\'hara@example.com\' AND metadata["salesforce_account_id"]:"001A"'}
    assert [found.id for found in customers.search(both).data] == [created.id]
    assert customers.search({"query": "name:'x' OR metadata['salesforce_account_id']:'001A'"}).data[0].id == created.id
    customers.delete(created.id)
    assert customers.search(query).data == []


def test_search_in_pages(world: World) -> None:
    ids = [world.customer(name="A") for _ in range(3)]
    first = world.sdk.v1.customers.search({"query": "name:'A'", "limit": 2})
    rest = world.sdk.v1.customers.search({"query": "name:'A'", "limit": 2, "page": first.next_page})
    assert [found.id for found in (*first.data, *rest.data)] == ids[::-1]
    assert (first.has_more, rest.has_more, rest.next_page is None) == (True, False, True)
    assert refusal(world.sdk.v1.customers.search, {"query": "name:'A'", "page": "x"}).param == "page"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("name", 400),
        ("metadata:'x'", 400),
        ("name['k']:'x'", 400),
        ("name:'a' AND name:'b' OR name:'c'", 400),
        ("name~'ab'", 501),
        ("-name:'a'", 501),
        ("created>'1'", 501),
    ],
)
def test_search_clauses_that_are_refused(world: World, query: str, status: int) -> None:
    assert refusal(world.sdk.v1.customers.search, {"query": query}).http_status == status


def test_a_product_with_its_own_id(world: World) -> None:
    products = world.sdk.v1.products
    created = products.create({"id": "01t", "name": "P", "unit_label": "seat", "metadata": {"k": "v"}})
    assert (created.id, created.active, created.updated) == ("01t", True, world.now)
    clash = refusal(products.create, {"id": "01t", "name": "P"})
    assert (clash.http_status, clash.code) == (400, "resource_already_exists")
    world.clock.advance(timedelta(hours=1))
    changed = products.update("01t", {"active": False, "unit_label": "", "images": ["https://example.com/1.png"]})
    assert (changed.active, changed.unit_label, changed.updated) == (False, None, world.now + 3600)
    assert changed.images == ["https://example.com/1.png"]
    assert [product.id for product in products.list({"active": False, "ids": ["01t", "x"]}).data] == ["01t"]
    assert products.list({"active": True}).data == []
    assert products.delete("01t").deleted is True
    assert (refusal(products.retrieve, "01t").http_status, refusal(products.retrieve, "01t").code) == (404, "resource_missing")
    assert world.events() == ["product.created", "product.updated", "product.deleted"]
    assert products.create({"id": "01t", "name": "Again"}).unit_label is None  # the id of a deleted product is free again


def test_an_update_of_a_product(world: World) -> None:
    products = world.sdk.v1.products
    products.create({"id": "p", "name": "P", "description": "D", "metadata": {"a": "1", "b": "2"}})
    world.clock.advance(timedelta(hours=1))
    same = products.update("p", {"name": "P", "metadata": {"a": "1"}})
    assert (same.updated, world.events()) == (world.now, ["product.created"])  # nothing has changed
    changed = products.update("p", {"name": "Q", "description": "", "metadata": {"a": "", "c": "3"}})
    assert (changed.name, changed.description, there(changed.metadata).to_dict()) == ("Q", None, {"b": "2", "c": "3"})
    [_, event] = world.emulator.objects(ACCOUNT, "event")
    assert (event["type"], event["data"]["previous_attributes"]) == (
        "product.updated",
        {"name": "P", "description": "D", "metadata": {"a": "1", "c": None}, "updated": world.now},
    )
    assert refusal(products.update, "p", {"name": ""}).code == "parameter_invalid_empty"
    assert refusal(products.update, "p", {"images": ["https://example.com/1.png"] * 9}).param == "images"
    assert refusal(products.list, {"ids": ["p"], "starting_after": "p"}).code == "parameters_exclusive"
    default: ProductCreateParams = {"name": "P", "default_price_data": {"currency": "usd", "unit_amount": 1}}
    assert refusal(products.create, default).http_status == 501


def test_an_archived_product_takes_new_prices_that_no_schedule_takes(world: World) -> None:
    product = world.sdk.v1.products.create({"name": "P", "active": False}).id
    price = world.price(product=product)
    assert refusal(world.schedule, world.phase("2028-01-01", prices=(price,))).code == "product_inactive"
    world.sdk.v1.products.update(product, {"active": True})
    assert world.schedule(world.phase("2028-01-01", prices=(price,))).status == "active"


def test_a_product_with_prices_stays(world: World) -> None:
    price = world.sdk.v1.prices.retrieve(world.price())
    blocked = refusal(world.sdk.v1.products.delete, price.product)
    assert (blocked.http_status, blocked.code, blocked.param) == (400, None, None)
    message = "This product cannot be deleted because it has one or more user-created prices."
    assert blocked.user_message == message


def test_the_default_price_stays_active(world: World) -> None:
    price = world.sdk.v1.prices.retrieve(world.price())
    assert world.sdk.v1.products.update(reference(price.product), {"default_price": price.id}).default_price == price.id
    product = world.sdk.v1.products.retrieve(reference(price.product), {"expand": ["default_price"]})
    assert expanded(product.default_price).unit_amount == 1000
    assert refusal(world.sdk.v1.prices.update, price.id, {"active": False}).param == "active"
    assert refusal(world.sdk.v1.products.update, price.product, {"default_price": world.price()}).param == "default_price"


@pytest.mark.parametrize(
    ("amount", "whole", "decimal"),
    [
        ({"unit_amount": 1000}, 1000, "1000"),
        ({"unit_amount_decimal": Decimal("14.285714285714")}, None, "14.285714285714"),
        ({"unit_amount_decimal": Decimal("10.50")}, None, "10.5"),
        ({"unit_amount_decimal": Decimal("100.0")}, 100, "100"),
    ],
)
def test_amounts_of_a_price(world: World, amount: dict[str, Any], whole: int | None, decimal: str) -> None:
    product = world.sdk.v1.products.create({"name": "P"}).id
    created = world.sdk.v1.prices.create(cast("PriceCreateParams", {"product": product, "currency": "usd", **amount}))
    assert (created.unit_amount, created.unit_amount_decimal, created.type) == (whole, Decimal(decimal), "one_time")
    assert world.emulator.objects(ACCOUNT, "price")[0]["unit_amount_decimal"] == decimal
    assert world.events("pr") == ["product.created", "price.created"]


def test_events_of_a_recurring_price_come_in_pairs(world: World) -> None:
    price = world.price()
    world.sdk.v1.prices.update(price, {"nickname": "N", "metadata": {"k": "v"}})
    assert world.events("p")[1:] == ["plan.created", "price.created", "plan.updated", "price.updated"]


def test_lookup_keys(world: World) -> None:
    prices = world.sdk.v1.prices
    first = world.price(lookup_key="key")
    prices.update(first, {"active": False})
    product = reference(prices.retrieve(first).product)
    params: PriceCreateParams = {"product": product, "currency": "usd", "unit_amount": 1, "lookup_key": "key"}
    assert f"`{first}`" in str(refusal(prices.create, params).user_message)  # an archived price holds its key
    second = prices.create({**params, "transfer_lookup_key": True})
    assert [price.id for price in prices.list({"lookup_keys": ["key", "other"]}).data] == [second.id]
    assert prices.retrieve(first).lookup_key is None
    assert refusal(prices.update, first, {"lookup_key": "key"}).param == "lookup_key"
    assert prices.update(second.id, {"lookup_key": "key", "nickname": "N"}).lookup_key == "key"
    assert [price.id for price in prices.list({"product": product, "active": True}).data] == [second.id]
    assert prices.update(first, {"lookup_key": "key", "transfer_lookup_key": True}).lookup_key == "key"
    assert [price.id for price in prices.list({"lookup_keys": ["key"]}).data] == [first]
    assert prices.list({"lookup_keys": ["key"], "active": True}).data == []
    assert prices.update(first, {"lookup_key": "another"}).lookup_key == "another"
    assert prices.update(second.id, {"lookup_key": "key"}).lookup_key == "key"  # it was given up


def test_both_prices_tell_of_a_lookup_key_that_moves(world: World) -> None:
    first = world.price(lookup_key="key")
    product = reference(world.sdk.v1.prices.retrieve(first).product)
    moved: PriceCreateParams = {"product": product, "currency": "usd", "unit_amount": 1, "lookup_key": "key"}
    options: stripe.RequestOptions = {"idempotency_key": "move"}
    second = world.sdk.v1.prices.create({**moved, "transfer_lookup_key": True}, options)
    events = [event for event in world.emulator.objects(ACCOUNT, "event") if event["request"]["idempotency_key"] == "move"]
    told = [(event["type"], event["data"]["object"]["id"], event["data"]["object"].get("lookup_key")) for event in events]
    assert told == [("price.updated", first, None), ("price.created", second.id, "key")]
    assert events[0]["data"]["previous_attributes"] == {"lookup_key": "key"}


@pytest.mark.parametrize(
    "params", [{"unit_amount": 1}, {"currency": "eur"}, {"recurring": {"interval": "year"}}, {"product": "p"}, {"unicorn": "1"}]
)
def test_what_a_price_is_cannot_change(world: World, params: dict[str, Any]) -> None:
    price = world.price()
    refused = refusal(world.sdk.v1.prices.update, price, params)
    assert (refused.code, refused.param) == ("parameter_unknown", *params)
    assert "Received unknown parameter" in refused.user_message


def test_prices_by_what_they_are(world: World) -> None:
    monthly, yearly, once = world.price(), world.price("year", currency="eur"), world.price(None)
    prices = world.sdk.v1.prices

    def found(**params: Any) -> list[str]:
        return [price.id for price in prices.list(cast("PriceListParams", params)).data]

    assert found(recurring={"interval": "year"}) == [yearly]
    assert found(recurring={"interval": "month", "usage_type": "licensed"}) == [monthly]
    assert found(recurring={"usage_type": "metered"}) == []
    assert (found(type="one_time"), found(type="recurring")) == ([once], [yearly, monthly])
    assert (found(currency="eur"), found(created={"lt": world.now})) == ([yearly], [])


TIERS = [{"up_to": 10, "unit_amount": 500, "flat_amount": None}, {"up_to": None, "unit_amount": 400, "flat_amount": None}]


def test_prices_that_only_people_make(world: World) -> None:
    product = world.sdk.v1.products.create({"name": "P"}).id
    terms: dict[str, Any] = {"product": product, "currency": "usd"}
    tiered = world.emulator.seed_price(
        ACCOUNT, **terms, billing_scheme="tiered", tiers_mode="volume", tiers=TIERS, recurring={"interval": "month"}
    )
    usage = {"interval": "month", "usage_type": "metered", "meter": "mtr_1"}
    metered = world.emulator.seed_price(ACCOUNT, **terms, unit_amount=5, recurring=usage, lookup_key="usage")
    told = world.emulator.objects(ACCOUNT, "event")[1:]
    assert [event["type"] for event in told] == ["plan.created", "price.created"] * 2
    assert told[1]["request"] == {"id": None, "idempotency_key": None}
    assert told[1]["data"]["object"] == tiered
    prices = world.sdk.v1.prices
    shown = prices.retrieve(tiered["id"])
    assert (shown.unit_amount, shown.unit_amount_decimal, shown.billing_scheme, "tiers" in shown) == (
        None,
        None,
        "tiered",
        False,
    )
    assert prices.retrieve(tiered["id"], {"expand": ["tiers"]}).to_dict()["tiers"] == TIERS
    [held] = prices.list({"lookup_keys": ["usage"], "expand": ["data.tiers"]}).data
    assert (held.id, held.unit_amount_decimal, "tiers" in held) == (metered["id"], Decimal(5), False)
    for price in (tiered, metered):
        assert refusal(world.schedule, world.phase("2028-01-01", prices=(price["id"],))).http_status == 501
    with pytest.raises(ValueError, match="a price has no prise"):
        world.emulator.seed_price(ACCOUNT, **terms, prise=1)
    assert prices.update(tiered["id"], {"active": False}).active is False


def test_tax_behavior_is_said_once(world: World) -> None:
    price = world.price()
    assert world.sdk.v1.prices.update(price, {"tax_behavior": "exclusive"}).tax_behavior == "exclusive"
    assert refusal(world.sdk.v1.prices.update, price, {"tax_behavior": "inclusive"}).param == "tax_behavior"


@pytest.mark.parametrize(
    "params",
    [
        {"tiers_mode": "volume"},
        {"billing_scheme": "tiered"},
        {"recurring": {"interval": "month", "usage_type": "metered"}},
        {"recurring": {"interval": "month", "trial_period_days": 3}},
        {"currency_options": {"eur": {"unit_amount": 1}}},
    ],
)
def test_prices_that_are_not_modelled(world: World, params: dict[str, Any]) -> None:
    product = world.sdk.v1.products.create({"name": "P"}).id
    error = refusal(world.sdk.v1.prices.create, {"product": product, "currency": "usd", "unit_amount": 1, **params})
    assert error.http_status == 501
    assert error.json_body["error"]["type"] == "emulator_not_modelled"


def test_a_coupon(world: World) -> None:
    coupons = world.sdk.v1.coupons
    created = coupons.create({"id": "TEN", "percent_off": 10, "duration": "forever", "max_redemptions": 1, "name": "N"})
    assert (created.percent_off, created.times_redeemed, created.valid) == (10.0, 0, True)
    assert refusal(coupons.create, {"id": "TEN", "percent_off": 10}).code == "resource_already_exists"
    assert coupons.update("TEN", {"name": "M", "metadata": {"k": "v"}}).name == "M"
    assert [coupon.id for coupon in coupons.list().data] == ["TEN"]
    assert coupons.delete("TEN").deleted is True
    assert refusal(coupons.retrieve, "TEN").http_status == 404
    again = coupons.create({"id": "TEN", "amount_off": 500, "currency": "usd"})  # the id of a deleted coupon is free again
    assert (again.amount_off, again.currency, again.duration) == (500, "usd", "once")


def test_a_coupon_expires(world: World) -> None:
    coupons = world.sdk.v1.coupons
    coupon = coupons.create({"percent_off": 10, "redeem_by": at("2027-02-01")}).id
    world.move_to("2027-02-01")
    assert coupons.retrieve(coupon).valid is False
    assert refusal(coupons.create, {"percent_off": 10, "redeem_by": at("2027-02-01")}).param == "redeem_by"
    assert refusal(coupons.create, {"percent_off": 10, "redeem_by": at("2033-01-01")}).param == "redeem_by"


def test_lists_in_pages(world: World) -> None:
    ids = [world.customer(email="a@example.com") for _ in range(5)][::-1]
    customers = world.sdk.v1.customers
    first = customers.list({"limit": 2})
    assert ([entry.id for entry in first.data], first.has_more) == (ids[:2], True)
    second = customers.list({"limit": 2, "starting_after": ids[1]})
    assert ([entry.id for entry in second.data], second.has_more) == (ids[2:4], True)
    back = customers.list({"limit": 2, "ending_before": ids[3]})
    assert ([entry.id for entry in back.data], back.has_more) == (ids[1:3], True)
    assert [entry.id for entry in customers.list({"limit": 2}).auto_paging_iter()] == ids
    assert customers.list({"email": "b@example.com"}).data == []
    top = customers.list({"limit": 2, "ending_before": ids[1]})
    assert ([entry.id for entry in top.data], top.has_more) == (ids[:1], False)
    customers.delete(ids[2])
    assert [entry.id for entry in customers.list({"starting_after": ids[1]}).data] == ids[3:]
    assert refusal(customers.list, {"starting_after": ids[2]}).param == "starting_after"
    other = world.customer(email="b@example.com")
    assert refusal(customers.list, {"email": "a@example.com", "starting_after": other}).param == "starting_after"
    bad = refusal(customers.list, {"starting_after": "cus_none"})
    assert (bad.http_status, bad.param) == (400, "starting_after")


def test_lists_by_time(world: World) -> None:
    early = world.customer()
    world.clock.advance(timedelta(hours=1))
    late = world.customer()
    customers = world.sdk.v1.customers
    assert [entry.id for entry in customers.list({"created": {"gt": world.now}}).data] == [late]
    assert [entry.id for entry in customers.list({"created": {"gte": world.now, "lt": world.now + 1}}).data] == [early]
    assert [entry.id for entry in customers.list({"created": world.now + 3600}).data] == [late]


def test_expansion(world: World) -> None:
    price = world.price()
    product = expanded(world.sdk.v1.prices.retrieve(price, {"expand": ["product.default_price"]}).product)
    assert (product.name, product.default_price) == ("Product", None)
    assert expanded(world.sdk.v1.prices.list({"expand": ["data.product"]}).data[0].product).name == "Product"
    assert world.sdk.v1.prices.retrieve(price).product == product.id
    for path in ("unicorn", "product.unicorn", "product.default_price.product.default_price.product"):
        assert refusal(world.sdk.v1.prices.retrieve, price, {"expand": [path]}).param == "expand"
    assert refusal(world.sdk.v1.prices.list, {"expand": ["product"]}).param == "expand"
    writes = world.emulator.writes()
    assert refusal(world.sdk.v1.prices.update, price, {"active": False, "expand": ["unicorn"]}).param == "expand"
    assert world.emulator.writes() == writes
