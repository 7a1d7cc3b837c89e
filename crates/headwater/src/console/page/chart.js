// A line chart over the last minutes, in the page's own colours; with a table for those who can't see it.
import { html, useEffect, useRef } from '/console/preact.js';

// Steps of an axis that counts whole things.
const WHOLE = [1, 2, 5].flatMap(first => Array.from({ length: 9 }, (_, power) => first * 10 ** power)).sort((a, b) => a - b);

// Of a logarithmic axis the powers of ten alone.
const tens = (_, splits) => splits.map(value => Number.isInteger(Math.log10(value)) ? value : null);

function colour(element, name) {
  element.style.color = `var(${name})`;
  const found = getComputedStyle(element).color;
  element.style.color = '';
  return found;
}

function options(element, { series, spell, log, whole }, width) {
  const [ink, line] = [colour(element, '--quiet'), colour(element, '--line')];
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: '12px system-ui, sans-serif' };
  return {
    width,
    height: 190,
    padding: [10, 12, 0, 0],
    legend: { show: false },
    cursor: { points: { size: 7 }, drag: { x: false, y: false } },
    scales: {
      x: { time: true },
      y: log ? { distr: 3, log: 10, range: (_, low, high) => [Math.max(1, 10 ** Math.floor(Math.log10(Math.max(1, low)))), 10 ** Math.ceil(Math.log10(Math.max(10, high)))] }
        : { range: (_, low, high) => [0, Math.max(1, high) * 1.1] },
    },
    axes: [
      { ...axis, space: 70, size: 30, values: (_, ticks) => ticks.map(at => new Date(at * 1_000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: ticks[1] - ticks[0] < 60 ? '2-digit' : undefined, hour12: false })) },
      {
        ...axis,
        size: 62,
        space: 34,
        ...(whole ? { incrs: WHOLE } : {}),
        ...(log ? { filter: tens, grid: { ...axis.grid, filter: tens } } : {}),
        values: (_, ticks) => ticks.map(value => value === null ? '' : spell(value)),
      },
    ],
    series: [{}, ...series.map(one => ({
      label: one.label,
      stroke: colour(element, one.colour),
      width: 2,
      ...(one.fill ? { fill: colour(element, one.fill) } : {}),
      points: { show: false },
      spanGaps: true,
    }))],
  };
}

/// `seconds` as the hub gives them; `series` says which numbers of each are drawn.
export function Chart({ title, id, seconds, empty, ...how }) {
  const { series, spell, log } = how;
  const box = useRef(null);
  const drawn = useRef(null);
  const told = useRef(null);
  const data = [seconds.map(second => second.at_ms / 1_000), ...series.map(one => seconds.map(second => {
    const value = second[one.name];
    return log && value <= 0 ? null : value;
  }))];
  const latest = useRef(data);
  latest.current = data;

  useEffect(() => {
    if (!globalThis.uPlot) return undefined;
    const make = () => {
      drawn.current?.destroy();
      const wanted = options(box.current, how, box.current.clientWidth);
      wanted.hooks = { setCursor: [plot => tell(plot.cursor.idx)] };
      drawn.current = new globalThis.uPlot(wanted, latest.current, box.current);
    };
    make();
    const resized = new ResizeObserver(() => {
      const width = box.current?.clientWidth;
      if (drawn.current && width && width !== drawn.current.width) drawn.current.setSize({ width, height: 190 });
    });
    resized.observe(box.current);
    // Canvas has no style sheet: when the colours change it is drawn anew.
    const recoloured = new MutationObserver(make);
    recoloured.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
    const system = matchMedia('(prefers-color-scheme: dark)');
    system.addEventListener('change', make);
    return () => {
      resized.disconnect();
      recoloured.disconnect();
      system.removeEventListener('change', make);
      drawn.current?.destroy();
      drawn.current = null;
    };
  }, []);

  function tell(at) {
    const all = latest.current;
    const index = at ?? all[0].length - 1;
    told.current?.querySelectorAll('b').forEach((shown, which) => {
      const value = all[which + 1]?.[index];
      shown.textContent = value === null || value === undefined ? '–' : spell(value);
    });
  }

  useEffect(() => {
    drawn.current?.setData(data);
    tell(drawn.current?.cursor.idx);
  });

  const nothing = data.slice(1).every(values => values.every(value => !value));
  return html`<figure class="chart" aria-labelledby=${id}>
    <figcaption><h3 id=${id}>${title}</h3>
      <ul ref=${told}>${series.map(one => html`<li><i class=${`of${one.colour}`} aria-hidden="true"></i>${one.label} <b>–</b></li>`)}</ul>
    </figcaption>
    <div class="canvas" ref=${box} aria-hidden="true"></div>
    ${nothing && empty && html`<p class="over">${empty}</p>`}
  </figure>`;
}
