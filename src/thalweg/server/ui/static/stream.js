// The pictures of /ui/live: server-sent events over fetch (which can carry a key), merged as RFC 7396 says.

const SILENCE = 8000; // ms without an event after which the line counts as broken
const LONGEST_WAIT = 8; // seconds between attempts

export function merge(target, patch) {
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete target[name];
    else if (typeof value === "object" && !Array.isArray(value)) {
      const below = target[name];
      target[name] = merge(below && typeof below === "object" && !Array.isArray(below) ? below : {}, value);
    } else target[name] = value;
  }
  return target;
}

export async function ask(path, key) {
  const response = await fetch(path, { headers: key ? { Authorization: `Bearer ${key}` } : {}, cache: "no-store" });
  if (!response.ok) {
    const said = await response.json().catch(() => ({}));
    const error = new Error(said.detail || said.error?.message || `The server answered ${response.status}.`);
    error.status = response.status;
    throw error;
  }
  return response.json();
}

// Calls seen(picture, clock) for every picture and told(state, seconds) when the line's state changes: loading, live,
// offline, key. Returns a function that ends it.
export function follow({ key, seen, told }) {
  let stopped = false;
  let current = null;
  let failures = 0;

  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  async function once() {
    const picture = {};
    const control = (current = new AbortController());
    let watchdog = setTimeout(() => control.abort(), SILENCE);
    try {
      const headers = key() ? { Authorization: `Bearer ${key()}` } : {};
      const response = await fetch("ui/live", { headers, signal: control.signal, cache: "no-store" });
      if (response.status === 401 || response.status === 403) return "key";
      if (!response.ok || !response.body) throw new Error(response.statusText);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let buffer = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) throw new Error("the stream ended");
        clearTimeout(watchdog);
        watchdog = setTimeout(() => control.abort(), SILENCE);
        buffer += value;
        const events = buffer.split("\n\n");
        buffer = events.pop();
        for (const event of events) {
          const data = event.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("\n");
          if (!data) continue;
          const { clock, patch } = JSON.parse(data);
          merge(picture, patch);
          if (failures !== -1) told("live");
          failures = -1;
          seen(picture, clock);
        }
      }
    } finally {
      clearTimeout(watchdog);
    }
  }

  (async () => {
    told("loading");
    while (!stopped) {
      try {
        if ((await once()) === "key") {
          told("key");
          return;
        }
      } catch {
        // whatever broke the line, the remedy is to come back
      }
      if (stopped) return;
      while (document.hidden && !stopped) await pause(300); // nobody watches: the server rests
      failures = Math.max(0, failures) + 1;
      for (let left = Math.min(LONGEST_WAIT, 2 ** (failures - 1)); left > 0 && !stopped; left -= 1) {
        told("offline", left);
        await pause(1000);
      }
    }
  })();

  const hide = () => document.hidden && setTimeout(() => document.hidden && current?.abort(), 5000);
  document.addEventListener("visibilitychange", hide);
  return () => {
    stopped = true;
    document.removeEventListener("visibilitychange", hide);
    current?.abort();
  };
}
