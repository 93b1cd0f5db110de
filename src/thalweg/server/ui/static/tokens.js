// An answer's tokens as chips: the less sure the model was, the warmer. Pointing at one, or reaching it with the
// keyboard, shows the likeliest tokens there.

import { h, percent, set } from "./dom.js";

export function tokenView(tokens, note) {
  const list = h("div", { class: "token-list", role: "group", "aria-label": "Tokens of the answer" });
  const panel = h("div", { class: "alternatives", "aria-live": "polite" });
  const known = tokens.some((one) => one.p !== undefined);
  const rest = () => {
    panel.replaceChildren(h("p", { class: "muted" }, note || "Point at a token to see what else was likely there."));
    if (known) panel.append(h("p", { class: "scale", "aria-hidden": "true" }, "unsure", h("i"), "sure"));
  };
  let chosen = null;
  const show = (button, one, place) => {
    set(chosen ?? button, "data-chosen", null);
    chosen = button;
    set(button, "data-chosen", "yes");
    panel.replaceChildren(h("p", {}, `Token ${place + 1} of ${tokens.length}: `, h("code", {}, visible(one.text) || "(end)"), ` ${percent(one.p)}`), one.top.length < 2 && one.p > 0.9999 ? h("p", { class: "muted" }, "The only token that was allowed here.") : bars(one.top.map((other) => ({ ...other, text: visible(other.text) }))));
  };
  tokens.forEach((one, place) => {
    const text = visible(one.text) || "∎";
    if (one.p === undefined) {
      list.append(h("span", { class: "token" }, text));
    } else {
      const button = h("button", { type: "button", class: "token", "aria-label": `${one.text || "end"}, ${percent(one.p)}`, tabindex: place ? "-1" : "0" }, text);
      button.style.setProperty("--unsure", `${Math.round(100 * (1 - one.p))}%`);
      for (const event of ["pointerenter", "focus", "click"]) button.addEventListener(event, () => show(button, one, place));
      list.append(button);
    }
    if (one.text.includes("\n")) list.append(h("span", { class: "break" }));
  });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const all = [...list.querySelectorAll("button")];
    const next = step && all[all.indexOf(document.activeElement) + step];
    if (!next) return;
    for (const one of all) one.tabIndex = one === next ? 0 : -1;
    next.focus();
    event.preventDefault();
  });
  rest();
  return h("div", { class: "tokens-view", "data-known": known ? "yes" : "no" }, list, panel);
}

const visible = (text) => text.replace(/^ +| +$/g, (blank) => "·".repeat(blank.length)).replaceAll("\n", "↵").replaceAll("\t", "⇥");

export function bars(rows) {
  return h("ul", { class: "bars" }, ...rows.map((one) => {
    const fill = h("i");
    fill.style.transform = `scaleX(${one.p})`;
    const row = h("li", {}, h("code", {}, one.text || "(end)"), h("span", { class: "bar-track" }, fill), h("span", { class: "size" }, percent(one.p)));
    set(row, "data-drawn", one.drawn ? "yes" : null);
    return row;
  }));
}
