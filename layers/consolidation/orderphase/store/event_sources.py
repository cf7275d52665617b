"""The event source mappings through which Lambda takes messages from the flows' queues: off while a vendor is down."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from orderphase.aws import classified_errors

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

_OFF = ("Disabled", "Disabling")


class EventSources:
    """The mappings of these queues, by their URLs."""

    def __init__(self, client: LambdaClient, urls: Iterable[str]) -> None:
        self._client = client
        self._urls = tuple(urls)

    def switch(self, *, on: bool) -> int:
        """Have Lambda take messages, or leave them where they are; answers how many mappings were not so before.

        A request for each queue, and one for each mapping that changes. Raises classified errors; what was switched stays so.
        """
        switched = 0
        for url in self._urls:
            with classified_errors("the event source mappings"):
                found = self._client.list_event_source_mappings(EventSourceArn=self._arn(url))["EventSourceMappings"]
                for mapping in found:
                    if (mapping["State"] not in _OFF) != on:
                        self._client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=on)
                        switched += 1
        return switched

    def _arn(self, url: str) -> str:
        """SQS: a queue's URL ends with its account and its name."""
        account, name = url.rsplit("/", 2)[1:]
        meta = self._client.meta
        return f"arn:{meta.partition}:sqs:{meta.region_name}:{account}:{name}"
