// The page of the message log: the live tail, search, and who sends how much.
import { html, render, useCallback, useEffect, useRef, useState } from './htm-preact.js';

const ROWS_MAX = 200;           // rows in the tail; older ones are in the search
const CLIENTS_EVERY_MS = 2000;  // how often the table of clients is asked for
const number = new Intl.NumberFormat('en');
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

async function ask(path, signal) {
  const response = await fetch(`api/${path}`, { signal });
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({ detail: `HTTP ${response.status}` }));
  throw new Error(problem.detail);
}

// 6b1f2d3e-... and the number after the slash; another edge's event has neither.
function sender(message) {
  const found = /^([0-9a-f]{8}-[0-9a-f-]{27})\/(\d+)$/.exec(message.id);
  return found ? { client: found[1], number: Number(found[2]) } : { client: message.topic.slice('intake/'.length), number: null };
}

const hueOf = client => [...client].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 360, 7);
const timeOf = time => new Date(time).toLocaleTimeString([], { hour12: false }) + time.slice(19, 23);
const bytesOf = count => count < 1000 ? `${count} B` : `${compact.format(count).replace(/[KMBT]/, unit => ` ${{ K: 'k', B: 'G' }[unit] ?? unit}`)}B`;

function agoOf(time) {
  const seconds = Math.max(0, Math.round((Date.now() - new Date(time)) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(time).toLocaleDateString();
}

// ---- the live connection ----

// Messages are merged by their place in the log, so that what the search and the tail both give is there once.
function merged(rows, messages) {
  const have = new Set(rows.map(row => row.seq));
  const added = messages.filter(message => !have.has(message.seq));
  return added.length ? [...rows, ...added].sort((a, b) => a.seq - b.seq).slice(-ROWS_MAX) : rows;
}

function useLive() {
  const [state, setState] = useState('connecting');
  const [summary, setSummary] = useState(null);
  const [rows, setRows] = useState([]);
  const [sample, setSample] = useState({ shown: 0, skipped: 0, now: 0 });
  useEffect(() => {
    const source = new EventSource('api/live');
    const latest = () => ask('search?limit=50')
      .then(found => setRows(rows => merged(rows, found.messages)))
      .catch(() => {});
    source.onopen = () => { setState('live'); latest(); };
    source.onerror = () => setState(source.readyState === EventSource.CLOSED ? 'closed' : 'reconnecting');
    let skippedAt = 0;
    source.addEventListener('summary', event => {
      setSummary(JSON.parse(event.data));
      if (Date.now() - skippedAt > 1500) setSample(sample => sample.now ? { ...sample, now: 0 } : sample);
    });
    source.addEventListener('messages', event => {
      const { messages, skipped } = JSON.parse(event.data);
      setRows(rows => merged(rows, messages));
      if (skipped) skippedAt = Date.now();
      setSample(sample => ({
        shown: sample.shown + messages.length,
        skipped: sample.skipped + skipped,
        now: skipped ? Math.round((messages.length + skipped) / messages.length) : 0,
      }));
    });
    return () => source.close();
  }, []);
  return { state, summary, rows, sample };
}

// ---- pieces ----

const STATES = {
  connecting: 'connecting', live: 'live', reconnecting: 'connection lost, trying again', closed: 'closed by the hub: reload the page',
};

function Header({ state }) {
  return html`<header>
    <a class="home" href="/" aria-label="Headwater, the console"><img src="icon.svg" alt="" width="28" height="28" /></a>
    <div><h1>Intake</h1><p>message log</p></div>
    <span class="state ${state}" role="status"><i aria-hidden="true"></i>${STATES[state]}</span>
  </header>`;
}

function Tile({ label, value, note }) {
  return html`<div class="tile"><dt>${label}</dt><dd>${value}</dd>${note && html`<dd class="note">${note}</dd>`}</div>`;
}

function Tiles({ summary }) {
  const known = summary ?? { messages: 0, rate: 0, clients: 0, bytes: 0, uncounted: 0, forgotten_clients: 0 };
  const rate = known.rate < 10 ? known.rate.toFixed(1) : number.format(Math.round(known.rate));
  const counting = known.uncounted > 0 && `${compact.format(known.uncounted)} places still to count`;
  const forgotten = known.forgotten_clients > 0 && `and ${compact.format(known.forgotten_clients)} small ones`;
  return html`<dl class="tiles" aria-label="Counts">
    <${Tile} label="Messages" value=${number.format(known.messages)} note=${counting} />
    <${Tile} label="A second" value=${rate} note="of the last 10 s" />
    <${Tile} label="Clients" value=${number.format(known.clients)} note=${forgotten} />
    <${Tile} label="Payload" value=${bytesOf(known.bytes)} />
  </dl>`;
}

function Payload({ message, text }) {
  if (message.payload === undefined) {
    const bytes = Math.floor(message.payload_base64.replace(/=+$/, '').length * 3 / 4);
    return html`<span class="odd" title=${message.payload_base64}>${bytes} bytes that are no text</span>`;
  }
  if (message.payload === '') return html`<span class="odd">empty</span>`;
  const at = text ? message.payload.toLowerCase().indexOf(text.toLowerCase()) : -1;
  if (at < 0) return message.payload;
  const end = at + text.length;
  return html`${message.payload.slice(0, at)}<mark>${message.payload.slice(at, end)}</mark>${message.payload.slice(end)}`;
}

function Message({ message, text, pick }) {
  const from = sender(message);
  return html`<li>
    <time datetime=${message.time} title=${`${message.time}, place ${message.seq} in the log`}>${timeOf(message.time)}</time>
    <button class="client" style=${{ '--hue': hueOf(from.client) }} onClick=${() => pick(from.client)}
      title=${`client ${from.client}: search its messages`} aria-label=${`messages of client ${from.client}`}>${from.client.slice(0, 8)}</button>
    <span class="number" title="the client's number">${from.number !== null && `#${number.format(from.number)}`}</span>
    <span class="payload"><${Payload} message=${message} text=${text} /></span>
  </li>`;
}

function Sampled({ sample }) {
  if (!sample.skipped) return null;
  return html`<p class="sampled" role="status">
    ${sample.now > 1 ? `sampled 1:${number.format(sample.now)}, ` : ''}${number.format(sample.skipped)} skipped
    <span> since this page was opened; all are stored, the search finds them</span>
  </p>`;
}

function Copyable({ label, text }) {
  const [done, setDone] = useState(false);
  const copy = () => navigator.clipboard?.writeText(text).then(() => { setDone(true); setTimeout(() => setDone(false), 1500); });
  return html`<figure><figcaption>${label}</figcaption>
    <pre tabindex="0"><code>${text}</code></pre>
    <button onClick=${copy} aria-label=${`copy: ${label}`}>${done ? 'copied' : 'copy'}</button>
  </figure>`;
}

function Empty({ summary }) {
  const frames = summary?.frames;
  const [host, port] = (frames ?? '127.0.0.1:7007').split(/:(?=\d+$)/);
  const raw = String.raw`printf 'HWF1sixteen-byte-id!\0\0\0\0\0\5\0\0\0\0\0\0\0\1hello' | nc -q1 ${host} ${port} | xxd`;
  return html`<section class="empty">
    <h2>No messages yet</h2>
    <p>They appear here as soon as they are on disk${frames ? html`; clients connect to <code>${frames}</code>` : ''}. Send the first one:</p>
    <${Copyable} label="from the shell, a message a line" text=${`echo 'hello' | headwater send --addr ${host}:${port} -`} />
    <${Copyable} label="in Python, with the 40 lines of docs/frames.md" text=${`echo 'hello' | python3 docs/examples/frames_client.py ${host} ${port} $(uuidgen)`} />
    <${Copyable} label="byte by byte" text=${raw} />
  </section>`;
}

function Tail({ live, pick }) {
  const [frozen, setFrozen] = useState(null);
  const list = useRef(null);
  const stuck = useRef(true);
  const rows = frozen ?? live.rows;
  const toggle = useCallback(() => setFrozen(frozen => frozen ? null : live.rows), [live.rows]);
  useEffect(() => {
    const onKey = event => {
      if (event.key !== 'p' || event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, select')) return;
      toggle();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, [toggle]);
  useEffect(() => { if (stuck.current && list.current) list.current.scrollTop = list.current.scrollHeight; }, [rows]);
  const onScroll = event => {
    const { scrollTop, scrollHeight, clientHeight } = event.target;
    stuck.current = scrollHeight - scrollTop - clientHeight < 40;
  };
  if (live.state !== 'connecting' && !live.rows.length && !(live.summary?.messages > 0)) return html`<${Empty} summary=${live.summary} />`;
  return html`<div class="bar">
      <button onClick=${toggle} aria-pressed=${frozen !== null}>${frozen ? 'Go on' : 'Pause'}</button>
      <${Sampled} sample=${live.sample} />
    </div>
    <ol class="messages" ref=${list} onScroll=${onScroll} tabindex="0" aria-label="Latest messages, the newest at the end">
      ${rows.map(message => html`<${Message} key=${message.seq} message=${message} pick=${pick} />`)}
    </ol>`;
}

const NOTHING = { messages: [], looked: 0, left: 0, next: null, running: false, error: null, begun: false };

function useSearch() {
  const [found, setFound] = useState(NOTHING);
  const running = useRef(null);
  const stop = useCallback(() => { running.current?.abort(); setFound(found => ({ ...found, running: false })); }, []);
  const look = useCallback(async (query, before, had) => {
    running.current?.abort();
    const mine = running.current = new AbortController();
    let state = { ...(had ?? NOTHING), running: true, error: null, begun: true };
    const wanted = state.messages.length + 50;
    setFound(state);
    try {
      while (state.running) {
        const params = new URLSearchParams({ text: query.text, client: query.client, limit: wanted - state.messages.length });
        if (before) params.set('before', before);
        const part = await ask(`search?${params}`, mine.signal);
        before = part.next;
        state = {
          ...state,
          messages: [...state.messages, ...part.messages],
          looked: state.looked + part.looked_at,
          left: part.left,
          next: part.next,
        };
        state.running = part.next !== null && state.messages.length < wanted;
        setFound(state);
      }
    } catch (error) {
      if (error.name !== 'AbortError') setFound({ ...state, running: false, error: error.message });
    }
  }, []);
  return { found, look, stop };
}

function Search({ query, setQuery, search, pick }) {
  const { found, look, stop } = search;
  const [typed, setTyped] = useState(query);
  useEffect(() => setTyped(query), [query]);
  // What stands in the fields, not what was drawn last: who types and presses Enter at once is a letter ahead of that.
  const onSubmit = event => {
    event.preventDefault();
    const { text, client } = event.currentTarget.elements;
    const wanted = { ...typed, text: text.value, client: client.value };
    setQuery(wanted);
    look(wanted);
  };
  const set = name => event => setTyped({ ...typed, [name]: event.target.value });
  const total = found.looked + found.left;
  return html`<form class="search" role="search" onSubmit=${onSubmit}>
      <label>Text<input id="text" type="search" maxlength="256" value=${typed.text} onInput=${set('text')} placeholder="any" autocomplete="off" /></label>
      <label>Client<input id="client" type="text" value=${typed.client} onInput=${set('client')} placeholder="every client, or a UUID" autocomplete="off" spellcheck="false" /></label>
      ${found.running
        ? html`<button type="button" onClick=${stop}>Stop</button>`
        : html`<button type="submit" class="main">Search</button>`}
    </form>
    ${found.error && html`<p class="error" role="alert">${found.error}</p>`}
    ${found.begun && html`<div class="bar">
      <p class="count" role="status">${number.format(found.messages.length)} found${found.running ? ' so far' : ''},
        ${` ${compact.format(found.looked)} of ${compact.format(total)} places of the log looked at, newest first`}</p>
      ${found.running && html`<progress max=${total || 1} value=${found.looked} aria-label="how much of the log was looked at"></progress>`}
    </div>
    <ol class="messages" tabindex="0" aria-label="Messages found, the newest first">
      ${found.messages.map(message => html`<${Message} key=${message.seq} message=${message} text=${query.text} pick=${pick} />`)}
    </ol>
    ${!found.running && found.next !== null && html`<button class="more" onClick=${() => look(query, found.next, found)}>Look further back</button>`}`}
    ${!found.begun && html`<p class="hint">Finds text in any message of the log, in capitals or not. Choose a client in the list or the tail to see its messages.</p>`}`;
}

const ORDERS = [['messages', 'most messages'], ['rate', 'fastest'], ['last', 'heard of last']];

function Clients({ pick }) {
  const [order, setOrder] = useState('messages');
  const [clients, setClients] = useState([]);
  const [error, setError] = useState(null);
  useEffect(() => {
    const stop = new AbortController();
    const load = () => ask(`clients?order=${order}&limit=50`, stop.signal)
      .then(answer => { setClients(answer.clients); setError(null); })
      .catch(error => error.name !== 'AbortError' && setError(error.message));
    load();
    const timer = setInterval(load, CLIENTS_EVERY_MS);
    return () => { clearInterval(timer); stop.abort(); };
  }, [order]);
  return html`<section class="panel clients" aria-labelledby="clients">
    <div class="head"><h2 id="clients">Clients</h2>
      <label class="order">order<select value=${order} onChange=${event => setOrder(event.target.value)}>
        ${ORDERS.map(([value, label]) => html`<option value=${value}>${label}</option>`)}
      </select></label>
    </div>
    ${error && html`<p class="error" role="alert">${error}</p>`}
    ${clients.length === 0 ? html`<p class="hint">Every client that has sent a message is listed here, with its counts.</p>` : html`
    <div class="scroll" tabindex="0" role="region" aria-label="Clients, a table"><table>
      <thead><tr><th scope="col">client</th><th scope="col">messages</th><th scope="col">a second</th><th scope="col">last</th></tr></thead>
      <tbody>${clients.map(row => html`<tr key=${row.client}>
        <th scope="row"><button class="client" style=${{ '--hue': hueOf(row.client) }} title=${row.client} aria-label=${`messages of client ${row.client}`}
          onClick=${() => pick(row.client)}>${row.client.slice(0, 8)}</button></th>
        <td>${number.format(row.messages)}</td>
        <td>${row.rate ? (row.rate < 10 ? row.rate.toFixed(1) : number.format(Math.round(row.rate))) : '–'}</td>
        <td><time datetime=${row.last_at} title=${row.last_at}>${agoOf(row.last_at)}</time></td>
      </tr>`)}</tbody>
    </table></div>`}
  </section>`;
}

function Tabs({ tab, setTab }) {
  const onKey = event => {
    if (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight') return;
    const other = tab === 'live' ? 'search' : 'live';
    setTab(other);
    document.getElementById(`tab-${other}`)?.focus();
  };
  const one = (name, label) => html`<button id=${`tab-${name}`} role="tab" aria-selected=${tab === name} aria-controls="panel"
    tabindex=${tab === name ? 0 : -1} onClick=${() => setTab(name)}>${label}</button>`;
  return html`<div class="tabs" role="tablist" aria-label="Messages" onKeyDown=${onKey}>${one('live', 'Live')}${one('search', 'Search')}</div>`;
}

function App() {
  const live = useLive();
  const search = useSearch();
  const [tab, setTab] = useState('live');
  const [query, setQuery] = useState({ text: '', client: '' });
  const pick = useCallback(client => {
    const query = { text: '', client };
    setQuery(query);
    setTab('search');
    search.look(query);
  }, [search.look]);
  useEffect(() => {
    const onKey = event => {
      if (event.key !== '/' || event.target.closest('input, select')) return;
      event.preventDefault();
      setTab('search');
      requestAnimationFrame(() => document.getElementById('text')?.focus());
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
  return html`<${Header} state=${live.state} />
    <main>
      <${Tiles} summary=${live.summary} />
      <section class="panel log" aria-label="Messages">
        <${Tabs} tab=${tab} setTab=${setTab} />
        <div id="panel" class="tabpanel" role="tabpanel" aria-labelledby=${`tab-${tab}`}>
          ${tab === 'live' ? html`<${Tail} live=${live} pick=${pick} />` : html`<${Search} query=${query} setQuery=${setQuery} search=${search} pick=${pick} />`}
        </div>
      </section>
      <${Clients} pick=${pick} />
    </main>
    <footer>Keys: <kbd>/</kbd> search, <kbd>p</kbd> pause. In the shell: <code>headwater log tail</code></footer>`;
}

render(html`<${App} />`, document.getElementById('app'));
