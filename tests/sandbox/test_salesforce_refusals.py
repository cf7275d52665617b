"""What the emulated org refuses, over HTTP: each business rule by its code and text."""

from collections.abc import Callable
from typing import Any

import pytest
from requests import Response

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


def new_product(org: Client) -> str:
    return org.emulator.create("Product2", {"Name": "Gadget", "IsActive": True})


def new_line(org: Client, stock: Catalogue, order: dict[str, Any], **fields: Any) -> Response:
    return org.post("/sobjects/OrderItem", line(stock, draft(org.emulator, stock, **order), **fields))


def new_order_of(org: Client, stock: Catalogue, contract_fields: dict[str, Any], **fields: Any) -> Response:
    contract_id = contract(org, stock, **contract_fields)
    return org.post("/sobjects/Order", order_values(stock, ContractId=contract_id, **fields))


def with_other_entry(org: Client, stock: Catalogue, **fields: Any) -> Response:
    """A line whose entry is of another product than usual."""
    product = new_product(org)
    values = {"Pricebook2Id": stock.book, "Product2Id": product, "UnitPrice": 5, **fields}
    entry = org.emulator.create("PricebookEntry", values)
    return org.post("/sobjects/OrderItem", line(stock, draft(org.emulator, stock), PricebookEntryId=entry))


def in_partner_book(org: Client, stock: Catalogue) -> Response:
    entry = {"Pricebook2Id": custom_book(org), "Product2Id": stock.product, "UnitPrice": 80, "IsActive": True}
    entry_id = org.emulator.create("PricebookEntry", entry)
    return org.post("/sobjects/OrderItem", line(stock, draft(org.emulator, stock), PricebookEntryId=entry_id))


def status_with_another_field(org: Client, stock: Catalogue) -> Response:
    order = draft(org.emulator, stock)
    org.emulator.create("OrderItem", line(stock, order))
    return org.patch(f"/sobjects/Order/{order}", {"Status": "Activated", "PoNumber": "7"})


def duplicate_key(org: Client, stock: Catalogue) -> Response:
    org.emulator.update("Account", stock.account, {"Stripe_Customer_Id__c": "cus_1"})
    return org.post("/sobjects/Account", {"Name": "Other", "Stripe_Customer_Id__c": "cus_1"})


def contract_to_draft(org: Client, stock: Catalogue) -> Response:
    contract_id = contract(org, stock)
    org.emulator.update("Contract", contract_id, {"Status": "Activated"})
    return org.patch(f"/sobjects/Contract/{contract_id}", {"Status": "Draft"})


def activated_contract_deleted(org: Client, stock: Catalogue) -> Response:
    contract_id = contract(org, stock)
    org.emulator.update("Contract", contract_id, {"Status": "Activated"})
    return org.delete(f"/sobjects/Contract/{contract_id}")


def deleted_reference(org: Client, stock: Catalogue) -> Response:
    account = org.emulator.create("Account", {"Name": "Gone"})
    org.emulator.delete("Account", account)
    return org.post("/sobjects/Contact", {"LastName": "Doe", "AccountId": account})


def sold_product_deleted(org: Client, stock: Catalogue) -> Response:
    activated(org.emulator, stock)
    return org.delete(f"/sobjects/Product2/{stock.product}")


def start_moved_before_contract(org: Client, stock: Catalogue) -> Response:
    order = new_order_of(org, stock, {"StartDate": "2027-01-01", "ContractTerm": 12}).json()["id"]
    return org.patch(f"/sobjects/Order/{order}", {"EffectiveDate": "2026-12-31"})


def book_of_order_with_lines(org: Client, stock: Catalogue) -> Response:
    order = draft(org.emulator, stock)
    org.emulator.create("OrderItem", line(stock, order))
    return org.patch(f"/sobjects/Order/{order}", {"Pricebook2Id": custom_book(org)})


def line_of_an_activated_reduction_changed(org: Client, stock: Catalogue) -> Response:
    _, item = activated(org.emulator, stock)
    reduction = draft(org.emulator, stock, IsReductionOrder=True)
    taken = org.emulator.create("OrderItem", line(stock, reduction, OriginalOrderItemId=item, Quantity=-1))
    org.emulator.update("Order", reduction, {"Status": "Activated"})
    return org.patch(f"/sobjects/OrderItem/{taken}", {"Quantity": -2})


def line_of_a_draft_reduced(org: Client, stock: Catalogue) -> Response:
    item = org.emulator.create("OrderItem", line(stock, draft(org.emulator, stock)))
    reduction = draft(org.emulator, stock, IsReductionOrder=True)
    return org.post("/sobjects/OrderItem", line(stock, reduction, OriginalOrderItemId=item, Quantity=-1))


def account_with_orders_deleted(org: Client, stock: Catalogue) -> Response:
    draft(org.emulator, stock)
    return org.delete(f"/sobjects/Account/{stock.account}")


def patch_order(org: Client, stock: Catalogue, **fields: Any) -> Response:
    return org.patch(f"/sobjects/Order/{activated(org.emulator, stock)[0]}", fields)


type Attempt = Callable[[Client, Catalogue], Response]

REFUSALS: dict[str, tuple[Attempt, str, str]] = {
    "order inserted as activated": (
        lambda org, stock: org.post("/sobjects/Order", order_values(stock, Status="Activated")),
        "FAILED_ACTIVATION",
        "For a new or cloned order, choose Draft",
    ),
    "order without account": (
        lambda org, stock: org.post("/sobjects/Order", order_values(stock, AccountId=None)),
        "REQUIRED_FIELD_MISSING",
        "Select an account.",
    ),
    "order without start": (
        lambda org, stock: org.post("/sobjects/Order", order_values(stock, EffectiveDate=None)),
        "REQUIRED_FIELD_MISSING",
        "Required fields are missing: [EffectiveDate]",
    ),
    "order of an unknown status": (
        lambda org, stock: org.post("/sobjects/Order", order_values(stock, Status="Shipped")),
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        "Shipped",
    ),
    "order that ends before it starts": (
        lambda org, stock: org.post("/sobjects/Order", order_values(stock, EndDate="2026-12-31")),
        "FIELD_INTEGRITY_EXCEPTION",
        "end date",
    ),
    "activation without lines": (
        lambda org, stock: org.patch(f"/sobjects/Order/{draft(org.emulator, stock)}", {"Status": "Activated"}),
        "FAILED_ACTIVATION",
        "An order must have at least one product.",
    ),
    "activation with another field": (status_with_another_field, "FAILED_ACTIVATION", "an update of its own"),
    "line added to an activated order": (
        lambda org, stock: org.post("/sobjects/OrderItem", line(stock, activated(org.emulator, stock)[0])),
        "ENTITY_IS_LOCKED",
        "add or remove Order Products",
    ),
    "line removed from an activated order": (
        lambda org, stock: org.delete(f"/sobjects/OrderItem/{activated(org.emulator, stock)[1]}"),
        "ENTITY_IS_LOCKED",
        "add or remove Order Products",
    ),
    "activated order deleted": (
        lambda org, stock: org.delete(f"/sobjects/Order/{activated(org.emulator, stock)[0]}"),
        "DELETE_FAILED",
        "unable to modify activated order",
    ),
    "price book of an activated order": (
        lambda org, stock: patch_order(org, stock, Pricebook2Id=custom_book(org)),
        "FIELD_INTEGRITY_EXCEPTION",
        "Pricebook2Id",
    ),
    "contract of an activated order": (
        lambda org, stock: patch_order(org, stock, ContractId=contract(org, stock)),
        "FIELD_INTEGRITY_EXCEPTION",
        "ContractId",
    ),
    "reduction flag after creation": (
        lambda org, stock: org.patch(f"/sobjects/Order/{draft(org.emulator, stock)}", {"IsReductionOrder": True}),
        "INVALID_FIELD_FOR_INSERT_UPDATE",
        "IsReductionOrder",
    ),
    "line before the order's start": (
        lambda org, stock: new_line(org, stock, {}, ServiceDate="2026-12-31"),
        "FIELD_INTEGRITY_EXCEPTION",
        "start date",
    ),
    "line after the order's end": (
        lambda org, stock: new_line(org, stock, {"EndDate": "2027-12-31"}, EndDate="2028-01-01"),
        "FIELD_INTEGRITY_EXCEPTION",
        "end date",
    ),
    "line without unit price": (
        lambda org, stock: new_line(org, stock, {}, UnitPrice=None),
        "FIELD_INTEGRITY_EXCEPTION",
        "Order Products must have a Unit Price.",
    ),
    "line without quantity": (
        lambda org, stock: new_line(org, stock, {}, Quantity=None),
        "REQUIRED_FIELD_MISSING",
        "Required fields are missing: [Quantity]",
    ),
    "line of quantity 0": (
        lambda org, stock: new_line(org, stock, {}, Quantity=0),
        "FIELD_INTEGRITY_EXCEPTION",
        "Can't save order products with quantities of zero",
    ),
    "line of negative quantity": (
        lambda org, stock: new_line(org, stock, {}, Quantity=-1),
        "FIELD_INTEGRITY_EXCEPTION",
        "negative",
    ),
    "line of an activated reduction order": (line_of_an_activated_reduction_changed, "FIELD_INTEGRITY_EXCEPTION", "Quantity"),
    "line of a draft reduced": (line_of_a_draft_reduced, "FIELD_INTEGRITY_EXCEPTION", "activated order can be reduced"),
    "line of an order without price book": (
        lambda org, stock: new_line(org, stock, {"Pricebook2Id": None}),
        "FIELD_INTEGRITY_EXCEPTION",
        "The order is missing a price book",
    ),
    "line of an entry from another book": (in_partner_book, "FIELD_INTEGRITY_EXCEPTION", "different price book"),
    "line of an inactive entry": (with_other_entry, "FIELD_INTEGRITY_EXCEPTION", "inactive"),
    "line of another currency": (
        lambda org, stock: with_other_entry(org, stock, IsActive=True, CurrencyIsoCode="EUR"),
        "FIELD_INTEGRITY_EXCEPTION",
        "currency",
    ),
    "custom entry before the standard one": (
        lambda org, stock: new_entry(org, stock, Product2Id=new_product(org), Pricebook2Id=custom_book(org)),
        "STANDARD_PRICE_NOT_DEFINED",
        "Before creating a custom price, create a standard price.",
    ),
    "entry there already": (
        new_entry,
        "FIELD_INTEGRITY_EXCEPTION",
        "This price definition already exists in this price book",
    ),
    "entry without price": (
        lambda org, stock: new_entry(org, stock, UnitPrice=None),
        "REQUIRED_FIELD_MISSING",
        "UnitPrice",
    ),
    "standard price used at another price": (
        lambda org, stock: new_entry(org, stock, Pricebook2Id=custom_book(org), UseStandardPrice=True, UnitPrice=99),
        "FIELD_INTEGRITY_EXCEPTION",
        "",
    ),
    "standard price used by the standard book": (
        lambda org, stock: new_entry(org, stock, Product2Id=new_product(org), UseStandardPrice=True),
        "FIELD_INTEGRITY_EXCEPTION",
        "standard",
    ),
    "standard price used by the standard book later": (
        lambda org, stock: org.patch(f"/sobjects/PricebookEntry/{stock.entry}", {"UseStandardPrice": True}),
        "FIELD_INTEGRITY_EXCEPTION",
        "standard",
    ),
    "contract of an unknown status": (
        lambda org, stock: org.post("/sobjects/Contract", {"AccountId": stock.account, "Status": "Signed"}),
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        "Signed",
    ),
    "product of an entry changed": (
        lambda org, stock: org.patch(f"/sobjects/PricebookEntry/{stock.entry}", {"Product2Id": new_product(org)}),
        "INVALID_FIELD_FOR_INSERT_UPDATE",
        "Unable to create/update fields: Product2Id. Please check the security settings",
    ),
    "standard book deleted": (
        lambda org, stock: org.delete(f"/sobjects/Pricebook2/{stock.book}"),
        "DELETE_FAILED",
        "standard price book",
    ),
    "contract inserted as activated": (
        lambda org, stock: org.post("/sobjects/Contract", {"AccountId": stock.account, "Status": "Activated"}),
        "FAILED_ACTIVATION",
        "Choose a valid contract status and save your changes",
    ),
    "contract back to draft": (contract_to_draft, "FAILED_ACTIVATION", "Choose a valid contract status and save your changes"),
    "contract activated with another field": (
        lambda org, stock: org.patch(f"/sobjects/Contract/{contract(org, stock)}", {"Status": "Activated", "ContractTerm": 1}),
        "FAILED_ACTIVATION",
        "alone",
    ),
    "activated contract deleted": (activated_contract_deleted, "DELETE_FAILED", "activated contract"),
    "end date of a contract": (
        lambda org, stock: org.post("/sobjects/Contract", {"AccountId": stock.account, "EndDate": "2027-12-31"}),
        "INVALID_FIELD_FOR_INSERT_UPDATE",
        "EndDate",
    ),
    "order of another account than its contract": (
        lambda org, stock: new_order_of(org, stock, {}, AccountId=org.emulator.create("Account", {"Name": "Other"})),
        "FIELD_INTEGRITY_EXCEPTION",
        "account",
    ),
    "order of another currency than its contract": (
        lambda org, stock: new_order_of(org, stock, {"CurrencyIsoCode": "EUR"}),
        "FIELD_INTEGRITY_EXCEPTION",
        "currency",
    ),
    "order of another book than its contract": (
        lambda org, stock: new_order_of(org, stock, {"Pricebook2Id": custom_book(org)}),
        "FIELD_INTEGRITY_EXCEPTION",
        "price book",
    ),
    "order before its contract": (
        lambda org, stock: new_order_of(org, stock, {"StartDate": "2027-01-02", "ContractTerm": 12}),
        "FIELD_INTEGRITY_EXCEPTION",
        "earlier than the contract's start date",
    ),
    "order moved before its contract": (
        start_moved_before_contract,
        "FIELD_INTEGRITY_EXCEPTION",
        "earlier than the contract's start date",
    ),
    "price book of an order with lines": (book_of_order_with_lines, "FIELD_INTEGRITY_EXCEPTION", "has order products"),
    "original order of an ordinary order": (
        lambda org, stock: org.post("/sobjects/Order", order_values(stock, OriginalOrderId=draft(org.emulator, stock))),
        "FIELD_INTEGRITY_EXCEPTION",
        "original order",
    ),
    "original line of an ordinary order's line": (
        lambda org, stock: new_line(org, stock, {}, OriginalOrderItemId=activated(org.emulator, stock)[1]),
        "FIELD_INTEGRITY_EXCEPTION",
        "original product",
    ),
    "account with orders deleted": (
        account_with_orders_deleted,
        "DELETE_FAILED",
        "associated with the following orders",
    ),
    "order after its contract": (
        lambda org, stock: new_order_of(org, stock, {"StartDate": "2026-01-01", "ContractTerm": 12}),
        "FIELD_INTEGRITY_EXCEPTION",
        "later than the contract's end date",
    ),
    "duplicate external id": (
        duplicate_key,
        "DUPLICATE_VALUE",
        "duplicate value found: Stripe_Customer_Id__c duplicates value on record with id: 001Ah0000000001",
    ),
    "unknown field": (
        lambda org, stock: org.post("/sobjects/Order", order_values(stock, Foo__c=1)),
        "INVALID_FIELD",
        "No such column 'Foo__c' on sobject of type Order",
    ),
    "read-only field": (
        lambda org, stock: org.post("/sobjects/Order", order_values(stock, TotalAmount=1)),
        "INVALID_FIELD_FOR_INSERT_UPDATE",
        "TotalAmount",
    ),
    "datetime in a date field": (
        lambda org, stock: org.post("/sobjects/Order", order_values(stock, EffectiveDate="2027-01-01T00:00:00Z")),
        "JSON_PARSER_ERROR",
        "EffectiveDate",
    ),
    "value outside a restricted picklist": (
        lambda org, stock: patch_order(org, stock, Stripe_Sync_Status__c="Fine"),
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        "bad value for restricted picklist field: Fine",
    ),
    "text that is too long": (
        lambda org, stock: org.post("/sobjects/Account", {"Name": "x" * 256}),
        "STRING_TOO_LONG",
        "max length=255",
    ),
    "number that is too large": (
        lambda org, stock: new_line(org, stock, {}, UnitPrice=10**10),
        "NUMBER_OUTSIDE_VALID_RANGE",
        "UnitPrice",
    ),
    "id of another object": (
        lambda org, stock: org.post("/sobjects/Order", order_values(stock, AccountId=stock.product)),
        "MALFORMED_ID",
        "id value of incorrect type",
    ),
    "id of nothing": (
        lambda org, stock: org.post("/sobjects/Order", order_values(stock, AccountId="001000000000000")),
        "INVALID_CROSS_REFERENCE_KEY",
        "invalid cross reference id",
    ),
    "id of a deleted row": (deleted_reference, "ENTITY_IS_DELETED", "entity is deleted"),
    "product that was sold deleted": (
        sold_product_deleted,
        "DELETE_FAILED",
        "associated with the following",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_has_its_code_and_text_and_changes_nothing(case: str) -> None:
    attempt, code, text = REFUSALS[case]
    with served() as org:
        stock = catalogue(org.emulator)
        answer = attempt(org, stock)
        assert answer.status_code == 400, answer.text
        (error,) = answer.json()
        assert error["errorCode"] == code
        assert text in error["message"]
