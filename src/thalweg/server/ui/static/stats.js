// The line of figures: rates over the last two seconds with a minute's history, shares, counts.

import { count, h, percent, rate, say, set, short } from "./dom.js";

const WINDOW = 2; // seconds a rate is taken over
const KEPT = 60; // seconds of history

const TILES = [
  ["output", "Output", "tokens/s", true],
  ["prompt", "Prompts read", "tokens/s", true],
  ["cache", "From cache", "of prompt tokens", false],
  ["running", "Running", "", false],
  ["waiting", "Waiting", "", false],
  ["finished", "Finished", "calls", false],
  ["failed", "Failed", "calls", false],
];

export function makeStats(place) {
  const tiles = {};
  for (const [name, label, unit, sparks] of TILES) {
    const value = h("span", { class: "value" }, "–");
    const note = h("span", { class: "unit" }, unit);
    const graph = sparks ? svg() : name === "cache" || name === "running" ? h("span", { class: "meter" }, h("i")) : null;
    place.append(h("div", { class: "tile", "data-name": name }, h("span", { class: "label" }, label), h("span", { class: "figure" }, value, note), graph));
    tiles[name] = { value, note, graph };
  }
  const seen = []; // {clock, output, prompt}
  const history = { output: [], prompt: [] }; // [clock, rate]

  return function show(picture, clock) {
    const { totals, server } = picture;
    if (totals.prompt === undefined) {
      say(tiles.running.value, count(totals.under_way ?? 0));
      return;
    }
    seen.push({ clock, output: totals.output, prompt: totals.prompt - totals.cached });
    while (seen.length > 2 && seen[1].clock < clock - WINDOW) seen.shift();
    const first = seen[0];
    const elapsed = Math.max(clock - first.clock, 0.2);
    for (const name of ["output", "prompt"]) {
      const now = seen.length > 1 ? Math.max(0, (seen.at(-1)[name] - first[name]) / elapsed) : 0;
      history[name].push([clock, now]);
      while (history[name][0][0] < clock - KEPT) history[name].shift();
      say(tiles[name].value, rate(now));
      draw(tiles[name].graph, history[name], clock);
    }
    const share = totals.prompt ? totals.cached / totals.prompt : NaN;
    say(tiles.cache.value, percent(share));
    fill(tiles.cache.graph, share);
    say(tiles.running.value, count(totals.running));
    say(tiles.running.note, server.streams ? `of ${count(server.streams)}` : "");
    fill(tiles.running.graph, totals.running / (server.streams || 1));
    say(tiles.waiting.value, short(totals.waiting));
    say(tiles.waiting.note, totals.waiting === 1 ? "call" : "calls");
    say(tiles.finished.value, short(totals.finished));
    say(tiles.failed.value, short(totals.failed));
    set(tiles.failed.value, "data-bad", totals.failed > 0 ? "yes" : null);
  };
}

function fill(meter, share) {
  meter.firstChild.style.transform = `scaleX(${Number.isFinite(share) ? Math.min(1, Math.max(0, share)) : 0})`;
}

function svg() {
  const space = "http://www.w3.org/2000/svg";
  const root = document.createElementNS(space, "svg");
  root.setAttribute("class", "spark");
  root.setAttribute("viewBox", "0 0 120 28");
  root.setAttribute("preserveAspectRatio", "none");
  root.setAttribute("aria-hidden", "true");
  for (const name of ["area", "line"]) {
    const path = document.createElementNS(space, "path");
    path.setAttribute("class", name);
    root.append(path);
  }
  return root;
}

function draw(root, points, clock) {
  const top = Math.max(1, ...points.map(([, value]) => value));
  const at = points.map(([when, value]) => `${(120 * (1 - (clock - when) / KEPT)).toFixed(1)},${(26 - (24 * value) / top).toFixed(1)}`);
  const [area, line] = root.children;
  line.setAttribute("d", `M${at.join("L")}`);
  area.setAttribute("d", `M${at[0].split(",")[0]},28L${at.join("L")}L120,28Z`);
}
