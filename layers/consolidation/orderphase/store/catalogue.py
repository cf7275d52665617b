"""The catalogue table: which Stripe objects belong to which Salesforce records, and what they were made of.

It remembers what Salesforce has no field for: the objects of further Stripe accounts and currencies, the content of a price
book entry when its Stripe price was noted, what both sides last agreed on about products and prices, and digests of what a
customer was told last. It can be lost: then what exists is found in Stripe again by its own keys, and what was noted is noted
anew; until then, the side that tells first counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import batched
from typing import TYPE_CHECKING, Any

from orderphase.aws import classified_errors
from orderphase.domain.catalogue import PriceBookEntry
from orderphase.domain.money import plain, rounded_price
from orderphase.errors import TransientError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_KEYS = 100
"""DynamoDB: one request reads a hundred items."""

_ATTEMPTS = 5

type Fact = Mapping[str, Any]
"""What is remembered under one key: a JSON object."""


class Catalogue:
    """The facts about one Stripe account. Reading makes one request per hundred facts, noting one per fact."""

    def __init__(self, client: DynamoDBClient, table: str, account: str) -> None:
        self._client = client
        self._table = table
        self._account = account

    def read(self, keys: Iterable[str]) -> dict[str, Fact]:
        """Those of the facts that are known. Raises classified errors."""
        found: dict[str, Fact] = {}
        for some in batched(dict.fromkeys(keys), _KEYS, strict=False):
            asked = [self._key(key) for key in some]
            for _ in range(_ATTEMPTS):
                with classified_errors("the catalogue table"):
                    request: Any = {self._table: {"Keys": asked, "ConsistentRead": True}}
                    answer: Any = self._client.batch_get_item(RequestItems=request)
                for item in answer["Responses"].get(self._table, []):
                    found[item["id"]["S"].removeprefix(f"{self._account}|")] = json.loads(item["fact"]["S"])
                asked = list(answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", ()))
                if not asked:
                    break
            else:
                raise TransientError("the catalogue table is too busy", code="unprocessed_keys")
        return found

    def note(self, key: str, fact: Fact) -> None:
        """Remember a fact in place of what was known. Raises classified errors."""
        text = json.dumps(dict(fact), separators=(",", ":"), sort_keys=True)
        with classified_errors("the catalogue table"):
            self._client.put_item(TableName=self._table, Item={**self._key(key), "fact": {"S": text}})

    def _key(self, key: str) -> dict[str, Any]:
        return {"id": {"S": f"{self._account}|{key}"}}


def entry_key(entry: PriceBookEntry) -> str:
    """The key of what is known of a price book entry's price."""
    return f"entry|{entry.id}"


def entry_fact(entry: PriceBookEntry, price_id: str, *, active: bool | None = None, before: str | None = None) -> Fact:
    """A price with what its entry said when it was noted.

    active: whether Stripe has last said that the price is sold; None = it was not looked at. before: the price that Salesforce
    names until it is told.
    """
    known = {"active": active, "before": before}
    return {
        "price_id": price_id,
        "content": entry_content(entry),
        **{name: value for name, value in known.items() if value is not None},
    }


def entry_content(entry: PriceBookEntry) -> list[str]:
    """What makes a price of a price book entry another one: the amount that Stripe can express, currency, interval, count."""
    amount = "" if entry.unit_price is None else plain(entry.unit_price)
    count = "" if entry.interval_count is None else plain(entry.interval_count)
    return _meaning([amount, entry.currency or "", entry.interval_unit or "", count])


def same_content(fact: Fact, entry: PriceBookEntry) -> bool:
    """Whether an entry says what it said when its price was noted.

    A fact without currency is from when the org had only one, which these entries have kept.
    """
    amount, currency, *interval = fact["content"]
    return _meaning([amount, currency or entry.currency or "", *interval]) == entry_content(entry)


def says_all(fact: Fact) -> bool:
    """Whether an entry said amount and interval when its price was noted, so that a change of them is one of the price."""
    amount, _, unit, _ = fact["content"]
    return bool(amount and unit)


def _meaning(content: list[str]) -> list[str]:
    amount, currency, unit, count = content
    rounded = rounded_price(Decimal(amount), currency) if amount and currency else None
    return [amount if rounded is None else plain(rounded), currency, unit, count or ("1" if unit else "")]


def is_sold(fact: Fact | None, price_id: str | None) -> bool | None:
    """Whether Stripe has last said that an entry's price is sold; None where that is not known of this price."""
    known = fact or {}
    # `was`: the price that another one is about to take the place of.
    about = [known[name] for name in ("price_id", "before", "was") if name in known] if "price_id" in known else [None]
    return known.get("active") if price_id in about else None


def known_price(fact: Fact | None, price_id: str | None) -> str | None:
    """The price of an entry where Salesforce is not told.

    The one that it names, unless that is none, or one that ours has taken the place of.
    """
    ours = fact.get("price_id") if fact else None
    return ours if fact and ours and price_id in (None, fact.get("before")) else price_id


def agreed_key(product_id: str) -> str:
    """The key of what was last agreed on about a Stripe product."""
    return f"agreed|{product_id}"


def agreed_fact(said: Mapping[str, str | bool]) -> Fact:
    """What both sides say: of texts, digests."""
    return {name: digest(value) if isinstance(value, str) else value for name, value in said.items()}


def news(fact: Fact | None, said: Mapping[str, str | bool]) -> frozenset[str]:
    """What of that is not as it was agreed, by name; all where nothing was."""
    known = fact or {}
    return frozenset(name for name, value in agreed_fact(said).items() if name not in known or known[name] != value)


def product_key(product_id: str) -> str:
    """The key of the Stripe product of a Product2."""
    return f"product|{product_id}"


def account_key(account_id: str) -> str:
    """The key of the Stripe customers of an Account."""
    return f"account|{account_id}"


def customer_key(customer_id: str) -> str:
    """The key of what a Stripe customer was told last."""
    return f"customer|{customer_id}"


def digest(value: Any) -> str:
    """What stands for a value that is not to be kept itself."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:24]
