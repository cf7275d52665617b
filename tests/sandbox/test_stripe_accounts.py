"""Several accounts of one emulator, connected ones among them, and what a restricted key may do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import stripe
from stripe.params import CustomerCreateParams

from tests.sandbox.stripe_world import ACCOUNT, CONNECTED, KEY, OTHER_ACCOUNT, OTHER_KEY, World, error_body, refusal, there


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def stock(sdk: stripe.StripeClient, name: str) -> tuple[str, str, str]:
    """The same product, price and customer in whichever account, but for a name; under the same keys."""
    product = sdk.v1.products.create({"id": "p", "name": name}, {"idempotency_key": "product"})
    price = sdk.v1.prices.create(
        {"product": "p", "currency": "usd", "unit_amount": 1, "lookup_key": "key"}, {"idempotency_key": "price"}
    )
    customer = sdk.v1.customers.create({"name": "A", "description": name}, {"idempotency_key": "customer"})
    assert product.name == name
    return product.id, price.id, customer.id


def test_accounts_are_apart(world: World) -> None:
    clients = {
        ACCOUNT: world.sdk,
        OTHER_ACCOUNT: world.client(OTHER_KEY),
        CONNECTED: world.client(stripe_account=CONNECTED),
    }
    held = {account: stock(sdk, account) for account, sdk in clients.items()}
    assert len({price for _, price, _ in held.values()}) == 3
    for account, sdk in clients.items():
        product, price, customer = held[account]
        assert sdk.v1.products.retrieve(product).name == account
        assert [entry.id for entry in sdk.v1.prices.list({"lookup_keys": ["key"]}).data] == [price]
        assert [entry.id for entry in sdk.v1.customers.search({"query": "name:'A'"}).data] == [customer]
        assert [entry.id for entry in sdk.v1.customers.list().data] == [customer]
        assert [event.type for event in sdk.v1.events.list().data] == ["customer.created", "price.created", "product.created"]
        assert {event.get("account") for event in world.emulator.objects(account, "event")} == {
            CONNECTED if account == CONNECTED else None
        }
        for stranger in held.keys() - {account}:
            assert refusal(sdk.v1.customers.retrieve, held[stranger][2]).http_status == 404
            assert refusal(sdk.v1.prices.list, {"starting_after": held[stranger][1]}).http_status == 400
    answered = there(clients[CONNECTED].v1.customers.retrieve(held[CONNECTED][2]).last_response)
    assert answered.headers["Stripe-Account"] == CONNECTED


def test_a_connected_account_is_one_before_it_is_asked_for_anything(world: World) -> None:
    assert world.emulator.objects(CONNECTED, "event") == []
    world.client(stripe_account=CONNECTED).v1.customers.create({"name": "A"})
    assert [event["account"] for event in world.emulator.objects(CONNECTED, "event")] == [CONNECTED]


@pytest.mark.parametrize(
    ("key", "account"), [(KEY, OTHER_ACCOUNT), (KEY, "acct_unknown"), (KEY, "not_an_account"), (OTHER_KEY, CONNECTED)]
)
def test_an_account_out_of_reach(world: World, key: str, account: str) -> None:
    with pytest.raises(stripe.PermissionError) as refused:
        world.client(key, stripe_account=account).v1.customers.list()
    assert (refused.value.http_status, error_body(refused.value)["error"]["code"]) == (403, "account_invalid")


def probes(world: World) -> dict[str, Callable[[dict[str, Any]], object]]:
    """A write of each kind, by the permission that it needs; none of them is in order."""
    sdk = world.sdk.v1
    return {
        "rak_customer_write": lambda sent: sdk.customers.create(cast("CustomerCreateParams", sent)),
        "rak_product_write": lambda sent: sdk.products.update("p", cast("Any", sent)),
        "rak_price_write": lambda sent: sdk.prices.create(cast("Any", sent)),
        "rak_coupon_write": lambda sent: sdk.coupons.create(cast("Any", sent)),
        "rak_subscription_schedule_write": lambda sent: sdk.subscription_schedules.create(cast("Any", sent)),
        "rak_subscription_write": lambda sent: sdk.subscriptions.update("sub_1", cast("Any", sent)),
    }


def test_a_permission_is_looked_at_before_the_parameters(world: World) -> None:
    unknown = {"unicorn": "1"}
    for probe in probes(world).values():
        permitted = refusal(probe, unknown)
        assert (permitted.http_status, permitted.code, permitted.param) == (400, "parameter_unknown", "unicorn")
    world.emulator.restrict(KEY, {}, others="read")
    for permission, probe in probes(world).items():
        refused = refusal(probe, unknown)
        assert isinstance(refused, stripe.PermissionError)
        message = (
            f"The provided key '{'*' * len(KEY)}' does not have the required permissions for this endpoint on account "
            f"'{ACCOUNT}'. Having the '{permission}' permission would allow this request to continue."
        )
        assert error_body(refused)["error"] == {"type": "invalid_request_error", "message": message}
    assert (world.emulator.writes(), world.events()) == (0, [])


def test_a_restricted_key_reads_or_does_not(world: World) -> None:
    customer = world.customer()
    world.emulator.restrict(KEY, {"prices": "read", "customers": "none"})
    assert world.sdk.v1.prices.list().data == []
    assert world.sdk.v1.products.create({"name": "P"}).name == "P"
    for call in (world.sdk.v1.customers.retrieve, world.sdk.v1.customers.delete):
        assert isinstance(refusal(call, customer), stripe.PermissionError)
    assert "'rak_customer_read'" in refusal(world.sdk.v1.customers.list).user_message
    assert [entry["id"] for entry in world.emulator.objects(ACCOUNT, "customer")] == [customer]
    world.emulator.restrict(KEY, {})
    assert world.sdk.v1.customers.delete(customer).deleted is True


def test_a_refusal_for_want_of_permission_is_not_remembered(world: World) -> None:
    sent: CustomerCreateParams = {"name": "A"}
    world.emulator.restrict(KEY, {"customers": "read"})
    assert refusal(world.sdk.v1.customers.create, sent, {"idempotency_key": "k"}).http_status == 403
    world.emulator.restrict(KEY, {"customers": "write"})
    assert world.sdk.v1.customers.create(sent, {"idempotency_key": "k"}).name == "A"


@pytest.mark.parametrize(
    ("key", "permissions"), [("sk_test_none", {}), (KEY, {"unicorns": "read"}), (KEY, {"customers": "delete"})]
)
def test_a_restriction_of_what_there_is_not(world: World, key: str, permissions: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="resources are accounts, coupons, customers"):
        world.emulator.restrict(key, permissions)
