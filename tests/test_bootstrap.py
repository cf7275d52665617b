"""The flow as it is built from the environment and the secrets, and what is said where they are not right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orderphase import bootstrap
from orderphase.errors import ConfigurationError
from orderphase.mapping import load_mapping
from tests.flows.world import ORG, World
from tests.functions.deployed import ENVIRONMENT, deployed, salesforce_secret, store, stripe_secret


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with deployed(monkeypatch) as world:
        yield world


def refused(**changes: str) -> str:
    with pytest.raises(ConfigurationError) as failure:
        bootstrap.order_activation(ENVIRONMENT | changes)
    return failure.value.message


def test_the_flow_works(here: World) -> None:
    account = here.account()
    order = here.order(account, here.contract(account), {"PricebookEntryId": here.entry(), "EndDate": "2027-12-01"})
    report = bootstrap.order_activation(ENVIRONMENT).run(order, event_id="event-1", org_id=ORG)
    assert report.outcome == "synced"
    assert len(here.schedules()) == 1
    (entry,) = here.log_entries()
    assert len(entry["entry_id"].partition("#")[2]) == 32


def test_the_policies_and_the_currency_are_the_environments(here: World) -> None:
    choices = {
        "ORDERPHASE_CURRENCY": "eur",
        "ORDERPHASE_END_DATES": "inclusive",
        "ORDERPHASE_TIME_ZONE": "Europe/Berlin",
        "ORDERPHASE_PRORATION_BEHAVIOR": "none",
    }
    account = here.account()
    order = here.order(account, here.contract(account), {"PricebookEntryId": here.entry(), "EndDate": "2027-12-01"})
    flow = bootstrap.order_activation(ENVIRONMENT | choices)
    flow.run(order, event_id="event-1", org_id=ORG)
    (phase,) = here.schedules()[0]["phases"]
    # From midnight of 1 December 2026 to the end of 1 December 2027 in Berlin.
    assert (phase["start_date"], phase["end_date"]) == (1796079600, 1827702000)
    assert phase["proration_behavior"] == "none"


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_a_missing_variable_is_named(here: World, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"environment: {name}: is missing"):
        bootstrap.order_activation({key: value for key, value in ENVIRONMENT.items() if key != name})


def test_a_wrong_variable_is_named(here: World) -> None:
    assert "ORDERPHASE_TIME_ZONE" in refused(ORDERPHASE_TIME_ZONE="Mars/Olympus")
    assert "ORDERPHASE_BACKDATING" in refused(ORDERPHASE_BACKDATING="maybe")


@pytest.mark.parametrize("name", ["salesforce", "stripe"])
def test_a_secret_that_is_not_there(here: World, name: str) -> None:
    variable = f"ORDERPHASE_{name.upper()}_SECRET"
    assert "secret gone: AWS refused (ResourceNotFoundException)" in refused(**{variable: "gone"})


@pytest.mark.parametrize("name", ["salesforce", "stripe"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"\x00hush", "is binary"),
        ("hush", "is not a JSON object"),
        ({"HUSH": "hush"}, "is missing"),
        ("[]", "is not a JSON object"),
    ],
)
def test_a_secret_that_cannot_be_used(here: World, name: str, value: Any, said: str) -> None:
    store(name, value)
    message = refused()
    assert message.startswith(f"secret {name}: ")
    assert said in message
    assert "hush" not in message


def test_plain_http_is_for_loopback_addresses(here: World) -> None:
    store("stripe", stripe_secret(here) | {"STRIPE_API_BASE": "http://api.stripe.com"})
    assert "STRIPE_API_BASE: plain http is accepted for loopback addresses only" in refused()
    store("stripe", stripe_secret(here))
    store("salesforce", salesforce_secret(here) | {"SALESFORCE_LOGIN_URL": "http://acme.my.salesforce.com"})
    assert "SALESFORCE_LOGIN_URL: plain http is accepted for loopback addresses only" in refused()


def test_a_mapping_that_cannot_be_read(here: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text('[order]\ncolour = "Colour__c"')
    monkeypatch.setattr(bootstrap, "load_mapping", lambda: load_mapping(file))
    assert "mapping.toml: order.colour" in refused()


def test_no_request_is_made_before_the_first_run(here: World) -> None:
    bootstrap.order_activation(ENVIRONMENT)
    assert here.salesforce.log == []
    assert here.stripe.log == []
