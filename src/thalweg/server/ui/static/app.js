// The page: one stream of pictures, shown as figures, lanes and a tree; one call in the drawer.

import { appName, copyButton, h, hue, id, say, set, span } from "./dom.js";
import { makeApplications } from "./applications.js";
import { makeDrawer } from "./drawer.js";
import { makeStats } from "./stats.js";
import { follow } from "./stream.js";
import { makeTimeline } from "./timeline.js";
import { makeTree } from "./tree.js";

const KEY = "thalweg.key";
const THEME = "thalweg.theme";
const key = () => sessionStorage.getItem(KEY) ?? "";

let picture = null;
let clock = 0;
let paused = false;
let selected = null;
let line = "loading"; // state of the stream
let stop = null;

const select = (number, from) => {
  selected = number;
  drawer.open(number, from);
  render();
};
const drawer = makeDrawer({
  key,
  closed: () => {
    selected = null;
    render();
  },
});
const showStats = makeStats(id("stats"));
const timeline = makeTimeline({ select });
const showTree = makeTree({ select });
const showApplications = makeApplications(id("by-app"));

function render() {
  if (!picture) return;
  showTree(picture, clock, selected);
  timeline.show(picture, clock, selected);
}

function take(next, when) {
  if (paused) return;
  picture = next;
  clock = when;
  showStats(picture, clock);
  render();
  about(picture);
  showApplications(picture);
  empty(picture);
}

function about({ server, calls }) {
  say(id("model"), server.model);
  const facts = server.watchable
    ? `${server.workers || "no"} worker${server.workers === 1 ? "" : "s"} · ${server.policy} · up ${span(Date.now() / 1000 - server.started)}`
    : "this model cannot be watched: it runs elsewhere";
  say(id("facts"), facts);
  if (server.state === "draining" && line === "live") status("draining");
  const apps = [...new Set(Object.values(calls).map(appName))];
  const place = id("apps");
  if (place.dataset.apps === apps.join("\n")) return;
  place.dataset.apps = apps.join("\n");
  place.replaceChildren(...apps.map((app) => h("span", { class: "app", "data-app": hue(app) }, app)));
}

function status(state, left) {
  const words = { loading: "Connecting", live: "Live", paused: "Paused", draining: "Draining", offline: `Reconnecting in ${left} s`, key: "Key needed" };
  set(id("status"), "data-state", state);
  say(id("status").lastChild, words[state]);
  document.body.classList.toggle("stale", state === "offline");
}

function told(state, left) {
  line = state;
  if (state === "key") askKey();
  if (paused && state === "live") return;
  status(state, left);
}

function begin() {
  stop?.();
  stop = follow({ key, seen: take, told });
}

// -- nothing to see yet --------------------------------------------------------------------------------------------

function empty({ server, calls }) {
  const place = id("empty");
  const none = Object.keys(calls).length === 0;
  place.hidden = !none;
  id("tree").hidden = none;
  if (!none || place.childElementCount) return;
  const auth = key() ? ` \\\n  -H "Authorization: Bearer $THALWEG_API_KEY"` : "";
  const asked = JSON.stringify({ model: server.model, messages: [{ role: "user", content: "Name three rivers." }] });
  const command = `curl ${new URL(".", location.href).href}v1/chat/completions${auth} \\\n  -H "Content-Type: application/json" \\\n  -d '${asked}'`;
  const flows = server.flows.length ? h("p", { class: "muted" }, `Programs served: ${server.flows.join(", ")}. Their addresses and types are in the `, h("a", { href: "docs" }, "API page"), ".") : null;
  place.replaceChildren(h("h3", {}, "Nothing has been asked yet"), h("p", { class: "muted" }, "Send a first request; it appears here while it is being answered."), h("div", { class: "command" }, h("pre", { tabindex: "0", "aria-label": "Command" }, command), copyButton(command)), ...(flows ? [flows] : []));
}

// -- keys, pause, colours ------------------------------------------------------------------------------------------

function askKey() {
  id("key-wrong").hidden = !key();
  id("ask-key").showModal();
}
id("key-form").addEventListener("submit", () => {
  sessionStorage.setItem(KEY, id("key").value.trim());
  id("key").value = "";
  begin();
});
id("ask-key").addEventListener("cancel", (event) => event.preventDefault());

function pause() {
  paused = !paused;
  set(id("pause"), "aria-pressed", String(paused));
  say(id("pause"), paused ? "Resume" : "Pause");
  status(paused ? "paused" : line);
}
id("pause").addEventListener("click", pause);

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !id("ask-key").open) drawer.shut();
  if (event.key === " " && !event.target.closest("button, input, textarea, a, pre, dialog")) {
    event.preventDefault();
    pause();
  }
});

const themes = ["auto", "light", "dark"];
function colours(theme) {
  if (theme === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.dataset.theme = theme;
  say(id("theme"), { auto: "Auto theme", light: "Light theme", dark: "Dark theme" }[theme]);
  set(id("theme"), "aria-label", `Colours: ${theme}`);
  timeline.redraw(selected);
}
id("theme").addEventListener("click", () => {
  const next = themes[(themes.indexOf(localStorage.getItem(THEME) ?? "auto") + 1) % 3];
  localStorage.setItem(THEME, next);
  colours(next);
});
colours(themes.includes(localStorage.getItem(THEME)) ? localStorage.getItem(THEME) : "auto");
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => timeline.redraw(selected));
new ResizeObserver(() => timeline.redraw(selected)).observe(id("lanes"));

begin();
