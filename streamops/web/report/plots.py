"""Charts as inline SVG: they print, need no script, and say in text what they draw.

Rule 1: a null is a gap. Nothing here fills, joins or guesses a value.
Rule 2: colours are Okabe and Ito's, and each line has a dash of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from streamops.web.markup import Markup, Node, tag
from streamops.web.reads.charts import Band, Chart, Charts, Mark, Series
from streamops.web.units import name_of, number

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b07400", "#3b3b3b")
DASHES = ("", "7 3", "2 3", "9 3 2 3", "5 2 1 2", "1 2")
SHADES = ("#e6f0f7", "#fdf3e0", "#e4f4ee", "#f8edf4")
WIDTH, HEIGHT = 760, 210
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 24, 26
TICKS = 5


class Frame:
    """Where times and values stand on the picture."""

    def __init__(self, times: Sequence[float], low: float, high: float) -> None:
        self.start, self.end = times[0], max(times[-1], times[0] + 1)
        self.low, self.high = low, high

    def x(self, time: float) -> float:
        """Return a time's place."""
        share = (time - self.start) / (self.end - self.start)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        """Return a value's place."""
        share = (value - self.low) / (self.high - self.low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    def holds(self, time: float) -> bool:
        """Tell whether a time is on the picture."""
        return self.start <= time <= self.end


def within(chart: Chart, since: datetime | None, until: datetime | None) -> Chart | None:
    """Return a chart's part in a span; None where nothing of it is in it."""
    low = since.timestamp() if since is not None else float("-inf")
    high = until.timestamp() if until is not None else float("inf")
    kept = [n for n, time in enumerate(chart.times) if low <= time < high]
    series = tuple(
        Series(name=s.name, values=tuple(s.values[n] for n in kept), dashed=s.dashed)
        for s in chart.series
    )
    known = tuple(s for s in series if any(v is not None for v in s.values))
    if not known:
        return None
    return Chart(
        name=chart.name,
        title=chart.title,
        unit=chart.unit,
        times=tuple(chart.times[n] for n in kept),
        series=known,
        panes_per_point=chart.panes_per_point,
        fold=chart.fold,
        marks=chart.marks,
    )


def figure(chart: Chart, found: Charts) -> Markup:
    """Return a chart with its caption."""
    low, high = bounds(chart)
    frame = Frame(chart.times, low, high)
    marks = [m for m in found.marks if m.kind in chart.marks and frame.holds(m.time)]
    title = name_of(chart.title).replace("_", " ")
    title = title[:1].upper() + title[1:]
    picture = tag(
        "svg",
        [band(frame, b, n) for n, b in enumerate(found.bands)],
        [gridline(frame, chart.unit, low + (high - low) * n / 4) for n in range(5)],
        [tick(frame, n) for n in range(TICKS)],
        [line(frame, chart, s, n) for n, s in enumerate(chart.series)],
        [mark(frame, m) for m in marks],
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=said(chart, title, marks),
    )
    return tag(
        "figure",
        tag("figcaption", tag("b", title), note(chart, marks)),
        picture,
        legend(chart),
        data_chart=chart.name,
        data_points=len(chart.times),
        data_marks=len(marks),
    )


def bounds(chart: Chart) -> tuple[float, float]:
    """Return the least and greatest value of the axis: a share's ends at 0 and 1."""
    values = [v for s in chart.series for v in s.values if v is not None]
    low, high = min(values), max(values)
    room = max((high - low) * 0.08, abs(high) * 0.01, 1e-9)
    if chart.unit == "share":
        return max(0.0, low - room), min(1.0, high + room) if high + room > low else 1.0
    return 0.0, high + room


def band(frame: Frame, found: Band, n: int) -> Markup | None:
    """Return the time a version served, with as much of its name as fits."""
    start = max(found.since, frame.start)
    end = frame.end if found.until is None else min(found.until, frame.end)
    if start >= end:
        return None
    left, right = frame.x(start), frame.x(end)
    room = int((right - left) / 6)
    name = found.version if len(found.version) <= room else f"{found.version[: room - 1]}…"
    return tag(
        "g",
        tag("title", found.version),
        tag(
            "rect", x=left, y=TOP, width=round(right - left, 1), height=HEIGHT - TOP - BOTTOM,
            fill=SHADES[n % len(SHADES)],
        ),
        tag("text", name, x=left + 2, y=TOP - 8, class_="band") if room > 3 else None,
    )  # fmt: skip


def gridline(frame: Frame, unit: str, value: float) -> Markup:
    """Return a line across with its value."""
    y = frame.y(value)
    return tag(
        "g",
        tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"),
        tag("text", number(value, unit), x=LEFT - 6, y=y + 4, text_anchor="end"),
    )


def tick(frame: Frame, n: int) -> Markup:
    """Return a time below the picture."""
    time = frame.start + (frame.end - frame.start) * n / (TICKS - 1)
    days = (frame.end - frame.start) >= 3 * 86400
    text = datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d" if days else "%m-%d %H:%M")
    anchor = "start" if n == 0 else "end" if n == TICKS - 1 else "middle"
    return tag("text", text, x=frame.x(time), y=HEIGHT - 8, text_anchor=anchor)


def line(frame: Frame, chart: Chart, series: Series, n: int) -> Markup:
    """Return a series: a path for each run without a gap, a dot where a run is one point."""
    colour = "#777777" if series.dashed else COLOURS[n % len(COLOURS)]
    dash = "4 4" if series.dashed else DASHES[n % len(DASHES)]
    parts = list[Node]()
    for run in runs(chart.times, series.values):
        places = [(frame.x(time), frame.y(value)) for time, value in run]
        if len(places) == 1:
            parts.append(tag("circle", cx=places[0][0], cy=places[0][1], r=2, fill=colour))
        else:
            path = "M" + " L".join(f"{x} {y}" for x, y in places)
            parts.append(tag("path", d=path, stroke=colour, stroke_dasharray=dash or None))
    return tag("g", tag("title", series.name), parts, class_="line")


def runs(
    times: Sequence[float], values: Sequence[float | None]
) -> Iterator[list[tuple[float, float]]]:
    """Yield the stretches of a series in which no value lacks."""
    run: list[tuple[float, float]] = []
    for time, value in zip(times, values, strict=True):
        if value is None:
            if run:
                yield run
            run = []
        else:
            run.append((time, value))
    if run:
        yield run


def mark(frame: Frame, found: Mark) -> Markup:
    """Return an alert's triangle at the top."""
    x = frame.x(found.time)
    shape = f"M{x - 4} {TOP} L{x + 4} {TOP} L{x} {TOP + 7} Z"
    return tag("path", tag("title", found.title), d=shape, class_="mark")


def legend(chart: Chart) -> Markup | None:
    """Return what each line is; none for a single one."""
    if len(chart.series) < 2:
        return None
    keys = []
    for n, series in enumerate(chart.series):
        colour = "#777777" if series.dashed else COLOURS[n % len(COLOURS)]
        dash = "4 4" if series.dashed else DASHES[n % len(DASHES)]
        stroke = tag(
            "line", x1=0, x2=22, y1=5, y2=5, stroke=colour, stroke_width=2,
            stroke_dasharray=dash or None,
        )  # fmt: skip
        key = tag("svg", stroke, width=22, height=10, aria_hidden="true")
        keys.append(tag("span", key, " ", series.name.replace("_", " "), class_="key"))
    return tag("p", keys, class_="legend")


def note(chart: Chart, marks: Sequence[Mark]) -> str:
    """Return what a chart's points and marks stand for."""
    parts = [f"{len(chart.times)} points"]
    if chart.panes_per_point > 1:
        parts = [f"each point: {chart.panes_per_point} panes, their {chart.fold}"]
    if marks:
        parts.append(f"▼ {len(marks)} {'alert' if len(marks) == 1 else 'alerts'}")
    return " " + " · ".join(parts)


def said(chart: Chart, title: str, marks: Sequence[Mark]) -> str:
    """Return a chart in words."""
    last = []
    for series in chart.series:
        value = [v for v in series.values if v is not None][-1]
        last.append(f"{series.name} {number(value, chart.unit)}")
    return f"{title} over {len(chart.times)} panes; last: {', '.join(last)}; {len(marks)} alerts"
