"""How calls, processor time and memory grow: with the orders of a contract, the lines of an order, the contracts of a company.

Each size is handled by a process of its own, after a small contract that warms it up. Linear is ten times as much for ten times
the size; what grows faster is told as a ratio above 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any

from benchmarks.figures import Figure, Say
from benchmarks.stage import Stage, handled, stage

PART = "growth"

ORDERS = (1, 10, 100, 1_000)
LINES = (1, 10, 100, 1_000, 2_500)
CONTRACTS = (1, 10, 100, 1_000, 10_000)

SLACK = 1.2
"""So much above linear is taken for noise."""


@dataclass(frozen=True, slots=True)
class Grown:
    """What a size came to: calls to both vendors, milliseconds of processor time, the process's peak in MB."""

    size: int
    calls: int
    processor: float
    peak: float


def measure(say: Say, *, most: int = CONTRACTS[-1]) -> Iterator[Figure]:
    """All three; so many contracts at most."""
    with stage(say) as here:
        grower = _Grower(here, most, say)
        yield from grower.of_one_contract("orders of a contract", ORDERS, grower.orders)
        yield from grower.of_one_contract("lines of an order", LINES, grower.lines)
        yield from _figures("contracts compared", [*grower.contracts()])


class _Grower:
    """Sells to one customer one product; a contract of both is billed already, and warms every process up."""

    def __init__(self, here: Stage, most: int, say: Say) -> None:
        self._here, self._most, self._say = here, most, say
        self._account, self._entry = here.account(), here.entry(10)
        self._small = here.sell(self._account, self._entry)
        with here.function("OrderActivation") as activation:
            handled(activation, here.activated(self._small))

    def of_one_contract(self, what: str, sizes: Sequence[int], sell: Callable[[int], str]) -> Iterator[Figure]:
        """Contracts of these sizes, activated; `sell` answers the order whose event comes."""
        here, grown = self._here, []
        for size in sizes:
            self._say(f"{what}: {size:,} …")
            order = sell(size)
            grown.append(self._handled("OrderActivation", here.activated(self._small), size, [here.activated(order)]))
        yield from _figures(what, grown)

    def orders(self, number: int) -> str:
        """A contract of so many orders, one behind the other."""
        here, contract = self._here, self._contract()
        sold = [here.order(self._account, contract, one, EffectiveDate=one["ServiceDate"]) for one in self._weeks(number)]
        return sold[0]

    def lines(self, number: int) -> str:
        """An order of so many lines, one behind the other."""
        here = self._here
        return here.order(self._account, self._contract(), *self._weeks(number), EffectiveDate=here.today.isoformat())

    def _contract(self) -> str:
        return self._here.contract(self._account, start=self._here.today.isoformat(), months=1_200)

    def _weeks(self, number: int) -> Iterator[dict[str, Any]]:
        """Order lines of a week each, none of which sells as much as the one before."""
        for week in range(number):
            start = self._here.today + timedelta(weeks=week)
            times = {"ServiceDate": start.isoformat(), "EndDate": (start + timedelta(weeks=1)).isoformat()}
            yield {"PricebookEntryId": self._entry, "Quantity": 1 + week % 9, **times}

    def contracts(self) -> Iterator[Grown]:
        """Contracts that are billed as they were sold, looked at one after the other, as the sweep has them looked at."""
        here = self._here
        billed: list[str] = []
        for size in (size for size in CONTRACTS if size <= self._most):
            self._say(f"contracts compared: {size:,} …")
            orders = [here.sell(self._account, self._entry) for _ in range(size - len(billed))]
            with here.function("OrderActivation") as activation:
                for order in orders:
                    handled(activation, here.activated(order))
            billed += [str(here.record("Order", order)["ContractId"]) for order in orders]
            events = [self._turn(one) for one in billed]
            small = self._turn(here.record("Order", self._small)["ContractId"])
            yield self._handled("Reconciliation", small, size, events)

    def _turn(self, contract: str) -> dict[str, Any]:
        return self._here.message("contract.reconcile", contract, reason="sweep", billed=True)

    def _handled(self, function: str, small: dict[str, Any], size: int, events: Sequence[dict[str, Any]]) -> Grown:
        here = self._here
        here.an_hour_later()
        with here.function(function) as runtime:
            handled(runtime, small)
            here.salesforce.log.clear()
            here.stripe.log.clear()
            before = runtime.processor_ms
            for event in events:
                handled(runtime, event)
            calls = len(here.salesforce.log) + len(here.stripe.log)
            return Grown(size, calls, runtime.processor_ms - before, runtime.peak_mb)


def _figures(what: str, grown: list[Grown]) -> Iterator[Figure]:
    for less, more in pairwise(grown):
        times = more.size / less.size
        about, against = f"{what}, {more.size:,}", f"{times:g} times those of {less.size:,}"
        yield Figure(PART, f"{about}: calls", more.calls, against, less.calls * times, "calls", SLACK)
        yield Figure(PART, f"{about}: time", more.processor, against, less.processor * times, "ms", SLACK)
    first, last = grown[0], grown[-1]
    told = f"{what}, {last.size:,}: most memory"
    yield Figure(PART, told, last.peak, f"that of {first.size:,}", first.peak, "MB")
