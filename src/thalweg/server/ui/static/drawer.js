// One call in full: where its time went, its prompt with what is shared marked, its constraint, its tokens.

import { appName, copyButton, count, h, hue, id, percent, seconds } from "./dom.js";
import { ask } from "./stream.js";
import { bars, tokenView } from "./tokens.js";

export function makeDrawer({ key, closed }) {
  const place = id("drawer");
  let number = null;
  let opener = null;
  let timer = 0;
  let shown = ""; // what the body was made of
  let probabilities = null;
  const narrow = matchMedia("(max-width: 1099px)");

  const title = h("h2", { id: "drawer-title" });
  const close = h("button", { type: "button", class: "tool", "aria-label": "Close the details" }, "Close");
  const body = h("div", { class: "drawer-body" });
  const hint = h("div", { class: "hint" }, h("p", {}, "Select a call to see its prompt, its constraint and its tokens with their probabilities."), h("p", { class: "muted" }, h("kbd", {}, "↑"), h("kbd", {}, "↓"), " move · ", h("kbd", {}, "Enter"), " open · ", h("kbd", {}, "Space"), " pause"), h("div", { id: "by-app" }));
  const head = h("div", { class: "card-head", hidden: true }, title, close);
  place.append(head, hint, body);
  close.addEventListener("click", shut);

  function shut() {
    if (number === null) return;
    number = null;
    clearTimeout(timer);
    head.hidden = true;
    hint.hidden = false;
    body.replaceChildren();
    place.classList.remove("open");
    opener?.isConnected && opener.focus();
    closed();
  }

  async function load(wanted) {
    clearTimeout(timer);
    try {
      const call = await ask(`ui/call/${wanted}`, key());
      if (wanted !== number) return;
      const text = JSON.stringify(call) + Boolean(probabilities);
      if (text !== shown) draw(call);
      shown = text;
      if (call.state !== "done" && call.state !== "failed") timer = setTimeout(() => load(wanted), 600);
      else if (!probabilities && call.state === "done" && call.want === "value") await loadTokens(wanted, call);
    } catch (error) {
      if (wanted === number) body.replaceChildren(h("p", { class: "notice", role: "alert" }, error.message));
    }
  }

  async function loadTokens(wanted, call) {
    try {
      probabilities = await ask(`ui/call/${wanted}/tokens`, key());
    } catch (error) {
      probabilities = { tokens: [], note: error.message };
    }
    if (wanted === number) draw(call);
  }

  function draw(call) {
    const top = body.scrollTop;
    title.replaceChildren(h("i", { class: "dot", "data-app": hue(appName(call)) }), `Call ${call.number}`, h("span", { class: "tag", "data-state": call.state }, call.state));
    const facts = [call.app || "requests", call.tenant && `tenant ${call.tenant}`, call.objective === "latency" ? "somebody waits" : "throughput", call.group && `group ${call.group}`, call.worker !== undefined && `worker ${call.worker}`];
    body.replaceChildren(
      h("p", { class: "muted facts-line" }, facts.filter(Boolean).join(" · ")),
      ...(call.error ? [h("p", { class: "notice", role: "alert" }, call.error)] : []),
      ...timing(call),
      ...answer(call),
      ...constraint(call.constraint),
      ...prompt(call),
      ...sampling(call),
    );
    body.scrollTop = top;
  }

  function answer(call) {
    if (call.distribution) {
      return [section("Distribution"), bars([...call.distribution].sort((a, b) => b.p - a.p).slice(0, 40))];
    }
    const title = call.state === "done" ? "Answer" : "Written so far";
    const known = probabilities?.tokens.length ? probabilities.tokens : call.tokens;
    const waits = call.state === "done" && call.want === "value" && !probabilities;
    const note = probabilities?.note ?? (waits ? "Asking the model for the probabilities…" : call.state === "running" ? "Probabilities come when the call has ended." : "");
    const sum = call.logprob !== undefined && call.want === "value" ? `log p ${call.logprob.toFixed(1).replace("-", "−")}` : "";
    return [
      section(title, h("span", { class: "muted" }, [`${count(known.length)} tokens`, sum].filter(Boolean).join(" · "))),
      known.length ? tokenView(known, note) : h("pre", { class: "plain" }, call.answer || "–"),
    ];
  }

  return {
    open(wanted, from) {
      if (number !== wanted) probabilities = null;
      number = wanted;
      opener = from ?? null;
      shown = "";
      head.hidden = false;
      hint.hidden = true;
      place.classList.add("open");
      if (narrow.matches) close.focus();
      load(wanted);
    },
    shut,
    get number() {
      return number;
    },
  };
}

function section(name, ...more) {
  return h("div", { class: "section" }, h("h3", {}, name), ...more);
}

function timing(call) {
  if (call.ended === undefined && call.admitted === undefined) return [];
  const waited = call.admitted - call.submitted;
  const opened = call.opened ?? call.admitted;
  const parts = [["waited", waited]];
  if (call.opened !== undefined) parts.push(["reading", opened - call.admitted]);
  if (call.ended !== undefined) parts.push([call.opened !== undefined ? "writing" : "on the worker", Math.max(0, call.ended - opened)]);
  const all = parts.reduce((sum, [, value]) => sum + value, 0) || 1;
  const line = h("div", { class: "split", "aria-hidden": "true" });
  for (const [name, value] of parts) {
    const part = h("i", { class: name.replaceAll(" ", "-") });
    part.style.flexGrow = value / all;
    line.append(part);
  }
  const said = parts.map(([name, value]) => h("span", {}, h("b", {}, seconds(value)), ` ${name}`));
  const usage = call.usage;
  const figures = [
    ["prompt", count(call.prompt)],
    ["from cache", call.prompt ? `${count(call.cached)} (${percent(call.cached / call.prompt)})` : "–"],
    ["written", count(call.written)],
    usage && ["forced", count(usage.forced)],
    usage?.drafted ? ["guesses right", `${count(usage.accepted)} of ${count(usage.drafted)}`] : null,
    usage && ["tokens/s", usage.output && call.ended > opened ? (usage.output / (call.ended - opened)).toFixed(1) : "–"],
  ].filter(Boolean);
  return [line, h("p", { class: "times" }, ...said), h("dl", { class: "figures" }, ...figures.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))))];
}

function constraint(said) {
  const parts = [section("Constraint"), h("p", { class: "words" }, said.words)];
  if (said.choices) parts.push(h("p", { class: "choices" }, ...said.choices.map((choice) => h("code", {}, choice))));
  if (said.schema) parts.push(h("pre", { class: "plain", tabindex: "0", "aria-label": "JSON schema" }, JSON.stringify(said.schema, null, 2)));
  if (said.source) parts.push(h("pre", { class: "plain", tabindex: "0", "aria-label": "Source of the constraint" }, said.source));
  return parts;
}

function prompt(call) {
  const text = call.prompt_parts.map((part) => part.text).join("");
  const pre = h("pre", { class: "prompt", tabindex: "0", "aria-label": "Prompt" });
  for (const part of call.prompt_parts) {
    const shared = part.calls > 1;
    const words = [`${count(part.tokens)} tok`, shared ? `${count(part.calls)} calls share this` : "own", part.cached && "from cache"];
    const kind = shared ? "shared" : "own";
    pre.append(h("span", { class: "part-label", "data-kind": kind }, words.filter(Boolean).join(" · ")), h("span", { class: "part", "data-kind": kind }, part.text));
  }
  return [section("Prompt", copyButton(text)), pre];
}

function sampling(call) {
  const s = call.sampling;
  const words = [s.temperature > 0 ? `temperature ${s.temperature}` : "greedy", s.top_p < 1 && `top p ${s.top_p}`, s.top_k && `top k ${s.top_k}`, s.temperature > 0 && `seed ${s.seed}`, `at most ${count(s.max_tokens)} tokens`, s.sampler !== "masked" && s.sampler, call.decoder !== "plain" && `drafter ${call.decoder}`, call.finish === "closed" && "closed early at the limit"];
  return [section("Sampling"), h("p", { class: "words" }, words.filter(Boolean).join(" · "))];
}
