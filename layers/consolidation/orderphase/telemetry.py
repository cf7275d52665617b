"""What the functions log and count with, and what nobody else may log.

The libraries tell more than is anybody's business: at DEBUG, botocore logs the secrets that it fetches, and Stripe's client the
bodies of requests; at INFO, Stripe's client the words of each refusal, which repeat what a record holds. Lambda: the level that
is set for a function's log is that of the root logger, and so of every library.
"""

from __future__ import annotations

import logging

from aws_lambda_powertools import Logger, Metrics

LIBRARIES = ("aws_lambda_powertools", "boto3", "botocore", "requests", "simple_salesforce", "stripe", "urllib3", "zeep")

logger = Logger()
metrics = Metrics()

for _library in LIBRARIES:
    logging.getLogger(_library).setLevel(logging.WARNING)
