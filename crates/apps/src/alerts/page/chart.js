// The map: Natural Earth's land in one path, and a mark where an alert is.
import { html, useMemo } from './htm-preact.js';
import { BORDERS, COUNTRIES, LAND } from './map.js';
import { whereIs } from './places.js';

// One unit is a tenth of a degree; the poles, where nobody lives, are cut.
const WORLD = { x: 0, y: 60, width: 3600, height: 1420 };
const CLOSEST = 260;  // the smallest width that is shown: a country of middle size

const xOf = longitude => (longitude + 180) * 10;
const yOf = latitude => (90 - latitude) * 10;

// The part of the world that holds all marks with some air around, in the map's own shape.
function partFor(marks) {
  if (!marks.length) return WORLD;
  const xs = marks.map(mark => mark.x), ys = marks.map(mark => mark.y);
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const shape = WORLD.width / WORLD.height;
  const width = Math.min(WORLD.width, Math.max(CLOSEST, (right - left) * 1.5, (bottom - top) * 1.7 * shape));
  const height = width / shape;
  const within = (middle, size, from, all) => Math.min(Math.max(middle - size / 2, from), from + all - size);
  return { x: within((left + right) / 2, width, WORLD.x, WORLD.width), y: within((top + bottom) / 2, height, WORLD.y, WORLD.height), width, height };
}

// Where each mark's name stands: above it, below, or beside; nowhere where it would cover another name or mark.
function namesOf(marks, size) {
  const placed = [];
  const overlap = (a, b) => Math.abs(a.x - b.x) * 2 < a.width + b.width && Math.abs(a.y - b.y) * 2 < a.height + b.height;
  for (const mark of marks) {
    const width = size * 1.2 * mark.alert.location.length, height = size * 1.9, beside = width / 2 + size * 1.6;
    const spots = [[0, -size * 2.4], [0, size * 2.4], [beside, 0], [-beside, 0]].map(([x, y]) => ({ mark, x: mark.x + x, y: mark.y + y, width, height }));
    const others = marks.filter(other => other !== mark).map(({ x, y }) => ({ x, y, width: size * 2, height: size * 2 }));
    const free = spots.find(spot => ![...others, ...placed].some(taken => overlap(spot, taken)));
    if (free) placed.push(free);
  }
  return placed;
}

export function MapOf({ alerts, capOf }) {
  const known = alerts.map(alert => `${alert.key}${Boolean(capOf(alert)?.cap)}`).join();
  const { marks, missing } = useMemo(() => {
    const marks = [], missing = [];
    for (const alert of alerts) {
      const cap = capOf(alert)?.cap;
      const at = whereIs(alert.location, cap, COUNTRIES);
      if (!at) { missing.push(alert); continue; }
      const shapes = (cap?.polygons ?? []).map(polygon => polygon.trim().split(/\s+/).map(pair => {
        const [latitude, longitude] = pair.split(',').map(Number);
        return `${xOf(longitude)},${yOf(latitude)}`;
      }).join(' '));
      marks.push({ alert, x: xOf(at[1]), y: yOf(at[0]), shapes });
    }
    return { marks, missing };
  }, [known]);
  const part = partFor(marks);
  // In units of the map, so that a name has the same size on the screen whatever part is shown.
  const size = part.width / (innerWidth < 700 ? 46 : 90);
  const names = marks.length <= 12 ? namesOf(marks, size) : [];
  return html`<section class="panel map" aria-label="Map">
    <svg viewBox="${part.x} ${part.y} ${part.width} ${part.height}" role="img" aria-label=${marks.length ? `Map with ${marks.length} marked places: ${marks.slice(0, 20).map(mark => mark.alert.location).join(', ')}` : 'Map of the world, nothing marked'}>
      <path class="land" d=${LAND} />
      <path class="borders" d=${BORDERS} />
      ${marks.map(({ alert, x, y, shapes }) => html`<g key=${alert.key} class="mark ${alert.stage} ${alert.status}">
        ${shapes.map(points => html`<polygon points=${points} />`)}
        <circle class="pulse" cx=${x} cy=${y} r=${size * 1.7} />
        ${alert.stage === 'alert' ? html`<circle class="dot" cx=${x} cy=${y} r=${size} />`
          : html`<path class="dot" d="M${x} ${y - size * 1.2}l${size * 1.2} ${size * 2}h${-size * 2.4}z" />`}
      </g>`)}
      ${names.map(({ mark, x, y }) => html`<text key=${mark.alert.key} class="name" x=${x} y=${y} font-size=${size * 1.9}
        text-anchor="middle" dominant-baseline="central">${mark.alert.location}</text>`)}
    </svg>
    ${missing.length > 0 && html`<p class="hint">Not on the map: <bdi>${missing.slice(0, 20).map(alert => alert.location).join(', ')}</bdi>${missing.length > 20 ? ` and ${missing.length - 20} more` : ''}</p>`}
  </section>`;
}
