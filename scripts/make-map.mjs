// Turns TopoJSON into two SVG paths of whole tenths of a degree, and the middle of each country. Run by scripts/make-map.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [, , atlas, out] = process.argv;
const SOUTH = -60;  // Antarctica is not drawn
const x = longitude => Math.round((longitude + 180) * 10);
const y = latitude => Math.round((90 - latitude) * 10);

function arcsOf(topology) {
  const { scale, translate } = topology.transform;
  return topology.arcs.map(arc => {
    let [a, b] = [0, 0];
    return arc.map(([da, db]) => [(a += da) * scale[0] + translate[0], (b += db) * scale[1] + translate[1]]);
  });
}

const arcAt = (arcs, index) => index < 0 ? [...arcs[~index]].reverse() : arcs[index];
// A line that crosses the 180th meridian goes on beyond it, as the map has an edge there.
function unrolled(points) {
  let turn = 0;
  return points.map((point, at) => {
    const step = at ? point[0] - points[at - 1][0] : 0;
    if (Math.abs(step) > 180) turn -= Math.sign(step) * 360;
    return [point[0] + turn, point[1]];
  });
}

// All that the map shows of a line: what lies beyond an edge comes in again at the other one.
function copiesOf(points) {
  const line = unrolled(points), all = line.map(point => point[0]);
  const turns = [0, ...(Math.max(...all) > 180 ? [-360] : []), ...(Math.min(...all) < -180 ? [360] : [])];
  return turns.map(turn => line.map(([longitude, latitude]) => [longitude + turn, latitude]));
}

const ringOf = (arcs, indexes) => indexes.flatMap((index, at) => arcAt(arcs, index).slice(at ? 1 : 0));
const polygonsOf = shape => shape.type === 'Polygon' ? [shape.arcs] : shape.type === 'MultiPolygon' ? shape.arcs : [];

// A line as a path with relative steps; what falls on the point before is left out. Too small shapes are none.
function pathOf(points, isClosed) {
  const whole = [];
  for (const [longitude, latitude] of points) {
    const point = [x(longitude), y(latitude)];
    const last = whole.at(-1);
    if (!last || last[0] !== point[0] || last[1] !== point[1]) whole.push(point);
  }
  if (whole.length < (isClosed ? 4 : 2)) return '';
  let text = `M${whole[0].join(' ')}l`, last = whole[0];
  const steps = whole.slice(1, isClosed ? -1 : undefined).map(point => {
    const step = [point[0] - last[0], point[1] - last[1]];
    last = point;
    return `${step[0]}${step[1] < 0 ? '' : ' '}${step[1]}`;
  });
  for (const [at, step] of steps.entries()) text += at && !step.startsWith('-') ? ` ${step}` : step;
  return text + (isClosed ? 'z' : '');
}

const land = JSON.parse(readFileSync(join(atlas, 'land-110m.json')));
const landArcs = arcsOf(land);
const landPath = land.objects.land.geometries.flatMap(polygonsOf).flat()
  .map(indexes => ringOf(landArcs, indexes))
  .filter(ring => Math.max(...ring.map(point => point[1])) > SOUTH)
  .flatMap(copiesOf).map(ring => pathOf(ring, true)).join('');

const world = JSON.parse(readFileSync(join(atlas, 'countries-110m.json')));
const worldArcs = arcsOf(world);
// A border is an arc that two countries share.
const uses = new Map();
const countries = {};
for (const country of world.objects.countries.geometries) {
  let largest = { size: 0 };
  for (const polygon of polygonsOf(country)) {
    for (const ring of polygon) for (const index of ring) uses.set(index < 0 ? ~index : index, (uses.get(index < 0 ? ~index : index) ?? 0) + 1);
    const ring = unrolled(ringOf(worldArcs, polygon[0]));
    let [size, a, b] = [0, 0, 0];
    for (let at = 0; at + 1 < ring.length; at++) {
      const cross = ring[at][0] * ring[at + 1][1] - ring[at + 1][0] * ring[at][1];
      size += cross; a += (ring[at][0] + ring[at + 1][0]) * cross; b += (ring[at][1] + ring[at + 1][1]) * cross;
    }
    if (Math.abs(size) > largest.size) largest = { size: Math.abs(size), at: [b / (3 * size), a / (3 * size)] };
  }
  if (largest.at) countries[country.properties.name.toLowerCase()] = largest.at.map(part => Math.round(part * 10) / 10);
}
const borders = [...uses].filter(([, count]) => count > 1).flatMap(([index]) => copiesOf(worldArcs[index])).map(line => pathOf(line, false)).join('');

writeFileSync(join(out, 'map.js'), `// Made by scripts/make-map from Natural Earth 1:110m by way of world-atlas 2.0.2; licences in map.LICENSE. Tenths of a degree.
export const LAND = '${landPath}';
export const BORDERS = '${borders}';
// The middle of each country, as [latitude, longitude].
export const COUNTRIES = ${JSON.stringify(countries)};
`);
writeFileSync(join(out, 'map.LICENSE'), `map.js is made from Natural Earth (naturalearthdata.com), which is in the public domain, in the form of the npm package
world-atlas 2.0.2, whose licence follows.

${readFileSync(join(atlas, 'LICENSE'), 'utf8')}`);
