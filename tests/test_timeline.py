"""Timelines: places in proportion to time, everything shown, nothing let through."""

# ruff: noqa: RUF001 (a timeline writes quantities with a multiplication sign)

from __future__ import annotations

import re
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderphase import timeline
from orderphase.domain.backdating import CatchUp
from orderphase.domain.cancellation import CancellationRequest
from orderphase.domain.consolidation import consolidate
from orderphase.domain.findings import Finding
from orderphase.domain.lines import Discount, Order, OrderLine
from orderphase.domain.phases import Consolidation, Phase, PhaseItem, PhaseSettings
from orderphase.domain.planning import Plan, Situation, plan
from orderphase.domain.policies import Policies
from orderphase.domain.requests import SentPhase
from orderphase.domain.schedules import HeldDiscount, HeldPhase, HeldSchedule
from orderphase.timeline import (
    TimelineLine,
    draw_plan,
    draw_plan_svg,
    draw_svg,
    draw_text,
    plan_changes,
    timeline_lines,
)
from orderphase.timeline.chart import Scale, columns, cut, place_labels, printable
from tests.template.test_imports import imported

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '</text><script>alert("1")</script>&\x1b[2J\x00'


def day(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None


def start_of(text: str) -> datetime:
    found = day(text)
    assert found is not None
    return found


def drawn(*specs: tuple[str, str, str | None], quantity: str = "1") -> tuple[tuple[TimelineLine, ...], Consolidation]:
    """Lines of (name, start, end) with a price each, and what becomes of them."""
    lines = tuple(
        OrderLine(f"802{number:03}", Decimal(quantity), start_of(start), day(end), price_id=f"price_{name}", name=name)
        for number, (name, start, end) in enumerate(specs)
    )
    order = Order("801", "00000101", date(2025, 1, 1), lines=lines, currency="USD")
    return timeline_lines([order]), consolidate([order], Policies())


EXAMPLE = drawn(("A", "2025-01-01", "2026-01-01"), ("B", "2025-06-01", "2026-01-01"))
GAP = Finding("phase_gap", "error", "Nothing.", (), (), day("2025-04-01"), day("2025-06-01"), "Fill it.")
REMARK = Finding("zero_quantity", "warning", "A remark.", (), (), day("2025-06-01"), None, "Nothing.")
PLACELESS = Finding("currency_conflict", "error", "Two currencies.", (), (), None, None, "Choose.")


def test_the_example_of_the_design() -> None:
    assert (
        draw_text(*EXAMPLE, width=64)
        == """\
A × 1       ███████████████████████████████████████████████████
B × 1                            ██████████████████████████████
            ┌────────────────────┬─────────────────────────────┐
phases      │ 1                  │ 2                           │
            └────────────────────┴─────────────────────────────┘
            2025-01-01           2025-06-01           2026-01-01

phase 1  from 2025-01-01 to 2025-06-01: A × 1
phase 2  from 2025-06-01 to 2026-01-01: A × 1; B × 1
The subscription ends on 2026-01-01."""
    )


def test_an_open_end_is_an_arrow() -> None:
    assert (
        draw_text(*drawn(("A", "2025-01-01", None), ("B", "2025-01-01", "2025-07-01")), width=64)
        == """\
A × 1       ███████████████████████████████████████████████████▶
B × 1       █████████████████████████████████████████████
            ┌────────────────────────────────────────────┬─────▶
phases      │ 1                                          │ 2
            └────────────────────────────────────────────┴─────▶
            2025-01-01                                2025-07-01

phase 1  from 2025-01-01 to 2025-07-01: A × 1; B × 1
phase 2  from 2025-07-01 on: A × 1
The subscription goes on until it is ended."""
    )


def test_findings_are_marked_where_they_are_and_told() -> None:
    lines, _ = drawn(("A", "2025-01-01", "2025-04-01"), ("B", "2025-06-01", "2026-01-01"), ("C", "2025-06-01", "2025-06-01"))
    consolidated = Consolidation((), "cancel", (GAP, REMARK, PLACELESS), "USD")
    assert (
        draw_text(lines, consolidated, width=64)
        == """\
A × 1       ███████████
B × 1                          ██████████████████████████
C × 1                          X
finding 1              !!!!!!!!
finding 2                      ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~▶
            ┴──────────┴───────┴─────────────────────────┴─────▶
            2025-01-01 2025-04-01                     2026-01-01
                               2025-06-01

finding 1  error, phase_gap: Nothing.
           To do: Fill it.

finding 2  warning, zero_quantity: A remark.
           To do: Nothing.

finding 3  error, currency_conflict: Two currencies.
           To do: Choose."""
    )


def test_without_words_there_is_the_drawing_alone() -> None:
    told = draw_text(*EXAMPLE, width=64)
    assert draw_text(*EXAMPLE, width=64, words=False) == told.partition("\n\n")[0]


def test_a_phase_tells_discounts_and_settings() -> None:
    discount = Discount(amount_off=Decimal("5"))
    item = PhaseItem("price_1", 3, discount, ("unknown line",))
    settings = PhaseSettings("send_invoice", 30, Discount(percent_off=Decimal("10.00")))
    phase = Phase(start_of("2025-01-01"), day("2026-01-01"), (item,), settings)
    told = draw_text(EXAMPLE[0], Consolidation((phase,), "cancel", (), "USD"), width=120)
    assert ": price_1 × 3, 5.00 USD off; all 10 percent off; send_invoice, due in 30 days\n" in told


def test_dates_are_shown_in_the_zone() -> None:
    told = draw_text(*EXAMPLE, zone=ZoneInfo("America/New_York"))
    assert "from 2024-12-31 19:00:00 EST to 2025-05-31 20:00:00 EDT" in told


def test_lines_come_in_order_of_time_and_name_their_order_where_there_are_several() -> None:
    late, early = (
        Order(f"801{number}", number, date(2025, 1, 1), lines=(OrderLine(f"802{number}", Decimal(2), start_of(start), None),))
        for number, start in (("00000101", "2025-06-01"), ("00000102", "2025-01-01"))
    )
    lines = timeline_lines([late, early])
    assert [line.order for line in lines] == ["00000102", "00000101"]
    told = draw_text(lines, Consolidation((), "cancel", (), None))
    assert told.startswith("00000102 80200000102 × 2 ")


def test_no_lines_are_said_to_be_none() -> None:
    nothing = Consolidation((), "cancel", (PLACELESS,), None)
    assert draw_text([], nothing).splitlines()[0] == "No order lines."
    assert "Two currencies." in draw_text([], nothing)
    picture = ET.fromstring(draw_svg([], nothing, title="T"))
    assert [text.text for text in picture.iter(f"{SVG}text")] == ["No order lines."]


def test_too_narrow_a_terminal_is_refused() -> None:
    draw_text(*EXAMPLE, width=40)
    with pytest.raises(ValueError, match="40 columns"):
        draw_text(*EXAMPLE, width=39)


def test_a_day_beside_ten_years_is_still_to_be_seen() -> None:
    lines, consolidated = drawn(("A", "2025-01-01", "2035-01-01"), ("B", "2025-06-01", "2025-06-02"))
    rows = draw_text(lines, consolidated, width=64).splitlines()
    assert [row.count("█") for row in rows[:2]] == [51, 2]
    assert rows[3] == "phases      │1│2│ 3                                            │"


def test_many_lines_have_a_row_each_and_dates_do_not_touch() -> None:
    first = datetime(2025, 1, 1, tzinfo=UTC)
    lines = [
        TimelineLine(f"802{n}", f"P{n}", Decimal(1), first + timedelta(days=3 * n), first + timedelta(days=200 + 5 * n), "1")
        for n in range(50)
    ]
    rows = draw_text(lines, Consolidation((), "cancel", (), None), width=100).splitlines()
    bars = [(row.index("█"), row.rindex("█")) for row in rows[:50]]
    assert bars == sorted(bars)
    dates = [date for row in rows[51:] for date in row.split()]
    assert 2 <= len(rows) - 50 <= 3
    assert dates
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for date in dates)


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
moments = st.integers(0, 4 * 10**9).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@st.composite
def any_timeline(draw: st.DrawFn) -> tuple[list[TimelineLine], Consolidation]:
    """Lines of any shape, and phases or findings between their dates."""
    lines = [
        TimelineLine(f"802{number}", draw(names), Decimal(draw(st.integers(-9, 999))), draw(moments), end, "1")
        for number, end in enumerate(draw(st.lists(st.none() | moments, max_size=12)))
    ]
    bounds = sorted(set(draw(st.lists(moments, max_size=12))))
    item = PhaseItem("price", 1, None, tuple(line.id for line in lines))
    phases = tuple(Phase(start, end, (item,)) for start, end in zip(bounds, [*bounds[1:], None], strict=False))
    findings = (Finding("phase_gap", "error", draw(names), (), (), draw(moments), draw(st.none() | moments), "Do."),)
    return lines, Consolidation(phases, "release", draw(st.sampled_from([(), findings])), "USD")


@given(any_timeline(), st.integers(40, 120))
def test_whatever_comes_it_is_drawn_within_its_width(given: tuple[list[TimelineLine], Consolidation], width: int) -> None:
    drawing = draw_text(*given, width=width, words=False)
    assert all(columns(row) <= width for row in drawing.split("\n"))
    assert all(row.isprintable() for row in drawing.split("\n"))


@given(any_timeline())
def test_whatever_comes_it_is_well_formed_svg_within_its_frame(given: tuple[list[TimelineLine], Consolidation]) -> None:
    within_its_frame(ET.fromstring(draw_svg(*given, title="T")))


def within_its_frame(picture: ET.Element) -> None:
    _, _, width, height = map(int, picture.attrib["viewBox"].split())
    for box in picture.iter(f"{SVG}rect"):
        left, top = int(box.get("x", 0)), int(box.get("y", 0))
        assert 0 <= left <= left + int(box.attrib["width"]) <= width
        assert 0 <= top <= top + int(box.attrib["height"]) <= height
    for text in picture.iter(f"{SVG}text"):
        assert 0 <= int(text.attrib["x"]) <= width
        assert 0 <= int(text.attrib["y"]) <= height


@given(st.lists(moments, min_size=1, max_size=60), st.integers(20, 1000), st.integers(1, 14), st.booleans())
def test_places_follow_time(given: list[datetime], extent: int, least: int, open_ended: bool) -> None:
    scale = Scale(given, extent=extent, least=least, open_ended=open_ended)
    places = [scale.at(moment) for moment in scale.moments]
    room = extent - extent // 8 if open_ended else extent
    steps = len(places) - 1
    assert 0 <= places[0] <= places[-1] <= room
    distance = min(least, room // steps) if steps else 0
    assert all(after - before >= distance for before, after in pairwise(places))
    assert scale.at(None) == extent


def test_places_are_in_proportion_where_there_is_room() -> None:
    first = datetime(2025, 1, 1, tzinfo=UTC)
    days = [0, 10, 40, 100]
    scale = Scale([first + timedelta(days=n) for n in days], extent=500, least=2, open_ended=False)
    assert [scale.at(moment) for moment in scale.moments] == [0, 50, 200, 500]


def test_labels_never_touch_and_the_first_go_first() -> None:
    ticks = [(0, "first"), (20, "last"), (3, "below"), (4, "no room"), (8, "third")]
    assert place_labels(ticks, extent=20, unit=1, rows=2) == [[(0, "first"), (8, "third"), (16, "last")], [(3, "below")]]
    assert place_labels(ticks[:2], extent=140, unit=7, rows=2) == [[(0, "first")], [(20, "last")]]


def test_wide_characters_count_twice_and_combining_ones_not_at_all() -> None:
    assert (columns("製品A"), columns("e\u0301")) == (5, 1)
    assert cut("製品ライン", 6) == "製品…"
    assert cut("short", 5) == "short"
    assert cut("short", 0) == ""


def test_nothing_in_a_name_is_a_command() -> None:
    assert printable("a\x1b[2J\n\xa0b") == "a\N{REPLACEMENT CHARACTER}[2J  b"
    lines, consolidated = drawn((HOSTILE, "2025-01-01", "2026-01-01"))
    assert "\x1b" not in draw_text(lines, consolidated)
    told = draw_svg(lines, consolidated, title=HOSTILE)
    picture = ET.fromstring(told)
    assert "<script" not in told
    assert {element.tag.removeprefix(SVG) for element in picture.iter()} <= {
        *("svg", "title", "desc", "style", "rect", "path", "g", "text"),
    }


def svg_of(lines: tuple[TimelineLine, ...], consolidated: Consolidation) -> ET.Element:
    return ET.fromstring(draw_svg(lines, consolidated, title="The title"))


def shapes(picture: ET.Element, kind: str) -> list[tuple[int, int]]:
    return [
        (int(shape.attrib["x"]), int(shape.attrib["width"]))
        for shape in picture.iter(f"{SVG}rect")
        if shape.get("class") == kind
    ]


def test_bars_and_phases_of_an_svg_stand_below_each_other_and_in_proportion() -> None:
    picture = svg_of(*EXAMPLE)
    (left, whole), (middle, part) = shapes(picture, "line")
    assert left + whole == middle + part
    assert whole / part == pytest.approx(365 / 214, rel=0.01)
    assert shapes(picture, "phase") == [(left, middle - left), (middle, part)]


def test_an_svg_says_in_words_what_it_shows() -> None:
    picture = svg_of(*EXAMPLE)
    assert picture.get("role") == "img"
    assert [child.tag for child in picture][:2] == [f"{SVG}title", f"{SVG}desc"]
    assert picture.findtext(f"{SVG}title") == "The title"
    described = picture.findtext(f"{SVG}desc") or ""
    for words in (
        "Order line B × 1, from 2025-06-01 to 2026-01-01.",
        "Phase 2, from 2025-06-01 to 2026-01-01: A × 1; B × 1.",
        "ends on 2026-01-01",
    ):
        assert words in described
    assert [text.text for text in picture.iter(f"{SVG}text")] == [
        *("A × 1", "B × 1", "phases", "Phase 1", "A × 1", "Phase 2", "A × 1", "B × 1"),
        *("2025-01-01", "2025-06-01", "2026-01-01"),
    ]


def test_what_does_not_fit_into_a_phase_is_written_below() -> None:
    picture = svg_of(*drawn(("A", "2025-01-01", "2035-01-01"), ("B", "2025-06-01", "2025-06-02")))
    written = [text.text for text in picture.iter(f"{SVG}text")]
    assert "2  from 2025-06-01 to 2025-06-02: A × 1; B × 1" in written
    assert "Phase 3" in written
    assert "Phase 2" not in written


def test_an_open_end_and_findings_are_drawn_in_an_svg() -> None:
    lines, consolidated = drawn(("A", "2025-01-01", None))
    marked = Consolidation(consolidated.phases, "release", (GAP, REMARK, PLACELESS), "USD")
    picture = svg_of(lines, marked)
    kinds = [path.get("class") for path in picture.iter(f"{SVG}path") if path.get("class") != "rule"]
    assert kinds == ["line", "warning", "phase"]
    assert len(shapes(picture, "error")) == 1
    described = picture.findtext(f"{SVG}desc") or ""
    assert "Finding 3, error, currency_conflict: Two currencies. To do: Choose." in described
    assert "goes on until it is ended" in described


def test_an_svg_stands_alone_in_light_and_dark() -> None:
    told = draw_svg(*EXAMPLE, title="T")
    assert "prefers-color-scheme:dark" in told
    assert "url(" not in told
    assert "@import" not in told
    assert re.findall(r"https?://[^\"]+", told) == ["http://www.w3.org/2000/svg"]
    assert told.endswith("</svg>\n")


# ---- plans --------------------------------------------------------------------------------------------------------------

NOW = start_of("2025-03-01")
YEAR, HALF = ("A", "2025-01-01", "2026-01-01"), ("B", "2025-06-01", "2026-01-01")


def held(
    *phases: tuple[str, str, dict[str, int | None]], end_behavior: str = "cancel", running: bool = True, **more: Any
) -> HeldSchedule:
    """A schedule of phases (start, end, quantities), of which the first one runs."""
    shown = tuple(HeldPhase(start_of(start), start_of(end), quantities) for start, end, quantities in phases)
    current = shown[0] if running else None
    given = {"status": "active" if running else "not_started", "current": current} | more
    return HeldSchedule("sub_sched_1", customer="cus_1", currency="USD", phases=shown, end_behavior=end_behavior, **given)


def planned(
    *specs: tuple[str, str, str | None], schedule: HeldSchedule | None = None, now: datetime = NOW, **situation: Any
) -> tuple[tuple[TimelineLine, ...], Plan]:
    """Lines as for `drawn`, and the plan for them."""
    lines, consolidated = drawn(*specs)
    return lines, plan(consolidated, Situation(now, Policies(), "USD", schedule, **situation))


TODAY = held(("2025-01-01", "2025-06-01", {"price_A": 1}), ("2025-06-01", "2026-01-01", {"price_A": 2}))


def diff(lines: tuple[TimelineLine, ...], made: Plan, width: int = 100) -> list[str]:
    """What is told below the timeline and the words."""
    return draw_plan(lines, made, subject="contract 800", width=width, words=False).partition("\n\n")[2].splitlines()


def test_a_plan_beside_the_schedule_of_today() -> None:
    assert (
        draw_plan(*planned(YEAR, HALF, schedule=TODAY), subject="contract 800", width=64)
        == """\
now                 ▼ 2025-03-01
A × 1       ███████████████████████████████████████████████████
B × 1                            ██████████████████████████████
            ┌────────────────────┬─────────────────────────────┐
today       │ 1                  │ 2                           │
            └────────────────────┴─────────────────────────────┘
            ┌────────────────────┬─────────────────────────────┐
planned     │ 1                  │ 2                           │
            └────────────────────┴─────────────────────────────┘
            2025-01-01           2025-06-01           2026-01-01

today 1  from 2025-01-01 to 2025-06-01: A × 1
today 2  from 2025-06-01 to 2026-01-01: A × 2

planned 1  from 2025-01-01 to 2025-06-01: A × 1
planned 2  from 2025-06-01 to 2026-01-01: A × 1; B × 1
The subscription ends on 2026-01-01.

Orderphase will update schedule sub_sched_1
  ~ A (price_A) quantity 2 → 1  from 2025-06-01 to 2026-01-01
  + 1 of B (price_B)            from 2025-06-01 to 2026-01-01
Plan: 1 to add, 1 to change, 0 to remove."""
    )


def test_a_new_schedule_is_all_added() -> None:
    assert diff(*planned(("A", "2025-06-01", None))) == [
        "Orderphase will create a schedule for contract 800",
        "  + 1 of A (price_A)  from 2025-06-01 on",
        "Plan: 1 to add, 0 to change, 0 to remove.",
    ]


def test_nothing_to_do_is_said_and_nothing_else() -> None:
    schedule = held(("2025-01-01", "2026-01-01", {"price_A": 1}))
    assert diff(*planned(YEAR, schedule=schedule)) == ["Orderphase has nothing to do."]


def test_a_cancellation_removes_what_was_to_come() -> None:
    schedule = held(("2025-01-01", "2026-01-01", {"price_A": 1}))
    cancelled = planned(YEAR, schedule=schedule, ends_at=NOW, cancellation=CancellationRequest())
    assert diff(*cancelled) == [
        "Orderphase will cancel schedule sub_sched_1",
        "  - 1 of A (price_A)  from 2025-03-01 to 2026-01-01",
        "Plan: 0 to add, 0 to change, 1 to remove.",
    ]


def test_with_errors_nothing_is_done() -> None:
    lines, made = planned(("A", "2025-01-01", "2025-04-01"), ("B", "2025-06-01", "2026-01-01"))
    assert diff(lines, made) == ["Orderphase will do nothing before 1 error is corrected."]
    told = draw_plan(lines, made, subject="contract 800")
    assert "\nfinding 1  error, phase_gap: " in told
    assert "planned" not in told
    two = replace(made, findings=(GAP, REMARK, PLACELESS))
    assert diff(lines, two) == ["Orderphase will do nothing before 2 errors are corrected."]


def test_a_subscription_that_goes_on_is_taken_over() -> None:
    schedule = held(
        ("2025-01-01", "2025-02-01", {"price_A": 1}),
        end_behavior="release",
        current=None,
        status="released",
        subscription_id="sub_1",
        subscription_lives=True,
        ended_at=start_of("2025-02-01"),
    )
    lines, made = planned(("A", "2025-01-01", "2026-01-01"), schedule=schedule)
    assert diff(lines, made) == [
        "Orderphase will create a schedule for contract 800 of the subscription sub_1; its phases follow."
    ]
    assert "today 1  from 2025-01-01 on: A × 1" in draw_plan(lines, made, subject="contract 800")


def test_of_a_schedule_that_was_ended_only_what_was_billed_is_shown() -> None:
    over = replace(TODAY, status="canceled", current=None, ended_at=start_of("2025-02-01"))
    told = draw_plan(*planned(YEAR, schedule=over), subject="contract 800")
    assert "today 1  from 2025-01-01 to 2025-02-01: A × 1\n\n" in told


def test_what_goes_on_after_a_schedule_makes_no_difference_to_what_is_open() -> None:
    schedule = held(("2025-01-01", "2026-01-01", {"price_A": 1}), end_behavior="release")
    lines, made = planned(("A", "2025-01-01", None), ("B", "2025-06-01", None), schedule=schedule)
    assert diff(lines, made)[1:] == [
        "  + 1 of B (price_B)  from 2025-06-01 on",
        "Plan: 1 to add, 0 to change, 0 to remove.",
    ]
    assert "today 1  from 2025-01-01 on: A × 1" in draw_plan(lines, made, subject="contract 800")


def test_the_phases_for_which_stripe_has_no_room_are_not_in_the_diff_but_told() -> None:
    months = [f"2025-{month:02}-01" for month in range(1, 13)] + ["2026-01-01"]
    steps = [(name, start, end) for name, start, end in zip("ABCDEFGHIJKL", months, months[1:], strict=False)]
    lines, made = planned(*steps, now=start_of("2025-01-01"))
    *rows, foot, follows = diff(lines, made)
    assert [row[4:20] for row in rows[1:]] == [f"1 of {name} (price_{name})" for name in "ABCDEFGHIJ"]
    assert rows[-1].endswith("from 2025-10-01 on")
    assert foot == "Plan: 10 to add, 0 to change, 0 to remove."
    assert follows == "Stripe takes ten phases at a time; the next ones are added on 2025-06-01."


def test_what_is_billed_once_is_added() -> None:
    _, made = planned(YEAR, schedule=TODAY)
    caught = CatchUp("price_A", 1234, start_of("2025-01-01"), NOW)
    made = replace(made, sent=(replace(made.sent[0], catch_up=(caught,)), *made.sent[1:]))
    first, *_ = plan_changes(made)
    assert (first.sign, first.what, first.start, first.end) == ("+", "12.34 USD once for price_A", caught.start, NOW)


def test_what_a_held_phase_says() -> None:
    ours, other = HeldDiscount(Discount(percent_off=Decimal(10))), HeldDiscount(None, "WINTER")
    phase = HeldPhase(
        start_of("2025-01-01"),
        start_of("2026-01-01"),
        {"price_A": 2, "price_usage": None},
        {"price_A": (ours, other), None: (HeldDiscount(None, id="di_1"),)},
    )
    schedule = replace(TODAY, phases=(phase,), current=phase, collection_method="send_invoice", days_until_due=30)
    told = draw_plan(*planned(YEAR, schedule=schedule), subject="contract 800", width=160)
    assert ": A × 2, 10 percent off and WINTER; price_usage × usage; all di_1; send_invoice, due in 30 days\n" in told


@pytest.mark.parametrize(
    ("now", "row"),
    [
        ("2025-01-01", "now         ▼ 2025-01-01"),
        ("2025-12-20", "now                                                 2025-12-20 ▼"),
        ("2024-06-01T12:00:00", "now         ▼ 2024-06-01 12:00:00 UTC"),
    ],
)
def test_now_has_a_mark_and_a_date(now: str, row: str) -> None:
    told = draw_plan(*planned(YEAR, now=start_of(now)), subject="contract 800", width=66)
    assert told.splitlines()[0] == row


def test_the_date_of_now_is_left_out_where_there_is_no_room() -> None:
    told = draw_plan(*planned(YEAR, now=start_of("2025-07-01T12:34:56")), subject="contract 800", width=40)
    assert told.splitlines()[0].strip("now ") == "▼"


def test_what_does_not_fit_beside_its_dates_stands_above_them() -> None:
    lines, made = planned(YEAR, schedule=replace(TODAY, phases=TODAY.phases[:1]))
    assert diff(lines, made, width=40) == [
        "Orderphase will update schedule",
        "sub_sched_1",
        "  + 1 of A (price_A)",
        "    from 2025-06-01 to 2026-01-01",
        "Plan: 1 to add, 0 to change, 0 to",
        "remove.",
    ]


def test_colours_tell_what_is_added_changed_and_removed() -> None:
    schedule = held(("2025-01-01", "2026-01-01", {"price_A": 2, "price_C": 1}))
    lines, made = planned(YEAR, HALF, schedule=schedule)
    plain, colored = (draw_plan(lines, made, subject="contract 800", color=color) for color in (False, True))
    assert re.sub(r"\x1b\[\d+m", "", colored) == plain
    rows = [row for row in colored.splitlines() if row.startswith("\x1b")]
    codes = {"O": 1, "~": 33, "-": 31, "+": 32}
    signs = [re.sub(r"\x1b\[\d+m", "", row).strip()[0] for row in rows]
    assert sorted(signs) == ["+", "-", "O", "~"]
    assert all(
        row.startswith(f"\x1b[{codes[sign]}m") and row.endswith("\x1b[0m") for row, sign in zip(rows, signs, strict=True)
    )


@st.composite
def any_plan(draw: st.DrawFn) -> tuple[list[TimelineLine], Plan]:
    """A plan of any shape, beside any schedule or none."""
    lines, consolidated = draw(any_timeline())
    bounds = sorted(set(draw(st.lists(moments, max_size=12))))
    shown = tuple(HeldPhase(start, end, {draw(names): draw(st.none() | st.integers(0, 99))}) for start, end in pairwise(bounds))
    schedule = None
    if shown:
        schedule = HeldSchedule("sub_sched_1", "active", "cus_1", "USD", shown, draw(st.sampled_from(["cancel", "release"])))
    situation = Situation(draw(moments), Policies(), "USD", schedule)
    sent = tuple(SentPhase(phase) for phase in consolidated.phases)
    action = "nothing" if consolidated.refused else "update" if schedule else "create"
    return lines, Plan(action, situation, consolidated.findings, "USD", consolidated.phases, sent)  # type: ignore[arg-type]


@given(any_plan(), names, st.integers(40, 120))
def test_whatever_is_planned_it_is_drawn_within_its_width(
    given: tuple[list[TimelineLine], Plan], subject: str, width: int
) -> None:
    drawing, _, _ = draw_plan(*given, subject=subject, width=width, words=False).partition("\n\n")
    assert all(columns(row) <= width for row in drawing.split("\n"))
    told = draw_plan(*given, subject=subject, width=width).split("\n")
    assert all(row.isprintable() for row in told)


@given(any_plan(), names)
def test_whatever_is_planned_it_is_well_formed_svg_within_its_frame(
    given: tuple[list[TimelineLine], Plan], subject: str
) -> None:
    within_its_frame(ET.fromstring(draw_plan_svg(*given, subject=subject, title="T")))


def test_an_svg_of_a_plan_shows_both_rows_now_and_the_changes() -> None:
    lines, made = planned(YEAR, HALF, schedule=TODAY)
    picture = ET.fromstring(draw_plan_svg(lines, made, subject="contract 800", title="T"))
    assert len(shapes(picture, "phase")) == 4
    (mark,) = [path for path in picture.iter(f"{SVG}path") if path.get("class") == "now"]
    (start, whole), *_ = shapes(picture, "line")
    x = int(re.match(r"M(\d+) ", mark.attrib["d"])[1])  # type: ignore[index]
    assert (x - start) / whole == pytest.approx(59 / 365, rel=0.01)
    written = {text.text: text.get("class") for text in picture.iter(f"{SVG}text")}
    assert written["~ A (price_A) quantity 2 → 1, from 2025-06-01 to 2026-01-01"] == "changed"
    assert written["+ 1 of B (price_B), from 2025-06-01 to 2026-01-01"] == "added"
    assert written["Orderphase will update schedule sub_sched_1"] == "number"
    assert {"today", "planned", "Plan: 1 to add, 1 to change, 0 to remove."} <= set(written)
    described = picture.findtext(f"{SVG}desc") or ""
    for words in (
        "Now is 2025-03-01.",
        "Today 2, from 2025-06-01 to 2026-01-01: A × 2.",
        "Planned 2, ",
        "+ 1 of B (price_B), from",
    ):
        assert words in described


def test_of_two_rows_in_an_svg_the_one_is_named_whose_phases_are_too_narrow() -> None:
    schedule = held(("2025-01-01", "2025-01-03", {"price_A": 2}), ("2025-01-03", "2026-01-01", {"price_A": 1}))
    picture = ET.fromstring(draw_plan_svg(*planned(YEAR, schedule=schedule), subject="contract 800", title="T"))
    assert "today 1  from 2025-01-01 to 2025-01-03: A × 2" in [text.text for text in picture.iter(f"{SVG}text")]


@pytest.mark.parametrize("module", sorted(Path(timeline.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_timelines_are_pure(module: Path) -> None:
    foreign = [name for name in imported(module.read_text()) if name.partition(".")[0] not in sys.stdlib_module_names]
    assert all(name.startswith(("orderphase.domain.", "orderphase.timeline.")) for name in foreign)
