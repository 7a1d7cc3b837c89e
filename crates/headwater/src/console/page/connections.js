// Who is connected: search, one with its subscriptions, disconnect.
import { html, useEffect, useRef, useState } from '/console/preact.js';
import { ask, send, usePoll } from '/console/api.js';
import { ago, bytes, count, moment } from '/console/format.js';
import { Ask, Complaint, Empty, Icon, Lag, Waiting, useEscape } from '/console/parts.js';
import { link, replace } from '/console/place.js';

const PROTOCOLS = [['', 'every protocol'], ['mqtt', 'MQTT'], ['mqtt-ws', 'MQTT over WebSocket'], ['ws', 'WebSocket'], ['sse', 'server-sent events'], ['frames', 'frame protocol']];
const NAMES = Object.fromEntries(PROTOCOLS);
const PAGE = 50;

const nameOf = one => one.client ?? (one.user === 'anonymous' ? one.peer : one.user);

/// A list that is asked for anew every few seconds, and goes on below by request.
function useList(search, protocol) {
  const [list, setList] = useState({ rows: null, next: null, looked: 0, total: 0, error: null, busy: false });
  const wanted = useRef(PAGE);
  const run = useRef(0);
  const load = async () => {
    const mine = run.current += 1;
    setList(list => ({ ...list, busy: true }));
    let [rows, after, looked] = [[], null, 0];
    try {
      do {
        const page = await ask('/v1/admin/connections', { search, protocol, after, limit: Math.min(500, wanted.current - rows.length) });
        if (run.current !== mine) return;
        rows = [...rows, ...page.connections];
        looked += page.looked_at;
        after = page.next;
        // A long search shows what it has found so far.
        setList({ rows, next: after, looked, total: page.total, error: null, busy: after !== null && rows.length < wanted.current });
      } while (after !== null && rows.length < wanted.current);
    } catch (error) {
      if (run.current === mine) setList(list => ({ ...list, error, busy: false }));
    }
  };
  useEffect(() => {
    wanted.current = PAGE;
    setList(list => ({ ...list, rows: null }));
    load();
    const timer = setInterval(() => { if (!document.hidden) load(); }, 3_000);
    return () => { run.current += 1; clearInterval(timer); };
  }, [search, protocol]);
  return { ...list, more: () => { wanted.current += PAGE; load(); }, again: load };
}

function Table({ rows, open, chosen }) {
  return html`<div class="scroll"><table class="cards connections">
    <thead><tr><th scope="col">Client</th><th scope="col">Speaks</th><th scope="col">From</th><th scope="col">Since</th>
      <th scope="col" class="number">Subscriptions</th><th scope="col" class="number">Behind</th></tr></thead>
    <tbody>${rows.map(one => html`<tr key=${one.id} class=${one.id === chosen ? 'chosen' : ''}>
      <th scope="row"><button type="button" class="as-link" onClick=${() => open(one.id)} aria-expanded=${one.id === chosen}>${nameOf(one)}</button>
        ${one.client && html`<small>${one.user}</small>`}</th>
      <td data-label="Speaks"><span class="tag">${one.protocol}</span></td>
      <td data-label="From" class="mono">${one.peer}</td>
      <td data-label="Since"><time datetime=${one.since} title=${moment(one.since)}>${ago(one.since)}</time></td>
      <td data-label="Subscriptions" class="number">${count(one.watches)}</td>
      <td data-label="Behind" class="number"><${Lag} places=${one.lag} /></td>
    </tr>`)}</tbody>
  </table></div>`;
}

function Detail({ id, may, close, gone }) {
  const { data, error } = usePoll(`/v1/admin/connections/${id}`, {}, 2_000);
  const [asking, setAsking] = useState(false);
  const [failed, setFailed] = useState(null);
  const [more, setMore] = useState({ rows: [], next: null });
  const box = useRef(null);
  useEffect(() => box.current?.focus({ preventScroll: true }), [id]);
  useEscape(close);
  const disconnect = async () => {
    setAsking(false);
    try {
      await send('DELETE', `/v1/admin/connections/${id}`);
      gone(data);
    } catch (error) {
      setFailed(error);
    }
  };
  const next = more.next ?? data?.next;
  const loadMore = () => ask(`/v1/admin/connections/${id}`, { after: next })
    .then(page => setMore(more => ({ rows: [...more.rows, ...page.filters], next: page.next }))).catch(setFailed);
  const filters = [...data?.filters ?? [], ...more.rows];
  return html`<section class="panel detail" aria-labelledby="detail" tabindex="-1" ref=${box}>
    <div class="head"><h2 id="detail">${data ? nameOf(data) : 'Connection'}</h2>
      <button type="button" class="plain round" onClick=${close} aria-label="Close"><${Icon} name="bad" /></button></div>
    <${Complaint} error=${failed} />
    ${error ? html`<p class="hint">${error.status === 404 ? 'This connection has ended.' : error.message}</p>` : !data ? html`<${Waiting} />` : html`
      <dl class="pairs">
        ${data.client && html`<div><dt>Client id</dt><dd class="mono">${data.client}</dd></div>`}
        <div><dt>User</dt><dd>${data.user}</dd></div>
        <div><dt>Speaks</dt><dd>${NAMES[data.protocol] ?? data.protocol}</dd></div>
        <div><dt>From</dt><dd class="mono">${data.peer}</dd></div>
        <div><dt>Since</dt><dd>${moment(data.since)}</dd></div>
        ${data.lag !== null && html`<div><dt>Behind</dt><dd><${Lag} places=${data.lag} /></dd></div>
        <div><dt>Answers waiting</dt><dd>${bytes(data.waiting_bytes)}</dd></div>
        <div><dt>Socket</dt><dd>${data.blocked ? html`<b class="warn">takes nothing: the client doesn’t read</b>` : 'takes what comes'}</dd></div>`}
      </dl>
      <h3>Subscriptions</h3>
      ${filters.length === 0 ? html`<p class="hint">${data.watches === null ? 'This protocol has none: the client only sends.' : 'None: this client watches nothing.'}</p>` : html`
        <ul class="rows">${filters.map(one => html`<li><span class="mono">${one.filter}</span>
          <span class="end">${one.source === 'log' && html`<span class="tag" title="it reads what it missed from the log">from the log</span>`} <${Lag} places=${one.lag} /> behind</span></li>`)}</ul>
        ${next && html`<button type="button" onClick=${loadMore}>More subscriptions</button>`}`}
      <div class="choices">
        <a class="button" href=${link('why', { user: data.user, client: data.client })}>Why don’t they see…?</a>
        ${may && html`<button type="button" class="danger" onClick=${() => setAsking(true)}>Disconnect</button>`}
      </div>`}
    ${asking && html`<${Ask} title=${`Disconnect ${nameOf(data)}?`} yes="Disconnect" onYes=${disconnect} onNo=${() => setAsking(false)}>
      <p>The connection ends now. The client may come back at once; whoever must not is to be removed from the users.</p>
    <//>`}
  </section>`;
}

function Search({ search, protocol, order, change }) {
  const [typed, setTyped] = useState(search);
  useEffect(() => setTyped(search), [search]);
  // A pause in typing is the sign to look.
  useEffect(() => {
    if (typed === search) return undefined;
    const timer = setTimeout(() => change({ search: typed }), 250);
    return () => clearTimeout(timer);
  }, [typed]);
  return html`<form class="bar" role="search" onSubmit=${event => { event.preventDefault(); change({ search: typed }); }}>
    <label class="grow">Client id, user, or the beginning of an address
      <input type="search" data-search value=${typed} onInput=${event => setTyped(event.target.value)} maxlength="128" autocomplete="off" spellcheck="false" placeholder="sensor-7, anna, 10.1." /></label>
    <label>Speaks<select value=${protocol} onChange=${event => change({ protocol: event.target.value })}>
      ${PROTOCOLS.map(([value, label]) => html`<option value=${value}>${label}</option>`)}</select></label>
    <label>Show<select value=${order} onChange=${event => change({ order: event.target.value })}>
      <option value="">all</option><option value="slowest">the slowest</option></select></label>
  </form>`;
}

function Slowest(props) {
  const { data, error, again } = usePoll('/v1/admin/slowest', { limit: 50 }, 3_000);
  if (!data) return error ? html`<${Complaint} error=${error} retry=${again} />` : html`<${Waiting} />`;
  if (!data.connections.length) {
    return html`<${Empty} title="Nobody lags"><p>Every connection has been handed all there is (${count(data.looked_at)} were looked at).</p><//>`;
  }
  return html`<p class="count" role="status">The ${data.connections.length} that are furthest behind, of ${count(data.looked_at)} looked at${data.all ? '' : ' (there are more)'}</p>
    <${Table} rows=${data.connections} ...${props} />`;
}

function Everybody({ search, protocol, open, chosen, list }) {
  const { rows, next, looked, total, error, busy, more } = list;
  if (!rows) return error ? html`<${Complaint} error=${error} retry=${list.again} />` : html`<${Waiting} />`;
  if (!rows.length && !busy) {
    return search || protocol
      ? html`<${Empty} title="Nobody like that"><p>${count(looked)} connections were looked at. A search looks in the client id and the user’s name, in capitals or not, and at the beginning of the address.</p><//>`
      : html`<${Empty} title="Nobody is connected"><p>Whoever watches or sends over MQTT, WebSocket, server-sent events or the frame protocol is listed here while the connection lasts. Requests over HTTP come and go, and are counted in the overview.</p><//>`;
  }
  return html`<${Complaint} error=${error} />
    <p class="count" role="status">${search || protocol ? `${count(rows.length)} found, ${count(looked)} of ${count(total)} looked at` : `${count(rows.length)} of ${count(total)}`}</p>
    <${Table} rows=${rows} open=${open} chosen=${chosen} />
    ${next !== null && html`<button type="button" class="more" onClick=${more} disabled=${busy}>${busy ? 'Looking…' : 'Show more'}</button>`}`;
}

export function Connections({ params, may }) {
  const [wanted, setWanted] = useState({ search: params.search ?? '', protocol: params.protocol ?? '', order: params.order ?? '' });
  const [chosen, setChosen] = useState(params.id ?? null);
  const [said, setSaid] = useState('');
  const list = useList(wanted.search, wanted.protocol);
  useEffect(() => replace('connections', { ...wanted, id: chosen }), [wanted, chosen]);
  const open = id => { setChosen(id === chosen ? null : id); setSaid(''); };
  const gone = one => { setChosen(null); setSaid(`${nameOf(one)} was disconnected.`); list.again(); };
  return html`<${Search} ...${wanted} change=${change => setWanted(old => ({ ...old, ...change }))} />
    <p class="said-aloud" role="status">${said}</p>
    <div class=${chosen ? 'beside' : ''}>
      <div class="panel">${wanted.order === 'slowest'
        ? html`<${Slowest} open=${open} chosen=${chosen} />`
        : html`<${Everybody} ...${wanted} open=${open} chosen=${chosen} list=${list} />`}</div>
      ${chosen && html`<${Detail} key=${chosen} id=${chosen} may=${may} close=${() => setChosen(null)} gone=${gone} />`}
    </div>`;
}
