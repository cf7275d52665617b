"""Cancellations: when a contract is asked to end, and what is billed with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from orderphase.domain.calendar import day, end_instant
from orderphase.domain.findings import Finding, finding
from orderphase.domain.phases import Phase
from orderphase.domain.policies import Policies
from orderphase.domain.schedules import HeldSchedule


@dataclass(frozen=True, slots=True)
class CancellationRequest:
    """What is asked for.

    date: the last day or the first that is no longer billed, as the policy `end_dates` says; with the mode `on_date` alone.
    invoice_now, prorate: whether Stripe invoices at once what is pending, and credits the time that was paid and not used.
    """

    mode: Literal["now", "at_period_end", "on_date"] = "now"
    date: date | None = None
    invoice_now: bool = False
    prorate: bool = False


def end_of(request: CancellationRequest, schedule: HeldSchedule | None, *, now: datetime, policies: Policies) -> datetime:
    """When the contract is to end, to the second.

    A schedule that bills no more is over at once, whatever was asked for; so is a period where none is under way. Prices of
    different intervals have periods of their own: the contract ends with the last of them, so that nothing that was paid in
    advance is lost.
    """
    at_once = now.replace(microsecond=0)
    if schedule is not None and not schedule.bills:
        return at_once
    if request.mode == "on_date":
        if request.date is None:
            raise ValueError("a cancellation on a date has none")
        return end_instant(request.date, ZoneInfo(policies.time_zone), inclusive=policies.end_dates == "inclusive")
    if request.mode == "at_period_end" and schedule is not None and schedule.period_end is not None:
        return max(schedule.period_end, at_once)
    return at_once


def cancellation_findings(
    request: CancellationRequest,
    ends_at: datetime,
    phases: Sequence[Phase],
    schedule: HeldSchedule | None,
    *,
    now: datetime,
    policies: Policies,
) -> Iterator[Finding]:
    """Why a contract with these phases cannot end on the date that is asked for. One that is over already can."""
    if request.mode != "on_date" or (schedule is not None and not schedule.bills):
        return
    zone = ZoneInfo(policies.time_zone)
    if ends_at <= now:
        message = f"The contract is to end on {day(ends_at, zone)}, which is not in the future."
        yield finding("cancellation_in_past", message, end=ends_at)
    end = phases[-1].end if phases else None
    if end is not None and ends_at > end:
        message = f"The contract is to end on {day(ends_at, zone)}, but its orders end on {day(end, zone)} already."
        yield finding("cancellation_after_end", message, end=ends_at)
