// How the hub stands right now, and the last five minutes.
import { html, useEffect, useState } from '/console/preact.js';
import { ask, usePoll } from '/console/api.js';
import { Chart } from '/console/chart.js';
import { bytes, compact, count, duration, micros, rate } from '/console/format.js';
import { Complaint, Copyable, Empty, Lag, Panel, Waiting } from '/console/parts.js';
import { link } from '/console/place.js';

/// The seconds of the last minutes; what is new is asked for once a second.
function useSeconds() {
  const [seconds, setSeconds] = useState([]);
  useEffect(() => {
    let timer;
    let stopped = false;
    let after = 0;
    const loop = async () => {
      if (!document.hidden) {
        await ask('/v1/admin/seconds', { after }).then(({ seconds: fresh }) => {
          if (!fresh.length) return;
          after = fresh.at(-1).at_ms;
          setSeconds(old => [...old, ...fresh].slice(-300));
        }).catch(() => {});
      }
      if (!stopped) timer = setTimeout(loop, 1_000);
    };
    loop();
    return () => { stopped = true; clearTimeout(timer); };
  }, []);
  return seconds;
}

function Tile({ label, value, unit, note, level }) {
  return html`<div class="tile"><dt>${label}</dt><dd><b>${value}</b>${unit && html` <span>${unit}</span>`}</dd>
    ${level !== undefined && html`<dd class="level"><meter min="0" max="1" low="0.5" high="0.8" optimum="0" value=${level} aria-label=${`${label}, share of the limit`}></meter></dd>`}
    ${note && html`<dd class="note">${note}</dd>`}</div>`;
}

function Tiles({ now }) {
  const { rates, waiting } = now;
  const refused = Object.values(rates.refused).reduce((sum, one) => sum + one, 0);
  const most = Object.entries(rates.refused).sort(([, a], [, b]) => b - a)[0];
  const held = waiting.events_now_max < waiting.events_max;
  return html`<dl class="tiles" aria-label="Right now">
    <${Tile} label="Events in" value=${rate(rates.events)} unit="/s" note=${`${bytes(rates.event_bytes)}/s, on disk`} />
    <${Tile} label="Deliveries out" value=${rate(rates.deliveries)} unit="/s" note=${`${bytes(rates.delivered_bytes)}/s to ${compact(now.watches)} subscriptions`} />
    <${Tile} label="Acknowledged within" value=${micros(rates.ack.p50_us)} note=${rates.ack.p99_us ? `half of them; 99 % within ${micros(rates.ack.p99_us)}` : 'nothing was acknowledged lately'} />
    <${Tile} label="Waiting for the disk" value=${compact(waiting.events)} unit=${`of ${compact(waiting.events_now_max)}`} level=${waiting.events / Math.max(1, waiting.events_now_max)}
      note=${held ? 'the limit is lowered while the disk is slow' : bytes(waiting.bytes)} />
    <${Tile} label="Refused" value=${rate(refused)} unit="/s" note=${refused > 0.05 ? `mostly ${most[0].replaceAll('_', ' ')}` : 'nothing is turned away'} />
    <${Tile} label="Connected" value=${compact(now.connections)} note=${`${compact(now.watches)} subscriptions`} />
  </dl>`;
}

const names = { not_authenticated: 'not authenticated', not_allowed: 'not allowed', malformed: 'malformed', too_large: 'too large', too_fast: 'too fast', full: 'overloaded', out_of_order: 'out of order', unavailable: 'storage unavailable' };

function Facts({ now }) {
  const refused = Object.entries(now.totals.refused).filter(([, number]) => number > 0);
  return html`<${Panel} title="Since the start" id="since">
    <dl class="pairs">
      <div><dt>Up for</dt><dd>${duration(now.up_ms / 1_000)}</dd></div>
      <div><dt>Log stands at</dt><dd class="mono">${now.log.head}</dd></div>
      <div><dt>It begins after</dt><dd class="mono">${now.log.oldest}</dd></div>
      ${now.log.bytes !== null && html`<div><dt>Log size</dt><dd>${bytes(now.log.bytes)}</dd></div>`}
      <div><dt>Events stored</dt><dd>${count(now.totals.events)}</dd></div>
      <div><dt>Recognised as resent</dt><dd>${count(now.totals.duplicates)}</dd></div>
      <div><dt>Deliveries</dt><dd>${count(now.totals.deliveries)}</dd></div>
      <div><dt>Fell behind</dt><dd>${count(now.totals.lagging)} times</dd></div>
      ${now.process && html`<div><dt>Memory</dt><dd>${bytes(now.process.memory_bytes)}</dd></div>`}
      <div><dt>Version</dt><dd>${now.version}</dd></div>
      <div><dt>Refused</dt><dd>${refused.length ? refused.map(([name, number]) => html`<span class="chip">${names[name] ?? name} <b>${count(number)}</b></span>`) : 'nothing'}</dd></div>
    </dl>
  <//>`;
}

function Listeners({ now }) {
  return html`<${Panel} title="It listens here" id="listens">
    <div class="scroll"><table>
      <thead><tr><th scope="col">Protocol</th><th scope="col">Address</th><th scope="col" class="number">Open</th><th scope="col" class="number">Taken</th></tr></thead>
      <tbody>${now.listeners.map(one => html`<tr><th scope="row">${one.protocol}</th><td class="mono">${one.addr}</td>
        <td class="number">${count(one.open)}</td><td class="number">${count(one.accepted)}</td></tr>`)}</tbody>
    </table></div>
  <//>`;
}

function Slowest() {
  const { data, error } = usePoll('/v1/admin/slowest', { limit: 5 }, 3_000);
  return html`<${Panel} title="Slowest watchers" id="slowest" actions=${html`<a href=${link('connections', { order: 'slowest' })}>All that lag</a>`}>
    <${Complaint} error=${error} />
    ${!data ? !error && html`<${Waiting} />` : data.connections.length === 0
      ? html`<p class="hint">Everybody has been handed all there is${data.looked_at ? `: ${count(data.looked_at)} connections were looked at` : ''}.</p>`
      : html`<ul class="rows">${data.connections.map(one => html`<li><a href=${link('connections', { id: one.id })}>${one.client ?? one.peer}</a>
          <span class="quiet">${one.protocol}</span><span class="end"><${Lag} places=${one.lag} /> behind</span></li>`)}</ul>`}
  <//>`;
}

function Start({ now }) {
  const http = now.listeners.find(one => one.protocol === 'http')?.addr ?? location.host;
  return html`<${Panel} title="Try it" id="try" class="try">
    <p>Nothing has been published yet. In one shell, watch; in another, publish. What you do appears here.</p>
    <${Copyable} label="Watch" text=${`curl -N 'http://${http}/v1/live?filter=greetings/%23'`} />
    <${Copyable} label="Publish" text=${`curl 'http://${http}/v1/events/greetings/world?sticky=true' -d 'hello'`} />
    <${Copyable} label="The same with the program itself" text=${`headwater sub 'greetings/#' --addr ${http}`} />
    <p>Or use the form of the <a href=${link('topics')}>Topics</a> view.</p>
  <//>`;
}

const Links = ({ now }) => html`<nav class="links" aria-label="Beside the console">
  ${now.apps.map(app => html`<a href=${`/${app.name}/`}><b>${app.title}</b><span>${app.about}</span></a>`)}
  <a href="/docs"><b>HTTP interface</b><span>every route, to read and to try</span></a>
  <a href="/metrics"><b>Metrics</b><span>for Prometheus</span></a>
  <a href="/readyz"><b>Readiness</b><span>what works and what doesn’t</span></a>
</nav>`;

export function Overview({ overview }) {
  const seconds = useSeconds();
  const now = overview.data;
  if (!now) return overview.error ? html`<${Complaint} error=${overview.error} retry=${overview.again} />` : html`<${Waiting} />`;
  const isNew = now.log.head.endsWith(':0');
  return html`<${Tiles} now=${now} />
    ${isNew && html`<${Start} now=${now} />`}
    <section class="charts" aria-label="The last five minutes">
      <${Chart} title="Throughput, a second" id="throughput" seconds=${seconds} spell=${rate} empty="Events will draw a line here."
        series=${[{ name: 'deliveries', label: 'deliveries', colour: '--second', fill: '--second-wash' }, { name: 'events', label: 'events', colour: '--water' }]} />
      <${Chart} title="Time to acknowledge" id="ack" seconds=${seconds} spell=${micros} log empty="Nothing was acknowledged in the last minutes."
        series=${[{ name: 'p99_us', label: '99 %', colour: '--second' }, { name: 'p50_us', label: 'half', colour: '--water' }]} />
      <${Chart} title="Connected" id="crowd" seconds=${seconds} spell=${compact} whole empty="Nobody was connected in the last minutes."
        series=${[{ name: 'watches', label: 'subscriptions', colour: '--second' }, { name: 'connections', label: 'connections', colour: '--water', fill: '--water-wash' }]} />
      <${Chart} title="Overload" id="overload" seconds=${seconds} spell=${compact} whole empty="Nothing waited and nothing was refused."
        series=${[{ name: 'refused', label: 'refused a second', colour: '--bad' }, { name: 'waiting', label: 'waiting', colour: '--water', fill: '--water-wash' }]} />
    </section>
    <div class="halves">
      <${Facts} now=${now} />
      <div class="stack"><${Slowest} /><${Listeners} now=${now} /></div>
    </div>
    <${Links} now=${now} />`;
}
