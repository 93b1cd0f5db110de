// Elements and numbers. Text goes in as text, never as markup.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

export function say(element, value) {
  const text = String(value);
  if (element.textContent !== text) element.textContent = text;
}

export function set(element, name, value) {
  if (value == null || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

export const id = (name) => document.getElementById(name);

const whole = new Intl.NumberFormat("en");
export const count = (value) => whole.format(Math.round(value));
export const short = (value) =>
  value < 10_000 ? count(value) : value < 1e6 ? `${(value / 1e3).toFixed(value < 1e5 ? 1 : 0)}k` : `${(value / 1e6).toFixed(2)}M`;
export const rate = (value) => (value < 100 ? value.toFixed(1) : short(value));
export const percent = (value) => (Number.isFinite(value) ? `${(100 * value).toFixed(value < 0.0995 ? 1 : 0)} %` : "–");
export const seconds = (value) =>
  value < 0.9995 ? `${Math.round(value * 1000)} ms` : value < 60 ? `${value.toFixed(value < 10 ? 2 : 1)} s` : span(value);

export function span(value) {
  const s = Math.max(0, Math.floor(value));
  const [d, hr, m] = [Math.floor(s / 86400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
  if (d) return `${d} d ${hr} h`;
  if (hr) return `${hr} h ${m} min`;
  return m ? `${m} min ${s % 60} s` : `${s} s`;
}

// A colour for each application: the one its name falls on, or the next that is free, so that it stays the same from
// one visit to the next.
const hues = new Map();
export function hue(app) {
  if (!hues.has(app)) {
    const taken = new Set(hues.values());
    let at = [...app].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 9973, 7) % 8;
    for (let tries = 0; taken.has(at) && tries < 8; tries += 1) at = (at + 1) % 8;
    hues.set(app, at);
  }
  return hues.get(app);
}
export const appName = (call) => (call.app || "requests").split(" ")[0]; // a run is named "PROGRAM run"

export function copyButton(text) {
  const button = h("button", { type: "button", class: "tool copy" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(typeof text === "function" ? text() : text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select and copy";
    }
    setTimeout(() => (button.textContent = "Copy"), 1600);
  });
  return button;
}
