"""Customers in a Stripe account: each exactly once, and what they are told of an account."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from orderphase.domain.account import Account, Address
from orderphase.errors import DataError, UnknownOutcomeError
from orderphase.stripe.customers import Customers, clearing, customer_details
from sandbox.stripe_emulator import parameters
from tests.flows.world import ORG
from tests.stripe.stripe_account import Stripe

ACME = Account("001000000000001AAA", "Acme GmbH")
OTHER_ORG = "00D000000000002EAA"
IDENTITY = {"salesforce_org_id": ORG, "salesforce_account_id": ACME.id}


def ensure(stripe: Stripe, account: Account = ACME, *, org_id: str = ORG, **further: str) -> str:
    """Get or create the customer of an account, as a new environment does."""
    params = customer_details(account, org_id=org_id, currency=further.get("currency"), first=further.pop("first", None)).params
    customer, _ = stripe.customers().ensure(account, params, org_id=org_id, **further)
    return customer


def delete(stripe: Stripe, customer: str) -> None:
    """Delete in Stripe, as a person does there."""
    connection = stripe.connection()
    connection.call(connection.api.customers.delete, customer)


class TestCustomers:
    def test_created_once_and_found_again(self, stripe: Stripe) -> None:
        created = ensure(stripe)
        assert ensure(stripe) == created
        stripe.clock.advance(timedelta(days=2))
        assert ensure(stripe) == created
        (customer,) = stripe.objects("customer")
        assert customer["metadata"] == IDENTITY

    def test_another_account_or_org_has_its_own(self, stripe: Stripe) -> None:
        ids = {
            ensure(stripe),
            ensure(stripe, org_id=OTHER_ORG),
            ensure(stripe, replace(ACME, id="001000000000002AAA")),
        }
        assert len(ids) == 3
        assert stripe.customers().find({**IDENTITY, "salesforce_account_id": "001000000000003AAA"}) is None

    @pytest.mark.parametrize(("org", "found"), [(None, True), (ORG, True), (OTHER_ORG, False)])
    def test_one_that_another_product_has_made(self, stripe: Stripe, org: str | None, found: bool) -> None:
        """It names the account, and need not name the org: where that is adopted, it is the account's."""
        named = {"salesforce_account_id": ACME.id, **({"salesforce_org_id": org} if org else {})}
        connection = stripe.connection()
        made = connection.call(connection.api.customers.create, {"metadata": named}).id
        adopting = Customers(connection, adopting=True)
        assert (adopting.of_account(ACME.id, org_id=ORG) == made) is found
        assert (stripe.customers().of_account(ACME.id, org_id=ORG) == made) is (org == ORG)
        taken, new = adopting.ensure(ACME, customer_details(ACME, org_id=ORG).params, org_id=ORG)
        assert (taken == made, new) == (found, not found)

    def test_while_the_search_lags_the_key_finds_it(self, stripe: Stripe) -> None:
        stripe.emulator.lag_search(timedelta(hours=1))
        assert ensure(stripe) == ensure(stripe)
        assert len(stripe.objects("customer")) == 1

    def test_an_account_that_changes_while_the_search_lags(self, stripe: Stripe) -> None:
        stripe.emulator.lag_search(timedelta(hours=1))
        created = ensure(stripe)
        stripe.clock.advance(timedelta(minutes=1))
        assert ensure(stripe, replace(ACME, name="Acme AG")) == created
        assert len(stripe.objects("customer")) == 1

    def test_it_is_found_behind_many_newer_ones(self, stripe: Stripe) -> None:
        stripe.emulator.lag_search(timedelta(hours=1))
        created = ensure(stripe)
        connection = stripe.connection()
        for number in range(100):
            connection.call(connection.api.customers.create, {"name": f"Customer {number}"})
        assert ensure(stripe, replace(ACME, name="Acme AG")) == created

    def test_a_failure_that_stripe_has_stored_after_creating(self, stripe: Stripe) -> None:
        stripe.emulator.lag_search(timedelta(hours=1))
        stripe.emulator.inject("stored", error="500", method="POST")
        with pytest.raises(UnknownOutcomeError):
            ensure(stripe)
        (customer,) = stripe.objects("customer")
        assert ensure(stripe) == customer["id"]

    def test_a_failure_that_stripe_has_stored_without_creating(self, stripe: Stripe) -> None:
        stripe.emulator.inject("stored", error="500", method="POST")
        with pytest.raises(UnknownOutcomeError):
            ensure(stripe)
        delete(stripe, stripe.objects("customer")[0]["id"])
        created = ensure(stripe)
        stripe.emulator.lag_search(timedelta(hours=1))
        assert ensure(stripe) == created

    def test_looking_past_the_search_ends_with_the_customers_of_a_day(self, stripe: Stripe) -> None:
        connection = stripe.connection()
        for number in range(120):
            connection.call(connection.api.customers.create, {"name": f"Old {number}"})
        stripe.clock.advance(timedelta(days=2))
        stripe.emulator.inject("stored", error="500", method="POST")
        with pytest.raises(UnknownOutcomeError):
            ensure(stripe)
        delete(stripe, stripe.objects("customer")[-1]["id"])
        connection.call(connection.api.customers.create, {"name": "New"})

        ensure(stripe)

        assert len(stripe.emulator.calls(r"GET /v1/customers\?")) == 1

    @pytest.mark.parametrize("fault", [{"kind": "refuse", "error": "500"}, {"kind": "lost_before"}, {"kind": "lost_after"}])
    def test_after_a_failure_there_is_one(self, stripe: Stripe, fault: dict[str, Any]) -> None:
        stripe.emulator.inject(method="POST", **fault)
        with pytest.raises(UnknownOutcomeError):
            ensure(stripe)
        ensure(stripe)
        assert len(stripe.objects("customer")) == 1

    def test_whether_it_is_new_is_told(self, stripe: Stripe) -> None:
        """What was found may not know what the account says by now."""
        customers, params = stripe.customers(), customer_details(ACME, org_id=ORG).params
        made, new = customers.ensure(ACME, params, org_id=ORG)
        assert new
        assert customers.ensure(ACME, params, org_id=ORG) == (made, False)
        stripe.emulator.lag_search(timedelta(hours=1))
        assert customers.ensure(ACME, params, org_id=ORG) == (made, True), "the answer to the same request again"
        assert customers.ensure(ACME, {**params, "name": "Acme AG"}, org_id=ORG) == (made, False)

    def test_one_for_each_currency_beside_the_first(self, stripe: Stripe) -> None:
        first = ensure(stripe)
        euros, pounds = (ensure(stripe, currency=currency, first=first) for currency in ("EUR", "GBP"))
        assert len({first, euros, pounds}) == 3
        for lag in (timedelta(0), timedelta(hours=1)):
            stripe.emulator.lag_search(lag)
            assert ensure(stripe, currency="eur", first=first) == euros
            assert ensure(stripe) == first
        told = next(one["metadata"] for one in stripe.objects("customer") if one["id"] == euros)
        assert told == IDENTITY | {"orderphase_currency": "eur", "orderphase_customer": first}

    @pytest.mark.parametrize("lag", [timedelta(0), timedelta(hours=1)])
    def test_a_successor_is_not_the_one_that_was_deleted(self, stripe: Stripe, lag: timedelta) -> None:
        created = ensure(stripe)
        delete(stripe, created)
        stripe.emulator.lag_search(lag)
        made = ensure(stripe, after=created)
        assert made != created
        assert ensure(stripe, after=created) == made
        assert len([one for one in stripe.objects("customer") if not one.get("deleted")]) == 1

    def test_a_search_that_does_not_know_yet_what_was_deleted(self, stripe: Stripe) -> None:
        """Stripe: the search is not for reading after writing."""
        customers = stripe.customers()
        customers.find = lambda *_, **__: "cus_deleted"  # type: ignore[method-assign]  # the emulator's search leaves it out
        made, new = customers.ensure(ACME, customer_details(ACME, org_id=ORG).params, org_id=ORG, after="cus_deleted")
        assert new
        assert made == stripe.objects("customer")[0]["id"]

    def test_what_became_of_one(self, stripe: Stripe) -> None:
        created = ensure(stripe)
        assert stripe.customers().state(created) == "there"
        delete(stripe, created)
        assert stripe.customers().state(created) == "deleted"
        assert stripe.customers().state("cus_gone") == "missing"
        stripe.emulator.inject("refuse", error="402")
        with pytest.raises(DataError):
            stripe.customers().state(created)

    def test_an_update_counts_each_time(self, stripe: Stripe) -> None:
        """A content that comes again is not a repetition of the same request."""
        created = ensure(stripe)
        for name in ("Acme AG", "Acme GmbH", "Acme AG"):
            stripe.customers().update(created, {"name": name})
            assert stripe.objects("customer")[0]["name"] == name
        delete(stripe, created)
        with pytest.raises(DataError) as gone:
            stripe.customers().update(created, {"name": "Acme"})
        assert gone.value.code == "resource_missing"


def params_of(account: Account) -> dict[str, Any]:
    """What a customer is told, checked against the SDK's types."""
    params = dict(customer_details(account, org_id=ORG).params)
    parameters.check("customers.create", params)
    return params


def remarks_of(**fields: Any) -> tuple[str, ...]:
    return customer_details(replace(ACME, **fields), org_id=ORG).remarks


BERLIN = Address("Hauptstr. 1\r\nHinterhaus\n3. Stock", "Berlin", "BE", "10115", "de")


class TestDetails:
    def test_everything(self) -> None:
        account = Account(
            ACME.id,
            "Acme GmbH",
            "+49 30 1",
            "A customer",
            "billing@acme.example",
            billing=BERLIN,
            shipping=Address(city="Bonn"),
            shipping_phone="+49 30 2",
            metadata={"segment": "Energy"},
        )
        assert params_of(account) == {
            "name": "Acme GmbH",
            "phone": "+49 30 1",
            "description": "A customer",
            "email": "billing@acme.example",
            "address": {
                "line1": "Hauptstr. 1",
                "line2": "Hinterhaus, 3. Stock",
                "city": "Berlin",
                "state": "BE",
                "postal_code": "10115",
                "country": "DE",
            },
            "shipping": {"name": "Acme GmbH", "phone": "+49 30 2", "address": {"city": "Bonn"}},
            "metadata": {"segment": "Energy", **IDENTITY},
        }
        assert customer_details(account, org_id=ORG).remarks == ()

    def test_as_little_as_a_name(self) -> None:
        assert params_of(ACME).keys() == {"name", "metadata"}
        assert customer_details(ACME, org_id=ORG).remarks == ()

    @pytest.mark.parametrize("country", ["Germany", "D", "DEU", "12", "ДЕ"])
    def test_a_country_that_is_no_code_is_left_out(self, country: str) -> None:
        account = replace(ACME, billing=Address(country=country), shipping=Address(city="Bonn", country=country))
        params = params_of(account)
        assert "address" not in params
        assert params["shipping"]["address"] == {"city": "Bonn"}
        billing, shipping = customer_details(account, org_id=ORG).remarks
        assert "the country of the billing address is left out" in billing
        assert "the country of the shipping address is left out" in shipping

    def test_what_is_too_long_is_cut_or_left_out(self) -> None:
        phone = "+1 780-459-5656 ext. 4711"
        fields: dict[str, Any] = {"name": "n" * 300, "phone": phone, "description": "d" * 32_000}
        account = replace(ACME, **fields, shipping=Address(city="Bonn"), shipping_phone=phone)
        params = params_of(account)
        assert (len(params["name"]), len(params["description"])) == (256, 5000)
        assert params["shipping"]["name"] == params["name"]
        assert "phone" not in params
        assert "phone" not in params["shipping"]
        told = " ".join(customer_details(account, org_id=ORG).remarks)
        for words in ("the name has 300", "the description has 32000", "the phone number is", "the shipping phone number is"):
            assert words in told

    @pytest.mark.parametrize("email", ["a@b", "two@a.example, three@a.example", "Ann <ann@a.example>", "@a.example", "ann"])
    def test_an_address_that_is_none_is_left_out(self, email: str) -> None:
        assert "email" not in params_of(replace(ACME, email=email))
        assert "the e-mail address is left out" in " ".join(remarks_of(email=email))

    def test_the_longest_values_stay(self) -> None:
        fields: dict[str, Any] = {"name": "n" * 256, "phone": "1" * 20, "description": "d" * 5000}
        mail = "m" * (512 - len("@acme.example")) + "@acme.example"
        params = params_of(replace(ACME, **fields, email=mail))
        assert {name: params[name] for name in (*fields, "email")} == {**fields, "email": mail}
        assert remarks_of(**fields, email=mail) == ()
        assert "email" not in params_of(replace(ACME, email="m" + mail))

    @pytest.mark.parametrize("blank", ["", " ", "\n", " \r\n "])
    def test_blanks_are_left_out(self, blank: str) -> None:
        address = Address(blank, blank, blank, blank, blank)
        account = replace(ACME, phone=blank, description=blank, billing=address, shipping=address, shipping_phone=blank)
        assert params_of(account).keys() == {"name", "metadata"}
        assert customer_details(account, org_id=ORG).remarks == ()

    def test_blank_lines_of_a_street_do_not_count(self) -> None:
        account = replace(ACME, billing=Address("\n  Hauptstr. 1 \n\n Hinterhaus\n"))
        assert params_of(account)["address"] == {"line1": "Hauptstr. 1", "line2": "Hinterhaus"}

    @pytest.mark.parametrize("address", [Address(), Address(country="Germany"), Address("1", "B", "C", "2", "US")])
    @pytest.mark.parametrize("name", ["Acme", " ", None])
    def test_stripe_takes_whatever_comes_of_it(self, name: str | None, address: Address) -> None:
        account = replace(ACME, name=name, phone="1", description="x", billing=address, shipping=address)
        params_of(account)
        for field in ("name", "email", "phone", "description", "address", "shipping", "metadata"):
            parameters.check("customers.update", {field: clearing(field, customer_details(account, org_id=ORG))})

    def test_what_is_stated_but_not_usable_is_neither_told_nor_emptied(self) -> None:
        account = replace(
            ACME,
            phone="1" * 30,
            email="nobody",
            billing=Address(city="Bonn", country="Germany"),
            shipping=Address(city="Bonn", country="Germany"),
            shipping_phone="1" * 30,
        )
        details = customer_details(account, org_id=ORG)
        assert details.unusable == {"phone", "email", "address.country", "shipping.address.country", "shipping.phone"}
        kept = {"line1": "", "line2": "", "city": "Bonn", "state": "", "postal_code": ""}
        assert clearing("address", details) == kept
        assert clearing("shipping", details) == {"name": "Acme GmbH", "address": kept}
        assert clearing("description", details) == ""

    def test_our_own_keys_win(self) -> None:
        account = replace(ACME, metadata={"salesforce_account_id": "someone else"})
        assert params_of(account)["metadata"] == IDENTITY
