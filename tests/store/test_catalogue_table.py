"""The catalogue table: what is remembered of each Stripe account."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import ANY, Stubber

from orderphase.domain.catalogue import PriceBookEntry, Product
from orderphase.errors import ConfigurationError, OrderphaseError, TransientError
from orderphase.store.catalogue import Catalogue, digest, entry_content, entry_fact, entry_key, same_content

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ENTRY = PriceBookEntry(
    "01uA", Product("01tA", "Widget"), unit_price=Decimal("10.50"), currency="USD", interval_unit="month", interval_count=None
)


@pytest.fixture
def facts(dynamodb: DynamoDBClient) -> Catalogue:
    return Catalogue(dynamodb, "catalogue", "default")


class TestFacts:
    def test_what_is_noted_is_read_again(self, facts: Catalogue) -> None:
        facts.note("entry|1", {"price_id": "price_1", "content": ["10", "USD"]})
        facts.note("product|1", {"product_id": "prod_1"})
        assert facts.read(["entry|1", "product|1", "entry|2"]) == {
            "entry|1": {"price_id": "price_1", "content": ["10", "USD"]},
            "product|1": {"product_id": "prod_1"},
        }

    def test_the_last_counts_whole(self, facts: Catalogue) -> None:
        facts.note("account|1", {"eur": "cus_1", "": "cus_2"})
        facts.note("account|1", {"gbp": "cus_3"})
        assert facts.read(["account|1"]) == {"account|1": {"gbp": "cus_3"}}

    def test_accounts_do_not_see_each_other(self, dynamodb: DynamoDBClient, facts: Catalogue) -> None:
        facts.note("product|1", {"product_id": "prod_1"})
        other = Catalogue(dynamodb, "catalogue", "uk")
        assert other.read(["product|1"]) == {}
        other.note("product|1", {"product_id": "prod_2"})
        assert facts.read(["product|1"]) == {"product|1": {"product_id": "prod_1"}}

    def test_nothing_asked_is_no_request(self) -> None:
        client: Any = None
        assert Catalogue(client, "catalogue", "default").read([]) == {}

    def test_more_than_a_request_reads(self, facts: Catalogue) -> None:
        for number in range(250):
            facts.note(f"entry|{number}", {"price_id": f"price_{number}"})
        keys = [f"entry|{number}" for number in range(260)]
        found = facts.read([*keys, *keys])
        assert len(found) == 250
        assert found["entry|249"] == {"price_id": "price_249"}


class TestWhatGoesWrong:
    def answering(self, dynamodb: DynamoDBClient, *answers: Any) -> Stubber:
        stub = Stubber(dynamodb)
        for answer in answers:
            stub.add_response("batch_get_item", answer, {"RequestItems": ANY})
        return stub

    def test_what_was_not_processed_is_asked_for_again(self, dynamodb: DynamoDBClient) -> None:
        item = {"id": {"S": "default|a"}, "fact": {"S": '{"x": 1}'}}
        left = {"catalogue": {"Keys": [{"id": {"S": "default|b"}}], "ConsistentRead": True}}
        last = {"id": {"S": "default|b"}, "fact": {"S": '{"x": 2}'}}
        first = {"Responses": {"catalogue": [item]}, "UnprocessedKeys": left}
        with self.answering(dynamodb, first, {"Responses": {"catalogue": [last]}}) as stub:
            assert Catalogue(dynamodb, "catalogue", "default").read(["a", "b"]) == {"a": {"x": 1}, "b": {"x": 2}}
            stub.assert_no_pending_responses()

    def test_a_table_that_stays_busy(self, dynamodb: DynamoDBClient) -> None:
        left = {"Responses": {}, "UnprocessedKeys": {"catalogue": {"Keys": [{"id": {"S": "default|a"}}]}}}
        with self.answering(dynamodb, *[left] * 5), pytest.raises(TransientError, match="too busy"):
            Catalogue(dynamodb, "catalogue", "default").read(["a"])

    def test_the_newest_is_read(self, dynamodb: DynamoDBClient) -> None:
        """DynamoDB: unless asked otherwise, a read may miss what was written a moment ago."""
        asked = {"RequestItems": {"catalogue": {"Keys": [{"id": {"S": "default|a"}}], "ConsistentRead": True}}}
        with Stubber(dynamodb) as stub:
            stub.add_response("batch_get_item", {"Responses": {}}, asked)
            assert Catalogue(dynamodb, "catalogue", "default").read(["a"]) == {}

    @pytest.mark.parametrize(
        ("code", "error"),
        [("ProvisionedThroughputExceededException", TransientError), ("ResourceNotFoundException", ConfigurationError)],
    )
    def test_refusals_are_classified(self, dynamodb: DynamoDBClient, code: str, error: type[OrderphaseError]) -> None:
        facts = Catalogue(dynamodb, "catalogue", "default")
        for method, call in (("batch_get_item", lambda: facts.read(["a"])), ("put_item", lambda: facts.note("a", {}))):
            with Stubber(dynamodb) as stub:
                stub.add_client_error(method, code)
                with pytest.raises(error, match="the catalogue table"):
                    call()


class TestContent:
    @pytest.mark.parametrize(
        "changed",
        [
            {"unit_price": Decimal("10.51")},
            {"unit_price": None},
            {"currency": "EUR"},
            {"interval_unit": "year"},
            {"interval_count": Decimal(2)},
        ],
        ids=str,
    )
    def test_what_makes_another_price(self, changed: dict[str, Any]) -> None:
        assert not same_content(entry_fact(ENTRY, "price_1"), replace(ENTRY, **changed))

    @pytest.mark.parametrize(
        "changed",
        [
            {},
            {"unit_price": Decimal("10.5000")},
            {"interval_count": Decimal(1)},
            {"product": Product("01tA", "Another name")},
            {"price_id": "price_2"},
            {"metadata": {"a": "b"}},
        ],
        ids=str,
    )
    def test_what_does_not(self, changed: dict[str, Any]) -> None:
        assert same_content(entry_fact(ENTRY, "price_1"), replace(ENTRY, **changed))

    def test_an_org_that_has_got_several_currencies(self) -> None:
        single = replace(ENTRY, currency=None)
        assert same_content(entry_fact(single, "price_1"), ENTRY)
        assert not same_content(entry_fact(single, "price_1"), replace(ENTRY, unit_price=Decimal(11)))

    def test_what_is_told_of_a_price_that_takes_anothers_place(self) -> None:
        assert "before" not in entry_fact(ENTRY, "price_1")
        assert entry_fact(ENTRY, "price_2", before="price_1")["before"] == "price_1"
        assert entry_content(ENTRY)[0] == "10.5"
        assert entry_key(ENTRY) == entry_key(replace(ENTRY, unit_price=None))

    def test_a_digest_says_only_whether_it_is_the_same(self) -> None:
        assert (
            digest({"a": "Hauptstr. 1", "b": None}) == digest({"b": None, "a": "Hauptstr. 1"}) != digest({"a": "Hauptstr. 2"})
        )
        assert "Hauptstr" not in digest("Hauptstr. 1")
        different: list[Any] = [None, "", "None", {}, []]
        assert len({digest(value) for value in different}) == 5
