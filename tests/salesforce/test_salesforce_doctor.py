"""What the doctor finds in an org: what is missing, what is wrong with a field, and what the org has switched on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from orderphase.diagnosis import CATALOGUE_FLOWS, FLOWS, ORDER_FLOWS, Diagnosis, Uses
from orderphase.mapping import FieldMapping, read_mapping
from orderphase.salesforce.client import API_VERSION, SalesforceClient
from orderphase.salesforce.contracts import CANCELLED, FAILED, SKIPPED, SYNCED
from orderphase.salesforce.doctor import OrgExamination, examine
from orderphase.settings import SalesforceCredentials
from sandbox.clock import Clock
from sandbox.salesforce_emulator import Field, SalesforceEmulator
from sandbox.serving import Request, Response, Server
from tests.flows.world import NOW, ORG
from tests.mapped import OBJECTS
from tests.scripted import Scripted

LOG = Uses(records=True)
BATCH = f"POST /services/data/v{API_VERSION}/composite/batch"


@dataclass
class Clinic:
    """An org, and the doctor who looks at it."""

    org: SalesforceEmulator
    url: str

    def client(self) -> SalesforceClient:
        return connected(self.url)

    def examine(self, mapping: str = "", uses: Uses = LOG) -> OrgExamination:
        return examine(self.client(), read_mapping(mapping), uses)

    def told(self, mapping: str = "", uses: Uses = LOG) -> list[Diagnosis]:
        """Everything that is not fine."""
        return [one for one in self.examine(mapping, uses).diagnoses if one.severity != "ok"]

    def only(self, mapping: str = "", uses: Uses = LOG) -> tuple[str, str, str]:
        """The one thing that is not fine."""
        (one,) = self.told(mapping, uses)
        assert one.remedy
        return one.severity, one.where, one.what


def connected(url: str) -> SalesforceClient:
    values = {"SALESFORCE_LOGIN_URL": url, "SALESFORCE_CLIENT_ID": "client", "SALESFORCE_CLIENT_SECRET": "secret"}
    return SalesforceClient(SalesforceCredentials.model_validate(values), now=Clock(NOW, frozen=True).now, pause=lambda _: None)


@contextmanager
def clinic_of(**options: Any) -> Iterator[Clinic]:
    emulator = SalesforceEmulator(Clock(NOW, frozen=True), client_id="client", client_secret="secret", org_id=ORG, **options)
    with Server(emulator) as server:
        yield Clinic(emulator, server.url)


@pytest.fixture
def clinic() -> Iterator[Clinic]:
    with clinic_of() as found:
        yield found


def facts(examination: OrgExamination) -> list[str]:
    return [one.what for one in examination.diagnoses if one.where == "Salesforce"]


# A whole org


def test_an_org_that_has_everything(clinic: Clinic) -> None:
    found = clinic.examine()
    assert {one.severity for one in found.diagnoses} == {"ok"}
    described = ["Account", "Contract", "Order", "OrderItem", "Product2", "PricebookEntry", "Pricebook2", "Sync_Log__c"]
    assert [one.where for one in found.diagnoses if "field" in one.what] == [f"Salesforce {name}" for name in described]
    assert f"login to the org {ORG} as the user {clinic.org.integration_user_id}" in facts(found)


def test_it_takes_two_requests_and_writes_nothing(clinic: Clinic) -> None:
    clinic.examine()
    assert [f"{request.method} {request.path}" for request in clinic.org.log][1:] == [BATCH, BATCH]
    # Without a path to another object, one.
    clinic.org.log.clear()
    clinic.examine('[order]\nemail = ""')
    assert len(clinic.org.calls(BATCH)) == 1


def test_what_is_discovered_is_told() -> None:
    with clinic_of(multicurrency=False) as plain:
        told = facts(plain.examine())
        assert {"one currency", "no person accounts", "no state and country codes", "no objects of Stripe's own package"} <= {
            *told
        }
    with clinic_of(person_accounts=True, state_and_country_picklists=True, stripe_package=True) as rich:
        told = facts(rich.examine())
        assert {"person accounts", "state and country codes in addresses: Billing, Shipping"} <= {*told}
        assert "Stripe's own package: stripeGC__Product__c, stripeGC__Price__c" in told
        assert any(one.startswith("several currencies: ") and "EUR" in one for one in told)
        assert any(one.endswith("of 100,000 API calls are left for today") for one in told)


def test_the_one_currency_of_an_org_is_named() -> None:
    with clinic_of(multicurrency=False) as plain:
        found = plain.examine(uses=Uses(currency="EUR"))
    assert "one currency, taken for EUR: check that DefaultCurrency is right" in facts(found)
    with clinic_of() as several:
        assert not [one for one in facts(several.examine(uses=Uses(currency="EUR"))) if "DefaultCurrency" in one]


def test_a_sandbox_is_told_from_production(clinic: Clinic) -> None:
    told = clinic.org.query("SELECT IsSandbox FROM Organization")[0]["IsSandbox"]
    found = clinic.examine()
    assert found.sandbox is told
    assert ("a sandbox" if told else "a production org") in facts(found)


def test_the_statuses_are_those_that_are_written(clinic: Clinic) -> None:
    clinic.org.add_field("Order", Field("Status__c", "picklist", length=255, values=("Other",)))
    severity, where, what = clinic.only('[order]\nsync_status = "Status__c"')
    assert (severity, where) == ("missing", "Salesforce Order")
    assert what == "Status__c (order.sync_status): the picklist does not have " + ", ".join(
        [SYNCED, FAILED, CANCELLED, SKIPPED]
    )


# Everything at once


def test_everything_that_is_missing_is_told_at_once(clinic: Clinic) -> None:
    clinic.org.set_access("Order", "Stripe_Sync_Status__c", level="read")
    clinic.org.set_access("OrderItem", "UnitPrice", "ServiceDate", level="none")
    clinic.org.set_access("Product2", level="read")
    clinic.org.set_access("Contact", level="none")
    clinic.org.set_access("Sync_Log__c", level="none")
    told = clinic.told('[order]\nend_date = "Until__c"')
    assert {one.severity for one in told} == {"missing"}
    assert [(one.where.removeprefix("Salesforce "), one.what) for one in told] == [
        ("Order", "Until__c (order.end_date): is not there, or cannot be read"),
        ("Order", "BillToContact.Email (order.email): is not there, or cannot be read"),
        ("Order", "Stripe_Sync_Status__c (order.sync_status): cannot be changed"),
        ("OrderItem", "UnitPrice (order_item.unit_price): is not there, or cannot be read"),
        ("OrderItem", "ServiceDate (order_item.start_date): is not there, or cannot be read"),
        ("Product2", "its records cannot be created"),
        ("Product2", "its records cannot be changed"),
        ("Sync_Log__c", "the object is not there, or cannot be read"),
    ]
    assert all(one.remedy for one in told)


DEFAULTS = FieldMapping().model_dump()
KEYS = [(table, key) for table in OBJECTS for key, name in DEFAULTS[table].items() if key not in ("object", "person_email")]


@pytest.mark.parametrize(("table", "key"), KEYS, ids=lambda part: part)
def test_every_name_of_the_mapping_is_looked_at(clinic: Clinic, table: str, key: str) -> None:
    told = clinic.told(f'[{table}]\n{key} = "Nowhere"')
    assert {(one.severity, one.where) for one in told} == {("missing", f"Salesforce {OBJECTS[table]}")}
    assert all(f"({table}.{key})" in one.what and one.what.startswith("Nowhere") for one in told)
    assert len(told) == (5 if key.endswith("address") else 1)


@pytest.mark.parametrize("kind", DEFAULTS["metadata"])
def test_every_kind_of_metadata_is_looked_at(clinic: Clinic, kind: str) -> None:
    _, _, what = clinic.only(f'[metadata.{kind}]\nsegment = "Nowhere__c"')
    assert what == f"Nowhere__c (metadata.{kind}.segment): is not there, or cannot be read"


def test_the_field_of_person_accounts_is_looked_at_where_there_are_some(clinic: Clinic) -> None:
    changed = '[account]\nperson_email = "Nowhere"'
    assert clinic.told(changed) == []
    with clinic_of(person_accounts=True) as other:
        assert other.only(changed)[2] == "Nowhere (account.person_email): is not there, or cannot be read"


def test_the_mirrors_of_stripes_package_are_looked_at_where_they_are(clinic: Clinic) -> None:
    changed = '[mirrored_price]\nstripe_id = "Nowhere"'
    assert clinic.told(changed) == []
    with clinic_of(stripe_package=True) as other:
        mirror, told = other.told(changed)
        assert (mirror.severity, mirror.where, mirror.what) == (
            "missing",
            "Salesforce stripeGC__Price__c",
            "Nowhere (mirrored_price.stripe_id): is not there, or cannot be read",
        )
        # What that package bills would be billed once more.
        assert (told.severity, told.what) == (
            "warning",
            "AdoptExisting is off, and another product has fields here: Account.stripeGC__Customer_Id__c",
        )
        for when in ("auto", "on"):
            assert "AdoptExisting" not in str([one.what for one in other.told(uses=replace(LOG, adopting=when))])


# Paths


def test_a_path_is_walked_from_object_to_object(clinic: Clinic) -> None:
    clinic.org.add_object("Region__c", [Field("Lead__c", "reference", length=18, references="User")])
    clinic.org.add_field("Account", Field("Region__c", "reference", length=18, references="Region__c"))
    path = '[metadata.schedule]\nlead = "Account.Region__r.Lead__r.{}"'
    assert clinic.told(path.format("Username")) == []
    assert clinic.only(path.format("Alias"))[2].endswith("(metadata.schedule.lead): is not there, or cannot be read")
    clinic.org.set_access("Account", "Region__c", level="none")
    assert clinic.only(path.format("Username"))[2].endswith(": Account has no lookup Region__r that can be read")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("billtocontact.Email", "the lookup billtocontact is spelt BillToContact"),
        ("BillToContact.email", "is spelt Email"),
    ],
)
def test_a_name_is_spelt_as_the_org_spells_it(clinic: Clinic, written: str, said: str) -> None:
    severity, _, what = clinic.only(f'[order]\nemail = "{written}"')
    assert (severity, what) == ("missing", f"{written} (order.email): {said}")
    (told,) = clinic.told(f'[order]\nemail = "{written}"')
    assert told.remedy == "spell it so in mapping.toml (order.email)"


# What is wrong with a field


@pytest.mark.parametrize(
    ("key", "added", "said"),
    [
        ("order.days_until_due", Field("F__c", "string", length=255), "is of the type string, and not a number"),
        ("order.sync_message", Field("F__c", "double", precision=18), "is of the type double, and not text"),
        ("order.synced_at", Field("F__c", "date"), "is of the type date, and not a date and time"),
        (
            "order_item.start_date",
            Field("F__c", "string", length=9),
            "is of the type string, and not a date or a date and time",
        ),
        ("order.sync_message", Field("F__c", "string", length=255), "takes 255 characters of 32000"),
        ("sync_log.order", Field("F__c", "string", length=255), "is of the type string, and not a lookup"),
        ("product.product_id", Field("F__c", "string", length=255, unique=True), "is not an external id"),
        ("contract.schedule_id", Field("F__c", "string", "N", length=255), "cannot be changed"),
        ("sync_log.flow", Field("F__c", "string", "N", length=255), "cannot be given to a new record"),
    ],
)
def test_a_field_that_does_not_fit(clinic: Clinic, key: str, added: Field, said: str) -> None:
    table, _, name = key.partition(".")
    clinic.org.add_field(OBJECTS[table], added)
    assert clinic.only(f'[{table}]\n{name} = "F__c"') == ("missing", f"Salesforce {OBJECTS[table]}", f"F__c ({key}): {said}")


@pytest.mark.parametrize("key", ["account.customer_id", "product.product_id", "price_book_entry.price_id"])
def test_an_id_that_is_not_unique_is_a_warning(clinic: Clinic, key: str) -> None:
    table, _, name = key.partition(".")
    clinic.org.add_field(OBJECTS[table], Field("F__c", "string", length=255, external_id=True))
    severity, _, what = clinic.only(f'[{table}]\n{name} = "F__c"')
    assert (severity, what) == ("warning", f"F__c ({key}): is not unique, so two records may get the same id")


def test_a_short_field_for_an_id_is_a_warning(clinic: Clinic) -> None:
    clinic.org.add_field("Contract", Field("F__c", "string", length=80))
    severity, _, what = clinic.only('[contract]\nsubscription_id = "F__c"')
    assert (severity, what) == ("warning", "F__c (contract.subscription_id): takes 80 characters of 255")


def test_an_interval_that_cannot_be_stored(clinic: Clinic) -> None:
    clinic.org.add_field("PricebookEntry", Field("F__c", "picklist", length=255, values=("month", "year")))
    assert clinic.only('[price_book_entry]\ninterval = "F__c"')[2].endswith("does not have day, week")


def test_what_a_new_record_needs_beside_what_it_is_given(clinic: Clinic) -> None:
    clinic.org.add_field("Product2", Field("Cost_Centre__c", "string", "CU", length=20))
    severity, where, what = clinic.only()
    assert (severity, where) == ("missing", "Salesforce Product2")
    assert what == "Cost_Centre__c: a new record needs it, and is not given it"


# What depends on what is used


@pytest.mark.parametrize(
    ("taken", "flows"),
    [
        (("Contract", "Stripe_Subscription_Id__c"), ORDER_FLOWS),
        (("Product2", "Stripe_Product_Id__c"), FLOWS - {"AccountUpsert"}),
        (("PricebookEntry", "Stripe_Billing_Interval__c"), FLOWS - {"AccountUpsert"}),
        (("Account", "Name"), ORDER_FLOWS | {"AccountUpsert"}),
    ],
    ids=lambda part: part[0] if isinstance(part, tuple) else "",
)
def test_what_no_flow_needs_that_is_on_is_a_warning(clinic: Clinic, taken: tuple[str, str], flows: frozenset[str]) -> None:
    clinic.org.set_access(*taken, level="none")
    for flow in sorted(FLOWS):
        (told,) = [one for one in clinic.told(uses=Uses(frozenset({flow}))) if taken[1] in one.what]
        assert told.severity == ("missing" if flow in flows else "warning")
        assert told.what.endswith(f"(needed once {' or '.join(sorted(flows))} is on)") == (flow not in flows)


def test_making_products_is_needed_by_the_catalogues_flows_alone(clinic: Clinic) -> None:
    clinic.org.set_access("Product2", level="read")
    told = clinic.told(uses=Uses(ORDER_FLOWS))
    assert [(one.severity, one.what.partition(" (")[0]) for one in told] == [
        ("warning", "its records cannot be created"),
        ("missing", "its records cannot be changed"),
    ]
    assert {one.severity for one in clinic.told(uses=Uses(CATALOGUE_FLOWS))} == {"missing"}


@pytest.mark.parametrize(
    ("write_back", "told"),
    [
        ("full", {"Stripe_Sync_Status__c (order.sync_status)", "Stripe_Subscription_Id__c (order.subscription_id)"}),
        ("ids_only", {"Stripe_Subscription_Id__c (order.subscription_id)"}),
        ("none", set()),
    ],
)
def test_what_is_not_written_need_not_be_writable(clinic: Clinic, write_back: Any, told: set[str]) -> None:
    clinic.org.set_access("Order", "Stripe_Sync_Status__c", "Stripe_Subscription_Id__c", level="read")
    assert {one.what.partition(": ")[0] for one in clinic.told(uses=Uses(write_back=write_back))} == told


def test_records_of_runs_are_looked_at_where_they_are_written(clinic: Clinic) -> None:
    clinic.org.set_access("Sync_Log__c", level="none")
    assert clinic.told(uses=Uses()) == []
    assert clinic.only() == ("missing", "Salesforce Sync_Log__c", "the object is not there, or cannot be read")


def test_an_object_without_access(clinic: Clinic) -> None:
    clinic.org.set_access("Pricebook2", level="none")
    assert clinic.only() == ("missing", "Salesforce Pricebook2", "the object is not there, or cannot be read")


# An org that does not answer as it should


@contextmanager
def scripted(answer: Callable[[Request], Response]) -> Iterator[SalesforceClient]:
    """An org whose login works."""

    def whole(request: Request) -> Response:
        if not request.path.endswith("/token"):
            return answer(request)
        identity = f"https://x/id/{ORG}/005000000000001AAA"
        return Response(body={"access_token": "t", "instance_url": f"http://{request.headers['host']}", "id": identity})

    with Server(Scripted(whole)) as server:
        yield connected(server.url)


def test_a_login_that_is_refused(clinic: Clinic) -> None:
    values = {"SALESFORCE_LOGIN_URL": clinic.url, "SALESFORCE_CLIENT_ID": "client", "SALESFORCE_CLIENT_SECRET": "other"}
    client = SalesforceClient(
        SalesforceCredentials.model_validate(values), now=Clock(NOW, frozen=True).now, pause=lambda _: None
    )
    (told,) = examine(client, FieldMapping(), LOG).diagnoses
    assert (told.severity, told.where) == ("missing", "Salesforce")
    assert told.what.startswith("login: Salesforce's login refuses the credentials: invalid_client")
    assert "External Client App" in told.remedy


def test_an_org_that_cannot_be_reached() -> None:
    (told,) = examine(connected("http://127.0.0.1:1"), FieldMapping(), LOG).diagnoses
    assert (told.severity, told.what) == ("missing", "login: Salesforce's login cannot be reached")
    assert "SALESFORCE_LOGIN_URL" in told.remedy


def test_without_a_mapping_the_login_is_all_that_is_tried(clinic: Clinic) -> None:
    (told,) = examine(clinic.client(), None, LOG).diagnoses
    assert (told.severity, told.where) == ("ok", "Salesforce")
    assert not clinic.org.calls(BATCH)


def test_an_api_that_is_refused() -> None:
    refusal = Response(403, [{"errorCode": "API_DISABLED_FOR_ORG", "message": "No API."}])
    with scripted(lambda _: refusal) as client:
        logged_in, told = examine(client, FieldMapping(), LOG).diagnoses
    assert logged_in.severity == "ok"
    assert (told.severity, told.what) == ("missing", "description of its objects: Salesforce refuses the request: No API.")


def batches(answer: Callable[[str], Any]) -> Callable[[Request], Response]:
    """Answers the parts of a batch, by what stands in their urls after the version; None is a refusal."""

    def whole(request: Request) -> Response:
        urls = [part["url"].removeprefix(f"v{API_VERSION}/") for part in json.loads(request.body)["batchRequests"]]
        found = [answer(url) for url in urls]
        results = [{"statusCode": 200, "result": one} if one else {"statusCode": 404, "result": []} for one in found]
        return Response(body={"hasErrors": None in found, "results": results})

    return whole


@pytest.mark.parametrize(("left", "severity"), [(99, "warning"), (100, "ok")])
def test_few_calls_that_are_left_are_a_warning(left: int, severity: str) -> None:
    limits = {"limits": {"DailyApiRequests": {"Max": 1000, "Remaining": left}}}
    with scripted(batches(limits.get)) as client:
        found = examine(client, FieldMapping(), Uses())
    (told,) = [one for one in found.diagnoses if "API calls" in one.what]
    assert (told.severity, told.what) == (severity, f"{left} of 1,000 API calls are left for today")


def test_an_org_of_which_nothing_can_be_seen() -> None:
    with scripted(batches(lambda _: None)) as client:
        found = examine(client, FieldMapping(), Uses())
    assert [one.where.removeprefix("Salesforce ") for one in found.diagnoses if one.severity == "missing"] == [
        *("Account", "Contract", "Order", "OrderItem", "Product2", "PricebookEntry", "Pricebook2")
    ]
    assert found.sandbox is None
    assert "whether it is a sandbox is not told" in facts(found)


def test_the_standard_book_has_to_be_shared() -> None:
    empty = {"totalSize": 0, "done": True, "records": []}
    with scripted(batches(lambda url: empty if url.startswith("query") else {"fields": []})) as client:
        found = examine(client, read_mapping('[order]\nemail = ""'), Uses())
    (told,) = [one for one in found.diagnoses if "standard price book" in one.what]
    assert (told.severity, told.what) == ("missing", "the standard price book cannot be read")


def test_a_lookup_to_several_objects_of_which_not_all_have_the_field() -> None:
    def described(*names: str) -> dict[str, Any]:
        return {"fields": [{"name": name, "type": "string", "length": 80, "referenceTo": []} for name in names]}

    owner = {"name": "OwnerId", "type": "reference", "relationshipName": "Owner", "referenceTo": ["Group", "User"]}
    objects = {"User": described("Name", "Title"), "Group": described("Name"), "Order": {"fields": [owner]}}
    mapping = read_mapping('[metadata.schedule]\nname = "Owner.Name"\ntitle = "Owner.Title"')
    with scripted(batches(lambda url: objects.get(url.split("/")[1]) if "/" in url else None)) as client:
        found = examine(client, mapping, Uses())
    assert [(one.severity, one.what) for one in found.diagnoses if "Owner." in one.what] == [
        ("warning", "Owner.Title (metadata.schedule.title): not every object that the lookup may point to has it")
    ]
