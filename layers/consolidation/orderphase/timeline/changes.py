"""What a plan changes, told as a diff: one line for each thing that is added (`+`), changed (`~`) or removed (`-`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from orderphase.domain.calendar import day
from orderphase.domain.differences import Difference, differences
from orderphase.domain.money import major_units, price_text
from orderphase.domain.planning import Plan
from orderphase.domain.schedules import HeldSchedule, Span, held_spans, wanted_spans


def plan_changes(plan: Plan) -> list[Difference]:
    """What the request of a plan changes from now on, and the one-time items that it bills, in the order of time."""
    if plan.action == "nothing" or plan.attach is not None:
        return []
    situation = plan.situation
    schedule = situation.schedule if situation.schedule and situation.schedule.live else None
    before = _as_it_goes_on(held_spans(schedule, schedule.left), schedule) if schedule else []
    after = wanted_spans(plan.phases)
    if after and plan.end_behavior == "release":
        after[-1] = replace(after[-1], end=None)
    once = [
        Difference(one.start, one.end, "+", f"{_amount(one.amount, plan.currency)} once for {one.price}")
        for one in plan.caught_up
    ]
    if not any(span.end is None or span.end > situation.now for span in (*before, *after)):
        return once
    return once + differences(before, after, since=situation.now, currency=plan.currency)


def _as_it_goes_on(spans: list[Span], schedule: HeldSchedule) -> list[Span]:
    """Stripe: after a schedule that releases it, the subscription goes on with what it has."""
    return [*spans[:-1], replace(spans[-1], end=None)] if schedule.end_behavior == "release" else spans


def _amount(minor: int, currency: str) -> str:
    return f"{price_text(major_units(minor, currency), currency)} {currency}"


def head(plan: Plan, subject: str) -> str:
    """What is done to what; `subject` is the contract or the order, as in `contract 800…`."""
    if plan.refused:
        errors = sum(one.severity == "error" for one in plan.findings)
        return f"Orderphase will do nothing before {errors} {'error is' if errors == 1 else 'errors are'} corrected."
    if plan.action == "nothing":
        ends_at = plan.situation.ends_at
        if ends_at is None:
            return "Orderphase has nothing to do."
        last = f"nothing is billed from {day(ends_at, plan.situation.zone)} on"
        return f"The contract was cancelled: {last}. Orderphase has nothing to do."
    if plan.attach is not None:
        return f"Orderphase will create a schedule for {subject} of the subscription {plan.attach}; its phases follow."
    if plan.action == "create":
        return f"Orderphase will create a schedule for {subject}"
    assert plan.situation.schedule is not None  # noqa: S101 (every other action changes one)
    return f"Orderphase will {plan.action} schedule {plan.situation.schedule.id}"


def foot(plan: Plan, changes: Sequence[Difference]) -> list[str]:
    """How much that is, and when the phases for which Stripe has no room yet follow."""
    told = []
    if plan.action != "nothing" and plan.attach is None:
        count = Counter(one.sign for one in changes)
        told.append(f"Plan: {count['+']} to add, {count['~']} to change, {count['-']} to remove.")
    if plan.extend_at is not None:
        told.append(
            f"Stripe takes ten phases at a time; the next ones are added on {day(plan.extend_at, plan.situation.zone)}."
        )
    return told
