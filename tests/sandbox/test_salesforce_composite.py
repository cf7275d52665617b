"""Calls that bundle others: `/composite` with its references, `/composite/batch`, and sObject Collections."""

from typing import Any

import pytest

from sandbox.salesforce_emulator import Field
from tests.sandbox.salesforce_org import CLIENT, VERSION, Catalogue, Client, activated, draft, line


def part(name: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
    given = {} if body is None else {"body": body}
    return {"method": method, "url": f"{VERSION}{path}", "referenceId": name, **given}


def composite(org: Client, *subrequests: dict[str, Any], all_or_none: bool = False) -> list[dict[str, Any]]:
    body = {"allOrNone": all_or_none, "collateSubrequests": False, "compositeRequest": subrequests}
    answer = org.post("/composite", body)
    assert answer.status_code == 200, answer.text
    parts: list[dict[str, Any]] = answer.json()["compositeResponse"]
    return parts


def test_parts_refer_to_the_answers_of_earlier_ones(org: Client, stock: Catalogue) -> None:
    contract = org.emulator.create("Contract", {"AccountId": stock.account})
    order, _ = activated(org.emulator, stock, ContractId=contract)
    query = f"/query?q=SELECT+Id,+ContractId+FROM+Order+WHERE+Id='{order}'"
    lines = "/query?q=SELECT+Id+FROM+OrderItem+WHERE+Order.ContractId='@{order.records[0].ContractId}'"
    found = composite(
        org,
        part("order", "GET", query),
        part("lines", "GET", lines),
        part(
            "note", "PATCH", "/sobjects/Contract/@{order.records[0].ContractId}", {"SpecialTerms": "x @{lines.records[0].Id}"}
        ),
        part("company", "POST", "/sobjects/Account", {"Name": "New"}),
        part("person", "POST", "/sobjects/Contact", {"LastName": "Doe", "AccountId": "@{company.id}"}),
    )
    assert [each["httpStatusCode"] for each in found] == [200, 200, 204, 201, 201]
    assert [each["referenceId"] for each in found] == ["order", "lines", "note", "company", "person"]
    company, person = (each["body"]["id"] for each in found[3:])
    assert found[4]["httpHeaders"] == {"Location": f"{VERSION}/sobjects/Contact/{person}"}
    assert org.emulator.record("Contact", person)["AccountId"] == company
    line_id = found[1]["body"]["records"][0]["Id"]
    assert org.emulator.record("Contract", contract)["SpecialTerms"] == f"x {line_id}"


def test_a_reference_to_nothing_fails_its_part_alone(org: Client, stock: Catalogue) -> None:
    order, _ = activated(org.emulator, stock)
    query = part("order", "GET", f"/query?q=SELECT+ContractId+FROM+Order+WHERE+Id='{order}'")
    found = composite(
        org,
        query,
        part("contract", "GET", "/sobjects/Contract/@{order.records[0].ContractId}"),
        part("beyond", "GET", "/sobjects/Contract/@{order.records[1].ContractId}"),
        part("after", "PATCH", f"/sobjects/Order/{order}", {"PoNumber": "7"}),
    )
    assert [each["httpStatusCode"] for each in found] == [200, 400, 400, 204]
    assert found[1]["body"] == [
        {
            "message": "Invalid reference specified. No value for order.records[0].ContractId found in order",
            "errorCode": "PROCESSING_HALTED",
        }
    ]


def test_all_or_none_undoes_what_was_done(org: Client, stock: Catalogue) -> None:
    order = draft(org.emulator, stock)
    found = composite(
        org,
        part("line", "POST", "/sobjects/OrderItem", line(stock, order)),
        part("activate", "PATCH", f"/sobjects/Order/{order}", {"Status": "Activated"}),
        part("wrong", "PATCH", f"/sobjects/Order/{order}", {"Nothing__c": 1}),
        part("never", "PATCH", f"/sobjects/Order/{order}", {"PoNumber": "7"}),
        all_or_none=True,
    )
    assert [each["httpStatusCode"] for each in found] == [400] * 4
    assert [each["body"][0]["errorCode"] for each in found] == ["PROCESSING_HALTED"] * 2 + [
        "INVALID_FIELD",
        "PROCESSING_HALTED",
    ]
    assert "rolled back" in found[0]["body"][0]["message"]
    record = org.emulator.record("Order", order)
    assert (record["Status"], record["TotalAmount"], record["PoNumber"]) == ("Draft", 0.0, None)
    assert org.emulator.query("SELECT Id FROM OrderItem") == []


def test_without_all_or_none_the_good_parts_stay(org: Client, stock: Catalogue) -> None:
    order = draft(org.emulator, stock)
    found = composite(
        org,
        part("wrong", "PATCH", f"/sobjects/Order/{order}", {"Nothing__c": 1}),
        part("right", "PATCH", f"/sobjects/Order/{order}", {"PoNumber": "7"}),
    )
    assert [each["httpStatusCode"] for each in found] == [400, 204]
    assert org.emulator.record("Order", order)["PoNumber"] == "7"


def test_a_composite_is_one_call(org: Client, stock: Catalogue) -> None:
    body = {"compositeRequest": [part(f"p{number}", "GET", "/limits") for number in range(25)]}
    assert org.post("/composite", body).headers["Sforce-Limit-Info"] == "api-usage=1/100000"


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([part(f"p{number}", "GET", "/limits") for number in range(26)], "LIMIT_EXCEEDED"),
        ([part(f"p{number}", "GET", "/query?q=SELECT+Id+FROM+Order") for number in range(6)], "LIMIT_EXCEEDED"),
        ([part("p", "GET", "/limits"), part("p", "GET", "/limits")], "INVALID_INPUT"),
        ([part("p-1", "GET", "/limits")], "INVALID_INPUT"),
        ([{"method": "GET", "url": f"{VERSION}/limits"}], "JSON_PARSER_ERROR"),
        ([{**part("p", "GET", "/limits"), "id": 1}], "JSON_PARSER_ERROR"),
        ([{**part("p", "GET", "/limits"), "url": "/services/data/v59.0/limits"}], "NOT_FOUND"),
        ([], "JSON_PARSER_ERROR"),
    ],
)
def test_a_malformed_composite_is_refused_as_a_whole(org: Client, parts: list[dict[str, Any]], code: str) -> None:
    answer = org.post("/composite", {"compositeRequest": parts})
    assert answer.json()[0]["errorCode"] == code
    assert answer.status_code in (400, 404)


def test_what_a_composite_does_not_model(org: Client, stock: Catalogue) -> None:
    (nested,) = composite(org, part("inner", "POST", "/composite", {"compositeRequest": []}))
    assert nested["httpStatusCode"] == 501
    (batch,) = composite(org, part("inner", "POST", "/composite/batch", {"batchRequests": []}))
    assert batch["httpStatusCode"] == 501


@pytest.mark.parametrize(
    "extra",
    [{"allOrNothing": True}, {"allOrNone": "true"}, {"collateSubrequests": None}, {"compositeRequest": [{"httpHeaders": []}]}],
)
def test_a_composite_takes_the_keys_that_it_knows(org: Client, extra: dict[str, Any]) -> None:
    parts = [part("p", "GET", "/limits") | each for each in extra.pop("compositeRequest", [{}])]
    answer = org.post("/composite", {"compositeRequest": parts, **extra})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")


def run_order(org: Client, *parts: dict[str, Any], **flags: bool) -> list[str]:
    """The names of the accounts that a composite creates, as they were created."""
    answer = org.post("/composite", {"compositeRequest": parts, **flags}).json()["compositeResponse"]
    assert [each["referenceId"] for each in answer] == [each["referenceId"] for each in parts]
    assert all(each["httpStatusCode"] == 201 for each in answer)
    return [row["Description"] for row in org.emulator.query("SELECT Description FROM Product2")]


def test_collated_parts_run_in_no_order_but_that_of_their_references(org: Client) -> None:
    def product(name: str, description: str) -> dict[str, Any]:
        return part(name, "POST", "/sobjects/Product2", {"Name": name, "Description": description, "IsActive": True})

    account = part("account", "POST", "/sobjects/Account", {"Name": "A", "AnnualFee__c": 1.5})
    org.emulator.add_field("Account", Field("AnnualFee__c", "double", precision=5, scale=2))
    parts = [product("one", "first"), account, product("two", "of @{account.id}"), product("three", "last")]
    account_id = "001Ah0000000001IAA"
    assert run_order(org, *parts) == ["first", "last", f"of {account_id}"]
    org.emulator.reset()
    org.log_in(**CLIENT)
    assert run_order(org, *parts, collateSubrequests=False) == ["first", f"of {account_id}", "last"]
    org.emulator.reset()
    org.log_in(**CLIENT)
    parts[3]["httpHeaders"] = {"X-Any": "1"}
    assert run_order(org, *parts, collateSubrequests=True) == ["first", f"of {account_id}", "last"]


def test_all_or_none_of_a_composite_holds_for_its_collections(org: Client) -> None:
    records = [account(Name="A"), account()]
    many = part("many", "POST", "/composite/sobjects", {"allOrNone": False, "records": records})
    one = part("one", "POST", "/sobjects/Account", {"Name": "B"})
    found = composite(org, one, many, all_or_none=True)
    assert found[0]["body"][0]["errorCode"] == "PROCESSING_HALTED"
    codes = [each["errors"][0]["statusCode"] for each in found[1]["body"]]
    assert codes == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUIRED_FIELD_MISSING"]
    assert org.emulator.query("SELECT Id FROM Account") == []
    assert [each["httpStatusCode"] for each in composite(org, one, many)] == [201, 200]
    assert len(org.emulator.query("SELECT Id FROM Account")) == 2


def test_a_part_refers_into_the_results_of_a_collection(org: Client) -> None:
    records = [{"attributes": {"type": "Product2"}, "Name": "W", "IsActive": True, "Stripe_Product_Id__c": "prod_1"}]
    book = org.emulator.query("SELECT Id FROM Pricebook2 WHERE IsStandard = true")[0]["Id"]
    entry = {"Pricebook2Id": book, "Product2Id": "@{products[0].id}", "UnitPrice": 5, "Stripe_Price_Id__c": "price_1"}
    entries = [{"attributes": {"type": "PricebookEntry"}, **entry}]
    found = composite(
        org,
        part("products", "PATCH", "/composite/sobjects/Product2/Stripe_Product_Id__c", {"records": records}),
        part("entries", "PATCH", "/composite/sobjects/PricebookEntry/Stripe_Price_Id__c", {"records": entries}),
        all_or_none=True,
    )
    product, price = (each["body"][0]["id"] for each in found)
    assert org.emulator.record("PricebookEntry", price)["Product2Id"] == product


# /composite/batch


def test_a_batch_answers_each_part_by_itself(org: Client, stock: Catalogue) -> None:
    parts = [
        {"method": "GET", "url": "v67.0/sobjects/Account/describe"},
        {"method": "GET", "url": "/services/data/v67.0/query?q=SELECT+Id+FROM+Account"},
        {"method": "GET", "url": "v67.0/sobjects/Nothing__c/describe"},
        {"method": "PATCH", "url": f"v67.0/sobjects/Account/{stock.account}", "richInput": {"Phone": "1"}},
        {"method": "GET", "url": "v67.0/composite"},
    ]
    answer = org.post("/composite/batch", {"batchRequests": parts})
    assert (answer.status_code, answer.json()["hasErrors"]) == (200, True)
    results = answer.json()["results"]
    assert [each["statusCode"] for each in results] == [200, 200, 404, 204, 501]
    assert results[0]["result"]["name"] == "Account"
    assert results[1]["result"]["records"][0]["Id"] == stock.account
    assert (results[2]["result"][0]["errorCode"], results[3]["result"]) == ("NOT_FOUND", None)
    assert org.emulator.record("Account", stock.account)["Phone"] == "1"
    assert answer.headers["Sforce-Limit-Info"].startswith("api-usage=5/")


def test_a_batch_may_halt_at_its_first_error(org: Client) -> None:
    parts = [{"method": "GET", "url": f"v67.0/{path}"} for path in ("limits", "nothing", "limits", "limits")]
    results = org.post("/composite/batch", {"batchRequests": parts, "haltOnError": True}).json()["results"]
    assert [each["statusCode"] for each in results] == [200, 404, 412, 412]
    assert results[3]["result"][0]["errorCode"] == "BATCH_PROCESSING_HALTED"
    fine = org.post("/composite/batch", {"batchRequests": parts[:1], "haltOnError": True}).json()
    assert fine["hasErrors"] is False


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"batchRequests": [{"method": "GET", "url": "v67.0/limits"}] * 26}, "LIMIT_EXCEEDED"),
        ({"batchRequests": []}, "JSON_PARSER_ERROR"),
        ({"batchRequests": [{"method": "GET"}]}, "JSON_PARSER_ERROR"),
        ({"batchRequests": [{"method": "GET", "url": "v67.0/limits", "body": {}}]}, "JSON_PARSER_ERROR"),
        ({"batchRequests": [{"method": "GET", "url": "v67.0/limits"}], "allOrNone": True}, "JSON_PARSER_ERROR"),
        ({"batchRequests": [{"method": "GET", "url": "v67.0/limits"}], "haltOnError": 1}, "JSON_PARSER_ERROR"),
        ({"batchRequests": [{"method": "GET", "url": "v59.0/limits"}]}, "NOT_FOUND"),
    ],
)
def test_a_malformed_batch_is_refused_as_a_whole(org: Client, body: dict[str, Any], code: str) -> None:
    answer = org.post("/composite/batch", body)
    assert answer.json()[0]["errorCode"] == code
    assert answer.status_code in (400, 404)


# sObject Collections


def account(**fields: Any) -> dict[str, Any]:
    return {"attributes": {"type": "Account"}, **fields}


def test_a_collection_answers_in_order_and_keeps_the_good_ones(org: Client) -> None:
    records = [account(Name="A"), account(), {"attributes": {"type": "Product2"}, "Name": "W"}]
    first, second, third = org.post("/composite/sobjects", {"records": records}).json()
    assert (first["success"], first["errors"], third["success"]) == (True, [], True)
    assert second == {
        "success": False,
        "errors": [
            {"statusCode": "REQUIRED_FIELD_MISSING", "message": "Required fields are missing: [Name]", "fields": ["Name"]}
        ],
    }
    assert org.emulator.record("Product2", third["id"])["Name"] == "W"


def test_a_collection_may_be_all_or_none(org: Client) -> None:
    body = {"allOrNone": True, "records": [account(Name="A"), account()]}
    good, bad = org.post("/composite/sobjects", body).json()
    assert good["errors"][0]["statusCode"] == "ALL_OR_NONE_OPERATION_ROLLED_BACK"
    assert bad["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert org.emulator.query("SELECT Id FROM Account") == []


def test_a_collection_changes_and_deletes(org: Client, stock: Catalogue) -> None:
    other = org.emulator.create("Account", {"Name": "B"})
    records = [account(id=stock.account[:15], Phone="1"), account(id=other, Phone="2"), account(Phone="3")]
    changed = org.patch("/composite/sobjects", {"records": records}).json()
    assert [each.get("id") for each in changed] == [stock.account, other, None]
    assert changed[2]["errors"][0]["statusCode"] == "MISSING_ARGUMENT"
    assert org.emulator.record("Account", other)["Phone"] == "2"
    order, _ = activated(org.emulator, stock)
    gone, kept = org.delete("/composite/sobjects", params={"ids": f"{other},{order}"}).json()
    assert (gone["success"], kept["errors"][0]["statusCode"]) == (True, "DELETE_FAILED")


def test_a_collection_has_limits(org: Client) -> None:
    many = [account(Name="A")] * 201
    assert org.post("/composite/sobjects", {"records": many}).json()[0]["errorCode"] == "LIMIT_EXCEEDED"
    mixed = [account(Name="A"), {"attributes": {"type": "Product2"}, "Name": "W"}] * 6
    assert org.post("/composite/sobjects", {"records": mixed}).json()[0]["errorCode"] == "LIMIT_EXCEEDED"
    assert org.post("/composite/sobjects", {"records": [{"Name": "A"}]}).json()[0]["errorCode"] == "INVALID_TYPE"
    assert org.post("/composite/sobjects", {"records": {}}).json()[0]["errorCode"] == "JSON_PARSER_ERROR"
    (malformed,) = org.delete("/composite/sobjects", params={"ids": "xyz"}).json()
    assert malformed["errors"][0]["statusCode"] == "MALFORMED_ID"
    (unknown,) = org.post("/composite/sobjects", {"records": [{"attributes": {"type": "Foo"}}]}).json()
    assert unknown["errors"][0]["statusCode"] == "INVALID_TYPE"
    assert org.emulator.query("SELECT Id FROM Account") == []


# Upserts


def product(**fields: Any) -> dict[str, Any]:
    return {"attributes": {"type": "Product2"}, **fields}


def upsert(org: Client, *records: dict[str, Any], **flags: Any) -> list[dict[str, Any]]:
    answer = org.patch("/composite/sobjects/Product2/stripe_product_id__c", {"records": records, **flags})
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()
    return results


def test_a_collection_upserts_by_its_key(org: Client) -> None:
    (first,) = upsert(org, product(Name="A", Stripe_Product_Id__c="prod_1"))
    assert first == {"id": first["id"], "success": True, "errors": [], "created": True}
    again, new, bad = upsert(
        org,
        product(Name="A2", Stripe_Product_Id__c="prod_1"),
        product(Name="B", Stripe_Product_Id__c="prod_2"),
        product(Stripe_Product_Id__c="prod_3"),
    )
    assert again == {**first, "created": False}
    assert (new["created"], bad["errors"][0]["statusCode"], "created" in bad) == (True, "REQUIRED_FIELD_MISSING", False)
    assert org.emulator.record("Product2", first["id"])["Name"] == "A2"


def test_an_upserting_collection_may_be_all_or_none(org: Client) -> None:
    good, bad = upsert(
        org, product(Name="A", Stripe_Product_Id__c="prod_1"), product(Stripe_Product_Id__c="prod_2"), allOrNone=True
    )
    assert good["errors"][0]["statusCode"] == "ALL_OR_NONE_OPERATION_ROLLED_BACK"
    assert bad["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert org.emulator.query("SELECT Id FROM Product2") == []


def test_keys_that_are_missing_doubled_or_ambiguous_fail_their_records(org: Client) -> None:
    twice = [product(Name=name, Stripe_Product_Id__c="prod_1") for name in ("A", "B")]
    results = upsert(org, *twice, product(Name="C"), product(Name="D", Stripe_Product_Id__c="prod_2"))
    codes = [each["errors"][0]["statusCode"] if each["errors"] else None for each in results]
    assert codes == ["DUPLICATE_VALUE", "DUPLICATE_VALUE", "MISSING_ARGUMENT", None]
    assert results[0]["errors"][0]["message"] == "Duplicate external id specified: prod_1"
    org.emulator.add_field("Account", Field("Legacy__c", "string", length=20, external_id=True))
    for name in ("A", "B"):
        org.emulator.create("Account", {"Name": name, "Legacy__c": "7"})
    body = {"records": [account(Name="C", Legacy__c="7")]}
    (ambiguous,) = org.patch("/composite/sobjects/Account/Legacy__c", body).json()
    assert ambiguous["errors"][0]["statusCode"] == "DUPLICATE_EXTERNAL_ID"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("Product2/ProductCode", {"records": []}, 404, "NOT_FOUND"),
        ("Nothing__c/Key__c", {"records": []}, 404, "NOT_FOUND"),
        ("Product2/Stripe_Product_Id__c", {"records": [account(Name="A")]}, 400, "INVALID_TYPE"),
        ("Product2/Stripe_Product_Id__c", {"records": [product(Stripe_Product_Id__c="x")] * 201}, 400, "LIMIT_EXCEEDED"),
        ("Product2/Stripe_Product_Id__c", {"records": [], "collate": True}, 400, "JSON_PARSER_ERROR"),
    ],
)
def test_an_upserting_collection_is_refused_as_a_whole(
    org: Client, path: str, body: dict[str, Any], status: int, code: str
) -> None:
    answer = org.patch(f"/composite/sobjects/{path}", body)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (status, code)


def test_parents_are_named_by_their_keys_in_collections(org: Client, stock: Catalogue) -> None:
    org.emulator.update("Product2", stock.product, {"Stripe_Product_Id__c": "prod_1"})
    other = org.emulator.create("Product2", {"Name": "Gadget", "Stripe_Product_Id__c": "prod_2"})

    def entry(key: str, price: str) -> dict[str, Any]:
        return {
            "attributes": {"type": "PricebookEntry"},
            "Pricebook2Id": stock.book,
            "Product2": {"Stripe_Product_Id__c": key},
            "UnitPrice": 7,
            "Stripe_Price_Id__c": price,
        }

    records = [entry("prod_2", "price_2"), entry("prod_3", "price_3"), entry("prod_2", "price_4"), entry("prod_1", "price_1")]
    results = org.patch("/composite/sobjects/PricebookEntry/Stripe_Price_Id__c", {"records": records}).json()
    codes = [each["errors"][0]["statusCode"] if each["errors"] else None for each in results]
    # One price per product, book and currency: another code where the twin came in the same collection.
    assert codes == [None, "INVALID_FIELD", "DUPLICATE_VALUE", "FIELD_INTEGRITY_EXCEPTION"]
    assert org.emulator.record("PricebookEntry", results[0]["id"])["Product2Id"] == other
    (later,) = org.post("/composite/sobjects", {"records": [entry("prod_2", "price_4")]}).json()
    assert later["errors"][0]["statusCode"] == "FIELD_INTEGRITY_EXCEPTION"
