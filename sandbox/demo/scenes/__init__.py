"""The scenes, in the order in which they are played. Each is a module of its own; a new one is added to `play`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from sandbox.demo.report import Scene
from sandbox.demo.scenes import (
    amendment,
    cancellations,
    change_order,
    discounts,
    faults,
    first_order,
    line_edit,
    moved,
    own_price,
    preview,
    repetition,
    stripe_price,
)
from sandbox.demo.shop import Shop
from sandbox.demo.world import World


def play(world: World, today: date) -> Iterator[Scene]:
    """Play every scene, one after the other; `today` is the day in UTC on which everything starts."""
    shop = Shop(world.org, today)
    sold = first_order.sell(shop)
    yield first_order.play(world, shop, sold)
    change = preview.enter(shop, sold)
    scene, previewed = preview.play(world, sold, change)
    yield scene
    yield change_order.play(world, sold, change, previewed)
    yield line_edit.play(world, sold)
    discounted = discounts.sell(shop)
    yield discounts.play(world, discounted)
    yield amendment.play(world, shop)
    yield stripe_price.play(world, shop)
    yield moved.play(world, shop)
    yield own_price.play(world, shop)
    yield faults.play(world, shop)
    yield repetition.play(world, sold)
    yield cancellations.play(world, shop, discounted, sold)
