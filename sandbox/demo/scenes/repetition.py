"""The first order's event again, three times: no second schedule, whatever the repetition looks like."""

from __future__ import annotations

from sandbox.demo.report import Block, Paragraph, Raw, Scene, Table, equal
from sandbox.demo.shop import Draft
from sandbox.demo.sync_log import log_table
from sandbox.demo.world import World


def play(world: World, sold: Draft) -> Scene:
    """Deliver the event of an order that is synced already, and show that nothing comes of it."""
    event = world.org.notifications(sold.order_id)[0]["event"]
    renamed = event | {"id": f"{event['id']}-again"}
    before, logged = world.writes(), len(world.sync_log(sold.contract_id))
    signed_anew = world.deliver(event)
    deliveries = [
        ("the same event, signed anew", signed_anew),
        ("that request again, byte for byte", signed_anew),
        ("the same event under a new id", world.deliver(renamed)),
    ]
    answers = [(what, world.send(request)) for what, request in deliveries]
    entries = world.sync_log(sold.contract_id, entries=logged + 1)[logged:]
    world.settle()
    schedules = world.schedules(sold.contract_id)
    blocks: list[Block] = [
        Paragraph(
            "The gateway takes all three, so the sender is content. It knows the first two and queues nothing. The third looks "
            "new and starts a run; that reads the contract, finds everything as it should be, and writes nothing."
        ),
        Table("Deliveries", ("Delivery", "Answer"), [(what, str(status)) for what, status in answers]),
        log_table(entries),
        Raw("The repeated event", event),
        Raw("The sync log", entries),
    ]
    return Scene(
        "The same event, three times",
        "Networks repeat themselves. The event of the first order arrives three more times.",
        blocks,
        [
            equal("The gateway took all three", [status for _, status in answers], [202, 202, 202]),
            equal("The contract still has exactly one schedule", len(schedules), 1),
            equal("Nothing was written to Stripe", world.writes() - before, 0),
            equal("One of the three started a run", len(world.sync_log(sold.contract_id)) - logged, 1),
            equal("The sync log says unchanged", [entry["outcome"] for entry in entries], ["unchanged"]),
        ],
    )
