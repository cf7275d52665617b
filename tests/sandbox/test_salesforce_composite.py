"""Calls that bundle others: `/composite` with its references, and sObject Collections."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sandbox.salesforce_org import VERSION, Catalogue, Client, activated, catalogue, draft, line, served


@pytest.fixture
def org() -> Iterator[Client]:
    with served() as client:
        yield client


@pytest.fixture
def stock(org: Client) -> Catalogue:
    return catalogue(org.emulator)


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
    failing = {"records": [{"attributes": {"type": "Account"}}]}
    body = {"allOrNone": True, "compositeRequest": [part("many", "POST", "/composite/sobjects", failing)]}
    assert org.post("/composite", body).status_code == 501


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
