"""Findings: their JSON, their sequence, and their text for a Salesforce field."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderphase.domain.findings import REMEDIES, as_text, finding, has_errors, in_order
from tests.domain.builders import moment
from tests.domain.strategies import thorough


def test_the_json() -> None:
    told = finding("phase_gap", "A gap.", lines=["b", "a", "b"], orders=["o", "o"], start=moment("2025-01-01"))
    assert told.as_dict() == {
        "code": "phase_gap",
        "severity": "error",
        "message": "A gap.",
        "lines": ["b", "a"],
        "orders": ["o"],
        "start": "2025-01-01T00:00:00Z",
        "end": None,
        "remedy": "Let the next line start where the one before ends, or add a line for the time between.",
    }


def test_an_unknown_code_is_a_bug() -> None:
    with pytest.raises(KeyError):
        finding("no_such_code", "What?")


def test_warnings_are_no_errors() -> None:
    warnings = [finding(code, "") for code in ("duplicate_line", "zero_quantity", "start_in_past", "unused_days_until_due")]
    assert not has_errors(warnings)
    assert has_errors([*warnings, finding("phase_gap", "")])


@pytest.mark.parametrize("code", REMEDIES)
def test_every_remedy_is_a_sentence(code: str) -> None:
    assert REMEDIES[code][0].isupper()
    assert REMEDIES[code].endswith(".")


def test_errors_come_first_then_the_earliest() -> None:
    warning = finding("zero_quantity", "", start=moment("2024-01-01"))
    later, earlier = finding("empty_line", "", start=moment("2025-02-01")), finding("phase_gap", "", start=moment("2025-01-01"))
    timeless = finding("currency_conflict", "")
    assert in_order([warning, later, earlier, timeless]) == (timeless, earlier, later, warning)


def test_the_text_numbers_each_finding_and_says_what_to_do() -> None:
    told = [finding("discount_conflict", "Two discounts."), finding("duplicate_line", "Twice.")]
    assert as_text(told, limit=1000) == (
        "1. Two discounts. Keep either the percentage or the amount.\n"
        "2. Twice. Nothing, if it was meant; otherwise end one of the lines, or choose the policy quantity_conflict: sum."
    )


def test_the_text_counts_what_does_not_fit() -> None:
    told = [finding("discount_conflict", "Two discounts.")] * 5
    first = "1. Two discounts. Keep either the percentage or the amount."
    expected = f"{first}\n… and 4 more: see the sync log."
    assert as_text(told, limit=len(expected)) == as_text(told, limit=140) == expected
    assert as_text(told, limit=len(expected) - 1) != expected


def test_a_text_of_exactly_the_limit_is_whole() -> None:
    told = [finding("discount_conflict", "Two discounts.")] * 5
    whole = as_text(told, limit=1000)
    assert as_text(told, limit=len(whole)) == whole
    assert "see the sync log" in as_text(told, limit=len(whole) - 1)


def test_a_first_finding_that_does_not_fit_is_cut() -> None:
    told = [finding("discount_conflict", "x" * 300)]
    assert as_text(told, limit=60) == "1. " + "x" * 24 + "…"
    assert as_text(told * 2, limit=60).endswith("x…\n… and 1 more: see the sync log.")


@thorough
@given(st.lists(st.text("x", max_size=80), min_size=1, max_size=12), st.integers(40, 400))
def test_the_text_never_exceeds_its_limit_and_leaves_out_no_count(messages: list[str], limit: int) -> None:
    text = as_text([finding("discount_conflict", message) for message in messages], limit=limit)
    assert len(text) <= limit
    *told, last = text.split("\n")
    if last.startswith("… and "):
        assert int(last.split()[2]) + len(told) == len(messages)
    else:
        assert len(told) + 1 == len(messages)
