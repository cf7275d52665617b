"""The sync log, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sandbox.demo.report import Table


def log_table(entries: Sequence[Mapping[str, Any]]) -> Table:
    """Entries of the sync log, with the requests that each run has made to either side."""
    rows = []
    for entry in entries:
        began, ended = (datetime.fromisoformat(entry[name]) for name in ("started_at", "finished_at"))
        calls = entry["calls"]
        rows.append(
            (
                entry["flow"],
                entry["outcome"],
                f"{(ended - began).total_seconds():.2f} s",
                str(calls["salesforce"]),
                str(calls["stripe"]),
                entry["event_id"],
            )
        )
    return Table("Sync log, with the calls to either side", ("Flow", "Outcome", "Took", "Salesforce", "Stripe", "Event"), rows)
