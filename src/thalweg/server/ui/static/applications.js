// What each application has under way, and what of its prompts came from the cache: over the calls in the picture.

import { appName, count, h, hue, percent, say, set, short } from "./dom.js";

const COLUMNS = ["run", "wait", "done", "written", "cached"];

export function makeApplications(place) {
  const rows = new Map();
  const table = h("table", { class: "by-app" }, h("caption", {}, "By application, lately"), h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "application"), ...COLUMNS.map((name) => h("th", { scope: "col" }, name)))));
  const body = h("tbody");
  table.append(body);
  place.append(table);

  return function show(picture) {
    const sums = new Map();
    for (const call of Object.values(picture.calls)) {
      const name = appName(call);
      if (!sums.has(name)) sums.set(name, { run: 0, wait: 0, done: 0, written: 0, prompt: 0, cached: 0 });
      const sum = sums.get(name);
      sum[{ running: "run", reading: "run", waiting: "wait" }[call.state] ?? "done"] += 1;
      sum.written += call.written;
      if (call.worker === undefined) continue;
      sum.prompt += call.prompt;
      sum.cached += call.cached;
    }
    table.hidden = sums.size === 0;
    for (const [name, row] of rows) {
      if (sums.has(name)) continue;
      row.remove();
      rows.delete(name);
    }
    for (const [name, sum] of sums) {
      if (!rows.has(name)) {
        const made = h("tr", {}, h("th", { scope: "row" }, h("i", { class: "dot" }), name), ...COLUMNS.map(() => h("td")));
        set(made.querySelector(".dot"), "data-app", hue(name));
        body.append(made);
        rows.set(name, made);
      }
      const cells = rows.get(name).querySelectorAll("td");
      [count(sum.run), count(sum.wait), count(sum.done), short(sum.written), percent(sum.cached / sum.prompt)].forEach((value, i) => say(cells[i], value));
    }
  };
}
