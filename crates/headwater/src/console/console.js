// The overview: asks the hub once a second how it stands, and draws two minutes of it.

const KEEP = 120; // points of a line, one a second
const RATES = ["published", "deliveries", "refused"];
const lines = new Map([...RATES, "watchers"].map((name) => [name, []]));
const byId = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

let before = null;

function show(name, value) {
  byId(name).textContent = value < 10_000 ? number.format(value) : short.format(value);
  const points = lines.get(name);
  points.push(value);
  if (points.length > KEEP) points.shift();
  const top = Math.max(1, ...points);
  const place = (point, at) => `${at ? "L" : "M"}${KEEP - points.length + at + 0.5},${(30 - (28 * point) / top).toFixed(1)}`;
  byId(`${name}-line`).firstElementChild.setAttribute("d", points.map(place).join(""));
}

function upFor(seconds) {
  const parts = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];
  const first = parts.findIndex(([size]) => seconds >= size);
  if (first < 0) return "0 s";
  let rest = seconds;
  return parts.slice(first, first + 2).map(([size, unit]) => {
    const count = Math.floor(rest / size);
    rest -= count * size;
    return `${count} ${unit}`;
  }).join(" ");
}

function state(kind, text) {
  const shown = byId("state");
  if (shown.textContent !== text) shown.textContent = text;
  shown.className = `state ${kind}`;
}

async function ask() {
  const answer = await fetch("/console/now", { cache: "no-store", signal: AbortSignal.timeout(5_000) });
  if (!answer.ok) throw new Error(`the hub answers ${answer.status}`);
  const now = await answer.json();
  if (before && now.up_ms > before.up_ms) {
    const seconds = (now.up_ms - before.up_ms) / 1_000;
    for (const name of RATES) show(name, Math.max(0, (now[name] - before[name]) / seconds));
    show("watchers", now.watchers);
  }
  before = now;
  byId("head").textContent = now.head;
  byId("total").textContent = number.format(now.published);
  byId("up").textContent = upFor(now.up_ms / 1_000);
  if (now.failing) state("bad", now.failing);
  else state("good", "all is well");
}

async function loop() {
  try {
    await ask();
  } catch {
    before = null;
    state("bad", "not reachable");
  }
  setTimeout(loop, document.hidden ? 5_000 : 1_000);
}

loop();
