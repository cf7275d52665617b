"""Accounts as they are read: which fields, what an org has of them, and what became of one that is gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orderphase.domain.account import Address
from orderphase.errors import ConfigurationError, DataError, TransientError
from orderphase.mapping import FieldMapping, read_mapping
from orderphase.salesforce.accounts import Accounts, account_columns, read_account
from orderphase.salesforce.shape import Org, Shape
from orderphase.salesforce.writing import Creation, Update, write_back
from sandbox.salesforce_emulator.schema import Field
from tests.flows.world import World, world

PLAIN = Shape(frozenset({"id", "name"}))
SHIPPED = {"ShippingStreet": "Werkstor 3", "ShippingCity": "Bonn", "ShippingState": "NRW", "ShippingPostalCode": "53111"}


@pytest.fixture
def here() -> Iterator[World]:
    with world() as made:
        yield made


def accounts(here: World, mapping: FieldMapping | None = None) -> Accounts:
    return Accounts(Org(here.salesforce_client()), mapping or FieldMapping())


class TestShape:
    @pytest.mark.parametrize("multicurrency", [True, False])
    @pytest.mark.parametrize("person_accounts", [True, False])
    @pytest.mark.parametrize("codes", [True, False])
    def test_an_org_says_what_it_has(self, multicurrency: bool, person_accounts: bool, codes: bool) -> None:
        options: dict[str, Any] = {"multicurrency": multicurrency, "person_accounts": person_accounts}
        with world(**options, state_and_country_picklists=codes) as here:
            shape = Org(here.salesforce_client()).shape
            assert (shape.currencies, shape.person_accounts) == (multicurrency, person_accounts)
            assert (shape.country_codes("Billing"), shape.country_codes("Shipping")) == (codes, codes)
            assert not shape.country_codes("Other")

    def test_it_is_asked_once(self, here: World) -> None:
        org = Org(here.salesforce_client())
        assert org.shape is org.shape
        assert org.client.calls == 1
        assert len(here.salesforce.calls("describe")) == 1

    def test_a_failure_is_not_kept(self, here: World) -> None:
        org = Org(here.salesforce_client())
        here.salesforce.inject("refuse", error="REQUEST_LIMIT_EXCEEDED", path="describe")
        with pytest.raises(TransientError):
            assert org.shape.account
        assert org.shape.currencies


class TestColumns:
    def test_only_what_the_org_has(self) -> None:
        columns = account_columns(FieldMapping(), PLAIN)
        assert "PersonEmail" not in columns
        assert not [column for column in columns if column.endswith("Code") and not column.endswith("PostalCode")]
        known = Shape(frozenset({"ispersonaccount", "billingcountrycode"}))
        more = {*account_columns(FieldMapping(), known)} - {*columns}
        assert more == {"PersonEmail", "BillingCountryCode"}

    def test_each_once(self) -> None:
        """Salesforce refuses a field that is selected twice."""
        mapping = read_mapping('metadata.customer = {a = "Phone", b = "Phone", c = "Name"}\naccount.email = "Phone"')
        columns = account_columns(mapping, PLAIN)
        assert len(columns) == len({*columns})

    def test_what_the_mapping_leaves_out_is_not_read(self) -> None:
        columns = account_columns(read_mapping('account = {phone = "", shipping_phone = "", description = ""}'), PLAIN)
        assert not {"Phone", "Description", ""} & {*columns}


class TestReading:
    def test_everything(self, here: World) -> None:
        fields = {"Phone": "1", "Description": "d", "BillingCity": "Berlin", "BillingCountry": "Germany", **SHIPPED}
        account_id = here.account(**fields, Stripe_Customer_Id__c="cus_1")
        account = accounts(here).read(account_id)
        assert account is not None
        assert (account.id, account.name, account.phone, account.description) == (account_id, "Acme GmbH", "1", "d")
        assert account.billing == Address(city="Berlin", country="Germany")
        assert account.shipping == Address("Werkstor 3", "Bonn", "NRW", "53111")
        assert (account.shipping_phone, account.customer_id, account.email) == ("1", "cus_1", None)

    def test_a_code_precedes_the_name(self) -> None:
        with world(state_and_country_picklists=True) as here:
            account = accounts(here).read(here.account(BillingCountry="Germany"))
            assert account is not None
            assert account.billing.country == "DE"

    def test_where_invoices_go(self) -> None:
        mapping = read_mapping('account.email = "Mail__c"')
        record = {"Id": "001A", "Mail__c": "mail@acme.example", "PersonEmail": "ada@noor.example"}
        assert read_account(record, mapping, email="order@acme.example").email == "order@acme.example"
        assert read_account(record, mapping).email == "mail@acme.example"
        assert read_account({**record, "Mail__c": None}, mapping).email == "ada@noor.example"
        assert read_account({"Id": "001A"}, FieldMapping()).email is None

    def test_metadata_by_dots(self, here: World) -> None:
        here.salesforce.add_field("Account", Field("Score__c", "double", precision=10, scale=2))
        here.salesforce.add_field("Account", Field("Vip__c", "boolean", default=False))
        mapping = read_mapping(
            'metadata.customer = {owner = "Owner.Username", score = "Score__c", vip = "Vip__c", site = "Website"}'
        )
        account = accounts(here, mapping).read(here.account(Score__c=12.5, Vip__c=True))
        assert account is not None
        assert account.metadata.keys() == {"owner", "score", "vip"}
        assert (account.metadata["score"], account.metadata["vip"]) == ("12.5", "true")

    def test_one_that_is_not_there(self, here: World) -> None:
        account_id = here.account()
        here.salesforce.delete("Account", account_id)
        assert accounts(here).read(account_id) is None
        assert accounts(here).read("001000000000099AAA") is None

    @pytest.mark.parametrize("text", ["", "001' OR Id != '", "001%27", "८०१"])
    def test_what_is_no_id_does_not_reach_salesforce(self, here: World, text: str) -> None:
        with pytest.raises(DataError, match="is not the id of an Account"):
            accounts(here).read(text)
        with pytest.raises(DataError, match="is not the id of an Account"):
            accounts(here).merged_into(text)
        assert not here.salesforce.calls("query")

    def test_a_field_that_the_org_does_not_have(self, here: World) -> None:
        with pytest.raises(ConfigurationError, match="Nowhere__c"):
            accounts(here, read_mapping('account.phone = "Nowhere__c"')).read(here.account())


class TestMerges:
    def test_into_which(self, here: World) -> None:
        first, second, third = (here.account() for _ in range(3))
        here.salesforce.merge_accounts(second, first)
        assert accounts(here).merged_into(first) == second
        here.salesforce.merge_accounts(third, second)
        assert accounts(here).merged_into(first) == accounts(here).merged_into(second) == third
        assert accounts(here).merged_into(third) is None

    def test_one_that_was_deleted_was_merged_into_none(self, here: World) -> None:
        account = here.account()
        here.salesforce.delete("Account", account)
        assert accounts(here).merged_into(account) is None


class TestWriting:
    def order(self, here: World) -> str:
        return here.order(here.account(), None, {"PricebookEntryId": here.entry()})

    def logs(self, here: World) -> list[dict[str, Any]]:
        return here.salesforce.query("SELECT Flow__c, Order__c FROM Sync_Log__c")

    def test_updates_and_a_new_record_in_one_call(self, here: World) -> None:
        order, client = self.order(here), here.salesforce_client()
        updates = [Update("Order", order, {"Stripe_Sync_Status__c": "Synced"})]
        write_back(client, updates, [Creation("Sync_Log__c", {"Order__c": order, "Flow__c": "order_activation"})])
        assert client.calls == 1
        assert here.record("Order", order)["Stripe_Sync_Status__c"] == "Synced"
        assert [one["Order__c"] for one in self.logs(here)] == [order]

    def test_a_new_record_alone(self, here: World) -> None:
        client = here.salesforce_client()
        write_back(client, [], [Creation("Sync_Log__c", {"Flow__c": "order_activation"})])
        assert (client.calls, len(self.logs(here))) == (1, 1)

    def test_all_or_nothing_whichever_is_refused(self, here: World) -> None:
        order, client = self.order(here), here.salesforce_client()
        updates = [Update("Order", order, {"Stripe_Sync_Status__c": "Synced"})]
        here.salesforce.refuse_writes(order, error="FIELD_CUSTOM_VALIDATION_EXCEPTION")
        with pytest.raises(DataError, match=f"Order {order}"):
            write_back(client, updates, [Creation("Sync_Log__c", {"Flow__c": "a"})])
        assert self.logs(here) == []
        with pytest.raises((ConfigurationError, DataError), match=r"Sync_Log__c|Nowhere__c"):
            write_back(client, updates, [Creation("Sync_Log__c", {"Nowhere__c": "a"})])
        assert here.record("Order", order)["Stripe_Sync_Status__c"] is None
        with pytest.raises(DataError, match="a new Sync_Log__c"):
            write_back(client, updates, [Creation("Sync_Log__c", {"Order__c": "801000000000099AAA"})])
        assert here.record("Order", order)["Stripe_Sync_Status__c"] is None

    def test_with_more_updates_than_a_call_takes(self, here: World) -> None:
        entries = [here.account() for _ in range(201)]
        client = here.salesforce_client()
        updates = [Update("Account", account, {"Description": "seen"}) for account in entries]
        write_back(client, updates, [Creation("Sync_Log__c", {"Flow__c": "a"})])
        assert (client.calls, len(self.logs(here))) == (2, 1)
        assert {here.record("Account", account)["Description"] for account in entries} == {"seen"}
