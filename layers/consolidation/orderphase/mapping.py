"""The mapping: how the Salesforce fields are called that Orderphase reads and writes.

One TOML file, `mapping.toml`, beside this package; a table per object, a key per field, e.g.

    [order]
    collection_method = "Billing_Method__c"

What it does not name keeps its default. A malformed file is a `ConfigurationError` that names the key.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orderphase.errors import ConfigurationError
from orderphase.validation import describe

FILE = Path(__file__).parent.parent / "mapping.toml"

FieldName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,79}$")]


class _Fields(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AccountFields(_Fields):
    """Fields of Account."""

    customer_id: FieldName = "Stripe_Customer_Id__c"


class ContractFields(_Fields):
    """Fields of Contract."""

    schedule_id: FieldName = "Stripe_Subscription_Schedule_Id__c"
    subscription_id: FieldName = "Stripe_Subscription_Id__c"


class OrderFields(_Fields):
    """Fields of Order."""

    effective_date: FieldName = "EffectiveDate"
    end_date: FieldName = "EndDate"
    schedule_id: FieldName = "Stripe_Subscription_Schedule_Id__c"
    subscription_id: FieldName = "Stripe_Subscription_Id__c"
    sync_status: FieldName = "Stripe_Sync_Status__c"
    sync_message: FieldName = "Stripe_Sync_Message__c"
    synced_at: FieldName = "Stripe_Synced_At__c"
    collection_method: FieldName = "Stripe_Collection_Method__c"
    days_until_due: FieldName = "Stripe_Days_Until_Due__c"
    percent_off: FieldName = "Stripe_Discount_Percent_Off__c"
    amount_off: FieldName = "Stripe_Discount_Amount_Off__c"


class OrderItemFields(_Fields):
    """Fields of OrderItem."""

    quantity: FieldName = "Quantity"
    start_date: FieldName = "ServiceDate"
    end_date: FieldName = "EndDate"
    price_id: FieldName = "Stripe_Price_Id__c"
    percent_off: FieldName = "Stripe_Discount_Percent_Off__c"
    amount_off: FieldName = "Stripe_Discount_Amount_Off__c"


class ProductFields(_Fields):
    """Fields of Product2."""

    product_id: FieldName = "Stripe_Product_Id__c"


class PriceBookEntryFields(_Fields):
    """Fields of PricebookEntry."""

    price_id: FieldName = "Stripe_Price_Id__c"
    interval: FieldName = "Stripe_Billing_Interval__c"
    interval_count: FieldName = "Stripe_Billing_Interval_Count__c"


class FieldMapping(_Fields):
    """Every field name, by object."""

    account: AccountFields = AccountFields()
    contract: ContractFields = ContractFields()
    order: OrderFields = OrderFields()
    order_item: OrderItemFields = OrderItemFields()
    product: ProductFields = ProductFields()
    price_book_entry: PriceBookEntryFields = PriceBookEntryFields()


def read_mapping(text: str, *, name: str = "mapping.toml") -> FieldMapping:
    """Read a mapping file's text."""
    try:
        return FieldMapping.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as problem:
        raise ConfigurationError(f"{name}: is not TOML: {problem}") from None
    except ValidationError as problem:
        raise ConfigurationError(f"{name}: {describe(problem)}") from None


def load_mapping(file: Path = FILE) -> FieldMapping:
    """Read the mapping that is shipped with this package; every default where there is none."""
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return FieldMapping()
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigurationError(f"{file.name}: cannot be read: {problem}") from None
    return read_mapping(text, name=file.name)
