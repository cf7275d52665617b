"""The objects of a stock org with Orders switched on, and the fields that Orderphase adds to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from string import ascii_lowercase, ascii_uppercase

from sandbox.salesforce_emulator.addresses import COUNTRIES, STATES
from sandbox.salesforce_emulator.package import fields_of, formulas_of
from sandbox.salesforce_emulator.schema import Field, Option, Schema, SObject

CURRENCIES = (
    "USD", "AED", "AUD", "BHD", "BRL", "CAD", "CHF", "CLP", "CNY", "DKK", "EUR", "GBP", "HKD", "HUF", "INR", "ISK",
    "JOD", "JPY", "KRW", "KWD", "MXN", "NOK", "NZD", "OMR", "PLN", "SEK", "SGD", "TND", "TWD", "UGX", "VND", "ZAR",
)  # fmt: skip
DEFAULT_CURRENCY = CURRENCIES[0]
_PREFIX_ENDS = ascii_uppercase + ascii_lowercase


def standard_schema(options: Collection[Option]) -> Schema:
    """A new schema.

    multicurrency: records have a `CurrencyIsoCode`, and there is `CurrencyType`. person_accounts: an account may be a person.
    state_and_country_picklists: addresses have codes. stripe_package: the objects of Stripe's package that mirror Stripe.
    """
    tables = [
        _account(), _contact(), _contract(), _order(), _order_item(), _product(), _pricebook(), _pricebook_entry(),
        _organization(), _user(), _order_status(), _contract_status(), _sync_log(),
    ]  # fmt: skip
    if "multicurrency" in options:
        tables.append(_currency_type())
    if "stripe_package" in options:
        tables += _stripe_package()
    return Schema(
        SObject(
            table.name,
            table.prefix,
            [field for field in (*_system_fields(), *table) if field.needs is None or field.needs in options],
            unmodelled=table.unmodelled,
            writable=table.writable,
        )
        for table in tables
    )


def own_object(schema: Schema, name: str, fields: Iterable[Field]) -> SObject:
    """An object of the org's own: the fields that are given, an owner, a name unless one is given, the system fields.

    ValueError for a name without `__c`, KeyError for a lookup to an unknown object.
    """
    if not name.endswith("__c"):
        raise ValueError(f"{name}: the name of an object of one's own ends with __c")
    given = list(fields)
    for field in given:
        if field.references and field.references != name:
            _ = schema[field.references]
    named = [] if any(field.name == "Name" for field in given) else [_text("Name", length=80)]
    number = sum(sobject.custom for sobject in schema)
    return SObject(name, f"a1{_PREFIX_ENDS[number]}", [*_system_fields(), *named, *given, _lookup("OwnerId", "User")])


def _system_fields() -> list[Field]:
    return [
        Field("Id", "id", "", length=18),
        Field("IsDeleted", "boolean", "", default=False),
        Field("CreatedDate", "datetime", ""),
        _lookup("CreatedById", "User", ""),
        Field("LastModifiedDate", "datetime", ""),
        _lookup("LastModifiedById", "User", ""),
        Field("SystemModstamp", "datetime", ""),
    ]


def _text(name: str, access: str = "CUN", length: int = 255) -> Field:
    return Field(name, "string", access, length=length)


def _lookup(name: str, references: str, access: str = "CUN", children: str = "") -> Field:
    return Field(name, "reference", access, length=18, references=references, children=children)


def _number(name: str, access: str = "CUN", precision: int = 18, scale: int = 2) -> Field:
    return Field(name, "double", access, precision=precision, scale=scale)


def _money(name: str, access: str = "CUN", scale: int = 8) -> Field:
    return Field(name, "currency", access, precision=18, scale=scale)


def _flag(name: str, access: str = "CU", *, default: bool = False) -> Field:
    return Field(name, "boolean", access, default=default)


def _currency(access: str) -> Field:
    return Field(
        "CurrencyIsoCode", "picklist", access, default=DEFAULT_CURRENCY, values=CURRENCIES, length=3, needs="multicurrency"
    )


def _address(prefix: str) -> list[Field]:
    parts = {"Street": 255, "City": 40, "State": 80, "PostalCode": 20, "Country": 80}
    codes = {"StateCode": sorted({code for states in STATES.values() for code in states}), "CountryCode": [*COUNTRIES]}
    return [
        *(_text(f"{prefix}{part}", length=length) for part, length in parts.items()),
        *(
            Field(
                f"{prefix}{part}",
                "picklist",
                length=10,
                values=tuple(values),
                needs="state_and_country_picklists",
                worded_by_rule=True,
            )
            for part, values in codes.items()
        ),
    ]


def _account() -> SObject:
    fields = [
        _text("Name", "CU"),
        Field("FirstName", "string", length=40, needs="person_accounts"),
        Field("LastName", "string", length=80, needs="person_accounts"),
        Field("PersonEmail", "email", length=80, needs="person_accounts"),
        Field("IsPersonAccount", "boolean", "", default=False, needs="person_accounts"),
        *_address("Billing"),
        *_address("Shipping"),
        Field("Phone", "phone", length=40),
        Field("Industry", "picklist", length=255),
        Field("Description", "textarea", length=32000),
        Field("Website", "url", length=255),
        Field("Type", "picklist", length=255),
        _lookup("OwnerId", "User"),
        _lookup("MasterRecordId", "Account", ""),
        _currency("CU"),
        *fields_of("Account"),
        Field("stripeGC__Customer_Id__c", "string", length=255, needs="stripe_package"),
    ]
    unmodelled = ["BillingAddress", "ShippingAddress", "ParentId", "Parent"]
    return SObject("Account", "001", fields, unmodelled=unmodelled)


def _contact() -> SObject:
    fields = [
        _text("LastName", "CU", 80),
        _text("FirstName", length=40),
        Field("Email", "email", length=80),
        _lookup("AccountId", "Account", children="Contacts"),
    ]
    return SObject("Contact", "003", fields, unmodelled=["Name", "MailingAddress"])


def _contract() -> SObject:
    fields = [
        _lookup("AccountId", "Account", "CU", children="Contracts"),
        Field("Status", "picklist", "CU", length=40, default="Draft"),
        _text("StatusCode", "", 40),
        Field("StartDate", "date"),
        Field("ContractTerm", "int"),
        Field("EndDate", "date", ""),
        _lookup("Pricebook2Id", "Pricebook2", children="Contracts"),
        Field("ContractNumber", "string", "", length=30, auto_number=True),
        Field("ActivatedDate", "datetime", ""),
        _lookup("ActivatedById", "User", ""),
        Field("SpecialTerms", "textarea", length=4000),
        Field("Description", "textarea", length=32000),
        _lookup("OwnerId", "User"),
        _currency("CU"),
        *fields_of("Contract"),
    ]
    return SObject("Contract", "800", fields, unmodelled=["BillingAddress", "CustomerSignedId", "CompanySignedId"])


def _order() -> SObject:
    fields = [
        # Nillable although it must be given: Salesforce answers its absence with a text of its own, naming no field.
        _lookup("AccountId", "Account", children="Orders"),
        _lookup("ContractId", "Contract", children="Orders"),
        _lookup("Pricebook2Id", "Pricebook2", children="Orders"),
        _lookup("OriginalOrderId", "Order", "CN", children="Orders"),
        Field("EffectiveDate", "date", "CU"),
        Field("EndDate", "date"),
        _flag("IsReductionOrder", "C"),
        Field("Status", "picklist", "CU", length=40),
        _text("StatusCode", "", 40),
        Field("ActivatedDate", "datetime", ""),
        _lookup("ActivatedById", "User", ""),
        Field("Type", "picklist", length=40),
        _text("Name", length=80),
        _text("PoNumber", length=80),
        Field("PoDate", "date"),
        _text("OrderReferenceNumber", length=80),
        Field("OrderNumber", "string", "", length=30, auto_number=True),
        Field("Description", "textarea", length=32000),
        *_address("Billing"),
        *_address("Shipping"),
        _lookup("BillToContactId", "Contact"),
        _lookup("ShipToContactId", "Contact"),
        _money("TotalAmount", ""),
        _lookup("OwnerId", "User"),
        _currency("CU"),
        *fields_of("Order"),
    ]
    unmodelled = [
        *("BillingAddress", "ShippingAddress", "OpportunityId", "Opportunity", "QuoteId", "Quote", "RelatedOrderId"),
        *formulas_of("Order"),
    ]
    return SObject("Order", "801", fields, unmodelled=unmodelled)


def _order_item() -> SObject:
    fields = [
        _lookup("OrderId", "Order", "C", children="OrderItems"),
        _lookup("PricebookEntryId", "PricebookEntry", "C", children="OrderItems"),
        _lookup("Product2Id", "Product2", ""),
        _lookup("OriginalOrderItemId", "OrderItem", "CN"),
        _number("Quantity", "CU"),
        _number("AvailableQuantity", ""),
        # Nillable as describe says it is; an empty one is refused by a rule of its own.
        _money("UnitPrice"),
        _money("ListPrice", ""),
        _money("TotalPrice", ""),
        Field("ServiceDate", "date"),
        Field("EndDate", "date"),
        _text("Description"),
        Field("OrderItemNumber", "string", "", length=30, auto_number=True),
        _currency(""),
        *fields_of("OrderItem"),
    ]
    return SObject("OrderItem", "802", fields, unmodelled=["QuoteLineItemId", "BillingFrequency2", "ProductSellingModelId"])


def _product() -> SObject:
    fields = [
        _text("Name", "CU"),
        _text("ProductCode"),
        Field("Description", "textarea", length=4000),
        _flag("IsActive"),
        Field("Family", "picklist", length=255),
        _text("StockKeepingUnit", length=180),
        _text("ExternalId"),
        Field("QuantityUnitOfMeasure", "picklist", length=255),
        _flag("IsArchived", ""),
        *fields_of("Product2"),
    ]
    return SObject("Product2", "01t", fields)


def _pricebook() -> SObject:
    return SObject("Pricebook2", "01s", [_text("Name", "CU"), _flag("IsActive"), _flag("IsStandard", ""), _text("Description")])


def _pricebook_entry() -> SObject:
    fields = [
        _text("Name", ""),
        _text("ProductCode", ""),
        _lookup("Pricebook2Id", "Pricebook2", "C", children="PricebookEntries"),
        _lookup("Product2Id", "Product2", "C", children="PricebookEntries"),
        # Salesforce keeps eight decimals. That it rounds further ones, half up, is inferred.
        _money("UnitPrice", "CU"),
        _flag("IsActive"),
        _flag("UseStandardPrice"),
        _currency("C"),
        *fields_of("PricebookEntry"),
    ]
    return SObject("PricebookEntry", "01u", fields)


def _organization() -> SObject:
    fields = [_text("Name", ""), _flag("IsSandbox", ""), _text("TimeZoneSidKey", ""), _text("OrganizationType", "")]
    return SObject("Organization", "00D", fields, writable=False)


def _user() -> SObject:
    fields = [_text("Username", ""), _text("Name", ""), _flag("IsActive", ""), _text("TimeZoneSidKey", "")]
    return SObject("User", "005", fields, writable=False)


def _currency_type() -> SObject:
    fields = [_text("IsoCode", ""), _flag("IsActive", ""), _flag("IsCorporate", "")]
    return SObject("CurrencyType", "01L", fields, writable=False)


def _status_fields() -> list[Field]:
    return [_text("MasterLabel", ""), _text("ApiName", ""), _text("StatusCode", ""), _flag("IsDefault", "")]


def _order_status() -> SObject:
    return SObject("OrderStatus", "01o", _status_fields(), writable=False)


def _contract_status() -> SObject:
    return SObject("ContractStatus", "01c", _status_fields(), writable=False)


def _sync_log() -> SObject:
    fields = [
        Field("Name", "string", "", length=80, auto_number=True),
        *fields_of("Sync_Log__c"),
        _lookup("OwnerId", "User"),
    ]
    return SObject("Sync_Log__c", "a0A", fields)


def _stripe_package() -> list[SObject]:
    """Of Stripe's package, namespace stripeGC, the objects in which it mirrors the catalogue, and its accounts.

    Only these fields of theirs are published; whether Stripe's id is an external id there is not known.
    """
    mirror = [_text("Name", length=80), _text("stripeGC__Stripe_Id__c"), _flag("stripeGC__Livemode__c")]
    account = [_text("Name", length=80), _text("stripeGC__Stripe_Account_Id__c")]
    return [
        SObject("stripeGC__Product__c", "a0B", mirror),
        SObject("stripeGC__Price__c", "a0C", mirror),
        SObject("stripeGC__Stripe_Account__c", "a0D", account),
    ]
