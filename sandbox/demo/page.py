"""The demo as one HTML page that stands alone: no script, no address, light and dark."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape

from orderphase.timeline import draw_svg
from sandbox.demo.report import Block, Check, Output, Paragraph, Picture, Raw, Scene, Table

_STYLE = """
:root{color-scheme:light dark;--paper:#fff;--back:#f3f4f6;--ink:#1f2937;--soft:#6b7280;--rule:#e5e7eb;--good:#15803d;
--bad:#dc2626}
@media (prefers-color-scheme:dark){:root{--paper:#111827;--back:#030712;--ink:#e5e7eb;--soft:#9ca3af;--rule:#374151;
--good:#4ade80;--bad:#f87171}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main{max-width:68rem;margin:0 auto;padding:2rem 1rem}
section{background:var(--paper);border:1px solid var(--rule);border-radius:12px;padding:1.5rem;margin:1.5rem 0}
h1,h2,h3{line-height:1.25;margin:0 0 .5rem}h3{font-size:1rem;margin-top:1.75rem}
.story,.soft{color:var(--soft)}
.wide{overflow-x:auto}svg{display:block;width:100%;min-width:40rem;height:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.4rem .75rem .4rem 0;border-bottom:1px solid var(--rule)}
th{color:var(--soft);font-weight:500}td{overflow-wrap:anywhere}
ul{list-style:none;padding:0;margin:1.5rem 0 0}
.holds::before{content:"✓ ";color:var(--good)}.fails::before{content:"✗ ";color:var(--bad)}
.fails{color:var(--bad)}
details{margin-top:.75rem}summary{cursor:pointer;color:var(--soft)}
pre{overflow:auto;max-height:30rem;padding:1rem;background:var(--back);border-radius:8px;font-size:.8rem}
""".strip()


def render(scenes: Sequence[Scene], *, played_at: datetime, verdict: str) -> str:
    """The page. `played_at` is an instant in UTC."""
    sections = "\n".join(f"<section>\n{_scene(number, scene)}\n</section>" for number, scene in enumerate(scenes, 1))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Orderphase demo</title>
<style>
{_STYLE}
</style>
</head>
<body>
<main>
<h1>Orderphase demo</h1>
<p>Salesforce Orders become Stripe subscription schedules. {escape(verdict)}</p>
<p class="soft">Played on {played_at:%Y-%m-%d at %H:%M} UTC, on a local stack between emulators of Salesforce and Stripe.</p>
{sections}
</main>
</body>
</html>
"""


def _scene(number: int, scene: Scene) -> str:
    parts = [f"<h2>{number}. {escape(scene.title)}</h2>", f'<p class="story">{escape(scene.story)}</p>']
    for block in scene.blocks:
        parts += _block(block)
    parts.append(f"<ul>{''.join(_check(check) for check in scene.checks)}</ul>")
    return "\n".join(parts)


def _block(block: Block) -> Iterator[str]:
    match block:
        case Paragraph(text):
            yield f"<p>{escape(text)}</p>"
        case Picture(title, lines, consolidated):
            yield f"<h3>{escape(title)}</h3>"
            yield f'<div class="wide">{draw_svg(lines, consolidated, title=title)}</div>'
        case Table(title, head, rows):
            yield f"<h3>{escape(title)}</h3>"
            yield f'<div class="wide"><table><thead>{_cells(head, "th")}</thead><tbody>'
            yield from (_cells(row, "td") for row in rows)
            yield "</tbody></table></div>"
        case Output(command, text):
            yield f"<h3><code>{escape(command)}</code></h3>"
            yield f"<pre>{escape(text)}</pre>"
        case Raw(title, value):
            text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
            yield f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"


def _cells(cells: Sequence[str], kind: str) -> str:
    return f"<tr>{''.join(f'<{kind}>{escape(cell)}</{kind}>' for cell in cells)}</tr>"


def _check(check: Check) -> str:
    found = "" if check.holds else f": {check.found}"
    return f'<li class="{"holds" if check.holds else "fails"}">{escape(check.claim + found)}</li>'
