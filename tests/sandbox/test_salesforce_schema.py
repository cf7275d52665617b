"""The emulated org's schema: its options, objects of one's own, and what the integration user may see and write."""

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.salesforce_emulator import Field, SalesforceError
from tests.sandbox.salesforce_org import CLIENT, Catalogue, Client, activated, catalogue, draft, served


def described(org: Client, name: str) -> dict[str, dict[str, Any]]:
    return {field["name"]: field for field in org.get(f"/sobjects/{name}/describe").json()["fields"]}


def codes(org: Client, statement: str) -> str:
    answer = org.query(statement)
    return str(answer.json()[0]["errorCode"]) if answer.status_code != 200 else ""


# Describe


def test_describe_tells_what_a_field_takes(org: Client) -> None:
    entry, book = described(org, "PricebookEntry"), described(org, "Pricebook2")
    price = entry["UnitPrice"]
    assert (price["type"], price["precision"], price["scale"], price["nillable"]) == ("currency", 18, 8, False)
    for name in ("Product2Id", "Pricebook2Id", "CurrencyIsoCode"):
        assert (entry[name]["createable"], entry[name]["updateable"]) == (True, False)
    assert (entry["IsActive"]["defaultValue"], book["IsActive"]["defaultValue"]) == (False, False)
    assert (book["IsStandard"]["createable"], book["IsStandard"]["updateable"]) == (False, False)
    key = entry["Stripe_Price_Id__c"]
    assert (key["externalId"], key["unique"], key["caseSensitive"], key["length"]) == (True, True, True, 255)
    order = described(org, "Order")
    assert (order["PoNumber"]["length"], order["Stripe_Account__c"]["type"]) == (80, "string")
    for kind in ("BillToContact", "ShipToContact"):
        field = order[f"{kind}Id"]
        assert (field["relationshipName"], field["referenceTo"]) == (kind, ["Contact"])
    master = described(org, "Account")["MasterRecordId"]
    assert (master["createable"], master["updateable"], master["referenceTo"]) == (False, False, ["Account"])
    assert "Stripe_Account__c" not in described(org, "Contract")


def test_the_standard_book_is_one_and_inactive(org: Client) -> None:
    (book,) = org.emulator.query("SELECT Id, IsActive FROM Pricebook2 WHERE IsStandard = true")
    assert book["IsActive"] is False
    answer = org.post("/sobjects/Pricebook2", {"Name": "Second", "IsStandard": True})
    assert answer.json()[0]["errorCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"
    assert org.patch(f"/sobjects/Pricebook2/{book['Id']}", {"IsActive": True}).status_code == 204


def test_a_price_keeps_eight_decimals(org: Client, stock: Catalogue) -> None:
    org.patch(f"/sobjects/PricebookEntry/{stock.entry}", {"UnitPrice": 0.123456785})
    assert org.emulator.record("PricebookEntry", stock.entry)["UnitPrice"] == 0.12345679


def test_contacts_of_an_order_are_reached(org: Client, stock: Catalogue) -> None:
    contact = org.emulator.create("Contact", {"LastName": "Doe", "Email": "doe@acme.example", "AccountId": stock.account})
    draft(org.emulator, stock, BillToContactId=contact)
    (row,) = org.query("SELECT BillToContact.Email, ShipToContact.Email FROM Order").json()["records"]
    assert (row["BillToContact"]["Email"], row["ShipToContact"]) == ("doe@acme.example", None)


# Options


OPTIONAL = {
    "person_accounts": ("Account", ["IsPersonAccount", "PersonEmail", "FirstName", "LastName"]),
    "state_and_country_picklists": (
        "Account",
        ["BillingCountryCode", "BillingStateCode", "ShippingCountryCode", "ShippingStateCode"],
    ),
    "stripe_package": ("Account", ["stripeGC__Customer_Id__c"]),
    "multicurrency": ("Account", ["CurrencyIsoCode"]),
}


@pytest.mark.parametrize("option", OPTIONAL)
def test_fields_are_there_with_their_option_alone(option: str) -> None:
    name, fields = OPTIONAL[option]
    for on in (True, False):
        options: dict[str, Any] = {option: on}
        with served(**options) as org:
            assert (set(fields) <= described(org, name).keys()) is on
            assert bool(set(fields) & described(org, name).keys()) is on
            for field in fields:
                assert codes(org, f"SELECT {field} FROM {name}") == ("" if on else "INVALID_FIELD")
                if not on:
                    assert org.post(f"/sobjects/{name}", {field: "x"}).json()[0]["errorCode"] == "INVALID_FIELD"


@pytest.mark.parametrize(
    ("option", "names"),
    [
        ("multicurrency", ["CurrencyType"]),
        ("stripe_package", ["stripeGC__Product__c", "stripeGC__Price__c", "stripeGC__Stripe_Account__c"]),
    ],
)
def test_objects_are_there_with_their_option_alone(option: str, names: list[str]) -> None:
    for on in (True, False):
        options: dict[str, Any] = {option: on}
        with served(**options) as org:
            for name in names:
                assert codes(org, f"SELECT Id FROM {name}") == ("" if on else "INVALID_TYPE")


def test_a_person_account_is_named_by_its_parts() -> None:
    with served(person_accounts=True) as org:
        person = org.post("/sobjects/Account", {"FirstName": "Ada", "LastName": "Byron", "PersonEmail": "ada@example.com"})
        org.patch(f"/sobjects/Account/{person.json()['id']}", {"LastName": "King"})
        company = org.emulator.create("Account", {"Name": "Acme"})
        rows = org.emulator.query("SELECT Name, IsPersonAccount, PersonEmail FROM Account ORDER BY Name")
        found = [(row["Name"], row["IsPersonAccount"], row["PersonEmail"]) for row in rows]
        assert found == [("Acme", False, None), ("Ada King", True, "ada@example.com")]
        for record_id, fields, code in (
            (person.json()["id"], {"Name": "Ada"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
            (person.json()["id"], {"LastName": None}, "REQUIRED_FIELD_MISSING"),
            (company, {"PersonEmail": "acme@example.com"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
            (company, {"Name": None}, "REQUIRED_FIELD_MISSING"),
        ):
            answer = org.patch(f"/sobjects/Account/{record_id}", fields)
            assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)
        assert org.post("/sobjects/Account", {"PersonEmail": "x@example.com"}).status_code == 400


@pytest.fixture
def listed() -> Iterator[Client]:
    with served(state_and_country_picklists=True) as client:
        yield client


def address(org: Client, account: str) -> tuple[str | None, ...]:
    row = org.emulator.record("Account", account)
    return tuple(row[f"Billing{part}"] for part in ("CountryCode", "Country", "StateCode", "State"))


def test_codes_and_names_of_an_address_go_together(listed: Client) -> None:
    account = listed.post("/sobjects/Account", {"Name": "A", "BillingCountryCode": "us", "BillingStateCode": "NY"}).json()["id"]
    assert address(listed, account) == ("US", "United States", "NY", "New York")
    path = f"/sobjects/Account/{account}"
    assert listed.patch(path, {"BillingState": "texas"}).status_code == 204
    assert address(listed, account) == ("US", "United States", "TX", "Texas")
    assert listed.patch(path, {"BillingCountry": "Germany", "BillingState": None}).status_code == 204
    assert address(listed, account) == ("DE", "Germany", None, None)
    listed.patch(path, {"BillingCountryCode": "US", "BillingStateCode": "TX"})
    assert listed.patch(path, {"BillingCountryCode": None}).status_code == 204
    assert address(listed, account) == (None, None, None, None)
    fixed = listed.emulator.create("Account", {"Name": "B", "BillingCountryCode": "FR", "BillingCountry": "Germany"})
    assert address(listed, fixed)[:2] == ("FR", "France")


@pytest.mark.parametrize(
    "fields",
    [
        {"BillingCountryCode": "XX"},
        {"BillingCountry": "Deutschland"},
        {"BillingCountryCode": "DE", "BillingCountry": "France"},
        {"BillingStateCode": "ON"},
        {"BillingState": "Bavaria"},
        {"BillingCountryCode": "DE"},
        {"ShippingState": "Texas"},
    ],
)
def test_an_address_that_is_not_on_the_lists_is_refused(listed: Client, fields: dict[str, Any]) -> None:
    before = {"Name": "A", "BillingCountryCode": "US", "BillingStateCode": "TX"}
    account = listed.emulator.create("Account", before)
    answer = listed.patch(f"/sobjects/Account/{account}", fields)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "FIELD_INTEGRITY_EXCEPTION")
    assert address(listed, account) == ("US", "United States", "TX", "Texas")


def test_the_addresses_of_an_order_have_codes_too(listed: Client) -> None:
    stock = catalogue(listed.emulator)
    order = draft(listed.emulator, stock, ShippingCountryCode="JP")
    assert listed.emulator.record("Order", order)["ShippingCountry"] == "Japan"
    assert {"DE", "JP", "US"} <= {each["value"] for each in described(listed, "Order")["ShippingCountryCode"]["picklistValues"]}


# Objects of one's own


def test_a_log_entry_is_written_and_found_from_its_order(org: Client, stock: Catalogue) -> None:
    order = draft(org.emulator, stock)
    log = {"Order__c": order, "Message__c": "x" * 32768, "Started_At__c": "2026-11-20T10:00:00Z", "Outcome__c": "planned"}
    created = org.post("/sobjects/Sync_Log__c", log).json()["id"]
    assert created.startswith("a0A")
    statement = "SELECT Name, Order__r.OrderNumber, Contract__r.Id FROM Sync_Log__c"
    (row,) = org.query(statement).json()["records"]
    assert (row["Name"], row["Order__r"]["OrderNumber"], row["Contract__r"]) == ("00000001", "00000001", None)
    (parent,) = org.query("SELECT (SELECT Outcome__c FROM Sync_Logs__r) FROM Order").json()["records"]
    assert parent["Sync_Logs__r"]["records"][0]["Outcome__c"] == "planned"
    assert org.post("/sobjects/Sync_Log__c", {"Message__c": "x" * 32769}).json()[0]["errorCode"] == "STRING_TOO_LONG"
    describe = org.get("/sobjects/Sync_Log__c/describe").json()
    assert (describe["custom"], describe["keyPrefix"], describe["createable"]) == (True, "a0A", True)


def test_an_object_of_ones_own_is_written_described_and_queried(org: Client, stock: Catalogue) -> None:
    parent = Field("Account__c", "reference", references="Account", children="Plans__r")
    org.emulator.add_object("Plan__c", [parent, Field("Key__c", "string", length=20, external_id=True, unique=True)])
    plan = org.patch("/sobjects/Plan__c/Key__c/1", {"Name": "Gold", "Account__c": stock.account}).json()
    assert plan["created"]
    (row,) = org.query("SELECT Id, Account__r.Name FROM Plan__c").json()["records"]
    assert (row["Id"], row["Account__r"]["Name"]) == (plan["id"], "Acme")
    org.emulator.add_object("Tier__c")
    tier = org.emulator.create("Tier__c", {"Name": "First"})
    assert tier[:3] != plan["id"][:3]
    org.emulator.add_field("Order", Field("Tier__c", "reference", references="Tier__c"))
    draft(org.emulator, stock, Tier__c=tier)
    (row,) = org.query("SELECT Tier__r.Name FROM Order").json()["records"]
    assert row["Tier__r"]["Name"] == "First"
    org.emulator.reset()
    org.emulator.create("Tier__c", {"Name": "Setup stays"})


def test_objects_and_lookups_that_cannot_be_are_refused(org: Client) -> None:
    lookup = Field("Other__c", "reference", references="Other__c")
    with pytest.raises(ValueError, match="ends with __c"):
        org.emulator.add_object("Plan")
    with pytest.raises(ValueError, match="already"):
        org.emulator.add_object("sync_log__c")
    with pytest.raises(KeyError):
        org.emulator.add_object("Plan__c", [lookup])
    with pytest.raises(KeyError):
        org.emulator.add_field("Account", lookup)
    assert "Plan__c" not in {each["name"] for each in org.get("/sobjects").json()["sobjects"]}


# Access


def test_a_hidden_field_is_not_there(org: Client, stock: Catalogue) -> None:
    org.emulator.set_access("Product2", "Stripe_Product_Id__c", "family", level="none")
    assert not {"Stripe_Product_Id__c", "Family"} & described(org, "Product2").keys()
    answer = org.query("SELECT Stripe_Product_Id__c FROM Product2")
    assert answer.json()[0]["errorCode"] == "INVALID_FIELD"
    assert "No such column 'Stripe_Product_Id__c'" in answer.json()[0]["message"]
    assert codes(org, "SELECT Product2.Family FROM PricebookEntry") == "INVALID_FIELD"
    path = f"/sobjects/Product2/{stock.product}"
    assert "No such column 'Family'" in org.patch(path, {"Family": "x"}).json()[0]["message"]
    assert "Family" not in org.get(path).json()
    assert org.patch("/sobjects/Product2/Stripe_Product_Id__c/prod_1", {"Name": "A"}).status_code == 404
    # The row has the field all the same, and a person sees it.
    org.emulator.update("Product2", stock.product, {"Family": "Tools"})
    org.patch(path, {"Name": "New"})
    assert org.emulator.record("Product2", stock.product)["Family"] == "Tools"
    created = org.post("/sobjects/Product2", {"Name": "Other"}).json()["id"]
    assert org.emulator.record("Product2", created)["Family"] is None


def test_a_read_only_field_is_read(org: Client, stock: Catalogue) -> None:
    org.emulator.set_access("Account", "Phone", level="read")
    field = described(org, "Account")["Phone"]
    assert (field["createable"], field["updateable"], field["nillable"]) == (False, False, True)
    assert codes(org, "SELECT Phone FROM Account") == ""
    for answer in (
        org.patch(f"/sobjects/Account/{stock.account}", {"Phone": "1"}),
        org.post("/sobjects/Account", {"Name": "B", "Phone": "1"}),
    ):
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALID_FIELD_FOR_INSERT_UPDATE")
    org.emulator.update("Account", stock.account, {"Phone": "2"})
    assert org.emulator.record("Account", stock.account)["Phone"] == "2"
    org.emulator.set_access("Account", "Phone", level="edit")
    assert org.patch(f"/sobjects/Account/{stock.account}", {"Phone": "1"}).status_code == 204


def test_a_hidden_object_is_not_there(org: Client, stock: Catalogue) -> None:
    org.emulator.set_access("Contact", level="none")
    assert "Contact" not in {each["name"] for each in org.get("/sobjects").json()["sobjects"]}
    assert org.get("/sobjects/Contact/describe").status_code == 404
    assert codes(org, "SELECT Id FROM Contact") == "INVALID_TYPE"
    assert codes(org, "SELECT (SELECT Id FROM Contacts) FROM Account") == "INVALID_TYPE"
    assert codes(org, "SELECT BillToContact.Email FROM Order") == "INVALID_FIELD"
    assert codes(org, "SELECT BillToContactId FROM Order") == ""
    records = [{"attributes": {"type": "Contact"}, "LastName": "Doe"}]
    (result,) = org.post("/composite/sobjects", {"records": records}).json()
    assert result["errors"][0]["statusCode"] == "INVALID_TYPE"
    org.emulator.create("Contact", {"LastName": "Doe", "AccountId": stock.account})
    assert len(org.emulator.query("SELECT Id FROM Contact")) == 1


def test_an_object_may_be_read_alone(org: Client, stock: Catalogue) -> None:
    order, _ = activated(org.emulator, stock)
    org.emulator.set_access("Order", level="read")
    describe = org.get("/sobjects/Order/describe").json()
    assert (describe["createable"], describe["updateable"], describe["deletable"]) == (False, False, False)
    assert not any(field["createable"] or field["updateable"] for field in describe["fields"])
    assert codes(org, "SELECT Id FROM Order") == ""
    for answer in (
        org.patch(f"/sobjects/Order/{order}", {"PoNumber": "7"}),
        org.delete(f"/sobjects/Order/{order}"),
        org.post("/sobjects/Order", {}),
    ):
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (403, "INSUFFICIENT_ACCESS_OR_READONLY")
    records = [{"attributes": {"type": "Order"}, "Id": order, "PoNumber": "7"}]
    (result,) = org.patch("/composite/sobjects", {"records": records}).json()
    assert result["errors"][0]["statusCode"] == "INSUFFICIENT_ACCESS_OR_READONLY"
    org.emulator.reset()
    org.log_in(**CLIENT)
    assert org.get("/sobjects/Order/describe").json()["createable"] is False


def test_access_to_what_is_not_there_is_refused(org: Client) -> None:
    with pytest.raises(KeyError):
        org.emulator.set_access("Nothing__c", level="none")
    with pytest.raises(KeyError):
        org.emulator.set_access("Account", "Nothing__c", level="none")
    level: Any = "write"
    with pytest.raises(ValueError, match="level"):
        org.emulator.set_access("Account", level=level)


# Merged accounts


def test_a_merged_account_points_to_its_master_and_leaves_it_its_rows(org: Client, stock: Catalogue) -> None:
    other = org.emulator.create("Account", {"Name": "Acme Inc", "Stripe_Customer_Id__c": "cus_2"})
    contact = org.emulator.create("Contact", {"LastName": "Doe", "AccountId": other})
    contract = org.emulator.create("Contract", {"AccountId": other})
    order, _ = activated(org.emulator, stock, AccountId=other, ContractId=contract)
    refused = org.delete(f"/sobjects/Account/{other}").json()[0]
    assert refused["errorCode"] == "DELETE_FAILED"
    org.emulator.merge_accounts(stock.account, other)
    statement = "SELECT Id, MasterRecordId FROM Account WHERE IsDeleted = true"
    (gone,) = org.get("/queryAll", params={"q": statement}).json()["records"]
    assert (gone["Id"], gone["MasterRecordId"]) == (other, stock.account)
    assert [row["Id"] for row in org.emulator.query("SELECT Id FROM Account")] == [stock.account]
    for kind, record in (("Contact", contact), ("Contract", contract), ("Order", order)):
        assert org.emulator.record(kind, record)["AccountId"] == stock.account
    for answer in (org.get(f"/sobjects/Account/{other}"), org.patch(f"/sobjects/Account/{other}", {"Phone": "1"})):
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (404, "ENTITY_IS_DELETED")
    assert org.patch(f"/sobjects/Account/{stock.account}", {"Stripe_Customer_Id__c": "cus_2"}).status_code == 204


def test_an_account_is_merged_with_another_one_that_is_there(org: Client, stock: Catalogue) -> None:
    with pytest.raises(ValueError, match="itself"):
        org.emulator.merge_accounts(stock.account, stock.account[:15])
    gone = org.emulator.create("Account", {"Name": "Gone"})
    org.emulator.delete("Account", gone)
    for pair in ((stock.account, gone), (gone, stock.account)):
        with pytest.raises(SalesforceError, match="ENTITY_IS_DELETED"):
            org.emulator.merge_accounts(*pair)
    assert org.emulator.record("Account", stock.account)["IsDeleted"] is False


# Many rows


def test_an_index_finds_what_a_scan_finds(org: Client) -> None:
    ids = [
        org.emulator.create("Product2", {"Name": f"P{number}", "Stripe_Product_Id__c": f"prod_{number}"}) for number in range(6)
    ]
    org.emulator.delete("Product2", ids[5])
    found = {
        f"Id IN ('{ids[4]}', '{ids[0][:15]}', '{ids[5]}', '{ids[4]}')": [0, 4],
        "Stripe_Product_Id__c IN ('prod_3', 'PROD_2', 'nothing')": [3],
        "Stripe_Product_Id__c = 'prod_1' AND Name = 'P2'": [],
        "Name != 'P0' AND Stripe_Product_Id__c IN ('prod_0', 'prod_1') AND Name LIKE 'P%'": [1],
        f"Id = '{ids[1]}' OR Name = 'P2'": [1, 2],
        f"Id NOT IN ('{ids[0]}', '{ids[1]}', '{ids[2]}')": [3, 4],
        "Stripe_Product_Id__c IN ('prod_1', null)": [1],
        f"Name IN ('p0', 'P1') AND CreatedById = '{org.emulator.person_id}'": [0, 1],
        "Stripe_Product_Id__c = null": [],
    }
    for where, numbers in found.items():
        rows = org.emulator.query(f"SELECT Id FROM Product2 WHERE {where}")
        assert [row["Id"] for row in rows] == [ids[number] for number in numbers], where
    everything = {"q": f"SELECT Id FROM Product2 WHERE Id IN ('{ids[5]}', '{ids[0]}')"}
    assert [row["Id"] for row in org.get("/queryAll", params=everything).json()["records"]] == [ids[0], ids[5]]
