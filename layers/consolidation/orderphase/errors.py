"""The one closed classification of what can go wrong outside the data's own findings.

Adapters translate into it at their edge, by status and error code and never by words in a message. Flows let it pass;
functions turn it into what the queue or the caller needs. Anything that is not an `OrderphaseError` is a bug and fails loudly.

| class | what happened | what happens next |
| --- | --- | --- |
| `DataError` | the customer's record must change | told on the Order and in the sync log; consumed |
| `TransientError` | certainly not applied | the message comes back and is tried again |
| `UnknownOutcomeError` | may have been applied (read timeout, reset, 5xx) | look first, then try again with the same key |
| `ConflictError` | somebody else was faster (lease, condition, version) | the next run reads again and plans again |
| `ConfigurationError` | permissions, fields, mapping, settings | dead-letter queue and alarm |
| `CredentialsError` | a vendor refuses the key or the login | the message comes back; the circuit opens, and an alarm tells |
"""

from __future__ import annotations


class OrderphaseError(Exception):
    """Base of all classified errors. `message` is for a person, `code` is the remote system's own."""

    kind = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class DataError(OrderphaseError):
    """A record cannot be used as it is. Never retried."""

    kind = "data"


class TransientError(OrderphaseError):
    """The call was certainly not applied (no connection, 429, locked row, lease held by another run). Worth trying again.

    at_once: whether a moment may be enough; False where the other side says that it takes longer.
    """

    kind = "transient"

    def __init__(self, message: str, *, code: str | None = None, at_once: bool = True) -> None:
        super().__init__(message, code=code)
        self.at_once = at_once


class UnknownOutcomeError(TransientError):
    """The call may or may not have been applied: read timeout, dropped connection, 5xx. Look before doing it again."""

    kind = "unknown_outcome"


class ConflictError(TransientError):
    """The state that the run had read has changed underneath it. Read again, plan again."""

    kind = "conflict"


class ConfigurationError(OrderphaseError):
    """Nothing about the record is wrong: credentials, permissions, fields, mapping or settings are."""

    kind = "configuration"


class CredentialsError(ConfigurationError):
    """A vendor lets nobody in with these credentials. Nothing at all goes through until they are right, so messages wait."""
