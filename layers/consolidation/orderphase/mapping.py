"""The mapping: how Salesforce's objects and fields are called, what holds where they say nothing, and what metadata to carry.

One TOML file, `mapping.toml`, beside this package; a table per object, a key per field, e.g.

    [order]
    collection_method = "Billing_Method__c"

    [defaults]
    collection_method = "send_invoice"
    days_until_due = 30

    [metadata.customer]
    segment = "Industry"

What it does not name keeps its default. A malformed file is a `ConfigurationError` that names the key.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from orderphase.domain.catalogue import Unit
from orderphase.errors import ConfigurationError
from orderphase.validation import Text, describe, matching

FILE = Path(__file__).parent.parent / "mapping.toml"

_NAME = r"[A-Za-z][A-Za-z0-9_]{0,79}"
_RESERVED = ("salesforce_", "orderphase_")
_NO_PATH = "is not an API name such as EndDate__c, or a path such as Owner.Name with {} parents at most"
_METADATA_KEYS = 30
"""Stripe: an object carries 50 keys of metadata; some of them are ours."""


def _metadata_key(value: str) -> str:
    if "[" in value or "]" in value:
        raise ValueError("has a square bracket, which Stripe does not take; choose another key")
    if value.startswith(_RESERVED):
        raise ValueError(f"begins with {' or '.join(_RESERVED)}, which is ours; choose another key")
    return value


def _absent(value: object) -> object:
    return None if value == "" else value


FieldName = Annotated[Text, matching(_NAME, "is not an API name such as EndDate__c")]
FieldPath = Annotated[Text, matching(rf"{_NAME}(\.{_NAME}){{0,5}}", _NO_PATH.format(5))]
"""A field, or one of a parent record by dots: `Owner.Name`. Salesforce: up to five parents."""

NearPath = Annotated[Text, matching(rf"{_NAME}(\.{_NAME}){{0,4}}", _NO_PATH.format(4))]
"""The same of a record that is itself read as the parent of another, which leaves four parents."""

OptionalField = Annotated[FieldName | None, BeforeValidator(_absent)]
OptionalNearPath = Annotated[NearPath | None, BeforeValidator(_absent)]
Prefix = Annotated[Text, matching(r"[A-Za-z][A-Za-z0-9_]{0,59}", "is not what API names begin with, such as Billing")]

# Stripe: a key of metadata has at most 40 characters and no square brackets.
MetadataKey = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(_metadata_key)]
Metadata = Annotated[dict[MetadataKey, FieldPath], Field(max_length=_METADATA_KEYS)]
NearMetadata = Annotated[dict[MetadataKey, NearPath], Field(max_length=_METADATA_KEYS)]


class _Fields(BaseModel):
    """A table. What is written stands in a field of its own; one that is read may serve for several keys."""

    # A table is only ever read as part of the whole mapping, which is built at once.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    written: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="after")
    def _written_apart(self) -> Self:
        names = {key: value.lower() for key, value in self if isinstance(value, str)}
        for key in self.written:
            if other := next((one for one, name in names.items() if one != key and name == names[key]), None):
                raise ValueError(f"{key} and {other} name the same field; what is written needs one of its own")
        return self


class AccountFields(_Fields):
    """Fields of Account. An address is named by what its parts begin with: `Billing` has `BillingStreet`.

    A person account's e-mail address is `person_email`; the field is read where the org has it.
    """

    written = ("customer_id",)

    customer_id: FieldName = "Stripe_Customer_Id__c"
    """The Stripe customer; written. Make it unique."""
    name: NearPath = "Name"
    """The customer's name; a path."""
    phone: OptionalNearPath = "Phone"
    """The customer's phone; a path, may be empty."""
    description: OptionalNearPath = "Description"
    """The customer's description; a path, may be empty."""
    billing_address: Prefix = "Billing"
    """What the parts of the customer's address begin with: `BillingStreet`, `BillingCity`, `BillingState`,
    `BillingPostalCode`, `BillingCountry`; with state and country picklists also `BillingCountryCode`.
    """
    shipping_address: Prefix = "Shipping"
    """The same of the address in the customer's shipping."""
    shipping_phone: OptionalNearPath = "Phone"
    """The phone in the customer's shipping; a path, may be empty."""
    email: OptionalNearPath = None
    """The customer's e-mail, where the order has none; a path, may be empty."""
    person_email: FieldName = "PersonEmail"
    """The e-mail of a person account, where neither has one. Read in orgs with person accounts."""


class ContractFields(_Fields):
    """Fields of Contract. `stripe_account` names the Stripe account where the orders do not; empty = no such field."""

    written = ("schedule_id", "subscription_id")

    schedule_id: FieldName = "Stripe_Subscription_Schedule_Id__c"
    """The Stripe schedule; written. Make it unique."""
    subscription_id: FieldName = "Stripe_Subscription_Id__c"
    """The Stripe subscription, once it has begun; written."""
    stripe_account: OptionalField = None
    """The name of the Stripe account, where the order names none; may be empty."""


class OrderFields(_Fields):
    """Fields of Order. `email` is where invoices go; the account's own counts where it is empty."""

    written = ("schedule_id", "subscription_id", "sync_status", "sync_message", "synced_at")

    effective_date: FieldName = "EffectiveDate"
    """When lines start that say nothing themselves."""
    end_date: FieldName = "EndDate"
    """When lines end that say nothing themselves."""
    schedule_id: FieldName = "Stripe_Subscription_Schedule_Id__c"
    """As on the contract; written. All orders of a contract have the same."""
    subscription_id: FieldName = "Stripe_Subscription_Id__c"
    """As on the contract; written."""
    sync_status: FieldName = "Stripe_Sync_Status__c"
    """`Synced`, `Failed`, `Cancelled` or `Skipped`; written. `Pending`, which an org may set itself, counts as empty."""
    sync_message: FieldName = "Stripe_Sync_Message__c"
    """What is wrong and what to do; written. A long text area of 32,000 characters or more."""
    synced_at: FieldName = "Stripe_Synced_At__c"
    """When the order was last synced; written."""
    collection_method: FieldName = "Stripe_Collection_Method__c"
    """`charge_automatically` or `send_invoice`."""
    days_until_due: FieldName = "Stripe_Days_Until_Due__c"
    """For `send_invoice`."""
    percent_off: FieldName = "Stripe_Discount_Percent_Off__c"
    """Discount on everything, in percent."""
    amount_off: FieldName = "Stripe_Discount_Amount_Off__c"
    """Discount on everything, in the order's currency."""
    stripe_account: OptionalField = "Stripe_Account__c"
    """The name of the Stripe account; may be empty."""
    email: OptionalNearPath = "BillToContact.Email"
    """Where invoices go; a path, may be empty."""


class OrderItemFields(_Fields):
    """Fields of OrderItem."""

    quantity: FieldName = "Quantity"
    """A whole number."""
    unit_price: FieldName = "UnitPrice"
    """The price of one, in the order's currency."""
    start_date: FieldName = "ServiceDate"
    """When the line starts."""
    end_date: FieldName = "EndDate"
    """When the line ends."""
    price_id: FieldName = "Stripe_Price_Id__c"
    """A Stripe price of the line's own."""
    percent_off: FieldName = "Stripe_Discount_Percent_Off__c"
    """Discount on the line, in percent."""
    amount_off: FieldName = "Stripe_Discount_Amount_Off__c"
    """Discount on the line, in the order's currency."""


class ProductFields(_Fields):
    """Fields of Product2."""

    written = ("product_id", "name", "description")

    product_id: FieldName = "Stripe_Product_Id__c"
    """The Stripe product; written. Make it an external id, and unique."""
    name: FieldName = "Name"
    """The product's name; written from Stripe."""
    description: FieldName = "Description"
    """The product's description; written from Stripe."""


class PriceBookEntryFields(_Fields):
    """Fields of PricebookEntry."""

    written = ("price_id", "unit_price", "interval", "interval_count")

    price_id: FieldName = "Stripe_Price_Id__c"
    """The Stripe price; written. Make it unique."""
    unit_price: FieldName = "UnitPrice"
    """The price of one, in the entry's currency; written from Stripe."""
    interval: FieldName = "Stripe_Billing_Interval__c"
    """`day`, `week`, `month` or `year`; written from Stripe."""
    interval_count: FieldName = "Stripe_Billing_Interval_Count__c"
    """Every so many of them, empty is 1; written from Stripe."""


class SyncLogFields(_Fields):
    """The object that keeps one record per run, where the deployment writes such records, and its fields."""

    written = (
        "order",
        "contract",
        "flow",
        "event_id",
        "run_id",
        "outcome",
        "message",
        "schedule_id",
        "subscription_id",
        "started_at",
        "finished_at",
    )

    object: FieldName = "Sync_Log__c"
    """The object that keeps a record of each run on an order; with `SyncLogRecords` on. All its fields are written."""
    order: FieldName = "Order__c"
    """Lookup to the Order."""
    contract: FieldName = "Contract__c"
    """Lookup to the Contract."""
    flow: FieldName = "Flow__c"
    """The flow."""
    event_id: FieldName = "Event_Id__c"
    """The event that it worked on."""
    run_id: FieldName = "Run_Id__c"
    """The run, as the sync log's table and the log call it."""
    outcome: FieldName = "Outcome__c"
    """What became of it."""
    message: FieldName = "Message__c"
    """The same as on the order. A long text area of 32,000 characters or more."""
    schedule_id: FieldName = "Schedule_Id__c"
    """The Stripe schedule."""
    subscription_id: FieldName = "Subscription_Id__c"
    """The Stripe subscription."""
    started_at: FieldName = "Started_At__c"
    """Date and time."""
    finished_at: FieldName = "Finished_At__c"
    """Date and time."""


class MirrorFields(_Fields):
    """An object in which Stripe's own package mirrors Stripe's, and its field with Stripe's id."""

    object: FieldName
    stripe_id: FieldName = "stripeGC__Stripe_Id__c"
    """Stripe's id there."""


class ProductMirrorFields(MirrorFields):
    """The mirror of Stripe's products."""

    object: FieldName = "stripeGC__Product__c"
    """The object in which Stripe's own package mirrors products, where it is installed."""


class PriceMirrorFields(MirrorFields):
    """The mirror of Stripe's prices."""

    object: FieldName = "stripeGC__Price__c"
    """The same for prices."""


class Defaults(_Fields):
    """What holds where a record says nothing. The interval goes with its unit; the count alone would mean nothing."""

    collection_method: Literal["charge_automatically", "send_invoice"] = "charge_automatically"
    """Of an order that states none: this, or `send_invoice`."""
    days_until_due: Annotated[int, Field(ge=0)] | None = None
    """Days in which an invoice is to be paid; goes with `send_invoice`."""
    interval: Unit | None = None
    """Of a price book entry that states none: `day`, `week`, `month` or `year`. Without it, such an entry cannot be billed."""
    interval_count: Annotated[int, Field(ge=1)] = 1
    """Every so many of them; goes with `interval`."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.days_until_due is not None and self.collection_method != "send_invoice":
            raise ValueError("days_until_due goes with the collection method send_invoice")
        if self.interval is None and self.interval_count != 1:
            raise ValueError("interval_count goes with an interval")
        return self


def _condition(value: str) -> str:
    """Refuse what would reach beyond the parentheses that it is put into. Salesforce: a backslash escapes within quotes."""
    bare = re.sub(r"'(?:[^'\\]|\\.)*'", "''", value)
    depth = 0
    for character in bare:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            break
    if depth != 0 or bare.count("'") % 2 or not value.isprintable():
        raise ValueError("is not a SOQL condition such as Bill_With_Stripe__c = true: parentheses and quotes must close")
    if re.search(r"\bselect\b", bare, re.IGNORECASE):
        raise ValueError("has a query within it, which Salesforce does not take there; take a field of the order")
    return value


Condition = Annotated[Text, Field(max_length=4_000), AfterValidator(_condition)]


class Search(_Fields):
    """Which orders the poll and the backfill look for. `condition`: SOQL on Order's fields; none = every activated order.

    Where only some orders are sent to Stripe, it says which: the poll knows nothing of what a Flow in the org sends.
    """

    condition: Annotated[Condition | None, BeforeValidator(_absent)] = None
    """A SOQL condition on fields of Order, such as `Bill_With_Stripe__c = true`; empty: every activated order. Where your
    org sends only some of its orders, say here which.
    """


FieldNames = tuple[FieldName, ...]
MetadataKeys = tuple[Annotated[str, Field(min_length=1, max_length=40)], ...]

_CONNECTOR_ID = "stripeConnector__Stripe_ID__c"
"""The field in which Stripe's connector for Salesforce CPQ keeps the id of whatever it has made of a record."""


Adopting = Literal["auto", "on", "off"]
"""When what another product bills is looked for; auto: where the org has a field of that product on Account."""


class Adopt(_Fields):
    """Where another product has left Stripe's ids, so that what it bills is gone on with instead of being made again.

    Of fields those are read that the org has; the first one that says something counts. `when` it is looked at, the deployment
    chooses (`FieldMapping.adopting`): always, never, or where the org has one of the fields of Account.

    Stripe documents Account's `stripeGC__Customer_Id__c`, and what its extension writes back to Contract and Order, but not the
    names of these fields. The connector's field and keys are those that its own tests use; its prefix can be changed there.
    """

    _when: Adopting = PrivateAttr(default="off")

    account: FieldNames = ("stripeGC__Customer_Id__c", _CONNECTOR_ID)
    """Fields of Account with a Stripe customer."""
    contract: FieldNames = ()
    """Fields of Contract with a schedule or a subscription."""
    order: FieldNames = (_CONNECTOR_ID,)
    """The same of Order."""
    product: FieldNames = (_CONNECTOR_ID,)
    """Fields of Product2 with a Stripe product."""
    price_book_entry: FieldNames = (_CONNECTOR_ID,)
    """Fields of PricebookEntry with a Stripe price."""
    metadata: MetadataKeys = ("salesforce_contract_id", "salesforce_order_id")
    """Keys of metadata by which a schedule or a subscription names its Contract or an Order."""

    @property
    def when(self) -> Adopting:
        """When what another product bills is looked for."""
        return self._when

    @property
    def fields(self) -> dict[str, FieldNames]:
        """The fields, by object; nothing where nothing is ever looked for."""
        if self.when == "off":
            return {}
        named = {
            "Account": self.account,
            "Contract": self.contract,
            "Order": self.order,
            "Product2": self.product,
            "PricebookEntry": self.price_book_entry,
        }
        return {name: fields for name, fields in named.items() if fields}


class ExtraMetadata(_Fields):
    """What Stripe's objects carry beside our own keys: by key, a field of the record that they are made of.

    Fields of Account, Product2, PricebookEntry, Order (a schedule, a phase) and OrderItem (an item), or of their parents.
    """

    customer: NearMetadata = {}
    """Account: the customer."""
    product: NearMetadata = {}
    """Product2: the product."""
    price: Metadata = {}
    """PricebookEntry: the price."""
    schedule: NearMetadata = {}
    """Order: the schedule; of the contract's first order."""
    phase: NearMetadata = {}
    """Order: the phase; different values of several orders one after the other."""
    item: Metadata = {}
    """OrderItem: the item; different values of several lines one after the other."""


class FieldMapping(_Fields):
    """Every name, by object, the defaults, and the metadata."""

    model_config = ConfigDict(defer_build=False)

    account: AccountFields = AccountFields.model_construct()
    contract: ContractFields = ContractFields.model_construct()
    order: OrderFields = OrderFields.model_construct()
    order_item: OrderItemFields = OrderItemFields.model_construct()
    product: ProductFields = ProductFields.model_construct()
    price_book_entry: PriceBookEntryFields = PriceBookEntryFields.model_construct()
    sync_log: SyncLogFields = SyncLogFields.model_construct()
    mirrored_product: ProductMirrorFields = ProductMirrorFields.model_construct()
    mirrored_price: PriceMirrorFields = PriceMirrorFields.model_construct()
    defaults: Defaults = Defaults.model_construct()
    search: Search = Search.model_construct()
    adopt: Adopt = Adopt.model_construct()
    metadata: ExtraMetadata = ExtraMetadata.model_construct()

    def adopting(self, when: Adopting = "on") -> FieldMapping:
        """The same, for a deployment that adopts what another product bills."""
        adopt = self.adopt.model_copy()
        adopt._when = when  # noqa: SLF001 (a choice of the deployment, and no key of the file)
        return self.model_copy(update={"adopt": adopt})

    @property
    def divides_terms(self) -> bool:
        """Whether a line's unit price can be that of its whole term. A field of the company's own has that of one interval."""
        return self.order_item.unit_price == OrderItemFields.model_construct().unit_price


def read_mapping(text: str, *, name: str = "mapping.toml") -> FieldMapping:
    """Read a mapping file's text."""
    try:
        return FieldMapping.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as problem:
        raise ConfigurationError(f"{name}: is not TOML: {problem}") from None
    except RecursionError:
        raise ConfigurationError(f"{name}: is nested too deeply") from None
    except ValidationError as problem:
        raise ConfigurationError(f"{name}: {describe(problem, model=FieldMapping)}") from None


def load_mapping(file: Path = FILE) -> FieldMapping:
    """Read the mapping that is shipped with this package; every default where there is none."""
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return FieldMapping()
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigurationError(f"{file.name}: cannot be read: {problem}") from None
    return read_mapping(text, name=file.name)
