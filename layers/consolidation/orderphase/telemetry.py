"""What the functions log and count with, and what nobody else may log.

The libraries tell more than is anybody's business: at DEBUG, botocore logs the secrets that it fetches, and Stripe's client the
bodies of requests; at INFO, Stripe's client the words of each refusal, which repeat what a record holds. Lambda: the level that
is set for a function's log is that of the root logger, and so of every library.
"""

from __future__ import annotations

import logging
from pathlib import Path
from traceback import extract_tb

from aws_lambda_powertools import Logger, Metrics

LIBRARIES = ("aws_lambda_powertools", "boto3", "botocore", "requests", "simple_salesforce", "stripe", "urllib3", "zeep")

logger = Logger()
metrics = Metrics()

for _library in LIBRARIES:
    logging.getLogger(_library).setLevel(logging.WARNING)


def stack_of(bug: Exception) -> list[str]:
    """Where a bug was raised, frame by frame, without its message: that may repeat what an event or a record holds."""
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in extract_tb(bug.__traceback__)]
