"""Phases: what consolidation makes of order lines, and what becomes a Stripe subscription schedule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from orderphase.domain.calendar import iso
from orderphase.domain.findings import Finding, has_errors
from orderphase.domain.lines import Discount
from orderphase.domain.money import plain, price_text

EndBehavior = Literal["cancel", "release"]

type Place = str | None
"""Where a discount is: on the item of this price, or (None) on the whole phase."""


@dataclass(frozen=True, slots=True)
class PhaseItem:
    """A price with its quantity during one phase, and the ids of the order lines that it comes from."""

    price: str
    quantity: int
    discount: Discount | None
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PhaseSettings:
    """What the orders of a phase state about it; None = not stated."""

    collection_method: str | None = None
    days_until_due: int | None = None
    discount: Discount | None = None


@dataclass(frozen=True, slots=True)
class Phase:
    """A half-open interval `[start, end)` with its items and settings; `end` None = open."""

    start: datetime
    end: datetime | None
    items: tuple[PhaseItem, ...]
    settings: PhaseSettings = PhaseSettings()

    def discounts(self) -> Iterator[tuple[Place, Discount]]:
        """Each place of the phase where there is a discount."""
        if self.settings.discount is not None:
            yield None, self.settings.discount
        yield from ((item.price, item.discount) for item in self.items if item.discount is not None)


@dataclass(frozen=True, slots=True)
class Consolidation:
    """The phases of one contract, or the findings that prevent them: with an error finding there are no phases."""

    phases: tuple[Phase, ...]
    end_behavior: EndBehavior
    findings: tuple[Finding, ...]
    currency: str | None

    @property
    def refused(self) -> bool:
        """Whether a finding is an error."""
        return has_errors(self.findings)

    def as_dict(self) -> dict[str, Any]:
        """The consolidation as JSON, in the shape that `orderphase consolidate` answers."""
        return {
            "phases": [phase_as_dict(phase, self.currency) for phase in self.phases],
            "end_behavior": self.end_behavior,
            "findings": [one.as_dict() for one in self.findings],
        }


def discount_as_dict(discount: Discount | None, currency: str | None) -> dict[str, str] | None:
    """`{"percent_off": "10"}` or `{"amount_off": "5.00"}`."""
    if discount is None:
        return None
    if discount.percent_off is not None:
        return {"percent_off": plain(discount.percent_off)}
    assert discount.amount_off is not None  # noqa: S101 (a discount has one of the two)
    return {"amount_off": price_text(discount.amount_off, currency)}


def discount_text(percent_off: Decimal | None, amount_off: Decimal | None, currency: str | None) -> str:
    """Write a discount for a person: `10 percent`, `5.00 USD`."""
    parts = [f"{plain(percent_off)} percent"] if percent_off is not None else []
    if amount_off is not None:
        parts.append(" ".join(filter(None, (price_text(amount_off, currency), currency))))
    return " and ".join(parts)


def end_behavior(phases: Sequence[Phase]) -> EndBehavior:
    """What becomes of the subscription after these phases: it goes on where the last of them is open."""
    return "release" if phases and phases[-1].end is None else "cancel"


def phase_as_dict(phase: Phase, currency: str | None) -> dict[str, Any]:
    """A phase as JSON, in the shape that `orderphase consolidate` answers."""
    return {
        "start": iso(phase.start),
        "end": iso(phase.end),
        "items": [
            {
                "price": item.price,
                "quantity": item.quantity,
                "discount": discount_as_dict(item.discount, currency),
                "lines": list(item.lines),
            }
            for item in phase.items
        ],
        "settings": {
            "collection_method": phase.settings.collection_method,
            "days_until_due": phase.settings.days_until_due,
            "discount": discount_as_dict(phase.settings.discount, currency),
        },
    }
