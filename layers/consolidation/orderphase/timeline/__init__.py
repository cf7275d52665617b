"""Timelines: what was ordered above, what is billed below, on one axis of calendar time.

Pure: order lines and a consolidation, or a plan, go in; text for a terminal or a stand-alone SVG comes out.
"""

from orderphase.timeline.changes import plan_changes
from orderphase.timeline.chart import TimelineLine, timeline_lines
from orderphase.timeline.svg import draw_plan_svg, draw_svg
from orderphase.timeline.text import draw_plan, draw_text

__all__ = ["TimelineLine", "draw_plan", "draw_plan_svg", "draw_svg", "draw_text", "plan_changes", "timeline_lines"]
