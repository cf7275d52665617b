"""A flow's queue while the flow is kept from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sandbox.stack import LocalStack


class HeldQueue:
    """What a route has queued. `messages` takes it out."""

    def __init__(self, stack: LocalStack, flow: str) -> None:
        self._sqs: Any = stack.aws("sqs")
        self._url = stack.outputs[f"{flow}QueueUrl"]

    def messages(self, wait: int = 0) -> list[dict[str, Any]]:
        """Every message in the queue, which is empty afterwards; waits up to `wait` seconds for the first."""
        found: list[dict[str, Any]] = []
        request = {"QueueUrl": self._url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": wait}
        details = {"MessageAttributeNames": ["All"], "MessageSystemAttributeNames": ["All"]}
        while messages := self._sqs.receive_message(**request, **details).get("Messages"):
            request["WaitTimeSeconds"] = 0
            found += messages
            for message in messages:
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return found

    def arn(self) -> str:
        attributes = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"]
        return str(attributes["QueueArn"])


@contextmanager
def held(stack: LocalStack, flow: str) -> Iterator[HeldQueue]:
    """The queue of a flow, by its switch; the flow gets nothing of what is queued meanwhile."""
    functions: Any = stack.aws("lambda")
    queue = HeldQueue(stack, flow)
    [mapping] = functions.list_event_source_mappings(EventSourceArn=queue.arn())["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    yield queue
    queue.messages()
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


@contextmanager
def impatient(stack: LocalStack, *flows: str, seconds: int = 2) -> Iterator[None]:
    """Have what these flows have failed at come again after so many seconds, not after three minutes."""
    sqs: Any = stack.aws("sqs")
    name = "VisibilityTimeout"
    urls = [stack.outputs[f"{flow}QueueUrl"] for flow in flows]
    usual = {url: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"] for url in urls}
    for url in urls:
        sqs.set_queue_attributes(QueueUrl=url, Attributes={name: str(seconds)})
    try:
        yield
    finally:
        for url, attributes in usual.items():
            sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
