// The prompts' shared beginnings as a tree, calls hanging on them. A running call has a slot, which it keeps until
// another one needs it, so that rows do not move; what waits or has ended is a chip.

import { appName, count, h, hue, id, say, set } from "./dom.js";

const CHIPS = 14; // of one kind on one node
const PAGE = "page"; // the application of the calls that this page makes
const LINGERS = 12; // seconds that a surplus slot keeps the answer of a call that has ended
const active = (call) => call && (call.state === "running" || call.state === "reading");

export function makeTree({ select }) {
  const place = id("tree");
  const nodes = new Map(); // span id ("" for calls that share nothing) -> node
  const root = h("ul", { class: "nodes" });
  place.append(root);
  keys(place);

  function node(name) {
    const head = h("button", { type: "button", class: "node-head", "aria-expanded": "true" });
    const made = {
      name,
      head,
      parts: {
        tokens: head.appendChild(h("span", { class: "tokens" })),
        text: head.appendChild(h("span", { class: "gist" })),
        state: head.appendChild(h("span", { class: "state" })),
        facts: head.appendChild(h("span", { class: "facts" })),
      },
      slots: [],
      rows: h("div", { class: "rows" }),
      waiting: chips("waiting"),
      finished: chips("finished"),
      below: h("ul", { class: "nodes" }),
    };
    made.body = h("div", { class: "node-body" }, made.rows, made.waiting.line, made.finished.line, made.below);
    made.item = h("li", { class: "node" }, head, made.body);
    head.addEventListener("click", () => fold(made, !made.body.hidden));
    return made;
  }

  function chips(kind) {
    const label = h("span", { class: "chips-label" });
    const list = h("span", { class: "chips-list" });
    return { kind, label, list, line: h("div", { class: `chips ${kind}`, hidden: true }, label, list), buttons: [] };
  }

  function fold(made, hidden) {
    made.body.hidden = hidden;
    set(made.head, "aria-expanded", String(!hidden));
  }

  function slot(made) {
    const row = h("button", { type: "button", class: "row" });
    const parts = {
      number: row.appendChild(h("span", { class: "number" })),
      input: row.appendChild(h("span", { class: "input" })),
      text: row.appendChild(h("span", { class: "text" }, h("bdi"))),
      bar: row.appendChild(h("span", { class: "bar-track" }, h("i"))),
      size: row.appendChild(h("span", { class: "size" })),
    };
    const one = { row, parts, call: null, ended: 0 };
    row.addEventListener("click", () => select(one.call.number, row));
    made.rows.append(row);
    made.slots.push(one);
    return one;
  }

  function fill(one, call, selected) {
    one.call = call;
    const { row, parts } = one;
    set(row, "data-state", call.state);
    set(row, "data-app", hue(appName(call)));
    set(row, "data-call", call.number);
    set(row, "aria-current", call.number === selected ? "true" : null);
    set(row, "aria-label", `Call ${call.number}, ${appName(call)}, ${call.state}, ${call.written} tokens written. ${call.input}`);
    say(parts.number, `#${call.number}`);
    say(parts.input, call.input || "–");
    say(parts.text.firstChild, call.error || call.text || (call.state === "reading" ? "reading the prompt" : ""));
    const goal = Math.max(call.expected || 1, call.written, 1);
    parts.bar.firstChild.style.transform = `scaleX(${call.state === "done" ? 1 : (call.written / goal).toFixed(3)})`;
    say(parts.size, active(call) ? `${count(call.written)} / ~${count(goal)}` : `${count(call.written)} tok`);
  }

  function showChips(line, calls, total, newestFirst, selected) {
    line.line.hidden = !total;
    const shown = newestFirst ? calls.slice(-CHIPS).reverse() : calls.slice(0, CHIPS);
    while (line.buttons.length > shown.length) line.buttons.pop().remove();
    shown.forEach((call, i) => {
      let button = line.buttons[i];
      if (!button) {
        button = h("button", { type: "button", class: "chip" });
        button.addEventListener("click", () => select(Number(button.dataset.call), button));
        line.buttons.push(button);
        line.list.append(button);
      }
      set(button, "data-call", call.number);
      set(button, "data-app", hue(appName(call)));
      set(button, "data-state", call.state);
      set(button, "aria-current", call.number === selected ? "true" : null);
      set(button, "aria-label", `Call ${call.number}, ${appName(call)}, ${call.state}`);
      say(button, `#${call.number}`);
    });
    say(line.label, `${count(total)} ${line.kind}`);
  }

  function showSlots(made, calls, clock, selected) {
    const current = new Map(calls.map((call) => [call.number, call]));
    for (const one of made.slots) {
      const now = current.get(one.call.number);
      if (now) fill(one, now, selected);
      else if (active(one.call)) fill(one, { ...one.call, state: "done" }, selected);
      else set(one.row, "aria-current", one.call.number === selected ? "true" : null);
      if (!active(one.call)) one.ended ||= clock;
    }
    const seated = new Set(made.slots.map((one) => one.call.number));
    const busy = calls.filter(active);
    for (const call of busy) {
      if (seated.has(call.number)) continue;
      const free = made.slots.filter((one) => !active(one.call)).sort((a, b) => a.ended - b.ended)[0] ?? slot(made);
      free.ended = 0;
      fill(free, call, selected);
    }
    const surplus = made.slots.length - Math.max(busy.length, 1);
    const stale = made.slots.filter((one) => !active(one.call) && clock - one.ended > LINGERS);
    for (const one of stale.sort((a, b) => a.ended - b.ended).slice(0, Math.max(0, surplus))) {
      if (one.row === document.activeElement) continue;
      one.row.remove();
      made.slots.splice(made.slots.indexOf(one), 1);
    }
  }

  function describe(made, span) {
    const { parts } = made;
    if (!span) {
      say(parts.tokens, "0");
      say(parts.text, "No beginning in common");
      say(parts.state, "");
      say(parts.facts, "");
      set(made.item, "data-state", "alone");
      return;
    }
    say(parts.tokens, `${count(span.tokens)} tok`);
    say(parts.text, span.text || "(template)");
    set(made.item, "data-state", span.state);
    say(parts.state, { cached: "cached", computed: "read once", new: "not read yet" }[span.state]);
    say(parts.facts, `${count(span.calls)} calls${span.reused ? ` · reused ${count(span.reused)}×` : ""}${span.saved ? ` · ${count(span.saved)} saved` : ""}`);
    set(made.head, "aria-label", `${span.tokens} tokens shared by ${span.calls} calls, ${parts.state.textContent}: ${span.text}`);
  }

  return function show(picture, clock, selected) {
    const bySpan = new Map();
    for (const call of Object.values(picture.calls)) {
      if (call.app === PAGE) continue; // asked by a reader, not by a program; the lanes show it
      if (!bySpan.has(call.span)) bySpan.set(call.span, []);
      bySpan.get(call.span).push(call);
    }
    const wanted = new Map(Object.entries(picture.spans));
    if (bySpan.has("")) wanted.set("", null);
    for (const [name, made] of nodes) {
      if (wanted.has(name)) continue;
      made.item.remove();
      nodes.delete(name);
    }
    for (const [name] of wanted) if (!nodes.has(name)) nodes.set(name, node(name));
    for (const [name, span] of wanted) {
      const made = nodes.get(name);
      const above = (span?.parent && nodes.get(span.parent)?.below) || root;
      if (made.item.parentNode !== above) above.append(made.item);
      describe(made, span);
      const calls = (bySpan.get(name) ?? []).sort((a, b) => a.number - b.number);
      showSlots(made, calls, clock, selected);
      const waiting = calls.filter((call) => call.state === "waiting");
      const seated = new Set(made.slots.map((one) => one.call.number));
      const ended = calls.filter((call) => (call.state === "done" || call.state === "failed") && !seated.has(call.number));
      showChips(made.waiting, waiting, waiting.length, false, selected);
      showChips(made.finished, ended, ended.length, true, selected);
    }
  };
}

// Up and down move between what can be pressed; left folds a node, right unfolds it.
function keys(place) {
  place.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const now = event.target.closest("button");
    if (step) {
      const all = [...place.querySelectorAll("button")].filter((one) => one.offsetParent);
      all[all.indexOf(now) + step]?.focus();
      event.preventDefault();
    } else if (now?.matches(".node-head") && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      if ((now.getAttribute("aria-expanded") === "true") === (event.key === "ArrowLeft")) now.click();
      event.preventDefault();
    }
  });
}
