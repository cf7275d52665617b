"""Phases: what consolidation makes of order lines, and what becomes a Stripe subscription schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
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


def _slots(cls: type) -> list[Callable[[object, object], None]]:
    """What fills the slots of a frozen dataclass: `object.__setattr__`, as it is made by itself, takes twice as long."""
    return [vars(cls)[one.name].__set__ for one in fields(cls)]


@dataclass(frozen=True, slots=True, init=False)
class PhaseItem:
    """A price with its quantity during one phase, and the ids of the order lines that it comes from."""

    price: str
    quantity: int
    discount: Discount | None
    lines: tuple[str, ...]

    def __init__(self, price: str, quantity: int, discount: Discount | None, lines: tuple[str, ...]) -> None:
        _price(self, price)
        _quantity(self, quantity)
        _discount(self, discount)
        _lines(self, lines)


_price, _quantity, _discount, _lines = _slots(PhaseItem)


@dataclass(frozen=True, slots=True)
class PhaseSettings:
    """What the orders of a phase state about it; None = not stated."""

    collection_method: str | None = None
    days_until_due: int | None = None
    discount: Discount | None = None


_NOTHING_STATED = PhaseSettings()


@dataclass(frozen=True, slots=True, init=False)
class Phase:
    """A half-open interval `[start, end)` with its items and settings; `end` None = open."""

    start: datetime
    end: datetime | None
    items: tuple[PhaseItem, ...]
    settings: PhaseSettings

    def __init__(
        self, start: datetime, end: datetime | None, items: tuple[PhaseItem, ...], settings: PhaseSettings = _NOTHING_STATED
    ) -> None:
        _start(self, start)
        _end(self, end)
        _items(self, items)
        _settings(self, settings)

    def discounts(self) -> Iterator[tuple[Place, Discount]]:
        """Each place of the phase where there is a discount."""
        if self.settings.discount is not None:
            yield None, self.settings.discount
        yield from ((item.price, item.discount) for item in self.items if item.discount is not None)


_start, _end, _items, _settings = _slots(Phase)


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
