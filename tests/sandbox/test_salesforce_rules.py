"""The business rules of the emulated org: what the platform derives, allows and carries over."""

from datetime import timedelta
from typing import Any

import pytest
from requests import Response

from sandbox.salesforce_emulator import SalesforceError
from tests.sandbox.salesforce_org import (
    Catalogue,
    Client,
    activated,
    catalogue,
    contract,
    custom_book,
    draft,
    line,
    new_entry,
    order_values,
    served,
)


def test_a_refused_change_leaves_the_row_as_it_was(org: Client, stock: Catalogue) -> None:
    order = draft(org.emulator, stock)
    before = org.get(f"/sobjects/Order/{order}").json()
    org.emulator.clock.advance(timedelta(minutes=1))
    assert org.patch(f"/sobjects/Order/{order}", {"Status": "Activated"}).status_code == 400
    assert org.get(f"/sobjects/Order/{order}").json() == before


def test_an_order_is_activated_once_and_again_after_it_was_a_draft(org: Client, stock: Catalogue) -> None:
    order, _ = activated(org.emulator, stock)
    first = org.emulator.record("Order", order)
    assert (first["StatusCode"], first["ActivatedDate"]) == ("Activated", "2026-11-20T10:00:00.000+0000")
    assert first["ActivatedById"].startswith("005")

    org.emulator.clock.advance(timedelta(hours=1))
    assert org.patch(f"/sobjects/Order/{order}", {"Status": "Activated"}).status_code == 204
    assert org.emulator.record("Order", order)["ActivatedDate"] == first["ActivatedDate"]

    assert org.patch(f"/sobjects/Order/{order}", {"Status": "Draft"}).status_code == 204
    assert org.emulator.record("Order", order)["StatusCode"] == "Draft"
    org.emulator.update("Order", order, {"Status": "Activated"})
    assert org.emulator.record("Order", order)["ActivatedDate"] == "2026-11-20T11:00:00.000+0000"


def test_a_status_label_of_the_orgs_own_counts_by_its_category(org: Client, stock: Catalogue) -> None:
    org.emulator.add_status("Order", "Ready for Billing", "Activated")
    order = draft(org.emulator, stock)
    org.emulator.create("OrderItem", line(stock, order))
    assert org.patch(f"/sobjects/Order/{order}", {"Status": "Ready for Billing"}).status_code == 204
    record = org.emulator.record("Order", order)
    assert (record["Status"], record["StatusCode"]) == ("Ready for Billing", "Activated")
    statuses = org.emulator.query("SELECT ApiName FROM OrderStatus WHERE StatusCode = 'Activated' ORDER BY ApiName")
    assert [row["ApiName"] for row in statuses] == ["Activated", "Ready for Billing"]


def test_own_fields_of_an_activated_order_and_its_lines_may_be_written(org: Client, stock: Catalogue) -> None:
    order, item = activated(org.emulator, stock)
    assert org.patch(f"/sobjects/Order/{order}", {"Stripe_Sync_Status__c": "Synced"}).status_code == 204
    assert org.patch(f"/sobjects/OrderItem/{item}", {"Stripe_Price_Id__c": "price_1", "Quantity": 3}).status_code == 204
    assert org.emulator.record("Order", order)["TotalAmount"] == 270.0


def test_without_the_permission_an_activated_order_is_read_only() -> None:
    with served(edit_activated_orders=False) as org:
        order, item = activated(org.emulator, catalogue(org.emulator))
        for path in (f"/sobjects/Order/{order}", f"/sobjects/OrderItem/{item}"):
            answer = org.patch(path, {"Stripe_Discount_Percent_Off__c": 10})
            assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INSUFFICIENT_ACCESS_OR_READONLY")
        assert org.patch(f"/sobjects/Order/{order}", {"Status": "Draft"}).status_code == 204
        assert org.patch(f"/sobjects/Order/{order}", {"Stripe_Sync_Status__c": "Failed"}).status_code == 204


def test_a_line_takes_over_what_follows_from_its_entry(org: Client, stock: Catalogue) -> None:
    order = draft(org.emulator, stock)
    item = org.emulator.create("OrderItem", line(stock, order, Quantity="2.5", UnitPrice="1800.77777778"))
    record = org.emulator.record("OrderItem", item)
    assert (record["Product2Id"], record["ListPrice"], record["CurrencyIsoCode"]) == (stock.product, 100.0, "USD")
    assert (record["AvailableQuantity"], record["TotalPrice"], record["OrderItemNumber"]) == (2.5, 4501.94444445, "00000001")
    org.emulator.delete("OrderItem", item)
    assert org.emulator.record("Order", order)["TotalAmount"] == 0.0


def test_a_reduction_order_takes_from_what_is_available(org: Client, stock: Catalogue) -> None:
    order, item = activated(org.emulator, stock)
    reduction = draft(org.emulator, stock, IsReductionOrder=True, OriginalOrderId=order)

    def reduce(**fields: Any) -> Response:
        return org.post("/sobjects/OrderItem", line(stock, reduction, OriginalOrderItemId=item, **fields))

    missing = org.post("/sobjects/OrderItem", line(stock, reduction, Quantity=-1))
    assert missing.json()[0]["fields"] == ["OriginalOrderItemId"]
    assert "negative" in reduce(Quantity=1).json()[0]["message"]
    assert "available quantity" in reduce(Quantity=-3).json()[0]["message"]
    taken = reduce(Quantity=-1).json()["id"]
    assert org.emulator.record("OrderItem", taken)["AvailableQuantity"] == 0.0

    back = org.patch(f"/sobjects/Order/{order}", {"Status": "Draft"})
    assert back.json()[0]["errorCode"] == "FAILED_ACTIVATION"
    assert org.emulator.record("OrderItem", item)["AvailableQuantity"] == 2.0
    org.emulator.update("Order", reduction, {"Status": "Activated"})
    assert org.emulator.record("OrderItem", item)["AvailableQuantity"] == 1.0

    fixed = org.patch(f"/sobjects/OrderItem/{item}", {"Quantity": 5})
    assert fixed.json()[0]["message"] == "You can't update Quantity because the order product has been reduced."
    assert org.patch(f"/sobjects/OrderItem/{item}", {"Stripe_Price_Id__c": "price_2"}).status_code == 204

    org.emulator.update("Order", reduction, {"Status": "Draft"})
    assert org.emulator.record("OrderItem", item)["AvailableQuantity"] == 2.0


def test_two_reductions_cannot_take_the_same_quantity(org: Client, stock: Catalogue) -> None:
    _, item = activated(org.emulator, stock)
    orders = [draft(org.emulator, stock, IsReductionOrder=True) for _ in range(2)]
    for order in orders:
        org.emulator.create("OrderItem", line(stock, order, OriginalOrderItemId=item, Quantity=-2))
    org.emulator.update("Order", orders[0], {"Status": "Activated"})
    answer = org.patch(f"/sobjects/Order/{orders[1]}", {"Status": "Activated"})
    assert answer.json()[0]["errorCode"] == "FAILED_ACTIVATION"
    assert org.emulator.record("OrderItem", item)["AvailableQuantity"] == 0.0


def test_the_orgs_order_settings_allow_zero_negative_and_forbid_reduction() -> None:
    with served(zero_quantity=True, negative_quantity=True, reduction_orders=False) as org:
        stock = catalogue(org.emulator)
        order = draft(org.emulator, stock)
        for quantity in (0, -4):
            assert org.post("/sobjects/OrderItem", line(stock, order, Quantity=quantity)).status_code == 201
        answer = org.post("/sobjects/Order", order_values(stock, IsReductionOrder=True))
        assert answer.json()[0]["errorCode"] == "FIELD_INTEGRITY_EXCEPTION"


@pytest.mark.parametrize(
    ("start", "term", "end"),
    [
        ("2026-08-01", 12, "2027-07-31"),
        ("2026-08-01", 24, "2028-07-31"),
        ("2027-01-31", 1, "2027-02-27"),
        ("2028-01-31", 1, "2028-02-28"),
        ("2028-02-29", 12, "2029-02-27"),
        ("2026-12-15", 1, "2027-01-14"),
    ],
)
def test_a_contract_ends_a_day_before_the_term_is_over(org: Client, stock: Catalogue, start: str, term: int, end: str) -> None:
    contract_id = contract(org, stock, StartDate=start, ContractTerm=term)
    assert org.emulator.record("Contract", contract_id)["EndDate"] == end


def test_a_contract_moves_its_end_with_its_term_and_is_stamped_when_activated(org: Client, stock: Catalogue) -> None:
    contract_id = contract(org, stock, StartDate="2026-08-01", ContractTerm=12)
    org.emulator.update("Contract", contract_id, {"ContractTerm": 24})
    org.emulator.update("Contract", contract_id, {"Status": "Activated"})
    record = org.emulator.record("Contract", contract_id)
    assert (record["EndDate"], record["StatusCode"]) == ("2028-07-31", "Activated")
    assert record["ActivatedDate"] == "2026-11-20T10:00:00.000+0000"


def test_an_entry_follows_its_product_and_the_standard_price(org: Client, stock: Catalogue) -> None:
    book = custom_book(org)
    entry = new_entry(org, stock, Pricebook2Id=book, UseStandardPrice=True).json()["id"]
    org.emulator.update("PricebookEntry", stock.entry, {"UnitPrice": 120})
    org.emulator.update("Product2", stock.product, {"Name": "Widget 2", "ProductCode": "W-2"})
    record = org.emulator.record("PricebookEntry", entry)
    assert (record["UnitPrice"], record["Name"], record["ProductCode"]) == (120.0, "Widget 2", "W-2")
    with pytest.raises(SalesforceError, match="FIELD_INTEGRITY"):
        org.emulator.update("PricebookEntry", entry, {"UnitPrice": 90})
    org.emulator.update("PricebookEntry", entry, {"UseStandardPrice": False, "UnitPrice": 90})
    assert org.emulator.record("PricebookEntry", entry)["UnitPrice"] == 90.0


def test_a_new_entry_is_inactive_and_may_be_priced_in_each_currency(org: Client, stock: Catalogue) -> None:
    answer = org.post(
        "/sobjects/PricebookEntry",
        {"Pricebook2Id": stock.book, "Product2Id": stock.product, "UnitPrice": 9, "CurrencyIsoCode": "JPY"},
    )
    assert answer.status_code == 201
    assert org.emulator.record("PricebookEntry", answer.json()["id"])["IsActive"] is False


def test_a_deleted_entry_is_gone_and_its_lines_are_not(org: Client, stock: Catalogue) -> None:
    _, item = activated(org.emulator, stock)
    org.emulator.delete("PricebookEntry", stock.entry)
    assert org.get("/queryAll", params={"q": "SELECT Id FROM PricebookEntry"}).json()["totalSize"] == 0
    (row,) = org.emulator.query("SELECT Id, PricebookEntry.Stripe_Price_Id__c FROM OrderItem")
    assert (row["Id"], row["PricebookEntry"]) == (item, None)


def test_an_entry_may_turn_to_the_standard_price_later(org: Client, stock: Catalogue) -> None:
    entry = new_entry(org, stock, Pricebook2Id=custom_book(org), UnitPrice=80).json()["id"]
    org.emulator.update("PricebookEntry", entry, {"UseStandardPrice": True})
    assert org.emulator.record("PricebookEntry", entry)["UnitPrice"] == 100.0


def test_what_is_unused_may_be_deleted(org: Client, stock: Catalogue) -> None:
    for name, record_id in (("Contract", contract(org, stock)), ("Pricebook2", custom_book(org)), ("Product2", stock.product)):
        assert org.delete(f"/sobjects/{name}/{record_id}").status_code == 204
    assert org.emulator.query("SELECT Id FROM PricebookEntry") == []


def test_a_draft_reduction_may_be_changed_within_what_is_left(org: Client, stock: Catalogue) -> None:
    _, item = activated(org.emulator, stock)
    reduction = draft(org.emulator, stock, IsReductionOrder=True)
    taken = org.emulator.create("OrderItem", line(stock, reduction, OriginalOrderItemId=item, Quantity=-1))
    assert org.patch(f"/sobjects/OrderItem/{taken}", {"Quantity": -2}).status_code == 204
    assert org.patch(f"/sobjects/OrderItem/{taken}", {"Quantity": -3}).status_code == 400
    assert org.emulator.record("OrderItem", taken)["Quantity"] == -2.0


def test_deleting_a_draft_takes_its_lines_along(org: Client, stock: Catalogue) -> None:
    order = draft(org.emulator, stock)
    item = org.emulator.create("OrderItem", line(stock, order))
    assert org.delete(f"/sobjects/Order/{order}").status_code == 204
    answer = org.get(f"/sobjects/OrderItem/{item}")
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (404, "ENTITY_IS_DELETED")


def test_a_single_currency_org_has_no_currency_fields() -> None:
    with served(multicurrency=False) as org:
        stock = catalogue(org.emulator)
        activated(org.emulator, stock)
        answer = org.query("SELECT CurrencyIsoCode FROM Order")
        assert answer.json()[0]["errorCode"] == "INVALID_FIELD"
        assert "No such column 'CurrencyIsoCode' on entity 'Order'" in answer.json()[0]["message"]
        assert org.query("SELECT IsoCode FROM CurrencyType").json()[0]["errorCode"] == "INVALID_TYPE"
        names = {field["name"] for field in org.get("/sobjects/Order/describe").json()["fields"]}
        assert "CurrencyIsoCode" not in names
