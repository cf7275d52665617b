"""What was sold, in few words, and what Stripe bills for it, in as few."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.flows.world import ACCOUNT, World
from tests.org import line

MOMENT = timedelta(minutes=1)
"""Long enough after another run that a run does not have to read again."""


@dataclass
class Deal:
    """A contract with its original order of one line, which has a schedule."""

    here: World
    account: str
    contract: str
    entry: str
    order: str

    @property
    def line(self) -> str:
        """The id of the original order's line."""
        return self.here.lines_of(self.order)[0]

    def change(self, *lines: dict[str, Any], **fields: Any) -> str:
        """A change order, activated and not yet synced."""
        return self.here.order(self.account, self.contract, *lines, **fields)

    def statuses(self) -> list[str | None]:
        """The sync status of each order of the contract, oldest first."""
        found = self.here.salesforce.query(
            f"SELECT Stripe_Sync_Status__c FROM Order WHERE ContractId = '{self.contract}' ORDER BY Id"
        )
        return [order["Stripe_Sync_Status__c"] for order in found]


def sold(
    here: World,
    start: str = "2026-12-01",
    end: str | None = "2027-12-01",
    *,
    policies: dict[str, Any] | None = None,
    **fields: Any,
) -> Deal:
    """Sell one line and sync it; `fields` are the line's. A moment later nothing is left in the logs."""
    account, entry = here.account(), here.entry()
    contract = here.contract(account)
    order = here.order(account, contract, line(entry, start, end, **fields), EffectiveDate=start)
    assert here.run(order, **(policies or {})).outcome == "synced"
    here.clock.advance(MOMENT)
    here.forget_calls()
    return Deal(here, account, contract, entry, order)


def contract_in(here: World, account: str, currency: str) -> str:
    """An activated contract in a currency of its own; its orders have the same."""
    values = {"AccountId": account, "Status": "Draft", "StartDate": "2026-01-01", "ContractTerm": 36}
    contract = here.salesforce.create("Contract", {**values, "CurrencyIsoCode": currency})
    here.salesforce.update("Contract", contract, {"Status": "Activated"})
    return contract


def at(here: World, day: str) -> None:
    """Let time pass until a day, at noon UTC and a part of a second, which Stripe does not know."""
    here.clock.set(datetime.fromisoformat(f"{day}T12:00:00.250250+00:00"), frozen=True)


def billed(here: World, schedule: dict[str, Any] | None = None) -> list[tuple[str, str, dict[str, int]]]:
    """The phases of the one schedule: from when to when which price book entry in which quantity."""
    entries = {price["id"]: price["metadata"].get("salesforce_pricebook_entry_id", price["id"]) for price in prices(here)}
    return [
        (
            day(phase["start_date"]),
            day(phase["end_date"]),
            {entries[item["price"]]: item["quantity"] for item in phase["items"]},
        )
        for phase in (schedule or here.schedule())["phases"]
    ]


def prices(here: World) -> list[dict[str, Any]]:
    """Every recurring price in Stripe."""
    return [price for price in here.stripe.objects(ACCOUNT, "price") if price["recurring"]]


def day(seconds: int) -> str:
    """A midnight as a date, any other time with its hours and minutes."""
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
    return text.removesuffix(" 00:00")


def sent(here: World) -> list[str]:
    """The requests to Stripe, as they were received."""
    return [f"{call.method} {call.path.partition('?')[0]}" for call in here.stripe.log]


def codes(report: Any) -> list[str]:
    """The codes of the findings of a report."""
    return [finding.code for finding in report.findings]
