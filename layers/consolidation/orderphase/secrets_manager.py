"""Reads secrets from AWS Secrets Manager, in our own terms of failure."""

from __future__ import annotations

from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError
from botocore.exceptions import BotoCoreError, ClientError

from orderphase.aws import classified
from orderphase.errors import ConfigurationError


def read_secret(provider: SecretsProvider, name: str, *, force_fetch: bool = False) -> str:
    """The text of a secret, not older than the provider's cache allows; `force_fetch` looks past the cache.

    Raises `TransientError`, `UnknownOutcomeError` or `ConfigurationError`; none of them says what the secret holds.
    """
    try:
        value = provider.get(name, force_fetch=force_fetch)
    except GetParameterError as problem:
        # Powertools keeps the words of the error alone; the error itself is the context.
        cause = problem.__context__
        if not isinstance(cause, ClientError | BotoCoreError):
            raise
        raise classified(cause, f"secret {name}") from problem
    if not isinstance(value, str):
        raise ConfigurationError(f"secret {name}: is binary; store a JSON object as text")
    return value
