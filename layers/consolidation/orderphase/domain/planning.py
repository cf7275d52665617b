"""Planning: from the phases that Salesforce wants to the exact request for Stripe."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from orderphase.domain.calendar import day, days_between, iso
from orderphase.domain.findings import Finding, finding, has_errors, in_order
from orderphase.domain.lines import Discount, Order, OrderLine
from orderphase.domain.money import plain, price_text, whole_minor_units
from orderphase.domain.phases import Consolidation, EndBehavior, Phase, PhaseItem, discount_as_dict
from orderphase.domain.policies import Policies

MAX_PHASES = 10
"""Stripe: at most 10 current and future phases."""

_METADATA_LENGTH = 500
"""Stripe: a metadata value has at most 500 characters."""

_OPEN_PHASE = {"interval": "year", "interval_count": 1}
"""How long an open phase is said to last. Stripe has no open phase: `end_behavior` release lets its subscription go on."""


@dataclass(frozen=True, slots=True)
class Coupon:
    """A coupon for one place: a phase, or one price in a phase. Amounts are in `currency`."""

    id: str
    discount: Discount
    currency: str

    def params(self, metadata: Mapping[str, str]) -> dict[str, Any]:
        """The request that creates it. It lasts as long as its phase: with the next one, Stripe removes a phase's discounts."""
        params: dict[str, Any] = {"id": self.id, "duration": "forever", "max_redemptions": 1, "metadata": dict(metadata)}
        if self.discount.percent_off is not None:
            return params | {
                "percent_off": float(self.discount.percent_off),
                "name": f"{plain(self.discount.percent_off)}% off",
            }
        amount = self.discount.amount_off
        assert amount is not None  # noqa: S101 (a discount has one of the two)
        name = f"{price_text(amount, self.currency)} {self.currency} off"
        return params | {
            "amount_off": whole_minor_units(amount, self.currency),
            "currency": self.currency.lower(),
            "name": name,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done for a contract that has no schedule yet: create one from these phases.

    phases: what is left of the consolidated phases from now on; without findings that are errors there is at least one.
    starts_now: whether the first phase begins with the request itself instead of at its own start.
    """

    phases: tuple[Phase, ...]
    starts_now: bool
    end_behavior: EndBehavior
    currency: str
    policies: Policies
    findings: tuple[Finding, ...]

    @property
    def refused(self) -> bool:
        """Whether a finding is an error, so that nothing may reach Stripe."""
        return has_errors(self.findings)

    def coupons(self, key: str) -> Iterator[tuple[tuple[int, str | None], Coupon]]:
        """One coupon for each place where a discount is used, by (number of the phase, price or None for the whole phase).

        An id is made of `key`, the place and the discount: the same intent names the same coupons whenever it is planned. So
        the place is not the phase's number, which falls as phases pass, nor its start, but its end.
        """
        for number, phase in enumerate(self.phases):
            places = [(None, phase.settings.discount), *((item.price, item.discount) for item in phase.items)]
            for price, discount in places:
                if discount is not None:
                    parts = (key, iso(phase.end), price, discount_as_dict(discount, self.currency), self.currency)
                    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
                    yield (number, price), Coupon(f"orderphase_{digest[:24]}", discount, self.currency)

    def params(
        self,
        *,
        customer: str,
        prices: Mapping[str, str],
        coupons: Mapping[tuple[int, str | None], str],
        metadata: Mapping[str, str],
    ) -> dict[str, Any]:
        """The request that creates the schedule.

        prices: the Stripe price for each price identity in the phases. metadata: what the schedule carries; the phases carry
        it too, because Stripe copies only theirs to the subscription.
        """
        return {
            "customer": customer,
            "start_date": "now" if self.starts_now else int(self.phases[0].start.timestamp()),
            "end_behavior": self.end_behavior,
            "billing_mode": {"type": self.policies.billing_mode},
            "metadata": dict(metadata),
            "phases": [self._phase(number, phase, prices, coupons, metadata) for number, phase in enumerate(self.phases)],
        }

    def _phase(
        self,
        number: int,
        phase: Phase,
        prices: Mapping[str, str],
        coupons: Mapping[tuple[int, str | None], str],
        metadata: Mapping[str, str],
    ) -> dict[str, Any]:
        settings = phase.settings
        params: dict[str, Any] = {
            "items": [self._item(item, prices[item.price], coupons.get((number, item.price))) for item in phase.items],
            "currency": self.currency.lower(),
            "proration_behavior": self.policies.proration_behavior,
            "billing_cycle_anchor": self.policies.billing_cycle_anchor,
            # Stripe: left out, the phase would inherit a discount of the customer.
            "discounts": [{"coupon": coupons[number, None]}] if settings.discount else "",
            "metadata": dict(metadata),
        }
        if settings.collection_method is not None:
            params["collection_method"] = settings.collection_method
        if settings.collection_method == "send_invoice":
            params["invoice_settings"] = {"days_until_due": settings.days_until_due}
        if phase.end is None:
            return params | {"duration": dict(_OPEN_PHASE)}
        return params | {"end_date": int(phase.end.timestamp())}

    @staticmethod
    def _item(item: PhaseItem, price: str, coupon: str | None) -> dict[str, Any]:
        metadata = {"salesforce_order_item_ids": joined(item.lines)}
        params: dict[str, Any] = {"price": price, "quantity": item.quantity, "metadata": metadata}
        return params | {"discounts": [{"coupon": coupon}]} if coupon else params


def plan_creation(consolidated: Consolidation, *, currency: str, now: datetime, policies: Policies) -> Plan:
    """Plan the schedule of a contract that has none. What has passed is not billed; the findings say so.

    currency: the contract's, where the orders state none. now: an instant in UTC.
    """
    phases = [phase for phase in consolidated.phases if phase.end is None or phase.end > now]
    findings = [*consolidated.findings]
    if not consolidated.refused:
        findings += _time_findings(consolidated.phases, phases, now, policies)
        findings += _settings_findings(phases)
        findings += _discount_findings(phases, consolidated.currency or currency)
    starts_now = bool(phases) and phases[0].start <= now
    if starts_now:
        phases[0] = replace(phases[0], start=now)
    return Plan(
        tuple(phases), starts_now, consolidated.end_behavior, consolidated.currency or currency, policies, in_order(findings)
    )


def as_sold(orders: Iterable[Order]) -> list[Order]:
    """The orders by what Salesforce alone says: each price by the line's own id of it, or by its price book entry.

    What became of an entry later (its Stripe price, its amount, its interval) makes no difference to what was sold.
    """
    return [replace(order, lines=tuple([_line_as_sold(line) for line in order.lines])) for order in orders]


def _line_as_sold(line: OrderLine) -> OrderLine:
    return replace(line, price_id=line.price_id or (line.entry.id if line.entry else None), entry=None)


def fingerprint(sold: Consolidation) -> str:
    """What a contract asks for, in 64 characters: prices, quantities, discounts, dates, currency, settings.

    sold: the orders consolidated as they were sold (`as_sold`). The same whenever it is taken and whatever the policies of
    billing are, so it tells whether a schedule was made of what the orders ask for now.
    """
    meaning: Any = sold.as_dict()
    del meaning["findings"]
    for phase in meaning["phases"]:
        for item in phase["items"]:
            del item["lines"]
        phase["items"].sort(key=lambda item: item["price"])
    meaning["currency"] = sold.currency
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()


def joined(ids: Sequence[str]) -> str:
    """Write ids as one metadata value, separated by commas; of too many, the first, and how many more there are."""
    text = ",".join(ids)
    if len(text) <= _METADATA_LENGTH:
        return text
    tail = f",+{len(ids)}"
    kept = text[: _METADATA_LENGTH - len(tail)].rsplit(",", 1)[0]
    return f"{kept},+{len(ids) - kept.count(',') - 1}"


def _time_findings(wanted: Sequence[Phase], left: Sequence[Phase], now: datetime, policies: Policies) -> Iterator[Finding]:
    zone = ZoneInfo(policies.time_zone)
    if not wanted:
        yield finding("nothing_to_bill", "No order line is left to bill.")
        return
    start, lines = wanted[0].start, _lines(wanted)
    if not left:
        end = wanted[-1].end
        yield finding(
            "end_in_past", f"Everything ended on {day(end or now, zone)}, before now.", lines=lines, start=start, end=end
        )
        return
    if len(left) > MAX_PHASES:
        message = f"The contract has {len(left)} phases from now on; Stripe takes {MAX_PHASES}."
        yield finding("too_many_phases", message, lines=_lines(left), start=left[0].start, end=left[-1].end)
    if start < now and (days := days_between(start, now, zone)):
        message = (
            f"The contract starts on {day(start, zone)}; {days} {'day' if days == 1 else 'days'} before today are not billed."
        )
        told = finding("start_in_past", message, lines=lines, start=start, end=now)
        yield replace(told, severity="error") if policies.backdating == "reject" else told


def _settings_findings(phases: Sequence[Phase]) -> Iterator[Finding]:
    missing = [p for p in phases if p.settings.collection_method == "send_invoice" and p.settings.days_until_due is None]
    if missing:
        message = "Invoices are to be sent, but no order says when they are due."
        yield finding("missing_days_until_due", message, lines=_lines(missing), start=missing[0].start, end=missing[-1].end)
    unused = [p for p in phases if p.settings.collection_method != "send_invoice" and p.settings.days_until_due is not None]
    if unused:
        message = "Days until due are stated, but Stripe charges automatically."
        yield finding("unused_days_until_due", message, lines=_lines(unused), start=unused[0].start, end=unused[-1].end)


def _discount_findings(phases: Sequence[Phase], currency: str) -> Iterator[Finding]:
    """Amounts that the currency cannot express, which consolidation does not know where the orders state none."""
    for phase in phases:
        places = [(phase.settings.discount, _lines([phase])), *((item.discount, item.lines) for item in phase.items)]
        for discount, lines in places:
            if discount is None or discount.amount_off is None:
                continue
            try:
                whole_minor_units(discount.amount_off, currency)
            except ValueError as problem:
                message = f"A discount cannot be given: {problem}."
                yield finding("discount_out_of_range", message, lines=lines, start=phase.start, end=phase.end)


def _lines(phases: Sequence[Phase]) -> list[str]:
    return list(dict.fromkeys(line for phase in phases for item in phase.items for line in item.lines))
