// Keeps a page up to date: asks for the state every two seconds, and for the page only if there is
// something new. Sections marked data-live are replaced by the server's; charts draw themselves.
"use strict";

(() => {
  const EVERY_MS = 2000;
  const SLOWEST_MS = 30000;

  const live = document.getElementById("live");
  const holders = () => document.querySelectorAll("[data-charts]");
  let revision = null;
  let wait = EVERY_MS;
  let clockAhead = 0;

  function tell(state, text) {
    live.dataset.state = state;
    if (live.textContent !== text) live.textContent = text;
  }

  function length(seconds) {
    for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
      if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${unit}`;
    }
    return `${Math.max(0, Math.floor(seconds))} s`;
  }

  function tellAges() {
    const now = Date.now() - clockAhead;
    for (const age of document.querySelectorAll("[data-since]")) {
      const since = Date.parse(age.dataset.since);
      if (!Number.isNaN(since)) age.textContent = `data ${length((now - since) / 1000)} old`;
    }
  }

  function report(state) {
    const texts = {
      starting: "starting",
      current: "live",
      behind: `live, ${state.lag} records behind`,
      stalled: `stalled for ${length(state.moved_s)}, ${state.lag} records behind`,
      "no broker": "the broker gives no answer; showing what is stored",
    };
    tell(state.status === "no broker" ? "stalled" : state.status, texts[state.status]);
  }

  // A section that holds the focus, or an open part, is left as it is until the next time.
  function isInUse(section) {
    return section.contains(document.activeElement) || section.querySelector("details[open]");
  }

  async function replaceSections() {
    if (!document.querySelector("[data-live]")) return;
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(`page: status ${answer.status}`);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const section of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(section.id);
      if (next && !isInUse(section)) section.replaceWith(document.adoptNode(next));
    }
  }

  async function drawCharts() {
    for (const holder of holders()) await streamopsCharts.show(holder);
  }

  async function refresh(state) {
    if (revision !== null && state.revision === revision) return;
    if (revision !== null) await replaceSections();
    await drawCharts();
    revision = state.revision;
  }

  async function ask() {
    try {
      const answer = await fetch("/api/state", { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(`state: status ${answer.status}`);
      const state = await answer.json();
      clockAhead = Date.now() - Date.parse(state.now);
      await refresh(state);
      report(state);
      wait = EVERY_MS;
    } catch {
      tell("lost", "connection lost; trying again");
      wait = Math.min(wait * 2, SLOWEST_MS);
    }
    tellAges();
    if (!document.hidden) setTimeout(ask, wait);
  }

  document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
  addEventListener("resize", () => streamopsCharts.fit());
  streamopsCharts.onTheme(drawCharts);
  setInterval(tellAges, 1000);
  ask();
})();
