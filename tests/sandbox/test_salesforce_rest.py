"""The REST API of the emulated org: tokens, rows, keys, pages, describe, limits, faults."""

import base64
from datetime import timedelta
from decimal import Decimal
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from requests.adapters import HTTPAdapter
from simple_salesforce.api import Salesforce

from sandbox.salesforce_emulator import Field, SalesforceError
from tests.sandbox.salesforce_org import CLIENT, NOW, VERSION, Catalogue, Client, activated, catalogue, draft, line, served


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


# Tokens


def test_a_token_is_issued_for_credentials_in_the_body_or_the_header(org: Client) -> None:
    answer = org.log_in(**CLIENT)
    token = answer.json()
    assert (token["token_type"], token["instance_url"], "expires_in" in token) == ("Bearer", org.url, False)
    assert token["id"].endswith(f"{org.emulator.org_id}/{org.emulator.integration_user_id}")
    basic = base64.b64encode(f"{CLIENT['client_id']}:{CLIENT['client_secret']}".encode()).decode()
    assert org.log_in().json()["error"] == "invalid_client_id"
    org.session.headers["Authorization"] = f"Basic {basic}"
    assert org.log_in().status_code == 200
    org.emulator.instance_url = "https://acme.my.salesforce.example"
    assert org.log_in(**CLIENT).json()["instance_url"] == "https://acme.my.salesforce.example"


def test_a_person_has_a_client_of_its_own() -> None:
    person = {"client_id": "person", "client_secret": "person's"}
    with served(person=("person", "person's")) as org:
        org.emulator.set_access("Account", level="none")
        assert org.log_in(**person | {"client_secret": CLIENT["client_secret"]}).json()["error"] == "invalid_client"
        assert org.log_in(**person).json()["id"].endswith(org.emulator.person_id)
        made = org.post("/sobjects/Account", {"Name": "A"}).json()["id"]
        assert org.emulator.record("Account", made)["CreatedById"] == org.emulator.person_id
        org.log_in(**CLIENT)
        assert org.post("/sobjects/Account", {"Name": "B"}).status_code == 404


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({**CLIENT, "client_secret": "wrong"}, "invalid_client"),
        ({**CLIENT, "client_id": "wrong"}, "invalid_client_id"),
        ({**CLIENT, "grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "x"}, "invalid_grant"),
    ],
)
def test_the_token_endpoint_refuses_with_an_object(org: Client, form: dict[str, str], error: str) -> None:
    answer = org.log_in(**form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert "error_description" in answer.json()


def test_the_token_endpoint_takes_forms_alone(org: Client) -> None:
    answer = org.post("/services/oauth2/token", {"grant_type": "client_credentials", **CLIENT})
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")
    org.session.headers["Authorization"] = "Basic ?"
    assert org.log_in(**CLIENT).json()["error"] == "invalid_client"


def test_a_token_is_good_until_it_expires_or_is_revoked(org: Client) -> None:
    org.emulator.clock.advance(timedelta(seconds=7199))
    assert org.get("/limits").status_code == 200
    org.emulator.clock.advance(timedelta(seconds=1))
    expired = org.get("/limits")
    assert expired.status_code == 401
    assert expired.json() == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
    org.log_in(**CLIENT)
    assert org.get("/limits").status_code == 200
    org.emulator.revoke_tokens()
    assert org.get("/limits").status_code == 401


def claims(**changes: Any) -> dict[str, Any]:
    base = {
        "iss": CLIENT["client_id"],
        "sub": "integration@orderphase.example",
        "aud": "https://login.salesforce.com",
        "exp": int(NOW.timestamp()) + 180,
    }
    return {**base, **changes}


def bearer(org: Client, key: rsa.RSAPrivateKey, **changes: Any) -> requests.Response:
    grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    return org.log_in(grant_type=grant, assertion=jwt.encode(claims(**changes), key, algorithm="RS256"))


def test_the_jwt_bearer_flow_checks_signature_and_claims(key: rsa.RSAPrivateKey) -> None:
    with served(public_key=pem(key)) as org:
        assert bearer(org, key).status_code == 200
        assert org.get("/limits").status_code == 200
        assert bearer(org, key, aud=org.url).status_code == 200
        stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        assert bearer(org, stranger).json() == {"error": "invalid_grant", "error_description": "invalid assertion"}
        assert bearer(org, key, iss="someone").json()["error"] == "invalid_client_id"
        assert bearer(org, key, sub="someone").json()["error_description"] == "user hasn't approved this consumer"
        assert bearer(org, key, aud="https://elsewhere.example").json()["error_description"] == "audience is invalid"
        for moment in (0, 301):
            assert bearer(org, key, exp=int(NOW.timestamp()) + moment).json()["error"] == "invalid_grant"


# Resources


def test_versions_are_public_and_the_rest_is_not(org: Client) -> None:
    del org.session.headers["Authorization"]
    found = org.get("/services/data/").json()
    assert {"label": "Spring '26", "url": "/services/data/v66.0", "version": "66.0"} in found
    assert org.get("/limits").status_code == 401
    assert org.get("/services/data/v67.0/sobjects").status_code == 401


def test_calls_are_counted(org: Client) -> None:
    assert org.get("/limits").headers["Sforce-Limit-Info"] == "api-usage=1/100000"
    assert org.get("/sobjects/Order/nothing").headers["Sforce-Limit-Info"] == "api-usage=2/100000"
    assert org.get("/limits").json() == {"DailyApiRequests": {"Max": 100000, "Remaining": 99997}}


def test_describe_tells_fields_and_relationships(org: Client) -> None:
    assert "OrderItem" in {each["name"] for each in org.get("/sobjects").json()["sobjects"]}
    order = org.get("/sobjects/Order/describe").json()
    fields = {field["name"]: field for field in order["fields"]}
    assert fields["Stripe_Sync_Status__c"]["custom"] is True
    assert [value["value"] for value in fields["Stripe_Sync_Status__c"]["picklistValues"]][:2] == ["Pending", "Synced"]
    assert (fields["IsReductionOrder"]["createable"], fields["IsReductionOrder"]["updateable"]) == (True, False)
    assert (fields["AccountId"]["referenceTo"], fields["AccountId"]["relationshipName"]) == (["Account"], "Account")
    assert {"childSObject": "OrderItem", "field": "OrderId", "relationshipName": "OrderItems"} in order["childRelationships"]
    product = {field["name"]: field for field in org.get("/sobjects/product2/describe").json()["fields"]}
    assert (product["Stripe_Product_Id__c"]["externalId"], product["Stripe_Product_Id__c"]["unique"]) == (True, True)


def test_a_row_is_created_read_changed_and_deleted(org: Client) -> None:
    created = org.post("/sobjects/Account", {"Name": " Acme ", "Phone": ""})
    assert created.status_code == 201
    account = created.json()["id"]
    assert created.json() == {"id": account, "success": True, "errors": []}
    assert created.headers["Location"] == f"{VERSION}/sobjects/Account/{account}"
    row = org.get(f"/sobjects/Account/{account}", params={"fields": "name, Phone"}).json()
    assert row == {
        "attributes": {"type": "Account", "url": f"{VERSION}/sobjects/Account/{account}"},
        "Name": "Acme",
        "Phone": None,
        "Id": account,
    }
    org.emulator.clock.advance(timedelta(seconds=5))
    changed = org.patch(f"/sobjects/account/{account[:15]}", {"Website": "https://acme.example"})
    assert (changed.status_code, changed.content) == (204, b"")
    full = org.get(f"/sobjects/Account/{account[:15]}").json()
    assert (full["Name"], full["Website"], full["Id"]) == ("Acme", "https://acme.example", account)
    assert (full["CreatedDate"], full["LastModifiedDate"]) == ("2026-11-20T10:00:00.000+0000", "2026-11-20T10:00:05.000+0000")
    assert org.patch(f"/sobjects/Account/{account}", {"Website": None}).status_code == 204
    assert org.get(f"/sobjects/Account/{account}").json()["Website"] is None
    assert org.delete(f"/sobjects/Account/{account}").status_code == 204


def test_a_deleted_row_is_gone_but_for_query_all(org: Client) -> None:
    account = org.emulator.create("Account", {"Name": "Gone"})
    org.emulator.delete("Account", account)
    for answer in (
        org.get(f"/sobjects/Account/{account}"),
        org.delete(f"/sobjects/Account/{account}"),
        org.patch(f"/sobjects/Account/{account}", {"Name": "Back"}),
    ):
        assert answer.status_code == 404
        assert answer.json() == [{"message": "entity is deleted", "errorCode": "ENTITY_IS_DELETED", "fields": []}]
    statement = {"q": "SELECT Id, IsDeleted FROM Account"}
    assert org.get("/query", params=statement).json()["records"] == []
    (row,) = org.get("/queryAll", params=statement).json()["records"]
    assert (row["Id"], row["IsDeleted"]) == (account, True)


def test_a_deleted_line_is_gone_for_query_all_too(org: Client, stock: Catalogue) -> None:
    item = org.emulator.create("OrderItem", line(stock, draft(org.emulator, stock)))
    org.emulator.delete("OrderItem", item)
    assert org.get("/queryAll", params={"q": "SELECT Id FROM OrderItem"}).json()["totalSize"] == 0


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/sobjects/Order/801Ah0000000099IAA", 404, "NOT_FOUND"),
        ("GET", "/sobjects/Order/what", 404, "NOT_FOUND"),
        ("GET", "/sobjects/Nothing__c/801Ah0000000099IAA", 404, "NOT_FOUND"),
        ("GET", "/nothing", 404, "NOT_FOUND"),
        ("GET", "/services/data/v20.0/limits", 404, "NOT_FOUND"),
        ("GET", "/sobjects/Order/PoNumber/7", 404, "NOT_FOUND"),
        ("PUT", "/sobjects/Order", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/query/?q=", 400, "MALFORMED_QUERY"),
        ("GET", "/query/01gAh0000000009IAA-2000", 400, "INVALID_QUERY_LOCATOR"),
        ("GET", f"/query?q={'x' * 16_384}", 414, "URI_TOO_LONG"),
        ("GET", "/jobs/query", 501, "EMULATOR_NOT_MODELLED"),
        ("GET", "/tooling/query", 501, "EMULATOR_NOT_MODELLED"),
        ("POST", "/composite/graph", 501, "EMULATOR_NOT_MODELLED"),
        ("GET", "/composite/sobjects/Order?ids=801", 501, "EMULATOR_NOT_MODELLED"),
        ("GET", "/sobjects/Order", 501, "EMULATOR_NOT_MODELLED"),
        ("GET", "/limits?_HttpMethod=PATCH", 501, "EMULATOR_NOT_MODELLED"),
        ("GET", "/sobjects/Order/deleted", 501, "EMULATOR_NOT_MODELLED"),
        ("GET", "/sobjects/Order/801Ah0000000001IAA/OrderItems", 501, "EMULATOR_NOT_MODELLED"),
        ("POST", "/services/oauth2/revoke", 501, "EMULATOR_NOT_MODELLED"),
    ],
)
def test_what_is_not_there_and_what_is_not_modelled(org: Client, method: str, path: str, status: int, code: str) -> None:
    answer = org.call(method, path)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (status, code)


def test_bodies_that_are_no_records_are_refused(org: Client, stock: Catalogue) -> None:
    path = f"/sobjects/Account/{stock.account}"
    for data in (b"{", b"[]", b""):
        answer = org.call("PATCH", path, data=data)
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")
    assert "should not be specified" in org.patch(path, {"Id": stock.account}).json()[0]["message"]
    assert org.patch(path, {"BillingAddress": {}}).status_code == 501
    assert org.post("/sobjects/User", {"Username": "x"}).status_code == 501
    assert org.patch(path, {"Name": None}).json()[0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert org.patch(path, {"Name": 7}).json()[0]["errorCode"] == "JSON_PARSER_ERROR"


# External ids


def test_an_upsert_creates_and_then_changes(org: Client) -> None:
    path = "/sobjects/Product2/Stripe_Product_Id__c/prod%2F1"
    first = org.patch(path, {"Name": "Widget"})
    assert (first.status_code, first.json()["created"]) == (201, True)
    second = org.patch(path, {"Name": "Widget 2"})
    assert (second.status_code, second.json()) == (200, {**first.json(), "created": False})
    row = org.get(path).json()
    assert (row["Name"], row["Stripe_Product_Id__c"]) == ("Widget 2", "prod/1")
    repeated = org.patch(path, {"Name": "Widget", "Stripe_Product_Id__c": "prod/1"})
    assert "should not be specified" in repeated.json()[0]["message"]
    assert org.delete(path).status_code == 204
    assert org.get(path).status_code == 404


def test_external_ids_that_are_not_unique_are_ambiguous(org: Client) -> None:
    org.emulator.add_field("Account", Field("Legacy__c", "string", length=20, external_id=True))
    ids = [org.emulator.create("Account", {"Name": name, "Legacy__c": "7"}) for name in ("A", "B")]
    answer = org.patch("/sobjects/Account/Legacy__c/7", {"Phone": "1"})
    assert (answer.status_code, answer.json()) == (300, [f"{VERSION}/sobjects/Account/{each}" for each in ids])


def test_keys_compare_with_case_and_may_be_taken_over_from_a_deleted_row(org: Client) -> None:
    first = org.emulator.create("Account", {"Name": "A", "Stripe_Customer_Id__c": "cus_a"})
    org.emulator.create("Account", {"Name": "B", "Stripe_Customer_Id__c": "CUS_A"})
    org.emulator.delete("Account", first)
    assert org.post("/sobjects/Account", {"Name": "C", "Stripe_Customer_Id__c": "cus_a"}).status_code == 201


def test_a_parent_may_be_named_by_its_external_id(org: Client) -> None:
    account = org.emulator.create("Account", {"Name": "Acme", "Stripe_Customer_Id__c": "cus_1"})
    contact = org.emulator.create("Contact", {"LastName": "Doe", "Account": {"Stripe_Customer_Id__c": "cus_1"}})
    assert org.emulator.record("Contact", contact)["AccountId"] == account
    answer = org.post("/sobjects/Contact", {"LastName": "Doe", "Account": {"Stripe_Customer_Id__c": "cus_2"}})
    assert "Foreign key external ID: cus_2 not found" in answer.json()[0]["message"]
    answer = org.post("/sobjects/Contact", {"LastName": "Doe", "Account": {}})
    assert "one external id names the parent" in answer.json()[0]["message"]


def test_a_field_of_ones_own_is_written_described_and_queried() -> None:
    own = Field("Billing_Start__c", "date")
    with served(fields={"Order": [own]}) as org:
        order = draft(org.emulator, catalogue(org.emulator), Billing_Start__c="2027-02-01")
        org.emulator.add_field("Order", Field("Plan__c", "reference", references="Product2"))
        (row,) = org.query("SELECT Billing_Start__c, Plan__r.Name FROM Order WHERE Billing_Start__c > 2027-01-31").json()[
            "records"
        ]
        assert (row["Billing_Start__c"], row["Plan__r"]) == ("2027-02-01", None)
        assert org.patch(f"/sobjects/Order/{order}", {"PoNumber": "7"}).status_code == 204
        with pytest.raises(ValueError, match="already"):
            org.emulator.add_field("Order", own)


# Conditions and pages


def test_a_row_changed_since_is_not_overwritten(org: Client, stock: Catalogue) -> None:
    path = f"/sobjects/Account/{stock.account}"
    headers = {"If-Unmodified-Since": "Fri, 20 Nov 2026 10:00:00 GMT"}
    assert org.patch(path, {"Phone": "1"}, headers=headers).status_code == 204
    org.emulator.clock.advance(timedelta(seconds=1))
    org.emulator.update("Account", stock.account, {"Phone": "2"})
    assert org.patch(path, {"Phone": "3"}, headers=headers).status_code == 412
    assert org.patch(path, {"Phone": "3"}, headers={"If-Unmodified-Since": "today"}).status_code == 400
    assert org.patch(path, {"Phone": "3"}, headers={"If-Match": '"x"'}).status_code == 501
    assert org.emulator.record("Account", stock.account)["Phone"] == "2"


def test_a_result_comes_in_pages() -> None:
    with served(page_size=2) as org:
        for number in range(5):
            org.emulator.create("Account", {"Name": f"A{number}"})
        page = org.query("SELECT Name FROM Account ORDER BY Name").json()
        org.emulator.create("Account", {"Name": "A00"})
        names = [row["Name"] for row in page["records"]]
        assert (page["totalSize"], page["done"], len(names)) == (5, False, 2)
        locator = page["nextRecordsUrl"]
        assert locator.startswith(f"{VERSION}/query/01g")
        while not page["done"]:
            page = org.get(page["nextRecordsUrl"]).json()
            names += [row["Name"] for row in page["records"]]
        assert names == ["A0", "A1", "A2", "A3", "A4"]
        assert "nextRecordsUrl" not in page
        org.emulator.clock.advance(timedelta(days=2))
        org.log_in(**CLIENT)
        assert org.get(locator).json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"


def test_child_rows_count_for_the_page_and_have_pages_of_their_own() -> None:
    with served(page_size=3) as org:
        stock = catalogue(org.emulator)
        for _ in range(2):
            order = draft(org.emulator, stock)
            for quantity in range(1, 6):
                org.emulator.create("OrderItem", line(stock, order, Quantity=quantity))
        page = org.query("SELECT Id, (SELECT Quantity FROM OrderItems ORDER BY Quantity) FROM Order").json()
        assert (page["totalSize"], page["done"], len(page["records"])) == (2, False, 1)
        nested = page["records"][0]["OrderItems"]
        assert (nested["totalSize"], nested["done"], len(nested["records"])) == (5, False, 3)
        rest = org.get(nested["nextRecordsUrl"]).json()
        assert [row["Quantity"] for row in rest["records"]] == [4.0, 5.0]
        assert len(org.get(page["nextRecordsUrl"]).json()["records"]) == 1


# The usual client


class ToEmulator(HTTPAdapter):
    """Sends what is meant for https to the emulator."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        request.url = f"{self.url}/{str(request.url).split('/', 3)[3]}"
        return super().send(request, *arguments, **options)


def test_the_usual_python_client_logs_in_and_queries(org: Client, stock: Catalogue) -> None:
    order, _ = activated(org.emulator, stock)
    with requests.Session() as session:
        session.trust_env = False
        session.mount("https://", ToEmulator(org.url))
        salesforce = Salesforce(
            consumer_key=CLIENT["client_id"],
            consumer_secret=CLIENT["client_secret"],
            domain="acme.my",
            session=session,
            parse_float=Decimal,
        )
        (row,) = salesforce.query_all_iter("SELECT Id, TotalAmount, (SELECT Id FROM OrderItems) FROM Order")
        assert (row["Id"], row["TotalAmount"], row["OrderItems"]["totalSize"]) == (order, Decimal("180.0"), 1)
        limits: Any = salesforce.restful("limits")
        assert limits["DailyApiRequests"]["Max"] == 100_000


# Faults


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("UNABLE_TO_LOCK_ROW", 400),
        ("REQUEST_LIMIT_EXCEEDED", 403),
        ("INVALID_SESSION_ID", 401),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", 400),
        ("INSUFFICIENT_ACCESS_OR_READONLY", 403),
        ("SERVER_UNAVAILABLE", 503),
    ],
)
def test_a_fault_answers_once_and_does_nothing(org: Client, stock: Catalogue, error: str, status: int) -> None:
    org.emulator.inject("refuse", error=error, path="/sobjects/Account")
    answer = org.patch(f"/sobjects/Account/{stock.account}", {"Phone": "1"})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (status, error)
    assert org.emulator.record("Account", stock.account)["Phone"] is None
    assert org.patch(f"/sobjects/Account/{stock.account}", {"Phone": "1"}).status_code == 204


def test_faults_of_other_shapes(org: Client) -> None:
    for name, shape in (("503", "text/html;charset=UTF-8"), ("500", "application/json;charset=UTF-8")):
        org.emulator.inject("refuse", error=name)
        answer = org.get("/limits")
        assert (answer.status_code, answer.headers["Content-Type"]) == (int(name), shape)
    org.emulator.inject("refuse", error="invalid_grant", path="/oauth2/token")
    assert org.log_in(**CLIENT).json()["error"] == "invalid_grant"
    with pytest.raises(ValueError, match="stored"):
        org.emulator.inject("stored", error="500")


def test_one_row_can_be_locked_inside_a_composite(org: Client, stock: Catalogue) -> None:
    org.emulator.refuse_writes(stock.account)
    urls = (f"{VERSION}/sobjects/Account/{stock.account}", f"{VERSION}/sobjects/Product2/{stock.product}")
    rename = {"method": "PATCH", "body": {"Name": "New"}}
    parts = [{**rename, "url": url, "referenceId": f"part{number}"} for number, url in enumerate(urls)]
    first, second = org.post("/composite", {"compositeRequest": parts}).json()["compositeResponse"]
    assert (first["httpStatusCode"], first["body"][0]["errorCode"], second["httpStatusCode"]) == (
        400,
        "UNABLE_TO_LOCK_ROW",
        204,
    )
    org.emulator.update("Account", stock.account, {"Phone": "1"})


def test_reset_forgets_rows_and_tokens(org: Client, stock: Catalogue) -> None:
    assert org.post("/__emulator__/reset").status_code == 200
    assert org.get("/limits").status_code == 401
    assert org.emulator.query("SELECT Id FROM Account") == []
    assert len(org.emulator.query("SELECT Id FROM Pricebook2 WHERE IsStandard = true")) == 1


def test_python_raises_what_the_api_answers(org: Client) -> None:
    with pytest.raises(SalesforceError) as caught:
        org.emulator.record("Order", "801Ah0000000099IAA")
    assert (caught.value.status, caught.value.error_code) == (404, "NOT_FOUND")
