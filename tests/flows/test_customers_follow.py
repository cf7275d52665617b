"""Customers follow their accounts: made with everything, then told what changes, and never a reason not to bill."""

from __future__ import annotations

from typing import Any

import pytest

from orderphase.mapping import read_mapping
from sandbox.salesforce_emulator.schema import Field
from tests.flows.deals import MOMENT, Deal, codes, sent, sold
from tests.flows.world import ORG, World, world
from tests.org import line

BERLIN = {
    "BillingStreet": "Hauptstr. 1\nHinterhaus",
    "BillingCity": "Berlin",
    "BillingPostalCode": "10115",
    "BillingCountry": "DE",
}
BONN = {"ShippingStreet": "Werkstor 3", "ShippingCity": "Bonn", "ShippingCountry": "DE"}


def customer(here: World) -> dict[str, Any]:
    """The one customer that there is."""
    (found,) = here.customers()
    return found


def sell(here: World, account: str, entry: str | None = None, **fields: Any) -> Any:
    """Sell something under a contract of its own; `fields` are the order's. A moment later nothing is left in the logs."""
    policies = {name: fields.pop(name) for name in ("customer_update", "mapping") if name in fields}
    report = here.run(here.order(account, here.contract(account), line(entry or here.entry()), **fields), **policies)
    here.clock.advance(MOMENT)
    return report


def deal_of(here: World, **account: Any) -> Deal:
    """A contract of an account with these fields, that has a schedule."""
    payer, entry = here.account(**account), here.entry()
    contract = here.contract(payer)
    order = here.order(payer, contract, line(entry))
    assert here.run(order).outcome == "synced"
    here.clock.advance(MOMENT)
    here.forget_calls()
    return Deal(here, payer, contract, entry, order)


def renewal(deal: Deal, **policies: Any) -> Any:
    """The next order of the contract, when it syncs."""
    start = f"202{7 + len(deal.statuses()) - 1}-12-01"
    change = deal.change(line(deal.entry, start, start.replace(start[:4], str(int(start[:4]) + 1))), EffectiveDate=start)
    deal.here.forget_calls()
    report = deal.here.run(change, **policies)
    deal.here.clock.advance(MOMENT)
    return report


class TestTheFirst:
    def test_everything_that_salesforce_knows(self, here: World) -> None:
        account = here.account(Phone="+49 30 1234", Description="Key account", **BERLIN, **BONN)
        contact = here.salesforce.create("Contact", {"LastName": "Noor", "Email": "billing@acme.example", "AccountId": account})
        report = sell(here, account, BillToContactId=contact)
        assert (report.outcome, codes(report)) == ("synced", [])
        made = customer(here)
        assert {name: made[name] for name in ("name", "phone", "description", "email")} == {
            "name": "Acme GmbH",
            "phone": "+49 30 1234",
            "description": "Key account",
            "email": "billing@acme.example",
        }
        assert {name: value for name, value in made["address"].items() if value} == {
            "line1": "Hauptstr. 1",
            "line2": "Hinterhaus",
            "city": "Berlin",
            "postal_code": "10115",
            "country": "DE",
        }
        assert (made["shipping"]["name"], made["shipping"]["phone"]) == ("Acme GmbH", "+49 30 1234")
        assert made["shipping"]["address"]["line1"] == "Werkstor 3"
        assert made["metadata"] == {"salesforce_org_id": ORG, "salesforce_account_id": account}

    def test_the_mapping_names_other_fields(self) -> None:
        fields = {"Account": [Field(f"{name}__c", "string", length=255) for name in ("Legal_Name", "Hotline", "Mail", "Fax")]}
        mapping = read_mapping(
            'account = {name = "Legal_Name__c", phone = "Hotline__c", email = "Mail__c", shipping_phone = "Fax__c"}\n'
            'order.email = ""\n'
            'metadata.customer = {owner = "Owner.Username", trade = "Industry"}'
        )
        with world(fields=fields) as here:
            account = here.account(
                Legal_Name__c="Acme Holding", Hotline__c="1", Mail__c="a@acme.example", Fax__c="2", Industry="Energy", **BONN
            )
            sell(here, account, mapping=mapping)
            made = customer(here)
            assert (made["name"], made["phone"], made["email"]) == ("Acme Holding", "1", "a@acme.example")
            assert (made["shipping"]["name"], made["shipping"]["phone"]) == ("Acme Holding", "2")
            assert made["metadata"]["trade"] == "Energy"
            assert made["metadata"]["owner"]

    def test_a_person(self) -> None:
        with world(person_accounts=True) as here:
            person = {"FirstName": "Ada", "LastName": "Noor", "PersonEmail": "ada@noor.example"}
            account = here.salesforce.create("Account", person)
            assert sell(here, account).outcome == "synced"
            made = customer(here)
            assert (made["name"], made["email"]) == ("Ada Noor", "ada@noor.example")

    def test_a_company_in_an_org_that_has_persons(self) -> None:
        with world(person_accounts=True) as here:
            sell(here, here.account())
            assert (customer(here)["name"], customer(here)["email"]) == ("Acme GmbH", None)

    def test_country_codes(self) -> None:
        with world(state_and_country_picklists=True) as here:
            places = {
                "BillingCountryCode": "US",
                "BillingStateCode": "CA",
                "ShippingCountry": "Germany",
                "ShippingCity": "Bonn",
            }
            report = sell(here, here.account(**places))
            assert codes(report) == []
            made = customer(here)
            assert (made["address"]["country"], made["address"]["state"]) == ("US", "California")
            assert made["shipping"]["address"]["country"] == "DE"

    def test_what_stripe_does_not_take_is_left_out_with_a_warning(self, here: World) -> None:
        fields = {"Phone": "+1 780-459-5656 ext. 4711", "Description": "d" * 6000, "BillingCountry": "Germany"}
        account = here.account(Name="n" * 255, **fields)
        contact = here.salesforce.create("Contact", {"LastName": "Noor", "Email": "noor@localhost", "AccountId": account})
        report = sell(here, account, BillToContactId=contact)
        assert report.outcome == "synced"
        assert {*codes(report)} == {"customer_value"}
        order = here.salesforce.query("SELECT Stripe_Sync_Message__c, Stripe_Sync_Status__c FROM Order")[0]
        assert order["Stripe_Sync_Status__c"] == "Synced"
        for words in ("phone number is left out", "has 6000 characters", "country of the billing address", "e-mail address"):
            assert words in order["Stripe_Sync_Message__c"]
        made = customer(here)
        assert (len(made["description"]), made["phone"], made["email"], made["address"]) == (5000, None, None, None)


class TestChanges:
    def test_nothing_has_changed(self, here: World) -> None:
        deal, flow = deal_of(here, Phone="1", **BERLIN), here.flow()
        here.run(deal.order, flow)
        for report in (renewal(deal), sell(here, deal.account, deal.entry)):
            assert (report.outcome, codes(report)) == ("synced", [])
        assert not here.stripe.calls("POST /v1/customers")

    @pytest.mark.parametrize("by", ["the next order of the contract", "the first order of another"])
    def test_only_what_has_changed_is_told(self, here: World, by: str) -> None:
        deal = deal_of(here, Phone="1", **BERLIN)
        here.salesforce.update("Account", deal.account, {"Phone": "2", "Industry": "Energy"})
        here.forget_calls()
        assert (renewal(deal) if "contract" in by else sell(here, deal.account, deal.entry)).outcome == "synced"
        assert here.stripe.params("customers.update") == {"phone": "2"}
        assert customer(here)["phone"] == "2"
        assert customer(here)["address"]["city"] == "Berlin"
        assert len(here.stripe.calls("POST /v1/customers")) == 1

    def test_an_order_that_changes_nothing_tells_it_too(self, here: World) -> None:
        deal = deal_of(here, Phone="1")
        here.salesforce.update("Account", deal.account, {"Phone": "2"})
        assert here.run(deal.order).outcome == "unchanged"
        assert customer(here)["phone"] == "2"

    def test_what_is_cleared_is_emptied(self, here: World) -> None:
        deal = deal_of(here, Phone="1", Description="d", **BERLIN, **BONN)
        gone = dict.fromkeys(("Phone", "Description", "BillingStreet", "BillingPostalCode", *BONN))
        here.salesforce.update("Account", deal.account, gone)
        assert renewal(deal).outcome == "synced"
        told = customer(here)
        assert (told["phone"], told["description"], told["shipping"]) == (None, None, None)
        assert {name: value for name, value in told["address"].items() if value} == {"city": "Berlin", "country": "DE"}
        assert told["name"] == "Acme GmbH"
        renewal(deal)
        assert not here.stripe.calls("POST /v1/customers")

    def test_what_stripe_has_changed_stays_until_salesforce_changes_it(self, here: World) -> None:
        deal = deal_of(here, Phone="1", Description="d")
        here.post_to_stripe(
            f"/v1/customers/{customer(here)['id']}", phone="9", email="desk@acme.example", **{"metadata[ours]": "1"}
        )
        renewal(deal)
        assert (customer(here)["phone"], customer(here)["email"]) == ("9", "desk@acme.example")
        here.salesforce.update("Account", deal.account, {"Description": "e"})
        renewal(deal)
        told = customer(here)
        assert (told["phone"], told["email"], told["description"]) == ("9", "desk@acme.example", "e")
        here.salesforce.update("Account", deal.account, {"Phone": "2"})
        assert sell(here, deal.account, deal.entry).outcome == "synced"
        told = customer(here)
        assert (told["phone"], told["email"]) == ("2", "desk@acme.example")
        assert told["metadata"] == {"salesforce_org_id": ORG, "salesforce_account_id": deal.account, "ours": "1"}

    def test_back_and_forth(self, here: World) -> None:
        """The same update again is another update: no key makes Stripe answer an earlier one."""
        deal = deal_of(here, Phone="1")
        for phone in ("2", "1", "2", "1"):
            here.salesforce.update("Account", deal.account, {"Phone": phone})
            assert sell(here, deal.account, deal.entry).outcome == "synced"
            assert customer(here)["phone"] == phone

    def test_a_customer_that_somebody_has_entered_is_told_once(self, here: World) -> None:
        here.post_to_stripe("/v1/customers", name="Old name", email="desk@acme.example", **{"metadata[ours]": "1"})
        account = here.account(Phone="1", Stripe_Customer_Id__c=customer(here)["id"])
        entry = here.entry()
        sell(here, account, entry)
        told = customer(here)
        assert (told["name"], told["phone"], told["email"]) == ("Acme GmbH", "1", "desk@acme.example")
        assert told["metadata"] == {"salesforce_org_id": ORG, "salesforce_account_id": account, "ours": "1"}
        here.forget_calls()
        sell(here, account, entry)
        assert not here.stripe.calls("POST /v1/customers")

    def test_a_customer_that_is_found_is_told_what_has_changed_meanwhile(self, here: World) -> None:
        """Its id was cleared in Salesforce, and the account has changed."""
        deal = deal_of(here, Phone="1")
        here.salesforce.update("Account", deal.account, {"Stripe_Customer_Id__c": None, "Phone": "2"})
        assert sell(here, deal.account, deal.entry).outcome == "synced"
        assert customer(here)["phone"] == "2"
        assert here.record("Account", deal.account)["Stripe_Customer_Id__c"] == customer(here)["id"]

    def test_lost_digests_are_told_again(self, here: World) -> None:
        deal = deal_of(here, Phone="1")
        here.lose_catalogue()
        renewal(deal)
        assert here.stripe.params("customers.update").keys() == {"name", "phone", "metadata"}
        renewal(deal)
        assert not here.stripe.calls("POST /v1/customers")

    def test_nothing_of_the_account_is_kept_in_the_table(self, here: World) -> None:
        deal_of(here, Name="Secret AG", Phone="+49 30 1234", **BERLIN)
        kept = str(here.remembered())
        for value in ("Secret", "1234", "Hauptstr", "Berlin"):
            assert value not in kept

    def test_metadata_that_is_mapped_follows_and_merges(self, here: World) -> None:
        here.mapping = read_mapping('metadata.customer = {trade = "Industry", site = "Website"}')
        deal = deal_of(here, Industry="Energy", Website="https://acme.example")
        here.salesforce.update("Account", deal.account, {"Industry": "Banking"})
        renewal(deal)
        assert customer(here)["metadata"]["trade"] == "Banking"
        assert customer(here)["metadata"]["site"] == "https://acme.example"

    def test_metadata_that_is_empty_by_now_is_emptied(self, here: World) -> None:
        here.mapping = read_mapping('metadata.customer = {trade = "Industry"}')
        deal = deal_of(here, Industry="Energy")
        here.post_to_stripe(f"/v1/customers/{customer(here)['id']}", **{"metadata[ours]": "1"})
        here.salesforce.update("Account", deal.account, {"Industry": None})
        renewal(deal)
        assert customer(here)["metadata"].keys() == {"salesforce_org_id", "salesforce_account_id", "ours"}

    def test_what_becomes_unusable_leaves_what_was_told(self, here: World) -> None:
        deal = deal_of(here, Phone="1", **BERLIN)
        here.salesforce.update("Account", deal.account, {"Phone": "1" * 30, "BillingCountry": "Germany", "BillingCity": "Bonn"})
        report = renewal(deal)
        assert {*codes(report)} == {"customer_value"}
        told = customer(here)
        assert (told["phone"], told["address"]["city"]) == ("1", "Bonn")
        renewal(deal)
        assert not here.stripe.calls("POST /v1/customers")

    def test_contracts_that_send_invoices_to_different_people(self, here: World) -> None:
        """The address that was changed last counts: the customer does not go back and forth between them."""
        account, entry = here.account(), here.entry()
        contacts = [
            here.salesforce.create("Contact", {"LastName": name, "Email": f"{name}@acme.example", "AccountId": account})
            for name in ("ann", "ben")
        ]
        contracts = [here.contract(account) for _ in contacts]
        orders = [
            here.order(account, contract, line(entry), BillToContactId=contact)
            for contract, contact in zip(contracts, contacts, strict=True)
        ]
        for order, expected in zip(orders, ("ann", "ben"), strict=True):
            assert here.run(order).outcome == "synced"
            here.clock.advance(MOMENT)
            assert customer(here)["email"] == f"{expected}@acme.example"
        here.forget_calls()
        for order in (*orders, *orders):
            assert here.run(order).outcome == "unchanged"
            here.clock.advance(MOMENT)
        assert not here.stripe.calls("POST /v1/customers")
        here.salesforce.update("Contact", contacts[0], {"Email": "eve@acme.example"})
        for order in (orders[1], orders[0], orders[1]):
            here.run(order)
            here.clock.advance(MOMENT)
        assert customer(here)["email"] == "eve@acme.example"

    def test_no_order_of_a_cancelled_contract_tells_anything(self, here: World) -> None:
        deal = deal_of(here, Phone="1")
        here.cancel(deal.order)
        here.salesforce.update("Account", deal.account, {"Phone": "2"})
        here.clock.advance(MOMENT)
        here.run(deal.order)
        assert customer(here)["phone"] == "1"


class TestWhatStripeRefuses:
    def test_it_does_not_hold_up_billing(self, here: World) -> None:
        deal = deal_of(here, Phone="1")
        here.salesforce.update("Account", deal.account, {"Phone": "2"})
        for refused in (renewal, lambda deal: sell(here, deal.account, deal.entry)):
            here.stripe.inject("refuse", error="402", method="POST", path="/v1/customers/")
            report = refused(deal)
            assert (report.outcome, codes(report)) == ("synced", ["customer_not_updated"])
        order = here.salesforce.query("SELECT Stripe_Sync_Message__c FROM Order ORDER BY Id DESC LIMIT 1")[0]
        assert "could not be told" in order["Stripe_Sync_Message__c"]
        assert len(here.schedules()) == 2
        assert codes(sell(here, deal.account, deal.entry)) == []
        assert customer(here)["phone"] == "2"

    def test_the_policy_never(self, here: World) -> None:
        deal = deal_of(here, Phone="1")
        here.salesforce.update("Account", deal.account, {"Phone": "2"})
        renewal(deal, customer_update="never")
        sell(here, deal.account, deal.entry, customer_update="never")
        assert customer(here)["phone"] == "1"
        assert not here.stripe.calls("POST /v1/customers/")
        renewal(deal)
        assert customer(here)["phone"] == "2"


class TestDeletedInStripe:
    @pytest.mark.parametrize("policy", ["on_order", "never", "on_account_change"])
    @pytest.mark.parametrize("phone", ["1", "2"], ids=["account unchanged", "account changed"])
    def test_a_successor_is_made(self, here: World, policy: str, phone: str) -> None:
        deal = deal_of(here, Phone="1")
        gone = customer(here)["id"]
        here.delete_in_stripe(f"/v1/customers/{gone}")
        here.salesforce.update("Account", deal.account, {"Phone": phone})

        report = sell(here, deal.account, deal.entry, customer_update=policy)

        assert (report.outcome, codes(report)) == ("synced", ["customer_replaced"])
        made = customer(here)
        assert (made["phone"], made["metadata"]["salesforce_account_id"]) == (phone, deal.account)
        assert here.record("Account", deal.account)["Stripe_Customer_Id__c"] == made["id"] == here.schedules()[-1]["customer"]
        order = here.salesforce.query("SELECT Stripe_Sync_Message__c FROM Order ORDER BY Id DESC LIMIT 1")[0]
        assert gone in order["Stripe_Sync_Message__c"]
        assert made["id"] in order["Stripe_Sync_Message__c"]
        here.forget_calls()
        report = sell(here, deal.account, deal.entry, customer_update=policy)
        assert (report.outcome, codes(report)) == ("synced", [])
        assert sent(here) == ["POST /v1/subscription_schedules"]

    def test_a_price_that_is_gone_is_no_deleted_customer(self, here: World) -> None:
        account = here.account()
        sell(here, account)
        order = here.order(account, here.contract(account), line(here.entry(), Stripe_Price_Id__c="price_gone"))
        report = here.run(order)
        assert (report.outcome, "price_gone" in report.message) == ("failed", True)
        assert len(here.customers()) == 1

    @pytest.mark.parametrize("policy", ["on_order", "never"])
    def test_the_id_of_another_account(self, here: World, policy: str) -> None:
        account = here.account(Stripe_Customer_Id__c="cus_elsewhere")
        report = sell(here, account, customer_update=policy)
        assert (report.outcome, codes(report)) == ("failed", ["customer_missing"])
        assert here.record("Account", account)["Stripe_Customer_Id__c"] == "cus_elsewhere"
        assert (here.customers(), here.schedules()) == ([], [])
        order = here.salesforce.query("SELECT Stripe_Sync_Status__c, Stripe_Sync_Message__c FROM Order")[0]
        assert order["Stripe_Sync_Status__c"] == "Failed"
        assert "Correct the customer id" in order["Stripe_Sync_Message__c"]
        here.salesforce.update("Account", account, {"Stripe_Customer_Id__c": None})
        assert here.run(here.salesforce.query("SELECT Id FROM Order")[0]["Id"], customer_update=policy).outcome == "synced"

    def test_an_account_whose_customer_was_deleted_and_whose_id_was_cleared(self, here: World) -> None:
        """Within a day Stripe answers the request that made the first one again."""
        deal = deal_of(here)
        gone = customer(here)["id"]
        here.delete_in_stripe(f"/v1/customers/{gone}")
        here.salesforce.update("Account", deal.account, {"Stripe_Customer_Id__c": None})
        assert sell(here, deal.account, deal.entry).outcome == "synced"
        assert customer(here)["id"] == here.record("Account", deal.account)["Stripe_Customer_Id__c"] != gone


class TestAccounts:
    def merged(self, here: World, deal: Deal, **fields: Any) -> str:
        """Another account, into which the deal's was merged."""
        master = here.account(Name="Acme Holding", **fields)
        here.salesforce.merge_accounts(master, deal.account)
        here.clock.advance(MOMENT)
        here.forget_calls()
        return master

    @pytest.mark.parametrize("known", [None, "cus_of_the_master"])
    def test_a_merged_one_goes_on_with_its_customer(self, here: World, known: str | None) -> None:
        deal = deal_of(here, Phone="1")
        billed = customer(here)["id"]
        master = self.merged(here, deal, Phone="2", Stripe_Customer_Id__c=known)
        later = Deal(here, master, deal.contract, deal.entry, deal.order)

        report = renewal(later)

        assert (report.outcome, codes(report)) == ("synced", ["account_merged"])
        assert here.schedule()["customer"] == billed
        told = customer(here)
        assert (told["name"], told["phone"], told["metadata"]["salesforce_account_id"]) == ("Acme Holding", "2", master)
        assert here.record("Account", master)["Stripe_Customer_Id__c"] == (known or billed)
        report = renewal(later)
        assert (report.outcome, codes(report)) == ("synced", []), "it is told once"
        assert not here.salesforce.calls("queryAll")

    def test_of_merged_ones_the_last_counts(self, here: World) -> None:
        deal = deal_of(here)
        between = self.merged(here, deal)
        last = here.account(Name="Acme World")
        here.salesforce.merge_accounts(last, between)
        report = renewal(Deal(here, last, deal.contract, deal.entry, deal.order))
        assert (report.outcome, codes(report)) == ("synced", ["account_merged"])
        assert customer(here)["name"] == "Acme World"


def test_a_warm_contract_costs_no_more_than_before(here: World) -> None:
    deal, flow = sold(here), here.flow()
    here.run(deal.order, flow)
    here.clock.advance(MOMENT)
    change = deal.change(line(deal.entry, "2027-12-01", "2028-12-01"), EffectiveDate="2027-12-01")
    here.forget_calls()
    assert here.run(change, flow).outcome == "synced"
    assert here.log_entries()[-1]["calls"] == {"salesforce": 2, "stripe": 2}
    here.clock.advance(MOMENT)
    assert here.run(change, flow).outcome == "unchanged"
    assert here.log_entries()[-1]["calls"] == {"salesforce": 1, "stripe": 1}
