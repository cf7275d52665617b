"""What keeps a customer from being made of an account."""

from __future__ import annotations

import pytest

from orderphase.domain.account import Account, Address, account_findings
from tests.domain.builders import line, order

ORDER = order("ORD-7A", line("802-1", "2025-01-01"), line("802-2", "2025-01-01"))


def test_an_account_with_a_name_will_do() -> None:
    assert list(account_findings(Account("001A", "Acme"), ORDER)) == []


def test_no_account() -> None:
    (found,) = account_findings(None, ORDER)
    assert (found.code, found.severity) == ("missing_account", "error")
    assert "order ORD-7A" in found.message
    assert (found.lines, found.orders) == (("802-1", "802-2"), (ORDER.id,))


@pytest.mark.parametrize("name", [None, "", "  "])
def test_an_account_without_a_name(name: str | None) -> None:
    (found,) = account_findings(Account("001A", name), ORDER)
    assert (found.code, found.severity) == ("missing_account_name", "error")
    assert "001A" in found.message
    assert "order ORD-7A" in found.message


def test_an_account_that_is_a_customer_needs_no_name() -> None:
    assert list(account_findings(Account("001A", customer_id="cus_1"), ORDER)) == []


def test_an_address_is_empty_where_nothing_is_entered() -> None:
    assert Address().empty
    assert Address("", "", "", "", "").empty
    assert not Address(country="DE").empty
