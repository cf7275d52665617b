"""Updates of subscription schedules: which phases can be sent, what becomes of them, and what the subscription sees at once."""

from __future__ import annotations

from collections.abc import Collection

from sandbox.stripe_emulator import invoice_items, phases, rules, schedules, subscriptions, views
from sandbox.stripe_emulator.account import Moment
from sandbox.stripe_emulator.errors import Json, StripeError, no_such, not_modelled
from sandbox.stripe_emulator.fields import merge_metadata, put


def update(moment: Moment, params: Json, object_id: str) -> Json:
    """Change a schedule that is not over.

    Stripe: phases that are sent replace the current and all future ones, whole; what is not sent with a phase is unset. Past
    phases stay and are not sent. Without `phases` they stay as they are; metadata merges. Default settings merge too, name by
    name, which Stripe does not say. `proration_behavior` has no effect but on the preview of the next invoice: nothing is
    billed here. The subscription is given the one-time items of a phase that begins now. What becomes of others that the
    current phase is sent with is not documented; they are not modelled unless the phase has them already.
    """
    schedule = moment.account.find("subscription_schedule", object_id)
    sent = params.get("phases")
    phases.check_references(moment, sent or [])
    rules.check("subscription_schedules.update", params)
    schedules.check_open(schedule, "update", "updated")
    found = resolved(moment, schedule, sent) if sent else None
    defaults = _defaults(schedule["default_settings"], params.get("default_settings", {}))
    rules.terms(_not_past(schedule) if found is None else found, defaults)
    # Nothing is refused from here on.
    before, was = moment.show(schedule), schedule["current_phase"]
    if found is not None:
        invoice_items.keep_prices(moment, found)
        past = schedule["phases"][: -len(_not_past(schedule))]
        schedule["phases"] = past + found
    schedule["default_settings"] = defaults
    schedule["end_behavior"] = params.get("end_behavior", schedule["end_behavior"])
    merge_metadata(schedule, params.get("metadata"))
    if was is not None and found is not None:
        schedules.set_current(schedule, next(phase for phase in found if phase["end_date"] > moment.now))
    elif was is None and schedule["phases"][0]["start_date"] <= moment.now:
        schedules.begin(moment, schedule)
    schedules.expect(moment, schedule)
    shown = moment.show(schedule)
    # Observed: of an update, the schedule's event comes before the subscription's.
    moment.emit("subscription_schedule.updated", shown, before)
    proration = params.get("proration_behavior", "create_prorations")
    if was is not None and was["start_date"] != schedule["current_phase"]["start_date"]:
        subscriptions.enter(moment, schedule, proration_behavior=proration)
    elif was is not None:
        subscriptions.follow(moment, schedule, phase_sent=found is not None, proration_behavior=proration)
    return shown


def _not_past(schedule: Json) -> list[Json]:
    """The current and the future phases; all of them before the start."""
    current = schedule["current_phase"]
    return [phase for phase in schedule["phases"] if current is None or phase["start_date"] >= current["start_date"]]


def _defaults(stored: Json, sent: Json) -> Json:
    merged: Json = views.copied(stored)
    put(merged, sent, ("billing_cycle_anchor", "collection_method", "description"))
    put(merged["invoice_settings"], sent.get("invoice_settings", {}), ("days_until_due", "description", "footer"))
    return merged


def resolved(moment: Moment, schedule: Json, sent: list[Json]) -> list[Json]:
    """The phase objects that are to replace the current and future ones; their references and rules are found in order already.

    Stripe's connector for Salesforce CPQ archives prices right after the schedule exists and sends them again: those that are
    on the schedule can be inactive.
    """
    flexible = schedule["billing_mode"]["type"] == "flexible"
    currency, held = phases.terms_of(schedule)
    currency = phases.check_state(moment, sent, flexible=flexible, currency=currency, held=held)
    start = sent[0]["start_date"]
    if schedule["status"] == "active":
        _check_start_of_current(schedule, start)
    elif isinstance(start, int) and start < moment.now:
        # That Stripe takes no new phase in the past is known, the wording is not.
        raise StripeError("The `start_date` of a new phase can not be in the past.", param="phases[0][start_date]")
    found = phases.resolve(moment, sent, phases.instant(moment, start), currency)
    running = {0} if schedule["status"] == "active" else set[int]()
    if found[0]["end_date"] <= moment.now:
        if sent[0].get("end_date") != "now":
            raise _only_to_the_future()
        if len(sent) == 1:
            raise not_modelled("the end of a schedule by an update; cancel or release it", "phases[0][end_date]")
        running = {0, 1}
    check_kept_discounts(moment, schedule, sent, running)
    if schedule["status"] == "active":
        said, held = found[0]["add_invoice_items"], subscriptions.current_phase(schedule)["add_invoice_items"]
        if said and not invoice_items.same(moment.account, held, said):
            raise not_modelled("other one-time items in the current phase", "phases[0][add_invoice_items]")
    return found


def _check_start_of_current(schedule: Json, start: int | str) -> None:
    """Stripe: the first phase that is sent is the current one, and its start is fixed; `now` is another start."""
    current = schedule["current_phase"]
    if start == current["start_date"]:
        return
    if isinstance(start, int) and start >= current["end_date"]:
        raise _only_to_the_future()
    if any(phase["start_date"] == start for phase in schedule["phases"]):
        message = "You can not update a phase that has already ended. Trying to update phase 0."
        raise StripeError(message, param="phases[0]")
    raise StripeError("You can not modify the start date of the current phase.", param="phases[0][start_date]")


def _only_to_the_future() -> StripeError:
    """Observed, when the end of the current phase is not in the future, and when that phase is not sent at all."""
    message = "You can only adjust the end date to a future date for the current phase."
    return StripeError(message, param="phases[0][end_date]")


def check_kept_discounts(moment: Moment, schedule: Json | None, sent: list[Json], running: Collection[int]) -> None:
    """A discount that is named by its id is one of the subscription's, at the place where it is already.

    schedule: None for one that does not exist. running: the numbers of the phases that are under way: the current one, and one
    that takes its place now.
    """
    if schedule is None or schedule["subscription"] is None:
        own: dict[str | None, list[str]] = {}
    else:
        subscription = moment.account.find("subscription", schedule["subscription"])
        own = {item["price"]: item["discounts"] for item in subscription["items"]["data"]}
        own[None] = subscription["discounts"]
    for entry in phases.sent_discounts(sent):
        kept = entry.value.get("discount")
        if kept is None:
            continue
        param = f"{entry.path}[discount]"
        if not any(kept in discounts for discounts in own.values()):
            raise no_such("discount", kept, param)
        if entry.phase not in running or kept not in own.get(entry.price, []):
            raise not_modelled("a discount that moves to another place or to a phase to come", param)
