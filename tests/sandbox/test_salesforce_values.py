"""Field values between JSON and Python, Salesforce's numbers on the wire, and record ids."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from sandbox.salesforce_emulator import Field, SalesforceError
from sandbox.salesforce_emulator.ids import checksum, make_id, to_18
from sandbox.salesforce_emulator.values import java_double, parse, render
from tests.sandbox.salesforce_org import catalogue, draft, line, served

TEXT = Field("Text__c", "string", length=5)
CHOICE = Field("Choice__c", "picklist", values=("a", "b"))
NUMBER = Field("Number__c", "double", precision=5, scale=2)
WHOLE = Field("Whole__c", "int")
FLAG = Field("Flag__c", "boolean", default=False)
DAY = Field("Day__c", "date")
MOMENT = Field("Moment__c", "datetime")
LOOKUP = Field("Lookup__c", "reference", references="Account")


@pytest.mark.parametrize(
    ("field", "given", "kept", "shown"),
    [
        (TEXT, "  a b ", "a b", "a b"),
        (TEXT, "   ", None, None),
        (TEXT, None, None, None),
        (CHOICE, "b", "b", "b"),
        (NUMBER, 3, Decimal("3.00"), 3.0),
        (NUMBER, "1.005", Decimal("1.01"), 1.01),
        (NUMBER, Decimal("-999.99"), Decimal("-999.99"), -999.99),
        (NUMBER, None, None, None),
        (WHOLE, 12, 12, 12),
        (WHOLE, "12.0", 12, 12),
        (FLAG, True, True, True),
        (DAY, "2027-02-28", date(2027, 2, 28), "2027-02-28"),
        (DAY, date(2027, 2, 28), date(2027, 2, 28), "2027-02-28"),
        (MOMENT, "2027-01-01T10:00:00.000+0000", datetime(2027, 1, 1, 10, tzinfo=UTC), "2027-01-01T10:00:00.000+0000"),
        (MOMENT, "2027-01-01T10:00:00.9Z", datetime(2027, 1, 1, 10, tzinfo=UTC), "2027-01-01T10:00:00.000+0000"),
        (
            MOMENT,
            datetime(2027, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))),
            datetime(2026, 12, 31, 23, tzinfo=UTC),
            "2026-12-31T23:00:00.000+0000",
        ),
        (LOOKUP, "001D000000IqhSL", "001D000000IqhSLIAZ", "001D000000IqhSLIAZ"),
    ],
)
def test_a_value_is_kept_and_shown(field: Field, given: Any, kept: Any, shown: Any) -> None:
    value = parse(field, given)
    assert (value, type(value)) == (kept, type(kept))
    assert (render(field, value), type(render(field, value))) == (shown, type(shown))


@pytest.mark.parametrize(
    ("field", "given", "code"),
    [
        (TEXT, 7, "JSON_PARSER_ERROR"),
        (TEXT, ["a"], "JSON_PARSER_ERROR"),
        (TEXT, "abcdef", "STRING_TOO_LONG"),
        (CHOICE, "A", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        (NUMBER, True, "JSON_PARSER_ERROR"),
        (NUMBER, "many", "JSON_PARSER_ERROR"),
        (NUMBER, "NaN", "JSON_PARSER_ERROR"),
        (NUMBER, {}, "JSON_PARSER_ERROR"),
        (NUMBER, 1000, "NUMBER_OUTSIDE_VALID_RANGE"),
        (NUMBER, "999.995", "NUMBER_OUTSIDE_VALID_RANGE"),
        (WHOLE, 1.5, "JSON_PARSER_ERROR"),
        (FLAG, "true", "JSON_PARSER_ERROR"),
        (DAY, "2027-02-29", "JSON_PARSER_ERROR"),
        (DAY, "20270228", "JSON_PARSER_ERROR"),
        (DAY, "2027-02-28T00:00:00Z", "JSON_PARSER_ERROR"),
        (DAY, datetime(2027, 2, 28, tzinfo=UTC), "JSON_PARSER_ERROR"),
        (DAY, 20270228, "JSON_PARSER_ERROR"),
        (MOMENT, "2027-02-28", "JSON_PARSER_ERROR"),
        (MOMENT, "2027-02-28T10:00:00", "JSON_PARSER_ERROR"),
        (MOMENT, "soon", "JSON_PARSER_ERROR"),
        (MOMENT, 0, "JSON_PARSER_ERROR"),
        (LOOKUP, "abc", "MALFORMED_ID"),
        (LOOKUP, 1, "JSON_PARSER_ERROR"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(field: Field, given: Any, code: str) -> None:
    with pytest.raises(SalesforceError) as caught:
        parse(field, given)
    assert (caught.value.status, caught.value.error_code) == (400, code)
    assert field.name in caught.value.message


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (3.0, "3.0"),
        (-1200.5, "-1200.5"),
        (0.001, "0.001"),
        (0.0001, "1.0E-4"),
        (9999999.99, "9999999.99"),
        (10_000_000.0, "1.0E7"),
        (-12_345_678.0, "-1.2345678E7"),
        (1e23, "1.0E23"),
    ],
)
def test_doubles_are_printed_as_java_prints_them(value: float, text: str) -> None:
    assert java_double(value) == text
    assert float(text) == value


def test_large_amounts_reach_the_wire_in_scientific_notation() -> None:
    with served() as org:
        stock = catalogue(org.emulator)
        org.emulator.create("OrderItem", line(stock, draft(org.emulator, stock), UnitPrice="12345678.5", Quantity=1))
        assert '"UnitPrice":1.23456785E7' in org.query("SELECT UnitPrice FROM OrderItem").text


def test_ids_have_the_checksum_of_salesforce() -> None:
    assert checksum("001D000000IqhSL") == "IAZ"
    assert to_18("001D000000IqhSL") == to_18("001D000000IqhSLIAZ") == "001D000000IqhSLIAZ"
    assert [to_18(text) for text in ("001D000000IqhSLIAA", "001D000000Iqh", "001D000000Iqh-L", "")] == [None] * 4
    assert len({make_id("801", number) for number in range(5000)}) == 5000
