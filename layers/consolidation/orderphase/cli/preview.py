"""`orderphase preview`: what would happen to an order's contract, read from the live systems. Nothing is written to them."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orderphase.bootstrap import commands
from orderphase.cli.connection import connect
from orderphase.cli.streams import exit_code, write_json, write_text
from orderphase.domain.calendar import day, iso, period
from orderphase.domain.money import major_units, price_text
from orderphase.domain.phases import discount_as_dict, discount_text
from orderphase.errors import DataError
from orderphase.flows.preview import Invoice, Preview
from orderphase.timeline import draw_plan, draw_plan_svg, plan_changes, timeline_lines
from orderphase.timeline.chart import printable
from orderphase.timeline.text import MIN_WIDTH

_MAX_WIDTH = 120


def run(options: argparse.Namespace) -> int:
    """Run the command; answers its exit code."""
    if not re.fullmatch("801[0-9A-Za-z]{12}([0-9A-Za-z]{3})?", options.order_id):
        raise DataError(f"{options.order_id!r} is not the id of an Order: it has 15 or 18 characters and begins with 801")
    connection = connect(os.environ, Path.cwd(), stack=options.stack)
    found = commands.preview(connection.environment).run(options.order_id)
    if options.svg:
        title = f"Order {found.order_number}: today, and as planned"
        picture = draw_plan_svg(timeline_lines(found.orders), found.plan, subject=_subject(found), title=title)
        Path(options.svg).write_text(picture, "utf-8")
    if options.json:
        write_json(as_dict(found))
    else:
        write_text("\n".join(_told(found, connection.source)))
    return exit_code(found.plan.findings)


def as_dict(found: Preview) -> dict[str, Any]:
    """A preview as JSON: what `orderphase plan` answers, and all else that is known. Amounts are text, in major units."""
    return {
        "contract": found.contract_id,
        "order": found.order_id,
        "order_number": found.order_number,
        "activated": found.activated,
        "schedule": found.schedule.id if found.schedule else None,
        **found.plan.as_dict(found.params),
        "request": found.request,
        "changes": [
            {"sign": one.sign, "what": one.what, "start": iso(one.start), "end": iso(one.end)}
            for one in plan_changes(found.plan)
        ],
        "created_first": list(found.created_first),
        "coupons": [
            {"id": one.id, "discount": discount_as_dict(one.discount, one.currency), "currency": one.currency}
            for one in found.coupons
        ],
        "invoices": [_invoice_as_dict(one) for one in found.invoices],
    }


def _invoice_as_dict(invoice: Invoice) -> dict[str, Any]:
    return {
        "date": iso(invoice.date),
        "total": None if invoice.problem else _amount(invoice.total, invoice),
        "currency": invoice.currency,
        "exact": invoice.exact and not (invoice.problem or invoice.note),
        "note": invoice.note,
        "problem": invoice.problem,
        "lines": [
            {
                "description": one.description,
                "amount": _amount(one.amount, invoice),
                "start": iso(one.start),
                "end": iso(one.end),
                "proration": one.proration,
            }
            for one in invoice.lines
        ],
    }


def _amount(minor: int, invoice: Invoice) -> str:
    return price_text(major_units(minor, invoice.currency), invoice.currency)


def _subject(found: Preview) -> str:
    """What is billed: the contract, or the order that has none."""
    return f"order {found.order_number}" if found.contract_id == found.order_id else f"contract {found.contract_id}"


def _told(found: Preview, source: str) -> Iterator[str]:
    of = "" if found.contract_id == found.order_id else f" of contract {found.contract_id}"
    when = "" if found.activated else " once it is activated"
    yield from (printable(f"Order {found.order_number}{of}, as {source} would bill it{when}"), "")
    width = max(MIN_WIDTH, min(shutil.get_terminal_size().columns, _MAX_WIDTH))
    # https://no-color.org: any value but an empty one.
    color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    yield draw_plan(timeline_lines(found.orders), found.plan, subject=_subject(found), width=width, color=color)
    if found.created_first or found.coupons:
        yield from ("", "Created first")
        yield from (printable(f"  {one}") for one in found.created_first)
        for coupon in found.coupons:
            off = discount_text(coupon.discount.percent_off, coupon.discount.amount_off, coupon.currency)
            yield f"  the coupon {coupon.id}, {off} off"
    if found.invoices:
        yield from ("", "Invoices to come")
        for invoice in found.invoices:
            yield from _invoice(found, invoice)
    if found.request is not None:
        yield from ("", "Request", f"  {found.request}")
        yield f"  {json.dumps(found.params, ensure_ascii=False, separators=(',', ':'))}"


def _invoice(found: Preview, invoice: Invoice) -> Iterator[str]:
    """One invoice: its day and total, then its lines with their amounts below each other."""
    zone = found.plan.situation.zone
    if invoice.problem is not None:
        which = "the next invoice" if invoice.exact else f"from {day(invoice.date, zone)} on"
        yield printable(f"  {which}: no preview. {invoice.problem}")
        return
    parts = [f"{_amount(invoice.total, invoice)} {invoice.currency}"]
    if not invoice.exact:
        parts.append("in a full cycle of that phase")
    if invoice.note:
        parts.append(invoice.note)
    yield printable(f"  {day(invoice.date, zone)}: {', '.join(parts)}")
    amounts = [_amount(line.amount, invoice) for line in invoice.lines]
    for amount, line in zip(amounts, invoice.lines, strict=True):
        prorated = ", prorated" if line.proration else ""
        text = f"{line.description}, {period(line.start, line.end, zone)}{prorated}"
        yield printable(f"    {amount:>{max(map(len, amounts))}}  {text}")
