"""Planning: from what Salesforce has sold and what Stripe holds to the one request that leads from this to that.

The wanted phases come from Salesforce alone; nothing that Stripe holds is patched. What has passed stays as it was billed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from itertools import groupby, islice
from typing import Any, Literal
from zoneinfo import ZoneInfo

from orderphase.domain.backdating import CatchUp, Missed, SoldPrice, catch_up, days_missed, missed, missed_findings
from orderphase.domain.calendar import day, iso
from orderphase.domain.cancellation import CancellationRequest
from orderphase.domain.differences import differences
from orderphase.domain.findings import Finding, as_policy_says, finding, has_errors, in_order
from orderphase.domain.lines import Discount, Order
from orderphase.domain.money import whole_minor_units
from orderphase.domain.phases import Consolidation, EndBehavior, Phase, PhaseSettings, Place, end_behavior, phase_as_dict
from orderphase.domain.policies import Policies
from orderphase.domain.requests import Coupon, SentPhase, Terms, coupons, phase_params
from orderphase.domain.schedules import (
    SEND_INVOICE,
    HeldDiscount,
    HeldPhase,
    HeldSchedule,
    Span,
    as_phase,
    content_of,
    held_spans,
    wanted_spans,
)

MAX_PHASES = 10
"""Stripe: at most 10 current and future phases."""

RUNWAY = 5
"""With so many phases or fewer left of a longer series, the next ones are added."""

GENERATION = "orderphase_generation"
"""The metadata of a schedule that says which intent was last applied to it."""

ENDS_AT = "orderphase_ends_at"
"""The metadata of a schedule that says for when its contract was cancelled."""

Action = Literal["create", "update", "cancel", "nothing"]
"""What can be planned. To release a schedule would leave a subscription that nobody keeps in step, so that is never planned."""


@dataclass(frozen=True, slots=True)
class Situation:
    """Where a contract stands, beside what was sold.

    schedule: what Stripe holds. settled: the phases that were last applied; None = not known. applied: whether it was to this
    schedule, so that what differs now was changed by somebody else. taken_over: whether a live schedule without our mark is one
    that we have made of a subscription that was let go.
    ends_at: when the contract was cancelled for, and `cancellation` how; ending: whether this is the run that cancels it, which
    no finding about something else holds up. prices: what is known of the prices' amounts. adopted: what the orders say that
    somebody else has made the schedule of, where it is taken over now.
    currency: the contract's, where the orders state none. now: an instant in UTC.
    """

    now: datetime
    policies: Policies
    currency: str
    schedule: HeldSchedule | None = None
    settled: Sequence[Phase] | None = None
    applied: bool = False
    taken_over: bool = False
    ends_at: datetime | None = None
    cancellation: CancellationRequest = field(default_factory=CancellationRequest)
    ending: bool = False
    prices: Mapping[str, SoldPrice] = field(default_factory=dict)
    adopted: Sequence[Phase] | None = None

    @property
    def zone(self) -> ZoneInfo:
        """The billing zone."""
        return ZoneInfo(self.policies.time_zone)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done to Stripe, as one request; with a finding that is an error, nothing.

    wanted: everything that was sold, also what has passed. sent: the phases of the request. attach: the subscription that a
    new schedule takes over instead of making one; then the phases follow with the next plan. extend_at: when a series that is
    longer than Stripe takes needs its next phases.
    """

    action: Action
    situation: Situation
    findings: tuple[Finding, ...]
    currency: str
    wanted: tuple[Phase, ...] = ()
    sent: tuple[SentPhase, ...] = ()
    end_behavior: EndBehavior = "cancel"
    attach: str | None = None
    extend_at: datetime | None = None

    @property
    def refused(self) -> bool:
        """Whether a finding is an error, so that nothing may reach Stripe."""
        return has_errors(self.findings)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of the request from now on."""
        return tuple([one.phase for one in self.sent if not one.ends_now])

    @property
    def caught_up(self) -> list[CatchUp]:
        """The one-time items of the request."""
        return [item for one in self.sent for item in one.catch_up]

    def coupons(self, key: str) -> dict[tuple[int, Place], Coupon]:
        """The coupons that the request needs and that do not exist yet, by (number of the phase, place)."""
        return coupons(self.sent, key, self.currency)

    def params(
        self,
        *,
        customer: str | None,
        coupons: Mapping[tuple[int, Place], Coupon],
        metadata: Mapping[str, str],
        products: Mapping[str, str],
        generation: int | None = None,
        orders: Iterable[Order] = (),
    ) -> dict[str, Any]:
        """The parameters of the request. The schedule's id is no parameter but in the path.

        metadata: what the schedule carries; the phases carry it too, because Stripe copies only theirs to the subscription.
        generation: the number of the intent, which the schedule carries as well, so that it says whether it was carried out.
        products: the Stripe product of each price in `caught_up`. customer: None where it is still to be created.
        orders: whose metadata the phases and items carry.
        """
        if self.attach is not None:
            return {"from_subscription": self.attach}
        if self.action == "cancel":
            asked = self.situation.cancellation
            return {"invoice_now": asked.invoice_now, "prorate": asked.prorate}
        if self.action not in ("create", "update"):
            return {}
        lines = {line.id: line.metadata for order in orders for line in order.lines if line.metadata}
        of_phases = {line.id: order.metadata for order in orders if order.metadata for line in order.lines}
        terms = Terms(self.situation.now, self.currency, self.situation.policies, metadata, products, lines, of_phases)
        phases = [phase_params(number, sent, coupons, terms) for number, sent in enumerate(self.sent)]
        starts = ["now" if sent.starts_now else int(sent.phase.start.timestamp()) for sent in self.sent]
        marks = {} if generation is None else {GENERATION: str(generation)}
        if ends_at := iso(self.situation.ends_at):
            marks[ENDS_AT] = ends_at
        common = {"end_behavior": self.end_behavior, "metadata": {**metadata, **marks}}
        if self.action == "create":
            return {
                **({"customer": customer} if customer else {}),
                "start_date": starts[0],
                "billing_mode": {"type": self.situation.policies.billing_mode},
                **common,
                "phases": phases,
            }
        for number, sent in enumerate(self.sent):
            # Stripe: the first start anchors the ends; `now` is also said where one phase takes the place of another.
            if number == 0 or sent.starts_now:
                phases[number] = {"start_date": starts[number], **phases[number]}
        return {"proration_behavior": self._proration, **common, "phases": phases}

    @property
    def _proration(self) -> str:
        """What this request itself prorates: a cancellation says so by itself."""
        if self.situation.ending:
            return "create_prorations" if self.situation.cancellation.prorate else "none"
        return self.situation.policies.proration_behavior

    def as_dict(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The plan as JSON, in the shape that `orderphase plan` answers."""
        return {
            "action": self.action,
            "params": dict(params),
            "phases": [phase_as_dict(phase, self.currency) for phase in self.phases],
            "findings": [one.as_dict() for one in self.findings],
        }


def plan(consolidated: Consolidation, situation: Situation) -> Plan:
    """Plan what leads from what Stripe holds to what was sold.

    The same consolidation and situation give the same plan; once its request has been carried out, the next plan is `nothing`.
    """
    return _Planning(consolidated, situation).plan()


class _Planning:
    def __init__(self, consolidated: Consolidation, situation: Situation) -> None:
        # Stripe: every boundary is a whole second, so a phase that has begun in this one begins now.
        now = situation.now.replace(microsecond=0)
        current = situation.schedule.current if situation.schedule else None
        # A phase that Stripe has entered has begun, whatever our own clock says.
        self.now = max(now, current.start) if current else now
        self.situation = situation = replace(situation, now=self.now)
        self.policies, self.schedule = situation.policies, situation.schedule
        self.findings = [*consolidated.findings]
        self.refused = consolidated.refused
        self.currency = consolidated.currency or (self.schedule.currency if self.schedule else situation.currency)
        self.wanted = _until(_stated(consolidated.phases, self.policies), situation.ends_at)
        self.left = tuple([phase for phase in self.wanted if phase.end is None or phase.end > self.now])

    def plan(self) -> Plan:
        schedule, ends_at = self.schedule, self.situation.ends_at
        if ends_at is not None and (ends_at <= self.now or not (self.refused or self.left)):
            return self._end(schedule)
        if self.refused:
            return self._plan("nothing")
        if schedule is None:
            # A cancellation makes no schedule; the activation, when it comes, makes one that ends in time.
            return self._plan("nothing") if self.situation.ending else self._create()
        self.findings += _schedule_findings(schedule, self.currency)
        if self._is_over(schedule):
            return self._end(schedule)
        if not schedule.live:
            return self._after_the_end(schedule)
        if self.wanted and not self.left and schedule.left[-1].end <= self.now:
            return self._plan("nothing")  # Stripe is about to end it
        self._check_time()
        if schedule.current is not None:
            self._check_start()
        return self._update(schedule)

    def _is_over(self, schedule: HeldSchedule) -> bool:
        """Whether everything that was applied has ended, but the subscription goes on: its last phases had come too late.

        A schedule that bears our mark would have ended it; one that has none has only taken the subscription over.
        """
        settled = self.situation.settled
        if self.left or not settled or settled[-1].end is None or settled[-1].end > self.now or settled[-1].end != self._last:
            return False
        if schedule.live:
            return self.situation.taken_over and GENERATION not in schedule.metadata
        return schedule.ran_out and schedule.subscription_lives

    @property
    def _last(self) -> datetime | None:
        return self.wanted[-1].end if self.wanted else None

    def _end(self, schedule: HeldSchedule | None) -> Plan:
        """The contract is over, by a cancellation or by itself, and nothing of it is left.

        What is wrong with its orders makes no difference any more.
        """
        self.findings = []
        if schedule is not None and schedule.live:
            return self._plan("cancel")
        if schedule is not None and schedule.subscription_lives:
            return self._plan("create", attach=schedule.subscription_id)  # to be cancelled with the next plan
        return self._plan("nothing")

    def _plan(self, action: Action, **more: Any) -> Plan:
        """The plan; with an error among the findings, it does nothing."""
        findings = in_order(self.findings)
        if has_errors(findings):
            return Plan("nothing", self.situation, findings, self.currency, self.wanted)
        return Plan(action, self.situation, findings, self.currency, self.wanted, **more)

    def _tell(self, code: str, message: str, phases: Iterable[Phase], *, refuse: bool | None = None) -> None:
        phases = list(phases)
        start, end = (phases[0].start, phases[-1].end) if phases else (None, None)
        told = finding(code, message, lines=_lines(phases), start=start, end=end)
        self.findings.append(told if refuse is None else as_policy_says(told, refuse=refuse))

    def _day(self, moment: datetime) -> str:
        return day(moment, self.situation.zone)

    def _check_time(self) -> None:
        """Tell where nothing is left to bill, or Stripe could not bill it so."""
        if not self.wanted:
            self._tell("nothing_to_bill", "No order line is left to bill.", ())
        elif not self.left:
            end = self.wanted[-1].end or self.now
            self._tell("end_in_past", f"Everything ended on {self._day(end)}, before now.", self.wanted)
        self.findings += _settings_findings(self.left)
        self.findings += _discount_findings(self.left, self.currency)

    def _check_start(self) -> None:
        """Tell where what is billed already is to begin some day to come."""
        if self.left and self.left[0].start > self.now:
            message = f"The contract now starts on {self._day(self.left[0].start)}, but it is billed already."
            self._tell("starts_later", message, self.left[:1])

    def _create(self) -> Plan:
        self._check_time()
        if not self.left:
            return self._plan("nothing")
        extra = self._past()
        left = [*islice(_joined(self.left), MAX_PHASES + 1)]
        phases, behavior = _window(left, MAX_PHASES)
        starts_now = phases[0].start <= self.now
        first = replace(phases[0], start=self.now) if starts_now else phases[0]
        sent = [SentPhase(first, starts_now=starts_now, catch_up=extra), *(SentPhase(phase) for phase in phases[1:])]
        return self._plan("create", sent=tuple(sent), end_behavior=behavior, extend_at=_extend_at(phases, left))

    def _after_the_end(self, schedule: HeldSchedule) -> Plan:
        """The schedule is over. That is as wanted, or came of itself, or somebody else has ended it."""
        let_go = schedule.ran_out and schedule.subscription_lives
        if not self.left and not let_go:
            if schedule.subscription_lives and self._last is not None:
                goes_on = f"the subscription {schedule.subscription_id} goes on"
                self._tell("end_in_past", f"Everything ended on {self._day(self._last)}, but {goes_on}.", self.wanted)
            elif self.situation.settled is not None:
                self._past()
            return self._plan("nothing")
        self._check_time()
        if not self.left:
            return self._plan("nothing")
        changes = []
        if schedule.subscription_lives:
            # What would be refused once a new schedule has taken the subscription over, is refused before.
            self._check_start()
            changes = self._past()
        if schedule.bare:
            self._check_adopted(schedule, held_spans(schedule, schedule.phases))
        elif let_go and not changes and _goes_on(schedule, self.left):
            return self._plan("nothing")
        if not let_go:
            how = "is over" if schedule.ran_out else f"was {schedule.status}"
            ending = schedule.subscription_lives and self.situation.ends_at is not None
            refuse = self.policies.on_schedule_ended == "error" and not ending
            self._tell(
                "schedule_ended", f"The schedule {schedule.id} {how}, but there is more to bill.", self.left, refuse=refuse
            )
        if schedule.subscription_lives:
            # Beside the subscription that goes on, a new one would bill everything twice.
            return self._plan("create", attach=schedule.subscription_id)
        return self._create()

    def _update(self, schedule: HeldSchedule) -> Plan:
        changes = self._past() if self.left else []
        held = self._held(schedule)
        # Those that can be sent, or that are held; one more says whether they are all.
        left = [*islice(_joined(self.left), max(MAX_PHASES, len(held)) + 1)]
        spans = wanted_spans(left)
        self._check_drift(schedule, spans, held)
        self._check_adopted(schedule, held)
        if not left:
            return self._plan("nothing")
        if not changes and agrees(schedule, held, spans, runway=RUNWAY):
            return self._plan("nothing", extend_at=_extend_at(left[: len(held)], left))
        self._check_items(schedule)
        head = self._head(schedule, left[0], split=bool(changes))
        window, behavior = _window(left, MAX_PHASES - len(head) + 1)
        stock = _Stock(schedule)
        running = head[-1]
        sent = [
            *head[:-1],
            replace(running, kept=stock.kept(running.phase, runs=schedule.current is not None), catch_up=tuple(changes)),
            *(SentPhase(phase, kept=stock.kept(phase, runs=False)) for phase in window[1:]),
        ]
        return self._plan("update", sent=tuple(sent), end_behavior=behavior, extend_at=_extend_at(window, left))

    def _held(self, schedule: HeldSchedule) -> list[Span]:
        """What a live schedule bills from now on. Stripe enters a phase some time after it begins, and may be a little late."""
        held = [phase for phase in schedule.left if phase.end > self.now]
        return held_spans(schedule, held or schedule.left[-1:])

    def _head(self, schedule: HeldSchedule, first: Phase, *, split: bool) -> list[SentPhase]:
        """The phase that is wanted now; before it the one that has to end for it, where it came in between.

        Stripe: the start of the current phase is fixed. One that says something else from its very start on is changed itself.
        """
        current = schedule.current
        if current is None:
            # A start that Stripe has not reached yet by its own clock is kept: the billing day is made of it.
            starts_now = first.start <= self.now and first.start != schedule.phases[0].start
            return [SentPhase(replace(first, start=self.now) if starts_now else first, starts_now=starts_now)]
        same = held_spans(schedule, [current])[0].content == content_of(first)
        in_between = not same and current.start < first.start
        if (in_between or split) and current.start < self.now:
            ending = SentPhase(as_phase(schedule, current), ends_now=True, kept=current.discounts)
            return [ending, SentPhase(replace(first, start=self.now), starts_now=True)]
        return [SentPhase(replace(first, start=current.start))]

    def _settled(self) -> Sequence[Phase]:
        """What the time before now is settled by: what was last applied; where that is not known, what Stripe has billed."""
        if self.situation.settled is not None:
            return self.situation.settled
        schedule = self.schedule
        if schedule is None or schedule.status == "not_started" or schedule.phases[0].start > (schedule.ended_at or self.now):
            return ()
        billed = [_billed(schedule, phase) for phase in schedule.phases if phase.start <= self.now]
        if not schedule.live and schedule.subscription_lives:
            billed[-1] = replace(billed[-1], end=None)
        return billed

    def _past(self) -> list[CatchUp]:
        """Tell what of the past is not billed as it was sold, and by what it is caught up if the policy says so."""
        if self.situation.ending:
            return []  # a cancellation changes nothing about the past
        settled = self._settled()
        intervals = missed(self.wanted, settled, now=self.now)
        if self.situation.settled is None and settled:
            # What came before the schedule has begun was settled when it was made.
            intervals = [one for one in intervals if one.start >= settled[0].start]
            if self.policies.backdating == "catch_up":
                self.findings += [self._not_caught_up(one) for one in intervals]
                return []
        zone = self.situation.zone
        if self.policies.backdating == "catch_up" and not self.left:
            self.findings += [self._too_late(one) for one in intervals]
            return []
        if self.policies.backdating == "catch_up":
            if not days_missed(intervals, zone):
                return []  # parts of a day are not billed after the fact
            anchor = self.wanted[0].start if self.wanted else self.now
            items, problems = catch_up(intervals, self.situation.prices, anchor=anchor, zone=zone, currency=self.currency)
            self.findings += problems
            return items
        new = not settled
        refuse = self.policies.backdating == "reject"
        self.findings += [as_policy_says(one, refuse=refuse) for one in missed_findings(intervals, new=new, zone=zone)]
        return []

    def _too_late(self, one: Missed) -> Finding:
        """One-time items come with a phase, and there is none any more."""
        message = (
            f"Orders change what was sold from {self._day(one.start)} to {self._day(one.end)}, "
            "but the contract is over, so that is not caught up."
        )
        return finding("catch_up_unknown", message, lines=one.lines, start=one.start, end=one.end)

    def _not_caught_up(self, one: Missed) -> Finding:
        """Phases tell nothing of the one-time items that were billed before, and nothing may be billed twice."""
        message = (
            f"Orders say something else from {self._day(one.start)} to {self._day(one.end)} than the schedule. "
            "Whether that is caught up already is not known, so it is not done again."
        )
        found = finding("catch_up_unknown", message, lines=one.lines, start=one.start, end=one.end)
        return as_policy_says(found, refuse=False)

    def _check_drift(self, schedule: HeldSchedule, spans: Sequence[Span], held: Sequence[Span]) -> None:
        """Has somebody else changed what is still to come? Not where it says what is wanted now anyway."""
        settled = self.situation.settled
        if settled is None or not self.situation.applied or agrees(schedule, held, spans, runway=0):
            return
        if schedule.left[-1].end <= self.now:
            return  # Stripe is about to let it go
        applied = tuple([phase for phase in settled if phase.end is None or phase.end > self.now])
        if not applied or agrees(schedule, held, wanted_spans(applied, limit=len(held) + 1), runway=0):
            return
        if schedule.end_behavior == "release":  # what comes after its last phase, the schedule leaves open
            applied = _until(applied, held[-1].end)
        message = f"The schedule {schedule.id} was changed in Stripe: {self._differing(applied, held)}."
        self._tell("schedule_edited", message, self.left, refuse=self._refuses_drift)

    @property
    def _refuses_drift(self) -> bool:
        return self.policies.on_drift == "error" and not self.situation.ending

    def _differing(self, phases: Sequence[Phase], held: Sequence[Span]) -> str:
        found = differences(wanted_spans(phases), held, since=self.now, currency=self.currency)
        # What holds already is told without the moment: in the next run it holds as well, and is nothing new.
        since = {one.start: "now on" if one.start == self.now else self._day(one.start) for one in found}
        told = "; ".join(f"{one.what} from {since[one.start]}" for one in found[:_TOLD]) or "its end"
        return told + (f"; and {len(found) - _TOLD} more" if len(found) > _TOLD else "")

    def _check_adopted(self, schedule: HeldSchedule, held: Sequence[Span]) -> None:
        """Does what somebody else has made bill what its orders say? What was sold since is no difference."""
        if self.situation.adopted is None:
            return
        sold = _until(_stated(self.situation.adopted, self.policies), self.situation.ends_at)
        left = [*_joined(phase for phase in sold if phase.end is None or phase.end > self.now)]
        if not agrees(schedule, held, wanted_spans(left, limit=len(held) + 1), runway=0):
            what = "subscription" if schedule.bare else "schedule"
            message = f"The {what} {schedule.id} bills something else than its orders say: {self._differing(left, held)}."
            self._tell("adopted_differs", message, self.left, refuse=self._refuses_drift)

    def _check_items(self, schedule: HeldSchedule) -> None:
        """Are there one-time items that an update would drop? Stripe: what is not sent again is gone; ours come at once."""
        ahead = [phase for phase in schedule.left if phase is not schedule.current and phase.one_time]
        if ahead:
            days = ", ".join(self._day(phase.start) for phase in ahead)
            message = f"The schedule {schedule.id} has one-time items in its phases from {days} on, which the change drops."
            self._tell("items_dropped", message, self.left, refuse=self._refuses_drift)


_TOLD = 10
"""So many differences are told."""


def agrees(schedule: HeldSchedule, held: Sequence[Span], wanted: Sequence[Span], *, runway: int) -> bool:
    """Whether what a live schedule holds is what is wanted: all of it, or of a longer series more than `runway` phases."""
    count = len(held)
    whole = count == len(wanted)
    if not count or not (whole or runway < count < len(wanted)):
        return False
    expected = wanted[:count]
    lets_go = not whole or expected[-1].end is None
    if (schedule.end_behavior == "release") != lets_go:
        return False
    if schedule.current is None and held[0].start != expected[0].start:
        return False
    if any(one.content != other.content for one, other in zip(held, expected, strict=True)):
        return False
    ends = [(one.end, other.end) for one, other in zip(held, expected, strict=True)]
    return all(one == other or other is None for one, other in ends)


def _goes_on(schedule: HeldSchedule, left: Sequence[Phase]) -> bool:
    """Whether the subscription that a schedule has let go bills what is left: one open phase."""
    last = held_spans(schedule, schedule.phases[-1:])
    return len(left) == 1 and left[0].end is None and last[0].content == content_of(left[0])


def _stated(phases: Iterable[Phase], policies: Policies) -> tuple[Phase, ...]:
    """The phases, where what no order states is stated by the deployment's own choice."""
    if policies.collection_method != SEND_INVOICE:
        return tuple(phases)
    # Few settings serve all phases.
    settings = {stated: _with_defaults(stated, policies) for stated in {phase.settings for phase in phases}}
    return tuple([Phase(phase.start, phase.end, phase.items, settings[phase.settings]) for phase in phases])


def _with_defaults(settings: PhaseSettings, policies: Policies) -> PhaseSettings:
    method, days = settings.collection_method or policies.collection_method, settings.days_until_due
    if method == SEND_INVOICE and days is None:
        days = policies.days_until_due
    return replace(settings, collection_method=method, days_until_due=days)


def _until(phases: Sequence[Phase], end: datetime | None) -> tuple[Phase, ...]:
    """The phases up to an end; all of them where there is none."""
    if end is None:
        return tuple(phases)
    kept = [phase for phase in phases if phase.start < end]
    if kept and (kept[-1].end is None or kept[-1].end > end):
        kept[-1] = replace(kept[-1], end=end)
    return tuple(kept)


def _joined(phases: Iterable[Phase]) -> Iterator[Phase]:
    """The phases with neighbours that bill the same as one: what an order states may be what Stripe does anyway."""
    for _, alike in groupby(phases, content_of):
        first, *others = alike
        lines = {item.price: dict.fromkeys(item.lines) for item in first.items} if others else {}
        for phase in others:
            for item in phase.items:
                lines[item.price].update(dict.fromkeys(item.lines))
        items = [replace(item, lines=tuple(lines[item.price])) for item in first.items] if others else first.items
        yield replace(first, end=others[-1].end, items=tuple(items)) if others else first


def _window(phases: Sequence[Phase], size: int) -> tuple[Sequence[Phase], EndBehavior]:
    """As many phases as Stripe takes. After a part of them it lets go, so that nobody is cut off where the rest comes late."""
    return (phases, end_behavior(phases)) if len(phases) <= size else (phases[:size], "release")


def _extend_at(ahead: Sequence[Phase], left: Sequence[Phase]) -> datetime | None:
    """When only the runway is left of the phases that Stripe has, and there are more."""
    return ahead[max(len(ahead) - RUNWAY, 0)].start if len(ahead) < len(left) else None


class _Stock:
    """The discounts that a schedule has and that can stay: those that run where they are, and coupons not yet redeemed."""

    def __init__(self, schedule: HeldSchedule) -> None:
        self._current: HeldPhase | None = schedule.current
        self._waiting: dict[tuple[Place, Discount], list[HeldDiscount]] = defaultdict(list)
        for phase in schedule.left:
            if phase is schedule.current:
                continue
            for place, discounts in phase.discounts.items():
                for one in discounts:
                    if one.value is not None and one.coupon and len(discounts) == 1:
                        self._waiting[place, one.value].append(one)

    def kept(self, phase: Phase, *, runs: bool) -> dict[Place, Sequence[HeldDiscount]]:
        """For each discount of `phase` that there is already, what keeps it. Each coupon serves one place."""
        kept: dict[Place, Sequence[HeldDiscount]] = {}
        for place, discount in phase.discounts():
            held = self._current.discounts_at(place) if runs and self._current else ()
            if ours := [one for one in held if one.value == discount]:
                kept[place] = ours[:1]
            elif waiting := self._waiting[place, discount]:
                kept[place] = [waiting.pop(0)]
        return kept


def _billed(schedule: HeldSchedule, phase: HeldPhase) -> Phase:
    """A held phase with the values of its discounts, to be compared with what was sold."""
    held = as_phase(schedule, phase)
    items = tuple([replace(item, discount=_value(phase.discounts_at(item.price))) for item in held.items])
    return replace(held, items=items, settings=replace(held.settings, discount=_value(phase.discounts_at(None))))


def _value(discounts: Sequence[HeldDiscount]) -> Discount | None:
    return discounts[0].value if len(discounts) == 1 else None


def _schedule_findings(schedule: HeldSchedule, currency: str) -> Iterator[Finding]:
    if schedule.customer_deleted:
        message = f"The customer {schedule.customer} of the schedule {schedule.id} was deleted in Stripe."
        yield finding("customer_deleted", message)
    if schedule.bills and schedule.currency.upper() != currency.upper():
        message = f"The schedule {schedule.id} bills in {schedule.currency.upper()}, but the orders are in {currency.upper()}."
        yield finding("currency_conflict", message)


def _settings_findings(phases: Sequence[Phase]) -> Iterator[Finding]:
    missing = [p for p in phases if p.settings.collection_method == SEND_INVOICE and p.settings.days_until_due is None]
    if missing:
        message = "Invoices are to be sent, but no order says when they are due."
        yield finding("missing_days_until_due", message, lines=_lines(missing), start=missing[0].start, end=missing[-1].end)
    unused = [p for p in phases if p.settings.collection_method != SEND_INVOICE and p.settings.days_until_due is not None]
    if unused:
        message = "Days until due are stated, but Stripe charges automatically."
        yield finding("unused_days_until_due", message, lines=_lines(unused), start=unused[0].start, end=unused[-1].end)


def _discount_findings(phases: Sequence[Phase], currency: str) -> Iterator[Finding]:
    """Amounts that the currency cannot express, which consolidation does not know where the orders state none."""
    amounts = {item.discount.amount_off for phase in phases for item in phase.items if item.discount is not None}
    amounts |= {phase.settings.discount.amount_off for phase in phases if phase.settings.discount is not None}
    problems = {amount: problem for amount in amounts if amount is not None and (problem := _problem(amount, currency))}
    for phase in phases if problems else ():
        places = [(phase.settings.discount, _lines([phase])), *((item.discount, item.lines) for item in phase.items)]
        for discount, lines in places:
            if discount is not None and discount.amount_off in problems:
                message = f"A discount cannot be given: {problems[discount.amount_off]}."
                yield finding("discount_out_of_range", message, lines=lines, start=phase.start, end=phase.end)


def _problem(amount: Decimal, currency: str) -> str | None:
    try:
        whole_minor_units(amount, currency)
    except ValueError as problem:
        return str(problem)
    return None


def _lines(phases: Iterable[Phase]) -> list[str]:
    return list(dict.fromkeys(line for phase in phases for item in phase.items for line in item.lines))
