"""`orderphase doctor`: whether settings, secrets, org and Stripe accounts fit together. Nothing is written to them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import boto3
from aws_lambda_powertools.utilities.parameters import SecretsProvider

from orderphase.aws import classified_errors
from orderphase.cli.connection import connect, describe_stack, patience
from orderphase.cli.streams import OK, REFUSED, write_json, write_text
from orderphase.diagnosis import FLOWS, Diagnosis, Feed
from orderphase.errors import OrderphaseError
from orderphase.flows.doctor import Doctor
from orderphase.ingress.stripe_events import DRIFT_TYPES, PRICE_TYPES, PRODUCT_TYPES
from orderphase.mapping import FILE
from orderphase.secrets_manager import read_secret
from orderphase.timeline.chart import printable


def run(options: argparse.Namespace) -> int:
    """Run the command; answers its exit code."""
    connection = connect(os.environ, Path.cwd(), stack=options.stack)
    found: list[Diagnosis] = []
    # Of a local stack, every flow is on, and the API is not where its output says.
    flows: frozenset[str] | None = None
    api = None
    if connection.stack:
        try:
            flows, api = _deployed(connection.stack)
        except OrderphaseError as problem:
            what = "which flows are on, and where the API is, is not known"
            remedy = "allow whoever runs this to describe the stack"
            found.append(Diagnosis("warning", "Settings", f"{what}. {problem.message}", remedy))
    drift = DRIFT_TYPES if flows is None or "Reconciliation" in flows else ()
    with classified_errors("Secrets Manager"):
        secrets = SecretsProvider(boto3_client=boto3.client("secretsmanager", config=patience()))
    doctor = Doctor(
        connection.environment,
        secret=lambda name: read_secret(secrets, name),
        mapping=FILE,
        now=lambda: datetime.now(UTC),
        feed=Feed((*PRODUCT_TYPES, *PRICE_TYPES, *drift), api),
        flows=flows,
    )
    found += doctor.run()
    if options.json:
        write_json({"source": connection.source, "findings": [_as_dict(one) for one in found]})
    else:
        write_text("\n".join(printable(line) for line in _told(found, connection.source)))
    return REFUSED if any(one.severity == "missing" for one in found) else OK


def _deployed(stack: str) -> tuple[frozenset[str], str | None]:
    """The flows that a stack's parameters do not switch off, and the base address of its API."""
    described = describe_stack(os.environ, Path.cwd(), stack=stack)
    return frozenset(flow for flow in FLOWS if described.parameters.get(flow) != "off"), described.outputs.get("ApiUrl")


def _as_dict(found: Diagnosis) -> dict[str, str]:
    return {"severity": found.severity, "where": found.where, "what": found.what, "remedy": found.remedy}


def _told(found: Sequence[Diagnosis], source: str) -> Iterator[str]:
    yield f"What {source} needs"
    # Sections in the order in which they are first met; what is missing first within each.
    order = list(dict.fromkeys(one.where for one in found))
    ranks = ("missing", "warning", "ok")
    for where, ones in groupby(sorted(found, key=lambda one: order.index(one.where)), key=lambda one: one.where):
        yield from ("", where)
        for one in sorted(ones, key=lambda one: ranks.index(one.severity)):
            yield f"  {one.severity:<7}  {one.what}"
            if one.remedy:
                yield f"           → {one.remedy}"
    missing, warnings = (sum(one.severity == severity for one in found) for severity in ("missing", "warning"))
    yield from ("", f"{missing} missing, {warnings} {'warning' if warnings == 1 else 'warnings'}.")
