"""Salesforce ids in one form."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderphase.ids import normalise_id

BASES = st.text(string.ascii_letters + string.digits, min_size=15, max_size=15)


@pytest.mark.parametrize(
    ("short", "complete"),
    [
        ("801000000000001", "801000000000001AAA"),
        ("00D000000000001", "00D000000000001EAA"),
        ("001A0000006Vm9r", "001A0000006Vm9rIAC"),
        ("001D000000IRFma", "001D000000IRFmaIAH"),
        ("ABCDEFGHIJKLMNO", "ABCDEFGHIJKLMNO555"),
    ],
)
def test_known_pairs(short: str, complete: str) -> None:
    assert normalise_id(short) == complete
    assert normalise_id(complete) == complete


@pytest.mark.parametrize(
    "value",
    [
        "",
        "801",
        "80100000000000",
        "8010000000000010",
        "801000000000001AA",
        "801000000000001AAAA",
        "801-00000000001",
        "80100000000000\u0661",
        "801000000000001\n",
        "801000000000001aaa",
        "801000000000001AA6",
    ],
)
def test_not_ids(value: str) -> None:
    with pytest.raises(ValueError, match="15 or 18 characters"):
        normalise_id(value)


@pytest.mark.parametrize("value", ["801000000000001AAB", "00d000000000001EAA", "00D000000000001AAA"])
def test_the_checksum_notices_a_changed_case(value: str) -> None:
    with pytest.raises(ValueError, match="last three characters"):
        normalise_id(value)


@given(BASES)
def test_normalising_twice_changes_nothing(base: str) -> None:
    complete = normalise_id(base)
    assert len(complete) == 18
    assert complete.startswith(base)
    assert normalise_id(complete) == complete


@given(BASES.filter(lambda base: base.swapcase() != base))
def test_ids_that_differ_in_case_differ_in_checksum(base: str) -> None:
    assert normalise_id(base)[15:] != normalise_id(base.swapcase())[15:]
