// Which worker ran which call when: a minute of lanes on a canvas, reading in a light shade, writing in a full one.

import { appName, hue, id, say, seconds } from "./dom.js";

const SHOWN = 60; // seconds
const AXIS = 18; // pixels for the marks of time
const GUTTER = 26;

export function makeTimeline({ select }) {
  const canvas = id("lanes");
  const readout = id("readout");
  const bars = new Map(); // number -> {worker, lane, from, opened, to, app, state}
  const lanes = new Map(); // worker -> [number of the bar that ended last in each lane]
  let boxes = [];
  let last = null;

  function place(number, bar) {
    const own = lanes.get(bar.worker) ?? [];
    lanes.set(bar.worker, own);
    let lane = own.findIndex((other) => other === undefined || other <= bar.from);
    if (lane < 0) lane = own.length;
    bar.lane = lane;
  }

  function take(picture, clock) {
    const calls = Object.values(picture.calls).filter((one) => one.worker !== undefined);
    calls.sort((a, b) => a.admitted - b.admitted);
    for (const one of calls) {
      let bar = bars.get(one.number);
      if (!bar) {
        bar = { worker: one.worker, from: one.admitted };
        place(one.number, bar);
        bars.set(one.number, bar);
      }
      bar.call = one;
      bar.opened = one.opened;
      bar.to = one.ended ?? Infinity;
      lanes.get(bar.worker)[bar.lane] = bar.to;
    }
    for (const [number, bar] of bars) {
      if (bar.to === Infinity && !picture.calls[number]) bar.to = clock;
      if (bar.to < clock - SHOWN - 1) bars.delete(number);
    }
    for (const [worker, own] of lanes) {
      const used = Math.max(0, ...[...bars.values()].filter((bar) => bar.worker === worker).map((bar) => bar.lane + 1));
      own.length = used;
    }
  }

  function draw(clock, selected) {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = canvas;
    if (!width) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    const x = (when) => GUTTER + (width - GUTTER) * (1 - (clock - when) / SHOWN);
    const floor = height - AXIS;

    pen.font = "11px system-ui, sans-serif";
    pen.fillStyle = colour("--muted");
    pen.strokeStyle = colour("--line");
    pen.lineWidth = 1;
    const step = width < 500 ? 20 : 10;
    for (let back = 0; back <= SHOWN; back += step) {
      const at = Math.round(x(clock - back)) - 0.5;
      pen.beginPath();
      pen.moveTo(at, 0);
      pen.lineTo(at, floor);
      pen.stroke();
      pen.textAlign = back === 0 ? "right" : back === SHOWN ? "left" : "center";
      pen.fillText(back ? `−${back} s` : "now", at, height - 4);
    }

    const workers = [...lanes.keys()].sort((a, b) => a - b);
    const rows = workers.reduce((sum, worker) => sum + Math.max(1, lanes.get(worker).length), 0);
    const gap = workers.length > 1 ? 8 : 0;
    const pitch = Math.min(20, (floor - 4 - gap * (workers.length - 1)) / Math.max(rows, 1));
    boxes = [];
    let top = 2;
    workers.forEach((worker, index) => {
      const own = Math.max(1, lanes.get(worker).length);
      pen.fillStyle = colour("--muted");
      pen.textAlign = "left";
      pen.fillText(`w${worker}`, 2, top + Math.min(12, own * pitch));
      for (const bar of bars.values()) {
        if (bar.worker !== worker) continue;
        const left = Math.max(GUTTER, x(bar.from));
        const right = Math.max(left + 2, Math.min(width, x(Math.min(bar.to, clock))));
        if (right < GUTTER) continue;
        const y = top + bar.lane * pitch;
        const tall = Math.max(2, pitch - (pitch > 6 ? 2 : 1));
        const middle = Math.min(right, Math.max(left, x(bar.opened ?? bar.from)));
        pen.fillStyle = colour(bar.call.state === "failed" ? "--bad" : `--app-${hue(appName(bar.call))}`);
        pen.globalAlpha = 0.38;
        pen.fillRect(left, y, Math.max(0, middle - left), tall);
        pen.globalAlpha = 1;
        pen.fillRect(middle, y, Math.max(0, right - middle - (bar.to < clock ? 1 : 0)), tall);
        if (bar.call.number === selected) {
          pen.strokeStyle = colour("--ink");
          pen.lineWidth = 2;
          pen.strokeRect(left, y, right - left, tall);
        }
        boxes.push({ left, right, top: y, bottom: y + tall, bar });
      }
      top += own * pitch;
      if (index < workers.length - 1) {
        pen.strokeStyle = colour("--line");
        pen.beginPath();
        pen.moveTo(GUTTER, top + gap / 2);
        pen.lineTo(width, top + gap / 2);
        pen.stroke();
      }
      top += gap;
    });
    canvas.setAttribute("aria-label", `${workers.length} workers, ${bars.size} calls in the last minute, ${[...bars.values()].filter((bar) => bar.to > clock).length} running`);
  }

  const under = (event) => {
    const box = canvas.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    return boxes.find((one) => px >= one.left - 2 && px <= one.right + 2 && py >= one.top - 1 && py <= one.bottom + 1);
  };
  canvas.addEventListener("pointermove", (event) => {
    const found = under(event);
    canvas.style.cursor = found ? "pointer" : "default";
    say(readout, found ? describe(found.bar, last) : "");
  });
  canvas.addEventListener("pointerleave", () => say(readout, ""));
  canvas.addEventListener("click", (event) => {
    const found = under(event);
    if (found) select(found.bar.call.number);
  });

  return {
    show(picture, clock, selected) {
      take(picture, clock);
      last = clock;
      draw(clock, selected);
    },
    redraw(selected) {
      if (last !== null) draw(last, selected);
    },
  };
}

function describe(bar, clock) {
  const end = Math.min(bar.to, clock);
  const name = `#${bar.call.number} ${appName(bar.call)}`;
  if (bar.opened === undefined) return `${name} · ${seconds(end - bar.from)}`;
  return `${name} · reading ${seconds(Math.max(0, bar.opened - bar.from))} · writing ${seconds(Math.max(0, end - bar.opened))}`;
}
