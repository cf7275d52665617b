"""What the functions cost in an account, from what was measured here and what AWS asks for it.

How long a run takes in an account is not known from here: a call to a vendor, and one to AWS, are taken to last what
`VENDOR_SECONDS` and `AWS_SECONDS` say. The processor time is this machine's. Lambda gives a function of m MB m / 1,769 of a
processor, but all of one while it is initialised.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.figures import Figure

PART = "memory and money"

VENDOR_SECONDS = 0.3
AWS_SECONDS = 0.008

SETTINGS = (128, 192, 256, 384, 512, 768, 1024, 1769)
"""Megabytes that are looked at. Lambda takes any number from 128."""

ROOM = 1.5
"""So many times what was seen, for data that is larger than the benchmark's."""

CLOSE = 1.2
"""So many times the lowest cost that a setting may cost: all functions have the same one."""

FULL = 1769
"""Lambda: megabytes with which a function has a whole processor."""

MILLION = 1_000_000

# AWS's prices on demand in us-east-1, in dollars (aws.amazon.com, pages "… Pricing" of Lambda, API Gateway, SQS, DynamoDB and
# CloudWatch), as known in November 2026.
GB_SECOND = 0.0000133334
"""Of Lambda on arm64."""
PER_MILLION = {"Lambda": 0.20, "API Gateway": 3.50, "SQS": 0.50, "DynamoDB write": 0.625, "DynamoDB read": 0.125}
LOGGED_GB = 0.50

KILOBYTE = 1024
"""DynamoDB: bytes of a unit that is written. One that is read has four times as many."""
_QUEUED = 3
"""SQS: a message is sent, received and deleted."""

Unit = Literal["write", "read"]


@dataclass(frozen=True, slots=True)
class Event:
    """What one event takes: calls to Salesforce and Stripe, calls to AWS, and milliseconds of processor time."""

    vendors: int
    aws: int
    processor: float

    def seconds(self, memory: int) -> float:
        """How long it takes in a function of so many megabytes."""
        return self.vendors * VENDOR_SECONDS + self.aws * AWS_SECONDS + self.processor / 1000 * max(1.0, FULL / memory)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a case costs.

    function: as in the template; setting, timeout: its memory there, and the seconds that it has. warm: an event; cold: the
    first one of a process, behind INIT, which takes `init` milliseconds. peak: megabytes. units: of DynamoDB. logged: bytes.
    """

    name: str
    function: str
    setting: int
    timeout: int
    warm: Event
    cold: Event
    init: float
    peak: float
    units: Mapping[Unit, int]
    logged: float

    def lambda_dollars(self, memory: int) -> float:
        """What Lambda asks for a million events."""
        return PER_MILLION["Lambda"] + MILLION * self.warm.seconds(memory) * memory / 1024 * GB_SECOND

    def fits(self, memory: int) -> bool:
        """Whether so much is enough: with room, and so that a cold start with its event takes half of the timeout at most."""
        return memory >= self.peak * ROOM and self.init / 1000 + self.cold.seconds(memory) <= self.timeout / 2

    def pieces(self, memory: int, *, queued: bool, routed: bool) -> dict[str, float]:
        """Dollars of a million events, by what they are for."""
        return {
            "Lambda": self.lambda_dollars(memory),
            **({"API Gateway": PER_MILLION["API Gateway"]} if routed else {}),
            **({"SQS": _QUEUED * PER_MILLION["SQS"]} if queued else {}),
            "DynamoDB": sum(PER_MILLION[f"DynamoDB {kind}"] * count for kind, count in self.units.items()),
            "logs": MILLION * self.logged / 2**30 * LOGGED_GB,
        }


def figures(costs: Sequence[Cost]) -> Iterator[Figure]:
    """The most memory of each function; what a million of its first case cost; and what a million orders cost together."""
    by_function: dict[str, list[Cost]] = {}
    for one in costs:
        by_function.setdefault(one.function, []).append(one)
    for function, cases in by_function.items():
        peak, setting = max(one.peak for one in cases), cases[0].setting
        yield Figure(PART, f"{function}, most memory", peak, f"its setting ({setting} MB)", setting, "MB", 1 / ROOM)
    for function, cases in by_function.items():
        # One setting has to do for all cases of a function.
        fitting = [memory for memory in SETTINGS if all(one.fits(memory) for one in cases)]
        first, setting = cases[0], cases[0].setting
        best = min(fitting, key=first.lambda_dollars, default=SETTINGS[-1])
        told, against = f"{function}, Lambda for a million ({setting} MB)", f"the cheapest that fits ({best} MB)"
        yield Figure(PART, told, first.lambda_dollars(setting), against, first.lambda_dollars(best), "dollars", CLOSE)
    yield from _million_orders({one.name: one for one in costs})


def _million_orders(costs: Mapping[str, Cost]) -> Iterator[Figure]:
    """An order: the event of its activation at the edge, and its run."""
    together: Counter[str] = Counter()
    for name, queued, routed in (("event of Salesforce", False, True), ("activation", True, False)):
        if name not in costs:
            return
        together.update(costs[name].pieces(costs[name].setting, queued=queued, routed=routed))
    total = together.total()
    for piece, dollars in together.most_common():
        yield Figure(PART, f"a million orders, {piece}", dollars, "all of it", total, "dollars")
