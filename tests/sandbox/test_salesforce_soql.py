"""SOQL in the emulated org: what is found, in which shape and order, and what is refused."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simple_salesforce.format import format_soql

from sandbox.salesforce_emulator import SalesforceEmulator, SalesforceError
from sandbox.salesforce_emulator.soql.parser import parse
from sandbox.salesforce_emulator.soql.syntax import Comparison
from tests.sandbox.salesforce_org import VERSION, Client, activated, catalogue, draft, line, served

CITIES = {"Ark": "Berlin", "bolt": "berlin", "Coil": None, "Dyn 50%": "Bern", "O'Neil_": "Basel"}


@pytest.fixture(scope="module")
def org() -> Iterator[Client]:
    """Five accounts; one contract with an activated order of two lines; a draft without lines a day later."""
    with served() as client:
        emulator = client.emulator
        for name, city in CITIES.items():
            emulator.create("Account", {"Name": name, "BillingCity": city})
        stock = catalogue(emulator)
        contract = emulator.create("Contract", {"AccountId": stock.account, "SpecialTerms": "none"})
        order = draft(emulator, stock, ContractId=contract, EndDate="2027-12-31", Stripe_Days_Until_Due__c=30)
        emulator.create("OrderItem", line(stock, order, Quantity=1, ServiceDate="2027-03-01"))
        emulator.create("OrderItem", line(stock, order, Quantity=5))
        emulator.update("Order", order, {"Status": "Activated"})
        emulator.clock.advance(timedelta(days=1))
        client.log_in(client_id="3MVG9.client", client_secret="C11E27")
        draft(emulator, stock, EffectiveDate="2027-06-01")
        yield client


def names(org: Client, where: str) -> list[str]:
    return [row["Name"] for row in org.emulator.query(f"SELECT Name FROM Account WHERE {where} ORDER BY Name")]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("Name = 'ark'", ["Ark"]),
        ("name != 'Ark' AND NAME <> 'BOLT' AND Name != 'acme'", ["Coil", "Dyn 50%", "O'Neil_"]),
        ("BillingCity = 'BERLIN'", ["Ark", "bolt"]),
        ("BillingCity = null AND Name != 'Acme'", ["Coil"]),
        ("BillingCity = '' AND Name != 'Acme'", ["Coil"]),
        ("BillingCity != null", ["Ark", "bolt", "Dyn 50%", "O'Neil_"]),
        ("BillingCity != 'Berlin' AND Name != 'Acme'", ["Coil", "Dyn 50%", "O'Neil_"]),
        ("(NOT BillingCity = 'Berlin') AND Name != 'Acme'", ["Coil", "Dyn 50%", "O'Neil_"]),
        ("NOT (BillingCity = 'Berlin' OR BillingCity = null)", ["Dyn 50%", "O'Neil_"]),
        ("BillingCity LIKE 'ber%'", ["Ark", "bolt", "Dyn 50%"]),
        ("BillingCity LIKE 'ber_'", ["Dyn 50%"]),
        (r"Name LIKE '%\%'", ["Dyn 50%"]),
        (r"Name LIKE '%\_'", ["O'Neil_"]),
        (r"Name = 'O\'Neil_'", ["O'Neil_"]),
        (r"Name = 'O\u0027Neil\u005f'", ["O'Neil_"]),
        ("Name IN ('ARK', 'Coil', 'none')", ["Ark", "Coil"]),
        ("BillingCity NOT IN ('Berlin', 'Bern') AND Name != 'Acme'", ["Coil", "O'Neil_"]),
        ("BillingCity IN (null, 'Bern') AND Name != 'Acme'", ["Coil", "Dyn 50%"]),
        ("Name >= 'c' AND Name < 'e'", ["Coil", "Dyn 50%"]),
        ("BillingCity < 'bern'", ["Ark", "bolt", "O'Neil_"]),
        ("(Name = 'Ark' OR Name = 'Coil') AND BillingCity = null", ["Coil"]),
        ("IsDeleted = false AND Name LIKE 'A%'", ["Acme", "Ark"]),
        ("CreatedDate = TODAY", []),
        ("CreatedDate < TODAY AND Name = 'Ark'", ["Ark"]),
        ("CreatedDate != TODAY AND Name = 'Ark'", ["Ark"]),
        ("CreatedDate >= TODAY", []),
        ("CreatedDate <= TODAY AND Name = 'Ark'", ["Ark"]),
        ("CreatedDate > TODAY", []),
        ("CreatedDate = 2026-11-20T11:00:00+01:00 AND Name = 'Ark'", ["Ark"]),
        ("CreatedDate > 2026-11-20T09:59:59.999Z AND Name = 'Ark'", ["Ark"]),
        ("Id IN (SELECT AccountId FROM Order WHERE Contract.Status = 'draft')", ["Acme"]),
        ("Id NOT IN (SELECT AccountId FROM Order) AND Name < 'b'", ["Ark"]),
    ],
)
def test_conditions(org: Client, where: str, found: list[str]) -> None:
    assert names(org, where) == sorted(found, key=str.casefold)


def test_numbers_and_dates_compare_as_such(org: Client) -> None:
    def quantities(where: str) -> list[float]:
        return [
            row["Quantity"] for row in org.emulator.query(f"SELECT Quantity FROM OrderItem WHERE {where} ORDER BY Quantity")
        ]

    assert quantities("Quantity > 1") == [5.0]
    assert quantities("Quantity <= 5.00") == [1.0, 5.0]
    assert quantities("Quantity > -2 AND ServiceDate = 2027-03-01") == [1.0]
    assert quantities("ServiceDate > 2027-01-01") == [1.0]
    assert quantities("ServiceDate > TODAY") == [1.0]
    assert quantities("ServiceDate = null") == [5.0]
    assert quantities("Order.EndDate = 2027-12-31") == [1.0, 5.0]
    assert quantities("Order.Contract.Account.Name = 'ACME' AND UnitPrice = 90") == [1.0, 5.0]


def test_ids_match_in_both_lengths_and_with_case(org: Client) -> None:
    (order,) = org.emulator.query("SELECT Id, ContractId FROM Order WHERE ContractId != null")
    for text in (order["Id"], order["Id"][:15]):
        assert len(org.emulator.query(f"SELECT Id FROM OrderItem WHERE OrderId = '{text}'")) == 2
        assert len(org.emulator.query(f"SELECT Id FROM OrderItem WHERE OrderId IN ('{text}')")) == 2
    assert org.emulator.query(f"SELECT Id FROM Order WHERE Id = '{order['Id'][:15].swapcase()}'") == []
    joined = f"SELECT Id FROM OrderItem WHERE OrderId IN (SELECT Id FROM Order WHERE ContractId = '{order['ContractId']}')"
    assert len(org.emulator.query(joined)) == 2


def test_order_limit_and_offset(org: Client) -> None:
    def cities(clauses: str) -> list[Any]:
        rows = org.emulator.query(f"SELECT Name, BillingCity FROM Account WHERE Name != 'Acme' {clauses}")
        return [row["BillingCity"] for row in rows]

    assert cities("ORDER BY BillingCity, Name") == [None, "Basel", "Berlin", "berlin", "Bern"]
    assert cities("ORDER BY BillingCity DESC, Name DESC") == [None, "Bern", "berlin", "Berlin", "Basel"]
    assert cities("ORDER BY BillingCity ASC NULLS LAST, Name DESC") == ["Basel", "berlin", "Berlin", "Bern", None]
    assert cities("ORDER BY BillingCity DESC NULLS LAST LIMIT 1") == ["Bern"]
    assert cities("ORDER BY Name LIMIT 2 OFFSET 1") == ["berlin", None]
    assert cities("ORDER BY Owner.Username, Name OFFSET 4") == ["Basel"]


def test_a_record_has_parents_and_children_nested(org: Client) -> None:
    statement = (
        "SELECT id, Account.Name, Contract.Account.Name, Contract.SpecialTerms, Stripe_Days_Until_Due__c, "
        "(SELECT Quantity, Order.Status FROM OrderItems WHERE Quantity > 1 ORDER BY Quantity LIMIT 1) "
        "FROM Order ORDER BY OrderNumber"
    )
    answer = org.query(statement).json()
    first, second = answer["records"]
    assert list(first) == ["attributes", "Id", "Account", "Contract", "Stripe_Days_Until_Due__c", "OrderItems"]
    assert first["attributes"] == {"type": "Order", "url": f"{VERSION}/sobjects/Order/{first['Id']}"}
    assert (first["Account"]["attributes"]["type"], first["Account"]["Name"]) == ("Account", "Acme")
    assert (first["Contract"]["Account"]["Name"], first["Contract"]["SpecialTerms"]) == ("Acme", "none")
    assert first["Stripe_Days_Until_Due__c"] == 30.0
    assert (first["OrderItems"]["totalSize"], first["OrderItems"]["done"]) == (1, True)
    assert first["OrderItems"]["records"][0]["Quantity"] == 5.0
    assert first["OrderItems"]["records"][0]["Order"]["Status"] == "Activated"
    assert (second["Contract"], second["OrderItems"]) == (None, None)


def test_count_answers_a_number(org: Client) -> None:
    answer = org.query("SELECT COUNT() FROM OrderItem WHERE Quantity = 5").json()
    assert answer == {"totalSize": 1, "done": True, "records": []}


def test_the_objects_own_name_may_stand_before_its_fields(org: Client) -> None:
    assert len(org.emulator.query("SELECT Order.Id FROM Order WHERE Order.Status = 'Draft'")) == 1


@pytest.mark.parametrize(
    ("statement", "code", "text"),
    [
        ("", "MALFORMED_QUERY", "empty"),
        ("SELECT Id", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("SELECT Id FORM Order", "MALFORMED_QUERY", "ERROR at Row:1:Column:11\nunexpected token: 'FORM'"),
        ("SELECT Id, FROM Order", "MALFORMED_QUERY", "unexpected token: 'FROM'"),
        ("SELECT Id FROM Order WHERE Name = 'a", "MALFORMED_QUERY", "unexpected token"),
        (r"SELECT Id FROM Order WHERE Name = 'a\q'", "MALFORMED_QUERY", "escape"),
        (r"SELECT Id FROM Order WHERE Name = 'a\%'", "MALFORMED_QUERY", "escape"),
        (r"SELECT Id FROM Order WHERE Name LIKE 'a\q'", "MALFORMED_QUERY", "escape"),
        ("SELECT Id FROM Order WHERE Name LIKE 5", "MALFORMED_QUERY", "unexpected token: '5'"),
        ("SELECT Id FROM 'Order'", "MALFORMED_QUERY", "unexpected token: 'Order'"),
        ('SELECT Id FROM Order WHERE Name = "a"', "MALFORMED_QUERY", "unexpected token"),
        ("SELECT Id FROM Order WHERE Name = a", "MALFORMED_QUERY", "unexpected token: 'a'"),
        ("SELECT Id FROM Order WHERE Name = :a", "MALFORMED_QUERY", "unexpected token: ':'"),
        ("SELECT Id FROM Order WHERE Name == 'a'", "MALFORMED_QUERY", "unexpected token: '='"),
        ("SELECT Id FROM Order WHERE Name IN ()", "MALFORMED_QUERY", "unexpected token: ')'"),
        ("SELECT Id FROM Order WHERE EffectiveDate = 2027-02-30", "MALFORMED_QUERY", "2027-02-30"),
        ("SELECT Id FROM Order WHERE CreatedDate > 2027-01-01T00:00:00", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT Id FROM Order WHERE Name = 'a' AND Name = 'b' OR Name = 'c'", "MALFORMED_QUERY", "unexpected token: 'OR'"),
        ("SELECT Id FROM Order WHERE Name = 'a' OR Name = 'b' AND Name = 'c'", "MALFORMED_QUERY", "unexpected token: 'AND'"),
        ("SELECT Id FROM Order WHERE Name = 'a' AND NOT (Name = 'b')", "MALFORMED_QUERY", "unexpected token: 'NOT'"),
        ("SELECT Id FROM Order WHERE NOT Name = 'a' AND Name = 'b'", "MALFORMED_QUERY", "unexpected token: 'AND'"),
        ("SELECT Id FROM Order ORDER BY Name LIMIT 1 WHERE Name = 'a'", "MALFORMED_QUERY", "unexpected token: 'WHERE'"),
        ("SELECT Id FROM Order LIMIT 1.5", "MALFORMED_QUERY", "unexpected token: '1.5'"),
        ("SELECT COUNT(), Id FROM Order", "MALFORMED_QUERY", "unexpected token: ','"),
        ("SELECT Id, (SELECT Id FROM OrderItems OFFSET 1) FROM Order", "MALFORMED_QUERY", "OFFSET"),
        ("SELECT Id FROM Order OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000"),
        (f"SELECT Id FROM Order WHERE Name = '{'x' * 4001}'", "MALFORMED_QUERY", "4000"),
        (
            "SELECT Foo__c FROM Order",
            "INVALID_FIELD",
            "No such column 'Foo__c' on entity 'Order'. If you are attempting to use",
        ),
        ("SELECT Id FROM Order WHERE Foo = 1", "INVALID_FIELD", "No such column 'Foo' on entity 'Order'"),
        ("SELECT Id, (SELECT Id FROM Contacts WHERE Foo = 1) FROM Account WHERE Name = 'x'", "INVALID_FIELD", "'Foo'"),
        ("SELECT Id, (SELECT Id FROM Contacts ORDER BY Foo) FROM Account WHERE Name = 'x'", "INVALID_FIELD", "'Foo'"),
        ("SELECT Id, (SELECT COUNT() FROM Contacts) FROM Account", "MALFORMED_QUERY", "COUNT()"),
        ("SELECT Id, (SELECT Id FROM Contacts), (SELECT Id FROM Contacts) FROM Account", "MALFORMED_QUERY", "duplicate"),
        ("SELECT Id FROM Order ORDER BY Foo", "INVALID_FIELD", "No such column 'Foo' on entity 'Order'"),
        ("SELECT Account FROM Order", "INVALID_FIELD", "No such column 'Account' on entity 'Order'"),
        ("SELECT Id, id FROM Order", "INVALID_FIELD", "duplicate field selected: id"),
        ("SELECT Plan.Name FROM Order", "INVALID_FIELD", "Didn't understand relationship 'Plan' in field path"),
        ("SELECT Id FROM Foo", "INVALID_TYPE", "sObject type 'Foo' is not supported"),
        (
            "SELECT Id, (SELECT Id FROM OrderItem) FROM Order",
            "INVALID_TYPE",
            "Didn't understand relationship 'OrderItem' in FROM",
        ),
        ("SELECT Id FROM Order WHERE Id = 'x'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: x"),
        ("SELECT Id FROM Order WHERE Id LIKE '801%'", "INVALID_QUERY_FILTER_OPERATOR", "invalid operator on id field"),
        ("SELECT Id FROM Order WHERE EffectiveDate < null", "INVALID_QUERY_FILTER_OPERATOR", "invalid operator on date field"),
        ("SELECT Id FROM Order WHERE IsDeleted > false", "INVALID_QUERY_FILTER_OPERATOR", "invalid operator on boolean field"),
        (
            "SELECT Id FROM Order WHERE EffectiveDate = '2027-01-01'",
            "INVALID_FIELD",
            "must be of type date and should not be enclosed",
        ),
        ("SELECT Id FROM Order WHERE CreatedDate = 2027-01-01", "INVALID_FIELD", "must be of type dateTime and should not be"),
        ("SELECT Id FROM Order WHERE Name = 1", "INVALID_FIELD", "must be of type string and should be enclosed in quotes"),
        ("SELECT Id FROM Order WHERE TotalAmount = TODAY", "INVALID_FIELD", "must be of type currency"),
        ("SELECT Id FROM Order WHERE Stripe_Sync_Message__c = 'x'", "INVALID_FIELD", "can not be filtered in a query call"),
        ("SELECT Id FROM Order ORDER BY Stripe_Sync_Message__c", "INVALID_FIELD", "can not be sorted in a query call"),
    ],
)
def test_refusals(org: Client, statement: str, code: str, text: str) -> None:
    answer = org.query(statement)
    assert answer.status_code == 400
    (error,) = answer.json()
    assert error["errorCode"] == code
    assert text in error["message"]


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("ContractId IN (SELECT Order.ContractId FROM OrderItem)", "plain id fields"),
        ("Contract.AccountId IN (SELECT Id FROM Account)", "plain id fields"),
        ("Name IN (SELECT Id FROM Account)", "plain id fields"),
        ("Id IN (SELECT Quantity FROM OrderItem)", "plain id fields"),
        ("Id IN (SELECT OriginalOrderId FROM Order)", "same object type"),
        ("Id IN (SELECT Id FROM Account)", "should point to the same object type"),
        ("Id IN (SELECT OrderId FROM OrderItem) OR Name = 'a'", "'OR'"),
        ("Name = 'a' AND (Name = 'b' OR Id IN (SELECT OrderId FROM OrderItem))", "'OR'"),
        ("NOT Id IN (SELECT OrderId FROM OrderItem)", "'NOT'"),
        ("Id IN (SELECT OrderId FROM OrderItem LIMIT 1)", "LIMIT"),
        ("Id IN (SELECT OrderId, Id FROM OrderItem)", "one field"),
        ("Id IN (SELECT COUNT() FROM OrderItem)", "one field"),
        ("Id IN (SELECT OrderId FROM OrderItem WHERE Product2Id IN (SELECT Id FROM Product2))", "Nesting"),
        (" AND ".join(["Id IN (SELECT OrderId FROM OrderItem)"] * 3), "Maximum 2"),
    ],
)
def test_semi_joins_that_salesforce_refuses(org: Client, where: str, text: str) -> None:
    (error,) = org.query(f"SELECT Id FROM Order WHERE {where}").json()
    assert error["errorCode"] == "MALFORMED_QUERY"
    assert text in error["message"]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT Status FROM Order GROUP BY Status",
        "SELECT FIELDS(ALL) FROM Order LIMIT 200",
        "SELECT COUNT(Id) FROM Order",
        "SELECT MAX(TotalAmount) FROM Order",
        "SELECT toLabel(Status) FROM Order",
        "SELECT TYPEOF Owner WHEN User THEN Id END FROM Order",
        "SELECT Id FROM Order o",
        "SELECT Id FROM Order FOR UPDATE",
        "SELECT Id FROM Order WITH SECURITY_ENFORCED",
        "SELECT Id FROM Order WHERE EffectiveDate = LAST_N_DAYS:30",
        "SELECT Id FROM Order WHERE EffectiveDate = YESTERDAY",
        "SELECT Id FROM Order WHERE CALENDAR_YEAR(EffectiveDate) = 2027",
        "SELECT Id FROM Order WHERE Type INCLUDES ('a')",
        "SELECT Id, (SELECT Id, (SELECT Id FROM OrderItems) FROM Orders) FROM Contract",
        "SELECT BillingAddress FROM Order",
        "SELECT Quote.Name FROM Order",
    ],
)
def test_what_is_left_out_is_refused_as_such(org: Client, statement: str) -> None:
    answer = org.query(statement)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (501, "EMULATOR_NOT_MODELLED")


def test_a_path_has_at_most_five_parents(org: Client) -> None:
    five = ".".join(["OriginalOrderItem"] * 5)
    assert len(org.emulator.query(f"SELECT {five}.Id FROM OrderItem")) == 2
    with pytest.raises(SalesforceError, match="at most 5"):
        org.emulator.query(f"SELECT {five}.Order.Id FROM OrderItem")


def test_a_statement_has_a_longest_length() -> None:
    with pytest.raises(SalesforceError, match="100000"):
        parse(f"SELECT Id FROM Order WHERE Name = 'a'{' ' * 100_000}")


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_a_literal_written_by_the_usual_client_means_its_text(text: str) -> None:
    where = parse(format_soql("SELECT Id FROM Account WHERE Name = {}", text)).where
    assert isinstance(where, Comparison)
    assert where.literal.value == text


@given(st.text("aA%_\\'\n", max_size=4), st.text("aA%_\\'\n", max_size=4))
def test_a_like_literal_written_by_the_usual_client_matches_its_text_alone(text: str, other: str) -> None:
    where = parse(format_soql("SELECT Id FROM Account WHERE Name LIKE '{:like}'", text)).where
    assert isinstance(where, Comparison)
    pattern: Any = where.literal.value
    assert pattern.fullmatch(text)
    assert bool(pattern.fullmatch(other)) == (other.casefold() == text.casefold())


def test_without_order_by_rows_come_as_they_were_created() -> None:
    emulator = SalesforceEmulator(client_id="a", client_secret="b")
    _, item = activated(emulator, catalogue(emulator))
    assert [row["Id"] for row in emulator.query("SELECT Id FROM OrderItem")] == [item]
