# ruff: noqa: E501  # a picture in lines
"""Draws how a call flows through the packages, for the docs: `python tools/draw_flow.py` writes docs/images/flow.svg."""

from __future__ import annotations

import html
import sys
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "docs" / "images" / "flow.svg"
STYLE = """
text { font: 14px system-ui, sans-serif; fill: #1b1f24; text-anchor: middle; dominant-baseline: central; }
.lane { fill: #f2f4f7; } .name { font-weight: 600; text-anchor: end; fill: #565d66; }
.box { fill: #ffffff; stroke: #2f6fb3; stroke-width: 1.5; } .money { stroke: #23795c; } .deep { stroke: #b3541e; }
.edge { fill: none; stroke: #565d66; stroke-width: 1.5; marker-end: url(#tip); } .note { font-size: 12px; fill: #565d66; }
.tip { fill: #565d66; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6e8eb; } .lane { fill: #1e2227; } .name, .note { fill: #a9b0b9; } .box { fill: #14171a; stroke: #6aa9e9; }
  .money { stroke: #5fc39d; } .deep { stroke: #f0a06a; } .edge { stroke: #a9b0b9; } .tip { fill: #a9b0b9; }
}
"""
WIDE, HIGH = 112, 40
LANES = {"deepthrift_router": 20, "deepthrift": 200, "deepthrift_pricing": 330}
LANE_HIGH = {"deepthrift_router": 160, "deepthrift": 110, "deepthrift_pricing": 110}
BOXES = {
    "score": (90, 75, ""), "decide": (250, 75, ""), "verify": (410, 75, ""), "escalate": (570, 75, "deep"),
    "record and audit": (730, 145, ""), "client": (90, 260, ""), "host profile": (250, 260, ""), "attempt": (410, 260, ""),
    "transport": (570, 260, ""), "endpoint": (760, 260, ""), "estimate": (90, 390, "money"), "reserve": (250, 390, "money"),
    "settle": (410, 390, "money"), "ledger": (570, 390, "money"), "alerts, reports": (740, 390, "money"),
}  # fmt: skip
EDGES = [
    ("score", "decide", ""), ("decide", "verify", "standard first"), ("verify", "escalate", "when it pays"),
    ("client", "host profile", ""), ("host profile", "attempt", ""), ("attempt", "transport", ""),
    ("transport", "endpoint", ""), ("settle", "ledger", ""), ("ledger", "alerts, reports", ""),
    ("estimate", "reserve", ""),
]  # fmt: skip
PATHS = [
    ("M 250 95 V 175 H 90 V 238", "every call", 170, 165),
    ("M 570 95 V 120 H 730 V 123", "", 0, 0),
    ("M 90 280 V 368", "", 0, 0),
    ("M 306 390 H 330 V 260 H 352", "", 0, 0),
    ("M 410 280 V 368", "always, also on cancel", 486, 318),
]


def box(name: str) -> str:
    x, y, kind = BOXES[name]
    wide = max(WIDE, 9 * len(name) + 8)
    return (
        f'<rect class="box {kind}" x="{x - wide / 2:g}" y="{y - HIGH / 2:g}" width="{wide:g}" height="{HIGH}" rx="8"/>'
        f'<text x="{x}" y="{y}">{html.escape(name)}</text>'
    )


def edge(start: str, end: str, note: str) -> str:
    (x1, y, _), (x2, _, _) = BOXES[start], BOXES[end]
    left = x1 + max(WIDE, 9 * len(start) + 8) / 2
    right = x2 - max(WIDE, 9 * len(end) + 8) / 2
    said = f'<text class="note" x="{(left + right) / 2:g}" y="{y - 30}">{html.escape(note)}</text>' if note else ""
    return f'<path class="edge" d="M {left:g} {y} H {right - 2:g}"/>{said}'


def main() -> int:
    """Write the picture."""
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 840 450" role="img" aria-labelledby="title">',
        '<title id="title">How a call flows: the router scores, decides, verifies and escalates; the client speaks the '
        "host's dialect; pricing estimates, reserves, settles and keeps the ledger</title>",
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="tip" d="M 0 0 L 8 4 L 0 8 z"/></marker></defs>',
    ]
    for name, top in LANES.items():
        parts.append(f'<rect class="lane" x="10" y="{top}" width="820" height="{LANE_HIGH[name]}" rx="12"/>')
        parts.append(f'<text class="name" x="816" y="{top + 18}">{name}</text>')
    parts += [edge(*each) for each in EDGES]
    for path, note, x, y in PATHS:
        parts.append(f'<path class="edge" d="{path}"/>')
        if note:
            parts.append(f'<text class="note" x="{x}" y="{y}">{html.escape(note)}</text>')
    parts += [box(name) for name in BOXES]
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
