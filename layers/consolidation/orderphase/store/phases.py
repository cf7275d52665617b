"""Phases and prices in few bytes, as the ledger keeps what was last applied."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from orderphase.domain.catalogue import BillingInterval
from orderphase.domain.lines import BilledAt, Discount
from orderphase.domain.phases import Phase, PhaseItem, PhaseSettings


def without_lines(phases: Sequence[Phase]) -> tuple[Phase, ...]:
    """Phases as they are kept. Of lines that run on, each phase would name all, and a few hundred orders would not fit."""
    return tuple([replace(phase, items=tuple([replace(item, lines=()) for item in phase.items])) for phase in phases])


def packed(phases: Sequence[Phase]) -> bytes:
    """Write phases as compressed JSON, without their lines; DynamoDB: an item holds 400 KB."""
    return zlib.compress(_written(phases))


def digest(phases: Sequence[Phase]) -> str:
    """What tells phases apart, their lines left out: sixteen hexadecimal digits."""
    return hashlib.sha256(_written(phases)).hexdigest()[:16]


def _written(phases: Sequence[Phase]) -> bytes:
    document = [
        [
            int(phase.start.timestamp()),
            None if phase.end is None else int(phase.end.timestamp()),
            [[item.price, item.quantity, _discount(item.discount)] for item in phase.items],
            [phase.settings.collection_method, phase.settings.days_until_due, _discount(phase.settings.discount)],
        ]
        for phase in phases
    ]
    return json.dumps(document, separators=(",", ":")).encode()


def unpacked(data: bytes) -> tuple[Phase, ...]:
    """Read what `packed` has written."""
    return tuple([_phase(entry) for entry in json.loads(zlib.decompress(data))])


def packed_prices(prices: Mapping[str, BilledAt]) -> bytes:
    """Write what each line is billed at as compressed JSON."""
    document = {
        line: [
            one.price,
            *(None if value is None else str(value) for value in (one.sold, one.amount)),
            one.interval and [one.interval.unit, one.interval.count],
        ]
        for line, one in prices.items()
    }
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode())


def unpacked_prices(data: bytes) -> dict[str, BilledAt]:
    """Read what `packed_prices` has written; or, by an earlier version, the price of each line alone."""
    return {line: _billed_at(entry) for line, entry in json.loads(zlib.decompress(data)).items()}


def _billed_at(entry: list[Any] | str) -> BilledAt:
    if isinstance(entry, str):
        return BilledAt(entry)
    price, sold, amount, interval = entry
    sold, amount = (None if value is None else Decimal(value) for value in (sold, amount))
    return BilledAt(price, sold, amount, BillingInterval(*interval) if interval else None)


def _phase(entry: list[Any]) -> Phase:
    start, end, items, (method, days, discount) = entry
    return Phase(
        datetime.fromtimestamp(start, UTC),
        None if end is None else datetime.fromtimestamp(end, UTC),
        tuple([PhaseItem(price, quantity, _read(off), ()) for price, quantity, off in items]),
        PhaseSettings(method, days, _read(discount)),
    )


def _discount(discount: Discount | None) -> list[str | None] | None:
    if discount is None:
        return None
    # In one form: 10 and 10.0 mean the same, and come to the same digest.
    return [None if value is None else f"{value.normalize():f}" for value in (discount.percent_off, discount.amount_off)]


def _read(entry: list[str | None] | None) -> Discount | None:
    return None if entry is None else Discount(*[None if value is None else Decimal(value) for value in entry])
