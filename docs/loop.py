"""Draw the picture of the loop, docs/loop.svg: text and boxes, readable on light and dark."""

from __future__ import annotations

from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 960, 430
STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .small { font-size: 11px; fill: #59636e }
  .box { fill: #eef4ff; stroke: #3b6fd4; stroke-width: 1.3 }
  .topic { fill: #ffffff; stroke: #8c959f; stroke-width: 1; stroke-dasharray: 4 3 }
  .outside { fill: #f6f8fa; stroke: #8c959f; stroke-width: 1 }
  .proof { fill: #eaf7ee; stroke: #2da44e; stroke-width: 1.3 }
  .line { fill: none; stroke: #59636e; stroke-width: 1.3 }
  .head { fill: #59636e }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 }
    .box { fill: #14264d; stroke: #6f9bf0 } .topic { fill: #0d1117; stroke: #7d8590 }
    .outside { fill: #161b22; stroke: #7d8590 } .proof { fill: #10301b; stroke: #3fb950 }
    .line { stroke: #9198a1 } .head { fill: #9198a1 }
  }
"""


class Box(NamedTuple):
    """A node: its middle, its looks, its words."""

    x: int
    y: int
    looks: str
    title: str
    about: str = ""
    width: int = 118
    height: int = 44


BOXES = {
    "app": Box(75, 60, "outside", "your application", "SDK, or any client", 130),
    "predictions": Box(235, 40, "topic", "predictions", height=26),
    "labels": Box(235, 82, "topic", "labels", height=26),
    "meter": Box(380, 60, "box", "METER", "joins, counts panes"),
    "outcomes": Box(530, 40, "topic", "outcomes", height=26),
    "summaries": Box(530, 82, "topic", "summaries", height=26),
    "detect": Box(675, 35, "box", "DETECT", "sequential tests"),
    "monitor": Box(675, 91, "box", "MONITOR", "drift, performance"),
    "metrics": Box(835, 60, "topic", "metrics", height=26),
    "controller": Box(835, 165, "box", "CONTROLLER", "rules, gate, stages"),
    "alerts": Box(675, 165, "topic", "alerts", height=26),
    "people": Box(530, 165, "outside", "people", "silence, approve", 140),
    "retraining": Box(835, 255, "topic", "retraining", height=26),
    "trainer": Box(675, 255, "box", "TRAINER", "challengers"),
    "lifecycle": Box(530, 255, "topic", "lifecycle", height=26),
    "deployments": Box(380, 165, "topic", "deployments", height=26),
    "gateway": Box(200, 165, "box", "GATEWAY", "serves the champion", 130),
    "archive": Box(235, 345, "box", "ARCHIVER", "Parquet"),
    "views": Box(75, 345, "box", "MATERIALIZER", "DuckDB, page, SQL", 130),
    "verify": Box(430, 345, "proof", "streamops verify", "computes every alert again", 190),
    "ticks": Box(180, 255, "box", "BROADCASTER", "ticks into predictions, labels, lifecycle", 250),
}

# Points of each arrow; the last one gets the head.
ARROWS: tuple[tuple[tuple[int, int], ...], ...] = (
    ((140, 52), (158, 40), (174, 40)),
    ((140, 68), (158, 82), (174, 82)),
    ((294, 40), (308, 52), (319, 52)),
    ((294, 82), (308, 68), (319, 68)),
    ((439, 52), (455, 40), (469, 40)),
    ((439, 68), (455, 82), (469, 82)),
    ((589, 38), (614, 35)),
    ((589, 84), (614, 89)),
    ((734, 38), (760, 52), (774, 54)),
    ((734, 88), (760, 70), (774, 66)),
    ((835, 73), (835, 141)),
    ((776, 165), (736, 165)),
    ((616, 165), (602, 165)),
    ((835, 187), (835, 240)),
    ((776, 255), (736, 255)),
    ((616, 255), (591, 255)),
    ((530, 268), (530, 300), (915, 300), (915, 165), (896, 165)),
    ((800, 187), (800, 212), (380, 212), (380, 180)),
    ((321, 165), (267, 165)),
    ((164, 143), (164, 46), (174, 46)),
    ((530, 187), (530, 240)),
    ((305, 255), (469, 255)),
    ((294, 345), (333, 345)),
)


def _box(box: Box) -> str:
    left, top = box.x - box.width // 2, box.y - box.height // 2
    parts = [
        (
            f'<rect class="{box.looks}" x="{left}" y="{top}" width="{box.width}" '
            f'height="{box.height}" rx="6"/>'
        )
    ]
    title_y = box.y - 2 if box.about else box.y + 4
    parts.append(f'<text x="{box.x}" y="{title_y}" text-anchor="middle">{escape(box.title)}</text>')
    if box.about:
        parts.append(
            f'<text class="small" x="{box.x}" y="{box.y + 14}" text-anchor="middle">'
            f"{escape(box.about)}</text>"
        )
    return "\n".join(parts)


def _arrow(points: tuple[tuple[int, int], ...]) -> str:
    path = "M" + " L".join(f"{x} {y}" for x, y in points)
    return f'<path class="line" d="{path}" marker-end="url(#head)"/>'


def draw() -> str:
    """Return the whole picture."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'aria-label="The loop: predictions and labels are joined and counted, metrics become '
        'alerts, retrain requests and deployments, and the archive proves every alert">'
    )
    marker = (
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto-start-reverse"><path class="head" d="M0 0 L8 4 L0 8 z"/>'
        "</marker></defs>"
    )
    notes = [
        (
            '<text class="small" x="25" y="400">Solid boxes are processes, dashed ones topics. '
            "Every topic goes to ARCHIVER and MATERIALIZER.</text>"
        ),
        (
            '<text class="small" x="25" y="417">Blue: what streamops runs. Grey: yours. Green: '
            "anyone's, from the archive alone.</text>"
        ),
    ]
    parts = [head, f"<style>{STYLE}</style>", marker]
    parts += [_arrow(points) for points in ARROWS]
    parts += [_box(box) for box in BOXES.values()]
    parts += notes
    return "\n".join([*parts, "</svg>"]) + "\n"
