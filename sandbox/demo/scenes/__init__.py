"""The scenes, in the order in which they are played. Each is a module of its own; a new one is added to `play`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from sandbox.demo.report import Scene
from sandbox.demo.scenes import discounts, faults, first_order, repetition
from sandbox.demo.shop import Shop
from sandbox.demo.world import World


def play(world: World, today: date) -> Iterator[Scene]:
    """Play every scene, one after the other; `today` is the day in UTC on which everything starts."""
    shop = Shop(world.org, today)
    sold = first_order.sell(shop)
    yield first_order.play(world, shop, sold)
    yield discounts.play(world, shop)
    yield faults.play(world, shop)
    yield repetition.play(world, sold)
