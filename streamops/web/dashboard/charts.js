// Draws the charts of an address with uPlot: series over panes, versions as bands, alerts as marks.
//
// Rule 1: a null is a gap. Nothing here fills, joins or guesses a value.
// Rule 2: what is drawn is also said: each figure carries its counts in data-series, data-bands and
//         data-marks, and every mark is a link in the page's table of alerts.
"use strict";

const streamopsCharts = (() => {
  // Okabe and Ito's colours; each line has a dash of its own as well.
  const LIGHT = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b07400", "#3b3b3b"];
  const DARK = ["#56b4e9", "#ff8a3d", "#2fd3a2", "#e39ac1", "#f0e442", "#d0d0d0"];
  const DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3], [5, 2, 1, 2], [1, 2]];
  const BANDS = [[0, 114, 178], [230, 159, 0], [0, 158, 115], [204, 121, 167]];
  const STROKES = { minor: 1, moderate: 2, major: 3 };
  const HEIGHT = 220;
  const TOP = 22;

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const plots = new Map();

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function written(value, unit) {
    if (value == null) return "–";
    if (unit === "share") return `${(value * 100).toFixed(1)} %`;
    const isSmall = value !== 0 && Math.abs(value) < 0.01;
    const digits = isSmall ? value.toPrecision(2) : Math.abs(value) < 100 ? value.toFixed(3) : Math.round(value).toString();
    return digits + ({ ms: " ms", s: " s", per_s: " /s" }[unit] || "");
  }

  function ticks(values, unit) {
    return values.map((value) => {
      if (unit === "share") return `${+(value * 100).toFixed(2)} %`;
      return `${+value.toPrecision(4)}${{ ms: " ms", per_s: " /s" }[unit] || ""}`;
    });
  }

  // ISO in UTC: the day where it changes, the time where steps are shorter than a day.
  function dates(values, step) {
    let day = "";
    return values.map((seconds) => {
      const iso = new Date(seconds * 1000).toISOString();
      const changed = iso.slice(0, 10) !== day;
      day = iso.slice(0, 10);
      if (step >= 86400) return day;
      const time = iso.slice(11, step < 60 ? 19 : 16);
      return changed ? `${time}\n${day}` : time;
    });
  }

  function lines(chart) {
    const colours = dark.matches ? DARK : LIGHT;
    return chart.series.map((series, n) => ({
      label: series.name.replace(/^latency_(p\d+)_ms$/, "$1").replaceAll("_", " "),
      stroke: series.dashed ? colour("--soft") : colours[n % colours.length],
      width: series.dashed ? 1 : 2,
      dash: series.dashed ? [4, 4] : DASHES[n % DASHES.length],
      spanGaps: false,
      paths: series.dashed ? uPlot.paths.stepped({ align: 1 }) : undefined,
      points: { show: series.dashed ? false : undefined, size: 5 },
      value: (_, value) => written(value, chart.unit),
    }));
  }

  // A share's axis ends at its bounds; a distance's begins at 0.
  function range(unit) {
    return (_, low, high) => {
      if (low == null) return [0, 1];
      const least = unit === "share" || unit === "distance" ? 0.005 : high * 0.05;
      const room = Math.max((high - low) * 0.08, least, 1e-9);
      if (unit === "share") return [Math.max(0, low - room), Math.min(1, high + room)];
      return [0, high + room];
    };
  }

  // As much of a name as there is room for.
  function fitting(ctx, name, room) {
    for (let n = name.length; n > 1; n -= 1) {
      const text = n === name.length ? name : `${name.slice(0, n - 1)}…`;
      if (ctx.measureText(text).width <= room) return text;
    }
    return "";
  }

  function drawBands(plot, bands) {
    const { ctx, bbox } = plot;
    const last = plot.scales.x.max;
    ctx.save();
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textBaseline = "top";
    bands.forEach((band, n) => {
      const until = band.until == null ? last : Math.min(band.until, last);
      const since = Math.max(band.since, plot.scales.x.min);
      if (since >= until) return;
      const left = plot.valToPos(since, "x", true);
      const right = plot.valToPos(until, "x", true);
      const [r, g, b] = BANDS[n % BANDS.length];
      ctx.fillStyle = `rgba(${r}, ${g}, ${b}, 0.13)`;
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
      ctx.fillStyle = colour("--soft");
      if (n) ctx.fillRect(left, bbox.top, devicePixelRatio, bbox.height);
      const text = fitting(ctx, band.version, right - left - 8 * devicePixelRatio);
      ctx.fillText(text, left + 4 * devicePixelRatio, bbox.top - 15 * devicePixelRatio);
    });
    ctx.restore();
  }

  // A triangle at the top, with as many strokes below it as the alert is severe.
  function drawMarks(plot, marks) {
    const { ctx, bbox } = plot;
    const size = 5 * devicePixelRatio;
    ctx.save();
    ctx.fillStyle = ctx.strokeStyle = colour("--bad");
    for (const mark of marks) {
      if (mark.time < plot.scales.x.min || mark.time > plot.scales.x.max) continue;
      const x = plot.valToPos(mark.time, "x", true);
      ctx.beginPath();
      ctx.moveTo(x - size, bbox.top);
      ctx.lineTo(x + size, bbox.top);
      ctx.lineTo(x, bbox.top + 1.6 * size);
      ctx.fill();
      ctx.globalAlpha = 0.55;
      ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
      ctx.lineWidth = STROKES[mark.severity] * devicePixelRatio * 0.75;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top + 1.6 * size);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.globalAlpha = 1;
      ctx.setLineDash([]);
    }
    ctx.restore();
  }

  function options(chart, found, marks, width) {
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    return {
      width,
      height: HEIGHT,
      padding: [TOP, 34, 0, 0],
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      cursor: { points: { size: 7 }, sync: { key: found.model } },
      scales: { y: { range: range(chart.unit) } },
      axes: [
        { ...axis, space: 90, values: (_, values, __, ___, step) => dates(values, step) },
        { ...axis, size: 64, values: (_, values) => ticks(values, chart.unit) },
      ],
      series: [{ label: "pane", value: "{YYYY}-{MM}-{DD} {HH}:{mm}:{ss}" }, ...lines(chart)],
      hooks: {
        drawClear: [(plot) => drawBands(plot, found.bands)],
        draw: [(plot) => drawMarks(plot, marks)],
      },
    };
  }

  function title(chart) {
    const names = { accuracy: "Accuracy", f1: "F1", mae: "MAE", rmse: "RMSE" };
    const plain = names[chart.title] || chart.title.replaceAll("_", " ");
    return plain.charAt(0).toUpperCase() + plain.slice(1);
  }

  function note(chart, marks) {
    const parts = chart.series.length ? [] : ["insufficient data"];
    if (chart.panes_per_point > 1) {
      parts.push(`each point: ${chart.panes_per_point} panes, their ${chart.fold}`);
    }
    if (marks.length) parts.push(`▼ ${marks.length} ${marks.length === 1 ? "alert" : "alerts"}`);
    return parts.join(" · ");
  }

  function element(name, given, ...children) {
    const made = Object.assign(document.createElement(name), given);
    made.append(...children);
    return made;
  }

  function draw(holder, chart, found) {
    const marks = found.marks.filter((mark) => chart.marks.includes(mark.kind));
    let figure = holder.querySelector(`[data-chart="${CSS.escape(chart.name)}"]`);
    if (!figure) {
      const wide = ["quality", "drift", "distance"].includes(chart.name);
      figure = element("section", { className: wide ? "chart wide" : "chart" });
      figure.dataset.chart = chart.name;
      holder.append(figure);
    }
    const age = element("span", { className: "age" });
    age.dataset.since = found.newest;
    figure.replaceChildren(
      element("div", { className: "heading" }, element("h2", { textContent: title(chart) }),
        element("span", { className: "note", textContent: note(chart, marks) }), age),
    );
    plots.get(figure)?.destroy();
    const data = [chart.times, ...chart.series.map((series) => series.values)];
    const width = figure.clientWidth - 36;
    plots.set(figure, new uPlot(options(chart, found, marks, width), data, figure));
    figure.querySelector("canvas").setAttribute("role", "img");
    figure.querySelector("canvas").setAttribute("aria-label", said(chart, found, marks));
    figure.dataset.series = chart.series.length;
    figure.dataset.points = chart.times.length;
    figure.dataset.gaps = chart.series.reduce((n, s) => n + s.values.filter((v) => v == null).length, 0);
    figure.dataset.bands = found.bands.length;
    figure.dataset.marks = marks.length;
  }

  function said(chart, found, marks) {
    const last = chart.series.map((series) => {
      const values = series.values.filter((value) => value != null);
      return `${series.name} ${written(values.at(-1), chart.unit)}`;
    });
    return `${title(chart)} over ${chart.times.length} panes; last: ${last.join(", ")}; ` +
      `${marks.length} alerts, ${found.bands.length} versions`;
  }

  // Draws every chart of a holder anew. The answer's charts come in the order of the page.
  async function show(holder) {
    const answer = await fetch(holder.dataset.charts, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(`charts: status ${answer.status}`);
    const found = await answer.json();
    holder.querySelector("p.empty")?.remove();
    if (!found.charts.length) {
      const text = "No chart yet: no pane of this segment is evaluated.";
      holder.replaceChildren(element("p", { className: "empty", textContent: text }));
    }
    for (const chart of found.charts) draw(holder, chart, found);
    holder.dataset.drawn = found.charts.length;
  }

  function fit() {
    for (const [figure, plot] of plots) {
      plot.setSize({ width: figure.clientWidth - 36, height: HEIGHT });
    }
  }

  return { show, fit, onTheme: (again) => dark.addEventListener("change", again) };
})();
