"""What people do to a subscription itself, past its schedule: change items and discounts, set metadata, cancel it."""

from __future__ import annotations

from collections import Counter

from sandbox.stripe_emulator import coupons, phases, rules, schedules, subscriptions, views
from sandbox.stripe_emulator.account import Moment
from sandbox.stripe_emulator.errors import Json, StripeError, no_such, not_modelled
from sandbox.stripe_emulator.fields import merge_metadata

# Stripe: all that a canceled subscription still takes, but for `cancellation_details`.
_AFTER_THE_END = frozenset({"metadata", "expand"})

# The discounts that are sent for items, by the item's id. Items without an entry keep what they have.
_ItemDiscounts = dict[str, list[Json]]


def update(moment: Moment, params: Json, object_id: str) -> Json:
    """Change a subscription directly.

    Stripe: of a subscription that has a schedule, this may silently split the current phase in two; metadata does not reach
    the phase, and the end is the schedule's alone. Here a change of items or discounts always splits it, unless the phase has
    begun this second: then the phase itself changes. `proration_behavior` has no effect but on the preview of the next invoice:
    nothing is billed here.
    """
    subscription = moment.account.find("subscription", object_id)
    if subscription["status"] == "canceled" and not params.keys() <= _AFTER_THE_END:
        message = "A canceled subscription can only update its cancellation_details and metadata."
        raise StripeError(message, code="invalid_canceled_subscription_fields")
    _check_end(subscription, params)
    items, item_discounts = _edited(moment, subscription, params.get("items", []))
    _check_discounts(moment, subscription, params)
    # Nothing is refused from here on.
    before, terms, was = moment.show(subscription), _terms(subscription), subscriptions.billing(moment, subscription)
    merge_metadata(subscription, params.get("metadata"))
    # Stripe: an empty list leaves the discounts as they are, an empty string clears them.
    discounts = [] if params.get("discounts") == "" else params.get("discounts") or None
    for item in items:
        if item["id"] in item_discounts:
            sent = item_discounts[item["id"]]
            item["discounts"] = subscriptions.redeem(moment, subscription, sent, since=moment.now, item=item["id"])
    if discounts is not None:
        subscription["discounts"] = subscriptions.redeem(moment, subscription, discounts, since=moment.now)
    if "items" in params:
        subscriptions.put_items(moment, subscription, items)
        subscriptions.set_periods(moment, subscription)
        subscriptions.settle(moment, subscription, was, params.get("proration_behavior", "create_prorations"))
    shown = moment.show(subscription)
    moment.emit("customer.subscription.updated", shown, before)
    if subscription["schedule"] and _terms(subscription) != terms:
        schedule = moment.account.find("subscription_schedule", subscription["schedule"])
        _split(moment, schedule, items, item_discounts, discounts)
    return shown


def cancel(moment: Moment, _: Json, object_id: str) -> Json:
    """Cancel a subscription at once; its schedule ends as `canceled`. One that is canceled already counts as absent.

    What becomes of the schedule follows from Stripe's events, it is not documented. `invoice_now` and `prorate` have no effect:
    nothing is billed here.
    """
    subscription = moment.account.find("subscription", object_id)
    if subscription["status"] == "canceled":
        raise no_such("subscription", object_id)
    subscriptions.cancel(moment, subscription)
    if subscription["schedule"]:
        schedules.close(moment, moment.account.find("subscription_schedule", subscription["schedule"]), "canceled")
    return moment.show(subscription)


def _check_end(subscription: Json, params: Json) -> None:
    for name in ("cancel_at", "cancel_at_period_end"):
        if name not in params:
            continue
        if subscription["schedule"] is None:
            raise not_modelled(f"{name} of a subscription without a schedule", name)
        raise StripeError(
            f"The subscription is managed by the subscription schedule `{subscription['schedule']}`, and updating any "
            "cancelation behavior directly is not allowed. Please update the schedule instead.",
            param=name,
        )


def _edited(moment: Moment, subscription: Json, sent: list[Json]) -> tuple[list[Json], _ItemDiscounts]:
    """The items as they are to be. Stripe: an entry with an `id` changes that item, one without adds one; the others stay."""
    items = {item["id"]: views.copied(item) for item in subscription["items"]["data"]}
    discounts: _ItemDiscounts = {}
    for index, entry in enumerate(sent):
        path = f"items[{index}]"
        if "price" in entry:
            _check_price(moment, subscription, entry["price"], f"{path}[price]")
        if "id" not in entry:
            item = subscriptions.new_item(moment, subscription, entry["price"])
            items[item["id"]] = item
        elif entry["id"] not in items:
            raise no_such("subscription_item", entry["id"], f"{path}[id]")
        elif entry.get("deleted", False):
            del items[entry["id"]]
            continue
        else:
            item = items[entry["id"]]
        if entry.get("price", item["price"]) != item["price"]:
            # Stripe: with another price the quantity is 1 unless one is sent.
            item.update(price=entry["price"], quantity=1)
        item["quantity"] = entry.get("quantity", item["quantity"])
        merge_metadata(item, entry.get("metadata"))
        if "discounts" in entry:
            discounts[item["id"]] = entry["discounts"] or []
    _check_together(moment, subscription, [item["price"] for item in items.values()])
    return list(items.values()), discounts


def _check_price(moment: Moment, subscription: Json, price_id: str, param: str) -> None:
    price = moment.account.find("price", price_id, param)
    held = [item["price"] for item in subscription["items"]["data"]]
    phases.check_price(moment, price_id, param, "recurring", held)
    if price["currency"] != subscription["currency"]:
        raise phases.mismatch("currency", param)


def _check_together(moment: Moment, subscription: Json, prices: list[str]) -> None:
    if not prices:
        raise StripeError("A subscription must have at least one active plan.", param="items")
    if len(prices) > rules.MAX_ITEMS:
        message = f"The subscription {subscription['id']} already has the maximum {rules.MAX_ITEMS} items."
        raise StripeError(message, param="items")
    twice = [price for price, times in Counter(prices).items() if times > 1]
    if twice:
        raise StripeError(f"Cannot add multiple subscription items with the same plan: {twice[0]}", param="items")
    phases.check_intervals(moment, prices, "items", flexible=subscription["billing_mode"]["type"] == "flexible")


def _check_discounts(moment: Moment, subscription: Json, params: Json) -> None:
    """A coupon can be redeemed as often as it is named; a discount that is named by its id is at that place already."""
    own = {item["id"]: item["discounts"] for item in subscription["items"]["data"]}
    sent = enumerate(params.get("items", []))
    places = [(f"items[{number}][discounts]", own.get(entry.get("id"), []), entry) for number, entry in sent]
    uses = Counter[str]()
    for path, held, holder in (*places, ("discounts", subscription["discounts"], params)):
        for number, entry in enumerate(holder.get("discounts") or []):
            if "coupon" in entry:
                coupon, param = entry["coupon"], f"{path}[{number}][coupon]"
                uses[coupon] += 1
                coupons.check(moment, coupon, param, currency=subscription["currency"], uses=uses[coupon])
            elif entry["discount"] not in held:
                raise no_such("discount", entry["discount"], f"{path}[{number}][discount]")


def _terms(subscription: Json) -> Json:
    """What a phase says about a subscription and people can change."""
    items = subscription["items"]["data"]
    return {
        "items": [(item["price"], item["quantity"], *item["discounts"]) for item in items],
        "discounts": list(subscription["discounts"]),
    }


def _split(
    moment: Moment, schedule: Json, items: list[Json], item_discounts: _ItemDiscounts, discounts: list[Json] | None
) -> None:
    """End the current phase now, and have one that says what the subscription is now in its place, up to the same end."""
    before, phase = moment.show(schedule), subscriptions.current_phase(schedule)
    rest: Json = views.copied(phase)
    said = {item["price"]: item for item in rest["items"]}
    rest["items"] = [_phase_item(item, said.get(item["price"]), item_discounts.get(item["id"])) for item in items]
    if discounts is not None:
        rest["discounts"] = phases.discount_objects(discounts)
    position = schedule["phases"].index(phase)
    schedule["phases"].insert(position + 1, rest)
    if phase["start_date"] == moment.now:
        del schedule["phases"][position]
    else:
        phase["end_date"] = moment.now
        # The cycle goes on as before, and one-time items are not billed twice.
        rest.update(start_date=moment.now, billing_cycle_anchor=None, add_invoice_items=[])
    schedules.set_current(schedule, rest)
    moment.emit("subscription_schedule.updated", moment.show(schedule), before)


def _phase_item(item: Json, said: Json | None, discounts: list[Json] | None) -> Json:
    """A subscription's item as the phase says it; an item that the phase has had keeps the phase's metadata."""
    in_phase = said or phases.item_object({"price": item["price"], "metadata": item["metadata"]})
    in_phase["quantity"] = item["quantity"]
    if discounts is not None:
        in_phase["discounts"] = phases.discount_objects(discounts)
    return in_phase
