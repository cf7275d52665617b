"""The mapping: which fields are read and written, and what a bad file says."""

from __future__ import annotations

from pathlib import Path

import pytest

from orderphase.errors import ConfigurationError
from orderphase.mapping import FILE, FieldMapping, load_mapping, read_mapping

# The names that the fields have in an org where nothing was changed.
DEFAULTS = {
    "account": {"customer_id": "Stripe_Customer_Id__c"},
    "contract": {
        "schedule_id": "Stripe_Subscription_Schedule_Id__c",
        "subscription_id": "Stripe_Subscription_Id__c",
    },
    "order": {
        "effective_date": "EffectiveDate",
        "end_date": "EndDate",
        "schedule_id": "Stripe_Subscription_Schedule_Id__c",
        "subscription_id": "Stripe_Subscription_Id__c",
        "sync_status": "Stripe_Sync_Status__c",
        "sync_message": "Stripe_Sync_Message__c",
        "synced_at": "Stripe_Synced_At__c",
        "collection_method": "Stripe_Collection_Method__c",
        "days_until_due": "Stripe_Days_Until_Due__c",
        "percent_off": "Stripe_Discount_Percent_Off__c",
        "amount_off": "Stripe_Discount_Amount_Off__c",
    },
    "order_item": {
        "quantity": "Quantity",
        "start_date": "ServiceDate",
        "end_date": "EndDate",
        "price_id": "Stripe_Price_Id__c",
        "percent_off": "Stripe_Discount_Percent_Off__c",
        "amount_off": "Stripe_Discount_Amount_Off__c",
    },
    "product": {"product_id": "Stripe_Product_Id__c"},
    "price_book_entry": {
        "price_id": "Stripe_Price_Id__c",
        "interval": "Stripe_Billing_Interval__c",
        "interval_count": "Stripe_Billing_Interval_Count__c",
    },
}


def fault(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read_mapping(text)
    return caught.value.message


def test_the_defaults() -> None:
    assert FieldMapping().model_dump() == DEFAULTS
    assert read_mapping("") == FieldMapping()


@pytest.mark.parametrize(("table", "key"), [(table, key) for table, keys in DEFAULTS.items() for key in keys])
def test_every_name_can_be_changed_alone(table: str, key: str) -> None:
    changed = read_mapping(f'[{table}]\n{key} = "acme__Field_1__c"').model_dump()
    assert changed == DEFAULTS | {table: DEFAULTS[table] | {key: "acme__Field_1__c"}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[order", "mapping.toml: is not TOML: "),
        ("[order]\na = 1\na = 2", "mapping.toml: is not TOML: "),
        ("[invoice]", "mapping.toml: invoice: "),
        ('[order]\ncolection_method = "X__c"', "mapping.toml: order.colection_method: "),
        ("order = 1", "mapping.toml: order: "),
        ("[order]\nend_date = 1", "mapping.toml: order.end_date: "),
        ('[order]\nend_date = ""', "mapping.toml: order.end_date: "),
        ('[order]\nend_date = "End Date"', "mapping.toml: order.end_date: "),
        ('[order]\nend_date = "1End__c"', "mapping.toml: order.end_date: "),
        ('[order]\nend_date = "Id FROM Order"', "mapping.toml: order.end_date: "),
        ('[order]\nend_date = "Account.Name"', "mapping.toml: order.end_date: "),
        ('[order]\nend_date = "End__c\\n"', "mapping.toml: order.end_date: "),
        (f'[order]\nend_date = "{"x" * 81}"', "mapping.toml: order.end_date: "),
    ],
)
def test_a_malformed_file_names_the_key(text: str, said: str) -> None:
    assert fault(text).startswith(said)


def test_all_faults_are_named_at_once() -> None:
    told = fault('[order]\nend_date = ""\n[product]\nid = "X__c"')
    assert "order.end_date: " in told
    assert "product.id: " in told


def test_the_shipped_file_changes_nothing() -> None:
    assert FILE.exists()
    assert load_mapping() == FieldMapping()


def test_a_file_is_read_where_there_is_one(tmp_path: Path) -> None:
    file = tmp_path / "fields.toml"
    assert load_mapping(file) == FieldMapping()
    file.write_text('[order_item]\nstart_date = "Début__c"', "utf-8")
    with pytest.raises(ConfigurationError, match=r"^fields\.toml: order_item\.start_date: "):
        load_mapping(file)
    file.write_text('[order_item]\nstart_date = "Start__c"', "utf-8")
    assert load_mapping(file).order_item.start_date == "Start__c"


def test_a_file_that_cannot_be_read_is_a_configuration_error(tmp_path: Path) -> None:
    file = tmp_path / "fields.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"^fields\.toml: cannot be read: "):
        load_mapping(file)
    with pytest.raises(ConfigurationError, match="cannot be read: "):
        load_mapping(tmp_path)
