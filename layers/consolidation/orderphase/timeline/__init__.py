"""Timelines: what was ordered above, what is billed below, on one axis of calendar time.

Pure: order lines and a consolidation go in, text for a terminal or a stand-alone SVG comes out.
"""

from orderphase.timeline.chart import TimelineLine, timeline_lines
from orderphase.timeline.svg import draw_svg
from orderphase.timeline.text import draw_text

__all__ = ["TimelineLine", "draw_svg", "draw_text", "timeline_lines"]
