"""What a function finds around it: an account, whose services are in memory, and what Lambda says of an invocation."""

from __future__ import annotations

import pytest


class Context:
    """An invocation that has 30 seconds, or as many as it is given."""

    function_name = "function"
    memory_limit_in_mb = 192
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:function:live"
    aws_request_id = "invocation-1"

    def __init__(self, seconds: int = 30) -> None:
        self._seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return self._seconds * 1000


def nobodys_account(monkeypatch: pytest.MonkeyPatch, region: str = "eu-central-1") -> None:
    """Set the credentials with which a client of AWS can be made, and no way out of this process."""
    credentials = {"AWS_ACCESS_KEY_ID": "-", "AWS_SECRET_ACCESS_KEY": "-", "AWS_DEFAULT_REGION": region}
    for name, value in credentials.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
