"""Reading a contract in one call, and writing back to it in one call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from orderphase.domain.account import Address
from orderphase.domain.policies import Policies
from orderphase.domain.sequence import Draft
from orderphase.errors import ConfigurationError, ConflictError, DataError, OrderphaseError, TransientError
from orderphase.mapping import FieldMapping, read_mapping
from orderphase.salesforce.client import SalesforceClient
from orderphase.salesforce.contracts import Contracts, OrderState
from orderphase.salesforce.shape import Org
from orderphase.salesforce.writing import Update
from orderphase.settings import SalesforceCredentials
from sandbox.salesforce_emulator.schema import Field
from sandbox.serving import Response, Server
from tests.flows.world import ORG, World, world
from tests.scripted import Scripted

COMPOSITE = "POST .*/composite$"
COLLECTION = "PATCH .*/composite/sobjects$"


@pytest.fixture
def here() -> Iterator[World]:
    with world() as made:
        yield made


def client(here: World, url: str | None = None) -> SalesforceClient:
    names = ("LOGIN_URL", "CLIENT_ID", "CLIENT_SECRET")
    values = (url or here.salesforce_url, "client", "secret")
    secrets = {f"SALESFORCE_{name}": value for name, value in zip(names, values, strict=True)}
    return SalesforceClient(SalesforceCredentials.model_validate(secrets), now=here.clock.now, pause=here.pauses.append)


def contracts(here: World, mapping: FieldMapping | None = None, **policies: Any) -> Contracts:
    """Contracts through a connection that has asked what the org has, and has made no call since."""
    org = Org(client(here))
    assert org.shape.account
    org.client.calls = 0
    return Contracts(org, mapping or FieldMapping(), Policies(**policies))


def sold(here: World, **fields: Any) -> tuple[str, str]:
    """An activated order of one line under a contract, and the contract."""
    account = here.account()
    contract = here.contract(account)
    line = {"PricebookEntryId": here.entry(), "Quantity": 3, "ServiceDate": "2026-12-01", "EndDate": "2027-12-01"}
    return here.order(account, contract, line, **fields), contract


class TestReading:
    def test_a_contract_with_its_order(self, here: World) -> None:
        order, contract = sold(here, Stripe_Days_Until_Due__c=30, Stripe_Discount_Percent_Off__c=12.5)
        source = contracts(here)

        state = source.read(order)

        assert (state.id, state.has_contract, source.org_id) == (contract, True, ORG)
        assert state.order == OrderState(order, "00000001", True, None, None, None)
        assert state.states == {order: state.order}
        assert (state.schedule_id, state.subscription_id) == (None, None)
        (found,) = state.orders
        assert (found.id, found.number, found.currency, found.is_reduction) == (order, "00000001", "USD", False)
        assert (found.days_until_due, found.percent_off, found.amount_off) == (Decimal(30), Decimal("12.5"), None)
        (line,) = found.lines
        assert (line.quantity, line.unit_price, line.price_id) == (Decimal(3), Decimal(10), None)
        assert line.end is not None
        assert (line.start.isoformat(), line.end.isoformat()) == ("2026-12-01T00:00:00+00:00", "2027-12-01T00:00:00+00:00")
        assert line.entry is not None
        assert (line.entry.unit_price, line.entry.currency, line.entry.interval_unit) == (Decimal(10), "USD", "month")

    def test_one_call_within_the_bounds_of_a_composite(self, here: World) -> None:
        """The emulator refuses more than 25 parts, more than 5 queries among them, and a URI of more than 16,384 bytes."""
        order, _ = sold(here)
        source = contracts(here)
        source.read(order)
        assert source.client.calls == 1
        assert len(here.salesforce.calls(COMPOSITE)) == 1
        assert len(here.salesforce.calls()) == 3, "the login, the look at what the org has, and the composite"

    def test_change_orders_come_with_it_and_drafts_do_not(self, here: World) -> None:
        order, contract = sold(here)
        account, entry = here.record("Order", order)["AccountId"], here.entry()
        change = here.order(account, contract, {"PricebookEntryId": entry}, EffectiveDate="2027-03-01")
        draft = here.order(account, contract, {"PricebookEntryId": entry})
        here.salesforce.update("Order", draft, {"Status": "Draft"})
        stranger, _ = sold(here)

        for asked in (order, change):
            state = contracts(here).read(asked)
            assert {one.id for one in state.orders} == set(state.states) == {order, change}
            assert state.order.id == asked
            assert state.id == contract
        unfinished = contracts(here).read(draft)
        assert not unfinished.order.activated
        assert {one.id for one in unfinished.orders} == set(unfinished.states) == {order, change}
        assert [one.id for one in contracts(here).read(stranger).orders] == [stranger]

    def test_drafts_are_told_apart(self, here: World) -> None:
        order, contract = sold(here)
        account, entry = here.record("Order", order)["AccountId"], here.entry()
        draft = here.order(
            account, contract, {"PricebookEntryId": entry, "Quantity": 1.5}, EffectiveDate="2026-11-01", activated=False
        )
        here.order(account, contract, EffectiveDate="2026-11-01", activated=False)  # it has no lines
        state = contracts(here).read(order)
        number, lines = here.record("Order", draft)["OrderNumber"], tuple(here.lines_of(draft))
        assert state.drafts == (Draft(draft, number, date(2026, 11, 1), lines),)
        assert contracts(here).read(draft).drafts == state.drafts

    def test_a_draft_that_is_supposed_to_be_activated(self, here: World) -> None:
        order, contract = sold(here)
        account, entry = here.record("Order", order)["AccountId"], here.entry()
        draft, other = (here.order(account, contract, {"PricebookEntryId": entry}, activated=False) for _ in range(2))
        state = contracts(here).read(draft, supposing=here.clock.now())
        assert max(state.orders, key=lambda one: one.age).id == draft
        assert {one.id for one in state.orders} == set(state.states) == {order, draft}
        assert [one.id for one in state.drafts] == [other]
        assert not state.order.activated

    def test_by_one_of_its_lines(self, here: World) -> None:
        order, contract = sold(here)
        account, entry = here.record("Order", order)["AccountId"], here.entry()
        change = here.order(account, contract, {"PricebookEntryId": entry}, {"PricebookEntryId": here.entry()})
        alone = here.order(account, None, {"PricebookEntryId": entry})
        sold(here)
        for asked, expected in ((order, contract), (change, contract), (alone, alone)):
            source = contracts(here)
            state = source.read_of_line(here.lines_of(asked)[-1])
            assert state == contracts(here).read(asked)
            assert (state.order.id, state.id, source.client.calls) == (asked, expected, 1)

    def test_an_order_without_a_contract(self, here: World) -> None:
        account, entry = here.account(), here.entry()
        order = here.order(account, None, {"PricebookEntryId": entry})
        here.order(account, None, {"PricebookEntryId": entry})
        here.salesforce.update("Order", order, {"Stripe_Subscription_Schedule_Id__c": "sub_sched_1"})

        state = contracts(here).read(order)

        assert (state.id, state.has_contract) == (order, False)
        assert [one.id for one in state.orders] == [order]
        assert (state.schedule_id, state.subscription_id) == ("sub_sched_1", None)

    def test_what_salesforce_knows_of_stripe(self, here: World) -> None:
        order, contract = sold(here)
        ids = {"Stripe_Subscription_Schedule_Id__c": "sub_sched_1", "Stripe_Subscription_Id__c": "sub_1"}
        here.salesforce.update("Contract", contract, ids)
        here.salesforce.update("Order", order, {"Stripe_Subscription_Id__c": "sub_2", "Stripe_Sync_Status__c": "Failed"})
        here.salesforce.update("Account", here.record("Order", order)["AccountId"], {"Stripe_Customer_Id__c": "cus_1"})

        state = contracts(here).read(order)

        assert (state.schedule_id, state.subscription_id) == ("sub_sched_1", "sub_1")
        assert state.order == OrderState(order, "00000001", True, None, "sub_2", "Failed")
        assert state.account is not None
        assert state.account.customer_id == "cus_1"

    def test_the_account(self, here: World) -> None:
        billing = {
            "BillingStreet": "Hauptstr. 1",
            "BillingCity": "Berlin",
            "BillingPostalCode": "10115",
            "BillingCountry": "DE",
        }
        account = here.account(Phone="+49 30 1", Description="A customer", ShippingState="Bayern", **billing)
        state = contracts(here).read(here.order(account, None, {"PricebookEntryId": here.entry()}))
        assert state.account is not None
        assert (state.account.id, state.account.name, state.account.phone) == (account, "Acme GmbH", "+49 30 1")
        assert state.account.description == "A customer"
        assert state.account.billing == Address("Hauptstr. 1", "Berlin", None, "10115", "DE")
        assert state.account.shipping == Address(state="Bayern")

    def test_a_custom_price_book_has_its_prices_from_the_standard_one(self, here: World) -> None:
        standard = here.entry(price=100)
        product = here.record("PricebookEntry", standard)["Product2Id"]
        book = here.salesforce.create("Pricebook2", {"Name": "Partners", "IsActive": True})
        custom = {"Pricebook2Id": book, "Product2Id": product, "UnitPrice": 80, "IsActive": True}
        entry = here.salesforce.create("PricebookEntry", custom)
        order = here.order(here.account(), None, {"PricebookEntryId": entry}, Pricebook2Id=book)

        (line,) = contracts(here).read(order).orders[0].lines

        assert line.unit_price == 80
        assert line.entry is not None
        assert (line.entry.id, line.entry.unit_price) == (standard, Decimal(100))

    def test_the_entry_has_the_currency_of_the_order(self, here: World) -> None:
        dollars = here.entry(price=100)
        product = here.record("PricebookEntry", dollars)["Product2Id"]
        values = {"Pricebook2Id": here.book, "Product2Id": product, "UnitPrice": 90, "IsActive": True, "CurrencyIsoCode": "EUR"}
        euros = here.salesforce.create("PricebookEntry", values)
        account = here.account()
        for entry, currency in ((dollars, "USD"), (euros, "EUR")):
            order = here.order(account, None, {"PricebookEntryId": entry}, CurrencyIsoCode=currency)
            (line,) = contracts(here).read(order).orders[0].lines
            assert line.entry is not None
            assert (line.entry.id, line.entry.currency) == (entry, currency)

    def test_an_inactive_entry_is_none(self, here: World) -> None:
        entry = here.entry()
        order = here.order(here.account(), None, {"PricebookEntryId": entry})
        here.salesforce.update("PricebookEntry", entry, {"IsActive": False})
        (line,) = contracts(here).read(order).orders[0].lines
        assert (line.entry, line.price) == (None, None)

    def test_the_policies_say_what_dates_mean(self, here: World) -> None:
        order, _ = sold(here)
        state = contracts(here, end_dates="inclusive", time_zone="America/New_York").read(order)
        (line,) = state.orders[0].lines
        assert line.end is not None
        assert (line.start.isoformat(), line.end.isoformat()) == ("2026-12-01T05:00:00+00:00", "2027-12-02T05:00:00+00:00")

    def test_all_pages_are_read(self) -> None:
        with world(page_size=3) as here:
            entries = [here.entry() for _ in range(7)]
            order = here.order(here.account(), None, *({"PricebookEntryId": entry} for entry in entries))
            source = contracts(here)
            (found,) = source.read(order).orders
            assert sorted(line.entry.id for line in found.lines if line.entry) == sorted(entries)
            assert source.client.calls == 5, "the composite, and the second and third page of lines and of prices"

    def test_a_page_that_has_expired_is_worth_another_run(self) -> None:
        with world(page_size=1) as here:
            order = here.order(here.account(), None, *({"PricebookEntryId": here.entry()} for _ in range(2)))
            source = contracts(here)
            answer = source.client.call

            def late(method: str, path: str, body: Any = None, **options: Any) -> Any:
                if method == "GET":
                    here.clock.advance(timedelta(days=3))
                    here.salesforce.revoke_tokens()
                return answer(method, path, body, **options)

            source.client.call = late  # type: ignore[method-assign]  # time passes between two requests of the same run
            with pytest.raises(TransientError) as failure:
                source.read(order)
            assert failure.value.code == "INVALID_QUERY_LOCATOR"

    def test_an_org_with_one_currency_is_recognised_once(self) -> None:
        with world(multicurrency=False) as here:
            order, _ = sold(here)
            source = Contracts(Org(client(here)), FieldMapping(), Policies())
            state = source.read(order)
            assert source.client.calls == 2
            assert [call.status for call in here.salesforce.log] == [200, 200, 200]
            assert state.orders[0].currency is None
            entry = state.orders[0].lines[0].entry
            assert entry is not None
            assert entry.currency is None
            source.read(order)
            assert source.client.calls == 3

    @pytest.mark.parametrize("multicurrency", [True, False])
    def test_a_field_that_the_org_does_not_have(self, multicurrency: bool) -> None:
        with world(multicurrency=multicurrency) as here:
            order, _ = sold(here)
            source = contracts(here, read_mapping('[order]\nend_date = "Ends__c"'))
            for _ in range(2):
                with pytest.raises(ConfigurationError, match=r"Ends__c") as refused:
                    source.read(order)
                assert refused.value.code == "INVALID_FIELD"
            here.salesforce.add_field("Order", Field("Ends__c", "date"))
            assert source.read(order).order.id == order

    def test_other_field_names(self, here: World) -> None:
        added = {
            "Account": [Field("Payer__c", "string", length=255)],
            "Contract": [Field("Plan__c", "string", length=255)],
            "Order": [Field("Billing__c", "string", length=255), Field("Plan__c", "string", length=255)],
            "OrderItem": [Field("From__c", "date"), Field("Until__c", "datetime"), Field("Price__c", "string", length=255)],
            "Product2": [Field("Article__c", "string", length=255)],
            "PricebookEntry": [Field("Every__c", "string", length=255)],
        }
        for kind, fields in added.items():
            for field in fields:
                here.salesforce.add_field(kind, field)
        mapping = read_mapping(
            """
            account.customer_id = "Payer__c"
            contract.schedule_id = "Plan__c"
            order = {collection_method = "Billing__c", schedule_id = "Plan__c"}
            order_item = {start_date = "From__c", end_date = "Until__c", price_id = "Price__c"}
            product.product_id = "Article__c"
            price_book_entry.interval = "Every__c"
            """
        )
        account = here.account(Payer__c="cus_1")
        contract = here.contract(account)
        here.salesforce.update("Contract", contract, {"Plan__c": "sub_sched_1"})
        entry = here.entry(interval=None, Every__c="week")
        here.salesforce.update("Product2", here.record("PricebookEntry", entry)["Product2Id"], {"Article__c": "prod_1"})
        dates = {"From__c": "2027-01-01", "Until__c": "2027-02-01T06:00:00.000+0000"}
        line = {"PricebookEntryId": entry, "ServiceDate": "2026-12-01", **dates}
        order = here.order(account, contract, line, Billing__c="send_invoice", Plan__c="sub_sched_2")

        state = contracts(here, mapping).read(order)

        assert state.account is not None
        assert (state.account.customer_id, state.schedule_id, state.order.schedule_id) == (
            "cus_1",
            "sub_sched_1",
            "sub_sched_2",
        )
        (found,) = state.orders
        assert found.collection_method == "send_invoice"
        (item,) = found.lines
        assert item.entry is not None
        assert item.end is not None
        assert (item.start.isoformat(), item.end.isoformat()) == ("2027-01-01T00:00:00+00:00", "2027-02-01T06:00:00+00:00")
        assert (item.entry.interval_unit, item.entry.product.product_id, item.price_id) == ("week", "prod_1", None)

    def test_one_field_for_two_purposes(self, here: World) -> None:
        order, _ = sold(here)
        mapping = read_mapping('order = {effective_date = "EndDate"}\norder_item = {start_date = "EndDate"}')
        here.salesforce.update("Order", order, {"EndDate": "2027-12-01"})
        (line,) = contracts(here, mapping).read(order).orders[0].lines
        assert line.start == line.end

    @pytest.mark.parametrize("change", ["deleted", "never there"])
    def test_an_order_that_is_gone(self, here: World, change: str) -> None:
        order = here.order(here.account(), None, {"PricebookEntryId": here.entry()})
        here.salesforce.update("Order", order, {"Status": "Draft"})
        here.salesforce.delete("Order", order)
        asked = order if change == "deleted" else "801000000000099AAA"
        with pytest.raises(DataError, match="is not in Salesforce any more") as gone:
            contracts(here).read(asked)
        assert gone.value.code == "NOT_FOUND"

    def test_a_line_that_is_gone(self, here: World) -> None:
        order = here.order(here.account(), None, {"PricebookEntryId": here.entry()}, activated=False)
        (line,) = here.lines_of(order)
        here.salesforce.delete("OrderItem", line)
        for asked in (line, "802000000000099AAA"):
            with pytest.raises(DataError, match=f"OrderItem {asked} is not in Salesforce any more") as gone:
                contracts(here).read_of_line(asked)
            assert gone.value.code == "NOT_FOUND"

    @pytest.mark.parametrize("text", ["", "801' OR Id != '", "801%27", "८०१"])
    def test_what_is_no_id_does_not_reach_salesforce(self, here: World, text: str) -> None:
        source = contracts(here)
        with pytest.raises(DataError, match="is not the id of an Order"):
            source.read(text)
        assert source.client.calls == 0

    def test_every_malformed_value_is_named(self, here: World) -> None:
        for kind in ("Order", "OrderItem"):
            here.salesforce.add_field(kind, Field("Text__c", "string", length=255))
        mapping = read_mapping('order.days_until_due = "Text__c"\norder_item.quantity = "Text__c"')
        line = {"PricebookEntryId": here.entry(), "Text__c": "three"}
        order = here.order(here.account(), None, line, Text__c="soon")
        with pytest.raises(DataError) as refused:
            contracts(here, mapping).read(order)
        assert "orders[0].Text__c" in refused.value.message
        assert "orders[0].OrderItems[0].Text__c" in refused.value.message

    @pytest.mark.parametrize(
        ("status", "code", "error"),
        [
            (404, "NOT_FOUND", ConfigurationError),
            (400, "SOMETHING_NEW", ConfigurationError),
            (403, "REQUEST_LIMIT_EXCEEDED", TransientError),
        ],
    )
    @pytest.mark.parametrize("refusing", ["the describe", "the call", "a query"])
    def test_a_refusal_to_read_is_not_about_the_order(
        self, here: World, status: int, code: str, error: type[OrderphaseError], refusing: str
    ) -> None:
        """A 404 of the API itself must not look like an order that is gone."""
        body = [{"errorCode": code, "message": "No."}]
        part = {"referenceId": "order", "httpStatusCode": status, "body": body}
        answers = {
            "token": Response(body={"access_token": "t", "id": f"https://x/id/{ORG}/005"}),
            "describe": Response(status, body) if refusing == "the describe" else Response(body={"fields": [{"name": "Id"}]}),
            "composite": Response(body={"compositeResponse": [part]}) if refusing == "a query" else Response(status, body),
        }
        with Server(Scripted(lambda request: answers[request.path.rpartition("/")[2]])) as server:
            answers["token"].body["instance_url"] = server.url
            with pytest.raises(OrderphaseError) as refused:
                Contracts(Org(client(here, server.url)), FieldMapping(), Policies()).read("801000000000001AAA")
        assert (type(refused.value), refused.value.code) == (error, code)


class TestWritingBack:
    def test_all_records_in_one_call(self, here: World) -> None:
        order, contract = sold(here)
        source = contracts(here)
        source.write_back(
            [
                Update("Order", order, {"Stripe_Sync_Status__c": "Synced", "Stripe_Sync_Message__c": None}),
                Update("Contract", contract, {"Stripe_Subscription_Id__c": "sub_1"}),
            ]
        )
        assert source.client.calls == 1
        assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Synced"
        assert here.record("Contract", contract)["Stripe_Subscription_Id__c"] == "sub_1"

    def test_nothing_is_no_call(self, here: World) -> None:
        source = contracts(here)
        source.write_back([])
        assert source.client.calls == 0

    @pytest.mark.parametrize(
        ("code", "error"),
        [
            ("FIELD_CUSTOM_VALIDATION_EXCEPTION", DataError),
            ("UNABLE_TO_LOCK_ROW", TransientError),
            ("INSUFFICIENT_ACCESS_OR_READONLY", ConfigurationError),
        ],
    )
    def test_all_or_nothing_and_the_refused_record_is_named(self, here: World, code: str, error: type[OrderphaseError]) -> None:
        order, contract = sold(here)
        here.salesforce.refuse_writes(order, error=code)
        updates = [
            Update("Contract", contract, {"Stripe_Subscription_Id__c": "sub_1"}),
            Update("Order", order, {"Stripe_Sync_Status__c": "Synced"}),
        ]
        with pytest.raises(OrderphaseError, match=f"refuses to write to Order {order}: ") as refused:
            contracts(here).write_back(updates)
        assert (type(refused.value), refused.value.code) == (error, code)
        assert here.record("Contract", contract)["Stripe_Subscription_Id__c"] is None

    def test_a_value_that_another_record_holds(self, here: World) -> None:
        _, first = sold(here)
        _, second = sold(here)
        field = "Stripe_Subscription_Schedule_Id__c"
        source = contracts(here)
        source.write_back([Update("Contract", first, {field: "sub_sched_1"})])
        with pytest.raises(ConflictError) as refused:
            source.write_back([Update("Contract", second, {field: "sub_sched_1"})])
        assert refused.value.code == "DUPLICATE_VALUE"

    def test_a_record_that_is_gone(self, here: World) -> None:
        with pytest.raises(DataError) as refused:
            contracts(here).write_back([Update("Order", "801000000000099AAA", {"Stripe_Sync_Status__c": "Synced"})])
        assert refused.value.code == "NOT_FOUND"

    def test_two_hundred_records_a_call_each_call_all_or_nothing(self, here: World) -> None:
        accounts = [here.account() for _ in range(401)]
        updates = [Update("Account", account, {"Description": "seen"}) for account in accounts]
        source = contracts(here)
        source.write_back(updates)
        assert source.client.calls == 3
        assert {here.record("Account", account)["Description"] for account in accounts} == {"seen"}

        here.salesforce.refuse_writes(accounts[250], error="FIELD_CUSTOM_VALIDATION_EXCEPTION")
        with pytest.raises(DataError, match=accounts[250]):
            source.write_back([replace(update, fields={"Description": "again"}) for update in updates])
        seen = [here.record("Account", account)["Description"] for account in accounts]
        assert seen == ["again"] * 200 + ["seen"] * 201

    def test_records_of_one_type_stand_together_in_their_order(self, here: World) -> None:
        """Salesforce takes ten changes of type in one call at most."""
        accounts = [here.account() for _ in range(12)]
        entries = [here.entry() for _ in range(12)]
        updates = []
        for number, (account, entry) in enumerate(zip(accounts, entries, strict=True)):
            updates.append(Update("Account", account, {"Description": str(number)}))
            updates.append(Update("PricebookEntry", entry, {"Stripe_Price_Id__c": f"price_{number}"}))
        source = contracts(here)
        source.write_back(updates)
        assert source.client.calls == 1
        assert [here.record("Account", account)["Description"] for account in accounts] == [str(n) for n in range(12)]
        assert [here.record("PricebookEntry", entry)["Stripe_Price_Id__c"] for entry in entries] == [
            f"price_{n}" for n in range(12)
        ]

    def test_an_edit_needs_the_permission(self) -> None:
        with world(edit_activated_orders=False) as here:
            order, _ = sold(here)
            with pytest.raises(OrderphaseError) as refused:
                contracts(here).write_back([Update("Order", order, {"Stripe_Sync_Status__c": "Synced"})])
            assert refused.value.message.startswith(f"Salesforce refuses to write to Order {order}: ")

    def test_a_call_that_is_refused_as_a_whole(self, here: World) -> None:
        order, _ = sold(here)
        with pytest.raises(ConfigurationError):
            contracts(here).write_back([Update("Order__x", order, {"Stripe_Sync_Status__c": "Synced"})])
